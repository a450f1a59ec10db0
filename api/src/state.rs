//! What every handler is given: the ways to PostgreSQL, the broker and Stripe, and the clock.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::http::StatusCode;
use common::broker::Broker;
use common::cause::Chain;
use common::clock::SharedClock;
use common::credential::Keyring;
use common::db;
use common::identity::EngineSecret;
use common::lifecycle::Health;
use common::stripe::Stripe;
use common::sync::JobRef;
use common::tenant::OrganizationId;
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use sqlx::{Postgres, Transaction};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tracing::warn;
use uuid::Uuid;

use crate::problem::ApiError;
use crate::routes::daily;

/// CSV exports at once; each holds a database connection for as long as its reader takes.
const EXPORTS: usize = 4;

/// How often one token may ask.
#[derive(Debug, Clone, Copy)]
pub struct TokenRate {
    /// Requests a second.
    pub per_second: NonZeroU32,
    /// Requests at once.
    pub burst: NonZeroU32,
}

impl Default for TokenRate {
    fn default() -> Self {
        const PER_SECOND: NonZeroU32 = NonZeroU32::new(100).expect("100 is not zero");
        const BURST: NonZeroU32 = NonZeroU32::new(200).expect("200 is not zero");
        Self {
            per_second: PER_SECOND,
            burst: BURST,
        }
    }
}

/// What an [`ApiState`] is made of.
#[derive(Debug)]
pub struct Parts {
    /// A pool in the API's role.
    pub pool: db::Pool,
    /// Tells the time.
    pub clock: SharedClock,
    /// Wakes consumers.
    pub broker: Arc<dyn Broker>,
    /// Probes keys.
    pub stripe: Stripe,
    /// Seals keys, and opens one to test it.
    pub keyring: Arc<Keyring>,
    /// Ends streams when the program stops.
    pub shutdown: CancellationToken,
    /// How often one token may ask.
    pub token_rate: TokenRate,
    /// Whether the migrations are known to be there; until then `/v1` answers 503.
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
    pub(crate) health: Health,
    pub(crate) shutdown: CancellationToken,
    pub(crate) limiter: Arc<DefaultKeyedRateLimiter<Uuid>>,
    pub(crate) ready: Arc<AtomicBool>,
    pub(crate) exports: Arc<Semaphore>,
    pub(crate) daily_answers: daily::Answers,
    pub(crate) engine_secret: Option<EngineSecret>,
}

impl std::fmt::Debug for ApiState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ApiState").finish_non_exhaustive()
    }
}

impl ApiState {
    /// The state of these parts.
    pub fn new(parts: Parts) -> Self {
        let quota =
            Quota::per_second(parts.token_rate.per_second).allow_burst(parts.token_rate.burst);
        Self {
            health: Health::of_publisher(parts.pool.clone(), Arc::clone(&parts.broker)),
            pool: parts.pool,
            clock: parts.clock,
            broker: parts.broker,
            stripe: parts.stripe,
            keyring: parts.keyring,
            shutdown: parts.shutdown,
            limiter: Arc::new(RateLimiter::keyed(quota)),
            ready: Arc::new(AtomicBool::new(parts.ready)),
            exports: Arc::new(Semaphore::new(EXPORTS)),
            daily_answers: daily::no_answers(),
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

    /// Serves `/v1` from the first request on, since the caller has migrated the database.
    #[must_use]
    pub fn migrated(self) -> Self {
        self.ready.store(true, Ordering::Relaxed);
        self
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
    /// dispatches again whatever nobody picked up.
    pub(crate) async fn wake(&self, job: JobRef) {
        if let Err(cause) = self.broker.publish(std::slice::from_ref(&job)).await {
            warn!(job.id = %job.job_id, error = %Chain(&cause), "the job was not published");
        }
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
