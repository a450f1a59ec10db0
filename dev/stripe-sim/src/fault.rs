//! Faults: what goes wrong with an answer, by chance or on demand.
//!
//! Chances are drawn from the account's seed and the number of the request, so a single-threaded
//! run meets the same ones again. Deliberately absent: faults of the control endpoints.

use serde::{Deserialize, Serialize};

use crate::draw::{Domain, Draw};
use crate::settings::Settings;

/// What goes wrong with one request.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// An `api_error` with this status, such as 500 or 503.
    Status(u16),
    /// A 429 with this `Stripe-Rate-Limited-Reason`, such as `global-rate`.
    RateLimited(String),
    /// A 429 without a reason: an object is locked.
    LockTimeout,
    /// The connection is reset before an answer.
    Reset,
    /// Half of the answer, then the connection is closed.
    Truncate,
    /// So many milliseconds before the request is executed.
    Slow(u64),
    /// The request is executed, and its answer comes so many milliseconds later.
    Late(u64),
    /// A 401, as for a revoked key.
    Unauthorized,
    /// A 403, as for a key without the permission.
    Forbidden,
    /// A 400 with these words, as for a list that the account does not have.
    Refused(String),
    /// A 200 whose body is a page for people.
    NotJson,
    /// The request is executed, and the connection is reset instead of an answer.
    Lost,
    /// The request is executed, and an idempotency key keeps an `api_error` with this status as its answer.
    FailedAfter(u16),
    /// The request is not executed, and an idempotency key keeps an `api_error` with this status as its answer.
    FailedBefore(u16),
}

impl Fault {
    /// Whether only requests that write meet it by chance.
    const fn is_of_writing(&self) -> bool {
        matches!(
            self,
            Self::Lost | Self::FailedAfter(_) | Self::FailedBefore(_)
        )
    }
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct FaultRule {
    /// The endpoint, as a template (`GET /v1/charges/{id}`) or a path; every one when absent.
    #[serde(default)]
    pub endpoint: Option<String>,
    pub fault: Fault,
    /// How many requests pass before the first.
    #[serde(default)]
    pub after: u32,
    /// For how many requests; 1 when absent.
    #[serde(default = "once")]
    pub times: u32,
    /// The value of a `Retry-After` header, in seconds.
    #[serde(default)]
    pub retry_after: Option<u32>,
}

const fn once() -> u32 {
    1
}

/// The faults that an account has before it.
#[derive(Debug, Default)]
pub(crate) struct FaultQueue {
    rules: Vec<FaultRule>,
    requests: u64,
}

impl FaultQueue {
    pub(crate) fn push(&mut self, rule: FaultRule) {
        self.rules.push(rule);
    }

    pub(crate) fn clear(&mut self) {
        self.rules.clear();
    }

    /// What goes wrong with the next request, if something does, and its `Retry-After`.
    pub(crate) fn next(
        &mut self,
        seed: u64,
        settings: &Settings,
        template: &str,
        path: &str,
    ) -> Option<(Fault, Option<u32>)> {
        self.requests += 1;
        for rule in &mut self.rules {
            let ours = rule.endpoint.as_deref().is_none_or(|endpoint| {
                endpoint == template || endpoint == path || template.ends_with(endpoint)
            });
            if !ours {
                continue;
            }
            if rule.after > 0 {
                rule.after -= 1;
                continue;
            }
            rule.times = rule.times.saturating_sub(1);
            let found = (rule.fault.clone(), rule.retry_after);
            self.rules.retain(|rule| rule.times > 0);
            return Some(found);
        }
        let mut draw = Draw::new(seed, Domain::Fault, self.requests);
        let mut at = draw.below(1_000_000) as f64 / 10_000.0;
        for (percent, fault) in [
            (settings.fault_500_percent, Fault::Status(500)),
            (
                settings.fault_429_percent,
                Fault::RateLimited("global-rate".to_owned()),
            ),
            (settings.fault_reset_percent, Fault::Reset),
            (settings.fault_truncate_percent, Fault::Truncate),
            (settings.fault_lost_percent, Fault::Lost),
            (settings.fault_failed_after_percent, Fault::FailedAfter(500)),
            (
                settings.fault_failed_before_percent,
                Fault::FailedBefore(500),
            ),
        ] {
            if fault.is_of_writing() && template.starts_with("GET ") {
                break;
            }
            if at < percent {
                return Some((fault, None));
            }
            at -= percent;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_apply_in_order_and_run_out() {
        let mut queue = FaultQueue::default();
        queue.push(FaultRule {
            endpoint: Some("/v1/charges".to_owned()),
            fault: Fault::Status(500),
            after: 1,
            times: 2,
            retry_after: Some(3),
        });
        let settings = Settings::unlimited();
        let mut next = |template| queue.next(1, &settings, template, "");
        let charges = "GET /v1/charges";
        assert_eq!(next(charges), None);
        assert_eq!(next("GET /v1/events"), None);
        assert_eq!(next(charges), Some((Fault::Status(500), Some(3))));
        assert_eq!(next(charges), Some((Fault::Status(500), Some(3))));
        assert_eq!(next(charges), None);
    }

    #[test]
    fn chances_are_met_and_repeat() {
        let settings = Settings {
            fault_500_percent: 20.0,
            ..Settings::unlimited()
        };
        let run = || {
            let mut queue = FaultQueue::default();
            (0..1_000)
                .map(|_| queue.next(9, &settings, "a", "a").is_some())
                .collect::<Vec<_>>()
        };
        let hits = run().into_iter().filter(|&hit| hit).count();
        assert!((150..250).contains(&hits), "{hits}");
        assert_eq!(run(), run());
    }
}
