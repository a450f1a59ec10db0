//! Objects that could not be read, kept in PostgreSQL as Stripe sent them while the rest goes on.
//!
//! An object leaves when a later listing reads it, or no longer shows it. While any is parked, the
//! connection's warnings count it.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use crate::db::Error;
use crate::tenant::OrganizationId;

/// An object of a shape never seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParkedObject {
    /// The list that it is of.
    pub list: String,
    /// Stripe's id of it.
    pub object_id: String,
    /// As Stripe sent it.
    pub raw: String,
    /// What was not understood.
    pub error: String,
}

/// Parks objects, each at most once, replacing what was parked of them.
pub async fn park(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    connection_id: &str,
    objects: &[&ParkedObject],
    now: DateTime<Utc>,
) -> Result<(), Error> {
    let lists: Vec<&str> = objects.iter().map(|o| o.list.as_str()).collect();
    let ids: Vec<&str> = objects.iter().map(|o| o.object_id.as_str()).collect();
    let raw: Vec<&str> = objects.iter().map(|o| o.raw.as_str()).collect();
    let errors: Vec<&str> = objects.iter().map(|o| o.error.as_str()).collect();
    sqlx::query!(
        "INSERT INTO stripe_parked_objects
             (organization_id, connection_id, list, object_id, raw, error, parked_at)
         SELECT $1, $2, incoming.*, $7 FROM UNNEST($3::TEXT[], $4::TEXT[], $5::TEXT[], $6::TEXT[]) AS incoming
         ON CONFLICT (organization_id, connection_id, list, object_id) DO UPDATE
         SET raw = EXCLUDED.raw, error = EXCLUDED.error",
        organization.as_str(),
        connection_id,
        &lists as &[&str],
        &ids as &[&str],
        &raw as &[&str],
        &errors as &[&str],
        now,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Lets go of objects that were read, or that Stripe no longer has.
pub async fn release(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    connection_id: &str,
    list: &str,
    object_ids: &[&str],
) -> Result<(), Error> {
    sqlx::query!(
        "DELETE FROM stripe_parked_objects
         WHERE organization_id = $1 AND connection_id = $2 AND list = $3 AND object_id = ANY($4)",
        organization.as_str(),
        connection_id,
        list,
        object_ids as &[&str],
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Lets go of everything, since all of it is read again.
pub async fn release_all(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    connection_id: &str,
) -> Result<(), Error> {
    sqlx::query!(
        "DELETE FROM stripe_parked_objects WHERE organization_id = $1 AND connection_id = $2",
        organization.as_str(),
        connection_id,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// How many objects of each list are parked, by the list's name.
pub async fn count(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    connection_id: &str,
) -> Result<Vec<(String, i64)>, Error> {
    let counts = sqlx::query!(
        r#"SELECT list, COUNT(*) AS "count!" FROM stripe_parked_objects
           WHERE organization_id = $1 AND connection_id = $2 GROUP BY list ORDER BY list"#,
        organization.as_str(),
        connection_id,
    )
    .fetch_all(conn)
    .await?;
    Ok(counts
        .into_iter()
        .map(|row| (row.list, row.count))
        .collect())
}
