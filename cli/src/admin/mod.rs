//! Commands for whoever runs the engine: they work on the database itself, with the rights of the
//! user in `DATABASE_URL`, and need no token and no running engine.
//!
//! That user may be a superuser or just the one that ran the migrations. Row-level security is forced
//! on owners too, so each transaction names its tenant, and what crosses tenants runs under the role
//! of a program that may. Without `DATABASE_URL` the commands find the private PostgreSQL of a running
//! `stripe-sync up`, and wait for one that starts.
//!
//! Absent on purpose: retries. A person is there to run the command again, and every command may be.

pub mod jobs;
pub mod keys;
pub mod migrate;
pub mod organization;
pub mod token;

use std::path::PathBuf;
use std::time::Duration;

use common::config::{self, DatabaseArgs, Problems};
use common::credential;
use common::db;
use common::db::schema::State;
use common::lifecycle::keys::FORGOTTEN_AFTER;
use common::tenant::OrganizationId;
use secrecy::{ExposeSecret as _, SecretString};
use sqlx::{Connection as _, PgConnection, Postgres, Transaction};
use uuid::Uuid;

use crate::local_files::{self, LocalFiles};
use crate::local_postgres::{self, LocalPostgres};
use crate::output;
use crate::running_engines::{RunningEngines, Wait};

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
    /// An `up` starts, and does not come to an end with it.
    #[error(
        "the `stripe-sync up` in {} is still not ready; look at what it prints",
        directory.display()
    )]
    UpNotReady {
        /// The directory of that `up`.
        directory: PathBuf,
    },
    /// The private database was left by an `up` that ended unexpectedly.
    #[error("the private PostgreSQL does not answer; start it with `stripe-sync up`")]
    PrivateDatabaseGone(#[source] db::Error),
    /// The private PostgreSQL could not be started or stopped.
    #[error(transparent)]
    LocalPostgres(#[from] local_postgres::Error),
    /// The schema, or access to it, is not this program's.
    #[error("{0}")]
    NotReady(State),
    /// There is no schema.
    #[error("the database has no tables yet; run `stripe-sync migrate` first")]
    NotMigrated,
    /// The id is another organization's.
    #[error(
        "the organization `{organization}` exists already, with the name `{name}`; choose another id, or give it \
         another name with `stripe-sync org rename {organization} --name NAME`"
    )]
    OrganizationExists {
        /// The id.
        organization: OrganizationId,
        /// The name that it has.
        name: String,
    },
    /// There is no such organization.
    #[error(
        "there is no organization `{0}`; `stripe-sync org list` shows them, and \
         `stripe-sync org create {0} --name NAME` makes it"
    )]
    NoOrganization(OrganizationId),
    /// Its connections and their rows would go with it.
    #[error(
        "the organization `{organization}` has {}; give --with-data to delete everything that is stored of it",
        output::count(*connections as i64, "connection")
    )]
    OrganizationHasData {
        /// The organization.
        organization: OrganizationId,
        /// How many connections it has.
        connections: usize,
    },
    /// Nobody is there to confirm it.
    #[error(
        "deleting an organization cannot be undone, and there is no terminal to ask for a confirmation; give --yes"
    )]
    NeedsYes,
    /// Somebody is there and does not confirm it.
    #[error("nothing was deleted: the id that was typed is not `{0}`")]
    NotConfirmed(OrganizationId),
    /// The confirmation could not be read.
    #[error("cannot read the confirmation")]
    ReadConfirmation(#[source] std::io::Error),
    /// The job that deletes a connection failed.
    #[error(
        "the connection {connection_id} could not be deleted: {message}. What is left of the organization \
         answers nothing any more; run the same command again to go on"
    )]
    ConnectionNotDeleted {
        /// The connection.
        connection_id: String,
        /// What its job ended with.
        message: String,
    },
    /// No consumer takes up the jobs that delete connections.
    #[error(
        "no consumer deletes the organization's connections: start `stripe-sync up` or a `consumer` on this \
         database, and run the same command again to go on"
    )]
    NoConsumer,
    /// The token expires beyond what can be written down.
    #[error("the token would expire too far in the future; leave out --expires-in for never")]
    ExpiresTooLate,
    /// A token's id alone does not say whose it is.
    #[error("a token is revoked by its id only together with --org ID")]
    TokenIdNeedsOrganization,
    /// It is neither a token nor the id of one.
    #[error(
        "this is neither a token, which begins with {}, nor the id of one, which `stripe-sync token list` shows",
        common::tenant::TOKEN_PREFIX
    )]
    NotAToken,
    /// The token could not be read.
    #[error("cannot read the token")]
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
    /// Running programs could not open, or would not use, the key that is to seal everything.
    #[error(
        "the key `{key_id}` may not seal every credential yet:{list}\n\
         A program that was killed counts as running for {forgotten} s. The order is in docs/operations.md.",
        list = unprepared_list(.programs), forgotten = FORGOTTEN_AFTER.as_secs()
    )]
    ProgramsUnprepared {
        /// The key.
        key_id: String,
        /// What is missing, by program.
        programs: Vec<UnpreparedProgram>,
    },
    /// A key that is to go seals something.
    #[error(
        "the key `{key_id}` seals {}; run `stripe-sync keys rotate` first",
        output::count(*.credentials, "credential")
    )]
    KeyInUse {
        /// The key.
        key_id: String,
        /// What it seals.
        credentials: i64,
    },
    /// A key that is to go would seal the next credential.
    #[error("a running program seals with the key `{key_id}`; restart it with another key first")]
    KeySeals {
        /// The key.
        key_id: String,
    },
    /// A key that is to be given up is still there.
    #[error(
        "the key `{key_id}` is not lost: a running program or the given keys know it; to replace it, add another \
         and run `stripe-sync keys rotate`"
    )]
    KeyNotLost {
        /// The key.
        key_id: String,
    },
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
            Self::Settings(_) | Self::TokenIdNeedsOrganization | Self::NotAToken | Self::NeedsYes
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

/// A running program that is not prepared for a rotation.
#[derive(Debug)]
pub struct UnpreparedProgram {
    /// `api` or `consumer`.
    pub program: String,
    /// When it last said that it runs, in seconds ago.
    pub seen_seconds_ago: i64,
    /// What is to be done about it.
    pub what: String,
}

fn unprepared_list(programs: &[UnpreparedProgram]) -> String {
    let lines = programs.iter().map(|one| {
        let UnpreparedProgram {
            program,
            seen_seconds_ago,
            what,
        } = one;
        format!("\n  a running {program} (seen {seen_seconds_ago} s ago) {what}")
    });
    lines.collect()
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

impl DatabaseAccess {
    /// The database of these settings, else the one in this directory.
    pub(crate) fn new(database: DatabaseArgs, local: LocalFiles) -> Self {
        Self { database, local }
    }
}

/// A database that was found, and how to reach it.
#[derive(Debug, Clone)]
pub struct Database {
    url: SecretString,
    private: bool,
    /// The directory in which an `up` may be starting.
    local: Option<LocalFiles>,
}

impl DatabaseAccess {
    /// The database that the settings name, else the private one of a running `up`, which is waited for while it starts.
    /// Complaints go to `problems`, so that a command can report those about its other settings as well.
    pub async fn find(self, problems: &mut Problems) -> Result<Option<Database>, Error> {
        let others_are_right = problems.is_empty();
        match self.database.check_optional(problems) {
            None => return Ok(None),
            Some(Some(found)) => {
                return Ok(Some(Database {
                    url: found.database_url,
                    private: false,
                    local: Some(self.local),
                }));
            }
            Some(None) => {}
        }
        // Waiting is for a command that can then be run.
        let url = if others_are_right {
            private_url(&self.local).await?
        } else {
            self.local.database_url()?
        };
        let Some(url) = url else {
            problems.add(
                "DATABASE_URL",
                format!(
                    "is missing, and no `stripe-sync up` runs a private database in `{}`; start one, or give \
                     postgres://USER:PASSWORD@HOST:PORT/DATABASE",
                    self.local.local_dir.display()
                ),
            );
            return Ok(None);
        };
        Ok(Some(Database {
            url,
            private: true,
            local: Some(self.local),
        }))
    }

    /// Whether the settings name a database, rightly or wrongly.
    pub fn names_a_database(&self) -> bool {
        self.database.database_url.is_some() || self.database.database_url_file.is_some()
    }

    /// [`find`](Self::find) for a command with no other settings.
    pub async fn resolve(self) -> Result<Database, Error> {
        let mut problems = Problems::default();
        let found = self.find(&mut problems).await?;
        Ok(problems.finish(found)?)
    }
}

/// The URL of the private PostgreSQL, once no `up` is starting; none when no `up` runs one.
async fn private_url(local: &LocalFiles) -> Result<Option<SecretString>, Error> {
    let mut wait = Wait::begin();
    loop {
        // In this order: `up` leaves the URL first and is ready afterwards.
        let starting = RunningEngines::find(&local.engines())?.starting;
        let url = local.database_url()?;
        if url.is_some() && !starting {
            return Ok(url);
        }
        if starting || LocalPostgres::is_owned(&local.postgres())? {
            still_starting(&mut wait, local).await?;
        } else if !wait.for_appearance().await {
            return Ok(None);
        }
    }
}

async fn still_starting(wait: &mut Wait, local: &LocalFiles) -> Result<(), Error> {
    if wait.for_readiness(&local.local_dir).await {
        return Ok(());
    }
    Err(Error::UpNotReady {
        directory: local.local_dir.clone(),
    })
}

impl Database {
    /// A database at this URL.
    pub fn at(url: SecretString) -> Self {
        Self {
            url,
            private: false,
            local: None,
        }
    }

    /// Where it is.
    pub fn url(&self) -> &SecretString {
        &self.url
    }

    /// Connects as the user of the URL and makes sure that there is a schema, waiting for an `up` that is making it.
    pub async fn connect(&self) -> Result<PgConnection, Error> {
        let mut wait = Wait::begin();
        loop {
            match (self.try_connect().await, &self.local) {
                (Err(Error::NotMigrated), Some(local))
                    if RunningEngines::find(&local.engines())?.starting =>
                {
                    still_starting(&mut wait, local).await?;
                }
                (connected, _) => return connected,
            }
        }
    }

    async fn try_connect(&self) -> Result<PgConnection, Error> {
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
        if !migrated {
            return Err(Error::NotMigrated);
        }
        // The roles that commands take on.
        for role in [db::Role::Api, db::Role::Scheduler] {
            match db::schema::state_of(&mut conn, role).await? {
                State::Ready => {}
                state => return Err(Error::NotReady(state)),
            }
        }
        Ok(conn)
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
