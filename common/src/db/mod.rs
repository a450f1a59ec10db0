//! PostgreSQL: pools that run under a program's role, transactions that run under a tenant, the schema
//! ([`schema`]), and what each role may do (`access`).
//!
//! A pool is made without a connection, so that a program starts while PostgreSQL is down and goes on
//! when it returns. Every tenant's statement runs inside [`tenant_transaction`]; outside of one, row-level
//! security shows nothing. Deliberately absent: retries, since only a caller knows whether its work may be
//! done twice.

mod access;
mod error;
mod queries;
mod roles;
pub mod schema;

use std::str::FromStr;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{Connection, Executor, Postgres};

pub use error::Error;
pub use schema::migrate;
pub use sqlx::PgConnection;

use crate::id::OrganizationId;
use crate::named;

/// A pool of connections to PostgreSQL.
pub type Pool = sqlx::PgPool;

/// A transaction, rolled back when it is dropped.
pub type Transaction<'c> = sqlx::Transaction<'c, Postgres>;

named! {
    /// The database role under which a program works.
    Role {
        /// Reads and writes a tenant's settings, reads its figures.
        Api = "stripe_sync_api",
        /// Sees every tenant's schedule, no figures and no credential.
        Scheduler = "stripe_sync_scheduler",
        Consumer = "stripe_sync_consumer",
        /// Stores events of any tenant and asks for the jobs that apply them; the API takes it on for webhooks, which come
        /// without a token.
        Webhooks = "stripe_sync_webhooks",
        /// Reads the events of every tenant, and which tenants there are, whose fee it sets, and nothing else; the API takes it on
        /// for operators.
        Operator = "stripe_sync_operator",
    }
}

impl Role {
    /// The roles that a program in this role works under: it can begin only when all of them are complete.
    pub(crate) fn with_others(self) -> &'static [Self] {
        match self {
            Self::Api => &[Self::Api, Self::Webhooks, Self::Operator],
            Self::Scheduler => &[Self::Scheduler],
            Self::Consumer => &[Self::Consumer],
            Self::Webhooks => &[Self::Webhooks],
            Self::Operator => &[Self::Operator],
        }
    }

    /// What else its sessions are set to.
    fn settings(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Consumer => &[],
            // A plan that does not know the dates and values asked for would sort a year that an index orders,
            // and one that does not know the size of a batch would join whole tables with it.
            Self::Scheduler => &[("plan_cache_mode", "force_custom_plan")],
            // And somebody waits for what the API does.
            Self::Api | Self::Webhooks | Self::Operator => &[
                ("plan_cache_mode", "force_custom_plan"),
                ("lock_timeout", "10s"),
            ],
        }
    }

    fn set_statement(self) -> &'static str {
        match self {
            Self::Api => "SET ROLE stripe_sync_api",
            Self::Scheduler => "SET ROLE stripe_sync_scheduler",
            Self::Consumer => "SET ROLE stripe_sync_consumer",
            Self::Webhooks => "SET ROLE stripe_sync_webhooks",
            Self::Operator => "SET ROLE stripe_sync_operator",
        }
    }

    fn set_local_statement(self) -> &'static str {
        match self {
            Self::Api => "SET LOCAL ROLE stripe_sync_api",
            Self::Scheduler => "SET LOCAL ROLE stripe_sync_scheduler",
            Self::Consumer => "SET LOCAL ROLE stripe_sync_consumer",
            Self::Webhooks => "SET LOCAL ROLE stripe_sync_webhooks",
            Self::Operator => "SET LOCAL ROLE stripe_sync_operator",
        }
    }
}

/// How long a caller waits for a free connection before it learns that PostgreSQL is not available.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);

/// A connection answered when it was given back. It is asked again if it has been idle for as long as this: asking
/// each time is a round trip before every transaction.
const TEST_AFTER_IDLE: Duration = Duration::from_secs(1);

/// What bounds a statement: no wait for a lock is for ever, and a transaction whose client is gone, or stands
/// still while it holds the row of a job, ends soon enough for another consumer to take the job over.
/// Compiling a statement pays for those that run for many seconds, and ours do not.
const SERVER_SETTINGS: [(&str, &str); 5] = [
    ("jit", "off"),
    ("lock_timeout", "30s"),
    ("statement_timeout", "15min"),
    ("idle_in_transaction_session_timeout", "20s"),
    ("tcp_keepalives_idle", "15"),
];

/// How long a server may take to accept a connection: a wrong address often does not refuse but keeps silent.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A connection as the user of `url`, in no program's role.
///
/// # Errors
/// [`Error::Silent`] when nothing answers within ten seconds.
pub async fn connect_once(url: &SecretString) -> Result<PgConnection, Error> {
    let options: PgConnectOptions = url.expose_secret().parse().map_err(Error::Statement)?;
    // "… already exists, skipping" at every start says nothing to anyone.
    let options = options.options([("client_min_messages", "warning")]);
    let connecting = PgConnection::connect_with(&options);
    match tokio::time::timeout(CONNECT_TIMEOUT, connecting).await {
        Ok(connected) => Ok(connected?),
        Err(_) => Err(Error::Silent {
            address: address_of(&options),
            after: CONNECT_TIMEOUT,
        }),
    }
}

/// A pool whose connections all run under `role`. Does not connect yet.
///
/// # Errors
/// When `url` is no PostgreSQL URL.
pub fn connect(url: &SecretString, role: Role, max_connections: u32) -> Result<Pool, Error> {
    let options: PgConnectOptions = url.expose_secret().parse().map_err(Error::Statement)?;
    Ok(PgPoolOptions::new()
        .max_connections(max_connections)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .test_before_acquire(false)
        .before_acquire(|conn, idle| {
            Box::pin(async move {
                if idle.idle_for >= TEST_AFTER_IDLE {
                    conn.ping().await?;
                }
                Ok(true)
            })
        })
        .after_connect(move |conn, _| {
            Box::pin(async move { conn.execute(role.set_statement()).await.map(|_| ()) })
        })
        .connect_lazy_with(
            options
                .application_name(role.as_str())
                .options(SERVER_SETTINGS)
                .options(role.settings().iter().copied()),
        ))
}

/// Where these options lead, without user or password: for people who look for a wrong host or port.
pub fn address_of(options: &PgConnectOptions) -> String {
    match options.get_socket() {
        Some(socket) => socket.display().to_string(),
        None => format!("{}:{}", options.get_host(), options.get_port()),
    }
}

/// A transaction in which only `organization`'s rows exist.
pub async fn tenant_transaction(
    pool: &Pool,
    organization: &OrganizationId,
) -> Result<Transaction<'static>, Error> {
    let mut tx = pool.begin().await?;
    set_tenant(&mut tx, organization).await?;
    Ok(tx)
}

/// A transaction in another role than the pool's: for what is found across tenants, which only the
/// scheduler's role sees, and for what operators read.
pub async fn role_transaction(pool: &Pool, role: Role) -> Result<Transaction<'static>, Error> {
    let mut tx = pool.begin().await?;
    tx.execute(role.set_local_statement()).await?;
    Ok(tx)
}

/// The same as [`tenant_transaction`], reading all its statements' rows as of one moment, and writing nothing.
pub async fn tenant_snapshot(
    pool: &Pool,
    organization: &OrganizationId,
) -> Result<Transaction<'static>, Error> {
    let mut tx = pool
        .begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        .await?;
    set_tenant(&mut tx, organization).await?;
    Ok(tx)
}

/// Commits a transaction.
pub async fn commit(tx: Transaction<'_>) -> Result<(), Error> {
    Ok(tx.commit().await?)
}

/// Makes the rest of the current transaction see only `organization`'s rows.
pub async fn set_tenant(
    conn: &mut PgConnection,
    organization: &OrganizationId,
) -> Result<(), Error> {
    sqlx::query!(
        "SELECT set_config('app.organization_id', $1, true)",
        organization.as_str()
    )
    .fetch_one(conn)
    .await?;
    Ok(())
}

/// The value of a stored text; `column` names where it stands.
pub fn parse_stored<T>(column: &'static str, text: &str) -> Result<T, Error>
where
    T: FromStr,
    T::Err: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    text.parse().map_err(|cause: T::Err| Error::Inconsistent {
        column,
        cause: cause.into(),
    })
}

/// The organization of a stored id, the reserved one included.
pub fn organization_id(stored: String) -> Result<OrganizationId, Error> {
    OrganizationId::stored(stored).map_err(|cause| Error::Inconsistent {
        column: "organization_id",
        cause: Box::new(cause),
    })
}
