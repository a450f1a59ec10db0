//! Disconnecting an account: its key is gone and the connection not found any more once this is committed; a job removes
//! what is stored.
//!
//! Done again, it finds nothing more to do. Fails when PostgreSQL does. Deliberately absent: the removal itself, which is
//! the job's.

use chrono::{DateTime, Utc};

use super::queries::{self, ConnectionToDelete};
use super::{ConnectionServices, lookup};
use crate::connector::Connectors;
use crate::credential;
use crate::db::Error;
use crate::job::{self, JobId, Trigger};
use crate::plan_limit;
use crate::tenant::OrganizationId;
use crate::unit_of_work::{Committed, UnitOfWork};

/// Disconnects a connection; returns the job that removes what is stored of it. Another one that the plan pauses takes its room.
pub async fn disconnect(
    services: ConnectionServices<'_>,
    organization: &OrganizationId,
    connection_id: &str,
) -> Result<Committed<JobId>, lookup::Error> {
    let ConnectionServices {
        pool,
        connectors,
        plans,
        now,
    } = services;
    let mut work = UnitOfWork::begin(pool, organization, now).await?;
    if plans.0.is_some() {
        plan_limit::queries::lock_plan(&mut work, organization).await?;
    }
    let connection = lookup::lock(&mut work, organization, connection_id).await?;
    let limits = plans.limits(connection.under_plan.plan.as_deref());
    let connection = ConnectionToDelete {
        connection_id: connection.connection_id,
        connector: connection.connector,
        external_account_id: connection.external_account_id,
        deleting: false,
    };
    let job_id = begin(&mut work, connectors, organization, &connection, now).await?;
    plan_limit::fill_room(&mut work, organization, limits).await?;
    Ok(work.commit(job_id).await?)
}

/// Begins to remove a connection, which the caller has locked: its credential goes, its jobs are cancelled, and a job is
/// made that removes the rest. Where that had begun before, the job that is pending or running continues it, or a new
/// one when that job failed.
pub async fn begin(
    work: &mut UnitOfWork<'_>,
    connectors: Connectors,
    organization: &OrganizationId,
    connection: &ConnectionToDelete,
    now: DateTime<Utc>,
) -> Result<JobId, Error> {
    let connection_id = &connection.connection_id;
    if !connection.deleting {
        queries::mark_deleting(work, organization, connection_id, now).await?;
        credential::queries::delete_all(work, organization, connection_id).await?;
        job::queries::cancel_all(work, organization, connection_id, now).await?;
    }
    let account_id = &connection.external_account_id;
    let delete = connectors.named(&connection.connector)?.kinds().delete;
    let job = work
        .enqueue(connection_id, account_id, delete, Trigger::Manual)
        .await?;
    Ok(job.job_id)
}
