//! The API key that a subscription brings.

use chrono::{DateTime, Utc};
use common::db::{Error, PgConnection};
use common::tenant::OrganizationId;
use uuid::Uuid;

/// Stores that an organization has a key; false if it had one before.
#[tracing::instrument(name = "db.billing.issue_key", level = "debug", skip_all)]
pub(in crate::billing) async fn issue_key(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    now: DateTime<Utc>,
) -> Result<bool, Error> {
    let inserted = sqlx::query!(
        "INSERT INTO billing_api_keys (organization_id, issued_at) VALUES ($1, $2)
         ON CONFLICT (organization_id) DO NOTHING",
        organization.as_str(),
        now,
    )
    .execute(conn)
    .await?;
    Ok(inserted.rows_affected() == 1)
}

/// Lets the key of an organization sleep, or work again.
#[tracing::instrument(name = "db.billing.suspend_key", level = "debug", skip_all)]
pub(in crate::billing) async fn suspend_key(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    suspended: bool,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    sqlx::query!(
        "UPDATE api_tokens SET suspended_at = CASE WHEN $2 THEN $3::TIMESTAMPTZ END
         WHERE organization_id = $1 AND (suspended_at IS NOT NULL) <> $2
           AND token_id = (SELECT token_id FROM billing_api_keys WHERE organization_id = $1)",
        organization.as_str(),
        suspended,
        now,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// When an organization's key was revealed; the inner `None` is a key that is not revealed yet.
#[tracing::instrument(name = "db.billing.key", level = "debug", skip_all)]
pub(in crate::billing) async fn key(
    conn: &mut PgConnection,
    organization: &OrganizationId,
) -> Result<Option<Option<DateTime<Utc>>>, Error> {
    Ok(sqlx::query_scalar!(
        "SELECT revealed_at FROM billing_api_keys WHERE organization_id = $1",
        organization.as_str(),
    )
    .fetch_optional(conn)
    .await?)
}

/// The token that an organization's key is, whose row nobody else changes until the transaction ends; the inner `None` is a key
/// that is not revealed yet.
#[tracing::instrument(name = "db.billing.lock_key", level = "debug", skip_all)]
pub(in crate::billing) async fn lock_key(
    conn: &mut PgConnection,
    organization: &OrganizationId,
) -> Result<Option<Option<Uuid>>, Error> {
    Ok(sqlx::query_scalar!(
        "SELECT token_id FROM billing_api_keys WHERE organization_id = $1 FOR UPDATE",
        organization.as_str(),
    )
    .fetch_optional(conn)
    .await?)
}

/// Notes the token that was revealed as the organization's key.
#[tracing::instrument(name = "db.billing.note_revealed", level = "debug", skip_all)]
pub(in crate::billing) async fn note_revealed(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    token_id: Uuid,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    sqlx::query!(
        "UPDATE billing_api_keys SET token_id = $2, revealed_at = $3 WHERE organization_id = $1",
        organization.as_str(),
        token_id,
        now,
    )
    .execute(conn)
    .await?;
    Ok(())
}
