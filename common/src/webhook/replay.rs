//! Applying events again: dead ones, and any others, since applying twice changes nothing that was right.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};

use super::queries::{self, EventFilter};
use crate::connection;
use crate::connector::Connectors;
use crate::db::{self, Pool};
use crate::job::Trigger;
use crate::tenant::OrganizationId;
use crate::unit_of_work::{Committed, UnitOfWork};

/// How many events [`replay`] would make pending.
pub async fn count(
    pool: &Pool,
    organization: &OrganizationId,
    filter: &EventFilter,
) -> Result<i64, db::Error> {
    let mut tx = db::tenant_transaction(pool, organization).await?;
    let count = queries::count_replayable(&mut tx, organization, filter).await?;
    db::commit(tx).await?;
    Ok(count)
}

/// Makes events pending, and a job for each connection that has any; how many events. Those of a connection that was
/// deleted since change nothing.
pub async fn replay(
    pool: &Pool,
    connectors: Connectors,
    organization: &OrganizationId,
    filter: &EventFilter,
    now: DateTime<Utc>,
) -> Result<Committed<usize>, db::Error> {
    let mut work = UnitOfWork::begin(pool, organization, now).await?;
    let of = queries::make_pending(&mut work, organization, filter).await?;
    let count = of.len();
    for connection_id in BTreeSet::from_iter(of) {
        let found =
            connection::queries::get_for_update(&mut work, organization, &connection_id).await?;
        let Some(connection) = found else { continue };
        let connector = connectors.named(&connection.connector)?;
        if let Some(kind) = connector.kinds().webhook {
            let account_id = &connection.external_account_id;
            work.enqueue_for_change(&connection_id, account_id, kind, Trigger::Manual)
                .await?;
        }
    }
    work.commit(count).await
}
