//! Jobs in PostgreSQL: finding, cancelling and retrying them. They are made in [`super::enqueue`] and claimed in [`super::claim`].

pub mod requests;

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{Job, JobError, JobId, JobRef, JobStatus};
use crate::db::{self, Error};
use crate::id::OrganizationId;

pub(super) struct JobRow {
    pub(super) organization_id: String,
    pub(super) job_id: Uuid,
    pub(super) connection_id: String,
    pub(super) external_account_id: String,
    pub(super) job_type: String,
    pub(super) payload: Value,
    pub(super) trigger: String,
    pub(super) status: String,
    pub(super) attempt: i32,
    pub(super) failures: i32,
    pub(super) cancel_requested: bool,
    pub(super) created_at: DateTime<Utc>,
    pub(super) started_at: Option<DateTime<Utc>>,
    pub(super) finished_at: Option<DateTime<Utc>>,
    pub(super) checkpoint: Option<Value>,
    pub(super) charges_seen: i64,
    pub(super) rows_written: i64,
    pub(super) requests: i64,
    pub(super) error_code: Option<String>,
    pub(super) error_message: Option<String>,
}

impl JobRef {
    pub(super) fn stored(organization: String, job_id: Uuid) -> Result<Self, Error> {
        Ok(Self {
            organization_id: db::organization_id(organization)?,
            job_id: JobId(job_id),
        })
    }
}

impl TryFrom<JobRow> for Job {
    type Error = Error;

    fn try_from(row: JobRow) -> Result<Self, Error> {
        Ok(Self {
            job_ref: JobRef::stored(row.organization_id, row.job_id)?,
            connection_id: row.connection_id,
            external_account_id: row.external_account_id,
            kind: row.job_type,
            payload: row.payload,
            trigger: db::parse_stored("sync_jobs.trigger", &row.trigger)?,
            status: db::parse_stored("sync_jobs.status", &row.status)?,
            attempt: row.attempt,
            failures: row.failures,
            cancel_requested: row.cancel_requested,
            created_at: row.created_at,
            started_at: row.started_at,
            finished_at: row.finished_at,
            checkpoint: row.checkpoint,
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

/// Deletes up to `limit` completed jobs of these kinds, of any tenant, that were made before `before`; how many. Needs the
/// scheduler's role.
#[tracing::instrument(name = "db.job.delete_completed", level = "debug", skip_all)]
pub async fn delete_completed(
    conn: &mut PgConnection,
    kinds: &[String],
    before: DateTime<Utc>,
    limit: i64,
) -> Result<u64, Error> {
    let deleted = sqlx::query!(
        "DELETE FROM sync_jobs
         WHERE (organization_id, job_id) IN (
             SELECT organization_id, job_id FROM sync_jobs
             WHERE created_at < $2 AND status = 'completed' AND job_type = ANY($1) LIMIT $3 FOR UPDATE SKIP LOCKED)",
        kinds,
        before,
        limit
    )
    .execute(conn)
    .await?;
    Ok(deleted.rows_affected())
}

/// The jobs that an ended job of this external account, its connection's among them, may have kept waiting,
/// oldest first. Sees every tenant's jobs; needs the consumer's role.
#[tracing::instrument(name = "db.job.blocked_by", level = "debug", skip_all)]
pub async fn blocked_by(
    conn: &mut PgConnection,
    external_account_id: &str,
) -> Result<Vec<JobRef>, Error> {
    // No comparison of the status alone with a constant: it would let a planner that believes the queue to be
    // empty read all of it.
    sqlx::query!(
        "SELECT organization_id, job_id FROM sync_jobs
         WHERE external_account_id = $1 AND finished_at IS NULL
           AND status NOT IN ('running', 'completed', 'failed', 'cancelled')
         ORDER BY created_at, job_id LIMIT 10",
        external_account_id
    )
    .fetch_all(conn)
    .await?
    .into_iter()
    .map(|row| JobRef::stored(row.organization_id, row.job_id))
    .collect()
}

#[tracing::instrument(name = "db.job.get", level = "debug", skip_all)]
pub async fn get(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    job_id: JobId,
) -> Result<Option<Job>, Error> {
    sqlx::query_as!(
        JobRow,
        r#"SELECT organization_id, job_id, connection_id, external_account_id, job_type, payload,
               trigger, status, attempt, failures, cancel_requested, created_at, started_at, finished_at,
               checkpoint, charges_seen, rows_written, requests, error_code, error_message
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
#[tracing::instrument(name = "db.job.list", level = "debug", skip_all)]
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
        r#"SELECT organization_id, job_id, connection_id, external_account_id, job_type, payload,
               trigger, status, attempt, failures, cancel_requested, created_at, started_at, finished_at,
               checkpoint, charges_seen, rows_written, requests, error_code, error_message
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

/// Cancels a job: at once when no consumer holds it, since it is pending or backs off, else as soon as
/// its consumer hears of it.
/// False when the job has ended.
#[tracing::instrument(name = "db.job.cancel", level = "debug", skip_all)]
pub async fn cancel(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    job_id: JobId,
    now: DateTime<Utc>,
) -> Result<bool, Error> {
    let cancelled = sqlx::query!(
        "UPDATE sync_jobs
         SET cancel_requested = TRUE,
             status = CASE WHEN lease_owner IS NULL THEN 'cancelled' ELSE status END,
             finished_at = CASE WHEN lease_owner IS NULL THEN $3 ELSE finished_at END,
             lease_expires_at = CASE WHEN lease_owner IS NULL THEN NULL ELSE lease_expires_at END
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
#[tracing::instrument(name = "db.job.cancel_all", level = "debug", skip_all)]
pub async fn cancel_all(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    connection_id: &str,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    sqlx::query!(
        "UPDATE sync_jobs
         SET cancel_requested = TRUE,
             status = CASE WHEN lease_owner IS NULL THEN 'cancelled' ELSE status END,
             finished_at = CASE WHEN lease_owner IS NULL THEN $3 ELSE finished_at END,
             lease_expires_at = CASE WHEN lease_owner IS NULL THEN NULL ELSE lease_expires_at END
         WHERE organization_id = $1 AND connection_id = $2 AND status IN ('pending', 'running')",
        organization.as_str(),
        connection_id,
        now
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Removes every job of an organization that is being deleted.
#[tracing::instrument(name = "db.job.delete_all", level = "debug", skip_all)]
pub async fn delete_all(
    conn: &mut PgConnection,
    organization: &OrganizationId,
) -> Result<(), Error> {
    sqlx::query!(
        "DELETE FROM sync_jobs WHERE organization_id = $1",
        organization.as_str()
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Makes a failed or cancelled job pending again, its checkpoint kept. False when it is neither.
///
/// # Errors
/// [`Error::Conflict`] when another job that does the same is pending.
#[tracing::instrument(name = "db.job.retry", level = "debug", skip_all)]
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
#[tracing::instrument(name = "db.job.cancel_scheduled", level = "debug", skip_all)]
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

/// The newest jobs of every tenant or of one, narrowed down where asked. Needs the scheduler's role,
/// which sees every tenant's jobs.
#[tracing::instrument(name = "db.job.list_of_all_tenants", level = "debug", skip_all)]
pub async fn list_of_all_tenants(
    conn: &mut PgConnection,
    organization: Option<&OrganizationId>,
    connection_id: Option<&str>,
    status: Option<JobStatus>,
    limit: i64,
) -> Result<Vec<Job>, Error> {
    sqlx::query_as!(
        JobRow,
        r#"SELECT organization_id, job_id, connection_id, external_account_id, job_type, payload,
               trigger, status, attempt, failures, cancel_requested, created_at, started_at, finished_at,
               checkpoint, charges_seen, rows_written, requests, error_code, error_message
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
#[tracing::instrument(name = "db.job.find_in_all_tenants", level = "debug", skip_all)]
pub async fn find_in_all_tenants(
    conn: &mut PgConnection,
    job_id: JobId,
) -> Result<Option<JobRef>, Error> {
    sqlx::query_scalar!(
        "SELECT organization_id FROM sync_jobs WHERE job_id = $1",
        job_id.0
    )
    .fetch_optional(conn)
    .await?
    .map(|organization| JobRef::stored(organization, job_id.0))
    .transpose()
}

/// What the jobs of a connection are at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Activity {
    pub running: bool,
    pub pending: bool,
}

/// What the jobs of these connections are at, by connection; those without a live job are left out.
#[tracing::instrument(name = "db.job.activity", level = "debug", skip_all)]
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
