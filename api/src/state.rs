//! What every handler is given: the ways to PostgreSQL, the broker and Stripe, and the clock.

use std::ops::Deref;
use std::sync::Arc;

use ::platform::billing::Billing;
use ::platform::webhook::Events;
use common::broker::Broker;
use common::clock::SharedClock;
use common::connection::ConnectionServices;
use common::connection::connect::KeyServices;
use common::connection::probe::AccountProbe;
use common::connector::Connectors;
use common::credential::Keyring;
use common::credential::vault::Vault;
use common::db;
use common::identity::EngineSecret;
use common::lifecycle::Health;
use common::plan_limit::{Plans, SoldPlans};
use common::tenant::OrganizationId;
use common::webhook::endpoint::{Endpoint, EndpointServices};
use common::webhook::forward::ForwardTypes;
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use sqlx::{Postgres, Transaction};
use stripe::{Stripe, StripeConnector};
use tokio_util::sync::CancellationToken;
use url::Url;
use uuid::Uuid;

use crate::aggregate_cache::{self, AggregateCache};
use crate::client_address::TrustedProxies;
use crate::config::PlatformSecrets;
use crate::failing_addresses::FailingAddresses;
use crate::limits::{Limits, OpenCount};
use crate::platform::Platform;
use crate::problem::ApiError;
use crate::session_service::SessionService;
use crate::webhooks::{WebhookParts, Webhooks};

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
    /// A pool in the role that receives webhooks.
    pub webhook_pool: db::Pool,
    /// What verifies the webhooks of the platform, besides what was kept when its endpoints were registered.
    pub platform_secrets: PlatformSecrets,
    /// How the platform's own account is reached; without it, what needs it answers 501.
    pub platform: Option<Platform>,
    /// The application whose sessions count as well; none where only our own do.
    pub session_service: Option<SessionService>,
    /// Where people and vendors reach the API.
    pub public_url: Url,
    pub trusted_proxies: TrustedProxies,
    /// Types of the events that are forwarded to an internal handler; none forwards nothing.
    pub forward_types: Option<ForwardTypes>,
    /// Whether the API begins at once; otherwise `/v1` answers 503 until it has.
    pub ready: bool,
}

/// Shared by all handlers; cloning is cheap, as every layer and handler does it for each request.
#[derive(Clone)]
pub struct ApiState(Arc<Shared>);

/// What an [`ApiState`] holds.
#[derive(Clone)]
pub struct Shared {
    pub(crate) pool: db::Pool,
    pub(crate) clock: SharedClock,
    pub(crate) broker: Arc<dyn Broker>,
    pub(crate) connectors: Connectors,
    pub(crate) stripe: Stripe,
    probes: Arc<[Arc<dyn AccountProbe>]>,
    pub(crate) vault: Vault,
    pub(crate) health: Health,
    pub(crate) shutdown: CancellationToken,
    pub(crate) limiter: Arc<DefaultKeyedRateLimiter<Uuid>>,
    pub(crate) limits: Limits,
    pub(crate) exports: Arc<OpenCount>,
    pub(crate) streams: Arc<OpenCount>,
    pub(crate) aggregate_cache: AggregateCache,
    pub(crate) engine_secret: Option<EngineSecret>,
    pub(crate) webhooks: Webhooks,
    pub(crate) platform: Option<Platform>,
    /// What is sold; none where nothing is.
    plans: Option<Arc<dyn SoldPlans>>,
    /// Addresses that sign in with wrong tokens and links.
    pub(crate) failing_sign_ins: FailingAddresses,
    pub(crate) session_service: Option<SessionService>,
    pub(crate) public_url: Url,
    pub(crate) trusted_proxies: TrustedProxies,
    pub(crate) forward_types: Option<Arc<ForwardTypes>>,
}

impl Deref for ApiState {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
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
        let health = Health::of_subscriber(&self.pool, db::Role::Api, broker);
        Arc::make_mut(&mut self.0).health = health;
        self
    }

    /// Begins the task that stores webhooks, so it is to be called in a runtime.
    pub fn new(parts: Parts) -> Self {
        let connectors = Connectors::new(&[&StripeConnector]);
        let forward_types = parts.forward_types.map(Arc::new);
        let webhooks = Webhooks::new(WebhookParts {
            pool: parts.webhook_pool,
            broker: Arc::clone(&parts.broker),
            connectors,
            keyring: Arc::clone(&parts.keyring),
            clock: parts.clock.clone(),
            forward_types: forward_types.clone(),
            platform_secrets: parts.platform_secrets,
            platform_events: Arc::new(Events {
                livemode: parts.platform.as_ref().map(|platform| platform.livemode),
            }),
        });
        let plans = parts.platform.as_ref().map(|platform| {
            let billing = Billing {
                pool: parts.pool.clone(),
                clock: parts.clock.clone(),
                gateway: Arc::clone(&platform.billing),
                plans: Arc::clone(&platform.plans),
                announcing: None,
            };
            let plans: Arc<dyn SoldPlans> = Arc::new(billing);
            plans
        });
        let limits = parts.limits;
        let quota =
            Quota::per_second(limits.token_rate.per_second).allow_burst(limits.token_rate.burst);
        let health = Health::of_publisher(&parts.pool, db::Role::Api, Arc::clone(&parts.broker));
        if parts.ready {
            health.begin();
        }
        Self(Arc::new(Shared {
            health,
            pool: parts.pool,
            clock: parts.clock,
            broker: parts.broker,
            connectors,
            probes: Arc::new([Arc::new(parts.stripe.clone())]),
            stripe: parts.stripe,
            vault: Vault::new(parts.keyring),
            shutdown: parts.shutdown,
            limiter: Arc::new(RateLimiter::keyed(quota)),
            limits,
            exports: Arc::new(OpenCount::exports(limits)),
            streams: Arc::new(OpenCount::streams(limits)),
            aggregate_cache: aggregate_cache::new_aggregate_cache(),
            engine_secret: None,
            webhooks,
            platform: parts.platform,
            plans,
            failing_sign_ins: FailingAddresses::new(),
            session_service: parts.session_service,
            public_url: parts.public_url,
            trusted_proxies: parts.trusted_proxies,
            forward_types,
        }))
    }

    /// Lets the API prove to clients that know this secret which engine it is.
    #[must_use]
    pub fn with_engine_secret(mut self, secret: EngineSecret) -> Self {
        Arc::make_mut(&mut self.0).engine_secret = Some(secret);
        self
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

    /// What the use cases of webhook endpoints work with.
    pub(crate) fn endpoint_services(&self) -> EndpointServices<'_> {
        EndpointServices {
            pool: &self.pool,
            vault: &self.vault,
            connectors: self.connectors,
            plans: self.plans(),
            now: self.clock.now(),
        }
    }

    /// What is sold, and limits what organizations may do.
    pub(crate) fn plans(&self) -> Plans<'_> {
        Plans(self.plans.as_deref())
    }

    /// What the use cases of a connection that exists work with.
    pub(crate) fn connection_services(&self) -> ConnectionServices<'_> {
        ConnectionServices {
            pool: &self.pool,
            connectors: self.connectors,
            plans: self.plans(),
            now: self.clock.now(),
        }
    }

    /// Where a vendor sends the events of an endpoint.
    pub(crate) fn endpoint_url(&self, endpoint: &Endpoint) -> String {
        let base = self.public_url.as_str().trim_end_matches('/');
        let connector = &endpoint.connection.connector;
        format!("{base}/webhooks/{connector}/{}", endpoint.endpoint_id)
    }

    /// What the use cases of a key work with.
    pub(crate) fn key_services(&self) -> KeyServices<'_> {
        KeyServices {
            pool: &self.pool,
            clock: &self.clock,
            vault: &self.vault,
            probes: &self.probes,
            plans: self.plans(),
        }
    }
}
