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
pub mod sign_in_link;
pub mod token;
pub mod webhooks;

use std::path::PathBuf;

use common::config::{self, DatabaseArgs, SettingErrors};
use common::credential::vault::ANNOUNCEMENT_EXPIRES_AFTER;
use common::credential::{self, Purpose};
use common::db;
use common::db::schema::State;
use common::lifecycle::keys::KeyMismatch;
use common::tenant::{OrganizationId, queries};
use common::webhook::registration;
use secrecy::SecretString;
use sqlx::pool::PoolConnection;
use sqlx::{Connection as _, PgConnection, Postgres, Transaction};
use uuid::Uuid;

use crate::local_files::{self, LocalFiles};
use crate::local_postgres::{self, LocalPostgres};
use crate::output;
use crate::running_engines::{RunningEngines, Wait};

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
    /// An `up` takes too long to start.
    #[error(
        "the `stripe-sync up` in {} is still not ready; its output says why",
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
        "the organization `{organization}` already exists with the name `{name}`; choose another id, or rename it \
         with `stripe-sync org rename {organization} --name NAME`"
    )]
    OrganizationExists {
        organization: OrganizationId,
        /// The name that it has.
        name: String,
    },
    /// There is no such organization.
    #[error(
        "there is no organization `{0}`; `stripe-sync org list` shows them, and \
         `stripe-sync org create {0} --name NAME` creates it"
    )]
    NoOrganization(OrganizationId),
    /// Its connections and their rows would go with it.
    #[error(
        "the organization `{organization}` has {}; add --with-data to delete all of its data",
        output::count(*connections as i64, "connection")
    )]
    OrganizationHasData {
        /// The organization.
        organization: OrganizationId,
        /// How many connections it has.
        connections: usize,
    },
    /// What is known of money that was moved would go with it.
    #[error(
        "the organization `{0}` cannot be deleted: money was moved to or from its connected account, and what is known of \
         that is kept"
    )]
    OrganizationHasLedger(OrganizationId),
    /// Stripe would go on charging it.
    #[error(
        "the organization `{0}` has a subscription, which would go on being paid; cancel it first, in Stripe's dashboard for one"
    )]
    OrganizationHasSubscription(OrganizationId),
    /// Nobody is there to confirm it.
    #[error(
        "deleting an organization cannot be undone, and there is no terminal to ask for confirmation; add --yes to \
         confirm"
    )]
    NeedsYes,
    /// Somebody is there and does not confirm it.
    #[error("nothing was deleted: the typed id is not `{0}`")]
    NotConfirmed(OrganizationId),
    /// The confirmation could not be read.
    #[error("cannot read the confirmation")]
    ReadConfirmation(#[source] std::io::Error),
    /// The job that deletes a connection failed.
    #[error(
        "the connection {connection_id} could not be deleted: {message}. The organization's tokens no longer work; \
         run the same command again to continue"
    )]
    ConnectionNotDeleted {
        /// The connection.
        connection_id: String,
        /// What its job ended with.
        message: String,
    },
    /// No consumer takes up the jobs that delete connections.
    #[error(
        "no consumer is running to delete the organization's connections: start `stripe-sync up` or a `consumer` on \
         this database, then run the same command again to continue"
    )]
    NoConsumer,
    /// The token expires beyond what can be written down.
    #[error(
        "the expiry is too far in the future; omit --expires-in for a token that never expires"
    )]
    ExpiresTooLate,
    /// A token's id alone does not say whose it is.
    #[error("to revoke a token by its id, also give --org ID, or --operator for an operator's")]
    TokenIdNeedsOrganization,
    /// It is neither a token nor the id of one.
    #[error(
        "this is neither a token, which starts with {}, nor the id of one; `stripe-sync token list` shows the ids",
        common::tenant::TOKEN_PREFIX
    )]
    NotAToken,
    /// The token could not be read.
    #[error("cannot read the token")]
    ReadToken(#[source] std::io::Error),
    /// There is no such token, or it is not live any more.
    #[error("no valid token matches: it was revoked, has expired, or never existed")]
    NoLiveToken,
    /// There is no job at all.
    #[error("there is no job yet")]
    NoJobs,
    /// There is no such job.
    #[error("there is no job {0}; `stripe-sync jobs list` shows the ids")]
    NoJob(Uuid),
    /// The job is not one to retry.
    #[error("the job {job_id} is {status}; only a failed or cancelled job can be retried")]
    NotRetriable {
        job_id: Uuid,
        /// What it is.
        status: &'static str,
    },
    /// Its work will be done by another.
    #[error(
        "another job of the same type is already pending for this connection and will do the work of {0}"
    )]
    JobPending(Uuid),
    /// Running programs could not decrypt with, or do not encrypt with, the key that is to encrypt everything.
    #[error(
        "not every program is ready for the key `{key_id}`:{list}\n\
         A program that was killed counts as running for {forgotten} s. The steps are in docs/operations.md.",
        list = unprepared_list(.programs), forgotten = ANNOUNCEMENT_EXPIRES_AFTER.as_secs()
    )]
    ProgramsUnprepared {
        /// The key.
        key_id: String,
        /// What is missing, by program.
        programs: Vec<UnpreparedProgram>,
    },
    /// A key that is to be removed encrypts something.
    #[error(
        "{} encrypted with the key `{key_id}`; run `stripe-sync keys rotate` first",
        output::are(*.credentials, "credential")
    )]
    KeyInUse {
        /// The key.
        key_id: String,
        /// How many credentials it encrypts.
        credentials: i64,
    },
    /// A key that is to be removed would encrypt the next credential.
    #[error(
        "a running program encrypts with the key `{key_id}`; restart it with another key first in its list"
    )]
    KeyEncrypts {
        /// The key.
        key_id: String,
    },
    /// A key that is to be discarded is still there.
    #[error(
        "the key `{key_id}` is not lost: a running program or the given keys have it; to replace it, add another \
         key and run `stripe-sync keys rotate`"
    )]
    KeyNotLost {
        /// The key.
        key_id: String,
    },
    /// Some credentials stay under their former key.
    #[error("{count} stored under another key could not be re-encrypted:{list}", count = output::count(.0.len() as i64, "credential"), list = stuck_list(.0))]
    CredentialsStuck(Vec<StuckCredential>),
    /// The given encryption keys do not fit what is stored.
    #[error(transparent)]
    KeyMismatch(#[from] KeyMismatch),
    /// The client for Stripe could not be set up.
    #[error("the Stripe client could not be set up")]
    Stripe(#[source] reqwest::Error),
    /// Stripe has endpoints whose signing secret is not to be had.
    #[error(
        "{endpoint}: Stripe shows a signing secret only once, and that of {} is not stored here. `stripe-sync webhooks \
         register --replace` creates another endpoint and deletes this one; or keep it, and set {setting} to its secret",
        .external_ids.join(", ")
    )]
    SecretNotKept {
        /// `platform` or `connect`.
        endpoint: &'static str,
        /// What Stripe calls them.
        external_ids: Vec<String>,
        /// Where the secret may be set instead.
        setting: &'static str,
    },
    /// An endpoint could not be registered.
    #[error(
        "{endpoint}: the webhook endpoint could not be registered; run the same command again to continue"
    )]
    NotRegistered {
        /// `platform` or `connect`.
        endpoint: &'static str,
        #[source]
        cause: Box<registration::Error>,
    },
    /// The output could not be written.
    #[error("cannot write to standard output")]
    Output(#[from] std::io::Error),
    /// The output could not be written as JSON.
    #[error("cannot write the output as JSON")]
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

/// A credential that no configured key decrypts.
#[derive(Debug)]
pub struct StuckCredential {
    pub connection_id: String,
    pub purpose: Purpose,
    /// Why it cannot be decrypted.
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
    let lines = stuck.iter().map(|one| {
        let StuckCredential {
            connection_id,
            purpose,
            cause,
        } = one;
        match purpose {
            Purpose::ApiKey => format!("\n  {connection_id}: {cause}"),
            _ => format!("\n  {connection_id}, webhook secret: {cause}"),
        }
    });
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
    pub async fn find(self, problems: &mut SettingErrors) -> Result<Option<Database>, Error> {
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
                    "is missing, and no `stripe-sync up` runs a private database in `{}`; start one, or set it to \
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
        let mut problems = SettingErrors::default();
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
        let mut conn = match db::connect_once(&self.url).await {
            Ok(conn) => conn,
            Err(error @ (db::Error::Unavailable(_) | db::Error::Silent { .. })) if self.private => {
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

    /// A connection under a program's role, once that is known to work as oneself, which tells what is wrong.
    async fn acquire(&self, role: db::Role) -> Result<PoolConnection<Postgres>, Error> {
        drop(self.connect().await?);
        Ok(self.pool(role)?.acquire().await.map_err(db::Error::from)?)
    }

    /// A small pool under a program's role. Connect as oneself first, which tells what is wrong.
    pub fn pool(&self, role: db::Role) -> Result<db::Pool, Error> {
        Ok(db::connect(&self.url, role, POOL_SIZE)?)
    }
}

/// Fails where there is no such organization.
async fn require(conn: &mut PgConnection, organization: &OrganizationId) -> Result<(), Error> {
    let name = queries::organization_name(conn, organization).await?;
    match name {
        Some(_) => Ok(()),
        None => Err(Error::NoOrganization(organization.clone())),
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
