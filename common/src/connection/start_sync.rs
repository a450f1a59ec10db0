//! Starting a sync by hand.

use chrono::{DateTime, Utc};

use super::{lookup, queries};
use crate::db::{self, PgConnection, Pool};
use crate::job::Trigger;
use crate::job::queries::Enqueued;
use crate::sync::{JobType, state};
use crate::tenant::OrganizationId;
use crate::unit_of_work::{Committed, UnitOfWork};

/// What to sync.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wanted {
    /// Incremental where a full sync has completed, unless given.
    pub job_type: Option<JobType>,
    /// A longer history than before needs a full sync; a shorter one changes nothing.
    pub lookback_days: Option<i32>,
}

/// Starts a sync, or finds the job that does its work.
pub async fn start_sync(
    pool: &Pool,
    organization: &OrganizationId,
    connection_id: &str,
    wanted: Wanted,
    now: DateTime<Utc>,
) -> Result<Committed<Enqueued>, lookup::Error> {
    let mut work = UnitOfWork::begin(pool, organization, now).await?;
    let mut connection = lookup::lock(&mut work, organization, connection_id).await?;
    let longer = wanted
        .lookback_days
        .filter(|days| *days > connection.lookback_days);
    let job = if let Some(days) = longer {
        connection.lookback_days = days;
        queries::update_settings(&mut work, &connection).await?;
        let account_id = &connection.stripe_account_id;
        work.enqueue_for_change(
            connection_id,
            account_id,
            JobType::Full.kind(),
            Trigger::Manual,
        )
        .await?
    } else {
        let job_type = match wanted.job_type {
            Some(job_type) => job_type,
            None => default_type(&mut work, organization, connection_id).await?,
        };
        let account_id = &connection.stripe_account_id;
        work.enqueue(connection_id, account_id, job_type.kind(), Trigger::Manual)
            .await?
    };
    Ok(work.commit(job).await?)
}

/// Incremental, unless nothing was fully synced before.
pub(crate) async fn default_type(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    connection_id: &str,
) -> Result<JobType, db::Error> {
    let stored = state::get(conn, organization, connection_id).await?;
    Ok(if stored.full_synced_at.is_some() {
        JobType::Incremental
    } else {
        JobType::Full
    })
}
