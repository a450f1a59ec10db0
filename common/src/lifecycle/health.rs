//! Whether a program can do its work: what it depends on, asked with a bound on the wait.
//!
//! Not ready means that PostgreSQL or its schema is missing, or that the program has not begun its work. A missing
//! broker only degrades: a consumer that nobody wakes looks into PostgreSQL by itself, and jobs that were not sent are
//! sent when it returns. A liveness probe asks nothing of anyone, so that an outage elsewhere restarts nobody.

use std::borrow::Borrow;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;
use sqlx::postgres::PgPoolOptions;
use tokio::sync::SetOnce;
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::{info, warn};
use utoipa::ToSchema;

use super::{Error, http};
use crate::broker::{Broker, LinkState};
use crate::db::Role;
use crate::db::schema::{self, State as SchemaState};
use crate::error_chain::ErrorChain;
use crate::{db, telemetry};

/// How long PostgreSQL may take to answer before it counts as down.
const CHECK_TIMEOUT: Duration = Duration::from_secs(2);

/// How long what was found is answered to further callers.
const SHARED_FOR: Duration = Duration::from_secs(1);

/// Connections to a health server at once: a few probes and scrapers.
const OPS_CONNECTIONS: NonZeroU32 = NonZeroU32::new(64).expect("64 is not zero");

/// Overall status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = ReadinessStatus)]
pub enum Status {
    /// Fully working.
    Ok,
    /// Working, with delays.
    Degraded,
    /// Not working: a dependency is missing, or the program has not started its work yet.
    Down,
}

/// Status of a dependency: `missing`, `stripe-sync migrate` has not been run; `newer`, the database was migrated by a newer
/// version; `not_configured`, not in use; `unknown`, PostgreSQL is unavailable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DependencyStatus {
    /// Available.
    Ok,
    /// Unavailable.
    Down,
    /// Migrations, roles, grants or policies are missing: run `stripe-sync migrate`.
    Missing,
    /// The database was migrated by a newer version: upgrade this program.
    Newer,
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
    /// Database schema, and what this program's role may do in it.
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
    found: Arc<Shared<Database>>,
    broker: Arc<dyn Broker>,
    subscribes: bool,
    begun: Arc<SetOnce<()>>,
}

impl Health {
    /// Health of a program that only publishes. `role` is that of `pool`.
    pub fn of_publisher(pool: impl Borrow<db::Pool>, role: Role, broker: Arc<dyn Broker>) -> Self {
        Self {
            database: DatabaseProbe::new(pool.borrow(), role),
            found: Arc::new(Shared::new(SHARED_FOR)),
            broker,
            subscribes: false,
            begun: Arc::default(),
        }
    }

    /// Health of a program that is woken by what the broker delivers: the broker counts as down, too, when it
    /// takes messages and delivers none. `role` is that of `pool`.
    pub fn of_subscriber(pool: impl Borrow<db::Pool>, role: Role, broker: Arc<dyn Broker>) -> Self {
        Self {
            subscribes: true,
            ..Self::of_publisher(pool, role, broker)
        }
    }

    /// Says that the program does its work from now on; until then it is not ready.
    pub fn begin(&self) {
        // A second time says nothing new.
        let _ = self.begun.set(());
    }

    /// Whether the program does its work.
    pub fn is_ready(&self) -> bool {
        self.begun.initialized()
    }

    /// Returns once the program does its work.
    pub async fn wait_until_ready(&self) {
        self.begun.wait().await;
    }

    /// How everything is now, or was a second ago. Takes two seconds at most.
    pub async fn check(&self) -> Report {
        let begun = self.is_ready();
        let probe = self.database.clone();
        let look = async move {
            let found = probe.probe().await;
            if begun {
                // Before that, the program itself says what it waits for.
                probe.log_changes(&found);
            }
            Database::of(&found)
        };
        let database = self.found.get(look).await;
        let link = match self.broker.link() {
            LinkState::Up if self.subscribes => self.broker.receiving(),
            link => link,
        };
        report(database, link, begun)
    }
}

fn report(database: Database, link: LinkState, begun: bool) -> Report {
    let (postgres, migrations) = match database {
        Database::Ready => (DependencyStatus::Ok, DependencyStatus::Ok),
        Database::Unmigrated => (DependencyStatus::Ok, DependencyStatus::Missing),
        Database::Newer => (DependencyStatus::Ok, DependencyStatus::Newer),
        Database::Unreachable => (DependencyStatus::Down, DependencyStatus::Unknown),
    };
    let rabbitmq = match link {
        LinkState::Up => DependencyStatus::Ok,
        LinkState::Down => DependencyStatus::Down,
        LinkState::NotConfigured => DependencyStatus::NotConfigured,
    };
    let status = match (database, link) {
        _ if !begun => Status::Down,
        (Database::Ready, LinkState::Up | LinkState::NotConfigured) => Status::Ok,
        (Database::Ready, LinkState::Down) => Status::Degraded,
        (Database::Unmigrated | Database::Newer | Database::Unreachable, _) => Status::Down,
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

/// What one caller finds out answers all that ask meanwhile or a moment later: whoever may ask without a token
/// may not make PostgreSQL work for each time it asks.
#[derive(Debug)]
struct Shared<T> {
    kept_for: Duration,
    last: tokio::sync::Mutex<Option<(Instant, T)>>,
}

impl<T: Copy + Send + 'static> Shared<T> {
    fn new(kept_for: Duration) -> Self {
        Self {
            kept_for,
            last: tokio::sync::Mutex::new(None),
        }
    }

    /// What was found a moment ago, or else what `look` finds. The look is a task of its own: when its caller leaves,
    /// it goes on, and the next caller need not wait for a second one.
    async fn get(self: &Arc<Self>, look: impl Future<Output = T> + Send + 'static) -> T {
        let shared = Arc::clone(self);
        let task = tokio::spawn(async move {
            let mut last = shared.last.lock().await;
            if let Some((at, found)) = *last
                && at.elapsed() < shared.kept_for
            {
                return found;
            }
            let found = look.await;
            *last = Some((Instant::now(), found));
            found
        });
        match task.await {
            Ok(found) => found,
            Err(failed) => match failed.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // The runtime is shutting down, and drops this caller, too.
                Err(_) => std::future::pending().await,
            },
        }
    }
}

/// What is known of the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Database {
    /// It answers and has what this program needs.
    Ready,
    /// It answers, and `stripe-sync migrate` has something to do.
    Unmigrated,
    /// It answers and has the schema of another version.
    Newer,
    /// It does not answer in time, or not to this user.
    Unreachable,
}

impl Database {
    fn of(found: &Result<SchemaState, db::Error>) -> Self {
        match found {
            Ok(SchemaState::Ready) => Self::Ready,
            Ok(SchemaState::Behind | SchemaState::AccessMissing(_)) => Self::Unmigrated,
            Ok(SchemaState::Newer { .. } | SchemaState::Altered { .. }) => Self::Newer,
            Err(_) => Self::Unreachable,
        }
    }
}

/// Looks at the database with connections of its own, that take no role: before the migrations the
/// program's role does not exist, and while every connection is busy the database is no less there.
#[derive(Debug, Clone)]
pub(super) struct DatabaseProbe {
    pool: db::Pool,
    role: Role,
    /// What was logged last; at first that all is well.
    last_logged: Arc<Mutex<String>>,
}

impl DatabaseProbe {
    /// A probe of the database that `pool` connects to, for a program in `role`.
    pub(super) fn new(pool: &db::Pool, role: Role) -> Self {
        let options = (*pool.connect_options()).clone();
        let pool = PgPoolOptions::new()
            .max_connections(2)
            .acquire_timeout(CHECK_TIMEOUT)
            .connect_lazy_with(options);
        Self {
            pool,
            role,
            last_logged: Arc::new(Mutex::new(SchemaState::Ready.to_string())),
        }
    }

    /// What the database is to this program. Takes [`CHECK_TIMEOUT`] at most.
    pub(super) async fn probe(&self) -> Result<SchemaState, db::Error> {
        tokio::time::timeout(CHECK_TIMEOUT, schema::state(&self.pool, self.role))
            .await
            .unwrap_or(Err(db::Error::Unavailable(sqlx::Error::PoolTimedOut)))
    }

    /// Logs what was found, when it is not what was logged last.
    pub(super) fn log_changes(&self, found: &Result<SchemaState, db::Error>) {
        let now = match found {
            Ok(state) => state.to_string(),
            // The same outage fails in several ways.
            Err(_) => String::new(),
        };
        let mut last_logged = self
            .last_logged
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if *last_logged == now {
            return;
        }
        *last_logged = now;
        match found {
            Ok(SchemaState::Ready) => info!("the database is ready"),
            Ok(state) => warn!("waiting for the database: {state}"),
            Err(cause) => {
                let at = db::address_of(&self.pool.connect_options());
                warn!(error = %ErrorChain(cause), "waiting for PostgreSQL at {at}");
            }
        }
    }
}

/// The health and metrics server of a program without an API. Stops when dropped.
#[derive(Debug)]
pub struct OpsServer {
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
    let limits = http::Limits::new(OPS_CONNECTIONS);
    tokio::spawn(http::serve(listener, router, "ops", limits, stop.clone()));
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
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[test]
    fn readiness_degrades_without_broker_and_fails_without_database() {
        use Database::{Newer, Ready, Unmigrated, Unreachable};
        use LinkState::{Down, NotConfigured, Up};
        for (database, link, status) in [
            (Ready, Up, Status::Ok),
            (Ready, NotConfigured, Status::Ok),
            (Ready, Down, Status::Degraded),
            (Unmigrated, Up, Status::Down),
            (Newer, Up, Status::Down),
            (Unreachable, Up, Status::Down),
            (Unreachable, NotConfigured, Status::Down),
        ] {
            assert_eq!(
                report(database, link, true).status,
                status,
                "{database:?} {link:?}"
            );
        }
    }

    #[test]
    fn a_program_is_not_ready_before_it_has_started() {
        let report = report(Database::Ready, LinkState::Up, false);
        assert_eq!(report.status, Status::Down);
        assert_eq!(report.dependencies.migrations, DependencyStatus::Ok);
    }

    #[tokio::test]
    async fn a_hundred_calls_at_once_make_one_look_and_later_ones_another() {
        let looks = Arc::new(AtomicU32::new(0));
        let look = || {
            let looks = Arc::clone(&looks);
            async move {
                tokio::task::yield_now().await;
                looks.fetch_add(1, Ordering::Relaxed) + 1
            }
        };
        let shared = Arc::new(Shared::new(Duration::from_mins(1)));
        let found = futures::future::join_all((0..100).map(|_| shared.get(look()))).await;
        assert!(found.iter().all(|found| *found == 1), "{found:?}");
        let expired = Arc::new(Shared::new(Duration::ZERO));
        assert_eq!(
            (expired.get(look()).await, expired.get(look()).await),
            (2, 3)
        );
    }

    #[tokio::test]
    async fn a_caller_that_leaves_leaves_its_look_to_the_next_one() {
        let shared = Arc::new(Shared::new(Duration::from_mins(1)));
        let (answer, answered) = tokio::sync::oneshot::channel();
        let look = async { answered.await.unwrap_or_default() };
        let left = tokio::time::timeout(Duration::ZERO, shared.get(look)).await;
        assert!(left.is_err());
        answer.send(1).expect("the look goes on");
        assert_eq!(shared.get(async { 2 }).await, 1);
    }

    #[test]
    fn the_report_names_each_dependency() {
        let report = report(Database::Unmigrated, LinkState::NotConfigured, true);
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
