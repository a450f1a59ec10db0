//! Attempts at applying an event, each kept with its outcome.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::job::JobError;
use crate::named;

named! {
    /// Outcome of an attempt: `processed`, or `failed`.
    AttemptOutcome {
        /// The event was applied.
        Processed = "processed",
        /// It was not.
        Failed = "failed",
    }
}

/// One attempt at applying an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = WebhookAttempt)]
pub struct Attempt {
    /// Kind of the job that made it, or `platform`.
    #[schema(example = "webhook")]
    pub handler: String,
    pub started_at: DateTime<Utc>,
    pub finished_at: DateTime<Utc>,
    pub outcome: AttemptOutcome,
    pub error: Option<JobError>,
}

impl Attempt {
    /// One that applied the event.
    pub fn processed(handler: &str, started_at: DateTime<Utc>, finished_at: DateTime<Utc>) -> Self {
        Self {
            handler: handler.to_owned(),
            started_at,
            finished_at,
            outcome: AttemptOutcome::Processed,
            error: None,
        }
    }

    /// One that did not.
    pub fn failed(
        handler: &str,
        started_at: DateTime<Utc>,
        finished_at: DateTime<Utc>,
        error: &JobError,
    ) -> Self {
        Self {
            handler: handler.to_owned(),
            started_at,
            finished_at,
            outcome: AttemptOutcome::Failed,
            error: Some(error.clone()),
        }
    }
}

/// An object that was read again because of an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ChangedObject {
    /// Stripe's name for what it is.
    #[schema(example = "charge")]
    pub object: String,
    #[schema(example = "ch_3PgafTB7WZ01zgkW0yGk3jdr")]
    pub id: String,
}
