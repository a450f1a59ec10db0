//! Forwarding: the delivery of events to an internal handler, in addition to what the engine does with them itself.
//!
//! Which events are forwarded is decided by their type when they are stored ([`ForwardTypes`]). What becomes of a delivery
//! that failed is decided here ([`after_failure`]), without a clock or randomness of its own. A handler that is away costs
//! no attempt and is waited for; one that answers that it does not want the event is asked a few times.
//!
//! Nothing here fails but the parsing of settings. Deliberately absent: HTTP, which is the consumer's.

use std::str::FromStr;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use crate::job::RetryPolicy;
use crate::named;

named! {
    /// State of a delivery to the internal handler: `pending`, to be delivered or tried again; `delivered`, the handler
    /// answered 2xx; `dead`, given up until it is replayed.
    ForwardStatus {
        /// To be delivered, or tried again.
        Pending = "pending",
        /// The handler answered 2xx.
        Delivered = "delivered",
        /// Given up until a user replays it.
        Dead = "dead",
    }
}

/// Types of events that are forwarded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ForwardTypes {
    exact: Vec<String>,
    /// `charge.` for `charge.*`; empty for `*`.
    prefixes: Vec<String>,
}

/// A text that is no pattern of event types.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is neither a type such as charge.refunded, nor charge.*, nor *")]
pub struct InvalidForwardType(pub String);

impl ForwardTypes {
    /// Whether events of this type are forwarded. `charge.*` is every type that begins with `charge.`.
    pub fn contain(&self, event_type: &str) -> bool {
        self.exact.iter().any(|exact| exact == event_type)
            || self
                .prefixes
                .iter()
                .any(|prefix| event_type.starts_with(prefix))
    }

    /// The types that are given whole.
    pub fn exact(&self) -> &[String] {
        &self.exact
    }

    /// What other types begin with; every type begins with an empty one.
    pub fn prefixes(&self) -> &[String] {
        &self.prefixes
    }
}

impl FromStr for ForwardTypes {
    type Err = InvalidForwardType;

    /// Reads patterns separated by commas; an empty one is none.
    fn from_str(text: &str) -> Result<Self, InvalidForwardType> {
        let mut types = Self::default();
        let patterns = text.split(',').map(str::trim);
        for pattern in patterns.filter(|pattern| !pattern.is_empty()) {
            let prefix = if pattern == "*" {
                Some("")
            } else {
                pattern
                    .strip_suffix('*')
                    .filter(|prefix| prefix.len() > 1 && prefix.ends_with('.'))
            };
            let wrong = |character: char| character == '*' || character.is_whitespace();
            let literal = prefix.unwrap_or(pattern);
            if literal.contains(wrong) || literal.contains('\0') {
                return Err(InvalidForwardType(pattern.to_owned()));
            }
            match prefix {
                Some(prefix) => types.prefixes.push(prefix.to_owned()),
                None => types.exact.push(pattern.to_owned()),
            }
        }
        Ok(types)
    }
}

/// Why a delivery failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeliveryFailure {
    /// The handler is away or asks to be left alone for a while: unreachable, too slow, 408, 429 or 5xx.
    Away(String),
    /// The handler does not take the event: any other answer.
    Refused(String),
}

/// How far a delivery has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Answers that counted.
    pub attempts: i32,
    /// Since when the handler is away; none if it was there last time.
    pub away_since: Option<DateTime<Utc>>,
}

/// What becomes of a delivery that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NextAttempt {
    pub progress: Progress,
    /// None if it is given up.
    pub at: Option<DateTime<Utc>>,
}

/// Decides what becomes of a delivery that failed at `now`.
///
/// A refusal is an attempt, and waits double from one to the next. A handler that is away is asked again after as long as
/// it has been away, which doubles as well, until it was waited for as long as `retry` waits for passing trouble.
/// `jitter`, from 0 to 1, shortens a wait by up to a quarter, so that deliveries that failed together do not come back
/// together.
pub fn after_failure(
    progress: Progress,
    failure: &DeliveryFailure,
    retry: &RetryPolicy,
    now: DateTime<Utc>,
    jitter: f64,
) -> NextAttempt {
    let (progress, wait) = match failure {
        DeliveryFailure::Refused(_) => {
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
        DeliveryFailure::Away(_) => {
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

    fn types(text: &str) -> ForwardTypes {
        text.parse().unwrap()
    }

    #[test]
    fn patterns_are_whole_types_beginnings_or_everything() {
        let chosen = types(" charge.* ,invoice.paid,, v2.core.account[requirements].updated");
        for (event_type, forwarded) in [
            ("charge.refunded", true),
            ("charge.dispute.created", true),
            ("charge.", true),
            ("charge", false),
            ("charges.refunded", false),
            ("invoice.paid", true),
            ("invoice.paid.late", false),
            ("invoice.payment_failed", false),
            ("v1.charge.refunded", false),
            ("v2.core.account[requirements].updated", true),
        ] {
            assert_eq!(chosen.contain(event_type), forwarded, "{event_type}");
        }
        assert!(types("*").contain("unknown"));
        assert!(!types(" , ").contain("charge.refunded"));
    }

    #[test]
    fn a_star_elsewhere_is_refused_with_the_pattern() {
        for wrong in [
            "charge*",
            "*.refunded",
            "charge.*.created",
            "**",
            ".*",
            "a b",
            "charge.**",
        ] {
            let refused = format!("invoice.paid,{wrong}").parse::<ForwardTypes>();
            assert_eq!(refused, Err(InvalidForwardType(wrong.to_owned())));
        }
    }

    proptest! {
        #[test]
        fn a_beginning_matches_what_begins_with_it_and_nothing_else(
            family in "[a-z_]{1,12}(\\.[a-z_]{1,12}){0,2}",
            rest in "[a-z_.]{0,20}",
            other in "[a-z_.]{0,30}",
        ) {
            let chosen = types(&format!("{family}.*"));
            let matching = format!("{family}.{rest}");
            prop_assert!(chosen.contain(&matching));
            let begins = other.starts_with(&format!("{family}."));
            prop_assert_eq!(chosen.contain(&other), begins);
            prop_assert_eq!(types(&family).contain(&other), other == family);
            prop_assert!(types("*").contain(&other));
        }
    }

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000 + seconds, 0).unwrap()
    }

    #[test]
    fn a_refusal_is_tried_five_times_with_doubling_waits() {
        let refused = DeliveryFailure::Refused("no".to_owned());
        let mut progress = Progress {
            attempts: 0,
            away_since: None,
        };
        let mut waits = Vec::new();
        loop {
            let next = after_failure(progress, &refused, &RETRY, at(0), 0.0);
            progress = next.progress;
            let Some(next) = next.at else { break };
            waits.push((next - at(0)).num_seconds());
        }
        assert_eq!(waits, [2, 4, 8, 16]);
        assert_eq!(progress.attempts, 5);
    }

    #[test]
    fn a_handler_that_is_away_costs_no_attempt_and_is_waited_for_for_three_days() {
        let away = DeliveryFailure::Away("away".to_owned());
        let mut progress = Progress {
            attempts: 4,
            away_since: None,
        };
        let (mut now, mut waits) = (at(0), Vec::new());
        loop {
            let next = after_failure(progress, &away, &RETRY, now, 0.0);
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
        let refused = DeliveryFailure::Refused("no".to_owned());
        let there = after_failure(progress, &refused, &RETRY, now, 0.0);
        assert_eq!(there.progress.away_since, None);
    }

    proptest! {
        #[test]
        fn jitter_shortens_a_wait_by_a_quarter_at_most(jitter in 0.0..=1.0_f64, attempts in 0..4) {
            let refused = DeliveryFailure::Refused(String::new());
            let progress = Progress { attempts, away_since: None };
            let whole = after_failure(progress, &refused, &RETRY, at(0), 0.0).at.unwrap() - at(0);
            let wait = after_failure(progress, &refused, &RETRY, at(0), jitter).at.unwrap() - at(0);
            prop_assert!(wait <= whole && wait >= whole * 3 / 4, "{} of {}", wait, whole);
        }
    }
}
