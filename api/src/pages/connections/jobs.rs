//! The jobs of a connection in words: what each does, how far it is, and what a person can do when it failed.

use axum::response::Response;
use chrono::{DateTime, TimeDelta, Utc};
use common::connection::retry_job;
use common::connector::Connectors;
use common::job::{self, Cancel, Job, JobId, JobStatus};
use stripe::sync::JobType;
use stripe::sync::progress::Progress;
use uuid::Uuid;

use super::{detail, done, path_of};
use crate::input::Ids;
use crate::pages::format::LocaleFormat;
use crate::pages::visit::Visit;
use crate::problem::ApiError;

/// A job as a row of a table.
#[derive(Debug)]
pub(super) struct JobRow {
    pub(super) id: Uuid,
    pub(super) name: &'static str,
    pub(super) status: &'static str,
    pub(super) shape: &'static str,
    pub(super) is_over: bool,
    pub(super) created_at: DateTime<Utc>,
    pub(super) charges: String,
    pub(super) requests: String,
    /// Of a job that reads ranges and has not ended.
    pub(super) progress: Option<JobProgress>,
    pub(super) error: Option<ErrorText>,
    pub(super) may_retry: bool,
    pub(super) may_cancel: bool,
}

/// How far a job is.
#[derive(Debug)]
pub(super) struct JobProgress {
    pub(super) percent: f64,
    /// When it may be done, in words.
    pub(super) remaining: Option<String>,
}

/// An error of a job, and what to do about it.
#[derive(Debug)]
pub(super) struct ErrorText {
    pub(super) message: String,
    pub(super) remedy: &'static str,
}

/// The rows of jobs that are given newest first.
pub(super) fn rows(
    jobs: &[Job],
    connectors: Connectors,
    locale: &LocaleFormat,
    now: DateTime<Utc>,
) -> Vec<JobRow> {
    let rows = jobs.iter().enumerate().map(|(index, job)| {
        // A later job of its kind has done the work of one that failed, or will.
        let is_newest = !jobs[..index].iter().any(|later| later.kind == job.kind);
        let cancel = connectors.kind(&job.kind).map(|kind| kind.cancel);
        let failed = matches!(job.status, JobStatus::Failed | JobStatus::Cancelled);
        JobRow {
            id: job.job_ref.job_id.0,
            name: name_of(&job.kind),
            status: status_text(job),
            shape: status_shape(job.status),
            is_over: job.status.ended(),
            created_at: job.created_at,
            charges: locale.count(job.charges_seen.unsigned_abs()),
            requests: locale.count(job.requests.unsigned_abs()),
            progress: progress(job, now),
            error: job.error.as_ref().map(|error| ErrorText {
                message: error.message.clone(),
                remedy: remedy(&error.code, job.status),
            }),
            may_retry: failed && is_newest,
            may_cancel: !job.status.ended()
                && !job.cancel_requested
                && cancel == Some(Cancel::Allowed),
        }
    });
    rows.collect()
}

/// What a job does.
fn name_of(kind: &str) -> &'static str {
    match kind.parse() {
        Ok(JobType::Full) => "Full sync",
        Ok(JobType::Incremental) => "Sync of changes",
        Ok(JobType::Webhook) => "Webhook events",
        Ok(JobType::Refilter) => "Applying the rules",
        Ok(JobType::Redate) => "Changing the time zone",
        Ok(JobType::Delete) => "Deleting",
        Ok(JobType::Compare) => "Comparison with Stripe",
        Err(_) => "Job",
    }
}

fn status_text(job: &Job) -> &'static str {
    match job.status {
        JobStatus::Running if job.cancel_requested => "Being cancelled",
        // It waits between two attempts.
        JobStatus::Running if job.error.is_some() => "Trying again soon",
        JobStatus::Running => "Running",
        JobStatus::Pending => "Waiting",
        JobStatus::Completed => "Done",
        JobStatus::Failed => "Failed",
        JobStatus::Cancelled => "Cancelled",
    }
}

fn status_shape(status: JobStatus) -> &'static str {
    match status {
        JobStatus::Pending => "○",
        JobStatus::Running => "◐",
        JobStatus::Completed => "✓",
        JobStatus::Failed => "✕",
        JobStatus::Cancelled => "–",
    }
}

fn progress(job: &Job, now: DateTime<Utc>) -> Option<JobProgress> {
    if job.status.ended() {
        return None;
    }
    let Progress {
        percent,
        eta_seconds,
        ..
    } = Progress::of(job, now);
    let remaining = eta_seconds.map(|seconds| remaining_text(TimeDelta::seconds(seconds)));
    percent.map(|percent| JobProgress { percent, remaining })
}

/// A rough duration, since it is a guess.
fn remaining_text(remaining: TimeDelta) -> String {
    let minutes = (remaining.num_seconds() + 59) / 60;
    match minutes {
        ..=1 => "less than a minute left".to_owned(),
        2..=90 => format!("about {minutes} minutes left"),
        _ => format!("about {} hours left", (minutes + 30) / 60),
    }
}

/// What a person can do about an error of this code.
fn remedy(code: &str, status: JobStatus) -> &'static str {
    match (code, status) {
        (
            "stripe_key_invalid"
            | "stripe_permission_missing"
            | common::credential::CREDENTIAL_UNREADABLE,
            _,
        ) => "Replace the key below; then syncing goes on.",
        (_, JobStatus::Running | JobStatus::Pending) => "It is tried again by itself.",
        ("stripe_unavailable", _) => "Retry once Stripe answers again.",
        ("objects_refused", _) => {
            "Retry; if it fails again, whoever runs this service finds the cause in its log."
        }
        _ => "Retry; if it fails again, give the job’s id to whoever runs this service.",
    }
}

/// `POST /connections/{id}/jobs/{job_id}/retry`.
pub(super) async fn retry(
    visit: Visit,
    Ids((id, job_id)): Ids<(String, Uuid)>,
) -> Result<Response, ApiError> {
    let Visit(state, viewer, _) = &visit;
    let (organization, services) = (&viewer.organization, state.connection_services());
    match retry_job::retry_job(services, organization, JobId(job_id)).await {
        Ok(job) => {
            job.publish(&state.broker).await;
            Ok(done::RETRY.at(&path_of(&id)))
        }
        Err(error) => detail::conflict(&visit, &id, error.into()).await,
    }
}

/// `POST /connections/{id}/jobs/{job_id}/cancel`.
pub(super) async fn cancel(
    visit: Visit,
    Ids((id, job_id)): Ids<(String, Uuid)>,
) -> Result<Response, ApiError> {
    let Visit(state, viewer, _) = &visit;
    let organization = &viewer.organization;
    let (job_id, now) = (JobId(job_id), state.clock.now());
    match job::cancel::cancel(&state.pool, state.connectors, organization, job_id, now).await {
        Ok(_) => Ok(done::CANCEL.at(&path_of(&id))),
        Err(error) => detail::conflict(&visit, &id, error.into()).await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_said_roughly() {
        for (seconds, text) in [
            (0, "less than a minute left"),
            (60, "less than a minute left"),
            (61, "about 2 minutes left"),
            (5400, "about 90 minutes left"),
            (7200, "about 2 hours left"),
        ] {
            assert_eq!(remaining_text(TimeDelta::seconds(seconds)), text);
        }
    }

    #[test]
    fn every_kind_of_job_has_a_name() {
        for kind in JobType::ALL {
            assert_ne!(name_of(kind.as_str()), "Job", "{kind:?}");
        }
    }

    #[test]
    fn a_failed_key_leads_to_replacing_it_and_an_outage_to_trying_again() {
        let text = |code, status| remedy(code, status);
        assert!(text("stripe_key_invalid", JobStatus::Failed).contains("Replace the key"));
        assert!(text("stripe_unavailable", JobStatus::Running).contains("by itself"));
        assert!(text("stripe_unavailable", JobStatus::Failed).contains("Retry"));
    }
}
