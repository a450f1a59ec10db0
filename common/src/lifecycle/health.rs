//! Whether a program can do its work: what it depends on, asked with a bound on the wait.
//!
//! Not ready means that PostgreSQL or its schema is missing, or, for a consumer, the broker it was
//! told to use. For the others a missing broker only degrades: jobs wait in PostgreSQL and are
//! dispatched when it returns. A liveness probe asks nothing of anyone, so that an outage elsewhere
//! restarts nobody.

use std::borrow::Borrow;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;
use sqlx::postgres::PgPoolOptions;
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::{info, warn};
use utoipa::ToSchema;

use super::Error;
use crate::broker::{Broker, Link};
use crate::{db, telemetry};

/// How long PostgreSQL may take to answer before it counts as down.
const CHECK_TIMEOUT: Duration = Duration::from_secs(2);

/// Overall status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = ReadinessStatus)]
pub enum Status {
    /// Fully working.
    Ok,
    /// Working, with delays.
    Degraded,
    /// Not working.
    Down,
}

/// Status of a dependency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DependencyStatus {
    /// Available.
    Ok,
    /// Unavailable.
    Down,
    /// The schema is not up to date: run `stripe-sync migrate`.
    Missing,
    /// Unknown while PostgreSQL is unavailable.
    Unknown,
    /// Not configured.
    NotConfigured,
}

/// Status of each dependency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct Dependencies {
    /// PostgreSQL.
    pub postgres: DependencyStatus,
    /// Database schema.
    pub migrations: DependencyStatus,
    /// RabbitMQ, when `AMQP_URL` is set.
    pub rabbitmq: DependencyStatus,
}

/// Readiness of the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Readiness)]
pub struct Report {
    /// Overall status.
    pub status: Status,
    /// Status of each dependency.
    pub dependencies: Dependencies,
}

impl IntoResponse for Report {
    fn into_response(self) -> Response {
        let status = match self.status {
            Status::Ok | Status::Degraded => StatusCode::OK,
            Status::Down => StatusCode::SERVICE_UNAVAILABLE,
        };
        (status, [(header::CACHE_CONTROL, "no-store")], Json(self)).into_response()
    }
}

/// Asks a program's dependencies how they are.
#[derive(Debug, Clone)]
pub struct Health {
    database: DatabaseProbe,
    broker: Arc<dyn Broker>,
    broker_needed: bool,
}

impl Health {
    /// Health of a program that only publishes: it can work while the broker is away.
    pub fn of_publisher(pool: impl Borrow<db::Pool>, broker: Arc<dyn Broker>) -> Self {
        Self {
            database: DatabaseProbe::new(pool.borrow()),
            broker,
            broker_needed: false,
        }
    }

    /// Health of a program that lives on what the broker delivers.
    pub fn of_subscriber(pool: impl Borrow<db::Pool>, broker: Arc<dyn Broker>) -> Self {
        Self {
            database: DatabaseProbe::new(pool.borrow()),
            broker,
            broker_needed: true,
        }
    }

    /// How everything is now. Takes two seconds at most.
    pub async fn check(&self) -> Report {
        let database = Database::of(&self.database.look().await);
        report(database, self.broker.link(), self.broker_needed)
    }
}

fn report(database: Database, link: Link, broker_needed: bool) -> Report {
    let (postgres, migrations) = match database {
        Database::Ready => (DependencyStatus::Ok, DependencyStatus::Ok),
        Database::Unmigrated => (DependencyStatus::Ok, DependencyStatus::Missing),
        Database::Unreachable => (DependencyStatus::Down, DependencyStatus::Unknown),
    };
    let rabbitmq = match link {
        Link::Up => DependencyStatus::Ok,
        Link::Down => DependencyStatus::Down,
        Link::NotConfigured => DependencyStatus::NotConfigured,
    };
    let status = match (database, link) {
        (Database::Ready, Link::Up | Link::NotConfigured) => Status::Ok,
        (Database::Ready, Link::Down) if !broker_needed => Status::Degraded,
        _ => Status::Down,
    };
    Report {
        status,
        dependencies: Dependencies {
            postgres,
            migrations,
            rabbitmq,
        },
    }
}

/// What can be told of the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Database {
    /// It answers and has this program's schema.
    Ready,
    /// It answers and has another schema, or none.
    Unmigrated,
    /// It does not answer in time, or not to this user.
    Unreachable,
}

impl Database {
    /// What an answer of [`DatabaseProbe::look`] means.
    pub(super) fn of(migrated: &Result<bool, db::Error>) -> Self {
        match migrated {
            Ok(true) => Self::Ready,
            Ok(false) => Self::Unmigrated,
            Err(_) => Self::Unreachable,
        }
    }
}

/// Looks at the database with connections of its own, that take no role: before the migrations the
/// program's role does not exist, and while every connection is busy the database is no less there.
#[derive(Debug, Clone)]
pub(super) struct DatabaseProbe(db::Pool);

impl DatabaseProbe {
    /// A probe of the database that `pool` connects to.
    pub(super) fn new(pool: &db::Pool) -> Self {
        let options = (*pool.connect_options()).clone();
        Self(
            PgPoolOptions::new()
                .max_connections(2)
                .acquire_timeout(CHECK_TIMEOUT)
                .connect_lazy_with(options),
        )
    }

    /// Whether the schema is this program's. Takes [`CHECK_TIMEOUT`] at most.
    pub(super) async fn look(&self) -> Result<bool, db::Error> {
        tokio::time::timeout(CHECK_TIMEOUT, db::migrations_current(&self.0))
            .await
            .unwrap_or(Err(db::Error::Unavailable(sqlx::Error::PoolTimedOut)))
    }
}

/// The health and metrics server of a program without an API. Stops when dropped.
#[derive(Debug)]
pub struct OpsServer {
    /// Where it listens.
    pub address: SocketAddr,
    _stop: DropGuard,
}

/// Serves `/healthz`, `/readyz` and `/metrics` on `bind`.
///
/// # Errors
/// When the address cannot be listened on.
pub async fn serve_ops(bind: SocketAddr, health: Health) -> Result<OpsServer, Error> {
    let refused = |cause| Error::Bind {
        address: bind,
        setting: "OPS_BIND",
        cause,
    };
    let listener = tokio::net::TcpListener::bind(bind).await.map_err(refused)?;
    let address = listener.local_addr().map_err(refused)?;
    let router = Router::new()
        .route("/healthz", get(healthz))
        .route(
            "/readyz",
            get(async |State(health): State<Health>| health.check().await),
        )
        .route("/metrics", get(metrics))
        .with_state(health);
    let stop = CancellationToken::new();
    let stopped = stop.clone().cancelled_owned();
    tokio::spawn(async move {
        if let Err(cause) = axum::serve(listener, router)
            .with_graceful_shutdown(stopped)
            .await
        {
            warn!(error = %cause, "the health server ended");
        }
    });
    info!(%address, "serving health and metrics");
    Ok(OpsServer {
        address,
        _stop: stop.drop_guard(),
    })
}

/// Answers that the process is alive.
pub async fn healthz() -> impl IntoResponse {
    Json(serde_json::json!({ "status": "ok" }))
}

/// Answers with every metric in the text format of Prometheus.
pub async fn metrics() -> impl IntoResponse {
    (
        [(
            header::CONTENT_TYPE,
            "text/plain; version=0.0.4; charset=utf-8",
        )],
        telemetry::render(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_consumer_is_down_without_its_broker() {
        use Database::{Ready, Unmigrated, Unreachable};
        use Link::{Down, NotConfigured, Up};
        for (database, link, needed, status) in [
            (Ready, Up, false, Status::Ok),
            (Ready, NotConfigured, false, Status::Ok),
            (Ready, NotConfigured, true, Status::Ok),
            (Ready, Down, false, Status::Degraded),
            (Ready, Down, true, Status::Down),
            (Unmigrated, Up, false, Status::Down),
            (Unreachable, Up, false, Status::Down),
            (Unreachable, NotConfigured, true, Status::Down),
        ] {
            assert_eq!(
                report(database, link, needed).status,
                status,
                "{database:?} {link:?}"
            );
        }
    }

    #[test]
    fn the_report_names_each_dependency() {
        let report = report(Database::Unmigrated, Link::NotConfigured, false);
        assert_eq!(
            serde_json::to_value(report).unwrap(),
            serde_json::json!({
                "status": "down",
                "dependencies": {
                    "postgres": "ok", "migrations": "missing", "rabbitmq": "not_configured"
                }
            })
        );
        assert_eq!(
            report.into_response().status(),
            StatusCode::SERVICE_UNAVAILABLE
        );
    }
}
