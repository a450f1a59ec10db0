//! The REST API: connections, rules, jobs and analytics; and the pages that show them in a browser.
//!
//! The API changes settings and reads figures; it never moves data. Its only requests to Stripe look at
//! a key that someone hands over or asks to test. Every statement about a tenant runs in a transaction
//! under that tenant, in a database role that sees nothing outside of one. Jobs are stored with the
//! change that causes them and published after the commit, so a broker that is down delays them and
//! loses none.
//!
//! Reading order: [`router`], [`problem`] (every error), `request_log` and `auth` (what surrounds each
//! call), `input` (how requests are read), then `routes`, a noun a file, and `document` (what is said about them);
//! `webhooks` is what vendors send, `pages` what people see in a browser.
//!
//! Absent: cookies outside of `pages`, and browsers' cross-origin calls; anything but JSON in, but for the forms of pages;
//! writes to figures.

mod aggregate_cache;
mod auth;
mod client_address;
mod config;
mod document;
mod event_stream;
mod failing_addresses;
mod input;
mod limits;
mod negotiation;
mod notes;
mod pages;
mod platform;
pub mod platform_problem;
pub mod problem;
mod request_cookie;
mod request_log;
mod revenue_query;
mod routes;
mod same_origin;
mod security_headers;
mod session_service;
mod state;
mod stripe_origins;
mod use_case_errors;
mod webhooks;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ::platform::config::accounts;
use ::platform::stripe::StripeClient;
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware;
use common::broker;
use common::config::BrokerConfig;
use common::db;
use common::lifecycle::{self, Context, http, keys, wait_until_migrated};
use serde_json::Value;
use stripe::{Settings, Stripe};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{DefaultPredicate, Predicate, SizeAbove};
use tracing::info;

pub use auth::Caller;
pub use client_address::TrustedProxies;
pub use config::{
    AddressArgs, AddressConfig, Args, Config, LimitArgs, OnboardingArgs, OnboardingConfig,
    PlatformSecretArgs, PlatformSecrets, SessionServiceArgs, SessionServiceConfig,
};
pub use limits::{Limits, TokenRate};
pub use platform::Platform;
pub use request_log::REQUEST_ID;
pub use session_service::SessionService;
pub use state::{ApiState, Parts};
pub use stripe_origins::StripeOrigins;

use crate::problem::ApiError;

/// Connections to PostgreSQL that one API process opens at most, besides one for each CSV export.
const POOL_CONNECTIONS: u32 = 16;

/// Connections that receive webhooks, apart from the others: whatever people ask, events are stored.
const WEBHOOK_CONNECTIONS: u32 = 3;

/// The API's server in metrics and logs.
const SERVER: &str = "api";
/// Bytes of the smallest answer that is compressed.
const COMPRESSED_FROM_BYTES: u16 = 1_024;

/// How long Stripe may take for one answer about a key, and how often it is asked again: less
/// than in a sync, since someone is waiting. The whole has a deadline of its own.
const PROBE_TIMEOUT: Duration = Duration::from_secs(8);
const PROBE_ATTEMPTS: usize = 3;

/// Why the API could not be started or ended early.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database's URL is of no use.
    #[error("the database cannot be used")]
    Database(#[source] db::Error),
    /// The broker's URL is of no use.
    #[error("the broker cannot be used")]
    Broker(#[source] broker::Error),
    /// The client for Stripe could not be set up.
    #[error("the way to Stripe could not be set up")]
    Stripe(#[source] reqwest::Error),
    /// The client for the application that knows sessions could not be set up.
    #[error("the way to AUTH_VERIFY_URL could not be set up")]
    SessionService(#[source] reqwest::Error),
    /// The stored keys cannot be decrypted.
    #[error(transparent)]
    Keys(#[from] keys::KeyMismatch),
    /// The address is not to be had.
    #[error(transparent)]
    Bind(lifecycle::Error),
}

pub fn router(state: ApiState) -> Router {
    let (calls, document) = routes::all().split_for_parts();
    calls
        .merge(routes::docs::router(text_of(&document::complete(document))))
        .merge(pages::router(&state))
        .fallback(async || ApiError::UnknownPath)
        .method_not_allowed_fallback(async || ApiError::MethodNotAllowed)
        .layer(DefaultBodyLimit::max(input::MAX_BODY_BYTES))
        .layer(middleware::from_fn_with_state(
            state.clone(),
            auth::require_token,
        ))
        .layer(middleware::from_fn_with_state(
            state.clone(),
            request_log::log_request,
        ))
        .layer(CompressionLayer::new().compress_when(large()))
        .with_state(state)
}

/// Which answers are compressed. Beginning to compress costs more than a small one has to gain.
fn large() -> impl Predicate {
    DefaultPredicate::new().and(SizeAbove::new(COMPRESSED_FROM_BYTES))
}

/// The OpenAPI document of every call.
pub fn openapi() -> Value {
    document::complete(routes::all().into_openapi())
}

/// The same as the text that `/openapi.json` answers and `api/openapi.json` holds.
pub fn openapi_text() -> String {
    text_of(&openapi())
}

fn text_of(document: &Value) -> String {
    format!("{document:#}\n")
}

/// Serves the API until the context says stop.
///
/// Listens at once; until the migrations are there and the encryption keys are known to serve, `/readyz`
/// says what it waits for and `/v1` answers 503.
///
/// # Errors
/// When a setting proves of no use, the address is taken or the encryption keys do not decrypt what is stored.
pub async fn run(config: Config, context: Context) -> Result<(), Error> {
    let listener = bind(config.api_bind).await?;
    let state = state_of(&config, &context)?;
    serve(listener, state, context).await
}

/// The state that these settings ask for.
///
/// # Errors
/// When a setting proves of no use.
pub fn state_of(config: &Config, context: &Context) -> Result<ApiState, Error> {
    let pool = db::connect(
        &config.database.database_url,
        db::Role::Api,
        POOL_CONNECTIONS + config.limits.exports.get(),
    )
    .map_err(Error::Database)?;
    let webhook_pool = db::connect(
        &config.database.database_url,
        db::Role::Webhooks,
        WEBHOOK_CONNECTIONS,
    )
    .map_err(Error::Database)?;
    let BrokerConfig {
        amqp_url,
        queue_prefix,
    } = &config.broker;
    let broker = broker::connect(amqp_url.as_ref(), queue_prefix, &pool).map_err(Error::Broker)?;
    let stripe = Stripe::new(Settings {
        rate_live: config.stripe.stripe_rate_live,
        rate_test: config.stripe.stripe_rate_test,
        rate_endpoint: config.stripe.stripe_rate_endpoint,
        concurrency: config.stripe.stripe_concurrency,
        timeout: PROBE_TIMEOUT,
        attempts: PROBE_ATTEMPTS,
        platform_key: config.platform_key.clone(),
        ..Settings::new(config.stripe.stripe_api_base.clone())
    })
    .map_err(Error::Stripe)?;
    let platform = config
        .platform_key
        .clone()
        .map(|key| StripeClient::new(&config.stripe.stripe_api_base, key));
    let platform = platform.transpose().map_err(Error::Stripe)?;
    let session_service = config
        .session_service
        .clone()
        .map(|service| SessionService::new(service, pool.clone(), context.clock.clone()));
    let session_service = session_service.transpose().map_err(Error::SessionService)?;
    Ok(ApiState::new(Parts {
        pool,
        clock: context.clock.clone(),
        broker,
        stripe,
        keyring: Arc::clone(&config.encryption.keyring),
        shutdown: context.shutdown.clone(),
        limits: config.limits,
        webhook_pool,
        platform_secrets: config.webhooks.clone(),
        platform: platform.map(|stripe| Platform {
            livemode: stripe.livemode(),
            money: Arc::new(stripe.clone()),
            billing: Arc::new(stripe.clone()),
            plans: Arc::clone(&config.plans),
            default_fee: config.platform_fee,
            accounts: accounts(config.accounts_version, stripe),
            onboarding: Arc::new(config.onboarding.clone()),
            stripe_origins: Arc::new(StripeOrigins::of(&config.stripe.stripe_api_base)),
        }),
        session_service,
        public_url: config.addresses.public_url(config.api_bind),
        trusted_proxies: config.addresses.trusted_proxies.clone(),
        forward_types: config.forward_types.clone(),
        ready: false,
    }))
}

/// Takes the address to serve on.
///
/// # Errors
/// When it is not to be had.
pub async fn bind(address: SocketAddr) -> Result<TcpListener, Error> {
    TcpListener::bind(address).await.map_err(|cause| {
        Error::Bind(lifecycle::Error::Bind {
            address,
            setting: "API_BIND",
            cause,
        })
    })
}

/// Serves the API on a listener until the context says stop; calls that have begun are answered.
///
/// # Errors
/// When the encryption keys do not decrypt what is stored, at the start or after the API stood still.
pub async fn serve(listener: TcpListener, state: ApiState, context: Context) -> Result<(), Error> {
    if let Ok(address) = listener.local_addr() {
        info!(%address, "serving the API");
    }
    let limits = http::Limits {
        stall: state.limits.stall,
        ..http::Limits::new(state.limits.connections)
    };
    let served = CancellationToken::new();
    let beginning = begin(state.clone(), context.clone(), served.clone());
    let serving = async {
        http::serve(listener, router(state), SERVER, limits, context.shutdown).await;
        served.cancel();
        Ok(())
    };
    tokio::try_join!(serving, beginning).map(|_| ())
}

/// Waits for what the API needs, lets calls in, and says which encryption keys it knows until the last call is
/// served: a call that began before the shutdown may still store a credential.
async fn begin(state: ApiState, context: Context, served: CancellationToken) -> Result<(), Error> {
    if !wait_until_migrated(&state.pool, db::Role::Api, &context).await {
        return Ok(());
    }
    let begun = keys::begin(&state.pool, "api", state.vault.keyring(), &context).await?;
    if let Some(announcement) = begun {
        state.vault.announced_by(announcement.instance());
        state.health.begin();
        announcement.keep_during(served.cancelled()).await?;
    }
    Ok(())
}
