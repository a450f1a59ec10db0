//! Jobs in PostgreSQL: making, claiming, keeping and ending them.
//!
//! A duplicate claim loses by the row lock, a claim that would break an exclusion (one running job a
//! connection, one reading job a Stripe account) loses by a unique index, and a write of an old claim
//! finds no row by its attempt number. Reordered or doubled wake-ups therefore change nothing.

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;

use super::{Fence, Job, JobError, JobId, JobRef, JobStatus, JobType, Plan, Trigger};
use crate::db::{self, Error};
use crate::tenant::OrganizationId;

struct JobRow {
    organization_id: String,
    job_id: Uuid,
    connection_id: String,
    stripe_account_id: String,
    job_type: String,
    trigger: String,
    status: String,
    attempt: i32,
    failures: i32,
    cancel_requested: bool,
    created_at: DateTime<Utc>,
    started_at: Option<DateTime<Utc>>,
    finished_at: Option<DateTime<Utc>>,
    plan: Option<Json<Plan>>,
    charges_seen: i64,
    rows_written: i64,
    requests: i64,
    error_code: Option<String>,
    error_message: Option<String>,
}

fn known<T: std::str::FromStr<Err = super::job::UnknownName>>(
    place: &'static str,
    text: &str,
) -> Result<T, Error> {
    text.parse().map_err(|cause| Error::Inconsistent {
        place,
        cause: Box::new(cause),
    })
}

impl TryFrom<JobRow> for Job {
    type Error = Error;

    fn try_from(row: JobRow) -> Result<Self, Error> {
        Ok(Self {
            job_ref: JobRef {
                organization_id: db::organization_id(row.organization_id)?,
                job_id: JobId(row.job_id),
            },
            connection_id: row.connection_id,
            stripe_account_id: row.stripe_account_id,
            job_type: known("sync_jobs.job_type", &row.job_type)?,
            trigger: known("sync_jobs.trigger", &row.trigger)?,
            status: known("sync_jobs.status", &row.status)?,
            attempt: row.attempt,
            failures: row.failures,
            cancel_requested: row.cancel_requested,
            created_at: row.created_at,
            started_at: row.started_at,
            finished_at: row.finished_at,
            plan: row.plan.map(|plan| plan.0),
            charges_seen: row.charges_seen,
            rows_written: row.rows_written,
            requests: row.requests,
            error: row.error_code.map(|code| JobError {
                code,
                message: row.error_message.unwrap_or_default(),
            }),
        })
    }
}

/// A job to be made.
#[derive(Debug, Clone)]
pub struct NewJob<'a> {
    /// Its id, should it be made.
    pub job_id: JobId,
    /// The connection.
    pub connection_id: &'a str,
    /// The connection's Stripe account.
    pub stripe_account_id: &'a str,
    /// What it does.
    pub job_type: JobType,
    /// Why.
    pub trigger: Trigger,
    /// Whether a running job of the same or a wider type serves as well as a new one. Not so when
    /// something changed after it began.
    pub running_serves: bool,
}

/// What [`enqueue`] found or made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Enqueued {
    /// The job that will do the work.
    pub job_id: JobId,
    /// Whether it is a new one.
    pub created: bool,
}

/// Makes a job unless one that does its work is pending, or running where that serves.
pub async fn enqueue(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    job: &NewJob<'_>,
    now: DateTime<Utc>,
) -> Result<Enqueued, Error> {
    let wider: Vec<String> = job
        .job_type
        .same_or_wider()
        .iter()
        .map(|&t| t.to_owned())
        .collect();
    loop {
        let existing = sqlx::query_scalar!(
            "SELECT job_id FROM sync_jobs
             WHERE organization_id = $1 AND connection_id = $2 AND job_type = ANY($3)
               AND (status = 'pending' OR ($4 AND status = 'running' AND NOT cancel_requested))
             ORDER BY status = 'running' DESC, created_at LIMIT 1",
            organization.as_str(),
            job.connection_id,
            &wider,
            job.running_serves
        )
        .fetch_optional(&mut *conn)
        .await?;
        if let Some(job_id) = existing {
            return Ok(Enqueued {
                job_id: JobId(job_id),
                created: false,
            });
        }
        let inserted = sqlx::query!(
            "INSERT INTO sync_jobs (organization_id, job_id, connection_id, stripe_account_id, job_type,
                                    trigger, status, created_at)
             VALUES ($1, $2, $3, $4, $5, $6, 'pending', $7)
             ON CONFLICT (organization_id, connection_id, job_type) WHERE status = 'pending' DO NOTHING",
            organization.as_str(),
            job.job_id.0,
            job.connection_id,
            job.stripe_account_id,
            job.job_type.as_str(),
            job.trigger.as_str(),
            now
        )
        .execute(&mut *conn)
        .await?
        .rows_affected();
        if inserted == 1 {
            return Ok(Enqueued {
                job_id: job.job_id,
                created: true,
            });
        }
        // Another transaction made one between the two statements; it is visible now.
    }
}

/// Which job to claim.
#[derive(Debug, Clone, Copy)]
pub enum Claim<'a> {
    /// This one.
    Job(&'a JobRef),
    /// The oldest that may run, of whatever tenant.
    Oldest,
}

/// Claims a job for `owner` until `now + lease`, raising its attempt. None when it may not run: ended,
/// held by another, younger than a pending one of its connection, or behind a running one of its
/// connection or Stripe account. Sees every tenant's jobs; needs the consumer's role.
pub async fn claim(
    conn: &mut PgConnection,
    claim: Claim<'_>,
    owner: &str,
    now: DateTime<Utc>,
    lease: TimeDelta,
) -> Result<Option<Job>, Error> {
    let (organization, job_id) = match claim {
        Claim::Job(job) => (Some(job.organization_id.as_str()), Some(job.job_id.0)),
        Claim::Oldest => (None, None),
    };
    let claimed = sqlx::query_as!(
        JobRow,
        r#"UPDATE sync_jobs AS job
           SET status = 'running', attempt = attempt + 1, lease_owner = $3, lease_expires_at = $5,
               started_at = COALESCE(started_at, $4)
           WHERE (job.organization_id, job.job_id) = (
               SELECT candidate.organization_id, candidate.job_id FROM sync_jobs AS candidate
               WHERE ($1::TEXT IS NULL OR candidate.organization_id = $1)
                 AND ($2::UUID IS NULL OR candidate.job_id = $2)
                 AND (candidate.status = 'pending'
                      OR (candidate.status = 'running' AND candidate.lease_expires_at <= $4))
                 AND (candidate.status = 'running' OR NOT EXISTS (
                     SELECT FROM sync_jobs AS other
                     WHERE other.organization_id = candidate.organization_id
                       AND other.connection_id = candidate.connection_id
                       AND (other.status = 'running'
                            OR (other.status = 'pending'
                                AND (other.created_at, other.job_id) < (candidate.created_at, candidate.job_id)))))
                 AND (candidate.status = 'running' OR candidate.job_type NOT IN ('full', 'incremental')
                      OR NOT EXISTS (
                          SELECT FROM sync_jobs AS other
                          WHERE other.stripe_account_id = candidate.stripe_account_id
                            AND other.status = 'running' AND other.job_type IN ('full', 'incremental')))
               ORDER BY candidate.created_at, candidate.job_id
               LIMIT 1
               FOR UPDATE SKIP LOCKED)
           RETURNING organization_id, job_id, connection_id, stripe_account_id, job_type, trigger, status,
               attempt, failures, cancel_requested, created_at, started_at, finished_at,
               plan AS "plan: _", charges_seen, rows_written, requests, error_code, error_message"#,
        organization,
        job_id,
        owner,
        now,
        now + lease
    )
    .fetch_optional(conn)
    .await
    .map_err(Error::from);
    match claimed {
        Ok(row) => row.map(Job::try_from).transpose(),
        // Another consumer claimed a job of the same connection or account at the same moment.
        Err(Error::Conflict { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Extends the lease; tells whether a person called the job off.
///
/// # Errors
/// [`Error::LeaseLost`] when another consumer holds the job, or it ended.
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
    /// Charges read from Stripe.
    pub charges_seen: i64,
    /// Rows written that differed from what was stored.
    pub rows_written: i64,
    /// Requests sent to Stripe.
    pub requests: i64,
}

/// Opens a fenced write: locks the job's row until the transaction ends, adds to its counters, notes its
/// plan, and forgets earlier failures when something was read.
///
/// # Errors
/// [`Error::LeaseLost`] when the claim is no longer the last; the transaction must then not commit.
pub async fn fenced_progress(
    conn: &mut PgConnection,
    fence: &Fence,
    progress: Progress,
    plan: Option<&Plan>,
) -> Result<(), Error> {
    let updated = sqlx::query!(
        "UPDATE sync_jobs
         SET charges_seen = charges_seen + $4, rows_written = rows_written + $5, requests = requests + $6,
             plan = COALESCE($7, plan),
             failures = CASE WHEN $4 > 0 THEN 0 ELSE failures END,
             error_code = CASE WHEN $4 > 0 THEN NULL ELSE error_code END,
             error_message = CASE WHEN $4 > 0 THEN NULL ELSE error_message END
         WHERE organization_id = $1 AND job_id = $2 AND attempt = $3 AND status = 'running'",
        fence.job_ref.organization_id.as_str(),
        fence.job_ref.job_id.0,
        fence.attempt,
        progress.charges_seen,
        progress.rows_written,
        progress.requests,
        plan.map(Json) as _
    )
    .execute(conn)
    .await?;
    affected_one(updated.rows_affected())
}

fn affected_one(rows: u64) -> Result<(), Error> {
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

/// Ends a job for good, with its cause.
pub async fn fail(
    conn: &mut PgConnection,
    fence: &Fence,
    error: &JobError,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    end(conn, fence, JobStatus::Failed, Some(error), now).await
}

/// Ends a job that was called off.
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
    affected_one(ended.rows_affected())
}

/// Gives a job back to be claimed again at `until`: it stays running, since it was begun and keeps its
/// turn. With an error it counts as one failure more.
pub async fn release(
    conn: &mut PgConnection,
    fence: &Fence,
    until: DateTime<Utc>,
    error: Option<&JobError>,
) -> Result<(), Error> {
    let released = sqlx::query!(
        "UPDATE sync_jobs
         SET lease_owner = NULL, lease_expires_at = $4, dispatched_at = NULL,
             failures = failures + CASE WHEN $5::TEXT IS NULL THEN 0 ELSE 1 END,
             error_code = COALESCE($5, error_code), error_message = COALESCE($6, error_message)
         WHERE organization_id = $1 AND job_id = $2 AND attempt = $3 AND status = 'running'",
        fence.job_ref.organization_id.as_str(),
        fence.job_ref.job_id.0,
        fence.attempt,
        until,
        error.map(|e| e.code.as_str()),
        error.map(|e| e.message.as_str()),
    )
    .execute(conn)
    .await?;
    affected_one(released.rows_affected())
}

/// The jobs that an ended job of this connection and account may have kept waiting, oldest first.
/// Sees every tenant's jobs; needs the consumer's role.
pub async fn waiting_behind(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    connection_id: &str,
    stripe_account_id: &str,
) -> Result<Vec<JobRef>, Error> {
    sqlx::query!(
        "SELECT organization_id, job_id FROM sync_jobs
         WHERE status = 'pending'
           AND ((organization_id = $1 AND connection_id = $2) OR stripe_account_id = $3)
         ORDER BY created_at, job_id LIMIT 10",
        organization.as_str(),
        connection_id,
        stripe_account_id
    )
    .fetch_all(conn)
    .await?
    .into_iter()
    .map(|row| {
        Ok(JobRef {
            organization_id: db::organization_id(row.organization_id)?,
            job_id: JobId(row.job_id),
        })
    })
    .collect()
}

/// One job of a tenant.
pub async fn get(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    job_id: JobId,
) -> Result<Option<Job>, Error> {
    sqlx::query_as!(
        JobRow,
        r#"SELECT organization_id, job_id, connection_id, stripe_account_id, job_type, trigger, status,
               attempt, failures, cancel_requested, created_at, started_at, finished_at,
               plan AS "plan: _", charges_seen, rows_written, requests, error_code, error_message
           FROM sync_jobs WHERE organization_id = $1 AND job_id = $2"#,
        organization.as_str(),
        job_id.0
    )
    .fetch_optional(conn)
    .await?
    .map(Job::try_from)
    .transpose()
}

/// The jobs of a connection, newest first, those before the given one.
pub async fn list(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    connection_id: &str,
    before: Option<(DateTime<Utc>, JobId)>,
    limit: i64,
) -> Result<Vec<Job>, Error> {
    let (before_at, before_id) = before.map(|(at, id)| (at, id.0)).unzip();
    sqlx::query_as!(
        JobRow,
        r#"SELECT organization_id, job_id, connection_id, stripe_account_id, job_type, trigger, status,
               attempt, failures, cancel_requested, created_at, started_at, finished_at,
               plan AS "plan: _", charges_seen, rows_written, requests, error_code, error_message
           FROM sync_jobs
           WHERE organization_id = $1 AND connection_id = $2
             AND ($3::TIMESTAMPTZ IS NULL OR (created_at, job_id) < ($3, $4))
           ORDER BY created_at DESC, job_id DESC LIMIT $5"#,
        organization.as_str(),
        connection_id,
        before_at,
        before_id,
        limit
    )
    .fetch_all(conn)
    .await?
    .into_iter()
    .map(Job::try_from)
    .collect()
}

/// Calls a job off: a pending one at once, a running one as soon as its consumer hears of it.
/// False when the job has ended.
pub async fn cancel(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    job_id: JobId,
    now: DateTime<Utc>,
) -> Result<bool, Error> {
    let cancelled = sqlx::query!(
        "UPDATE sync_jobs
         SET cancel_requested = TRUE,
             status = CASE WHEN status = 'pending' THEN 'cancelled' ELSE status END,
             finished_at = CASE WHEN status = 'pending' THEN $3 ELSE finished_at END
         WHERE organization_id = $1 AND job_id = $2 AND status IN ('pending', 'running')",
        organization.as_str(),
        job_id.0,
        now
    )
    .execute(conn)
    .await?;
    Ok(cancelled.rows_affected() == 1)
}

/// Cancels every job of a connection that is being deleted: pending ones at once, running ones by request.
pub async fn cancel_all(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    connection_id: &str,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    sqlx::query!(
        "UPDATE sync_jobs
         SET cancel_requested = TRUE,
             status = CASE WHEN status = 'pending' THEN 'cancelled' ELSE status END,
             finished_at = CASE WHEN status = 'pending' THEN $3 ELSE finished_at END
         WHERE organization_id = $1 AND connection_id = $2 AND status IN ('pending', 'running')",
        organization.as_str(),
        connection_id,
        now
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Makes a failed or cancelled job pending again, its plan kept. False when it is neither.
///
/// # Errors
/// [`Error::Conflict`] when another job of its type is pending.
pub async fn retry(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    job_id: JobId,
) -> Result<bool, Error> {
    let retried = sqlx::query!(
        "UPDATE sync_jobs
         SET status = 'pending', failures = 0, cancel_requested = FALSE, finished_at = NULL,
             dispatched_at = NULL, error_code = NULL, error_message = NULL
         WHERE organization_id = $1 AND job_id = $2 AND status IN ('failed', 'cancelled')",
        organization.as_str(),
        job_id.0
    )
    .execute(conn)
    .await?;
    Ok(retried.rows_affected() == 1)
}

/// Cancels what the schedule wanted of a connection that cannot sync until a person acts.
pub async fn cancel_scheduled(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    connection_id: &str,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    sqlx::query!(
        "UPDATE sync_jobs SET status = 'cancelled', finished_at = $3
         WHERE organization_id = $1 AND connection_id = $2 AND status = 'pending' AND trigger = 'schedule'",
        organization.as_str(),
        connection_id,
        now
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Turns a claimed incremental job into a full one: the gap is longer than Stripe keeps events, or
/// nothing was covered yet.
pub async fn widen_to_full(conn: &mut PgConnection, fence: &Fence) -> Result<(), Error> {
    let widened = sqlx::query!(
        "UPDATE sync_jobs SET job_type = 'full'
         WHERE organization_id = $1 AND job_id = $2 AND attempt = $3 AND status = 'running'",
        fence.job_ref.organization_id.as_str(),
        fence.job_ref.job_id.0,
        fence.attempt
    )
    .execute(conn)
    .await?;
    affected_one(widened.rows_affected())
}

/// The newest jobs of every tenant or of one, narrowed down where asked. Needs the scheduler's role,
/// which sees every tenant's jobs.
pub async fn newest_of_all(
    conn: &mut PgConnection,
    organization: Option<&OrganizationId>,
    connection_id: Option<&str>,
    status: Option<JobStatus>,
    limit: i64,
) -> Result<Vec<Job>, Error> {
    sqlx::query_as!(
        JobRow,
        r#"SELECT organization_id, job_id, connection_id, stripe_account_id, job_type, trigger, status,
               attempt, failures, cancel_requested, created_at, started_at, finished_at,
               plan AS "plan: _", charges_seen, rows_written, requests, error_code, error_message
           FROM sync_jobs
           WHERE ($1::TEXT IS NULL OR organization_id = $1)
             AND ($2::TEXT IS NULL OR connection_id = $2)
             AND ($3::TEXT IS NULL OR status = $3)
           ORDER BY created_at DESC, job_id DESC LIMIT $4"#,
        organization.map(OrganizationId::as_str),
        connection_id,
        status.map(JobStatus::as_str),
        limit
    )
    .fetch_all(conn)
    .await?
    .into_iter()
    .map(Job::try_from)
    .collect()
}

/// Whose job this is, of whatever tenant. Needs the scheduler's role.
pub async fn find_of_all(conn: &mut PgConnection, job_id: JobId) -> Result<Option<JobRef>, Error> {
    sqlx::query_scalar!(
        "SELECT organization_id FROM sync_jobs WHERE job_id = $1",
        job_id.0
    )
    .fetch_optional(conn)
    .await?
    .map(|stored| {
        Ok(JobRef {
            organization_id: db::organization_id(stored)?,
            job_id,
        })
    })
    .transpose()
}

/// What the jobs of a connection are at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Activity {
    /// One is running.
    pub running: bool,
    /// One waits for a consumer.
    pub pending: bool,
}

/// What the jobs of these connections are at, by connection; those without a live job are left out.
pub async fn activity(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    connection_ids: &[String],
) -> Result<std::collections::HashMap<String, Activity>, Error> {
    Ok(sqlx::query!(
        r#"SELECT connection_id, bool_or(status = 'running') AS "running!", bool_or(status = 'pending') AS "pending!"
           FROM sync_jobs
           WHERE organization_id = $1 AND connection_id = ANY($2) AND status IN ('pending', 'running')
           GROUP BY connection_id"#,
        organization.as_str(),
        connection_ids
    )
    .fetch_all(conn)
    .await?
    .into_iter()
    .map(|row| (row.connection_id, Activity { running: row.running, pending: row.pending }))
    .collect())
}
