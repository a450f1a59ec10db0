//! Due connections and undispatched jobs.
//!
//! Both statements sort out competitors by row locks with `SKIP LOCKED` and write what they decided in
//! the same transaction, so any number of schedulers may run. Nothing here looks at a window of time:
//! what is overdue is taken however old it is. All functions see every tenant and need the
//! scheduler's role.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{JobId, JobKind, JobRef, Lane};
use crate::db::{self, Error};

/// When a connection is due next: at the next multiple of its interval since 1970, after `now`.
///
/// Multiples rather than `now + interval`, so that neither the milliseconds a tick takes nor the
/// minutes a job takes add up until a connection misses the tick it should have met: one with an
/// interval of a quarter of an hour is due at every tick of a scheduler that ticks each quarter.
pub fn next_sync_at(now: DateTime<Utc>, interval_minutes: i32) -> DateTime<Utc> {
    let interval = i64::from(interval_minutes.max(1)) * 60;
    let next = now.timestamp() - now.timestamp().rem_euclid(interval) + interval;
    DateTime::from_timestamp(next, 0).unwrap_or(now)
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    pub due_at: DateTime<Utc>,
    /// The job that was made for it; none when one that does its work was there already.
    pub job: Option<JobRef>,
}

fn names(kinds: &[JobKind]) -> Vec<String> {
    kinds.iter().map(|kind| kind.name.to_owned()).collect()
}

/// Whether a connection is due at `now` whose scheduled kind is one of these, held by another transaction or not.
pub async fn any_due(
    pool: &db::Pool,
    now: DateTime<Utc>,
    kinds: &[JobKind],
) -> Result<bool, Error> {
    Ok(sqlx::query_scalar!(
        r#"SELECT EXISTS (
               SELECT FROM platform_connections
               WHERE next_sync_at <= $1 AND scheduled_job_type = ANY($2)
                 AND NOT paused AND problem_code IS NULL AND deleting_at IS NULL) AS "due!""#,
        now,
        &names(kinds)
    )
    .fetch_one(pool)
    .await?)
}

/// The connectors of connections that are due at `now` and whose scheduled kind is none of these, with how many there are.
pub async fn left_due(
    pool: &db::Pool,
    now: DateTime<Utc>,
    kinds: &[JobKind],
) -> Result<Vec<(String, i64)>, Error> {
    let left = sqlx::query!(
        r#"SELECT connector, COUNT(*) AS "connections!" FROM platform_connections
           WHERE next_sync_at <= $1 AND scheduled_job_type <> ALL($2)
             AND NOT paused AND problem_code IS NULL AND deleting_at IS NULL
           GROUP BY connector"#,
        now,
        &names(kinds)
    )
    .fetch_all(pool)
    .await?;
    let counted = left.into_iter().map(|row| (row.connector, row.connections));
    Ok(counted.collect())
}

/// How often a connection is polled at least, in minutes, while its webhooks work.
pub const POLLING_WITH_WEBHOOKS_MINUTES: i32 = 6 * 60;

/// Has connections polled at their interval whose webhooks no longer seem to work, and that are polled rarely because they did: nothing came for
/// much longer than between the last events, or wrong signatures came since. How many.
///
/// A quiet hour of an account looks the same; it costs requests that find nothing.
#[tracing::instrument(name = "db.job.hasten_silent", level = "debug", skip_all)]
pub async fn hasten_silent(conn: &mut PgConnection, now: DateTime<Utc>) -> Result<u64, Error> {
    let hastened = sqlx::query!(
        "UPDATE platform_connections AS connection
         -- At once, but no sooner after the last poll than it is set to be.
         SET next_sync_at = GREATEST($1, next_sync_at - make_interval(mins => $2 - sync_interval_minutes))
         FROM webhook_endpoints AS endpoint,
              LATERAL (SELECT MAX(received_at) AS last, MIN(received_at) AS first, COUNT(*) AS events
                       FROM (SELECT received_at FROM webhook_events AS event
                             WHERE event.organization_id = endpoint.organization_id
                               AND event.endpoint_id = endpoint.endpoint_id AND NOT found_by_polling
                             ORDER BY received_at DESC LIMIT 20) AS latest) AS latest
         WHERE connection.organization_id = endpoint.organization_id
           AND connection.connection_id = endpoint.connection_id
           AND connection.next_sync_at > $1::TIMESTAMPTZ + make_interval(mins => sync_interval_minutes)
           AND ($1 > latest.last + GREATEST(INTERVAL '30 minutes',
                                            10 * (latest.last - latest.first) / GREATEST(latest.events - 1, 1))
                OR endpoint.last_signature_failure_at > latest.last)",
        now,
        POLLING_WITH_WEBHOOKS_MINUTES
    )
    .execute(conn)
    .await?;
    Ok(hastened.rows_affected())
}

/// Takes connections that are due, the longest overdue first: makes their jobs and sets when each is
/// due next. Takes as many as there are `job_ids`, and connections that another transaction holds
/// not at all; an empty answer means that none is left.
///
/// The job is of the kind that the connection names as its scheduled one. A connection with a kind that is not one of
/// `kinds` stays due for a scheduler that knows it. Call it in a transaction; nothing may be notified of the jobs before
/// it commits.
#[tracing::instrument(name = "db.job.take_due", level = "debug", skip_all)]
pub async fn take_due(
    conn: &mut PgConnection,
    now: DateTime<Utc>,
    job_ids: &[JobId],
    kinds: &[JobKind],
) -> Result<Vec<Due>, Error> {
    let ids: Vec<Uuid> = job_ids.iter().map(|id| id.0).collect();
    let for_sql = kinds.iter().map(|kind| {
        json!({
            "job_type": kind.name,
            "lane": kind.lane,
            "exclusive_on_account": kind.exclusive_on_account(),
            "served_by": kind.served_by(),
        })
    });
    let for_sql: Value = for_sql.collect();
    let rows = sqlx::query!(
        r#"WITH due AS (
               SELECT organization_id, connection_id, external_account_id,
                      scheduled_job_type, next_sync_at
               FROM platform_connections
               WHERE next_sync_at <= $1 AND scheduled_job_type = ANY($3)
                 AND NOT paused AND problem_code IS NULL AND deleting_at IS NULL
               ORDER BY next_sync_at
               LIMIT CARDINALITY($2::UUID[])
               FOR UPDATE SKIP LOCKED
           ), moved AS (
               -- The same rule as next_sync_at().
               UPDATE platform_connections AS connection
               SET next_sync_at =
                   date_bin(make_interval(mins => sync_interval_minutes), $1, TIMESTAMPTZ 'epoch')
                   + make_interval(mins => sync_interval_minutes)
               FROM due
               WHERE connection.organization_id = due.organization_id
                 AND connection.connection_id = due.connection_id
           ), wanted AS (
               SELECT numbered.*, id.job_id, kind.*
               FROM (SELECT due.*, ROW_NUMBER() OVER (ORDER BY next_sync_at) AS n FROM due) AS numbered
               JOIN UNNEST($2::UUID[]) WITH ORDINALITY AS id (job_id, n) USING (n)
               JOIN JSONB_TO_RECORDSET($4) AS kind (job_type TEXT, lane TEXT, exclusive_on_account BOOLEAN,
                                                    served_by TEXT[])
                 ON kind.job_type = numbered.scheduled_job_type
           ), made AS (
               INSERT INTO sync_jobs (organization_id, job_id, connection_id, external_account_id,
                                      job_type, lane, exclusive_on_account, trigger, status,
                                      created_at)
               SELECT organization_id, job_id, connection_id, external_account_id,
                      job_type, lane, exclusive_on_account, 'schedule', 'pending', $1
               FROM wanted
               -- OFFSET 0: a lookup by index for each, never a join with the whole history of jobs.
               WHERE NOT EXISTS (
                   SELECT FROM sync_jobs AS other
                   WHERE other.external_account_id = wanted.external_account_id
                     AND other.finished_at IS NULL
                     AND other.organization_id = wanted.organization_id
                     AND other.connection_id = wanted.connection_id
                     AND other.job_type = ANY(wanted.served_by) AND other.payload = '{}'
                     AND (other.status = 'pending'
                          OR (other.status = 'running' AND NOT other.cancel_requested))
                   OFFSET 0)
               ON CONFLICT (organization_id, connection_id, job_type, md5(payload::TEXT)) WHERE status = 'pending'
               DO NOTHING
               RETURNING job_id
           )
           SELECT organization_id AS "organization_id!", next_sync_at AS "due_at!",
                  made.job_id AS "job_id?"
           FROM wanted LEFT JOIN made USING (job_id)
           ORDER BY n"#,
        now,
        &ids,
        &names(kinds),
        for_sql
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter()
        .map(|row| {
            let job = row
                .job_id
                .map(|id| JobRef::stored(row.organization_id, id))
                .transpose()?;
            Ok(Due {
                due_at: row.due_at,
                job,
            })
        })
        .collect()
}

/// How many jobs could be claimed at a moment, by their lane.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Claimable {
    pub backfill: i64,
    pub interactive: i64,
}

/// How many jobs could be claimed at this moment: pending and not behind another, or left by a
/// consumer whose lease ran out.
#[tracing::instrument(name = "db.job.count_claimable", level = "debug", skip_all)]
pub async fn count_claimable(
    conn: &mut PgConnection,
    now: DateTime<Utc>,
) -> Result<Claimable, Error> {
    Ok(sqlx::query_as!(
        Claimable,
        r#"SELECT COUNT(*) FILTER (WHERE lane = 'backfill') AS "backfill!",
                  COUNT(*) FILTER (WHERE lane = 'interactive') AS "interactive!"
           FROM (
               SELECT lane FROM sync_jobs WHERE status = 'running' AND lease_expires_at <= $1
               UNION ALL
               SELECT lane FROM startable_jobs WHERE status = 'pending') AS claimable"#,
        now
    )
    .fetch_one(conn)
    .await?)
}

/// Takes claimable jobs of a lane that were not dispatched within `redispatch_after`, the oldest first, and notes
/// that they are dispatched now. Jobs that wait behind a running one are left to whoever ends that one.
///
/// Call it outside a transaction, or commit before telling anyone.
#[tracing::instrument(name = "db.job.take_undispatched", level = "debug", skip_all)]
pub async fn take_undispatched(
    conn: &mut PgConnection,
    lane: Lane,
    now: DateTime<Utc>,
    redispatch_after: TimeDelta,
    limit: i64,
) -> Result<Vec<JobRef>, Error> {
    let rows = sqlx::query!(
        r#"WITH left_behind AS (
               SELECT organization_id, job_id FROM sync_jobs
               WHERE status = 'running' AND lease_expires_at <= $1 AND lane = $4
                 AND (dispatched_at IS NULL OR dispatched_at <= $2 OR dispatched_at < lease_expires_at)
               ORDER BY lease_expires_at
               LIMIT $3
               FOR UPDATE SKIP LOCKED
           ), forgotten AS (
               SELECT organization_id, job_id FROM startable_jobs
               WHERE status = 'pending' AND lane = $4 AND COALESCE(dispatched_at, created_at) <= $2
               ORDER BY created_at, job_id
               LIMIT $3
               FOR UPDATE SKIP LOCKED
           )
           UPDATE sync_jobs AS job SET dispatched_at = $1
           FROM (TABLE left_behind UNION ALL TABLE forgotten) AS taken
           WHERE job.organization_id = taken.organization_id AND job.job_id = taken.job_id
           RETURNING job.organization_id, job.job_id"#,
        now,
        now - redispatch_after,
        limit,
        lane.as_str()
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter()
        .map(|row| JobRef::stored(row.organization_id, row.job_id))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_due_at_multiples_of_their_interval() {
        for (now, minutes, next) in [
            ("2026-11-21T10:00:00Z", 15, "2026-11-21T10:15:00Z"),
            ("2026-11-21T10:00:00.050Z", 15, "2026-11-21T10:15:00Z"),
            ("2026-11-21T10:14:59.999Z", 15, "2026-11-21T10:15:00Z"),
            ("2026-11-21T10:16:40Z", 15, "2026-11-21T10:30:00Z"),
            ("2026-11-21T10:07:00Z", 1, "2026-11-21T10:08:00Z"),
            ("2026-11-21T10:07:00Z", 1440, "2026-11-22T00:00:00Z"),
        ] {
            let now: DateTime<Utc> = now.parse().unwrap();
            assert_eq!(
                next_sync_at(now, minutes),
                next.parse::<DateTime<Utc>>().unwrap(),
                "{now}"
            );
        }
    }
}
