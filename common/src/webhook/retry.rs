//! When what failed is tried again: an event that could not be applied, or a delivery to the internal handler.
//!
//! What is away (a vendor that answers 5xx, a handler that cannot be reached) costs no attempt and is waited for; any other
//! failure is an attempt, of which there are a few. Decided without a clock or randomness of its own; nothing here fails.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use crate::job::RetryPolicy;

/// Whether a failure counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureKind {
    /// What is needed is away, or asks to be left alone for a while: no attempt.
    Away,
    /// Anything else: an attempt.
    Failed,
}

/// How far an event or a delivery has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Failures that counted.
    pub attempts: i32,
    /// Since when what it needs is away; none if it was there last time.
    pub away_since: Option<DateTime<Utc>>,
}

/// What becomes of an event or a delivery that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NextAttempt {
    pub progress: Progress,
    /// None if it is given up.
    pub at: Option<DateTime<Utc>>,
}

/// Decides what becomes of what failed at `now`.
///
/// Waits double from one attempt to the next. What is away is asked again after as long as it has been away, which doubles
/// as well, until it was waited for as long as `retry` waits for passing trouble. `jitter`, from 0 to 1, shortens a wait by
/// up to a quarter, so that what failed together does not come back together.
pub fn after_failure(
    progress: Progress,
    kind: FailureKind,
    retry: &RetryPolicy,
    now: DateTime<Utc>,
    jitter: f64,
) -> NextAttempt {
    let (progress, wait) = match kind {
        FailureKind::Failed => {
            let attempts = progress.attempts + 1;
            let wait = retry.backoff_after(progress.attempts);
            let progress = Progress {
                attempts,
                away_since: None,
            };
            (
                progress,
                (attempts < retry.internal_failures).then_some(wait),
            )
        }
        FailureKind::Away => {
            let since = progress.away_since.unwrap_or(now).min(now);
            let away = (now - since).to_std().unwrap_or_default();
            let wait = away.clamp(retry.first_backoff, retry.max_backoff);
            let longest = retry
                .max_backoff
                .saturating_mul(retry.transient_failures.unsigned_abs());
            let progress = Progress {
                away_since: Some(since),
                ..progress
            };
            (progress, (away < longest).then_some(wait))
        }
    };
    let at = wait.map(|wait| now + shortened(wait, jitter));
    NextAttempt { progress, at }
}

fn shortened(wait: Duration, jitter: f64) -> TimeDelta {
    let wait = wait.mul_f64(1.0 - jitter.clamp(0.0, 1.0) / 4.0);
    TimeDelta::from_std(wait).unwrap_or(TimeDelta::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const RETRY: RetryPolicy = RetryPolicy::WEBHOOK;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000 + seconds, 0).unwrap()
    }

    #[test]
    fn a_failure_is_tried_five_times_with_doubling_waits() {
        let mut progress = Progress::default();
        let mut waits = Vec::new();
        loop {
            let next = after_failure(progress, FailureKind::Failed, &RETRY, at(0), 0.0);
            progress = next.progress;
            let Some(next) = next.at else { break };
            waits.push((next - at(0)).num_seconds());
        }
        assert_eq!(waits, [2, 4, 8, 16]);
        assert_eq!(progress.attempts, 5);
    }

    #[test]
    fn what_is_away_costs_no_attempt_and_is_waited_for_for_three_days() {
        let mut progress = Progress {
            attempts: 4,
            away_since: None,
        };
        let (mut now, mut waits) = (at(0), Vec::new());
        loop {
            let next = after_failure(progress, FailureKind::Away, &RETRY, now, 0.0);
            progress = next.progress;
            let Some(at) = next.at else { break };
            waits.push((at - now).num_seconds());
            now = at;
        }
        assert_eq!(&waits[..5], [2, 2, 4, 8, 16]);
        assert_eq!(waits.last(), Some(&300));
        let days = (now - at(0)).num_hours();
        assert!((72..73).contains(&days), "{days} hours");
        assert_eq!(progress.attempts, 4);
        // Once it is there again, it is waited for again as long.
        let there = after_failure(progress, FailureKind::Failed, &RETRY, now, 0.0);
        assert_eq!(there.progress.away_since, None);
    }

    proptest! {
        #[test]
        fn jitter_shortens_a_wait_by_a_quarter_at_most(jitter in 0.0..=1.0_f64, attempts in 0..4) {
            let progress = Progress { attempts, away_since: None };
            let next = |jitter| after_failure(progress, FailureKind::Failed, &RETRY, at(0), jitter).at;
            let (whole, wait) = (next(0.0).unwrap() - at(0), next(jitter).unwrap() - at(0));
            prop_assert!(wait <= whole && wait >= whole * 3 / 4, "{} of {}", wait, whole);
        }
    }
}
