//! A full job: the whole covered range of every list that the key may read, from a plan that is committed
//! with the rows.
//!
//! "Now" is noted as the events cursor before the first listing, so a change made while pages are read
//! is seen by the next incremental job; what changed before it is in the pages, and its events are noted as applied. A job that was interrupted goes on from its plan; one whose plan
//! waited longer than Stripe keeps events restarts.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use common::catalogue::ObjectType;
use common::db;
use common::job::lease::{Progress, fenced_checkpoint, fenced_progress};
use futures::FutureExt as _;
use tokio::sync::mpsc;

use super::Error;
use super::apply_events;
use super::batch::Batch;
use super::commit;
use super::compare::Compared;
use super::events::Superseded;
use super::fetch::{self, FetchedPage};
use super::finish;
use super::finish::Completed;
use super::run::Run;
use super::stripe_reader::{STRIPE_CLOCK_STEP, StripeReader};
use super::sweep::Sweep;
use crate::analytics::refresh::Locked;
use crate::charge::queries;
use crate::dispute;
use crate::purchase::{self, PurchaseKind};
use crate::referenced;
use crate::refund;
use crate::sync::resumable_plan::resumable_plan;
use crate::sync::state::{Recheck, SyncPosition};
use crate::sync::{List, Plan, parked};

/// Pages that the readers may be ahead of the writer, so that they need not wait while it commits.
const PAGES_AHEAD: usize = 16;
const PAGES_PER_COMMIT: usize = 12;
/// Lines of invoices and sessions beyond which a commit takes no further page: an invoice may have thousands.
const LINES_PER_COMMIT: usize = 20_000;
/// Rows that a job has written when PostgreSQL is to plan for many of them, and by how much they grow until it
/// is again: autovacuum comes too late for a first sync.
const FIRST_ANALYZE_ROWS: i64 = 1_000;
const ANALYZE_GROWTH_FACTOR: i64 = 8;
/// How long ago a first sync may have been given up that the next one continues.
const MAX_RESUME_AGE: TimeDelta = TimeDelta::days(2);
/// Stripe keeps events for 30 days; a margin for the clocks.
pub(super) const EVENT_RETENTION: TimeDelta = TimeDelta::hours(30 * 24 - 1);

pub(super) async fn run(run: &Run<'_>) -> Result<(), Error> {
    let now = run.services.clock.now();
    let listed_resources = run.listed_resources();
    let plan = resume_plan(run, now).await?;
    let covered_from = run.connection.covered_from();
    let goes_on = |plan: &Plan| {
        plan.from == covered_from
            && plan.listed_resources == listed_resources
            && plan.reading(List::Charges).is_some()
            && plan.events_cursor > now - EVENT_RETENTION
    };
    let source = run.source()?;
    let (plan, mut superseded) = if let Some(plan) = plan.filter(goes_on) {
        (plan, Superseded::default())
    } else {
        let plan = begin(run, covered_from, now, &listed_resources).await?;
        let superseded = Superseded::read(run, &source, plan.events_cursor).await?;
        (plan, superseded)
    };
    let read = if plan.is_done() {
        Read { plan, rows: 0 }
    } else {
        read_and_write(run, &source, plan, Checkpoint::Persist, &mut superseded).await?
    };
    // Everything is as of when the plan was made, which may have been by an attempt of long ago.
    let begun_at = read.plan.to.min(now);
    apply_events::mark_processed(run, &superseded.take_pending(), now).await?;
    // The plan counts in seconds: what was parked in the second of its beginning may be its own.
    release_parked_before(run, read.plan.to - TimeDelta::seconds(1)).await?;
    // By Stripe's clock where ours is ahead: the cursor is.
    let stripe_at = read.plan.events_cursor + run.lag() + STRIPE_CLOCK_STEP;
    let reached = SyncPosition {
        covered_from,
        covered_to: begun_at.min(stripe_at),
        full_synced_at: Some(begun_at),
        events_cursor: read.plan.events_cursor,
        applied_events: superseded.ids_since(read.plan.events_cursor),
        listed_resources,
        recheck: Some(Recheck {
            on: run.connection.date_of(read.plan.events_cursor),
            rows_repaired: 0,
        }),
    };
    // What changed while it listed, and came by no webhook, is not to wait for hours.
    run.webhooks_work.store(false, Ordering::Relaxed);
    finish::complete(run, Completed::Read(&reached, None)).await
}

/// Where this job was interrupted, or where a first one was given up, so that what it read is not read again.
async fn resume_plan(run: &Run<'_>, now: DateTime<Utc>) -> Result<Option<Plan>, Error> {
    let of_others_since = match run.state.full_synced_at {
        // Whoever asks for another full sync wants everything read again.
        Some(_) => now,
        None => now - MAX_RESUME_AGE,
    };
    let mut tx = run.transaction().await?;
    let plan = resumable_plan(&mut tx, run.job, of_others_since).await?;
    run.commit(tx).await?;
    Ok(plan)
}

/// Makes the plan, and forgets what the key may not read: the rows are rebuilt without it.
async fn begin(
    run: &Run<'_>,
    from: DateTime<Utc>,
    now: DateTime<Utc>,
    listed_resources: &[String],
) -> Result<Plan, Error> {
    // `to` is exclusive and Stripe counts in seconds: the present second belongs to it.
    let to = DateTime::from_timestamp(now.timestamp() + 1, 0).unwrap_or(now);
    // Rows that were made of something else differ for another reason.
    let comparable =
        run.state.full_synced_at.is_some() && run.state.listed_resources == listed_resources;
    let mut plan = Plan {
        known_from: run.state.covered_from.filter(|_| comparable),
        listed_resources: listed_resources.to_vec(),
        ..Plan::new(from, to, now - run.lag())
    };
    let mut tx = run.transaction().await?;
    let stored = queries::any_stored(&mut tx, run.organization(), run.connection_id()).await?;
    plan.begun_empty = !stored;
    for list in List::ALL {
        if run.reads(list) {
            plan = match list {
                List::Charges => plan,
                List::Disputes => plan.with_list(list, from),
                List::Invoices | List::CheckoutSessions | List::PaymentIntents => {
                    plan.with_list_without_end(list, run.connection.purchases_from())
                }
                // However old: charges of today are made with products of long ago.
                List::Products | List::Prices => plan.with_list(list, DateTime::UNIX_EPOCH),
            };
        } else {
            forget(run, &mut tx, list).await?;
        }
    }
    if !run.may_read("refunds") {
        refund::queries::forget_all(&mut tx, run.organization(), run.connection_id()).await?;
    }
    fenced_checkpoint(&mut tx, &run.fence, Progress::default(), Some(&plan)).await?;
    run.commit(tx).await?;
    Ok(plan)
}

/// An object that is listed again is unparked as it is read, or parked again. Any other parked object is no longer listed.
async fn release_parked_before(run: &Run<'_>, begun_at: DateTime<Utc>) -> Result<(), Error> {
    if !run.has_parked.load(Ordering::Relaxed) {
        return Ok(());
    }
    let mut tx = run.transaction().await?;
    parked::release_older(&mut tx, run.organization(), run.connection_id(), begun_at).await?;
    fenced_progress(&mut tx, &run.fence, Progress::default()).await?;
    run.commit(tx).await?;
    Ok(())
}

async fn forget(run: &Run<'_>, tx: &mut sqlx::PgConnection, list: List) -> Result<(), db::Error> {
    let (organization, connection_id) = (run.organization(), run.connection_id());
    let object_type = match list {
        List::Charges => return Ok(()),
        List::Invoices | List::CheckoutSessions => {
            let kind = match list {
                List::Invoices => PurchaseKind::Invoice,
                _ => PurchaseKind::CheckoutSession,
            };
            return purchase::queries::delete_kind(tx, organization, connection_id, kind).await;
        }
        List::Disputes => {
            return dispute::queries::forget_all(tx, organization, connection_id).await;
        }
        List::Products => ObjectType::Product,
        List::Prices => ObjectType::Price,
        List::PaymentIntents => ObjectType::PaymentIntent,
    };
    referenced::queries::clear_metadata_of_type(
        tx,
        organization.as_str(),
        connection_id,
        object_type,
    )
    .await
}

/// Whether the plan is committed with what was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Checkpoint {
    Persist,
    Skip,
}

/// What reading a plan came to.
#[derive(Debug)]
pub(super) struct Read {
    pub(super) plan: Plan,
    pub(super) rows: i64,
}

/// The readers fetch while the writer commits. A writer that fails ends the readers at once; what readers
/// that fail have read is still committed.
pub(super) async fn read_and_write(
    run: &Run<'_>,
    source: &Arc<StripeReader>,
    plan: Plan,
    checkpoint: Checkpoint,
    superseded: &mut Superseded,
) -> Result<Read, Error> {
    let (sender, receiver) = mpsc::channel::<FetchedPage>(PAGES_AHEAD);
    let (background, background_work) = mpsc::unbounded_channel();
    let expand = |list: List| run.list_expansions(list);
    let read = fetch::read_plan(source, plan.clone(), expand, sender);
    let write = write_pages(
        run, source, plan, receiver, background, checkpoint, superseded,
    );
    let run_background = run_background(run, background_work);
    // Each has a place of its own: together they are more than a stack should hold.
    let (mut read, mut write, run_background) =
        (read.boxed(), write.boxed(), run_background.boxed());
    let read_and_written = async {
        tokio::select! {
            read = &mut read => Ok((read, write.await?)),
            written = &mut write => {
                let written = written?;
                Ok::<_, Error>((read.await, written))
            }
        }
    };
    let worked = async {
        let (read, written) = read_and_written.await?;
        read?;
        if !written.plan.is_done() {
            return Err(Error::TaskEndedEarly);
        }
        // From here on the job works without a pause, so it needs a slot.
        run.budget.set_spent();
        // What is left, without a wait for the other connection's last days.
        finish::refresh_rest(run, finish::FIRST_DAYS, Locked::Skip).await?;
        Ok(written)
    };
    let (written, ()) = tokio::try_join!(worked, run_background)?;
    Ok(written)
}

/// Work that the writer leaves to another connection, so that no page waits for it.
#[derive(Debug)]
enum Background {
    /// All that a day's rows are made of was read.
    RefreshDay(NaiveDate),
    /// There are many more rows than PostgreSQL plans for.
    Analyze,
}

/// Refreshes days that are complete while others are still read, and whatever is stale when the writer has ended.
async fn run_background(
    run: &Run<'_>,
    mut work: mpsc::UnboundedReceiver<Background>,
) -> Result<(), Error> {
    let mut days = Vec::new();
    let mut limit = finish::FIRST_DAYS;
    loop {
        if (days.len() as i64) < finish::FIRST_DAYS || !work.is_empty() {
            match work.recv().await {
                None => return Ok(()),
                Some(Background::RefreshDay(day)) => days.push(day),
                Some(Background::Analyze) => {
                    let mut tx = run.transaction().await?;
                    queries::analyze_revenue_data(&mut tx).await?;
                    run.commit(tx).await?;
                }
            }
        } else if work.is_closed() {
            return finish::refresh_rest(run, limit, Locked::Skip).await;
        } else {
            match finish::refresh_some(run, limit, Some(&days), Locked::Skip).await? {
                Some(next) => limit = next,
                None => days.clear(),
            }
        }
    }
}

/// Commits pages as they come, with the plan of what is left; that plan in the end.
async fn write_pages(
    run: &Run<'_>,
    source: &StripeReader,
    mut plan: Plan,
    mut receiver: mpsc::Receiver<FetchedPage>,
    background: mpsc::UnboundedSender<Background>,
    checkpoint: Checkpoint,
    superseded: &mut Superseded,
) -> Result<Read, Error> {
    let lag = run.lag();
    let mut sweep = Sweep::default();
    let mut rows = 0;
    let mut scheduled = BTreeSet::new();
    let mut compared = BTreeSet::new();
    let mut rows_to_analyze = FIRST_ANALYZE_ROWS;
    let mut pages = Vec::with_capacity(PAGES_PER_COMMIT);
    while receiver.recv_many(&mut pages, PAGES_PER_COMMIT).await > 0 {
        // Before the first commit: our clock may be ahead of Stripe's.
        plan.events_cursor = source.clamp_to_server_time(plan.events_cursor + lag) - lag;
        let mut batch = Batch::default();
        let mut lines = 0;
        let mut left = pages.len();
        for page in pages.drain(..) {
            left -= 1;
            lines += page.objects.line_count();
            sweep.note(&plan, &page, &mut batch.swept);
            superseded.note(&page);
            let oldest = page
                .oldest
                .as_ref()
                .map(|(id, created)| (id.as_str(), *created));
            let rest_to = page.rest_to();
            let advanced = plan.advance(page.list, page.range_to, oldest);
            let mut ends = rest_to.into_iter().chain(page.split_at.iter().copied());
            let split = page.split_at.iter().all(|at| {
                ends.next()
                    .is_some_and(|end| plan.split(page.list, end, *at))
            });
            if !advanced || !split {
                return Err(Error::TaskEndedEarly);
            }
            batch.objects.append(page.objects);
            if left > 0 && lines < LINES_PER_COMMIT {
                continue;
            }
            lines = 0;
            batch.requests = source.new_requests();
            let mut days = match checkpoint {
                Checkpoint::Persist => plan.compared_days(|at| run.connection.date_of(at)),
                // Whoever called notes them when the job completes.
                Checkpoint::Skip => Vec::new(),
            };
            days.retain(|day| compared.insert(*day));
            batch.compared = Some(Compared::of(run, &plan, days));
            let kept = match checkpoint {
                Checkpoint::Persist => Some(&plan),
                Checkpoint::Skip => None,
            };
            rows += commit::commit(run, source, std::mem::take(&mut batch), kept).await?;
        }
        if checkpoint == Checkpoint::Persist {
            let days = plan.complete_days(|instant| run.connection.date_of(instant));
            for day in days {
                if scheduled.insert(day) {
                    // Nobody listens when that work has failed, which ends the job.
                    let _ = background.send(Background::RefreshDay(day));
                }
            }
        }
        if rows >= rows_to_analyze {
            rows_to_analyze = rows * ANALYZE_GROWTH_FACTOR;
            // As above.
            let _ = background.send(Background::Analyze);
        }
    }
    Ok(Read { plan, rows })
}
