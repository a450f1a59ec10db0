//! Applying events again: dead ones, and any others, since applying twice changes nothing that was right.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};

use super::forward::ForwardTypes;
use super::queries::{self, EventFilter};
use crate::connection;
use crate::connector::Connectors;
use crate::db::{self, Pool};
use crate::job::Trigger;
use crate::tenant::OrganizationId;
use crate::unit_of_work::{Committed, UnitOfWork};

/// What is replayed.
#[derive(Debug, Clone, Copy)]
pub struct Replay<'a> {
    pub events: &'a EventFilter,
    /// Types of the events that are delivered to the internal handler again; none of them repeats no delivery.
    pub forward: Option<&'a ForwardTypes>,
}

/// How many events [`replay`] would make pending or deliver again.
pub async fn count(
    pool: &Pool,
    organization: &OrganizationId,
    replay: Replay<'_>,
) -> Result<i64, db::Error> {
    let none = ForwardTypes::default();
    let forwarded = replay.forward.unwrap_or(&none);
    let mut tx = db::tenant_transaction(pool, organization).await?;
    let events = replay.events;
    let count = queries::count_replayable(&mut tx, organization, events, forwarded).await?;
    db::commit(tx).await?;
    Ok(count)
}

/// Makes events pending, and a job for each connection that has any, and their deliveries where that is asked for; how many
/// events. Those of a connection that was deleted since change nothing.
pub async fn replay(
    pool: &Pool,
    connectors: Connectors,
    organization: &OrganizationId,
    replay: Replay<'_>,
    now: DateTime<Utc>,
) -> Result<Committed<usize>, db::Error> {
    let mut work = UnitOfWork::begin(pool, organization, now).await?;
    let mut events = BTreeSet::new();
    // First, as long as the events are still in the state that they are chosen by.
    if let Some(types) = replay.forward {
        let filter = replay.events;
        let forwarded =
            queries::forward::make_pending(&mut work, organization, filter, types, now).await?;
        events.extend(forwarded);
    }
    let replayed = queries::make_pending(&mut work, organization, replay.events).await?;
    events.extend(replayed.iter().map(|event| event.event_id));
    // Those of the platform's endpoints are in no job: they are looked for.
    let connections = replayed.into_iter().filter_map(|event| event.connection_id);
    for connection_id in connections.collect::<BTreeSet<_>>() {
        let found =
            connection::queries::get_for_update(&mut work, organization, &connection_id).await?;
        let Some(connection) = found else { continue };
        let connector = connectors.named(&connection.connector)?;
        if let Some(kind) = connector.kinds().webhook {
            work.enqueue_for_change(&connection, kind, Trigger::Manual)
                .await?;
        }
    }
    work.commit(events.len()).await
}
