//! `sync`: asks for a job now rather than on schedule.
//!
//! The engine makes a job, or names one that is pending or running and does the same work; the answer
//! says which of the two happened.

use reqwest::{Method, StatusCode};
use serde::Serialize;
use serde_json::json;

use super::responses::{Job, Started};
use super::{Error, Server, follow, print_json};
use crate::arguments;
use crate::output;

/// Start a sync job now
#[derive(Debug, clap::Args)]
pub struct Sync {
    /// The connection; required if the organization has more than one
    #[arg(long, value_name = "ID")]
    connection: Option<String>,
    /// Read the covered range again, not only changes
    #[arg(long)]
    full: bool,
    /// Extend the covered history to this many days before the connection was created, 1 to 3650; a
    /// smaller number than before changes nothing
    #[arg(long, value_name = "DAYS", value_parser = arguments::lookback_days)]
    lookback_days: Option<u32>,
    /// Watch the job until it ends
    #[arg(long)]
    follow: bool,
    /// Print JSON: the job, and whether it is new
    #[arg(long, conflicts_with = "follow")]
    json: bool,
    #[command(flatten)]
    server: Server,
}

#[derive(Debug, Serialize)]
struct Request {
    /// None leaves the choice to the engine: what changed, unless nothing was ever read in full.
    #[serde(skip_serializing_if = "Option::is_none")]
    job_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lookback_days: Option<u32>,
}

impl Sync {
    /// Runs the command.
    pub async fn run(self) -> Result<(), Error> {
        let client = self.server.client().await?;
        let connection = client.connection_id(self.connection).await?;
        let request = Request {
            job_type: self.full.then_some("full"),
            lookback_days: self.lookback_days,
        };
        let path = ["v1", "connectors", "stripe", &connection, "sync"];
        let (status, started): (_, Started) =
            client.call(Method::POST, &path, Some(&request)).await?;
        let made = status == StatusCode::ACCEPTED;
        if self.json {
            return print_json(&json!({"job_id": started.job_id, "started": made}));
        }
        if made {
            output::print(&format!("started job {}", started.job_id))?;
        } else {
            let path = ["v1", "sync-jobs", &started.job_id];
            let job: Job = client.get(&path, &[]).await?;
            output::print(&found(&job))?;
        }
        follow::follow_if(self.follow, &client, &started.job_id).await
    }
}

/// A job that was there already, in words.
fn found(job: &Job) -> String {
    format!(
        "job {} ({}) is already {}",
        job.job_id,
        job.job_type,
        job.status.as_str()
    )
}
