//! What the sync of a connection is at, as people see it.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use common::connection::lookup;
use common::connection::overview::{self, Overview};
use common::connector::Connectors;
use common::db::{self, Pool};
use common::job::{Job, queries};
use common::tenant::OrganizationId;

use super::state::{self, SyncState};

#[derive(Debug)]
pub struct SyncStatus {
    pub overview: Overview,
    /// The most recent one.
    pub last_job: Option<Job>,
    pub state: SyncState,
}

/// The sync status of a connection.
pub async fn get(
    pool: &Pool,
    connectors: Connectors,
    organization: &OrganizationId,
    connection_id: &str,
) -> Result<SyncStatus, lookup::Error> {
    let mut tx = db::tenant_transaction(pool, organization).await?;
    let connection = lookup::find(&mut tx, organization, connection_id).await?;
    let overview = overview::of(&mut tx, connectors, connection).await?;
    let last_job = queries::list(&mut tx, organization, connection_id, None, 1)
        .await?
        .pop();
    let state = state::get(&mut tx, organization, connection_id).await?;
    db::commit(tx).await?;
    Ok(SyncStatus {
        overview,
        last_job,
        state,
    })
}

/// Up to when Stripe was read, of each connection of an organization that was synced.
pub async fn last_syncs(
    pool: &Pool,
    organization: &OrganizationId,
) -> Result<HashMap<String, DateTime<Utc>>, db::Error> {
    let mut tx = db::tenant_transaction(pool, organization).await?;
    let last_syncs = state::last_syncs(&mut tx, organization).await?;
    db::commit(tx).await?;
    Ok(last_syncs)
}
