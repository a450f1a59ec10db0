//! The stored catalogue.
//!
//! Writers read the whole catalogue of the connection under lock, in one order, and write what changed; it
//! is small. Two writers of one connection wait for each other and do not deadlock. New keys of two writers
//! at once could collide, but only one job of a connection runs, and its fence guards the transaction.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use futures::TryStreamExt;
use serde_json::{Map, Value};
use sqlx::{PgConnection, QueryBuilder};

use super::unknown::{self, NamedKey};
use super::{CatalogObject, Catalogue, Entry, ObjectType, ValueType};
use crate::db::Error;
use crate::sync::Span;

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
        let unknown = |place, text: String| Error::Inconsistent {
            place,
            cause: text.into(),
        };
        let object_type = ObjectType::parse(&self.object_type)
            .ok_or_else(|| unknown("stripe_metadata_keys.object_type", self.object_type))?;
        let value_type = ValueType::ALL
            .into_iter()
            .find(|value_type| value_type.as_str() == self.value_type)
            .ok_or_else(|| unknown("stripe_metadata_keys.value_type", self.value_type))?;
        let samples =
            serde_json::from_value(self.sample_values).map_err(|error| Error::Inconsistent {
                place: "stripe_metadata_keys.sample_values",
                cause: error.into(),
            })?;
        let entry = Entry {
            value_type,
            occurrences: self.occurrences,
            samples,
            first_seen: self.first_seen,
            last_seen: self.last_seen,
        };
        Ok((object_type, self.key_path, entry))
    }
}

/// What is odd about these keys: for each that no stored object has, its index and a sentence.
///
/// # Errors
///
/// When the database does not answer, or a stored key is not one that this program writes.
pub async fn unknown_keys(
    conn: &mut PgConnection,
    organization: &str,
    connection: &str,
    named: &[NamedKey],
) -> Result<Vec<(usize, String)>, Error> {
    if named.is_empty() {
        return Ok(Vec::new());
    }
    let types: Vec<String> = named
        .iter()
        .map(|named| named.object_type.as_str().to_owned())
        .collect();
    let keys: Vec<String> = named.iter().map(|named| named.key.clone()).collect();
    let paths: Vec<String> = named.iter().map(NamedKey::catalogued).collect();
    // Most keys are spelled as they are catalogued; only for others is the whole catalogue read.
    let all_found = sqlx::query_scalar!(
        r#"SELECT NOT EXISTS (
               SELECT FROM unnest($3::TEXT[], $4::TEXT[], $5::TEXT[]) AS named (object_type, key, path)
               WHERE NOT EXISTS (
                   SELECT FROM stripe_metadata_keys AS known
                   WHERE known.organization_id = $1 AND known.connection_id = $2
                       AND known.object_type = named.object_type
                       AND known.key_path IN (named.key, named.path))) AS "all_found!""#,
        organization,
        connection,
        &types,
        &keys,
        &paths,
    )
    .fetch_one(&mut *conn)
    .await?;
    if all_found {
        return Ok(Vec::new());
    }
    let rows = sqlx::query!(
        "SELECT object_type, key_path FROM stripe_metadata_keys
         WHERE organization_id = $1 AND connection_id = $2",
        organization,
        connection,
    )
    .fetch_all(conn)
    .await?;
    let known: Vec<(ObjectType, String)> = rows
        .into_iter()
        .filter_map(|row| Some((ObjectType::parse(&row.object_type)?, row.key_path)))
        .collect();
    Ok(named
        .iter()
        .enumerate()
        .filter_map(|(index, named)| Some((index, unknown::describe(named, &known)?)))
        .collect())
}

/// The stored catalogue, its rows locked.
async fn locked(
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
    let stored = locked(conn, organization, connection).await?;
    let mut wanted = stored.clone();
    wanted.merge(found.clone());
    write(conn, organization, connection, &stored, &wanted).await
}

/// Makes the keys of these kinds of objects anew from all stored rows.
///
/// # Errors
///
/// As [`merge`].
pub async fn rebuild(
    conn: &mut PgConnection,
    organization: &str,
    connection: &str,
    of: &BTreeSet<ObjectType>,
) -> Result<(), Error> {
    let stored = locked(conn, organization, connection).await?;
    let mut wanted = stored.clone();
    wanted.forget(of);
    for object_type in of {
        match columns_of(*object_type) {
            None => add_charges(conn, organization, connection, &mut wanted).await?,
            Some(columns) => {
                let place = (organization, connection);
                add_objects(conn, place, *object_type, columns, &mut wanted).await?;
            }
        }
    }
    write(conn, organization, connection, &stored, &wanted).await
}

async fn add_charges(
    conn: &mut PgConnection,
    organization: &str,
    connection: &str,
    catalogue: &mut Catalogue,
) -> Result<(), Error> {
    let mut rows = sqlx::query!(
        r#"SELECT charge_metadata AS "metadata: sqlx::types::Json<Map<String, Value>>", created_at
           FROM stripe_revenue_data
           WHERE organization_id = $1 AND connection_id = $2 AND line_no = 0 AND charge_metadata <> '{}'"#,
        organization,
        connection,
    )
    .fetch(conn);
    while let Some(row) = rows.try_next().await? {
        catalogue.add(ObjectType::Charge, &row.metadata.0, row.created_at);
    }
    Ok(())
}

#[derive(sqlx::FromRow)]
struct ReferredObject {
    metadata: sqlx::types::Json<Map<String, Value>>,
    first_seen: DateTime<Utc>,
    last_seen: DateTime<Utc>,
}

/// The objects of a type that rows refer to; all rows of one object have its metadata.
async fn add_objects(
    conn: &mut PgConnection,
    (organization, connection): (&str, &str),
    object_type: ObjectType,
    (id, metadata): (&str, &str),
    catalogue: &mut Catalogue,
) -> Result<(), Error> {
    let mut query = QueryBuilder::new("SELECT (array_agg(");
    query.push(metadata);
    query.push(
        "))[1] AS metadata, MIN(created_at) AS first_seen, MAX(created_at) AS last_seen
         FROM stripe_revenue_data WHERE organization_id = ",
    );
    query.push_bind(organization).push(" AND connection_id = ");
    query.push_bind(connection).push(" AND ").push(id);
    query.push(" IS NOT NULL AND ").push(metadata);
    query.push(" <> '{}' GROUP BY ").push(id);
    let mut rows = query.build_query_as::<ReferredObject>().fetch(conn);
    while let Some(row) = rows.try_next().await? {
        catalogue.add_between(object_type, &row.metadata.0, row.first_seen, row.last_seen);
    }
    Ok(())
}

/// The columns of a row that name an object and keep its metadata; a charge's own is read with the charge.
pub fn columns_of(object_type: ObjectType) -> Option<(&'static str, &'static str)> {
    match object_type {
        ObjectType::Charge => None,
        ObjectType::Product => Some(("product_id", "product_metadata")),
        ObjectType::Price => Some(("price_id", "price_metadata")),
        ObjectType::Customer => Some(("customer_id", "customer_metadata")),
    }
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

/// A key as people are shown it.
#[derive(Debug, Clone, PartialEq)]
pub struct DiscoveredKey {
    /// Whose metadata.
    pub object_type: ObjectType,
    /// Its path: dotted, `[]` for the elements of an array.
    pub key_path: String,
    /// What is known of it.
    pub entry: Entry,
    /// The share of the objects of that type, stored or referred to, that have it: 0 to 1.
    pub coverage: f64,
}

/// Stored charges and the objects that they refer to, by kind.
#[derive(Debug, Clone, Copy, Default)]
struct Objects {
    charges: i64,
    products: i64,
    prices: i64,
    customers: i64,
}

impl Objects {
    fn of(self, object_type: ObjectType) -> i64 {
        match object_type {
            ObjectType::Charge => self.charges,
            ObjectType::Product => self.products,
            ObjectType::Price => self.prices,
            ObjectType::Customer => self.customers,
        }
    }
}

/// The keys of a connection in order of object type and path, `limit` of them after the one given.
///
/// # Errors
///
/// As [`merge`].
pub async fn list(
    conn: &mut PgConnection,
    organization: &str,
    connection: &str,
    object_type: Option<ObjectType>,
    after: Option<(ObjectType, &str)>,
    limit: i64,
) -> Result<Vec<DiscoveredKey>, Error> {
    let (after_type, after_path) = after.map_or((None, None), |(object_type, path)| {
        (Some(object_type.as_str()), Some(path))
    });
    let rows = sqlx::query_as!(
        StoredKey,
        r#"SELECT object_type, key_path, value_type, occurrences, sample_values, first_seen, last_seen
           FROM stripe_metadata_keys
           WHERE organization_id = $1 AND connection_id = $2
               AND ($3::TEXT IS NULL OR object_type = $3)
               AND ($4::TEXT IS NULL
                    OR (object_type COLLATE "C", key_path COLLATE "C") > ($4, $5::TEXT))
           ORDER BY object_type COLLATE "C", key_path COLLATE "C" LIMIT $6"#,
        organization,
        connection,
        object_type.map(ObjectType::as_str),
        after_type,
        after_path,
        limit,
    )
    .fetch_all(&mut *conn)
    .await?;
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let objects = count_objects(conn, organization, connection).await?;
    rows.into_iter()
        .map(|row| {
            let (object_type, key_path, entry) = row.parse()?;
            let total = objects.of(object_type).max(entry.occurrences).max(1);
            let coverage = entry.occurrences as f64 / total as f64;
            Ok(DiscoveredKey {
                object_type,
                key_path,
                entry,
                coverage,
            })
        })
        .collect()
}

async fn count_objects(
    conn: &mut PgConnection,
    organization: &str,
    connection: &str,
) -> Result<Objects, Error> {
    let objects = sqlx::query_as!(
        Objects,
        r#"WITH stored AS NOT MATERIALIZED (
               SELECT line_no, product_id, price_id, customer_id FROM stripe_revenue_data
               WHERE organization_id = $1 AND connection_id = $2
           )
           SELECT
               (SELECT COUNT(*) FROM stored WHERE line_no = 0) AS "charges!",
               (SELECT COUNT(*) FROM (SELECT product_id FROM stored WHERE product_id IS NOT NULL
                    GROUP BY product_id) AS products) AS "products!",
               (SELECT COUNT(*) FROM (SELECT price_id FROM stored WHERE price_id IS NOT NULL
                    GROUP BY price_id) AS prices) AS "prices!",
               (SELECT COUNT(*) FROM (SELECT customer_id FROM stored WHERE customer_id IS NOT NULL
                    GROUP BY customer_id) AS customers) AS "customers!""#,
        organization,
        connection,
    )
    .fetch_one(conn)
    .await?;
    Ok(objects)
}

/// Stores customers, products or prices as just read, each id at most once; the ids of those that are
/// new or changed.
pub async fn remember(
    conn: &mut PgConnection,
    organization: &str,
    connection: &str,
    object_type: ObjectType,
    objects: &[&CatalogObject],
) -> Result<BTreeSet<String>, Error> {
    let ids: Vec<String> = objects.iter().map(|o| o.object_id.clone()).collect();
    let metadata: Vec<Value> = objects
        .iter()
        .map(|o| Value::Object(o.metadata.clone()))
        .collect();
    let deleted: Vec<bool> = objects.iter().map(|o| o.deleted).collect();
    let created: Vec<Option<DateTime<Utc>>> = objects.iter().map(|o| o.created_at).collect();
    let written = sqlx::query_scalar!(
        r#"INSERT INTO stripe_catalog_objects AS stored
             (organization_id, connection_id, object_type, object_id, metadata, deleted, created_at)
         SELECT $1, $2, $3, object.id, object.metadata, object.deleted, object.created_at
         FROM UNNEST($4::TEXT[], $5::JSONB[], $6::BOOL[], $7::TIMESTAMPTZ[])
             AS object (id, metadata, deleted, created_at)
         ON CONFLICT (organization_id, connection_id, object_type, object_id) DO UPDATE
         SET metadata = EXCLUDED.metadata, deleted = EXCLUDED.deleted,
             created_at = COALESCE(EXCLUDED.created_at, stored.created_at)
         WHERE (stored.metadata, stored.deleted) IS DISTINCT FROM (EXCLUDED.metadata, EXCLUDED.deleted)
            OR stored.created_at IS NULL AND EXCLUDED.created_at IS NOT NULL
         RETURNING object_id"#,
        organization,
        connection,
        object_type.as_str(),
        &ids,
        &metadata,
        &deleted,
        &created as _,
    )
    .fetch_all(conn)
    .await?;
    Ok(written.into_iter().collect())
}

/// Takes the metadata from those products or prices of these spans that are not among the listed ones: Stripe
/// has deleted them. Those that were not known to be deleted.
pub async fn delete_unlisted(
    conn: &mut PgConnection,
    organization: &str,
    connection: &str,
    object_type: ObjectType,
    spans: &[Span],
    listed: &[String],
) -> Result<Vec<CatalogObject>, Error> {
    let (from, to) = Span::bounds(spans);
    let deleted = sqlx::query!(
        "UPDATE stripe_catalog_objects SET metadata = '{}', deleted = TRUE
         FROM UNNEST($4::TIMESTAMPTZ[], $5::TIMESTAMPTZ[]) AS span (from_at, to_at)
         WHERE organization_id = $1 AND connection_id = $2 AND object_type = $3 AND NOT deleted
           AND created_at >= span.from_at AND created_at < span.to_at
           AND NOT EXISTS (SELECT FROM UNNEST($6::TEXT[]) AS listed (id) WHERE listed.id = object_id)
         RETURNING object_id, created_at",
        organization,
        connection,
        object_type.as_str(),
        &from,
        &to,
        listed,
    )
    .fetch_all(conn)
    .await?;
    Ok(deleted
        .into_iter()
        .map(|row| CatalogObject {
            object_id: row.object_id,
            metadata: Map::new(),
            deleted: true,
            created_at: row.created_at,
        })
        .collect())
}

/// Forgets all objects of a type that the key may not read. The rows are left as they are: the full job that
/// calls this makes them anew.
pub async fn forget_type(
    conn: &mut PgConnection,
    organization: &str,
    connection: &str,
    object_type: ObjectType,
) -> Result<(), Error> {
    sqlx::query!(
        "DELETE FROM stripe_catalog_objects
         WHERE organization_id = $1 AND connection_id = $2 AND object_type = $3",
        organization,
        connection,
        object_type.as_str(),
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The present metadata of those of these objects that are known.
pub async fn metadata_of(
    conn: &mut PgConnection,
    organization: &str,
    connection: &str,
    object_type: ObjectType,
    ids: &[String],
) -> Result<Vec<(String, Map<String, Value>)>, Error> {
    let known = sqlx::query!(
        r#"SELECT object_id, metadata AS "metadata: sqlx::types::Json<Map<String, Value>>"
           FROM stripe_catalog_objects
           WHERE organization_id = $1 AND connection_id = $2 AND object_type = $3 AND object_id = ANY($4)"#,
        organization,
        connection,
        object_type.as_str(),
        ids,
    )
    .fetch_all(conn)
    .await?;
    Ok(known
        .into_iter()
        .map(|row| (row.object_id, row.metadata.0))
        .collect())
}
