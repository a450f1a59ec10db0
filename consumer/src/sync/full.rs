//! A full job: the whole covered range, from a plan that is committed with the rows.
//!
//! "Now" is noted as the events cursor before the first listing, so a change made while pages are read
//! is seen by the next incremental job. A job that was interrupted goes on from its plan; one whose plan
//! waited longer than Stripe keeps events begins anew.

use chrono::{DateTime, TimeDelta, Utc};
use common::sync::queries::last_unfinished_plan;
use common::sync::state::Reached;
use common::sync::{Plan, Span};
use tokio::sync::mpsc;

use super::fetch::{self, FetchedPage};
use super::source::Source;
use super::write::{self, Batch};
use super::{Run, finish};
use crate::outcome::Error;

/// Pages that the reader may be ahead of the writer.
const PAGES_AHEAD: usize = 8;
/// Pages in one commit.
const PAGES_PER_COMMIT: usize = 20;
/// Stripe keeps events for 30 days; a margin for the clocks.
pub(super) const EVENTS_KEPT: TimeDelta = TimeDelta::hours(30 * 24 - 1);

pub(super) async fn run(run: &Run<'_>) -> Result<(), Error> {
    let now = run.engine.clock.now();
    let read_with: Vec<String> = run.charge_fields().into_iter().map(str::to_owned).collect();
    let plan = match &run.job.plan {
        Some(plan) => Some(plan.clone()),
        None => unfinished_plan(run).await?,
    };
    let covered_from = run.connection.covered_from();
    let goes_on = |plan: &Plan| {
        plan.from == covered_from
            && plan.read_with == read_with
            && plan.events_cursor > now - EVENTS_KEPT
    };
    let plan = plan
        .filter(goes_on)
        .unwrap_or_else(|| new_plan(run, covered_from, now, &read_with));
    let source = run.source().await?;
    let plan = if plan.remaining.is_empty() {
        plan
    } else {
        read_and_write(run, &source, plan).await?
    };
    let reached = Reached {
        covered_from,
        full_synced_at: Some(now),
        events_cursor: plan.events_cursor,
        applied_events: Vec::new(),
        read_with,
    };
    finish::complete(run, Some(&reached)).await
}

/// Where a job before this one was given up, so that what it read is not read again.
async fn unfinished_plan(run: &Run<'_>) -> Result<Option<Plan>, Error> {
    let mut tx = run.transaction().await?;
    let since = run.state.full_synced_at;
    let plan =
        last_unfinished_plan(&mut tx, run.organization(), run.connection_id(), since).await?;
    run.commit(tx).await?;
    Ok(plan)
}

fn new_plan(run: &Run<'_>, from: DateTime<Utc>, now: DateTime<Utc>, read_with: &[String]) -> Plan {
    let lag = TimeDelta::from_std(run.engine.event_lag).unwrap_or(TimeDelta::zero());
    // `to` is exclusive and Stripe counts in seconds: the present second belongs to it.
    let to = DateTime::from_timestamp(now.timestamp() + 1, 0).unwrap_or(now);
    Plan {
        read_with: read_with.to_vec(),
        ..Plan::new(from, to, now - lag)
    }
}

/// The reader fetches while the writer commits. A writer that fails ends the reader at once; what a
/// reader that fails has read is still committed.
async fn read_and_write(run: &Run<'_>, source: &Source, plan: Plan) -> Result<Plan, Error> {
    let expand: Vec<String> = plan
        .read_with
        .iter()
        .map(|field| format!("data.{field}"))
        .collect();
    let (sender, receiver) = mpsc::channel::<FetchedPage>(PAGES_AHEAD);
    let read = fetch::read_plan(source, plan.clone(), &expand, sender);
    let write = write_pages(run, source, plan, receiver);
    tokio::pin!(read, write);
    let (read, plan) = tokio::select! {
        read = &mut read => (read, write.await?),
        written = &mut write => {
            let plan = written?;
            (read.await, plan)
        }
    };
    read?;
    if plan.remaining.is_empty() {
        Ok(plan)
    } else {
        Err(Error::BrokeOff)
    }
}

/// Commits pages as they come, with the plan of what is left; that plan in the end.
async fn write_pages(
    run: &Run<'_>,
    source: &Source,
    mut plan: Plan,
    mut receiver: mpsc::Receiver<FetchedPage>,
) -> Result<Plan, Error> {
    let lag = TimeDelta::from_std(run.engine.event_lag).unwrap_or(TimeDelta::zero());
    let mut requests_noted = 0;
    let mut border = Border::default();
    let mut pages = Vec::with_capacity(PAGES_PER_COMMIT);
    while receiver.recv_many(&mut pages, PAGES_PER_COMMIT).await > 0 {
        let mut batch = Batch::default();
        // Before the first commit: our clock may be ahead of Stripe's.
        plan.events_cursor = source.no_later_than_stripe(plan.events_cursor + lag) - lag;
        for page in pages.drain(..) {
            border.sweep(&plan, &page, &mut batch);
            let last = page
                .last
                .as_ref()
                .map(|(id, created)| (id.as_str(), *created));
            if !plan.advance(page.range_to, last) {
                return Err(Error::BrokeOff);
            }
            batch.charges.extend(page.charges);
        }
        let requests = source.requests();
        batch.requests = requests - requests_noted;
        requests_noted = requests;
        write::commit(run, batch, Some(&plan)).await?;
    }
    Ok(plan)
}

/// The second in which a page ended: charges of it stand on both sides of the page's end.
#[derive(Debug, Default)]
struct Border {
    /// The end of the range whose newest second this is.
    range_to: Option<DateTime<Utc>>,
    /// Charges of that second that were read.
    read: Vec<String>,
}

impl Border {
    /// Notes which stretch of time a page completes, so that what is stored of it and was not listed can
    /// go. Spared is what lists may not show yet, and the border's second where a former run read a part
    /// of it.
    fn sweep(&mut self, plan: &Plan, page: &FetchedPage, batch: &mut Batch) {
        let Some(range) = plan
            .remaining
            .iter()
            .find(|range| range.to == page.range_to)
        else {
            return;
        };
        let known = range.after.is_none() || self.range_to == Some(page.range_to);
        let unread = if known {
            TimeDelta::zero()
        } else {
            TimeDelta::seconds(1)
        };
        let to = (page.range_to - unread).min(plan.events_cursor);
        let border = page.last.as_ref().map(|(_, created)| *created);
        let rest_to = border.map(|created| (created + TimeDelta::seconds(1)).min(page.range_to));
        let from = rest_to.unwrap_or(range.from);
        if from < to {
            batch.swept.spans.push(Span { from, to });
            batch.swept.listed_before.extend(self.read.iter().cloned());
        }
        let same_second = rest_to == Some(page.range_to);
        if !same_second {
            self.read.clear();
        }
        let at_border = page
            .charges
            .iter()
            .filter(|charge| Some(charge.created_at) == border);
        self.read
            .extend(at_border.map(|charge| charge.charge_id.clone()));
        // A second of which a part is unknown stays so, however many pages it fills.
        self.range_to = rest_to.filter(|_| known || !same_second);
    }
}
