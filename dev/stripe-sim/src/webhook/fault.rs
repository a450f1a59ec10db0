//! What goes wrong with deliveries, as data: by type of event, by chance, or for the next few.
//!
//! Chances are drawn from the account's seed and the number of the event at the endpoint, so a
//! single-threaded run meets the same ones again. Two events for one change are made where events
//! are (see [`crate::Settings::event_duplicate_percent`]), since both are listed; so are events
//! that never come to be. Deliberately absent: faults of the receiver, which tests write
//! themselves.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::draw::Draw;
use crate::event::matches;

/// What goes wrong with the delivery of one event.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum WebhookFault {
    /// It is delivered once more, at the same time and under the same id.
    Duplicate,
    /// It is held back until a later event was sent, at most so many seconds on Stripe's clock.
    Reorder { seconds: u64 },
    /// It is sent so many seconds late on Stripe's clock, which may be days.
    Delay { seconds: u64 },
    /// It is never sent, though it is listed.
    Drop,
    /// It is also sent under a signature that no secret of the endpoint made.
    WrongSignature,
    /// The `t` of its first attempt is off by so many seconds; negative is old.
    Skew { seconds: i64 },
    /// Its body has so many bytes more.
    HugeBody { bytes: usize },
    /// The body of its first attempt drips for so many real milliseconds.
    SlowBody { milliseconds: u64 },
    /// Its header has a `v0`, as that of one in ten test events has anyway.
    FakeScheme,
    /// A thin event comes with it.
    ThinTwin,
}

/// Which events meet a [`WebhookFault`]; an event may meet several.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct WebhookFaultRule {
    pub fault: WebhookFault,
    /// The type of event, which may end in `*`; every one when absent.
    #[serde(default)]
    pub events: Option<String>,
    /// Of 100 such events, how many; all when absent.
    #[serde(default = "all")]
    pub percent: f64,
    /// How many such events pass before the first.
    #[serde(default)]
    pub after: u32,
    /// How many meet it; no end when absent.
    #[serde(default)]
    pub times: Option<u32>,
}

const fn all() -> f64 {
    100.0
}

impl WebhookFaultRule {
    /// Every event meets `fault`.
    pub const fn always(fault: WebhookFault) -> Self {
        Self {
            fault,
            events: None,
            percent: 100.0,
            after: 0,
            times: None,
        }
    }

    /// The next event meets `fault`.
    pub fn once(fault: WebhookFault) -> Self {
        Self {
            times: Some(1),
            ..Self::always(fault)
        }
    }

    /// Of 100 events, `percent` meet `fault`.
    pub fn sometimes(fault: WebhookFault, percent: f64) -> Self {
        Self {
            percent,
            ..Self::always(fault)
        }
    }

    /// The same for events of types that `pattern` matches.
    #[must_use]
    pub fn of(mut self, pattern: &str) -> Self {
        self.events = Some(pattern.to_owned());
        self
    }
}

/// How one event is delivered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) dropped: bool,
    pub(super) copies: usize,
    pub(super) forgeries: usize,
    /// On Stripe's clock.
    pub(super) delay: Duration,
    /// The longest that it is held back for a later event, on Stripe's clock.
    pub(super) held_back: Option<Duration>,
    pub(super) padding: usize,
    pub(super) drip: Option<Duration>,
    pub(super) skew: i64,
    pub(super) fake_scheme: bool,
    pub(super) thin_twin: bool,
}

impl Plan {
    fn add(&mut self, fault: &WebhookFault) {
        match *fault {
            WebhookFault::Duplicate => self.copies += 1,
            WebhookFault::Reorder { seconds } => {
                self.held_back = Some(Duration::from_secs(seconds));
            }
            WebhookFault::Delay { seconds } => {
                self.delay = self.delay.saturating_add(Duration::from_secs(seconds));
            }
            WebhookFault::Drop => self.dropped = true,
            WebhookFault::WrongSignature => self.forgeries += 1,
            WebhookFault::Skew { seconds } => self.skew = seconds,
            WebhookFault::HugeBody { bytes } => self.padding = self.padding.max(bytes),
            WebhookFault::SlowBody { milliseconds } => {
                self.drip = Some(Duration::from_millis(milliseconds));
            }
            WebhookFault::FakeScheme => self.fake_scheme = true,
            WebhookFault::ThinTwin => self.thin_twin = true,
        }
    }

    /// What `rules` make of an event of type `kind`; rules that are used up go.
    pub(super) fn draw(rules: &mut Vec<WebhookFaultRule>, kind: &str, draw: &mut Draw) -> Self {
        let mut plan = Self::default();
        for rule in &mut *rules {
            let pattern = rule.events.as_deref();
            let ours = pattern.is_none_or(|pattern| matches(pattern, kind));
            if !ours || rule.times == Some(0) {
                continue;
            }
            if rule.after > 0 {
                rule.after -= 1;
                continue;
            }
            if draw.below(1_000_000) as f64 / 10_000.0 >= rule.percent {
                continue;
            }
            rule.times = rule.times.map(|times| times.saturating_sub(1));
            plan.add(&rule.fault);
        }
        rules.retain(|rule| rule.times != Some(0));
        plan
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draw::Domain;

    fn plans(mut rules: Vec<WebhookFaultRule>, kinds: &[&str]) -> Vec<Plan> {
        let kinds = kinds.iter().enumerate();
        kinds
            .map(|(at, kind)| {
                let mut draw = Draw::new(3, Domain::Webhook, at as u64);
                Plan::draw(&mut rules, kind, &mut draw)
            })
            .collect()
    }

    #[test]
    fn rules_add_up_and_run_out() {
        let late = WebhookFault::Delay { seconds: 60 };
        let rules = vec![
            WebhookFaultRule::once(WebhookFault::Drop).of("charge.*"),
            WebhookFaultRule {
                after: 1,
                ..WebhookFaultRule::always(late.clone())
            },
            WebhookFaultRule::once(late),
        ];
        let met = plans(
            rules,
            &["refund.created", "charge.refunded", "charge.updated"],
        );
        let minute = Duration::from_mins(1);
        let met: Vec<_> = met.iter().map(|plan| (plan.dropped, plan.delay)).collect();
        assert_eq!(met, [(false, minute), (true, minute), (false, minute)]);
    }

    #[test]
    fn chances_are_met_and_repeat() {
        let rules = vec![WebhookFaultRule::sometimes(WebhookFault::Duplicate, 20.0)];
        let kinds = ["charge.updated"; 1_000];
        let met = plans(rules.clone(), &kinds);
        let hits = met.iter().filter(|plan| plan.copies == 1).count();
        assert!((150..250).contains(&hits), "{hits}");
        assert_eq!(met, plans(rules, &kinds));
    }

    #[test]
    fn rules_read_as_the_control_endpoints_take_them() {
        let rule = r#"{"fault": {"delay": {"seconds": 259200}}, "events": "charge.*"}"#;
        let rule: WebhookFaultRule = serde_json::from_str(rule).expect("a rule");
        assert_eq!(rule.fault, WebhookFault::Delay { seconds: 259_200 });
        let rule: WebhookFaultRule = serde_json::from_str(r#"{"fault": "drop"}"#).expect("a rule");
        assert_eq!((rule.times, rule.percent), (None, 100.0));
    }
}
