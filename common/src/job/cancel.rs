//! Cancelling a job: at once while no consumer holds it, else as soon as its consumer hears of it.

use chrono::{DateTime, Utc};

use super::{Cancel, Job, JobId, queries};
use crate::connector::Connectors;
use crate::db::{self, Pool};
use crate::tenant::OrganizationId;

/// Why a job was not cancelled.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the organization has no such job")]
    NotFound,
    #[error("A delete job cannot be cancelled: the connection's key has already been deleted.")]
    Deletes,
    #[error(
        "This job applies a changed setting to stored rows and cannot be cancelled; change the setting instead."
    )]
    AppliesSetting,
    #[error("The job has already ended.")]
    Ended,
    #[error(transparent)]
    Database(#[from] db::Error),
}

/// Cancels a job. What it has stored is kept.
pub async fn cancel(
    pool: &Pool,
    connectors: Connectors,
    organization: &OrganizationId,
    job_id: JobId,
    now: DateTime<Utc>,
) -> Result<Job, Error> {
    let mut tx = db::tenant_transaction(pool, organization).await?;
    let job = queries::get(&mut tx, organization, job_id).await?;
    let job = job.ok_or(Error::NotFound)?;
    if job.status.ended() {
        return Err(Error::Ended);
    }
    match connectors.kind(&job.kind).map(|kind| kind.cancel) {
        Some(Cancel::Removes) => return Err(Error::Deletes),
        Some(Cancel::AppliesSetting) => return Err(Error::AppliesSetting),
        Some(Cancel::Allowed) | None => {}
    }
    // It may have ended since it was read.
    if !queries::cancel(&mut tx, organization, job_id, now).await? {
        return Err(Error::Ended);
    }
    let cancelled = queries::get(&mut tx, organization, job_id).await?;
    db::commit(tx).await?;
    cancelled.ok_or(Error::NotFound)
}
