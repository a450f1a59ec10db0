//! `org create`, `org list`, `org rename`, `org delete`: a tenant is an organization, and everything else belongs to one.
//!
//! Creating it again under the same name succeeds, so that a set-up script may run twice. Under
//! another name it fails: two teams picked one id, and one would see the other's figures.
//!
//! # How an organization is deleted
//!
//! One without connections goes in one transaction, with its tokens, sessions, saved questions and the history of its jobs.
//! Connections are deleted the way the API deletes them: in one transaction they, their keys and the organization's tokens and
//! sessions become useless, and jobs remove what is stored, which takes as long as there is data. The command waits for them and removes the
//! organization last. Interrupted anywhere, the same command goes on; until then nothing of the organization answers.
//!
//! An organization for which money was moved is not deleted: its ledger is what is known of that money.
//!
//! Deliberately absent: an undo.

use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use common::broker::{Broker, PostgresBroker};
use common::clock::{Clock as _, SystemClock};
use common::connection::{self, disconnect};
use common::connector::Connectors;
use common::db::{self, Role};
use common::job::{self, JobId, JobStatus};
use common::saved_question;
use common::session;
use common::tenant::{OrganizationId, queries};
use common::unit_of_work::{Committed, UnitOfWork};
use platform::{account, billing, ledger};
use serde_json::json;
use sqlx::PgConnection;
use stripe::StripeConnector;
use tokio::time::Instant;

use super::{DatabaseAccess, Error, commit, tenant_transaction};
use crate::arguments::Confirmation;
use crate::output::{self, number, text, whole};

const POLL: Duration = Duration::from_millis(200);
/// How long jobs may wait for a consumer. A lost wake-up costs half a minute, and a job that is cancelled in the middle of
/// a page somewhat more.
const BEGUN_WITHIN: Duration = Duration::from_mins(3);

/// Create, list, rename and delete organizations
#[derive(Debug, clap::Subcommand)]
pub enum Organization {
    /// Create an organization; does nothing if it already exists with the same name
    Create(Create),
    /// Show all organizations
    List(List),
    /// Change an organization's name; its id stays the same
    Rename(Rename),
    /// Permanently delete an organization and its tokens; refused while it has connections, unless --with-data is given
    Delete(Delete),
}

/// What to create.
#[derive(Debug, clap::Args)]
pub struct Create {
    /// 1 to 63 characters of a-z, 0-9, _ and -, beginning with a letter or digit
    #[arg(value_name = "ID")]
    organization: OrganizationId,
    /// The organization's display name
    #[arg(long, value_parser = clap::builder::NonEmptyStringValueParser::new())]
    name: String,
    #[command(flatten)]
    access: DatabaseAccess,
}

/// How to show them.
#[derive(Debug, clap::Args)]
pub struct List {
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    access: DatabaseAccess,
}

/// Which organization gets which name.
#[derive(Debug, clap::Args)]
pub struct Rename {
    /// The organization
    #[arg(value_name = "ID")]
    organization: OrganizationId,
    /// The organization's new display name
    #[arg(long, value_parser = clap::builder::NonEmptyStringValueParser::new())]
    name: String,
    #[command(flatten)]
    access: DatabaseAccess,
}

/// Which organization to delete, and how much with it.
#[derive(Debug, clap::Args)]
pub struct Delete {
    /// The organization
    #[arg(value_name = "ID")]
    organization: OrganizationId,
    /// Also delete its connections and all of their data
    #[arg(long)]
    with_data: bool,
    #[command(flatten)]
    confirmation: Confirmation,
    #[command(flatten)]
    access: DatabaseAccess,
}

impl Organization {
    /// Runs the command.
    pub async fn run(self) -> Result<(), Error> {
        match self {
            Self::Create(command) => command.run().await,
            Self::List(command) => command.run().await,
            Self::Rename(command) => command.run().await,
            Self::Delete(command) => command.run().await,
        }
    }
}

impl Create {
    async fn run(self) -> Result<(), Error> {
        let Self {
            organization,
            name,
            access,
        } = self;
        let mut conn = access.resolve().await?.connect().await?;
        let created = create(&mut conn, &organization, &name, SystemClock.now()).await?;
        let outcome = if created { "created" } else { "already exists" };
        output::print(&format!("organization {organization} ({name}) {outcome}"))?;
        Ok(())
    }
}

/// Makes an organization; false when it was there under the same name.
pub async fn create(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    name: &str,
    now: DateTime<Utc>,
) -> Result<bool, Error> {
    let mut tx = tenant_transaction(conn, organization).await?;
    match queries::create_organization(&mut tx, organization, name, now).await {
        Ok(created) => {
            commit(tx).await?;
            Ok(created)
        }
        Err(db::Error::Conflict { .. }) => {
            let name = queries::organization_name(&mut tx, organization).await?;
            Err(Error::OrganizationExists {
                organization: organization.clone(),
                name: name.unwrap_or_default(),
            })
        }
        Err(error) => Err(error.into()),
    }
}

impl List {
    async fn run(self) -> Result<(), Error> {
        let database = self.access.resolve().await?;
        let mut conn = database.acquire(Role::Scheduler).await?;
        let organizations = queries::list_organizations(&mut conn).await?;
        let text = if self.json {
            let all = organizations.iter().map(|organization| {
                json!({
                    "organization_id": organization.organization_id,
                    "name": organization.name,
                    "connections": organization.connections,
                    "created_at": organization.created_at,
                })
            });
            serde_json::to_string_pretty(&all.collect::<Vec<_>>())?
        } else {
            let fields = [
                whole("id", |it: &queries::ListedOrganization| {
                    it.organization_id.to_string()
                }),
                text("name", |it| output::plain(&it.name)),
                number("connections", |it| output::thousands(it.connections)),
                whole("created", |it| output::instant(it.created_at)),
            ];
            output::table_of(&organizations, &fields)
        };
        output::print(&text)?;
        Ok(())
    }
}

impl Rename {
    async fn run(self) -> Result<(), Error> {
        let Self {
            organization,
            name,
            access,
        } = self;
        let mut conn = access.resolve().await?.connect().await?;
        let mut tx = tenant_transaction(&mut conn, &organization).await?;
        if !queries::rename_organization(&mut tx, &organization, &name).await? {
            return Err(Error::NoOrganization(organization));
        }
        commit(tx).await?;
        output::print(&format!("organization {organization} is now named {name}"))?;
        Ok(())
    }
}

impl Delete {
    async fn run(self) -> Result<(), Error> {
        let organization = &self.organization;
        let database = self.access.clone().resolve().await?;
        let mut conn = database.connect().await?;
        if !self.confirmation.yes {
            // What would be refused anyway needs no confirmation.
            self.check(&mut conn).await?;
            confirm(organization)?;
        }
        loop {
            // Consumers with RabbitMQ hear of the jobs from the scheduler.
            let broker: Arc<dyn Broker> = Arc::new(PostgresBroker::new(database.pool(Role::Api)?));
            let jobs = self.begin(&mut conn).await?.publish(&broker).await;
            if jobs.is_empty() {
                break;
            }
            eprintln!(
                "deleting {} of {organization}; if interrupted, run the same command again to continue",
                output::count(jobs.len() as i64, "connection")
            );
            wait_until_ended(&mut conn, organization, &jobs).await?;
        }
        output::print(&format!("organization {organization} is deleted"))?;
        Ok(())
    }

    /// Locks the organization and its connections, and refuses where --with-data is needed.
    async fn check(
        &self,
        conn: &mut PgConnection,
    ) -> Result<Vec<connection::queries::ConnectionToDelete>, Error> {
        let organization = &self.organization;
        let mut tx = tenant_transaction(conn, organization).await?;
        let connections = self.check_within(&mut tx).await?;
        commit(tx).await?;
        Ok(connections)
    }

    async fn check_within(
        &self,
        tx: &mut PgConnection,
    ) -> Result<Vec<connection::queries::ConnectionToDelete>, Error> {
        let organization = &self.organization;
        if !queries::lock_organization(tx, organization).await? {
            return Err(Error::NoOrganization(organization.clone()));
        }
        if ledger::queries::has_entries(tx, organization).await? {
            return Err(Error::OrganizationHasLedger(organization.clone()));
        }
        if billing::queries::has_live_subscription(tx, organization).await? {
            return Err(Error::OrganizationHasSubscription(organization.clone()));
        }
        let connections = connection::queries::list_for_deletion(tx, organization).await?;
        if connections.is_empty() || self.with_data {
            Ok(connections)
        } else {
            Err(Error::OrganizationHasData {
                organization: organization.clone(),
                connections: connections.len(),
            })
        }
    }

    /// Deletes an organization without connections; else makes it useless and returns the job that deletes each of them.
    async fn begin(&self, conn: &mut PgConnection) -> Result<Committed<Vec<Removal>>, Error> {
        let organization = &self.organization;
        let now = SystemClock.now();
        let tx = tenant_transaction(conn, organization).await?;
        let mut work = UnitOfWork::within(tx, organization, now);
        let connections = self.check_within(&mut work).await?;
        let mut jobs = Vec::new();
        session::queries::delete_all(&mut work, organization).await?;
        saved_question::queries::delete_all(&mut work, organization).await?;
        if connections.is_empty() {
            job::queries::delete_all(&mut work, organization).await?;
            ledger::queries::reconciliation::delete_all(&mut work, organization).await?;
            account::queries::delete_all(&mut work, organization).await?;
            billing::queries::delete_all(&mut work, organization).await?;
            queries::delete_organization(&mut work, organization).await?;
        } else {
            queries::delete_tokens(&mut work, organization).await?;
        }
        for connection in connections {
            let connectors = Connectors::new(&[&StripeConnector]);
            let job_id =
                disconnect::begin(&mut work, connectors, organization, &connection, now).await?;
            let connection_id = connection.connection_id;
            jobs.push(Removal {
                connection_id,
                job_id,
            });
        }
        Ok(work.commit(jobs).await?)
    }
}

/// A connection and the job that deletes it.
#[derive(Debug)]
struct Removal {
    connection_id: String,
    job_id: JobId,
}

/// Asks a person to type the id.
fn confirm(organization: &OrganizationId) -> Result<(), Error> {
    if !std::io::stdin().is_terminal() {
        return Err(Error::NeedsYes);
    }
    eprint!("This cannot be undone. Type `{organization}` to delete it: ");
    std::io::stderr().flush().map_err(Error::ReadConfirmation)?;
    let mut typed = String::new();
    std::io::stdin()
        .lock()
        .read_line(&mut typed)
        .map_err(Error::ReadConfirmation)?;
    if typed.trim() == organization.as_str() {
        Ok(())
    } else {
        Err(Error::NotConfirmed(organization.clone()))
    }
}

async fn wait_until_ended(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    jobs: &[Removal],
) -> Result<(), Error> {
    let mut last_at_work = Instant::now();
    for Removal {
        connection_id,
        job_id,
    } in jobs
    {
        loop {
            let mut tx = tenant_transaction(conn, organization).await?;
            let job = job::queries::get(&mut tx, organization, *job_id).await?;
            commit(tx).await?;
            let Some(job) = job else { break };
            match job.status {
                JobStatus::Completed => break,
                JobStatus::Failed | JobStatus::Cancelled => {
                    let reason = job.error.map(|error| error.message);
                    return Err(Error::ConnectionNotDeleted {
                        connection_id: connection_id.clone(),
                        message: reason.unwrap_or_else(|| "its job was cancelled".to_owned()),
                    });
                }
                JobStatus::Running => last_at_work = Instant::now(),
                JobStatus::Pending if last_at_work.elapsed() >= BEGUN_WITHIN => {
                    return Err(Error::NoConsumer);
                }
                JobStatus::Pending => {}
            }
            tokio::time::sleep(POLL).await;
        }
        last_at_work = Instant::now();
    }
    Ok(())
}
