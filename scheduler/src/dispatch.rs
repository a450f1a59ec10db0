//! The dispatch: sends messages about jobs that could run and that nobody took up.
//!
//! A message may be lost with a broker, or never have been sent because the process that wrote the
//! job died in between; a consumer may die and leave its job to its lease. Each leaves a claimable
//! job in the database, and that is all this looks at.
//!
//! A job that merely waits its turn looks the same as one whose message was lost. To send it again and
//! again would fill the queue, so the broker is asked first: while it holds at least as many messages
//! as there are claimable jobs, none is taken for lost. A consumer with a free slot empties the
//! queue, so a loss that hides behind a full queue delays nothing. Backfills are counted apart: a
//! consumer drops their messages while its share of slots for them is taken, and finds them in the
//! database when it is not. So a few messages, for consumers that have just begun, do for all of them.
//! And where messages are not kept at all, one wakes every consumer there is.

use chrono::TimeDelta;
use common::broker::LinkState;
use common::db;
use common::error_chain::ErrorChain;
use common::job::{Lane, schedule};
use tracing::{debug, info};

use crate::{Scheduler, event_retries};

/// How long a job may wait to be taken up before it is sent again.
pub(crate) const REDISPATCH_AFTER: TimeDelta = TimeDelta::seconds(15);

const BATCH: i64 = 1000;

/// Backfills sent again in one pass: as many consumers are woken.
const BACKFILLS: i64 = 100;

/// Sends messages about every claimable job that nobody took up, after making jobs for webhook events that are to be tried
/// again; tells how many.
///
/// # Errors
/// When PostgreSQL fails. A broker that fails is logged: the jobs keep, and come up again.
pub async fn dispatch(scheduler: &Scheduler) -> Result<usize, db::Error> {
    event_retries::enqueue(scheduler).await?;
    if scheduler.broker.link() == LinkState::Down {
        debug!("nothing is dispatched while the broker is away");
        return Ok(0);
    }
    let now = scheduler.clock.now();
    let mut conn = scheduler.pool.acquire().await?;
    let claimable = schedule::count_claimable(&mut conn, now).await?;
    let all = claimable.backfill + claimable.interactive;
    metrics::gauge!("stripe_sync_jobs_claimable").set(all as f64);
    if all == 0 {
        return Ok(0);
    }
    let backlog = match scheduler.broker.backlog().await {
        Ok(backlog) => backlog,
        Err(cause) => {
            debug!(error = %ErrorChain(&cause), "the broker cannot be asked; dispatching later");
            return Ok(0);
        }
    };
    let all_waiting = |jobs: i64| backlog.is_some_and(|waiting| waiting >= jobs.unsigned_abs());
    if all_waiting(all) {
        return Ok(0);
    }
    let mut dispatched = 0;
    let mut take = async |lane, most| {
        let jobs =
            schedule::take_undispatched(&mut conn, lane, now, REDISPATCH_AFTER, most).await?;
        metrics::counter!("stripe_sync_jobs_dispatched_total").increment(jobs.len() as u64);
        scheduler.publish(&jobs).await;
        Ok::<_, db::Error>(jobs.len())
    };
    dispatched += take(Lane::Backfill, BACKFILLS).await?;
    if !all_waiting(claimable.interactive) {
        loop {
            let taken = take(Lane::Interactive, BATCH).await?;
            dispatched += taken;
            if taken == 0 || backlog.is_none() {
                break;
            }
        }
    }
    if dispatched > 0 {
        info!(jobs = dispatched, "dispatched jobs that nobody took up");
    }
    Ok(dispatched)
}
