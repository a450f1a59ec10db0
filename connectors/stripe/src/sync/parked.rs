//! Objects that could not be read or stored, kept in PostgreSQL while the rest goes on.
//!
//! An object leaves when a later listing reads it, or no longer shows it. While any is parked, the connection's warnings
//! count it, and figures lack what it would have added.

use chrono::{DateTime, Utc};
use common::db::{self, Error};
use common::named;
use common::tenant::OrganizationId;
use sha2::{Digest as _, Sha256};
use sqlx::PgConnection;

named! {
    /// Why an object is parked: `unreadable` is of a shape or has a value that is not understood; `unstorable` was understood,
    /// and the database refused it.
    #[schema(as = ParkedCode)]
    Code {
        /// It has a shape or a value that is not understood.
        Unreadable = "unreadable",
        /// It was understood, and PostgreSQL refused to store it.
        Unstorable = "unstorable",
    }
}

/// An object that could not be read or stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParkedObject {
    /// The list that it is of, `charges` for one.
    pub resource: String,
    pub object_id: String,
    pub raw: String,
    pub code: Code,
    /// The same in words, which may quote a value of it.
    pub detail: String,
    /// When Stripe made it, where it says so.
    pub created_at: Option<DateTime<Utc>>,
}

/// A parked object with the time at which it was last found to be one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    pub object: ParkedObject,
    pub parked_at: DateTime<Utc>,
}

struct Row {
    resource: String,
    object_id: String,
    raw: String,
    code: String,
    detail: String,
    created_at: Option<DateTime<Utc>>,
    parked_at: DateTime<Utc>,
}

impl TryFrom<Row> for Found {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self, Error> {
        Ok(Self {
            object: ParkedObject {
                resource: row.resource,
                object_id: row.object_id,
                raw: row.raw,
                code: db::parse_stored("stripe_parked_objects.code", &row.code)?,
                detail: row.detail,
                created_at: row.created_at,
            },
            parked_at: row.parked_at,
        })
    }
}

/// The id under which an object is kept. What is too long for an index is cut, with a digest of the whole.
fn stored_id(id: &str) -> String {
    const MAX_ID_BYTES: usize = 255;
    if id.len() <= MAX_ID_BYTES {
        return id.to_owned();
    }
    let beginning: String = id.chars().take(32).collect();
    let digest = hex::encode(Sha256::digest(id.as_bytes()));
    format!("{beginning}…{digest}")
}

/// Parks objects, each at most once, replacing what was parked of them.
#[tracing::instrument(name = "db.sync.park", level = "debug", skip_all)]
pub async fn park(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    connection_id: &str,
    objects: &[&ParkedObject],
    now: DateTime<Utc>,
) -> Result<(), Error> {
    let lists: Vec<&str> = objects.iter().map(|o| o.resource.as_str()).collect();
    let ids: Vec<String> = objects.iter().map(|o| stored_id(&o.object_id)).collect();
    let raw: Vec<&str> = objects.iter().map(|o| o.raw.as_str()).collect();
    let codes: Vec<&str> = objects.iter().map(|o| o.code.as_str()).collect();
    let details: Vec<&str> = objects.iter().map(|o| o.detail.as_str()).collect();
    let created: Vec<Option<DateTime<Utc>>> = objects.iter().map(|o| o.created_at).collect();
    sqlx::query!(
        "INSERT INTO stripe_parked_objects
             (organization_id, connection_id, resource, object_id, raw, code, detail, created_at, parked_at)
         SELECT $1, $2, incoming.*, $9
         FROM UNNEST($3::TEXT[], $4::TEXT[], $5::TEXT[], $6::TEXT[], $7::TEXT[], $8::TIMESTAMPTZ[]) AS incoming
         ON CONFLICT (organization_id, connection_id, resource, object_id) DO UPDATE
         SET raw = EXCLUDED.raw, code = EXCLUDED.code, detail = EXCLUDED.detail, created_at = EXCLUDED.created_at,
             parked_at = EXCLUDED.parked_at",
        organization.as_str(),
        connection_id,
        &lists as &[&str],
        &ids,
        &raw as &[&str],
        &codes as &[&str],
        &details as &[&str],
        &created as _,
        now,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Releases objects that were read, or that Stripe no longer has.
#[tracing::instrument(name = "db.sync.release", level = "debug", skip_all)]
pub async fn release(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    connection_id: &str,
    list: &str,
    object_ids: &[&str],
) -> Result<(), Error> {
    let ids: Vec<String> = object_ids.iter().map(|id| stored_id(id)).collect();
    sqlx::query!(
        "DELETE FROM stripe_parked_objects
         WHERE organization_id = $1 AND connection_id = $2 AND resource = $3 AND object_id = ANY($4)",
        organization.as_str(),
        connection_id,
        list,
        &ids,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Releases what was not parked since `since`: everything was listed again from then on, and did not show it.
#[tracing::instrument(name = "db.sync.release_older", level = "debug", skip_all)]
pub async fn release_older(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    connection_id: &str,
    since: DateTime<Utc>,
) -> Result<(), Error> {
    sqlx::query!(
        "DELETE FROM stripe_parked_objects
         WHERE organization_id = $1 AND connection_id = $2 AND parked_at < $3",
        organization.as_str(),
        connection_id,
        since,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// How many objects of each list are parked, by the list's name.
#[tracing::instrument(name = "db.sync.count", level = "debug", skip_all)]
pub async fn count(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    connection_id: &str,
) -> Result<Vec<(String, i64)>, Error> {
    let counts = sqlx::query!(
        r#"SELECT resource, COUNT(*) AS "count!" FROM stripe_parked_objects
           WHERE organization_id = $1 AND connection_id = $2 GROUP BY resource ORDER BY resource"#,
        organization.as_str(),
        connection_id,
    )
    .fetch_all(conn)
    .await?;
    Ok(counts
        .into_iter()
        .map(|row| (row.resource, row.count))
        .collect())
}

/// An instant, and how many objects were made then.
type CountOfInstant = (Option<DateTime<Utc>>, i64);

/// When the parked objects of these lists were made, with how many were made then; none where Stripe does not say so.
#[tracing::instrument(name = "db.sync.count_by_creation", level = "debug", skip_all)]
pub async fn count_by_creation(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    connection_id: &str,
    lists: &[&str],
) -> Result<Vec<CountOfInstant>, Error> {
    let counts = sqlx::query!(
        r#"SELECT created_at, COUNT(*) AS "count!" FROM stripe_parked_objects
           WHERE organization_id = $1 AND connection_id = $2 AND resource = ANY($3) GROUP BY created_at"#,
        organization.as_str(),
        connection_id,
        lists as &[&str],
    )
    .fetch_all(conn)
    .await?;
    let counts = counts.into_iter().map(|row| (row.created_at, row.count));
    Ok(counts.collect())
}

/// How many objects are parked because PostgreSQL refused them, without those of `except`.
#[tracing::instrument(name = "db.sync.count_unstorable", level = "debug", skip_all)]
pub async fn count_unstorable(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    connection_id: &str,
    except: &[String],
) -> Result<usize, Error> {
    let except: Vec<String> = except.iter().map(|id| stored_id(id)).collect();
    let count = sqlx::query_scalar!(
        r#"SELECT COUNT(*) AS "count!" FROM stripe_parked_objects
           WHERE organization_id = $1 AND connection_id = $2 AND code = $3 AND object_id <> ALL($4)"#,
        organization.as_str(),
        connection_id,
        Code::Unstorable.as_str(),
        &except,
    )
    .fetch_one(conn)
    .await?;
    Ok(usize::try_from(count).unwrap_or_default())
}

/// How many objects and rows of a connection are stored.
#[tracing::instrument(name = "db.sync.count_stored", level = "debug", skip_all)]
pub async fn count_stored(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    connection_id: &str,
) -> Result<usize, Error> {
    let count = sqlx::query_scalar!(
        r#"SELECT COUNT(*) AS "count!" FROM (
               SELECT 1 FROM stripe_revenue_data WHERE organization_id = $1 AND connection_id = $2
               UNION ALL
               SELECT 1 FROM stripe_referenced_objects WHERE organization_id = $1 AND connection_id = $2
               UNION ALL
               SELECT 1 FROM stripe_purchases WHERE organization_id = $1 AND connection_id = $2
               UNION ALL
               SELECT 1 FROM stripe_disputes WHERE organization_id = $1 AND connection_id = $2
           ) AS stored"#,
        organization.as_str(),
        connection_id,
    )
    .fetch_one(conn)
    .await?;
    Ok(usize::try_from(count).unwrap_or_default())
}

/// The parked object of this id, if it is one.
#[tracing::instrument(name = "db.sync.find", level = "debug", skip_all)]
pub async fn find(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    connection_id: &str,
    list: &str,
    object_id: &str,
) -> Result<Option<Found>, Error> {
    let row = sqlx::query_as!(
        Row,
        "SELECT resource, object_id, raw, code, detail, created_at, parked_at FROM stripe_parked_objects
         WHERE organization_id = $1 AND connection_id = $2 AND resource = $3 AND object_id = $4",
        organization.as_str(),
        connection_id,
        list,
        stored_id(object_id),
    )
    .fetch_optional(conn)
    .await?;
    row.map(Found::try_from).transpose()
}

/// What is parked, of one list or of all, by list and id: `limit` objects after the one given.
#[tracing::instrument(name = "db.sync.list", level = "debug", skip_all)]
pub async fn list(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    connection_id: &str,
    list: Option<&str>,
    after: Option<(&str, &str)>,
    limit: i64,
) -> Result<Vec<Found>, Error> {
    let (after_list, after_id) = after.unzip();
    let rows = sqlx::query_as!(
        Row,
        r#"SELECT resource, object_id, raw, code, detail, created_at, parked_at FROM stripe_parked_objects
           WHERE organization_id = $1 AND connection_id = $2
               AND ($3::TEXT IS NULL OR resource = $3)
               AND ($4::TEXT IS NULL OR (resource COLLATE "C", object_id) > ($4, $5::TEXT))
           ORDER BY resource COLLATE "C", object_id LIMIT $6"#,
        organization.as_str(),
        connection_id,
        list,
        after_list,
        after_id,
        limit,
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(Found::try_from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_any_length_are_kept_apart() {
        assert_eq!(stored_id("ch_1"), "ch_1");
        let long = |end: &str| stored_id(&format!("{}{end}", "é".repeat(5_000)));
        assert_ne!(long("a"), long("b"));
        assert!(long("a").len() <= 255 && long("a").starts_with("éé"));
    }
}
