//! A sync job: its types, its life and its fence.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::Plan;
use crate::tenant::OrganizationId;

/// The id of a job.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema,
)]
#[serde(transparent)]
pub struct JobId(pub Uuid);

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// All that a message says about a job.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct JobRef {
    pub organization_id: OrganizationId,
    pub job_id: JobId,
}

/// A stored text that is not one of the known ones.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not known")]
pub struct UnknownValue(String);

macro_rules! named {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
        #[serde(rename_all = "lowercase")]
        pub enum $name { $($(#[$variant_doc])* $variant),+ }

        impl $name {
            /// The name as stored and shown.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }
        }

        impl FromStr for $name {
            type Err = UnknownValue;
            fn from_str(text: &str) -> Result<Self, UnknownValue> {
                match text { $($text => Ok(Self::$variant),)+ other => Err(UnknownValue(other.to_owned())) }
            }
        }
    };
}

named! {
    /// What a job does.
    JobType {
        /// Reads the whole covered range from Stripe.
        Full = "full",
        /// Reads what changed since the last job.
        Incremental = "incremental",
        /// Applies the rules to stored rows, without requests to Stripe.
        Refilter = "refilter",
        /// Recomputes the dates of stored rows after a change of time zone.
        Redate = "redate",
        /// Removes a connection and all its data.
        Delete = "delete",
    }
}

named! {
    /// What started a job.
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

impl JobType {
    /// The types whose work includes this one's.
    pub fn same_or_wider(self) -> &'static [&'static str] {
        match self {
            Self::Full => &["full"],
            Self::Incremental => &["incremental", "full"],
            Self::Refilter => &["refilter"],
            Self::Redate => &["redate"],
            Self::Delete => &["delete"],
        }
    }

    /// The work that a job of this type does, as warnings name it: either type of sync makes up for a failure
    /// of the other.
    pub fn work(self) -> &'static str {
        match self {
            Self::Full | Self::Incremental => "sync",
            Self::Refilter | Self::Redate | Self::Delete => self.as_str(),
        }
    }
}

/// The queue in which a job waits for its turn. A full job holds its slot for as long as Stripe's rate makes
/// it last, minutes to hours; everything else is a matter of moments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    /// Full jobs.
    Backfill,
    /// All others.
    Interactive,
}

impl Lane {
    /// As the index `sync_jobs_pending_by_lane` has it: `(job_type = 'full')::INTEGER`.
    pub(super) fn number(self) -> i32 {
        i32::from(self == Self::Backfill)
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
    /// `stripe_key_invalid`, `stripe_permission_missing`, `credential_unreadable`, `stripe_unavailable`,
    /// `objects_refused` or `internal`.
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
    /// The Stripe account it works on.
    pub stripe_account_id: String,
    pub job_type: JobType,
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
    /// What a full job has read and still has to read.
    pub plan: Option<Plan>,
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
