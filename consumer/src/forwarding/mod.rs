//! Forwarding: delivers events received by webhook to an internal handler, next to the jobs that apply them.
//!
//! A delivery is claimed by moving the time of its next attempt forward by a lease, and its outcome is written only while that
//! time still stands. So a handler may be sent an event twice, and recognizes it by its id; events
//! come in no order.
//!
//! What fails: the handler, which is asked again or given up ([`common::webhook::forward`]); PostgreSQL, whose absence only
//! delays. Deliberately absent: which events are forwarded, which is decided when they are stored.

mod request;

use std::time::Duration;

use async_trait::async_trait;
use chrono::TimeDelta;
use common::clock::random_fraction;
use common::config::ForwardTarget;
use common::db;
use common::error_chain::ErrorChain;
use common::job::RetryPolicy;
use common::lifecycle::Context;
use common::webhook::after_failure;
use common::webhook::forward::DeliveryFailure;
use common::webhook::queries::forward::{self as queries, ClaimedForward, ForwardedEvent};
use tokio::time::{Instant, timeout};
use tracing::{debug, info, warn};

use crate::Engine;
use crate::leased_work::{self, LeasedWork};
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
    if let Some(forwarding) = &engine.forwarding {
        let deliveries = Deliveries {
            engine: engine.clone(),
            forwarding: forwarding.clone(),
        };
        leased_work::run(deliveries, context).await;
    }
}

#[derive(Clone)]
struct Deliveries {
    engine: Engine,
    forwarding: Forwarding,
}

#[async_trait]
impl LeasedWork for Deliveries {
    type Item = ClaimedForward;

    const CLAIMING: &'static str = "claiming events to forward";
    const CONCURRENCY: usize = CONCURRENCY;

    fn poll_interval(&self) -> Duration {
        self.forwarding.poll_interval
    }

    async fn claim(&self, limit: i64) -> Result<Vec<ClaimedForward>, db::Error> {
        let services = &self.engine.services;
        let now = services.clock.now();
        let mut conn = services.pool.acquire().await?;
        queries::claim(&mut conn, now, now + self.forwarding.lease, limit).await
    }

    async fn work(&self, claimed: ClaimedForward) {
        deliver(&self.engine, &self.forwarding, &claimed).await;
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
