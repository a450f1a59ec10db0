//! The catalogue as people are shown it, and the keys that they name and nobody has.

use sqlx::PgConnection;

use super::super::unknown::{self, NamedKey};
use super::super::{Entry, ObjectType};
use super::StoredKey;
use crate::db::Error;

/// What is odd about these keys: for each that no stored object has, its index and a sentence.
///
/// # Errors
///
/// When the database does not answer, or a stored key is not one that this program writes.
#[tracing::instrument(name = "db.catalogue.unknown_keys", level = "debug", skip_all)]
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
    let paths: Vec<String> = named.iter().map(NamedKey::catalogue_path).collect();
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

/// A key as people are shown it.
#[derive(Debug, Clone, PartialEq)]
pub struct CatalogueKey {
    /// Whose metadata.
    pub object_type: ObjectType,
    /// Its path: dotted, `[]` for the elements of an array.
    pub key_path: String,
    /// What is known of it.
    pub entry: Entry,
}

/// The keys of a connection in order of object type and path, `limit` of them after the one given.
///
/// # Errors
///
/// As [`unknown_keys`].
#[tracing::instrument(name = "db.catalogue.list", level = "debug", skip_all)]
pub async fn list(
    conn: &mut PgConnection,
    organization: &str,
    connection: &str,
    object_type: Option<ObjectType>,
    after: Option<(ObjectType, &str)>,
    limit: i64,
) -> Result<Vec<CatalogueKey>, Error> {
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
    .fetch_all(conn)
    .await?;
    rows.into_iter()
        .map(|row| {
            let (object_type, key_path, entry) = row.parse()?;
            Ok(CatalogueKey {
                object_type,
                key_path,
                entry,
            })
        })
        .collect()
}
