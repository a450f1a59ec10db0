//! `sync`: asks for a job now rather than on schedule.

use serde::Serialize;

use super::answers::Started;
use super::{Error, Server, follow, print_json};
use crate::output;

/// Start a sync job now
#[derive(Debug, clap::Args)]
pub struct Sync {
    /// The connection, where the organization has more than one
    #[arg(long, value_name = "ID")]
    connection: Option<String>,
    /// Read everything again, not just what changed
    #[arg(long)]
    full: bool,
    /// Cover so many days before connecting; more than now widens what is covered, fewer change nothing
    #[arg(long, value_name = "DAYS")]
    lookback_days: Option<u32>,
    /// Watch the job until it ends
    #[arg(long)]
    follow: bool,
    /// Print the engine's answer as JSON
    #[arg(long, conflicts_with = "follow")]
    json: bool,
    #[command(flatten)]
    server: Server,
}

#[derive(Debug, Serialize)]
struct Request {
    job_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    lookback_days: Option<u32>,
}

impl Sync {
    /// Runs the command.
    pub async fn run(self) -> Result<(), Error> {
        let client = self.server.client().await?;
        let connection = client.connection_id(self.connection).await?;
        let request = Request {
            job_type: if self.full { "full" } else { "incremental" },
            lookback_days: self.lookback_days,
        };
        let path = ["v1", "connectors", "stripe", &connection, "sync"];
        let started: Started = client.post(&path, &request).await?;
        if self.json {
            return print_json(&started);
        }
        output::print(&format!("job {}", started.job_id))?;
        if self.follow {
            follow::follow(&client, &started.job_id).await
        } else {
            Ok(())
        }
    }
}
