//! The stored catalogue: its keys here, how people are shown them in `discovery`.
//!
//! Writers read the whole catalogue of the connection under lock, in one order, and write what changed; it
//! is small. Two writers of one connection wait for each other and do not deadlock. New keys of two writers
//! at once could collide, but only one job of a connection runs, and its fence guards the transaction.

mod discovery;

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::PgConnection;

use super::{Catalogue, Entry, ObjectType};
use crate::db::{self, Error};

pub use discovery::{CatalogueKey, list, unknown_keys};

struct StoredKey {
    object_type: String,
    key_path: String,
    value_type: String,
    occurrences: i64,
    sample_values: Value,
    first_seen: DateTime<Utc>,
    last_seen: DateTime<Utc>,
}

impl StoredKey {
    fn parse(self) -> Result<(ObjectType, String, Entry), Error> {
        let object_type = db::parse_stored("stripe_metadata_keys.object_type", &self.object_type)?;
        let samples =
            serde_json::from_value(self.sample_values).map_err(|error| Error::Inconsistent {
                column: "stripe_metadata_keys.sample_values",
                cause: error.into(),
            })?;
        let entry = Entry {
            value_type: db::parse_stored("stripe_metadata_keys.value_type", &self.value_type)?,
            occurrences: self.occurrences,
            samples,
            first_seen: self.first_seen,
            last_seen: self.last_seen,
        };
        Ok((object_type, self.key_path, entry))
    }
}

/// The stored catalogue, its rows locked.
async fn list_for_update(
    conn: &mut PgConnection,
    organization: &str,
    connection: &str,
) -> Result<Catalogue, Error> {
    let rows = sqlx::query_as!(
        StoredKey,
        "SELECT object_type, key_path, value_type, occurrences, sample_values, first_seen, last_seen
         FROM stripe_metadata_keys
         WHERE organization_id = $1 AND connection_id = $2
         ORDER BY object_type, key_path FOR UPDATE",
        organization,
        connection,
    )
    .fetch_all(conn)
    .await?;
    let mut catalogue = Catalogue::default();
    for row in rows {
        let (object_type, path, entry) = row.parse()?;
        catalogue.insert(object_type, path, entry);
    }
    Ok(catalogue)
}

/// Adds the keys of newly stored objects.
///
/// # Errors
///
/// When the database does not answer, or a stored key is not one that this program writes.
pub async fn merge(
    conn: &mut PgConnection,
    organization: &str,
    connection: &str,
    found: &Catalogue,
) -> Result<(), Error> {
    if found.is_empty() {
        return Ok(());
    }
    let stored = list_for_update(conn, organization, connection).await?;
    let mut wanted = stored.clone();
    wanted.merge(found.clone());
    write(conn, organization, connection, &stored, &wanted).await
}

/// Replaces the keys of these kinds of objects by those that were found in all of them.
///
/// # Errors
///
/// As [`merge`].
pub async fn replace(
    conn: &mut PgConnection,
    organization: &str,
    connection: &str,
    of: &BTreeSet<ObjectType>,
    found: Catalogue,
) -> Result<(), Error> {
    let stored = list_for_update(conn, organization, connection).await?;
    let mut wanted = stored.clone();
    wanted.forget(of);
    wanted.merge(found);
    write(conn, organization, connection, &stored, &wanted).await
}

/// Writes the difference, in the order in which rows are locked.
async fn write(
    conn: &mut PgConnection,
    organization: &str,
    connection: &str,
    stored: &Catalogue,
    wanted: &Catalogue,
) -> Result<(), Error> {
    let gone: Vec<(&str, String)> = stored
        .entries()
        .filter(|(object_type, path, _)| wanted.get(*object_type, path).is_none())
        .map(|(object_type, path, _)| (object_type.as_str(), path.to_owned()))
        .collect();
    if !gone.is_empty() {
        let (types, paths): (Vec<&str>, Vec<String>) = gone.into_iter().unzip();
        sqlx::query!(
            "DELETE FROM stripe_metadata_keys
             WHERE organization_id = $1 AND connection_id = $2
                 AND (object_type, key_path) IN (SELECT * FROM UNNEST($3::TEXT[], $4::TEXT[]))",
            organization,
            connection,
            &types as &[&str],
            &paths,
        )
        .execute(&mut *conn)
        .await?;
    }
    let changed: Vec<(ObjectType, &str, &Entry)> = wanted
        .entries()
        .filter(|(object_type, path, entry)| stored.get(*object_type, path) != Some(*entry))
        .collect();
    if !changed.is_empty() {
        upsert(conn, organization, connection, &changed).await?;
    }
    Ok(())
}

async fn upsert(
    conn: &mut PgConnection,
    organization: &str,
    connection: &str,
    changed: &[(ObjectType, &str, &Entry)],
) -> Result<(), Error> {
    let column = |text: fn(&(ObjectType, &str, &Entry)) -> String| -> Vec<String> {
        changed.iter().map(text).collect()
    };
    let occurrences: Vec<i64> = changed
        .iter()
        .map(|(.., entry)| entry.occurrences)
        .collect();
    let samples: Vec<Value> = changed
        .iter()
        .map(|(.., entry)| entry.samples.iter().map(String::as_str).collect())
        .collect();
    let first: Vec<DateTime<Utc>> = changed.iter().map(|(.., entry)| entry.first_seen).collect();
    let last: Vec<DateTime<Utc>> = changed.iter().map(|(.., entry)| entry.last_seen).collect();
    sqlx::query!(
        "INSERT INTO stripe_metadata_keys (organization_id, connection_id, object_type, key_path, value_type,
             occurrences, sample_values, first_seen, last_seen)
         SELECT $1, $2, found.*
         FROM UNNEST($3::TEXT[], $4::TEXT[], $5::TEXT[], $6::BIGINT[], $7::JSONB[], $8::TIMESTAMPTZ[],
             $9::TIMESTAMPTZ[]) AS found
         ON CONFLICT (organization_id, connection_id, object_type, key_path) DO UPDATE
         SET value_type = excluded.value_type, occurrences = excluded.occurrences,
             sample_values = excluded.sample_values, first_seen = excluded.first_seen,
             last_seen = excluded.last_seen",
        organization,
        connection,
        &column(|(object_type, ..)| object_type.as_str().to_owned()),
        &column(|(_, path, _)| (*path).to_owned()),
        &column(|(.., entry)| entry.value_type.as_str().to_owned()),
        &occurrences,
        &samples,
        &first,
        &last,
    )
    .execute(conn)
    .await?;
    Ok(())
}
