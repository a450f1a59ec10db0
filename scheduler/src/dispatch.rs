//! The dispatch: sends messages about jobs that could run and that nobody took up.
//!
//! A message may be lost with a broker, or never have been sent because the process that wrote the
//! job died in between; a consumer may die and leave its job to its lease. Each leaves a claimable
//! job in the database, and that is all this looks at.
//!
//! A job that merely waits in line looks the same as one whose message was lost. To send it again and
//! again would fill the queue, so the broker is asked first: while it holds at least as many messages
//! as there are claimable jobs, none is taken for lost. A consumer with a free slot empties the
//! queue, so a loss that hides behind a full queue delays nothing.

use chrono::TimeDelta;
use common::broker::Link;
use common::cause::Chain;
use common::{db, sync::schedule};
use tracing::{debug, info, warn};

use crate::Scheduler;

/// How long a job may wait to be taken up before it is sent again.
pub(crate) const PATIENCE: TimeDelta = TimeDelta::seconds(15);

/// Jobs taken by one statement.
const BATCH: i64 = 1000;

/// Sends messages about every claimable job that nobody took up; tells how many.
///
/// # Errors
/// When PostgreSQL fails. A broker that fails is logged: the jobs keep, and come up again.
pub async fn dispatch(scheduler: &Scheduler) -> Result<usize, db::Error> {
    if scheduler.broker.link() == Link::Down {
        debug!("nothing is dispatched while the broker is away");
        return Ok(0);
    }
    let now = scheduler.clock.now();
    let mut conn = scheduler.pool.acquire().await?;
    let claimable = schedule::count_claimable(&mut conn, now).await?;
    metrics::gauge!("stripe_sync_jobs_claimable").set(claimable as f64);
    if claimable == 0 || in_line(scheduler, claimable).await {
        return Ok(0);
    }
    let mut dispatched = 0;
    loop {
        let jobs = schedule::take_undispatched(&mut conn, now, PATIENCE, BATCH).await?;
        if jobs.is_empty() {
            break;
        }
        dispatched += jobs.len();
        metrics::counter!("stripe_sync_jobs_dispatched_total").increment(jobs.len() as u64);
        scheduler.publish(&jobs).await;
    }
    if dispatched > 0 {
        info!(jobs = dispatched, "dispatched jobs that nobody took up");
    }
    Ok(dispatched)
}

/// Whether the broker holds messages enough for all claimable jobs, or cannot be asked.
async fn in_line(scheduler: &Scheduler, claimable: i64) -> bool {
    match scheduler.broker.backlog().await {
        Ok(backlog) => backlog.is_some_and(|waiting| waiting >= claimable as u64),
        Err(cause) => {
            warn!(error = %Chain(&cause), "the broker cannot be asked; dispatching later");
            true
        }
    }
}
