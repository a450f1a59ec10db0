//! `jobs list`, `jobs retry`: what the engine did and does, for all organizations.
//!
//! A failed job stays until somebody retries it, and an operator looks for it across tenants, which no
//! token may. Jobs of connections that are being deleted are shown too. A retried job is dispatched by
//! the scheduler within half a minute.

use chrono::SecondsFormat;
use common::db::{self, Role};
use common::sync::{Job, JobId, JobStatus, queries};
use common::tenant::OrganizationId;
use serde_json::json;
use uuid::Uuid;

use super::{Database, DatabaseAccess, Error};
use crate::output::{self, Align};

/// Sync jobs of all organizations
#[derive(Debug, clap::Subcommand)]
pub enum Jobs {
    /// Show the newest jobs
    List(List),
    /// Let a failed or cancelled job go on where it stopped
    Retry(Retry),
}

/// Which jobs to show.
#[derive(Debug, clap::Args)]
pub struct List {
    /// Only this organization's
    #[arg(long = "org", value_name = "ID")]
    organization: Option<OrganizationId>,
    /// Only this connection's
    #[arg(long, value_name = "ID")]
    connection: Option<String>,
    /// Only those that are pending, running, completed, failed or cancelled
    #[arg(long)]
    status: Option<JobStatus>,
    /// How many at most
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    limit: u32,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    access: DatabaseAccess,
}

/// Which job to retry.
#[derive(Debug, clap::Args)]
pub struct Retry {
    /// The job
    job_id: Uuid,
    #[command(flatten)]
    access: DatabaseAccess,
}

impl Jobs {
    /// Runs the command.
    pub async fn run(self) -> Result<(), Error> {
        match self {
            Self::List(command) => command.run().await,
            Self::Retry(command) => {
                let database = command.access.resolve().await?;
                retry(&database, JobId(command.job_id)).await?;
                output::print(&format!("the job {} is pending again", command.job_id))?;
                Ok(())
            }
        }
    }
}

impl List {
    async fn run(self) -> Result<(), Error> {
        let database = self.access.resolve().await?;
        drop(database.connect().await?);
        let pool = database.pool(Role::Scheduler)?;
        let mut conn = pool.acquire().await.map_err(db::Error::from)?;
        let jobs = queries::newest_of_all(
            &mut conn,
            self.organization.as_ref(),
            self.connection.as_deref(),
            self.status,
            i64::from(self.limit),
        )
        .await?;
        let text = if self.json {
            serde_json::to_string_pretty(&jobs.iter().map(as_json).collect::<Vec<_>>())?
        } else {
            as_table(&jobs)
        };
        output::print(&text)?;
        Ok(())
    }
}

fn as_json(job: &Job) -> serde_json::Value {
    json!({
        "organization_id": job.job_ref.organization_id,
        "job_id": job.job_ref.job_id,
        "connection_id": job.connection_id,
        "job_type": job.job_type,
        "trigger": job.trigger,
        "status": job.status,
        "attempt": job.attempt,
        "created_at": job.created_at,
        "started_at": job.started_at,
        "finished_at": job.finished_at,
        "charges_seen": job.charges_seen,
        "rows_written": job.rows_written,
        "requests": job.requests,
        "error": job.error,
    })
}

fn as_table(jobs: &[Job]) -> String {
    let rows = jobs.iter().map(|job| {
        vec![
            job.created_at.to_rfc3339_opts(SecondsFormat::Secs, true),
            job.connection_id.clone(),
            job.job_ref.job_id.to_string(),
            job.job_type.as_str().to_owned(),
            job.trigger.as_str().to_owned(),
            job.status.as_str().to_owned(),
            output::thousands(job.charges_seen),
            output::thousands(job.requests),
            job.error
                .as_ref()
                .map(|error| output::plain(&error.code))
                .unwrap_or_default(),
        ]
    });
    let columns = [
        ("created", Align::Left),
        ("connection", Align::Left),
        ("job", Align::Left),
        ("type", Align::Left),
        ("trigger", Align::Left),
        ("status", Align::Left),
        ("charges", Align::Right),
        ("requests", Align::Right),
        ("error", Align::Left),
    ];
    output::table(&columns, rows)
}

/// Makes a failed or cancelled job of whatever organization pending again.
pub async fn retry(database: &Database, job_id: JobId) -> Result<(), Error> {
    drop(database.connect().await?);
    let scheduler = database.pool(Role::Scheduler)?;
    let mut conn = scheduler.acquire().await.map_err(db::Error::from)?;
    let found = queries::find_of_all(&mut conn, job_id).await?;
    drop(conn);
    let job_ref = found.ok_or(Error::NoJob(job_id.0))?;
    let organization = &job_ref.organization_id;
    let mut tx = db::tenant_transaction(&database.pool(Role::Api)?, organization).await?;
    match queries::retry(&mut tx, organization, job_id).await {
        Ok(true) => Ok(tx.commit().await.map_err(db::Error::from)?),
        Ok(false) => {
            let job = queries::get(&mut tx, organization, job_id).await?;
            let status = job
                .map(|job| job.status.as_str())
                .ok_or(Error::NoJob(job_id.0))?;
            Err(Error::NotRetriable {
                job_id: job_id.0,
                status,
            })
        }
        Err(db::Error::Conflict { .. }) => Err(Error::JobPending(job_id.0)),
        Err(error) => Err(error.into()),
    }
}
