//! Forwarding: delivers events received by webhook to an internal handler, next to the jobs that apply them.
//!
//! A delivery is claimed by moving the time of its next attempt forward by a lease, so that what a killed consumer held is
//! tried again, and its outcome is written only while that time still stands. No transaction is open while the
//! handler is asked, and no slot of a job is held. So a handler may be sent an event twice, and recognizes it by its id; events
//! come in no order.
//!
//! What fails: the handler, which is asked again or given up ([`common::webhook::forward`]); PostgreSQL, whose absence only
//! delays. Deliberately absent: which events are forwarded, which is decided when they are stored.

mod request;

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use common::clock::random_fraction;
use common::config::ForwardTarget;
use common::db;
use common::error_chain::ErrorChain;
use common::job::RetryPolicy;
use common::lifecycle::Context;
use common::outage::Outage;
use common::webhook::after_failure;
use common::webhook::forward::DeliveryFailure;
use common::webhook::queries::forward::{self as queries, ClaimedForward, ForwardedEvent};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};
use tokio_util::task::TaskTracker;
use tracing::{debug, info, warn};

use crate::Engine;
use crate::worker::STATEMENT_TIMEOUT;

/// How long a handler may take to answer.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Longer than everything that a delivery takes: reading the event, asking the handler, writing what came of it.
const LEASE: TimeDelta = TimeDelta::seconds(60);
/// Deliveries of one process at the same time.
const CONCURRENCY: usize = 16;
/// How often deliveries that are due are looked for.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// How events are forwarded. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Forwarding {
    target: ForwardTarget,
    http: reqwest::Client,
    /// How long the handler may take to answer.
    pub timeout: Duration,
    /// After so long another consumer takes a delivery over.
    pub lease: TimeDelta,
    /// How often and when a delivery is tried again.
    pub retry: RetryPolicy,
    /// How often deliveries that are due are looked for.
    pub poll_interval: Duration,
}

impl Forwarding {
    /// Prepares to reach the handler; sends nothing. Needs the process's TLS provider to be installed.
    ///
    /// # Errors
    /// When the HTTP client cannot be set up.
    pub fn new(target: ForwardTarget) -> Result<Self, reqwest::Error> {
        let http = reqwest::Client::builder()
            .user_agent(concat!("stripe-sync/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .pool_max_idle_per_host(CONCURRENCY)
            .build()?;
        Ok(Self {
            target,
            http,
            timeout: TIMEOUT,
            lease: LEASE,
            retry: RetryPolicy::WEBHOOK,
            poll_interval: POLL_INTERVAL,
        })
    }
}

/// Delivers what is due until asked to stop, then waits for the deliveries that are under way. Returns at once where nothing
/// is forwarded.
pub(crate) async fn forward(engine: &Engine, context: &Context) {
    let Some(forwarding) = &engine.forwarding else {
        return;
    };
    let free = Arc::new(Semaphore::new(CONCURRENCY));
    let running = TaskTracker::new();
    let outage = Outage::new("claiming events to forward");
    while let Some(permits) = some_permits(&free, context).await {
        let held = permits.num_permits();
        let claimed = match claim(engine, forwarding, held).await {
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
        start(engine, forwarding, &running, permits, claimed);
        if !more_may_be_due && !context.sleep(forwarding.poll_interval).await {
            break;
        }
    }
    running.close();
    running.wait().await;
}

/// Waits until a delivery may begin, and takes room for as many as may; none when asked to stop.
async fn some_permits(free: &Arc<Semaphore>, context: &Context) -> Option<OwnedSemaphorePermit> {
    let first = Arc::clone(free).acquire_owned();
    // The semaphore is never closed.
    let mut permits = context.shutdown.run_until_cancelled(first).await?.ok()?;
    while let Ok(further) = Arc::clone(free).try_acquire_owned() {
        permits.merge(further);
    }
    Some(permits)
}

/// Not stopped in the middle, so that nothing is claimed and then forgotten for as long as a lease.
async fn claim(
    engine: &Engine,
    forwarding: &Forwarding,
    limit: usize,
) -> Result<Vec<ClaimedForward>, db::Error> {
    let now = engine.services.clock.now();
    let claimed = async {
        let mut conn = engine.services.pool.acquire().await?;
        queries::claim(&mut conn, now, now + forwarding.lease, limit as i64).await
    };
    match timeout(STATEMENT_TIMEOUT, claimed).await {
        Ok(claimed) => claimed,
        Err(_) => Err(db::Error::Unavailable(sqlx::Error::PoolTimedOut)),
    }
}

fn start(
    engine: &Engine,
    forwarding: &Forwarding,
    running: &TaskTracker,
    mut permits: OwnedSemaphorePermit,
    claimed: Vec<ClaimedForward>,
) {
    for claimed in claimed {
        let permit = permits.split(1);
        let (engine, forwarding) = (engine.clone(), forwarding.clone());
        running.spawn(async move {
            deliver(&engine, &forwarding, &claimed).await;
            drop(permit);
        });
    }
}

/// Delivers one event and writes what came of it. What cannot be written is delivered again once the lease ends.
async fn deliver(engine: &Engine, forwarding: &Forwarding, claimed: &ClaimedForward) {
    let event = match timeout(STATEMENT_TIMEOUT, read(engine, claimed)).await {
        Ok(Ok(Some(event))) => event,
        Ok(Ok(None)) => return,
        Ok(Err(cause)) => {
            let error = ErrorChain(&cause);
            return warn!(event_id = %claimed.event_id, %error, "an event to forward could not be read");
        }
        Err(_) => {
            return warn!(event_id = %claimed.event_id, "an event to forward was not read in time");
        }
    };
    let now = engine.services.clock.now();
    let started = Instant::now();
    let sent = request::send(forwarding, claimed, &event, now).await;
    metrics::histogram!("stripe_sync_webhook_forward_seconds")
        .record(started.elapsed().as_secs_f64());
    match timeout(
        STATEMENT_TIMEOUT,
        note(engine, forwarding, claimed, &event, sent),
    )
    .await
    {
        Ok(Ok(())) => {}
        Ok(Err(cause)) => {
            let error = ErrorChain(&cause);
            warn!(event_id = %claimed.event_id, %error, "what came of forwarding an event could not be stored");
        }
        Err(_) => {
            warn!(event_id = %claimed.event_id, "what came of forwarding an event was not stored in time");
        }
    }
}

async fn read(
    engine: &Engine,
    claimed: &ClaimedForward,
) -> Result<Option<ForwardedEvent>, db::Error> {
    let organization = &claimed.organization_id;
    let mut tx = db::tenant_transaction(&engine.services.pool, organization).await?;
    let event = queries::event(&mut tx, organization, claimed.event_id).await?;
    db::commit(tx).await?;
    Ok(event)
}

async fn note(
    engine: &Engine,
    forwarding: &Forwarding,
    claimed: &ClaimedForward,
    event: &ForwardedEvent,
    sent: Result<(), DeliveryFailure>,
) -> Result<(), db::Error> {
    let now = engine.services.clock.now();
    let mut conn = engine.services.pool.acquire().await?;
    let (event_id, stripe_event_id) = (claimed.event_id, event.external_event_id.as_str());
    let (noted, outcome) = match sent {
        Ok(()) => {
            let noted = queries::mark_delivered(&mut conn, claimed, now).await?;
            debug!(%event_id, "forwarded an event");
            (noted, "delivered")
        }
        Err(failure) => {
            let next = after_failure(
                claimed.progress,
                failure.kind(),
                &forwarding.retry,
                now,
                random_fraction(),
            );
            let (DeliveryFailure::Away(error) | DeliveryFailure::Refused(error)) = &failure;
            let noted = queries::mark_failed(&mut conn, claimed, &next, error).await?;
            let outcome = match (&failure, next.at) {
                (_, None) => "dead",
                (DeliveryFailure::Away(_), Some(_)) => "away",
                (DeliveryFailure::Refused(_), Some(_)) => "refused",
            };
            if noted && outcome == "dead" {
                let organization_id = claimed.organization_id.as_str();
                warn!(%event_id, stripe_event_id, organization_id, error, "gave up forwarding an event");
            } else {
                debug!(%event_id, error, outcome, "an event was not forwarded");
            }
            (noted, outcome)
        }
    };
    if !noted {
        info!(%event_id, outcome, "another consumer or a replay took the forwarding of an event over");
    }
    metrics::counter!("stripe_sync_webhook_forwards_total", "outcome" => outcome).increment(1);
    Ok(())
}
