//! What every handler is given: the ways to PostgreSQL, the broker and Stripe, and the clock.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::http::StatusCode;
use common::broker::Broker;
use common::clock::SharedClock;
use common::credential::Keyring;
use common::db;
use common::error_chain::ErrorChain;
use common::identity::EngineSecret;
use common::lifecycle::{Health, keys};
use common::stripe::Stripe;
use common::sync::JobRef;
use common::tenant::OrganizationId;
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use sqlx::{Postgres, Transaction};
use tokio_util::sync::CancellationToken;
use tracing::debug;
use uuid::Uuid;

use crate::limits::{Limits, OpenCount};
use crate::problem::ApiError;
use crate::routes::daily;

/// How long a call waits for the broker to take a message.
const WAKE_TIMEOUT: Duration = Duration::from_secs(1);

/// What an [`ApiState`] is made of.
#[derive(Debug)]
pub struct Parts {
    /// A pool in the API's role.
    pub pool: db::Pool,
    pub clock: SharedClock,
    pub broker: Arc<dyn Broker>,
    pub stripe: Stripe,
    /// Encrypts keys, and decrypts one to test it.
    pub keyring: Arc<Keyring>,
    /// Ends streams when the program stops.
    pub shutdown: CancellationToken,
    pub limits: Limits,
    /// Whether the API begins at once; otherwise `/v1` answers 503 until it has.
    pub ready: bool,
}

/// Shared by all handlers; cloning is cheap.
#[derive(Clone)]
pub struct ApiState {
    pub(crate) pool: db::Pool,
    pub(crate) clock: SharedClock,
    pub(crate) broker: Arc<dyn Broker>,
    pub(crate) stripe: Stripe,
    pub(crate) keyring: Arc<Keyring>,
    /// Who announces the keyring; not set where nobody does, as in tests.
    pub(crate) instance: Arc<OnceLock<keys::Instance>>,
    pub(crate) health: Health,
    pub(crate) shutdown: CancellationToken,
    pub(crate) limiter: Arc<DefaultKeyedRateLimiter<Uuid>>,
    pub(crate) limits: Limits,
    pub(crate) exports: Arc<OpenCount>,
    pub(crate) streams: Arc<OpenCount>,
    pub(crate) aggregate_cache: daily::AggregateCache,
    pub(crate) engine_secret: Option<EngineSecret>,
}

impl std::fmt::Debug for ApiState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ApiState").finish_non_exhaustive()
    }
}

impl ApiState {
    /// The same, and `/readyz` speaks for a consumer in this process, too, which this broker wakes.
    #[must_use]
    pub fn with_consumer(mut self, broker: Arc<dyn Broker>) -> Self {
        self.health = Health::of_subscriber(&self.pool, db::Role::Api, broker);
        self
    }

    pub fn new(parts: Parts) -> Self {
        let limits = parts.limits;
        let quota =
            Quota::per_second(limits.token_rate.per_second).allow_burst(limits.token_rate.burst);
        let health = Health::of_publisher(&parts.pool, db::Role::Api, Arc::clone(&parts.broker));
        if parts.ready {
            health.begin();
        }
        Self {
            health,
            pool: parts.pool,
            clock: parts.clock,
            broker: parts.broker,
            stripe: parts.stripe,
            keyring: parts.keyring,
            instance: Arc::default(),
            shutdown: parts.shutdown,
            limiter: Arc::new(RateLimiter::keyed(quota)),
            limits,
            exports: Arc::new(OpenCount::exports(limits)),
            streams: Arc::new(OpenCount::streams(limits)),
            aggregate_cache: daily::new_aggregate_cache(),
            engine_secret: None,
        }
    }

    /// Lets the API prove to clients that know this secret which engine it is.
    #[must_use]
    pub fn with_engine_secret(self, secret: EngineSecret) -> Self {
        Self {
            engine_secret: Some(secret),
            ..self
        }
    }

    /// What `/readyz` answers.
    pub fn health(&self) -> &Health {
        &self.health
    }

    /// A transaction in which only this organization's rows exist.
    pub(crate) async fn begin(
        &self,
        organization: &OrganizationId,
    ) -> Result<Transaction<'static, Postgres>, ApiError> {
        Ok(db::tenant_transaction(&self.pool, organization).await?)
    }

    /// The same, reading all its statements' rows as of one moment, and writing nothing.
    pub(crate) async fn begin_snapshot(
        &self,
        organization: &OrganizationId,
    ) -> Result<Transaction<'static, Postgres>, ApiError> {
        Ok(db::tenant_snapshot(&self.pool, organization).await?)
    }

    /// Wakes a consumer for a committed job. A wake-up that is lost costs time only: the scheduler
    /// dispatches again whatever nobody picked up. So the caller waits for a broker that is slow to take it for
    /// [`WAKE_TIMEOUT`] at most.
    pub(crate) async fn wake(&self, job: JobRef) {
        let broker = Arc::clone(&self.broker);
        let published = tokio::spawn(async move {
            if let Err(cause) = broker.publish(std::slice::from_ref(&job)).await {
                debug!(job.id = %job.job_id, error = %ErrorChain(&cause), "the job was not published");
            }
        });
        // It goes on unwatched when it takes longer, and a panic in it is nothing to the caller.
        let _ = tokio::time::timeout(WAKE_TIMEOUT, published).await;
    }
}

/// The status of a job-making call: 202 when the job is new, 200 when one was there.
pub(crate) fn job_status(created: bool) -> StatusCode {
    if created {
        StatusCode::ACCEPTED
    } else {
        StatusCode::OK
    }
}
