//! Sealed credentials in PostgreSQL.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::Sealed;
use crate::db::Error;
use crate::tenant::OrganizationId;

/// Stores or replaces the credential of a connection.
pub async fn store(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    connection_id: &str,
    sealed: &Sealed,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    sqlx::query!(
        "INSERT INTO connection_credentials (organization_id, connection_id, key_id, sealed, updated_at)
         VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (organization_id, connection_id)
         DO UPDATE SET key_id = EXCLUDED.key_id, sealed = EXCLUDED.sealed, updated_at = EXCLUDED.updated_at",
        organization.as_str(),
        connection_id,
        sealed.key_id,
        sealed.envelope,
        now
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The envelope of a connection's credential.
pub async fn load(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    connection_id: &str,
) -> Result<Option<Vec<u8>>, Error> {
    Ok(sqlx::query_scalar!(
        "SELECT sealed FROM connection_credentials WHERE organization_id = $1 AND connection_id = $2",
        organization.as_str(),
        connection_id
    )
    .fetch_optional(conn)
    .await?)
}

/// Forgets the credential of a connection.
pub async fn delete(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    connection_id: &str,
) -> Result<(), Error> {
    sqlx::query!(
        "DELETE FROM connection_credentials WHERE organization_id = $1 AND connection_id = $2",
        organization.as_str(),
        connection_id
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Locks and returns up to `limit` credentials of a tenant that another key than `key_id` sealed:
/// `(connection id, envelope)`.
pub async fn sealed_otherwise(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    key_id: &str,
    limit: i64,
) -> Result<Vec<(String, Vec<u8>)>, Error> {
    Ok(sqlx::query!(
        "SELECT connection_id, sealed FROM connection_credentials
         WHERE organization_id = $1 AND key_id <> $2
         ORDER BY connection_id LIMIT $3 FOR UPDATE",
        organization.as_str(),
        key_id,
        limit
    )
    .fetch_all(conn)
    .await?
    .into_iter()
    .map(|row| (row.connection_id, row.sealed))
    .collect())
}
