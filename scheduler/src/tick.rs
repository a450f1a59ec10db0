//! The tick: makes the jobs of every connection that is due.
//!
//! It works in batches, each one transaction that makes the jobs and sets when their connections are
//! due next. A crash before the commit leaves the batch due; one after it leaves jobs of which nobody
//! was informed, which the dispatcher finds.

use std::time::Duration;

use chrono::TimeDelta;
use common::clock;
use common::db;
use common::job::JobId;
use common::job::schedule::{self, Due};
use tracing::{info, warn};

use crate::Scheduler;

/// Connections in one transaction: few enough to commit in well under a second.
const BATCH: usize = 1000;

/// How often a tick comes back for connections that others held, and how long it waits in between.
const MAX_LOCKED_RETRIES: u32 = 10;
const LOCKED_RETRY_PAUSE: Duration = Duration::from_millis(500);

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ticked {
    pub due: usize,
    /// Jobs made for them; the others had one already.
    pub jobs: usize,
}

/// Takes every connection that is due now, and tells consumers of the jobs.
///
/// # Errors
/// When PostgreSQL fails. Batches committed before stay; the rest is still due.
pub async fn tick(scheduler: &Scheduler) -> Result<Ticked, db::Error> {
    let started = tokio::time::Instant::now();
    // One instant for the whole tick, so that it ends: what it takes is due after it.
    let now = scheduler.clock.now();
    let mut ticked = Ticked::default();
    let mut longest_lag = TimeDelta::zero();
    let mut passed_by = 0;
    let kinds = scheduler.connectors.scheduled_kinds();
    let mut conn = scheduler.pool.acquire().await?;
    schedule::hasten_silent(&mut conn, now).await?;
    drop(conn);
    loop {
        let ids: Vec<JobId> = (0..BATCH).map(|_| JobId(clock::new_id(now))).collect();
        let mut tx = scheduler.pool.begin().await?;
        let batch = schedule::take_due(&mut tx, now, &ids, &kinds).await?;
        tx.commit().await?;
        let taken = batch.len();
        ticked.due += taken;
        longest_lag = batch
            .iter()
            .map(|due| now - due.due_at)
            .fold(longest_lag, TimeDelta::max);
        let jobs: Vec<_> = batch
            .into_iter()
            .filter_map(|Due { job, .. }| job)
            .collect();
        ticked.jobs += jobs.len();
        metrics::counter!("stripe_sync_jobs_scheduled_total").increment(jobs.len() as u64);
        scheduler.publish(&jobs).await;
        if taken < BATCH {
            if passed_by == MAX_LOCKED_RETRIES
                || !schedule::any_due(&scheduler.pool, now, &kinds).await?
            {
                break;
            }
            // Another transaction holds a connection that is due, for a moment; the next tick would be a
            // quarter of an hour late for it.
            passed_by += 1;
            tokio::time::sleep(LOCKED_RETRY_PAUSE).await;
        }
    }
    for (connector, connections) in schedule::left_due(&scheduler.pool, now, &kinds).await? {
        warn!(
            connector,
            connections,
            "connections are due whose jobs this program does not know; they wait for a scheduler that has their \
             connector, as a newer one may"
        );
    }
    metrics::gauge!("stripe_sync_due_lag_seconds").set(longest_lag.as_seconds_f64());
    metrics::histogram!("stripe_sync_tick_seconds").record(started.elapsed().as_secs_f64());
    info!(
        due = ticked.due,
        jobs = ticked.jobs,
        lag_secs = longest_lag.num_seconds(),
        "ticked"
    );
    Ok(ticked)
}
