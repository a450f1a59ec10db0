//! The REST API: connections, rules, jobs and analytics.
//!
//! The API changes settings and reads figures; it never moves data. Its only requests to Stripe look at
//! a key that someone hands over or asks to test. Every statement about a tenant runs in a transaction
//! under that tenant, in a database role that sees nothing outside of one. Jobs are stored with the
//! change that causes them and published after the commit, so a broker that is down delays them and
//! loses none.
//!
//! Reading order: [`router`], [`problem`] (every error), `boundary` and `auth` (what surrounds each
//! call), `input` (how requests are read), then `routes`, a noun a file, and `document` (what is said about them).
//!
//! Absent: cookies and browsers' cross-origin calls; anything but JSON in; writes to figures.

mod auth;
mod boundary;
mod config;
mod document;
mod input;
mod notes;
pub mod problem;
mod routes;
mod state;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware;
use axum::serve::ListenerExt as _;
use common::broker;
use common::config::BrokerConfig;
use common::db;
use common::lifecycle::{self, Context, wait_until_migrated};
use common::stripe::{Settings, Stripe};
use serde_json::Value;
use tokio::net::TcpListener;
use tower_http::compression::CompressionLayer;
use tracing::{debug, info};

pub use auth::Caller;
pub use boundary::REQUEST_ID;
pub use config::{Args, Config};
pub use state::{ApiState, Parts, TokenRate};

use crate::problem::ApiError;

/// Connections to PostgreSQL that one API process opens at most.
const POOL_CONNECTIONS: u32 = 20;

/// How long a person waits for one answer of Stripe about a key, and how often it is asked again: less
/// than a sync would, since someone is waiting.
const PROBE_TIMEOUT: Duration = Duration::from_secs(20);
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
    /// The address is not to be had.
    #[error(transparent)]
    Bind(lifecycle::Error),
    /// Serving broke off.
    #[error("serving broke off")]
    Serve(#[source] std::io::Error),
}

/// Every call, ready to serve.
pub fn router(state: ApiState) -> Router {
    let (calls, document) = routes::all().split_for_parts();
    calls
        .merge(routes::docs::router(text_of(&document::complete(document))))
        .fallback(async || ApiError::UnknownPath)
        .method_not_allowed_fallback(async || ApiError::MethodNotAllowed)
        .layer(DefaultBodyLimit::max(input::MAX_BODY_BYTES))
        .layer(middleware::from_fn_with_state(state.clone(), auth::guard))
        .layer(middleware::from_fn_with_state(
            state.clone(),
            boundary::boundary,
        ))
        .layer(CompressionLayer::new())
        .with_state(state)
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
/// Listens at once; until the migrations are there, `/readyz` says what it waits for and `/v1` answers
/// 503.
///
/// # Errors
/// When a setting proves of no use or the address is taken.
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
        POOL_CONNECTIONS,
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
        ..Settings::new(config.stripe.stripe_api_base.clone())
    })
    .map_err(Error::Stripe)?;
    Ok(ApiState::new(Parts {
        pool,
        clock: context.clock.clone(),
        broker,
        stripe,
        keyring: Arc::clone(&config.encryption.keyring),
        shutdown: context.shutdown.clone(),
        token_rate: TokenRate::default(),
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
/// When the listener fails.
pub async fn serve(listener: TcpListener, state: ApiState, context: Context) -> Result<(), Error> {
    if let Ok(address) = listener.local_addr() {
        info!(%address, "serving the API");
    }
    let (pool, ready, waiting) = (
        state.pool.clone(),
        Arc::clone(&state.ready),
        context.clone(),
    );
    tokio::spawn(async move {
        if wait_until_migrated(&pool, &waiting).await {
            ready.store(true, Ordering::Relaxed);
        }
    });
    let listener = listener.tap_io(|connection| {
        // An answer's last part would otherwise wait for the reader's acknowledgement of the one before it, which
        // is delayed by 40 ms.
        if let Err(cause) = connection.set_nodelay(true) {
            debug!(%cause, "a connection goes without TCP_NODELAY");
        }
    });
    axum::serve(listener, router(state))
        .with_graceful_shutdown(context.shutdown.cancelled_owned())
        .await
        .map_err(Error::Serve)
}
