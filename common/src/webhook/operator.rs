//! What operators see and do: the events of all organizations, and of the platform itself.
//!
//! Reading happens in a role of its own, which sees the events of every organization and nothing else. Applying events again
//! is done organization by organization, each in a transaction of its own and with the rights of the organization: when it
//! fails on the way, what was made pending stays so, and asking again does the rest.

use std::ops::Range;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::queries::operator::{payload, replayable};
use super::queries::{self, EventFilter, StoredEvent};
use super::replay::{self, Replay};
use super::statistics::{self, Statistics};
use crate::connector::Connectors;
use crate::db::{self, Pool, Role};
use crate::unit_of_work::Committed;

/// Which events are meant: those of an organization, or of all.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// As it was asked for; one that does not exist has no events.
    pub organization: Option<String>,
    pub filter: EventFilter,
}

impl Selection {
    /// One event, whosever it is.
    pub fn event(event_id: Uuid) -> Self {
        Self {
            organization: None,
            filter: EventFilter {
                event_id: Some(event_id),
                ..EventFilter::default()
            },
        }
    }
}

/// Events that match, the newest first; those after the given one.
pub async fn list(
    pool: &Pool,
    selection: &Selection,
    after: Option<(DateTime<Utc>, Uuid)>,
    limit: i64,
) -> Result<Vec<StoredEvent>, db::Error> {
    let mut tx = db::role_transaction(pool, Role::Operator).await?;
    let organization = selection.organization.as_deref();
    let found = queries::list(&mut tx, organization, &selection.filter, after, limit).await?;
    db::commit(tx).await?;
    Ok(found)
}

/// An event with its body, exactly as received.
pub async fn find(
    pool: &Pool,
    event_id: Uuid,
) -> Result<Option<(StoredEvent, Vec<u8>)>, db::Error> {
    let mut tx = db::role_transaction(pool, Role::Operator).await?;
    let filter = Selection::event(event_id).filter;
    let found = queries::list(&mut tx, None, &filter, None, 1).await?;
    let Some(event) = found.into_iter().next() else {
        return Ok(None);
    };
    let body = payload(&mut tx, &event.organization_id, event_id).await?;
    db::commit(tx).await?;
    // Deleted between the two statements.
    Ok(body.map(|body| (event, body)))
}

/// Statistics of the events of an organization, or of all.
pub async fn statistics(
    pool: &Pool,
    organization: Option<&str>,
    range: Range<DateTime<Utc>>,
) -> Result<Statistics, db::Error> {
    let mut tx = db::role_transaction(pool, Role::Operator).await?;
    let found = statistics::get(&mut tx, organization, range).await?;
    db::commit(tx).await?;
    Ok(found)
}

/// How many events [`replay_of_all`] would make pending.
pub async fn count(pool: &Pool, selection: &Selection) -> Result<i64, db::Error> {
    let mut tx = db::role_transaction(pool, Role::Operator).await?;
    let organization = selection.organization.as_deref();
    let found = replayable(&mut tx, organization, &selection.filter).await?;
    db::commit(tx).await?;
    Ok(found.iter().map(|(_, count)| count).sum())
}

/// What became of a replay over organizations.
#[derive(Debug)]
pub struct ReplayOfAll {
    /// For each organization that had any such events, how many are pending now. To be published in any case.
    pub replayed: Vec<Committed<usize>>,
    /// Why the organizations after those were not reached.
    pub failure: Option<db::Error>,
}

/// Makes events pending, and the jobs that apply them.
pub async fn replay_of_all(
    pool: &Pool,
    connectors: Connectors,
    selection: &Selection,
    now: DateTime<Utc>,
) -> Result<ReplayOfAll, db::Error> {
    let mut tx = db::role_transaction(pool, Role::Operator).await?;
    let organization = selection.organization.as_deref();
    let found = replayable(&mut tx, organization, &selection.filter).await?;
    db::commit(tx).await?;
    let mut replayed = Vec::new();
    let mut failure = None;
    for (organization, _) in found {
        let replay = Replay {
            events: &selection.filter,
            forward: None,
        };
        match replay::replay(pool, connectors, &organization, replay, now).await {
            Ok(of_one) => replayed.push(of_one),
            Err(cause) => {
                failure = Some(cause);
                break;
            }
        }
    }
    Ok(ReplayOfAll { replayed, failure })
}
