//! Jobs of the token's organization, through the engine; [`crate::jobs`] has the commands.
//!
//! The engine lists jobs by connection. Without a chosen one, those of all connections are put
//! together, newest first.

use reqwest::Method;
use serde_json::Value;
use uuid::Uuid;

use super::requests::NOTHING;
use super::{Client, Error, PAGE_SIZE, connect};
use crate::arguments::JobSelection;

/// The newest jobs that a selection names.
pub(crate) async fn list(client: &Client, selection: &JobSelection) -> Result<Vec<Value>, Error> {
    if let Some(expected) = &selection.organization {
        connect::organization(client, Some(expected)).await?;
    }
    let limit = selection.limit as usize;
    // Few of many jobs may be wanted.
    let page_size = match selection.status {
        Some(_) => PAGE_SIZE.to_owned(),
        None => limit.min(1000).to_string(),
    };
    let mut jobs: Vec<Value> = Vec::new();
    for connection in connections(client, selection.connection.as_deref()).await? {
        let path = ["v1", "connectors", &connection, "jobs"];
        let status = selection.status.map(common::job::JobStatus::as_str);
        let wanted = |job: &Value| status.is_none_or(|status| job["status"] == status);
        jobs.extend(client.up_to(limit, &page_size, &path, &[], wanted).await?);
    }
    // RFC 3339 in UTC, of one form, so text has the order of time; ids break ties, as in each list.
    let place = |job: &Value| (job["created_at"].to_string(), job["job_id"].to_string());
    jobs.sort_by_key(|job| std::cmp::Reverse(place(job)));
    jobs.truncate(limit);
    Ok(jobs)
}

async fn connections(client: &Client, chosen: Option<&str>) -> Result<Vec<String>, Error> {
    if let Some(chosen) = chosen {
        return Ok(vec![chosen.to_owned()]);
    }
    let connections = client.connections().await?;
    if connections.is_empty() {
        return Err(Error::NoConnection);
    }
    Ok(connections
        .into_iter()
        .map(|connection| connection.connection_id)
        .collect())
}

/// A job, or the newest.
pub(crate) async fn show(
    client: &Client,
    job_id: Option<Uuid>,
    connection: Option<&str>,
) -> Result<Value, Error> {
    let job_id = if let Some(job_id) = job_id {
        job_id.to_string()
    } else {
        let newest = JobSelection {
            organization: None,
            connection: connection.map(str::to_owned),
            status: None,
            limit: 1,
        };
        id(list(client, &newest).await?.first(), "exists yet")?
    };
    client.get(&["v1", "sync-jobs", &job_id], &[]).await
}

/// Calls off a job: the given one, the running one, or the one that is next.
pub(crate) async fn cancel(
    client: &Client,
    job_id: Option<Uuid>,
    connection: Option<String>,
) -> Result<Value, Error> {
    let job_id = if let Some(job_id) = job_id {
        job_id.to_string()
    } else {
        let jobs = newest(client, connection).await?;
        // Newest first; of those that wait, the oldest is next.
        let with_status = |status: &str| jobs.iter().rev().find(|job| job["status"] == status);
        let found = with_status("running").or_else(|| with_status("pending"));
        id(found, "is running or pending")?
    };
    let path = ["v1", "sync-jobs", &job_id, "cancel"];
    Ok(client.call(Method::POST, &path, NOTHING).await?.1)
}

/// Makes a job pending again: the given one, or the newest that failed or was cancelled.
pub(crate) async fn retry(
    client: &Client,
    job_id: Option<Uuid>,
    connection: Option<String>,
) -> Result<Value, Error> {
    let job_id = if let Some(job_id) = job_id {
        job_id.to_string()
    } else {
        let jobs = newest(client, connection).await?;
        let ended = |job: &&Value| job["status"] == "failed" || job["status"] == "cancelled";
        id(
            jobs.iter().find(ended),
            "of the last 50 failed or was cancelled",
        )?
    };
    let path = ["v1", "sync-jobs", &job_id, "retry"];
    Ok(client.call(Method::POST, &path, NOTHING).await?.1)
}

/// The newest jobs of one connection, newest first.
async fn newest(client: &Client, connection: Option<String>) -> Result<Vec<Value>, Error> {
    let connection = client.connection_id(connection).await?;
    let path = ["v1", "connectors", &connection, "jobs"];
    client.newest(50, &path, &[]).await
}

fn id(job: Option<&Value>, what: &'static str) -> Result<String, Error> {
    let id = job.and_then(|job| job["job_id"].as_str());
    id.map(str::to_owned).ok_or(Error::NoSuchJob(what))
}
