//! Work that is claimed from a table by a lease, apart from jobs: what is due is claimed, each item worked on by itself, and
//! what a killed consumer held is claimed again once its lease ends.
//!
//! No transaction is open while an item is worked on, and no slot of a job is held. Fails with PostgreSQL, whose absence only
//! delays. Deliberately absent: what an item is, and what becomes of one that fails, which its [`LeasedWork`] decides.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use common::db;
use common::lifecycle::Context;
use common::outage::Outage;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use crate::worker::STATEMENT_TIMEOUT;

/// Claims and does one sort of work. Cheap to clone.
#[async_trait]
pub(crate) trait LeasedWork: Clone + Send + Sync + 'static {
    type Item: Send + Sync + 'static;

    /// What is done when claiming fails, for the log: `claiming events to forward`.
    const CLAIMING: &'static str;
    /// Items of one process at the same time.
    const CONCURRENCY: usize;

    /// How often what is due is looked for.
    fn poll_interval(&self) -> Duration {
        Duration::from_secs(1)
    }

    /// Claims up to `limit` items.
    async fn claim(&self, limit: i64) -> Result<Vec<Self::Item>, db::Error>;

    /// Works on an item and stores what came of it.
    async fn work(&self, item: Self::Item);
}

/// Does what is due until asked to stop, then waits for what is under way.
pub(crate) async fn run<W: LeasedWork>(work: W, context: &Context) {
    let free = Arc::new(Semaphore::new(W::CONCURRENCY));
    let running = TaskTracker::new();
    let outage = Outage::new(W::CLAIMING);
    while let Some(permits) = some_permits(&free, context).await {
        let held = permits.num_permits();
        // Not stopped in the middle, so that nothing is claimed and then forgotten for as long as a lease.
        let claimed = timeout(STATEMENT_TIMEOUT, work.claim(held as i64)).await;
        let claimed = claimed.unwrap_or(Err(db::Error::Unavailable(sqlx::Error::PoolTimedOut)));
        let claimed = match claimed {
            Ok(claimed) => {
                outage.worked();
                claimed
            }
            Err(cause) => {
                outage.failed(&cause);
                Vec::new()
            }
        };
        let more_may_be_due = claimed.len() == held;
        start(&work, &running, permits, claimed);
        if !more_may_be_due && !context.sleep(work.poll_interval()).await {
            break;
        }
    }
    running.close();
    running.wait().await;
}

/// Waits until an item may begin, and takes room for as many as may; none when asked to stop.
async fn some_permits(free: &Arc<Semaphore>, context: &Context) -> Option<OwnedSemaphorePermit> {
    let first = Arc::clone(free).acquire_owned();
    // The semaphore is never closed.
    let mut permits = context.shutdown.run_until_cancelled(first).await?.ok()?;
    while let Ok(further) = Arc::clone(free).try_acquire_owned() {
        permits.merge(further);
    }
    Some(permits)
}

fn start<W: LeasedWork>(
    work: &W,
    running: &TaskTracker,
    mut permits: OwnedSemaphorePermit,
    claimed: Vec<W::Item>,
) {
    for item in claimed {
        let permit = permits.split(1);
        let work = work.clone();
        running.spawn(async move {
            work.work(item).await;
            drop(permit);
        });
    }
}
