//! Deliveries to the internal handler in PostgreSQL.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::EventFilter;
use crate::db::{self, Error};
use crate::id::OrganizationId;
use crate::webhook::EventState;
use crate::webhook::forward::{ForwardStatus, ForwardTypes};
use crate::webhook::{NextAttempt, Progress};

/// Stores that events, of whatever tenants, are to be forwarded. They are new. Needs the role that receives webhooks.
#[tracing::instrument(name = "db.webhook.forward.insert", level = "debug", skip_all)]
pub async fn insert(
    conn: &mut PgConnection,
    organizations: &[&str],
    event_ids: &[Uuid],
    now: DateTime<Utc>,
) -> Result<(), Error> {
    sqlx::query!(
        "INSERT INTO webhook_forwards (organization_id, event_id, status, created_at, next_attempt_at)
         SELECT organization_id, event_id, 'pending', $3, $3
         FROM UNNEST($1::TEXT[], $2::UUID[]) AS new (organization_id, event_id)",
        organizations as &[&str],
        event_ids,
        now
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// A delivery that this program holds until its lease ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimedForward {
    pub organization_id: OrganizationId,
    pub event_id: Uuid,
    pub progress: Progress,
    /// When the lease ends: the fence of what is written about it.
    pub claimed_until: DateTime<Utc>,
}

/// Claims up to `limit` due deliveries of any tenant until `until`, those that are due for longest first. Needs the
/// consumer's role.
#[tracing::instrument(name = "db.webhook.forward.claim", level = "debug", skip_all)]
pub async fn claim(
    conn: &mut PgConnection,
    now: DateTime<Utc>,
    until: DateTime<Utc>,
    limit: i64,
) -> Result<Vec<ClaimedForward>, Error> {
    let rows = sqlx::query!(
        "UPDATE webhook_forwards SET next_attempt_at = $2
         WHERE (organization_id, event_id) IN (
             SELECT organization_id, event_id FROM webhook_forwards
             WHERE status = 'pending' AND next_attempt_at <= $1
             ORDER BY next_attempt_at LIMIT $3 FOR UPDATE SKIP LOCKED)
         RETURNING organization_id, event_id, attempts, away_since",
        now,
        until,
        limit
    )
    .fetch_all(conn)
    .await?;
    let claimed = rows.into_iter().map(|row| {
        Ok(ClaimedForward {
            organization_id: db::organization_id(row.organization_id)?,
            event_id: row.event_id,
            progress: Progress {
                attempts: row.attempts,
                away_since: row.away_since,
            },
            claimed_until: until,
        })
    });
    claimed.collect()
}

/// What is sent of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForwardedEvent {
    pub external_event_id: String,
    pub event_type: String,
    /// The body, byte for byte.
    pub payload: Vec<u8>,
}

/// What is sent of an event of a tenant; none if it was deleted.
#[tracing::instrument(name = "db.webhook.forward.event", level = "debug", skip_all)]
pub async fn event(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    event_id: Uuid,
) -> Result<Option<ForwardedEvent>, Error> {
    Ok(sqlx::query_as!(
        ForwardedEvent,
        "SELECT external_event_id, event_type, payload FROM webhook_events
         WHERE organization_id = $1 AND event_id = $2",
        organization.as_str(),
        event_id
    )
    .fetch_optional(conn)
    .await?)
}

/// Notes that a delivery was answered 2xx; false if another program claimed it since, or it was replayed.
#[tracing::instrument(name = "db.webhook.forward.mark_delivered", level = "debug", skip_all)]
pub async fn mark_delivered(
    conn: &mut PgConnection,
    claimed: &ClaimedForward,
    now: DateTime<Utc>,
) -> Result<bool, Error> {
    let updated = sqlx::query!(
        "UPDATE webhook_forwards
         SET status = 'delivered', attempts = attempts + 1, delivered_at = $4, next_attempt_at = NULL, away_since = NULL,
             last_error = NULL
         WHERE organization_id = $1 AND event_id = $2 AND status = 'pending' AND next_attempt_at = $3",
        claimed.organization_id.as_str(),
        claimed.event_id,
        claimed.claimed_until,
        now
    )
    .execute(conn)
    .await?;
    Ok(updated.rows_affected() > 0)
}

/// Notes that a delivery failed; false as with [`mark_delivered`].
#[tracing::instrument(name = "db.webhook.forward.mark_failed", level = "debug", skip_all)]
pub async fn mark_failed(
    conn: &mut PgConnection,
    claimed: &ClaimedForward,
    next: &NextAttempt,
    error: &str,
) -> Result<bool, Error> {
    let status = match next.at {
        Some(_) => ForwardStatus::Pending,
        None => ForwardStatus::Dead,
    };
    let updated = sqlx::query!(
        "UPDATE webhook_forwards
         SET status = $4, attempts = $5, away_since = $6, next_attempt_at = $7, last_error = $8
         WHERE organization_id = $1 AND event_id = $2 AND status = 'pending' AND next_attempt_at = $3",
        claimed.organization_id.as_str(),
        claimed.event_id,
        claimed.claimed_until,
        status.as_str(),
        next.progress.attempts,
        next.progress.away_since,
        next.at,
        error
    )
    .execute(conn)
    .await?;
    Ok(updated.rows_affected() > 0)
}

/// A delivery as it is stored.
#[derive(Debug, Clone)]
pub struct StoredForward {
    pub status: String,
    pub attempts: i32,
    pub next_attempt_at: Option<DateTime<Utc>>,
    pub last_error: Option<String>,
    pub delivered_at: Option<DateTime<Utc>>,
}

/// The delivery of an event; none if it is not forwarded.
#[tracing::instrument(name = "db.webhook.forward.find", level = "debug", skip_all)]
pub async fn find(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    event_id: Uuid,
) -> Result<Option<StoredForward>, Error> {
    Ok(sqlx::query_as!(
        StoredForward,
        "SELECT status, attempts, next_attempt_at, last_error, delivered_at FROM webhook_forwards
         WHERE organization_id = $1 AND event_id = $2",
        organization.as_str(),
        event_id
    )
    .fetch_optional(conn)
    .await?)
}

/// Makes the deliveries of events of these types pending, those that there were not as well; the ids of the events.
#[tracing::instrument(name = "db.webhook.forward.make_pending", level = "debug", skip_all)]
pub(in crate::webhook) async fn make_pending(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    filter: &EventFilter,
    types: &ForwardTypes,
    now: DateTime<Utc>,
) -> Result<Vec<Uuid>, Error> {
    Ok(sqlx::query_scalar!(
        "INSERT INTO webhook_forwards (organization_id, event_id, status, created_at, next_attempt_at)
         SELECT organization_id, event_id, 'pending', $11, $11
         FROM webhook_events_matching($1, $2, $3, $4, $5, $6, $7, $8)
         WHERE event_type = ANY($9)
            OR EXISTS (SELECT FROM UNNEST($10::TEXT[]) AS prefix WHERE starts_with(event_type, prefix))
         ORDER BY event_id
         ON CONFLICT (organization_id, event_id) DO UPDATE
         SET status = 'pending', attempts = 0, away_since = NULL, next_attempt_at = $11, last_error = NULL,
             delivered_at = NULL
         RETURNING event_id",
        organization.as_str(),
        filter.state.map(EventState::as_str),
        filter.event_type,
        filter.connection_id,
        filter.account,
        filter.received_from,
        filter.received_to,
        filter.event_id,
        types.exact(),
        types.prefixes(),
        now
    )
    .fetch_all(conn)
    .await?)
}
