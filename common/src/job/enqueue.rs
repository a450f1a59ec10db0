//! Making jobs in PostgreSQL: one, or one for each of many connections, unless a job that does the work is there already.
//!
//! Fails with PostgreSQL. Deliberately absent: which jobs are due, and telling a worker of them, which happens once the
//! transaction is committed.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{JobId, JobKind, JobRef, Trigger};
use crate::db::Error;
use crate::id::OrganizationId;

#[derive(Debug, Clone)]
pub struct NewJob<'a> {
    /// Its id, should it be made.
    pub job_id: JobId,
    pub connection_id: &'a str,
    pub external_account_id: &'a str,
    pub kind: JobKind,
    pub trigger: Trigger,
    /// None where the kind says all.
    pub payload: Option<&'a Value>,
    /// Whether a running job that does the same work serves as well as a new one. Not so when
    /// something changed after it began.
    pub reuse_running: bool,
}

/// What [`enqueue`] found or made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Enqueued {
    /// The job that will do the work.
    pub job_id: JobId,
    /// Whether it is a new one.
    pub created: bool,
}

/// Connections for which a job is to be made, with the id that it would have.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    pub organization: &'a OrganizationId,
    pub connection_id: &'a str,
    pub job_id: JobId,
}

/// Makes a job of this kind for each of these connections, of whatever tenants, unless one is pending already; the jobs
/// that will do the work. None for a connection that is paused, stopped or being deleted, or whose webhooks wait for the next poll.
///
/// A pending job is locked until the transaction ends, so that none begins before what it is to work on is committed. All of
/// them are to be published then: a consumer that was woken meanwhile has passed over a locked one. Needs the role that
/// receives webhooks.
#[tracing::instrument(name = "db.job.enqueue_for_events", level = "debug", skip_all)]
pub async fn enqueue_for_events(
    conn: &mut PgConnection,
    kind: JobKind,
    wanted: &[Wanted<'_>],
    now: DateTime<Utc>,
) -> Result<Vec<JobRef>, Error> {
    let organizations: Vec<&str> = wanted.iter().map(|it| it.organization.as_str()).collect();
    let connections: Vec<&str> = wanted.iter().map(|it| it.connection_id).collect();
    let job_ids: Vec<Uuid> = wanted.iter().map(|it| it.job_id.0).collect();
    let rows = sqlx::query!(
        "INSERT INTO sync_jobs (organization_id, job_id, connection_id, external_account_id, job_type, lane,
                                exclusive_on_account, trigger, status, created_at)
         SELECT organization_id, job_id, connection_id, external_account_id, $4, $5, $6, 'webhook', 'pending', $7
         FROM UNNEST($1::TEXT[], $2::TEXT[], $3::UUID[]) AS wanted (organization_id, connection_id, job_id)
         JOIN platform_connections AS connection USING (organization_id, connection_id)
         WHERE NOT paused AND problem_code IS NULL AND deleting_at IS NULL
           AND NOT EXISTS (SELECT FROM webhook_endpoints AS endpoint
                           WHERE endpoint.organization_id = connection.organization_id
                             AND endpoint.connection_id = connection.connection_id AND endpoint.paused_by_plan)
         -- Two programs lock in the same order.
         ORDER BY organization_id, connection_id
         ON CONFLICT (organization_id, connection_id, job_type, md5(payload::TEXT)) WHERE status = 'pending'
         DO UPDATE SET trigger = EXCLUDED.trigger
         RETURNING organization_id, job_id",
        &organizations as &[&str],
        &connections as &[&str],
        &job_ids,
        kind.name,
        kind.lane.as_str(),
        kind.exclusive_on_account(),
        now
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter()
        .map(|row| JobRef::stored(row.organization_id, row.job_id))
        .collect()
}

/// Makes a job unless one that does its work is pending, or running where that serves: one of its kind, or of a kind that
/// includes it, with the same payload.
///
/// A job that serves is locked until the transaction ends, so that none begins before the change that it
/// is to serve is committed. Lock the connection first, as every writer does.
#[tracing::instrument(name = "db.job.enqueue", level = "debug", skip_all)]
pub async fn enqueue(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    job: &NewJob<'_>,
    now: DateTime<Utc>,
) -> Result<Enqueued, Error> {
    let no_payload = json!({});
    let payload = job.payload.unwrap_or(&no_payload);
    loop {
        let existing = sqlx::query_scalar!(
            "SELECT job_id FROM sync_jobs
             WHERE organization_id = $1 AND connection_id = $2 AND job_type = ANY($3) AND payload = $5
               AND (status = 'pending' OR ($4 AND status = 'running' AND NOT cancel_requested))
             ORDER BY status = 'running' DESC, created_at LIMIT 1 FOR UPDATE",
            organization.as_str(),
            job.connection_id,
            &job.kind.served_by(),
            job.reuse_running,
            payload
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
            "INSERT INTO sync_jobs (organization_id, job_id, connection_id, external_account_id, job_type, payload,
                                    lane, exclusive_on_account, trigger, status, created_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 'pending', $10)
             ON CONFLICT (organization_id, connection_id, job_type, md5(payload::TEXT)) WHERE status = 'pending'
             DO NOTHING",
            organization.as_str(),
            job.job_id.0,
            job.connection_id,
            job.external_account_id,
            job.kind.name,
            payload,
            job.kind.lane.as_str(),
            job.kind.exclusive_on_account(),
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
