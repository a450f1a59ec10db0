//! Endpoints and events in PostgreSQL: storing, finding and replaying those of one organization. Applying them is in
//! [`attempts`], forwarding them in [`forward`], what is measured of them in [`statistics`]; those of all organizations are in
//! [`operator`], the endpoints of the platform in [`platform`] and their events in [`platform_events`]. Events of our own are in
//! [`own`].

pub mod attempts;
pub mod forward;
pub mod operator;
pub mod own;
pub mod platform;
pub mod platform_events;
pub mod statistics;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;

use super::forward::ForwardTypes;
use super::{Attempt, ChangedObject, Envelope, EventState, EventStatus};
use crate::db::{self, Error};
use crate::id::OrganizationId;

/// An endpoint as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredEndpoint {
    pub endpoint_id: String,
    pub connection_id: String,
    pub created_at: DateTime<Utc>,
    pub last_event_at: Option<DateTime<Utc>>,
    /// When a job last listed an event that was never delivered.
    pub last_missed_at: Option<DateTime<Utc>>,
    /// When a request with a wrong signature last came.
    pub last_signature_failure_at: Option<DateTime<Utc>>,
    /// Whether a signing secret is stored.
    pub has_secret: bool,
}

/// The endpoint of a connection.
pub async fn endpoint_of(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    connection_id: &str,
) -> Result<Option<StoredEndpoint>, Error> {
    let mut found = endpoints(conn, organization, Some(connection_id)).await?;
    Ok(found.pop())
}

/// The endpoints of an organization, or that of one connection.
#[tracing::instrument(name = "db.webhook.endpoints", level = "debug", skip_all)]
pub(super) async fn endpoints(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    connection_id: Option<&str>,
) -> Result<Vec<StoredEndpoint>, Error> {
    Ok(sqlx::query_as!(
        StoredEndpoint,
        r#"SELECT endpoint_id, connection_id, created_at, last_signature_failure_at,
                  (SELECT MAX(received_at) FROM webhook_events AS event
                   WHERE event.organization_id = endpoint.organization_id
                     AND event.endpoint_id = endpoint.endpoint_id AND NOT found_by_polling) AS last_event_at,
                  (SELECT MAX(received_at) FROM webhook_events AS event
                   WHERE event.organization_id = endpoint.organization_id
                     AND event.endpoint_id = endpoint.endpoint_id AND found_by_polling) AS last_missed_at,
                  EXISTS (SELECT FROM connection_credentials AS secret
                          WHERE secret.organization_id = endpoint.organization_id
                            AND secret.connection_id = endpoint.connection_id
                            AND secret.purpose = 'webhook_secret') AS "has_secret!"
           FROM webhook_endpoints AS endpoint
           WHERE organization_id = $1 AND ($2::TEXT IS NULL OR connection_id = $2)"#,
        organization.as_str(),
        connection_id
    )
    .fetch_all(conn)
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
    /// Whether a job listed it, rather than the vendor having delivered it.
    pub found_by_polling: bool,
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
        &column(events, |event| event.found_by_polling),
    )
    .fetch_all(conn)
    .await?)
}

/// An event that was delivered after a job had listed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivered {
    pub organization_id: String,
    pub event_id: Uuid,
    pub event_type: String,
}

/// Notes that events were delivered after all, if a job listed them before; those of which it was noted. Rows that another
/// transaction holds are left as they are: nobody's event waits for them, and its next delivery notes it.
#[tracing::instrument(name = "db.webhook.mark_delivered", level = "debug", skip_all)]
pub async fn mark_delivered(
    conn: &mut PgConnection,
    events: &[&NewEvent],
) -> Result<Vec<Delivered>, Error> {
    let organizations: Vec<&str> = events
        .iter()
        .map(|event| event.organization_id.as_str())
        .collect();
    let endpoints: Vec<&str> = events
        .iter()
        .map(|event| event.endpoint_id.as_str())
        .collect();
    let ids = events
        .iter()
        .map(|event| event.envelope.external_event_id.as_str());
    Ok(sqlx::query_as!(
        Delivered,
        "UPDATE webhook_events SET found_by_polling = false
         WHERE (organization_id, event_id) IN (
             SELECT organization_id, event_id FROM webhook_events
             WHERE found_by_polling AND (organization_id, endpoint_id, external_event_id) IN (
                 SELECT * FROM UNNEST($1::TEXT[], $2::TEXT[], $3::TEXT[]))
             FOR UPDATE SKIP LOCKED)
         RETURNING organization_id, event_id, event_type",
        &organizations as &[&str],
        &endpoints as &[&str],
        &ids.collect::<Vec<_>>() as &[&str]
    )
    .fetch_all(conn)
    .await?)
}

/// Deletes pending events of any tenant that came before `before` and whose connection was deleted meanwhile; how many.
/// Needs the scheduler's role.
#[tracing::instrument(name = "db.webhook.delete_orphaned", level = "debug", skip_all)]
pub async fn delete_orphaned(conn: &mut PgConnection, before: DateTime<Utc>) -> Result<u64, Error> {
    let deleted = sqlx::query!(
        "DELETE FROM webhook_events AS event
         WHERE status = 'pending' AND received_at < $1 AND connection_id IS NOT NULL
           AND NOT EXISTS (SELECT FROM platform_connections AS connection
                           WHERE connection.organization_id = event.organization_id
                             AND connection.connection_id = event.connection_id)",
        before
    )
    .execute(conn)
    .await?;
    Ok(deleted.rows_affected())
}

/// Deletes up to `limit` events of any tenant that came before `before` and need nothing more, with their deliveries; how
/// many. Needs the scheduler's role.
#[tracing::instrument(name = "db.webhook.delete_done", level = "debug", skip_all)]
pub async fn delete_done(
    conn: &mut PgConnection,
    before: DateTime<Utc>,
    limit: i64,
) -> Result<u64, Error> {
    let deleted = sqlx::query!(
        "DELETE FROM webhook_events
         WHERE (organization_id, event_id) IN (
             SELECT organization_id, event_id FROM webhook_events AS event
             WHERE received_at < $1 AND status IN ('processed', 'ignored')
               AND NOT EXISTS (SELECT FROM webhook_forwards AS forward
                               WHERE forward.organization_id = event.organization_id
                                 AND forward.event_id = event.event_id AND forward.status = 'pending')
             LIMIT $2 FOR UPDATE SKIP LOCKED)",
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
    pub state: Option<EventState>,
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
    pub state: String,
    pub next_attempt_at: Option<DateTime<Utc>>,
    pub processed_at: Option<DateTime<Utc>>,
    /// Since it was stored or last replayed.
    pub attempts: i32,
    pub error_code: Option<String>,
    pub error_message: Option<String>,
    /// Every attempt, the oldest first.
    pub history: Json<Vec<Attempt>>,
    /// What was read again because of it.
    pub changes: Json<Vec<ChangedObject>>,
    /// Whether a job listed it and it was never delivered.
    pub found_by_polling: bool,
    /// The vendor's id of the event that tells the same.
    pub twin_of: Option<String>,
}

/// Events of an organization, or of all for an operator, the newest first; those after the given one.
#[tracing::instrument(name = "db.webhook.list", level = "debug", skip_all)]
pub async fn list(
    conn: &mut PgConnection,
    organization: Option<&str>,
    filter: &EventFilter,
    after: Option<(DateTime<Utc>, Uuid)>,
    limit: i64,
) -> Result<Vec<StoredEvent>, Error> {
    let (after_time, after_id) = after.unzip();
    Ok(sqlx::query_as!(
        StoredEvent,
        r#"SELECT organization_id AS "organization_id!", event_id AS "event_id!", external_event_id AS "external_event_id!",
                endpoint_id AS "endpoint_id!", connection_id, event_type AS "event_type!", account, livemode, api_version,
                object_id, created_at, received_at AS "received_at!", state AS "state!", next_attempt_at, processed_at,
                attempts AS "attempts!", error_code, error_message, history AS "history!: Json<Vec<Attempt>>",
                changes AS "changes!: Json<Vec<ChangedObject>>", found_by_polling AS "found_by_polling!", twin_of
         FROM webhook_events_matching($1, $2, $3, $4, $5, $6, $7, $8)
         WHERE $9::TIMESTAMPTZ IS NULL OR (received_at, event_id) < ($9, $10)
         ORDER BY received_at DESC, event_id DESC LIMIT $11"#,
        organization,
        filter.state.map(EventState::as_str),
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

/// How many events a replay would make pending, or forward: those of these types. Those that are pending already are only
/// forwarded, as are those of the platform's endpoints that nothing handles.
#[tracing::instrument(name = "db.webhook.count_replayable", level = "debug", skip_all)]
pub(super) async fn count_replayable(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    filter: &EventFilter,
    forwarded: &ForwardTypes,
) -> Result<i64, Error> {
    Ok(sqlx::query_scalar!(
        r#"SELECT COUNT(*) AS "count!" FROM webhook_events_matching($1, $2, $3, $4, $5, $6, $7, $8)
           WHERE state NOT IN ('pending', 'processing') AND (connection_id IS NOT NULL OR state <> 'ignored')
              OR event_type = ANY($9)
              OR EXISTS (SELECT FROM UNNEST($10::TEXT[]) AS prefix WHERE starts_with(event_type, prefix))"#,
        organization.as_str(),
        filter.state.map(EventState::as_str),
        filter.event_type,
        filter.connection_id,
        filter.account,
        filter.received_from,
        filter.received_to,
        filter.event_id,
        forwarded.exact(),
        forwarded.prefixes()
    )
    .fetch_one(conn)
    .await?)
}

/// An event that is applied again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Replayed {
    pub(super) event_id: Uuid,
    /// None for an event of the platform's endpoints.
    pub(super) connection_id: Option<String>,
}

/// Makes events pending again, but for those of the platform's endpoints that nothing handles.
#[tracing::instrument(name = "db.webhook.make_pending", level = "debug", skip_all)]
pub(super) async fn make_pending(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    filter: &EventFilter,
) -> Result<Vec<Replayed>, Error> {
    Ok(sqlx::query_as!(
        Replayed,
        r#"UPDATE webhook_events
         SET status = 'pending', attempts = 0, away_since = NULL, next_attempt_at = NULL, processed_at = NULL,
             error_code = NULL, error_message = NULL, twin_of = NULL
         WHERE organization_id = $1 AND event_id IN (
             SELECT event_id FROM webhook_events_matching($1, $2, $3, $4, $5, $6, $7, $8)
             WHERE state NOT IN ('pending', 'processing') AND (connection_id IS NOT NULL OR state <> 'ignored'))
         RETURNING event_id, connection_id"#,
        organization.as_str(),
        filter.state.map(EventState::as_str),
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
