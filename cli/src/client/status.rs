//! `status`: how the connections are doing, and with `--follow` how a job is.

use common::job::JobStatus;
use serde_json::Value;

use super::connections::mode;
use super::responses::{Connection, Job, SyncStatus};
use super::{Client, Error, Server, follow, print_json, words};
use crate::output::{self, instant};

/// Show the state of the connections
#[derive(Debug, clap::Args)]
pub struct Status {
    /// Only this connection
    #[arg(long, value_name = "ID")]
    connection: Option<String>,
    /// Watch a job until it ends: the running job, or else the next pending one, or else the newest
    #[arg(long)]
    follow: bool,
    /// With --follow: watch this job
    #[arg(long, value_name = "ID", requires = "follow")]
    job: Option<String>,
    /// Print the engine's responses as JSON, one for each connection
    #[arg(long, conflicts_with = "follow")]
    json: bool,
    #[command(flatten)]
    server: Server,
}

impl Status {
    /// Runs the command.
    pub async fn run(self) -> Result<(), Error> {
        let client = self.server.client().await?;
        if let Some(job) = self.job {
            return follow::follow(&client, &job).await;
        }
        if self.follow {
            let connection = client.connection_id(self.connection).await?;
            let job = job_to_follow(&client, &connection).await?;
            return follow::follow(&client, &job).await;
        }
        let connections = match self.connection {
            Some(id) => vec![client.get(&["v1", "connectors", &id], &[]).await?],
            None => client.connections().await?,
        };
        if connections.is_empty() {
            return Err(Error::NoConnection);
        }
        if self.json {
            let mut answers: Vec<Value> = Vec::new();
            for connection in &connections {
                answers.push(client.get(&status_path(connection), &[]).await?);
            }
            return print_json(&answers);
        }
        for (index, connection) in connections.iter().enumerate() {
            let status: SyncStatus = client.get(&status_path(connection), &[]).await?;
            let gap = if index == 0 { "" } else { "\n" };
            output::print(&format!("{gap}{}", describe(connection, &status)))?;
        }
        Ok(())
    }
}

fn status_path(connection: &Connection) -> [&str; 4] {
    ["v1", "connectors", &connection.connection_id, "sync-status"]
}

async fn job_to_follow(client: &Client, connection: &str) -> Result<String, Error> {
    let path = ["v1", "connectors", connection, "jobs"];
    let newest: Vec<Job> = client.newest(50, &path, &[]).await?;
    choose(&newest)
        .map(|job| job.job_id.clone())
        .ok_or_else(|| Error::NoJob(connection.to_owned()))
}

/// Of jobs from the newest to the oldest: the running one, else the one that is next, else the newest.
fn choose(jobs: &[Job]) -> Option<&Job> {
    let running = jobs.iter().find(|job| job.status == JobStatus::Running);
    let next = jobs
        .iter()
        .rev()
        .find(|job| job.status == JobStatus::Pending);
    running.or(next).or(jobs.first())
}

fn describe(connection: &Connection, status: &SyncStatus) -> String {
    let mut text = format!(
        "{} ({} mode, {}): {}\n",
        connection.connection_id,
        mode(connection.livemode),
        connection.timezone,
        status.status
    );
    let mut line =
        |name: &str, value: String| text.extend(["  ", &format!("{name:<9} {value}"), "\n"]);
    if let Some(problem) = &status.problem {
        line(
            "problem",
            words::of_problem(problem, &connection.connection_id),
        );
    }
    line("charges", output::thousands(status.state.charges_synced));
    let revenue = status
        .state
        .total_revenue_synced
        .iter()
        .map(|(currency, &minor)| output::money(minor, currency));
    let revenue: Vec<String> = revenue.collect();
    line(
        "revenue",
        if revenue.is_empty() {
            "none".to_owned()
        } else {
            revenue.join(", ")
        },
    );
    line(
        "covered",
        status
            .covered
            .as_ref()
            .map_or("nothing yet".to_owned(), |covered| {
                format!("{} to {}", instant(covered.from), instant(covered.to))
            }),
    );
    if let Some(job) = &status.last_job {
        let ended = job
            .finished_at
            .map(|at| format!(", {}", instant(at)))
            .unwrap_or_default();
        line("last job", follow::progress_line(job) + &ended);
    }
    if let Some(at) = status.next_sync_at {
        line("next job", instant(at));
    }
    for warning in &status.warnings {
        line("warning", words::of_warning(warning));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jobs(statuses: &[&str]) -> Vec<Job> {
        let jobs = statuses.iter().enumerate().map(|(index, status)| {
            serde_json::json!({"job_id": index.to_string(), "status": status, "job_type": "full"})
        });
        jobs.map(|job| serde_json::from_value(job).unwrap())
            .collect()
    }

    #[test]
    fn the_job_that_works_is_followed_first() {
        for (newest_first, chosen) in [
            (vec!["pending", "running", "completed"], Some("1")),
            (vec!["pending", "pending", "completed"], Some("1")),
            (vec!["failed", "completed"], Some("0")),
            (vec![], None),
        ] {
            let jobs = jobs(&newest_first);
            assert_eq!(
                choose(&jobs).map(|job| job.job_id.as_str()),
                chosen,
                "{newest_first:?}"
            );
        }
    }

    #[test]
    fn a_status_shows_money_for_people() {
        let connection = serde_json::from_str(
            r#"{"connection_id": "acme-stripe-acct_1", "organization_id": "acme", "livemode": true,
                "timezone": "Europe/Berlin", "name": null}"#,
        )
        .unwrap();
        let status = serde_json::from_str(
            r#"{"connection_id": "acme-stripe-acct_1", "status": "idle", "problem": null, "warnings": [],
                "next_sync_at": "2026-11-21T06:15:00Z", "last_job": null,
                "state": {"last_charge_id": "ch_1", "next_sync_from": null, "charges_synced": 1234,
                          "total_revenue_synced": {"jpy": 500, "usd": 123456}},
                "covered": {"from": "2026-10-22T00:00:00Z", "to": "2026-11-21T06:00:00Z"}}"#,
        )
        .unwrap();
        assert_eq!(
            describe(&connection, &status),
            "acme-stripe-acct_1 (live mode, Europe/Berlin): idle\n  \
             charges   1,234\n  \
             revenue   500 JPY, 1,234.56 USD\n  \
             covered   2026-10-22T00:00:00Z to 2026-11-21T06:00:00Z\n  \
             next job  2026-11-21T06:15:00Z\n"
        );
    }
}
