//! Trying a failed or cancelled job again; it continues where it stopped.

use super::{ConnectionServices, lookup, queries};
use crate::db;
use crate::job::{self, Cancel, Job, JobId, JobKind};
use crate::plan_limit::PlanLimit;
use crate::tenant::OrganizationId;
use crate::unit_of_work::{Committed, UnitOfWork};

/// Why a job is not tried again.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the organization has no such job")]
    NotFound,
    #[error("The connection of this job was deleted.")]
    ConnectionDeleted,
    #[error("Only a failed or cancelled job can be retried.")]
    NotEnded,
    #[error("Another job of this type is already pending.")]
    OtherPending,
    /// The plan pauses the connection.
    #[error(transparent)]
    PlanLimit(#[from] PlanLimit),
    #[error(transparent)]
    Database(#[from] db::Error),
}

impl From<lookup::Error> for Error {
    fn from(error: lookup::Error) -> Self {
        match error {
            lookup::Error::NotFound => Self::ConnectionDeleted,
            lookup::Error::PlanLimit(refusal) => Self::PlanLimit(refusal),
            lookup::Error::Database(cause) => Self::Database(cause),
        }
    }
}

/// Makes a failed or cancelled job pending again.
pub async fn retry_job(
    services: ConnectionServices<'_>,
    organization: &OrganizationId,
    job_id: JobId,
) -> Result<Committed<Job>, Error> {
    match retry(services, organization, job_id).await {
        Err(Error::PlanLimit(refusal)) => Err(services.plans.with_plan(refusal).await.into()),
        done => done,
    }
}

async fn retry(
    services: ConnectionServices<'_>,
    organization: &OrganizationId,
    job_id: JobId,
) -> Result<Committed<Job>, Error> {
    let mut work = UnitOfWork::begin(services.pool, organization, services.now).await?;
    let job = job::queries::get(&mut work, organization, job_id).await?;
    let job = job.ok_or(Error::NotFound)?;
    let connection = queries::get(&mut work, organization, &job.connection_id).await?;
    let removes = |kind: JobKind| kind.cancel == Cancel::Removes;
    if connection.is_none() && !services.connectors.kind(&job.kind).is_some_and(removes) {
        return Err(Error::ConnectionDeleted);
    }
    if let Some(connection) = connection {
        services.plans.check_paused(&mut work, &connection).await?;
    }
    match job::queries::retry(&mut work, organization, job_id).await {
        Ok(true) => {}
        Ok(false) => return Err(Error::NotEnded),
        Err(db::Error::Conflict { .. }) => return Err(Error::OtherPending),
        Err(error) => return Err(error.into()),
    }
    let pending = job::queries::get(&mut work, organization, job_id).await?;
    work.wake(job.job_ref);
    Ok(work.commit(pending.ok_or(Error::NotFound)?).await?)
}
