//! Commands for whoever runs the engine: they work on the database itself, with the rights of the
//! user in `DATABASE_URL`, and need no token and no running engine.
//!
//! That user may be a superuser or just the one that ran the migrations. Row-level security is forced
//! on owners too, so each transaction names its tenant, and what crosses tenants runs under the role
//! of a program that may. Without `DATABASE_URL` the commands find the private PostgreSQL of a running
//! `stripe-sync up`.
//!
//! Absent on purpose: retries. A person is there to run the command again, and every command may be.

pub mod jobs;
pub mod keys;
pub mod migrate;
pub mod organization;
pub mod token;

use std::time::Duration;

use common::config::{self, DatabaseArgs, Problems};
use common::credential;
use common::db;
use common::tenant::OrganizationId;
use secrecy::{ExposeSecret as _, SecretString};
use sqlx::{Connection as _, PgConnection, Postgres, Transaction};
use uuid::Uuid;

use crate::local_files::{self, LocalFiles};
use crate::output;

/// How long the database may take to let a command in.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);

/// Connections of a pool that serves one command.
const POOL_SIZE: u32 = 2;

/// Why an administration command failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Settings are wrong or missing.
    #[error(transparent)]
    Settings(#[from] config::Error),
    /// A file under `.local/` could not be used.
    #[error(transparent)]
    LocalFiles(#[from] local_files::Error),
    /// The database could not be used.
    #[error(transparent)]
    Database(#[from] db::Error),
    /// The private database was left by an `up` that ended unexpectedly.
    #[error("the private PostgreSQL does not answer; start it with `stripe-sync up`")]
    PrivateDatabaseGone(#[source] db::Error),
    /// There is no schema.
    #[error("the database has no tables yet; run `stripe-sync migrate` first")]
    NotMigrated,
    /// The id is another organization's.
    #[error("the organization `{organization}` exists already, under the name `{name}`")]
    OrganizationExists {
        /// The id.
        organization: OrganizationId,
        /// The name that it has.
        name: String,
    },
    /// There is no such organization.
    #[error(
        "there is no organization `{0}`; make it with `stripe-sync org create {0} --name NAME`"
    )]
    NoOrganization(OrganizationId),
    /// The token expires beyond what can be written down.
    #[error("the token would expire too far in the future; leave out --expires-in for never")]
    ExpiresTooLate,
    /// A token's id alone does not say whose it is.
    #[error("a token's id needs --org ID beside it; or give the token itself")]
    TokenIdNeedsOrganization,
    /// It is neither a token nor the id of one.
    #[error(
        "this is neither a token, which begins with {}, nor the id of one",
        common::tenant::TOKEN_PREFIX
    )]
    NotAToken,
    /// The token could not be read.
    #[error("cannot read the token from standard input")]
    ReadToken(#[source] std::io::Error),
    /// There is no such token, or it is not live any more.
    #[error("there is no such live token; it was revoked, has expired, or never existed")]
    NoLiveToken,
    /// There is no job at all.
    #[error("there is no job yet")]
    NoJobs,
    /// There is no such job.
    #[error("there is no job {0}; `stripe-sync jobs list` shows them")]
    NoJob(Uuid),
    /// The job is not one to retry.
    #[error("the job {job_id} is {status}; only a failed or cancelled job can be retried")]
    NotRetriable {
        /// The job.
        job_id: Uuid,
        /// What it is.
        status: &'static str,
    },
    /// Its work will be done by another.
    #[error(
        "another job of the same type is pending for the same connection and will do the work of {0}"
    )]
    JobPending(Uuid),
    /// Some credentials stay under their former key.
    #[error("{count} stored under another key could not be re-encrypted:{list}", count = output::count(.0.len() as i64, "credential"), list = stuck_list(.0))]
    CredentialsStuck(Vec<StuckCredential>),
    /// The answer could not be written.
    #[error("cannot write the answer")]
    Output(#[from] std::io::Error),
    /// The answer could not be written as JSON.
    #[error("cannot write the answer as JSON")]
    Json(#[from] serde_json::Error),
}

impl Error {
    /// Whether the command line or a setting was at fault, rather than the world.
    pub fn is_usage(&self) -> bool {
        matches!(
            self,
            Self::Settings(_) | Self::TokenIdNeedsOrganization | Self::NotAToken
        )
    }
}

/// A credential that no configured key opens.
#[derive(Debug)]
pub struct StuckCredential {
    /// Whose it is.
    pub connection_id: String,
    /// Why it does not open.
    pub cause: credential::Error,
}

fn stuck_list(stuck: &[StuckCredential]) -> String {
    let lines = stuck
        .iter()
        .map(|one| format!("\n  {}: {}", one.connection_id, one.cause));
    lines.collect()
}

/// Which database a command works on.
#[derive(Debug, Clone, clap::Args)]
pub struct DatabaseAccess {
    #[command(flatten)]
    database: DatabaseArgs,
    /// What `up` left for us.
    #[command(flatten)]
    pub local: LocalFiles,
}

/// A database that was found, and how to reach it.
#[derive(Debug, Clone)]
pub struct Database {
    url: SecretString,
    private: bool,
}

impl DatabaseAccess {
    /// Access by these settings.
    pub(crate) fn new(database: DatabaseArgs, local: LocalFiles) -> Self {
        Self { database, local }
    }

    /// The database that the settings name, else the private one of a running `up`. Complaints go to
    /// `problems`, so that a command can report its other settings' with them.
    pub fn find(self, problems: &mut Problems) -> Result<Option<Database>, Error> {
        match self.database.check_optional(problems) {
            None => return Ok(None),
            Some(Some(found)) => {
                return Ok(Some(Database {
                    url: found.database_url,
                    private: false,
                }));
            }
            Some(None) => {}
        }
        let Some(url) = self.local.database_url()? else {
            problems.add(
                "DATABASE_URL",
                format!(
                    "is missing, and no `stripe-sync up` runs a private database in `{}`; \
                     give postgres://USER:PASSWORD@HOST:PORT/DATABASE",
                    self.local.local_dir.display()
                ),
            );
            return Ok(None);
        };
        Ok(Some(Database { url, private: true }))
    }

    /// [`find`](Self::find) for a command with no other settings.
    pub fn resolve(self) -> Result<Database, Error> {
        let mut problems = Problems::default();
        let found = self.find(&mut problems)?;
        Ok(problems.finish(found)?)
    }
}

impl Database {
    /// A database at this URL.
    pub fn at(url: SecretString) -> Self {
        Self {
            url,
            private: false,
        }
    }

    /// Where it is.
    pub fn url(&self) -> &SecretString {
        &self.url
    }

    /// Connects as the user of the URL and makes sure that there is a schema.
    pub async fn connect(&self) -> Result<PgConnection, Error> {
        let connecting = PgConnection::connect(self.url.expose_secret());
        let connected = match tokio::time::timeout(CONNECT_WITHIN, connecting).await {
            Ok(connected) => connected.map_err(db::Error::from),
            Err(_) => Err(db::Error::Unavailable(sqlx::Error::PoolTimedOut)),
        };
        let mut conn = match connected {
            Ok(conn) => conn,
            Err(error @ db::Error::Unavailable(_)) if self.private => {
                return Err(Error::PrivateDatabaseGone(error));
            }
            Err(error) => return Err(error.into()),
        };
        let migrated: bool = sqlx::query_scalar("SELECT to_regclass('organizations') IS NOT NULL")
            .fetch_one(&mut conn)
            .await
            .map_err(db::Error::from)?;
        if migrated {
            Ok(conn)
        } else {
            Err(Error::NotMigrated)
        }
    }

    /// A small pool under a program's role. Connect as oneself first, which tells what is wrong.
    pub fn pool(&self, role: db::Role) -> Result<db::Pool, Error> {
        Ok(db::connect(&self.url, role, POOL_SIZE)?)
    }
}

/// A transaction of a plain connection in which only `organization`'s rows exist.
async fn tenant_transaction<'c>(
    conn: &'c mut PgConnection,
    organization: &OrganizationId,
) -> Result<Transaction<'c, Postgres>, Error> {
    let mut tx = conn.begin().await.map_err(db::Error::from)?;
    db::set_tenant(&mut tx, organization).await?;
    Ok(tx)
}

async fn commit(tx: Transaction<'_, Postgres>) -> Result<(), Error> {
    Ok(tx.commit().await.map_err(db::Error::from)?)
}
