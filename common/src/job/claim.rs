//! Claiming a job: may it run, and who gets it?
//!
//! A job may run when it is one of the view `startable_jobs`, which is the only place that decides it, or when its
//! consumer left it behind. A duplicate claim loses by the row lock, a claim that would break an exclusion
//! ([`super::Exclusive`]) loses by a unique index, and a write of an old claim finds no row by its attempt number. Reordered
//! or doubled wake-ups therefore change nothing.

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::PgConnection;

use super::queries::JobRow;
use super::{Job, JobRef, Lane};
use crate::db::Error;

#[derive(Debug, Clone, Copy)]
pub enum Claim<'a> {
    /// This one, unless it is a backfill: those are claimed by their turn.
    Job(&'a JobRef),
    /// The oldest that may run, of whatever tenant and lane.
    Oldest,
    /// The oldest of a lane that may run, of whatever tenant.
    OldestInLane(Lane),
}

/// Claims a job for `owner` until `now + lease`, raising its attempt. None when it may not run: ended,
/// held by another, younger than a pending one of its connection, or behind a running one of its
/// connection or account. Jobs that a consumer left behind come before those that wait.
/// Sees every tenant's jobs; needs the consumer's role.
pub async fn claim(
    conn: &mut PgConnection,
    claim: Claim<'_>,
    owner: &str,
    now: DateTime<Utc>,
    lease: TimeDelta,
) -> Result<Option<Job>, Error> {
    let claimed = match claim {
        Claim::Job(job) => claim_one(conn, job, owner, now, lease).await,
        Claim::OldestInLane(lane) => claim_oldest(conn, lane, owner, now, lease).await,
        Claim::Oldest => match claim_oldest(conn, Lane::Interactive, owner, now, lease).await {
            Ok(None) => claim_oldest(conn, Lane::Backfill, owner, now, lease).await,
            claimed => claimed,
        },
    };
    match claimed {
        Ok(row) => row.map(Job::try_from).transpose(),
        // Another consumer claimed a job of the same connection or account at the same moment.
        Err(Error::Conflict { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

async fn claim_one(
    conn: &mut PgConnection,
    job: &JobRef,
    owner: &str,
    now: DateTime<Utc>,
    lease: TimeDelta,
) -> Result<Option<JobRow>, Error> {
    Ok(sqlx::query_as!(
        JobRow,
        r#"WITH left_behind AS MATERIALIZED (
               SELECT organization_id, job_id FROM sync_jobs
               WHERE organization_id = $1 AND job_id = $2 AND lane = $3
                 AND status = 'running' AND lease_expires_at <= $5
               FOR UPDATE SKIP LOCKED
           ), waiting AS MATERIALIZED (
               SELECT organization_id, job_id FROM startable_jobs
               WHERE organization_id = $1 AND job_id = $2 AND lane = $3
               FOR UPDATE SKIP LOCKED
           )
           UPDATE sync_jobs AS job
           SET status = 'running', attempt = attempt + 1, lease_owner = $4, lease_expires_at = $6,
               started_at = COALESCE(started_at, $5)
           WHERE (job.organization_id, job.job_id) = (TABLE left_behind UNION ALL TABLE waiting)
           RETURNING organization_id, job_id, connection_id, external_account_id, job_type, payload,
               trigger, status, attempt, failures, cancel_requested, created_at, started_at, finished_at,
               checkpoint, charges_seen, rows_written, requests, error_code, error_message"#,
        job.organization_id.as_str(),
        job.job_id.0,
        Lane::Interactive.as_str(),
        owner,
        now,
        now + lease
    )
    .fetch_optional(conn)
    .await?)
}

async fn claim_oldest(
    conn: &mut PgConnection,
    lane: Lane,
    owner: &str,
    now: DateTime<Utc>,
    lease: TimeDelta,
) -> Result<Option<JobRow>, Error> {
    Ok(sqlx::query_as!(
        JobRow,
        r#"WITH left_behind AS MATERIALIZED (
               SELECT organization_id, job_id FROM sync_jobs
               WHERE status = 'running' AND lease_expires_at <= $3
                 AND lane = $1
               ORDER BY lease_expires_at
               LIMIT 1
               FOR UPDATE SKIP LOCKED
           ), waiting AS MATERIALIZED (
               SELECT organization_id, job_id FROM startable_jobs
               WHERE status = 'pending' AND lane = $1 AND NOT EXISTS (SELECT FROM left_behind)
               ORDER BY created_at, job_id
               LIMIT 1
               FOR UPDATE SKIP LOCKED
           )
           UPDATE sync_jobs AS job
           SET status = 'running', attempt = attempt + 1, lease_owner = $2, lease_expires_at = $4,
               started_at = COALESCE(started_at, $3)
           WHERE (job.organization_id, job.job_id) = (TABLE left_behind UNION ALL TABLE waiting)
           RETURNING organization_id, job_id, connection_id, external_account_id, job_type, payload,
               trigger, status, attempt, failures, cancel_requested, created_at, started_at, finished_at,
               checkpoint, charges_seen, rows_written, requests, error_code, error_message"#,
        lane.as_str(),
        owner,
        now,
        now + lease
    )
    .fetch_optional(conn)
    .await?)
}
