//! A job as it is stored: its life and its fence.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::id::{JobId, OrganizationId};
use crate::named;

/// All that a message says about a job.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct JobRef {
    pub organization_id: OrganizationId,
    pub job_id: JobId,
}

named! {
    /// What started a job: `connect`, a new connection; `schedule`; `manual`, a request through the API or the command line;
    /// `filters`, a change of the rules; `settings`, a change of the settings or of the key; `webhook`, an event
    /// that the vendor sent.
    Trigger {
        /// A connection was created.
        Connect = "connect",
        /// The sync schedule.
        Schedule = "schedule",
        /// A request by a user.
        Manual = "manual",
        /// A rule changed.
        Filters = "filters",
        /// A setting changed.
        Settings = "settings",
        /// An event was received by webhook.
        Webhook = "webhook",
    }
}

named! {
    /// State of a job.
    JobStatus {
        /// Waiting to run.
        Pending = "pending",
        /// Running, or waiting between two attempts.
        Running = "running",
        /// Completed.
        Completed = "completed",
        /// Failed, with an error.
        Failed = "failed",
        /// Cancelled by a user.
        Cancelled = "cancelled",
    }
}

impl JobStatus {
    pub fn ended(self) -> bool {
        !matches!(self, Self::Pending | Self::Running)
    }
}

/// Why a job failed, or why it is waiting before its next attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct JobError {
    /// `stripe_key_invalid`, `stripe_permission_missing` or `credential_unreadable`: the connection needs attention, see its
    /// `problem`; `stripe_unavailable`: Stripe could not be reached or kept failing; `objects_refused`: the database refused
    /// too many objects; `internal`: see the log.
    pub code: String,
    /// Description for users, which quotes Stripe where that helps; never contains a secret or details of the database.
    /// The causes are in the log under the job's id.
    pub message: String,
}

#[derive(Debug, Clone)]
pub struct Job {
    /// Whose job it is, and its id.
    pub job_ref: JobRef,
    pub connection_id: String,
    /// The account at the other side that it works on.
    pub external_account_id: String,
    /// The name of its kind, which this program need not know.
    pub kind: String,
    /// What its handler is to do, beyond what the kind says.
    pub payload: Value,
    pub trigger: Trigger,
    /// Where it is in its life.
    pub status: JobStatus,
    /// How often it was claimed; the fencing number.
    pub attempt: i32,
    /// Failures in a row without progress.
    pub failures: i32,
    /// A person called it off while it ran.
    pub cancel_requested: bool,
    pub created_at: DateTime<Utc>,
    pub started_at: Option<DateTime<Utc>>,
    pub finished_at: Option<DateTime<Utc>>,
    /// From where its handler goes on after an interruption, in the handler's own form.
    pub checkpoint: Option<Value>,
    pub charges_seen: i64,
    /// Rows written that differed from what was stored.
    pub rows_written: i64,
    pub requests: i64,
    /// Why it failed, or what it is backing off from.
    pub error: Option<JobError>,
}

impl Job {
    pub fn fence(&self) -> Fence {
        Fence {
            job_ref: self.job_ref.clone(),
            attempt: self.attempt,
        }
    }
}

/// What a consumer proves with every write: that its claim is still the last one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fence {
    pub job_ref: JobRef,
    /// The number of the claim.
    pub attempt: i32,
}
