//! An incremental job: events since the cursor say what changed, and the changed objects are read again.
//!
//! The cursor moves only to `now - lag`, since events become visible late; the ids applied in between are
//! remembered, so an idle connection costs one request a run and nothing is applied twice. All types of
//! events are listed: those that change rows are more than Stripe's filter of 20 can name, and two lists
//! would be two requests. A run that finds nothing ends in one transaction. The first run of a day lists the last days again
//! ([`super::recheck`]). A compare job does the same work, so that what events say counts as no difference, and then compares
//! the days that it is about.

use std::collections::{BTreeSet, HashSet};
use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use chrono::{DateTime, TimeDelta, Utc};
use common::catalogue::ObjectType;
use common::connection;
use common::job::lease::{Progress, change_kind, complete_idle, fenced_progress};
use common::webhook::queries::attempts;
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt, TryStreamExt, stream};

use super::Error;
use super::batch::Batch;
use super::changes::{Changes, Ids};
use super::commit;
use super::finish::Completed;
use super::objects::Objects;
use super::retrieve::{self, MAX_CONCURRENT_RETRIEVALS, OBJECTS_PER_COMMIT};
use super::run::Run;
use super::stripe_reader::StripeReader;
use super::windows::{self, Window};
use super::{apply_events, compare, events, fetch, finish, full, recheck};
use crate::charge::{self, out_of_range};
use crate::purchase::{self, PurchaseKind};
use crate::read_client::ListQuery;
use crate::restatement::Causes;
use crate::sync::state::{self, SyncPosition};
use crate::sync::{JobType, List, ParkedObject, Span};
use crate::webhook::EVENT_TYPES;

/// How long Stripe takes at most to deliver an event to an endpoint that works.
const MAX_DELIVERY: TimeDelta = TimeDelta::minutes(10);

/// From where events are to be read; none where only a full job can make the rows what they have to be.
pub(super) fn cursor_to_go_on(run: &Run<'_>) -> Option<DateTime<Utc>> {
    let oldest = run.services.clock.now() - full::EVENT_RETENTION;
    let covers_all = run.state.full_synced_at.is_some()
        // Rows made of other lists, or with other fields of the same charges, would differ from rows made now.
        && run.state.listed_resources == run.listed_resources()
        && run
            .state
            .covered_from
            .is_some_and(|from| from <= run.connection.covered_from());
    let cursor = run.state.events_cursor.filter(|_| covers_all);
    cursor.filter(|&cursor| cursor > oldest)
}

/// Makes the job a full one, which ends this attempt.
pub(super) async fn become_full(run: &Run<'_>) -> Result<(), Error> {
    let mut tx = run.transaction().await?;
    let full = JobType::Full.kind();
    change_kind(&mut tx, &run.fence, full).await?;
    run.commit(tx).await?;
    Err(Error::KindChanged(full))
}

pub(super) async fn run(run: &Run<'_>) -> Result<(), Error> {
    let now = run.services.clock.now();
    let Some(cursor) = cursor_to_go_on(run) else {
        return become_full(run).await;
    };
    let source = run.source()?;
    // Before events are listed: one that comes meanwhile is applied by the job that it causes.
    let pending = apply_events::pending(run).await?;
    let received = pending.len();
    apply_events::apply(run, &source, &pending).await?;
    run.forget_customers();
    let read = read_events(run, &source, cursor).await?;
    let next_cursor = cursor.max(source.clamp_to_server_time(now) - run.lag());
    let next = SyncPosition {
        covered_from: run.connection.covered_from(),
        covered_to: source.read_through(now),
        full_synced_at: None,
        events_cursor: next_cursor,
        applied_events: read.created_since(next_cursor),
        listed_resources: run.listed_resources(),
        recheck: None,
    };
    apply(run, &source, &read.changes).await?;
    if read.missed > 0 {
        run.forget_customers();
        apply_events::apply(run, &source, &apply_events::pending(run).await?).await?;
    }
    if run.webhooks_work.load(Ordering::Relaxed) && is_any_undelivered(run, &source, cursor).await?
    {
        run.webhooks_work.store(false, Ordering::Relaxed);
    }
    let is_compare = run.job.kind == JobType::Compare.as_str();
    let (recheck, compared) = if is_compare {
        compare::compare_days(run, &source, now).await?;
        (None, None)
    } else {
        recheck::run_if_due(run, &source, now).await?.unzip()
    };
    let nothing_happened = !is_compare
        && received == 0
        && read.missed == 0
        && read.changes.is_empty()
        && read.parked.is_empty()
        && recheck.is_none()
        && !run.has_parked.load(Ordering::Relaxed);
    let requests = source.new_requests();
    if nothing_happened && complete_without_changes(run, &next, requests).await? {
        return Ok(());
    }
    let mut rest = Batch {
        requests,
        ..Batch::default()
    };
    rest.objects.parked.extend(read.parked.iter().cloned());
    let readable = read.seen.iter().map(|(id, _)| ("events", id.clone()));
    rest.objects.nothing_to_store.extend(readable);
    commit::commit(run, &source, rest, None).await?;
    let reached = SyncPosition { recheck, ..next };
    finish::complete(run, Completed::Read(&reached, compared.as_ref())).await
}

/// Completes a job that has nothing to write, in one transaction: most jobs are of connections on which nothing
/// happened, and what each costs bounds how many connections a consumer serves. False, with nothing done, when
/// an earlier job left days or the catalogue to be rebuilt.
async fn complete_without_changes(
    run: &Run<'_>,
    reached: &SyncPosition,
    requests: i64,
) -> Result<bool, Error> {
    let (organization, connection_id) = (run.organization(), run.connection_id());
    let now = run.services.clock.now();
    let mut tx = run.transaction().await?;
    if !state::store_position_if_settled(&mut tx, organization, connection_id, reached).await? {
        return Ok(false);
    }
    if run.connection.problem.is_some() {
        connection::queries::clear_problem(&mut tx, organization, connection_id).await?;
    }
    if let Some(next) = run.next_poll(now) {
        connection::queries::set_next_sync(&mut tx, organization, connection_id, next).await?;
    }
    // A job that was given up may have brought the days up to date and not the totals.
    state::refresh_totals(&mut tx, organization, connection_id).await?;
    complete_idle(&mut tx, &run.fence, requests, now).await?;
    run.commit(tx).await?;
    Ok(true)
}

#[derive(Default)]
struct ReadEvents {
    /// What changed by events that no webhook brought.
    changes: Changes,
    /// Every event with the second of its creation.
    seen: Vec<(String, i64)>,
    parked: Vec<ParkedObject>,
    /// Events that are in the inbox now, since a webhook should have brought them.
    missed: usize,
}

impl ReadEvents {
    /// The ids of events that the next job will be shown again.
    fn created_since(&self, cursor: DateTime<Utc>) -> Vec<String> {
        let again = self
            .seen
            .iter()
            .filter(|(_, created)| *created >= cursor.timestamp());
        again.map(|(id, _)| id.clone()).collect()
    }
}

/// Lists the events since the cursor. Those that were applied before, by a job that listed them or by one that webhooks
/// caused, change nothing.
async fn read_events(
    run: &Run<'_>,
    source: &StripeReader,
    cursor: DateTime<Utc>,
) -> Result<ReadEvents, Error> {
    let mut read = ReadEvents::default();
    let applied: HashSet<&String> = run.state.applied_events.iter().collect();
    let mut new = Vec::new();
    events::for_each(source, cursor, usize::MAX, |raw, event| match event {
        Ok(event) => {
            read.seen.push((event.id.clone(), event.created));
            if !applied.contains(&event.id) {
                new.push((raw.to_owned(), event));
            }
        }
        Err(parked) => read.parked.push(parked),
    })
    .await?;
    if new.is_empty() {
        return Ok(read);
    }
    let ids: Vec<String> = new.iter().map(|(_, event)| event.id.clone()).collect();
    let mut tx = run.transaction().await?;
    let known =
        attempts::known_among(&mut tx, run.organization(), run.connection_id(), &ids).await?;
    run.commit(tx).await?;
    let known: HashSet<String> = known.into_iter().collect();
    let mut missed = Vec::new();
    for (raw, event) in new {
        if known.contains(&event.id) {
            continue;
        }
        if run.webhooks_seen && EVENT_TYPES.contains(&event.kind.as_str()) {
            missed.push(raw);
        } else {
            read.changes.add(&event);
        }
    }
    read.changes.leave_out_unread(run);
    read.missed = apply_events::store_missed(run, &missed).await?;
    Ok(read)
}

/// Whether Stripe says of an event since the cursor that it could not deliver it everywhere. Those of the last minutes may
/// still be on their way.
async fn is_any_undelivered(
    run: &Run<'_>,
    source: &StripeReader,
    cursor: DateTime<Utc>,
) -> Result<bool, Error> {
    let query = ListQuery {
        created_gte: Some(cursor.timestamp()),
        created_lt: Some((run.services.clock.now() - MAX_DELIVERY).timestamp()),
        of: Some(("delivery_success", "false")),
        ..ListQuery::default()
    };
    Ok(!source.list("/v1/events", &query).await?.data.is_empty())
}

/// Reads every changed object once and writes it; what charges refer to before the charges.
pub(super) async fn apply(
    run: &Run<'_>,
    source: &StripeReader,
    changes: &Changes,
) -> Result<(), Error> {
    run.note_causes(Causes::events(changes.named_by.clone()));
    for list in List::ALL {
        let ids = changes.of(list);
        if run.reads(list) && !ids.is_empty() {
            read_changed(run, source, list, ids).await?;
        }
    }
    if !run.may_read("customers") {
        return Ok(());
    }
    let customers = customers_to_read(run, &changes.customers).await?;
    for chunk in customers.chunks(OBJECTS_PER_COMMIT) {
        let asked: Vec<BoxFuture<'_, _>> = chunk
            .iter()
            .map(|id| retrieve::retrieve_customer(source, id).boxed())
            .collect();
        let mut batch = Batch::default();
        let read: Vec<Objects> = stream::iter(asked)
            .buffered(MAX_CONCURRENT_RETRIEVALS)
            .try_collect()
            .await?;
        for objects in read {
            batch.objects.append(objects);
        }
        batch.requests = source.new_requests();
        commit::commit(run, source, batch, None).await?;
    }
    Ok(())
}

/// The changed customers that stored rows show and that did not come with a charge since: a customer of no stored
/// charge comes with its first one.
async fn customers_to_read(
    run: &Run<'_>,
    changed: &BTreeSet<String>,
) -> Result<Vec<String>, Error> {
    let locate_error: Vec<&str> = {
        let known = run.known.lock().unwrap_or_else(PoisonError::into_inner);
        let ids = changed.iter().map(String::as_str);
        ids.filter(|id| !known.was_read(id)).collect()
    };
    if locate_error.is_empty() {
        return Ok(Vec::new());
    }
    let mut tx = run.transaction().await?;
    let referenced = charge::queries::referenced_ids(
        &mut tx,
        run.organization(),
        run.connection_id(),
        ObjectType::Customer,
        &locate_error,
    )
    .await?;
    run.commit(tx).await?;
    Ok(referenced)
}

/// Reads changed objects of one list: by pages where these show several of them, the others by their ids. What the
/// list does not show yet is read by its id as well.
async fn read_changed(
    run: &Run<'_>,
    source: &StripeReader,
    list: List,
    ids: Ids,
) -> Result<(), Error> {
    let ids = within_range(run, list, ids).await?;
    let (windows, mut by_id) = plan_requests(run, list, ids).await?;
    let expand = run.list_expansions(list);
    let asked: Vec<BoxFuture<'_, _>> = windows
        .into_iter()
        .map(|window| read_window(source, list, window, &expand).boxed())
        .collect();
    let mut read = stream::iter(asked).buffered(MAX_CONCURRENT_RETRIEVALS);
    while let Some((objects, not_shown)) = read.try_next().await? {
        by_id.extend(not_shown);
        let batch = Batch {
            objects,
            requests: source.new_requests(),
            ..Batch::default()
        };
        commit::commit(run, source, batch, None).await?;
    }
    drop(read);
    retrieve::retrieve_and_write(run, source, list, &by_id).await?;
    Ok(())
}

/// Which objects to read by pages, and which by their ids.
async fn plan_requests(
    run: &Run<'_>,
    list: List,
    mut ids: Ids,
) -> Result<(Vec<Window>, Vec<String>), Error> {
    if ids.len() < 2 {
        return Ok((Vec::new(), ids.into_keys().collect()));
    }
    let (organization, connection_id) = (run.organization(), run.connection_id());
    let mut tx = run.transaction().await?;
    if list == List::Charges {
        // Events of refunds and disputes name the charge and not when it was made.
        let undated = ids.iter().filter(|(_, created)| created.is_none());
        let undated: Vec<String> = undated.map(|(id, _)| id.clone()).collect();
        let stored =
            charge::queries::creation_times(&mut tx, organization, connection_id, &undated).await?;
        for (id, created_at) in stored {
            ids.insert(id, Some(created_at.timestamp()));
        }
    }
    let (dated, undated): (Vec<_>, Vec<_>) = ids.into_iter().partition(|(_, created)| {
        created
            .and_then(|at| DateTime::from_timestamp(at, 0))
            .is_some()
    });
    let dated = dated.into_iter();
    let mut dated: Vec<(i64, String)> = dated
        .filter_map(|(id, created)| Some((created?, id)))
        .collect();
    dated.sort_unstable_by(|one, other| other.cmp(one));
    let gaps = dated.iter().zip(dated.iter().skip(1));
    let gaps: Vec<Span> = gaps
        .map(|((newer, _), (older, _))| Span {
            from: DateTime::from_timestamp(*older, 0).unwrap_or_default(),
            to: DateTime::from_timestamp(*newer, 0).unwrap_or_default(),
        })
        .collect();
    let between = match list {
        List::Charges => {
            charge::queries::count_between(&mut tx, organization, connection_id, &gaps).await?
        }
        List::Invoices | List::CheckoutSessions => {
            let kind = match list {
                List::Invoices => PurchaseKind::Invoice,
                _ => PurchaseKind::CheckoutSession,
            };
            purchase::queries::count_between(&mut tx, organization, connection_id, kind, &gaps)
                .await?
        }
        // Few or new, and no index counts them: those that are new are near each other.
        List::Products | List::Prices | List::PaymentIntents | List::Disputes => {
            let is_new = |gap: &Span| run.state.next_list_from.is_some_and(|at| gap.from >= at);
            gaps.iter()
                .map(|gap| if is_new(gap) { 0 } else { windows::PAGE })
                .collect()
        }
    };
    run.commit(tx).await?;
    let (windows, mut by_id) = windows::plan(&dated, &between);
    by_id.extend(undated.into_iter().map(|(id, _)| id));
    Ok((windows, by_id))
}

/// Reads a window's objects by its pages; what these do not show is given back.
async fn read_window(
    source: &StripeReader,
    list: List,
    window: Window,
    expand: &[String],
) -> Result<(Objects, BTreeSet<String>), Error> {
    let Window { mut range, ids } = window;
    let mut left = ids.clone();
    let mut objects = Objects::default();
    loop {
        let before = left.len();
        let (page, rest) = fetch::read_page(source, list, range, expand, Some(&ids)).await?;
        for (id, _) in &page.listed {
            left.remove(id);
        }
        objects.append(page.objects);
        // Another page is worth its request while it may show several more.
        let shows_some = left.len() < before;
        match rest {
            Some(rest) if shows_some && left.len() > 1 => range = rest,
            _ => return Ok((objects, left)),
        }
    }
}

/// Leaves out what is too old to be stored, as far as it is known; charges among it are noted.
async fn within_range(run: &Run<'_>, list: List, mut ids: Ids) -> Result<Ids, Error> {
    let (organization, connection_id) = (run.organization(), run.connection_id());
    match list {
        List::Invoices | List::CheckoutSessions | List::PaymentIntents => {
            let from = run.connection.purchases_from().timestamp();
            ids.retain(|_, created| created.is_none_or(|at| at >= from));
        }
        List::Charges => {
            let from = run.connection.covered_from();
            let is_old = |at: i64| at < from.timestamp();
            let old: Vec<(String, DateTime<Utc>)> = ids
                .iter()
                .filter_map(|(id, created)| created.filter(|&at| is_old(at)).map(|at| (id, at)))
                .filter_map(|(id, at)| Some((id.clone(), DateTime::from_timestamp(at, 0)?)))
                .collect();
            let named: Vec<String> = ids.keys().cloned().collect();
            let mut tx = run.transaction().await?;
            if !old.is_empty() {
                fenced_progress(&mut tx, &run.fence, Progress::default()).await?;
                out_of_range::record(&mut tx, organization, connection_id, &old).await?;
            }
            let known =
                out_of_range::find(&mut tx, organization, connection_id, &named, from).await?;
            run.commit(tx).await?;
            for (id, _) in known {
                ids.remove(&id);
            }
        }
        List::Products | List::Prices | List::Disputes => {}
    }
    Ok(ids)
}
