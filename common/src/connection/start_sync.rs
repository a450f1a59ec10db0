//! Starting a sync by hand.

use super::{Connection, ConnectionServices, lookup, queries};
use crate::connector::Connector;
use crate::job::enqueue::Enqueued;
use crate::job::{JobKind, Trigger};
use crate::tenant::OrganizationId;
use crate::unit_of_work::{Committed, UnitOfWork};

/// How much to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// The whole covered range.
    Full,
    /// What changed since the last sync.
    Incremental,
}

/// What to sync.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wanted {
    /// Incremental where a full sync has completed, unless given.
    pub mode: Option<Mode>,
    /// A longer history than before needs a full sync; a shorter one changes nothing.
    pub lookback_days: Option<i32>,
}

/// Starts a sync, or finds the job that does its work.
///
/// # Errors
/// [`lookup::Error::PlanLimit`] for more history than the plan allows, and for a connection that is paused while as many others
/// are synced as it allows.
pub async fn start_sync(
    services: ConnectionServices<'_>,
    organization: &OrganizationId,
    connection_id: &str,
    wanted: Wanted,
) -> Result<Committed<Enqueued>, lookup::Error> {
    let done = start(services, organization, connection_id, wanted).await;
    services.plans.explain(done).await
}

async fn start(
    services: ConnectionServices<'_>,
    organization: &OrganizationId,
    connection_id: &str,
    wanted: Wanted,
) -> Result<Committed<Enqueued>, lookup::Error> {
    let mut work = UnitOfWork::begin(services.pool, organization, services.now).await?;
    let mut connection = lookup::lock(&mut work, organization, connection_id).await?;
    services.plans.check_paused(&mut work, &connection).await?;
    let connector = services.connectors.named(&connection.connector)?;
    let longer = wanted
        .lookback_days
        .filter(|days| *days > connection.lookback_days);
    let job = if let Some(days) = longer {
        services.plans.check_lookback(&connection, days)?;
        connection.lookback_days = days;
        queries::update_settings(&mut work, &connection).await?;
        let full = connector.kinds().full;
        work.enqueue_for_change(&connection, full, Trigger::Manual)
            .await?
    } else {
        let kind = match wanted.mode {
            Some(Mode::Full) => connector.kinds().full,
            Some(Mode::Incremental) => connector.kinds().incremental,
            None => scheduled_kind(connector, &connection),
        };
        let account_id = &connection.external_account_id;
        work.enqueue(connection_id, account_id, kind, Trigger::Manual)
            .await?
    };
    Ok(work.commit(job).await?)
}

/// What the schedule would make: incremental, unless nothing was fully synced before.
pub(super) fn scheduled_kind(connector: &dyn Connector, connection: &Connection) -> JobKind {
    let kinds = connector.kinds();
    if connection.scheduled_job_type == kinds.incremental.name {
        kinds.incremental
    } else {
        kinds.full
    }
}
