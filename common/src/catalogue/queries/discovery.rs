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
/// As [`unknown_keys`].
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
