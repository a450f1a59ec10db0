//! Requests that change something at the vendor, until what became of them is known.

use chrono::{DateTime, Utc};
use common::db::{Error, PgConnection};
use common::tenant::OrganizationId;
use uuid::Uuid;

/// The key of a request: `key`, unless the same was asked for since `known_since` and is not answered yet. The customer becomes due
/// to be read at `read_at`.
#[tracing::instrument(name = "db.billing.begin_request", level = "debug", skip_all)]
pub(in crate::billing) async fn begin_request(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    request: &str,
    key: Uuid,
    (now, known_since, read_at): (DateTime<Utc>, DateTime<Utc>, DateTime<Utc>),
) -> Result<Uuid, Error> {
    // The customer first, as whoever stores a reading locks it.
    sqlx::query!(
        "UPDATE billing_customers SET next_read_at = LEAST(next_read_at, $2)
         WHERE organization_id = $1 AND customer_id IS NOT NULL",
        organization.as_str(),
        read_at,
    )
    .execute(&mut *conn)
    .await?;
    sqlx::query!(
        "INSERT INTO billing_requests (organization_id, request, idempotency_key, sent_at) VALUES ($1, $2, $3, $4)
         ON CONFLICT (organization_id, request) DO UPDATE
         SET idempotency_key = EXCLUDED.idempotency_key, sent_at = EXCLUDED.sent_at
         WHERE billing_requests.sent_at < $5",
        organization.as_str(),
        request,
        key,
        now,
        known_since,
    )
    .execute(&mut *conn)
    .await?;
    Ok(sqlx::query_scalar!(
        "SELECT idempotency_key FROM billing_requests WHERE organization_id = $1 AND request = $2",
        organization.as_str(),
        request,
    )
    .fetch_one(conn)
    .await?)
}

/// Notes that a request is answered.
#[tracing::instrument(name = "db.billing.end_request", level = "debug", skip_all)]
pub(in crate::billing) async fn end_request(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    request: &str,
    key: Uuid,
) -> Result<(), Error> {
    sqlx::query!(
        "DELETE FROM billing_requests WHERE organization_id = $1 AND request = $2 AND idempotency_key = $3",
        organization.as_str(),
        request,
        key,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Notes that everything was read by requests that were sent after `began`: what became of earlier changes is known.
#[tracing::instrument(name = "db.billing.end_requests_before", level = "debug", skip_all)]
pub(in crate::billing) async fn end_requests_before(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    began: DateTime<Utc>,
) -> Result<(), Error> {
    sqlx::query!(
        "DELETE FROM billing_requests WHERE organization_id = $1 AND sent_at < $2",
        organization.as_str(),
        began,
    )
    .execute(conn)
    .await?;
    Ok(())
}
