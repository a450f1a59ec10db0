//! The consumer: claims jobs and has the handlers of their kinds do them ([`registry`]); those of Stripe are in the crate
//! `stripe`.
//!
//! A job is held by a lease that heartbeats extend, and every commit proves that the claim is still
//! the last one, so a consumer that stalls past its lease commits nothing more. A kill at any instant
//! leaves what was committed, with the checkpoint of what is left.
//!
//! In addition, events received by webhook are delivered to an internal handler where one is set (`forwarding`), and what the
//! platform does with its own key is done where that is set (`platform`).
//!
//! What fails: a job, by kind ([`failure_policy`]); PostgreSQL or the broker going away only delays. The
//! consumer takes no requests and makes no schedule.

mod config;
mod credential_recovery;
pub mod failure_policy;
mod forwarding;
mod job_end;
mod leased_work;
mod ledger_work;
mod platform;
mod running;
mod slots;
mod worker;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ::platform::billing::Announcing;
use ::platform::config::accounts;
use ::platform::stripe::StripeClient;
use common::broker::{self, Broker};
use common::clock::{SharedClock, new_id};
use common::db::{self, Role};
use common::fail_point::NoFailPoints;
use common::job::{Registry, Services};
use common::lifecycle::{self, Context, Health, keys};
use stripe::{Settings, Stripe};
use tracing::info;

pub use config::{Args, Config};
pub use forwarding::Forwarding;
pub use platform::Platform;
pub use running::run_claimed;
pub use slots::backfill_slots;
pub use worker::work;

/// Connections in addition to one per job: heartbeats, claims, health, events that are forwarded, and a second one for jobs
/// that read and write at the same time. A job that waits for Stripe holds none, nor does an event that is being sent.
const EXTRA_CONNECTIONS: u32 = 12;

/// Longer than a scheduler takes to send a lost message again, so that a consumer asks PostgreSQL unasked only
/// where messages get lost, or there is nothing to do.
const QUIET: Duration = Duration::from_secs(30);

#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database's URL was not understood.
    #[error("the database cannot be used")]
    Database(#[source] db::Error),
    /// The broker's URL was not understood.
    #[error("the broker cannot be used")]
    Broker(#[source] broker::Error),
    /// The stored keys cannot be opened.
    #[error(transparent)]
    Keys(#[from] keys::KeyMismatch),
    /// The health server did not start.
    #[error("the health server did not start")]
    Ops(#[source] lifecycle::Error),
    /// The HTTP client could not be set up.
    #[error("the HTTP client could not be set up")]
    Http(#[source] reqwest::Error),
}

/// What a job needs to run. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Engine {
    /// What handlers work with.
    pub services: Services,
    /// Where wake-ups come from and go to.
    pub broker: Arc<dyn Broker>,
    /// What does the jobs.
    pub registry: Arc<Registry>,
    /// How long a claim holds without a heartbeat.
    pub lease: Duration,
    pub slots: u16,
    /// How long nothing must be heard from RabbitMQ before the consumer looks for jobs by itself.
    pub quiet: Duration,
    /// Names this process in the leases it holds.
    pub owner: String,
    /// How events are forwarded; none forwards nothing.
    pub forwarding: Option<Forwarding>,
    /// How the platform's account is reached; none works for no platform.
    pub platform: Option<Platform>,
}

impl Engine {
    /// Assembles an engine from settings; connects to nothing yet.
    ///
    /// # Errors
    /// When a URL is not understood.
    pub fn new(config: &Config, clock: SharedClock) -> Result<Self, Error> {
        let slots = config.job.consumer_concurrency.get();
        let connections = u32::from(slots) + EXTRA_CONNECTIONS;
        let pool = db::connect(&config.database.database_url, Role::Consumer, connections)
            .map_err(Error::Database)?;
        let broker = broker::connect(
            config.broker.amqp_url.as_ref(),
            &config.broker.queue_prefix,
            &pool,
        )
        .map_err(Error::Broker)?;
        let stripe = Stripe::new(Settings {
            rate_live: config.stripe.stripe_rate_live,
            rate_test: config.stripe.stripe_rate_test,
            rate_endpoint: config.stripe.stripe_rate_endpoint,
            concurrency: config.stripe.stripe_concurrency,
            platform_key: config.platform_key.clone(),
            ..Settings::new(config.stripe.stripe_api_base.clone())
        })
        .map_err(Error::Http)?;
        let forwarding = config.forward.clone().map(Forwarding::new);
        let platform = config.platform_key.clone().map(|key| {
            let client = StripeClient::new(&config.stripe.stripe_api_base, key);
            client.map(|client| {
                let announcing = config.forward.as_ref().map(|_| Announcing {
                    types: Arc::new(config.forward_types.clone()),
                    livemode: client.livemode(),
                });
                let money = Arc::new(client.clone());
                let billing = Arc::new(client.clone());
                let accounts = accounts(config.accounts_version, client);
                let plans = Arc::clone(&config.plans);
                Platform::new(accounts, money, billing, plans, announcing)
            })
        });
        Ok(Self {
            forwarding: forwarding.transpose().map_err(Error::Http)?,
            platform: platform.transpose().map_err(Error::Http)?,
            broker,
            owner: format!("consumer-{}", new_id(clock.now())),
            registry: Arc::new(registry(&stripe, config.stripe.stripe_event_lag)),
            services: Services {
                pool,
                keyring: Arc::clone(&config.encryption.keyring),
                clock,
                fail_points: Arc::new(NoFailPoints),
            },
            lease: config.job.job_lease,
            slots,
            quiet: QUIET,
        })
    }
}

/// The handlers of all kinds of jobs.
pub fn registry(stripe: &Stripe, event_lag: Duration) -> Registry {
    stripe::register(Registry::new(), stripe, event_lag)
}

/// Runs until asked to stop; then gives back the jobs it holds.
///
/// # Errors
/// Only at the start, when a setting cannot be used or the encryption keys do not open what is stored.
pub async fn run(config: Config, context: Context) -> Result<(), Error> {
    let engine = Engine::new(&config, Arc::clone(&context.clock))?;
    serve(engine, config.ops_bind, context).await
}

/// The same with an engine that is assembled already; health and metrics are served where `ops_bind` says.
///
/// # Errors
/// When that address is not to be had, or the encryption keys do not open what is stored.
pub async fn serve(
    engine: Engine,
    ops_bind: Option<SocketAddr>,
    context: Context,
) -> Result<(), Error> {
    let health = Health::of_subscriber(
        &engine.services.pool,
        Role::Consumer,
        Arc::clone(&engine.broker),
    );
    let _ops = match ops_bind {
        Some(bind) => Some(
            lifecycle::serve_ops(bind, health.clone())
                .await
                .map_err(Error::Ops)?,
        ),
        None => None,
    };
    if !lifecycle::wait_until_migrated(&engine.services.pool, Role::Consumer, &context).await {
        return Ok(());
    }
    let begun = keys::begin(
        &engine.services.pool,
        "consumer",
        &engine.services.keyring,
        &context,
    )
    .await?;
    let Some(announcement) = begun else {
        return Ok(());
    };
    credential_recovery::clear(&engine).await;
    info!(slots = engine.slots, owner = engine.owner, "consuming");
    health.begin();
    announcement.keep_during(work(&engine, &context)).await?;
    Ok(())
}
