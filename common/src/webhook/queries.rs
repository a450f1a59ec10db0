//! Endpoints and events in PostgreSQL: those of one organization here, those of all in `every_organization`, and the
//! endpoints of the platform in `platform`.

pub mod every_organization;
pub mod platform;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{Envelope, EventStatus};
use crate::db::{self, Error};
use crate::id::OrganizationId;

/// An endpoint as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredEndpoint {
    pub endpoint_id: String,
    pub connection_id: String,
    pub created_at: DateTime<Utc>,
    pub last_event_at: Option<DateTime<Utc>>,
    /// When a request with a wrong signature last came.
    pub last_signature_failure_at: Option<DateTime<Utc>>,
}

/// The endpoint of a connection.
#[tracing::instrument(name = "db.webhook.endpoint_of", level = "debug", skip_all)]
pub async fn endpoint_of(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    connection_id: &str,
) -> Result<Option<StoredEndpoint>, Error> {
    Ok(sqlx::query_as!(
        StoredEndpoint,
        r#"SELECT endpoint_id, connection_id, created_at, last_signature_failure_at,
                  (SELECT MAX(received_at) FROM webhook_events AS event
                   WHERE event.organization_id = endpoint.organization_id
                     AND event.endpoint_id = endpoint.endpoint_id) AS last_event_at
           FROM webhook_endpoints AS endpoint WHERE organization_id = $1 AND connection_id = $2"#,
        organization.as_str(),
        connection_id
    )
    .fetch_optional(conn)
    .await?)
}

/// Makes an endpoint.
#[tracing::instrument(name = "db.webhook.insert_endpoint", level = "debug", skip_all)]
pub(super) async fn insert_endpoint(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    endpoint_id: &str,
    connection_id: &str,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    sqlx::query!(
        "INSERT INTO webhook_endpoints (organization_id, endpoint_id, connection_id, created_at)
         VALUES ($1, $2, $3, $4)",
        organization.as_str(),
        endpoint_id,
        connection_id,
        now
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Removes the endpoint of a connection; its events stay. The id that it had.
#[tracing::instrument(name = "db.webhook.delete_endpoint", level = "debug", skip_all)]
pub(super) async fn delete_endpoint(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    connection_id: &str,
) -> Result<Option<String>, Error> {
    Ok(sqlx::query_scalar!(
        "DELETE FROM webhook_endpoints WHERE organization_id = $1 AND connection_id = $2 RETURNING endpoint_id",
        organization.as_str(),
        connection_id
    )
    .fetch_optional(conn)
    .await?)
}

/// Where the events of an endpoint belong, and what verifies them.
#[derive(Debug, Clone)]
pub struct Receiver {
    pub organization_id: OrganizationId,
    pub connection_id: String,
    pub connector: String,
    pub external_account_id: String,
    pub livemode: bool,
    /// The sealed signing secrets that serve now.
    pub sealed_secrets: Vec<Vec<u8>>,
}

/// The endpoint of this id, of whatever tenant; needs the role that receives webhooks.
#[tracing::instrument(name = "db.webhook.receiver", level = "debug", skip_all)]
pub async fn receiver(
    conn: &mut PgConnection,
    endpoint_id: &str,
    now: DateTime<Utc>,
) -> Result<Option<Receiver>, Error> {
    let found = sqlx::query!(
        r#"SELECT endpoint.organization_id, endpoint.connection_id, connector, external_account_id, livemode,
                  ARRAY(SELECT sealed FROM connection_credentials AS secret
                        WHERE secret.organization_id = endpoint.organization_id
                          AND secret.connection_id = endpoint.connection_id
                          AND purpose <> 'api_key' AND (expires_at IS NULL OR expires_at > $2)
                        ORDER BY purpose DESC) AS "sealed_secrets!"
           FROM webhook_endpoints AS endpoint
           JOIN platform_connections AS connection USING (organization_id, connection_id)
           WHERE endpoint_id = $1 AND deleting_at IS NULL"#,
        endpoint_id,
        now
    )
    .fetch_optional(conn)
    .await?;
    let Some(row) = found else { return Ok(None) };
    Ok(Some(Receiver {
        organization_id: db::organization_id(row.organization_id)?,
        connection_id: row.connection_id,
        connector: row.connector,
        external_account_id: row.external_account_id,
        livemode: row.livemode,
        sealed_secrets: row.sealed_secrets,
    }))
}

/// Notes that a request with a wrong signature came; needs the role that receives webhooks.
#[tracing::instrument(name = "db.webhook.note_signature_failure", level = "debug", skip_all)]
pub async fn note_signature_failure(
    conn: &mut PgConnection,
    endpoint_id: &str,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    sqlx::query!(
        "UPDATE webhook_endpoints SET last_signature_failure_at = $2 WHERE endpoint_id = $1",
        endpoint_id,
        now
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// An event to be stored.
#[derive(Debug, Clone)]
pub struct NewEvent {
    pub event_id: Uuid,
    pub organization_id: OrganizationId,
    pub endpoint_id: String,
    /// None for an event of the platform's endpoints.
    pub connection_id: Option<String>,
    /// The connector whose kind of job applies the event. Not stored.
    pub connector: String,
    pub envelope: Envelope,
    pub received_at: DateTime<Utc>,
    /// The body, byte for byte.
    pub payload: Vec<u8>,
    pub status: EventStatus,
}

/// Stores the events that are not stored yet, of whatever tenants; their ids. Needs the role that receives webhooks.
#[tracing::instrument(name = "db.webhook.store", level = "debug", skip_all)]
pub async fn store(conn: &mut PgConnection, events: &[&NewEvent]) -> Result<Vec<Uuid>, Error> {
    fn column<'a, T>(events: &[&'a NewEvent], of: impl Fn(&'a NewEvent) -> T) -> Vec<T> {
        events.iter().map(|event| of(event)).collect()
    }
    Ok(sqlx::query_file_scalar!(
        "src/webhook/store_events.sql",
        &column(events, |event| event.organization_id.as_str()) as &[&str],
        &column(events, |event| event.event_id),
        &column(events, |event| event.endpoint_id.as_str()) as &[&str],
        &column(events, |event| event.connection_id.as_deref()) as &[Option<&str>],
        &column(events, |event| event.envelope.external_event_id.as_str()) as &[&str],
        &column(events, |event| event.envelope.event_type.as_str()) as &[&str],
        &column(events, |event| event.envelope.account.as_deref()) as &[Option<&str>],
        &column(events, |event| event.envelope.livemode) as &[Option<bool>],
        &column(events, |event| event.envelope.api_version.as_deref()) as &[Option<&str>],
        &column(events, |event| event.envelope.object_id.as_deref()) as &[Option<&str>],
        &column(events, |event| event.envelope.created_at) as &[Option<DateTime<Utc>>],
        &column(events, |event| event.received_at),
        &column(events, |event| event.payload.as_slice()) as &[&[u8]],
        &column(events, |event| event.status.as_str()) as &[&str],
    )
    .fetch_all(conn)
    .await?)
}

/// An event that is to be applied.
#[derive(Debug, Clone)]
pub struct PendingEvent {
    pub event_id: Uuid,
    pub received_at: DateTime<Utc>,
    pub external_event_id: String,
    pub payload: Vec<u8>,
}

/// The events of a connection that are to be applied, in the order of their arrival; those after the given one.
#[tracing::instrument(name = "db.webhook.pending", level = "debug", skip_all)]
pub async fn pending(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    connection_id: &str,
    after: Option<(DateTime<Utc>, Uuid)>,
    limit: i64,
) -> Result<Vec<PendingEvent>, Error> {
    let (after_time, after_id) = after.unzip();
    Ok(sqlx::query_as!(
        PendingEvent,
        "SELECT event_id, received_at, external_event_id, payload FROM webhook_events
         WHERE organization_id = $1 AND connection_id = $2 AND status = 'pending'
           AND ($3::TIMESTAMPTZ IS NULL OR (received_at, event_id) > ($3, $4))
         ORDER BY received_at, event_id LIMIT $5",
        organization.as_str(),
        connection_id,
        after_time,
        after_id,
        limit
    )
    .fetch_all(conn)
    .await?)
}

/// Notes that events were applied.
#[tracing::instrument(name = "db.webhook.mark_processed", level = "debug", skip_all)]
pub async fn mark_processed(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    event_ids: &[Uuid],
    now: DateTime<Utc>,
) -> Result<(), Error> {
    sqlx::query!(
        "UPDATE webhook_events
         SET status = 'processed', attempts = attempts + 1, processed_at = $3, error_code = NULL, error_message = NULL
         WHERE organization_id = $1 AND event_id = ANY($2) AND status = 'pending'",
        organization.as_str(),
        event_ids,
        now
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Gives up the pending events of a connection that were received up to `tried_until`: later ones were not tried yet.
#[tracing::instrument(name = "db.webhook.mark_dead", level = "debug", skip_all)]
pub async fn mark_dead(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    connection_id: &str,
    tried_until: DateTime<Utc>,
    attempts: i32,
    code: &str,
    message: &str,
) -> Result<(), Error> {
    sqlx::query!(
        "UPDATE webhook_events
         SET status = 'dead', attempts = attempts + $4, error_code = $5, error_message = $6
         WHERE organization_id = $1 AND connection_id = $2 AND status = 'pending' AND received_at <= $3",
        organization.as_str(),
        connection_id,
        tried_until,
        attempts,
        code,
        message
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Those of these events of a connection that were applied when they came.
#[tracing::instrument(name = "db.webhook.processed_among", level = "debug", skip_all)]
pub async fn processed_among(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    connection_id: &str,
    external_event_ids: &[String],
) -> Result<Vec<String>, Error> {
    Ok(sqlx::query_scalar!(
        "SELECT external_event_id FROM webhook_events
         WHERE organization_id = $1 AND external_event_id = ANY($3) AND status = 'processed'
           AND endpoint_id = (SELECT endpoint_id FROM webhook_endpoints
                              WHERE organization_id = $1 AND connection_id = $2)",
        organization.as_str(),
        connection_id,
        external_event_ids
    )
    .fetch_all(conn)
    .await?)
}

/// Deletes up to `limit` events of any tenant that came before `before` and need nothing more; how many. Needs the
/// scheduler's role.
#[tracing::instrument(name = "db.webhook.delete_done", level = "debug", skip_all)]
pub async fn delete_done(
    conn: &mut PgConnection,
    before: DateTime<Utc>,
    limit: i64,
) -> Result<u64, Error> {
    let deleted = sqlx::query!(
        "DELETE FROM webhook_events
         WHERE (organization_id, event_id) IN (
             SELECT organization_id, event_id FROM webhook_events
             WHERE received_at < $1 AND status IN ('processed', 'ignored') LIMIT $2 FOR UPDATE SKIP LOCKED)",
        before,
        limit
    )
    .execute(conn)
    .await?;
    Ok(deleted.rows_affected())
}

/// Which events are meant; each part that is not given is any.
#[derive(Debug, Clone, Default)]
pub struct EventFilter {
    pub event_id: Option<Uuid>,
    pub status: Option<EventStatus>,
    pub event_type: Option<String>,
    pub connection_id: Option<String>,
    pub account: Option<String>,
    /// Received at or after it.
    pub received_from: Option<DateTime<Utc>>,
    /// Received before it.
    pub received_to: Option<DateTime<Utc>>,
}

/// An event as it is stored, without its payload.
#[derive(Debug, Clone)]
pub struct StoredEvent {
    pub organization_id: String,
    pub event_id: Uuid,
    pub external_event_id: String,
    pub endpoint_id: String,
    /// None for an event of the platform's endpoints.
    pub connection_id: Option<String>,
    pub event_type: String,
    pub account: Option<String>,
    pub livemode: Option<bool>,
    pub api_version: Option<String>,
    pub object_id: Option<String>,
    /// When it happened, by the vendor's clock.
    pub created_at: Option<DateTime<Utc>>,
    pub received_at: DateTime<Utc>,
    pub status: String,
    pub processed_at: Option<DateTime<Utc>>,
    pub attempts: i32,
    pub error_code: Option<String>,
    pub error_message: Option<String>,
}

/// Events of a tenant, the newest first; those after the given one.
#[tracing::instrument(name = "db.webhook.list", level = "debug", skip_all)]
pub async fn list(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    filter: &EventFilter,
    after: Option<(DateTime<Utc>, Uuid)>,
    limit: i64,
) -> Result<Vec<StoredEvent>, Error> {
    let (after_time, after_id) = after.unzip();
    Ok(sqlx::query_as!(
        StoredEvent,
        "SELECT organization_id, event_id, external_event_id, endpoint_id, connection_id, event_type, account, livemode,
                api_version, object_id, created_at, received_at, status, processed_at, attempts, error_code, error_message
         FROM webhook_events
         WHERE organization_id = $1
           AND ($2::TEXT IS NULL OR status = $2) AND ($3::TEXT IS NULL OR event_type = $3)
           AND ($4::TEXT IS NULL OR connection_id = $4) AND ($5::TEXT IS NULL OR account = $5)
           AND ($6::TIMESTAMPTZ IS NULL OR received_at >= $6) AND ($7::TIMESTAMPTZ IS NULL OR received_at < $7)
           AND ($8::UUID IS NULL OR event_id = $8)
           AND ($9::TIMESTAMPTZ IS NULL OR (received_at, event_id) < ($9, $10))
         ORDER BY received_at DESC, event_id DESC LIMIT $11",
        organization.as_str(),
        filter.status.map(EventStatus::as_str),
        filter.event_type,
        filter.connection_id,
        filter.account,
        filter.received_from,
        filter.received_to,
        filter.event_id,
        after_time,
        after_id,
        limit
    )
    .fetch_all(conn)
    .await?)
}

/// The body of an event, exactly as received.
#[tracing::instrument(name = "db.webhook.payload", level = "debug", skip_all)]
pub async fn payload(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    event_id: Uuid,
) -> Result<Option<Vec<u8>>, Error> {
    Ok(sqlx::query_scalar!(
        "SELECT payload FROM webhook_events WHERE organization_id = $1 AND event_id = $2",
        organization.as_str(),
        event_id
    )
    .fetch_optional(conn)
    .await?)
}

/// How many events a replay would make pending: those that are pending already are none of them, nor are those of the
/// platform's endpoints, which nothing applies yet.
#[tracing::instrument(name = "db.webhook.count_replayable", level = "debug", skip_all)]
pub(super) async fn count_replayable(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    filter: &EventFilter,
) -> Result<i64, Error> {
    Ok(sqlx::query_scalar!(
        r#"SELECT COUNT(*) AS "count!" FROM webhook_events
           WHERE organization_id = $1 AND status <> 'pending' AND connection_id IS NOT NULL
             AND ($2::TEXT IS NULL OR status = $2) AND ($3::TEXT IS NULL OR event_type = $3)
             AND ($4::TEXT IS NULL OR connection_id = $4) AND ($5::TEXT IS NULL OR account = $5)
             AND ($6::TIMESTAMPTZ IS NULL OR received_at >= $6) AND ($7::TIMESTAMPTZ IS NULL OR received_at < $7)
             AND ($8::UUID IS NULL OR event_id = $8)"#,
        organization.as_str(),
        filter.status.map(EventStatus::as_str),
        filter.event_type,
        filter.connection_id,
        filter.account,
        filter.received_from,
        filter.received_to,
        filter.event_id
    )
    .fetch_one(conn)
    .await?)
}

/// Makes events pending again, those that [`count_replayable`] counts; the connection of each.
#[tracing::instrument(name = "db.webhook.make_pending", level = "debug", skip_all)]
pub(super) async fn make_pending(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    filter: &EventFilter,
) -> Result<Vec<String>, Error> {
    Ok(sqlx::query_scalar!(
        r#"UPDATE webhook_events
         SET status = 'pending', processed_at = NULL, error_code = NULL, error_message = NULL
         WHERE organization_id = $1 AND status <> 'pending' AND connection_id IS NOT NULL
           AND ($2::TEXT IS NULL OR status = $2) AND ($3::TEXT IS NULL OR event_type = $3)
           AND ($4::TEXT IS NULL OR connection_id = $4) AND ($5::TEXT IS NULL OR account = $5)
           AND ($6::TIMESTAMPTZ IS NULL OR received_at >= $6) AND ($7::TIMESTAMPTZ IS NULL OR received_at < $7)
           AND ($8::UUID IS NULL OR event_id = $8)
         RETURNING connection_id AS "connection_id!""#,
        organization.as_str(),
        filter.status.map(EventStatus::as_str),
        filter.event_type,
        filter.connection_id,
        filter.account,
        filter.received_from,
        filter.received_to,
        filter.event_id
    )
    .fetch_all(conn)
    .await?)
}
