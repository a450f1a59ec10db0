//! An incremental job: events since the cursor say what changed, and the changed objects are read again.
//!
//! The cursor moves only to `now - lag`, since events become visible late; the ids applied in between are
//! remembered, so an idle connection costs one request a run and nothing is applied twice. All types of
//! events are listed: those that change rows are more than Stripe's filter of 20 can name, and two lists
//! would be two requests.

use chrono::{DateTime, TimeDelta, Utc};
use common::catalogue::CatalogObject;
use common::charge::Charge;
use common::stripe::{self, Customer, Event, ListQuery};
use common::sync::lease::widen_to_full;
use common::sync::state::Reached;

use super::changes::Changes;
use super::source::Source;
use super::write::{self, Batch};
use super::{Run, fetch, finish, full};
use crate::outcome::Error;

const EVENTS: &str = "/v1/events";
const CUSTOMERS: &str = "/v1/customers";
/// Charges or customers read one by one between two commits.
const OBJECTS_PER_COMMIT: usize = 100;

pub(super) async fn run(run: &Run<'_>) -> Result<(), Error> {
    let now = run.engine.clock.now();
    let cursor = run
        .state
        .events_cursor
        .filter(|&cursor| cursor > now - full::EVENTS_KEPT);
    let covers_all = run.state.full_synced_at.is_some()
        // Rows read with other fields of the same charges would differ from rows read now.
        && run.state.read_with == run.charge_fields()
        && run
            .state
            .covered_from
            .is_some_and(|from| from <= run.connection.covered_from());
    let Some(cursor) = cursor.filter(|_| covers_all) else {
        let mut tx = run.transaction().await?;
        widen_to_full(&mut tx, &run.fence).await?;
        run.commit(tx).await?;
        return full::run(run).await;
    };
    let source = run.source().await?;
    let lag = TimeDelta::from_std(run.engine.event_lag).unwrap_or(TimeDelta::zero());
    let read = read_events(&source, cursor, &run.state.applied_events).await?;
    let next_cursor = cursor.max(source.no_later_than_stripe(now) - lag);
    let mut requests_noted = 0;
    if !read.changes.is_empty() {
        apply(run, &source, &read.changes, now, &mut requests_noted).await?;
    }
    let rest = Batch {
        requests: source.requests() - requests_noted,
        ..Batch::default()
    };
    write::commit(run, rest, None).await?;
    let reached = Reached {
        covered_from: run.connection.covered_from(),
        full_synced_at: None,
        events_cursor: next_cursor,
        applied_events: read.created_since(next_cursor),
        read_with: run.charge_fields().into_iter().map(str::to_owned).collect(),
    };
    finish::complete(run, Some(&reached)).await
}

struct ReadEvents {
    changes: Changes,
    /// Every event with the second of its creation.
    seen: Vec<(String, i64)>,
}

impl ReadEvents {
    /// The ids of events that the next job will be shown again.
    fn created_since(self, cursor: DateTime<Utc>) -> Vec<String> {
        let again = |(id, created): (String, i64)| (created >= cursor.timestamp()).then_some(id);
        self.seen.into_iter().filter_map(again).collect()
    }
}

async fn read_events(
    source: &Source,
    cursor: DateTime<Utc>,
    applied: &[String],
) -> Result<ReadEvents, Error> {
    let mut read = ReadEvents {
        changes: Changes::default(),
        seen: Vec::new(),
    };
    let mut after: Option<String> = None;
    loop {
        let query = ListQuery {
            created_gte: Some(cursor.timestamp()),
            starting_after: after.as_deref(),
            ..ListQuery::default()
        };
        let page = source.list(EVENTS, &query).await?;
        let mut oldest = None;
        for raw in &page.data {
            let event: Event = fetch::read_object(EVENTS, raw)?;
            if !applied.contains(&event.id) {
                read.changes.add(&event);
            }
            read.seen.push((event.id.clone(), event.created));
            oldest = Some(event.id);
        }
        after = oldest.filter(|_| page.has_more);
        if after.is_none() {
            return Ok(read);
        }
    }
}

/// Reads every changed object once and writes it.
async fn apply(
    run: &Run<'_>,
    source: &Source,
    changes: &Changes,
    now: DateTime<Utc>,
    requests_noted: &mut i64,
) -> Result<(), Error> {
    let fields = run.charge_fields();
    let mut new = list_new_charges(run, source, changes, now).await?;
    let alone: Vec<&String> = changes
        .charges
        .keys()
        .filter(|id| !new.iter().any(|charge| &charge.charge_id == *id))
        .collect();
    let mut since = |source: &Source| {
        let requests = source.requests();
        requests - std::mem::replace(requests_noted, requests)
    };
    while !new.is_empty() {
        let rest = new.split_off(new.len().min(OBJECTS_PER_COMMIT * 10));
        let listed = std::mem::replace(&mut new, rest);
        write::commit(
            run,
            Batch {
                charges: listed,
                requests: since(source),
                ..Batch::default()
            },
            None,
        )
        .await?;
    }
    for chunk in alone.chunks(OBJECTS_PER_COMMIT) {
        let mut batch = Batch::default();
        for &id in chunk {
            match fetch::retrieve_charge(source, id, &fields).await? {
                Some(charge) => batch.charges.push(charge),
                None => batch.gone.push(id.clone()),
            }
        }
        batch.requests = since(source);
        write::commit(run, batch, None).await?;
    }
    let customers: Vec<&String> = changes
        .customers
        .iter()
        .filter(|_| run.may_read("customers"))
        .collect();
    for chunk in customers.chunks(OBJECTS_PER_COMMIT) {
        let mut batch = Batch::default();
        for &id in chunk {
            match retrieve_customer(source, id).await {
                Ok(customer) => batch.customers.push(customer),
                Err(Error::Stripe(stripe::Error::PermissionMissing { message, .. })) => {
                    // Optional: the next job reads what it may, all of it alike.
                    return run.lose_permission("customers", &message).await;
                }
                Err(error) => return Err(error),
            }
        }
        batch.requests = since(source);
        write::commit(run, batch, None).await?;
    }
    Ok(())
}

/// Several new charges are read by one listing instead of one by one. What the list does not show yet
/// is left to be read by its id.
async fn list_new_charges(
    run: &Run<'_>,
    source: &Source,
    changes: &Changes,
    now: DateTime<Utc>,
) -> Result<Vec<Charge>, Error> {
    let since = run.state.next_sync_from.unwrap_or(now).timestamp();
    let new: Vec<i64> = changes
        .created_since(since)
        .map(|(_, created)| created)
        .collect();
    let (Some(&oldest), true) = (new.iter().min(), new.len() > 1) else {
        return Ok(Vec::new());
    };
    let from = DateTime::from_timestamp(oldest, 0).unwrap_or(now);
    // Beyond our own clock too: Stripe's may be ahead.
    let to =
        DateTime::from_timestamp(new.iter().copied().max().unwrap_or(oldest) + 1, 0).unwrap_or(now);
    let expand: Vec<String> = run
        .charge_fields()
        .iter()
        .map(|field| format!("data.{field}"))
        .collect();
    fetch::list_charges(source, from, to, &expand).await
}

/// A customer as it is now; one that Stripe does not know any more counts as deleted.
async fn retrieve_customer(source: &Source, id: &str) -> Result<CatalogObject, Error> {
    let Some(raw) = source.retrieve(CUSTOMERS, id, &[]).await? else {
        let metadata = serde_json::Map::new();
        return Ok(CatalogObject {
            object_id: id.to_owned(),
            metadata,
            deleted: true,
        });
    };
    fetch::read_object::<Customer>(CUSTOMERS, &raw).map(CatalogObject::from)
}
