//! A full job: the whole covered range, from a plan that is committed with the rows.
//!
//! "Now" is noted as the events cursor before the first listing, so a change made while pages are read
//! is seen by the next incremental job. A job that was interrupted goes on from its plan; one whose plan
//! waited longer than Stripe keeps events begins anew.

use chrono::{DateTime, TimeDelta, Utc};
use common::stripe::Client;
use common::sync::Plan;
use common::sync::state::Reached;
use tokio::sync::mpsc;

use super::fetch::{self, FetchedPage};
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
    let covered_from = run.connection.covered_from();
    let plan = match &run.job.plan {
        Some(plan) if plan.from == covered_from && plan.events_cursor > now - EVENTS_KEPT => {
            plan.clone()
        }
        _ => new_plan(run, covered_from, now),
    };
    let reached = Reached {
        covered_from,
        full_synced_at: Some(now),
        events_cursor: plan.events_cursor,
        applied_events: Vec::new(),
    };
    let client = run.client().await?;
    let mut requests_noted = 0;
    if !plan.remaining.is_empty() {
        read_and_write(run, &client, plan, &mut requests_noted).await?;
    }
    finish::complete(run, Some(&reached)).await
}

fn new_plan(run: &Run<'_>, from: DateTime<Utc>, now: DateTime<Utc>) -> Plan {
    let lag = TimeDelta::from_std(run.engine.event_lag).unwrap_or(TimeDelta::zero());
    // `to` is exclusive and Stripe counts in seconds: the present second belongs to it.
    let to = DateTime::from_timestamp(now.timestamp() + 1, 0).unwrap_or(now);
    Plan::new(from, to, now - lag)
}

/// The reader fetches while the writer commits; the first failure of either ends both.
async fn read_and_write(
    run: &Run<'_>,
    client: &Client,
    plan: Plan,
    requests_noted: &mut i64,
) -> Result<(), Error> {
    let expand: Vec<String> = run
        .charge_fields()
        .iter()
        .map(|field| format!("data.{field}"))
        .collect();
    let (sender, mut receiver) = mpsc::channel::<FetchedPage>(PAGES_AHEAD);
    let read = fetch::read_plan(client, plan.clone(), &expand, sender);
    // Moved in, so that a writer that fails closes the channel, which ends the reader.
    let write = async move {
        let mut plan = plan;
        let mut pages = Vec::with_capacity(PAGES_PER_COMMIT);
        while receiver.recv_many(&mut pages, PAGES_PER_COMMIT).await > 0 {
            let mut batch = Batch::default();
            for page in pages.drain(..) {
                let last = page
                    .last
                    .as_ref()
                    .map(|(id, created)| (id.as_str(), *created));
                if !plan.advance(page.range_to, last) {
                    return Err(Error::BrokeOff);
                }
                batch.charges.extend(page.charges);
            }
            let requests = client.requests();
            batch.requests = requests - *requests_noted;
            *requests_noted = requests;
            write::commit(run, batch, Some(&plan)).await?;
        }
        Ok(plan)
    };
    let (read, written) = tokio::join!(read, write);
    let plan = written?;
    read?;
    if plan.remaining.is_empty() {
        Ok(())
    } else {
        Err(Error::BrokeOff)
    }
}
