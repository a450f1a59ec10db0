//! Jobs of all organizations, in the database; `crate::jobs` has the commands.
//!
//! A failed job stays until somebody retries it, and an operator looks for it across tenants, which no
//! token may. Jobs of connections that are being deleted are shown too. A retried job is dispatched by
//! the scheduler within half a minute.

use common::db::{self, Role};
use common::job::{Job, JobId, JobStatus, queries};
use common::tenant::OrganizationId;
use serde_json::{Value, json};
use stripe::sync::Plan;

use super::{Database, Error};
use crate::arguments::JobSelection;

/// The newest jobs that a selection names.
pub(crate) async fn list(
    database: &Database,
    selection: &JobSelection,
) -> Result<Vec<Value>, Error> {
    let mut conn = database.acquire(Role::Scheduler).await?;
    let jobs = queries::list_of_all_tenants(
        &mut conn,
        selection.organization.as_ref(),
        selection.connection.as_deref(),
        selection.status,
        i64::from(selection.limit),
    )
    .await?;
    Ok(jobs.iter().map(as_json).collect())
}

/// A job, or the newest.
pub(crate) async fn show(
    database: &Database,
    job_id: Option<JobId>,
    connection: Option<&str>,
) -> Result<Value, Error> {
    let Some(job_id) = job_id else {
        let newest = JobSelection {
            organization: None,
            connection: connection.map(str::to_owned),
            status: None,
            limit: 1,
        };
        let jobs = list(database, &newest).await?;
        return jobs.into_iter().next().ok_or(Error::NoJobs);
    };
    let organization = owner(database, job_id).await?;
    let mut tx = db::tenant_transaction(&database.pool(Role::Api)?, &organization).await?;
    let job = queries::get(&mut tx, &organization, job_id).await?;
    job.map(|job| as_json(&job)).ok_or(Error::NoJob(job_id.0))
}

/// Whose a job is.
async fn owner(database: &Database, job_id: JobId) -> Result<OrganizationId, Error> {
    let mut conn = database.acquire(Role::Scheduler).await?;
    let found = queries::find_in_all_tenants(&mut conn, job_id).await?;
    Ok(found.ok_or(Error::NoJob(job_id.0))?.organization_id)
}

/// As the engine writes a job, and whose it is.
fn as_json(job: &Job) -> Value {
    let share = match job.status {
        JobStatus::Completed => Some(1.0),
        _ => Plan::of(job).as_ref().map(Plan::share_covered),
    };
    json!({
        "organization_id": job.job_ref.organization_id,
        "job_id": job.job_ref.job_id,
        "connection_id": job.connection_id,
        "job_type": job.kind,
        "trigger": job.trigger,
        "status": job.status,
        "attempt": job.attempt,
        "created_at": job.created_at,
        "started_at": job.started_at,
        "finished_at": job.finished_at,
        "progress": {
            "charges_seen": job.charges_seen,
            "rows_written": job.rows_written,
            "requests": job.requests,
            "percent": share.map(|share| (share * 1000.0).round() / 10.0),
        },
        "error": job.error,
    })
}

/// Makes a failed or cancelled job of whatever organization pending again.
pub async fn retry(database: &Database, job_id: JobId) -> Result<(), Error> {
    let organization = &owner(database, job_id).await?;
    let mut tx = db::tenant_transaction(&database.pool(Role::Api)?, organization).await?;
    match queries::retry(&mut tx, organization, job_id).await {
        Ok(true) => Ok(tx.commit().await.map_err(db::Error::from)?),
        Ok(false) => {
            let job = queries::get(&mut tx, organization, job_id).await?;
            let status = job
                .map(|job| job.status.as_str())
                .ok_or(Error::NoJob(job_id.0))?;
            Err(Error::NotRetriable {
                job_id: job_id.0,
                status,
            })
        }
        Err(db::Error::Conflict { .. }) => Err(Error::JobPending(job_id.0)),
        Err(error) => Err(error.into()),
    }
}
