//! The lease on a job, in PostgreSQL: keeping it, writing under it and ending it. It begins with [`super::claim`].

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use sqlx::PgConnection;
use sqlx::types::Json;

use super::{Fence, JobError, JobKind, JobStatus};
use crate::db::Error;

/// Extends the lease; tells whether a person called the job off. Sees the jobs of every tenant.
///
/// # Errors
/// [`Error::LeaseLost`] when another consumer holds the job, or it ended.
#[tracing::instrument(name = "db.job.heartbeat", level = "debug", skip_all)]
pub async fn heartbeat(
    conn: &mut PgConnection,
    fence: &Fence,
    now: DateTime<Utc>,
    lease: TimeDelta,
) -> Result<bool, Error> {
    sqlx::query_scalar!(
        "UPDATE sync_jobs SET lease_expires_at = $4
         WHERE organization_id = $1 AND job_id = $2 AND attempt = $3 AND status = 'running'
         RETURNING cancel_requested",
        fence.job_ref.organization_id.as_str(),
        fence.job_ref.job_id.0,
        fence.attempt,
        now + lease
    )
    .fetch_optional(conn)
    .await?
    .ok_or(Error::LeaseLost)
}

/// What a commit adds to a job's counters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    pub charges_seen: i64,
    /// Rows written that differed from what was stored.
    pub rows_written: i64,
    pub requests: i64,
    /// Whether the job came nearer to its end, so that earlier failures do not count any more.
    pub advanced: bool,
}

/// Opens a fenced write: locks the job's row until the transaction ends, adds to its counters, and forgets earlier
/// failures when the job advanced.
///
/// # Errors
/// [`Error::LeaseLost`] when the claim is no longer the last; the transaction must then not commit.
pub async fn fenced_progress(
    conn: &mut PgConnection,
    fence: &Fence,
    progress: Progress,
) -> Result<(), Error> {
    fenced_checkpoint(conn, fence, progress, None::<&()>).await
}

/// The same, noting from where the job goes on, should it be interrupted, where `checkpoint` says so.
///
/// # Errors
/// As [`fenced_progress`].
#[tracing::instrument(name = "db.job.fenced_checkpoint", level = "debug", skip_all)]
pub async fn fenced_checkpoint<C: Serialize + Sync>(
    conn: &mut PgConnection,
    fence: &Fence,
    progress: Progress,
    checkpoint: Option<&C>,
) -> Result<(), Error> {
    let updated = sqlx::query!(
        "UPDATE sync_jobs
         SET charges_seen = charges_seen + $4, rows_written = rows_written + $5, requests = requests + $6,
             checkpoint = COALESCE($7, checkpoint),
             failures = CASE WHEN $8 THEN 0 ELSE failures END,
             error_code = CASE WHEN $8 THEN NULL ELSE error_code END,
             error_message = CASE WHEN $8 THEN NULL ELSE error_message END
         WHERE organization_id = $1 AND job_id = $2 AND attempt = $3 AND status = 'running'",
        fence.job_ref.organization_id.as_str(),
        fence.job_ref.job_id.0,
        fence.attempt,
        progress.charges_seen,
        progress.rows_written,
        progress.requests,
        checkpoint.map(Json) as _,
        progress.advanced
    )
    .execute(conn)
    .await?;
    expect_one_row(updated.rows_affected())
}

fn expect_one_row(rows: u64) -> Result<(), Error> {
    if rows == 1 {
        Ok(())
    } else {
        Err(Error::LeaseLost)
    }
}

/// Ends a job well.
pub async fn complete(
    conn: &mut PgConnection,
    fence: &Fence,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    end(conn, fence, JobStatus::Completed, None, now).await
}

/// Ends a job well that has nothing more to commit than a count of its last requests.
#[tracing::instrument(name = "db.job.complete_idle", level = "debug", skip_all)]
pub async fn complete_idle(
    conn: &mut PgConnection,
    fence: &Fence,
    requests: i64,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    let ended = sqlx::query!(
        "UPDATE sync_jobs
         SET status = 'completed', finished_at = $5, lease_owner = NULL, lease_expires_at = NULL,
             error_code = NULL, error_message = NULL, requests = requests + $4
         WHERE organization_id = $1 AND job_id = $2 AND attempt = $3 AND status = 'running'",
        fence.job_ref.organization_id.as_str(),
        fence.job_ref.job_id.0,
        fence.attempt,
        requests,
        now,
    )
    .execute(conn)
    .await?;
    expect_one_row(ended.rows_affected())
}

/// Ends a job for good, with its cause.
pub async fn fail(
    conn: &mut PgConnection,
    fence: &Fence,
    error: &JobError,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    end(conn, fence, JobStatus::Failed, Some(error), now).await
}

/// Ends a job that was cancelled.
pub async fn end_cancelled(
    conn: &mut PgConnection,
    fence: &Fence,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    end(conn, fence, JobStatus::Cancelled, None, now).await
}

async fn end(
    conn: &mut PgConnection,
    fence: &Fence,
    status: JobStatus,
    error: Option<&JobError>,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    let ended = sqlx::query!(
        "UPDATE sync_jobs
         SET status = $4, finished_at = $5, lease_owner = NULL, lease_expires_at = NULL,
             error_code = $6, error_message = $7
         WHERE organization_id = $1 AND job_id = $2 AND attempt = $3 AND status = 'running'",
        fence.job_ref.organization_id.as_str(),
        fence.job_ref.job_id.0,
        fence.attempt,
        status.as_str(),
        now,
        error.map(|e| e.code.as_str()),
        error.map(|e| e.message.as_str()),
    )
    .execute(conn)
    .await?;
    expect_one_row(ended.rows_affected())
}

/// Why a job is given back.
#[derive(Debug, Clone, Copy)]
pub enum Release<'a> {
    /// For no reason of its own.
    Interrupted,
    /// It has to wait; no failure.
    Waits(&'a JobError),
    /// Its attempt failed.
    Failed(&'a JobError),
}

/// Gives a job back to be claimed again at `until`: it stays running, since it was begun and keeps its
/// turn.
#[tracing::instrument(name = "db.job.release", level = "debug", skip_all)]
pub async fn release(
    conn: &mut PgConnection,
    fence: &Fence,
    until: DateTime<Utc>,
    why: Release<'_>,
) -> Result<(), Error> {
    let (error, failures) = match why {
        Release::Interrupted => (None, 0),
        Release::Waits(error) => (Some(error), 0),
        Release::Failed(error) => (Some(error), 1),
    };
    let released = sqlx::query!(
        "UPDATE sync_jobs
         SET lease_owner = NULL, lease_expires_at = $4, dispatched_at = NULL,
             failures = failures + $7,
             error_code = COALESCE($5, error_code), error_message = COALESCE($6, error_message)
         WHERE organization_id = $1 AND job_id = $2 AND attempt = $3 AND status = 'running'",
        fence.job_ref.organization_id.as_str(),
        fence.job_ref.job_id.0,
        fence.attempt,
        until,
        error.map(|e| e.code.as_str()),
        error.map(|e| e.message.as_str()),
        failures,
    )
    .execute(conn)
    .await?;
    expect_one_row(released.rows_affected())
}

/// Turns a claimed job into one of another kind.
///
/// # Errors
/// [`Error::LeaseLost`] when the claim is no longer the last, [`Error::Conflict`] when the new kind is more exclusive than
/// the old one, and such a job runs.
#[tracing::instrument(name = "db.job.change_kind", level = "debug", skip_all)]
pub async fn change_kind(
    conn: &mut PgConnection,
    fence: &Fence,
    kind: JobKind,
) -> Result<(), Error> {
    let changed = sqlx::query!(
        "UPDATE sync_jobs SET job_type = $4, lane = $5, exclusive_on_account = $6, payload = '{}'
         WHERE organization_id = $1 AND job_id = $2 AND attempt = $3 AND status = 'running'",
        fence.job_ref.organization_id.as_str(),
        fence.job_ref.job_id.0,
        fence.attempt,
        kind.name,
        kind.lane.as_str(),
        kind.exclusive_on_account()
    )
    .execute(conn)
    .await?;
    expect_one_row(changed.rows_affected())
}
