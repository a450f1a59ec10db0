//! Events that are to be applied, and what came of each attempt.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;

use super::super::{Attempt, ChangedObject, NextAttempt};
use crate::db::{self, Error};
use crate::id::OrganizationId;
use crate::job::{JobError, JobKind};

/// An event that is to be applied.
#[derive(Debug, Clone)]
pub struct PendingEvent {
    pub event_id: Uuid,
    pub received_at: DateTime<Utc>,
    pub external_event_id: String,
    /// Attempts that failed since it was stored or last replayed.
    pub attempts: i32,
    /// Since when it waits for the vendor, which answered other requests; none if it does not.
    pub away_since: Option<DateTime<Utc>>,
    pub payload: Vec<u8>,
}

/// The events of a connection that are to be applied now, in the order of their arrival; those after the given one.
#[tracing::instrument(name = "db.webhook.pending", level = "debug", skip_all)]
pub async fn pending(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    connection_id: &str,
    after: Option<(DateTime<Utc>, Uuid)>,
    limit: i64,
    now: DateTime<Utc>,
) -> Result<Vec<PendingEvent>, Error> {
    let (after_time, after_id) = after.unzip();
    Ok(sqlx::query_as!(
        PendingEvent,
        "SELECT event_id, received_at, external_event_id, attempts, away_since, payload FROM webhook_events
         WHERE organization_id = $1 AND connection_id = $2 AND status = 'pending'
           AND (next_attempt_at IS NULL OR next_attempt_at <= $6)
           AND ($3::TIMESTAMPTZ IS NULL OR (received_at, event_id) > ($3, $4))
         ORDER BY received_at, event_id LIMIT $5",
        organization.as_str(),
        connection_id,
        after_time,
        after_id,
        limit,
        now
    )
    .fetch_all(conn)
    .await?)
}

/// An event that was applied, with what was read again because of it.
#[derive(Debug, Clone)]
pub struct Applied {
    pub event_id: Uuid,
    pub changes: Vec<ChangedObject>,
}

/// Notes that events were applied.
#[tracing::instrument(name = "db.webhook.mark_processed", level = "debug", skip_all)]
pub async fn mark_processed(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    applied: &[Applied],
    attempt: &Attempt,
) -> Result<(), Error> {
    let event_ids: Vec<Uuid> = applied.iter().map(|applied| applied.event_id).collect();
    let changes: Vec<_> = applied
        .iter()
        .map(|applied| Json(&applied.changes))
        .collect();
    sqlx::query!(
        "UPDATE webhook_events AS event
         SET status = 'processed', attempts = attempts + 1, away_since = NULL, next_attempt_at = NULL, started_at = $4,
             processed_at = $5, claimed_until = NULL,
             error_code = NULL, error_message = NULL, history = history || $6, changes = applied.changes
         FROM UNNEST($2::UUID[], $3::JSONB[]) AS applied (event_id, changes)
         WHERE event.organization_id = $1 AND event.event_id = applied.event_id AND status = 'pending'",
        organization.as_str(),
        &event_ids,
        &changes as _,
        attempt.started_at,
        attempt.finished_at,
        Json(attempt) as _
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// An event that could not be applied, with what becomes of it.
#[derive(Debug, Clone, Copy)]
pub struct NotApplied {
    pub event_id: Uuid,
    pub next: NextAttempt,
}

/// Notes that events could not be applied. The attempt is kept where it counts or was the last.
#[tracing::instrument(name = "db.webhook.mark_failed", level = "debug", skip_all)]
pub async fn mark_failed(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    events: &[NotApplied],
    attempt: &Attempt,
    error: &JobError,
) -> Result<(), Error> {
    let event_ids: Vec<Uuid> = events.iter().map(|event| event.event_id).collect();
    let next_attempts: Vec<_> = events.iter().map(|event| event.next.at).collect();
    let progress = || events.iter().map(|event| event.next.progress);
    let attempts: Vec<i32> = progress().map(|it| it.attempts).collect();
    let away_since: Vec<_> = progress().map(|it| it.away_since).collect();
    sqlx::query!(
        "UPDATE webhook_events AS event
         SET status = CASE WHEN failed.next_attempt_at IS NULL THEN 'dead' ELSE 'pending' END,
             attempts = failed.attempts, away_since = failed.away_since, next_attempt_at = failed.next_attempt_at,
             started_at = $4, claimed_until = NULL, error_code = $6, error_message = $7,
             history = CASE WHEN failed.attempts > event.attempts OR failed.next_attempt_at IS NULL
                            THEN history || $5 ELSE history END
         FROM UNNEST($2::UUID[], $3::TIMESTAMPTZ[], $8::INTEGER[], $9::TIMESTAMPTZ[])
              AS failed (event_id, next_attempt_at, attempts, away_since)
         WHERE event.organization_id = $1 AND event.event_id = failed.event_id AND status = 'pending'",
        organization.as_str(),
        &event_ids,
        &next_attempts as &[Option<DateTime<Utc>>],
        attempt.started_at,
        Json(attempt) as _,
        error.code,
        error.message,
        &attempts,
        &away_since as &[Option<DateTime<Utc>>]
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Notes that an event tells the same as another one, and gives it up for that.
#[tracing::instrument(name = "db.webhook.mark_twin", level = "debug", skip_all)]
pub async fn mark_twin(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    event_id: Uuid,
    twin_of: &str,
) -> Result<(), Error> {
    sqlx::query!(
        "UPDATE webhook_events SET status = 'ignored', next_attempt_at = NULL, twin_of = $3
         WHERE organization_id = $1 AND event_id = $2 AND status = 'pending'",
        organization.as_str(),
        event_id,
        twin_of
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Gives up the pending events of a connection that were received up to `tried_until`, since the job that was to apply them
/// failed for good: later ones were not tried yet, nor were those that waited for their next attempt. How many.
#[tracing::instrument(name = "db.webhook.mark_dead", level = "debug", skip_all)]
pub async fn mark_dead(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    connection_id: &str,
    tried_until: DateTime<Utc>,
    attempt: &Attempt,
    error: &JobError,
) -> Result<u64, Error> {
    let dead = sqlx::query!(
        "UPDATE webhook_events
         SET status = 'dead', attempts = attempts + 1, next_attempt_at = NULL, started_at = $4, history = history || $5,
             error_code = $6, error_message = $7
         WHERE organization_id = $1 AND connection_id = $2 AND status = 'pending' AND received_at <= $3
           AND (next_attempt_at IS NULL OR next_attempt_at <= $8)",
        organization.as_str(),
        connection_id,
        tried_until,
        attempt.started_at,
        Json(attempt) as _,
        error.code,
        error.message,
        attempt.finished_at
    )
    .execute(conn)
    .await?;
    Ok(dead.rows_affected())
}

/// Those of these events of a connection that are in the inbox, whatever became of them.
#[tracing::instrument(name = "db.webhook.known_among", level = "debug", skip_all)]
pub async fn known_among(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    connection_id: &str,
    external_event_ids: &[String],
) -> Result<Vec<String>, Error> {
    Ok(sqlx::query_scalar!(
        "SELECT external_event_id FROM webhook_events
         WHERE organization_id = $1 AND external_event_id = ANY($3)
           AND endpoint_id = (SELECT endpoint_id FROM webhook_endpoints
                              WHERE organization_id = $1 AND connection_id = $2)",
        organization.as_str(),
        connection_id,
        external_event_ids
    )
    .fetch_all(conn)
    .await?)
}

/// Whether an event of a connection was received that is applied, or will be.
#[tracing::instrument(name = "db.webhook.is_received", level = "debug", skip_all)]
pub async fn is_received(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    connection_id: &str,
    external_event_id: &str,
) -> Result<bool, Error> {
    Ok(sqlx::query_scalar!(
        r#"SELECT EXISTS (
               SELECT FROM webhook_events
               WHERE organization_id = $1 AND external_event_id = $3 AND status IN ('pending', 'processed')
                 AND endpoint_id = (SELECT endpoint_id FROM webhook_endpoints
                                    WHERE organization_id = $1 AND connection_id = $2)) AS "received!""#,
        organization.as_str(),
        connection_id,
        external_event_id
    )
    .fetch_one(conn)
    .await?)
}

/// A connection with events that are to be tried again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToRetry {
    pub organization_id: OrganizationId,
    pub connection_id: String,
    pub connector: String,
}

/// Connections of any tenant with events that are to be applied now, and no job of these kinds that will do it: those that are
/// to be tried again, and those that came a minute ago, while the connection was paused, or whose job was cancelled. Not
/// connections that wait for their first job of the kinds `first`. Needs the scheduler's role.
#[tracing::instrument(name = "db.webhook.to_retry", level = "debug", skip_all)]
pub async fn to_retry(
    conn: &mut PgConnection,
    kinds: &[JobKind],
    first: &[JobKind],
    now: DateTime<Utc>,
    limit: i64,
) -> Result<Vec<ToRetry>, Error> {
    let kinds: Vec<&str> = kinds.iter().map(|kind| kind.name).collect();
    let first: Vec<&str> = first.iter().map(|kind| kind.name).collect();
    let rows = sqlx::query!(
        r#"SELECT connection.organization_id, connection.connection_id, connector
           FROM platform_connections AS connection
           JOIN webhook_endpoints AS endpoint USING (organization_id, connection_id)
           WHERE NOT paused AND NOT endpoint.paused_by_plan AND problem_code IS NULL AND deleting_at IS NULL
             AND scheduled_job_type <> ALL($4)
             AND EXISTS (
                 SELECT FROM webhook_events AS event
                 WHERE event.organization_id = connection.organization_id
                   AND event.connection_id = connection.connection_id AND event.status = 'pending'
                   AND COALESCE(event.next_attempt_at, event.received_at + INTERVAL '1 minute') <= $2)
             AND NOT EXISTS (
                 SELECT FROM sync_jobs AS job
                 WHERE job.organization_id = connection.organization_id
                   AND job.connection_id = connection.connection_id
                   AND job.external_account_id = connection.external_account_id AND job.finished_at IS NULL
                   AND job.job_type = ANY($1))
           LIMIT $3"#,
        &kinds as &[&str],
        now,
        limit,
        &first as &[&str]
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(ToRetry {
                organization_id: db::organization_id(row.organization_id)?,
                connection_id: row.connection_id,
                connector: row.connector,
            })
        })
        .collect()
}

/// How many events of all tenants wait to be applied, and since when the oldest. Needs the scheduler's role.
#[tracing::instrument(name = "db.webhook.queue", level = "debug", skip_all)]
pub async fn queue(conn: &mut PgConnection) -> Result<(i64, Option<DateTime<Utc>>), Error> {
    let row = sqlx::query!(
        r#"SELECT COUNT(*) AS "depth!", MIN(received_at) AS oldest FROM webhook_events WHERE status = 'pending'"#
    )
    .fetch_one(conn)
    .await?;
    Ok((row.depth, row.oldest))
}
