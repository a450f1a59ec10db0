//! Attempts at applying an event, each kept with its outcome.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::clock;
use crate::job::{JobError, RetryPolicy};
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
    /// The kind of job that made it.
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

/// When to try an event again after `attempts` failed ones; none to give it up. Events that failed together are spread over
/// the second half of the pause.
pub fn next_attempt_at(
    retry: &RetryPolicy,
    attempts: i32,
    now: DateTime<Utc>,
) -> Option<DateTime<Utc>> {
    if attempts >= retry.internal_failures {
        return None;
    }
    let pause = retry.backoff_after(attempts - 1);
    let [random] = clock::random_bytes::<1>();
    let pause = pause / 2 + pause.mul_f64(f64::from(random) / 255.0 / 2.0);
    Some(now + TimeDelta::from_std(pause.min(Duration::from_hours(1))).unwrap_or(TimeDelta::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_tried_five_times_with_pauses_that_double() {
        let now = DateTime::UNIX_EPOCH;
        let mut longest = 2_000;
        for attempts in 1..5 {
            let pause = next_attempt_at(&RetryPolicy::WEBHOOK, attempts, now).unwrap() - now;
            let within = longest / 2..=longest;
            assert!(
                within.contains(&pause.num_milliseconds()),
                "{attempts}: {pause}"
            );
            longest *= 2;
        }
        assert_eq!(next_attempt_at(&RetryPolicy::WEBHOOK, 5, now), None);
    }
}
