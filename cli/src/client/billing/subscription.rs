//! `billing status`, `sync`, `cancel` and `resume`: how the organization stands, and ending it or going on.
//!
//! Each ends in how the organization stands then. Cancelling asks first, though what is paid for goes on until its end.

use chrono::{DateTime, Utc};
use reqwest::Method;
use serde::{Deserialize, Serialize};

use super::plans::LimitsAnswer;
use crate::arguments::{self, Confirmation};
use crate::client::confirm::confirm;
use crate::client::requests::NOTHING;
use crate::client::{Ask, Client, Error};
use crate::output::{self, instant, plain};

const PATH: [&str; 3] = ["v1", "billing", "subscription"];
const FEEDBACK: [&str; 8] = [
    "customer_service",
    "low_quality",
    "missing_features",
    "other",
    "switched_service",
    "too_complex",
    "too_expensive",
    "unused",
];

/// When it ends, and why.
#[derive(Debug, clap::Args)]
pub struct Cancel {
    /// End it at once instead; nothing is refunded
    #[arg(long)]
    now: bool,
    /// Why, for whoever runs the platform
    #[arg(long, value_name = "REASON", value_parser = arguments::one_of::<String>(&FEEDBACK))]
    feedback: Option<String>,
    #[command(flatten)]
    confirmation: Confirmation,
    #[command(flatten)]
    ask: Ask,
}

#[derive(Debug, Serialize)]
struct Cancellation<'a> {
    at_period_end: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    feedback: Option<&'a str>,
}

/// How an organization stands.
#[derive(Debug, Deserialize)]
pub(super) struct Standing {
    plan: String,
    status: String,
    access: bool,
    pub(super) subscribed_plan: Option<String>,
    pub(super) interval: Option<String>,
    pub(super) seats: Option<i64>,
    current_period_end: Option<DateTime<Utc>>,
    trial_end: Option<DateTime<Utc>>,
    cancel_at: Option<DateTime<Utc>>,
    scheduled_change: Option<Scheduled>,
    #[serde(default)]
    limits: LimitsAnswer,
    usage: Usage,
    payment_method: Option<PaidWith>,
    #[serde(default)]
    warnings: Vec<Warning>,
    as_of: Option<DateTime<Utc>>,
}

#[derive(Debug, Deserialize)]
struct Scheduled {
    plan: String,
    interval: String,
    at: DateTime<Utc>,
}

#[derive(Debug, Deserialize)]
struct Usage {
    connections: i64,
}

/// What is paid with.
#[derive(Debug, Deserialize)]
struct PaidWith {
    kind: String,
    brand: Option<String>,
    last4: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Warning {
    message: String,
}

pub(super) async fn status(ask: Ask) -> Result<(), Error> {
    let (client, printer) = ask.open().await?;
    printer.print(client.get(&PATH, &[]).await?, shown)
}

pub(super) async fn sync(ask: Ask) -> Result<(), Error> {
    let (client, printer) = ask.open().await?;
    let path = ["v1", "billing", "sync"];
    let (_, answer) = client.call(Method::POST, &path, NOTHING).await?;
    printer.print(answer, shown)
}

pub(super) async fn resume(ask: Ask) -> Result<(), Error> {
    let (client, printer) = ask.open().await?;
    let path = ["v1", "billing", "subscription", "resume"];
    let (_, answer) = client.call(Method::POST, &path, NOTHING).await?;
    printer.print(answer, shown)
}

impl Cancel {
    pub(super) async fn run(self) -> Result<(), Error> {
        let (client, printer) = self.ask.open().await?;
        let what = if self.now {
            "end the subscription at once, without a refund; all data stays"
        } else {
            "end the subscription when what is paid for ends; until then `stripe-sync billing resume` takes it back"
        };
        confirm(what, self.confirmation)?;
        let asked = Cancellation {
            at_period_end: !self.now,
            feedback: self.feedback.as_deref(),
        };
        let path = ["v1", "billing", "subscription", "cancel"];
        let (_, answer) = client.call(Method::POST, &path, Some(&asked)).await?;
        printer.print(answer, shown)
    }
}

/// How the organization stands now.
pub(super) async fn standing(client: &Client) -> Result<Standing, Error> {
    client.get(&PATH, &[]).await
}

/// How an organization stands, in words.
pub(super) fn shown(standing: &Standing) -> String {
    let status = standing.status.as_str();
    let not_in_force = |plan: &str| format!("{}, not in force", plain(plan));
    let subscribed = standing.subscribed_plan.as_deref();
    let rhythm = standing.interval.as_deref().zip(standing.seats);
    let (trial, period) = if status == "trialing" {
        (standing.trial_end, None)
    } else {
        (None, standing.current_period_end)
    };
    let used = output::thousands(standing.usage.connections);
    let accounts = match standing.limits.connections {
        Some(most) => format!("{used} of {}", output::thousands(most)),
        None => format!("{used} of any number"),
    };
    let mut lines = output::known([
        (
            "subscribed to",
            subscribed.filter(|_| !standing.access).map(not_in_force),
        ),
        (
            "paid",
            rhythm.map(|(interval, seats)| {
                format!(
                    "by the {}, {}",
                    plain(interval),
                    output::count(seats, "seat")
                )
            }),
        ),
        ("trial until", trial.map(instant)),
        ("paid until", period.map(instant)),
        ("ends", standing.cancel_at.map(instant)),
        (
            "changes to",
            standing.scheduled_change.as_ref().map(|coming| {
                let (next, interval) = (plain(&coming.plan), plain(&coming.interval));
                format!("{next}, by the {interval}, {}", instant(coming.at))
            }),
        ),
        ("accounts", Some(accounts)),
    ]);
    lines.extend(standing.limits.said());
    lines.extend(standing.payment_method.as_ref().map(|method| {
        let name = method.brand.as_deref().unwrap_or(&method.kind);
        let last4 = method.last4.as_deref().unwrap_or_default();
        ("paid with", plain(format!("{name} {last4}").trim_end()))
    }));
    lines.extend(standing.as_of.map(|as_of| ("as of", instant(as_of))));
    let warnings = standing.warnings.iter();
    lines.extend(warnings.map(|it| ("warning", plain(&it.message))));
    lines.extend(next_step(status).map(|step| ("what to do", step.to_owned())));
    let heading = format!("plan {}: {}", plain(&standing.plan), plain(status));
    output::listed(&heading, &lines)
}

fn next_step(status: &str) -> Option<&'static str> {
    match status {
        "none" | "canceled" => Some(
            "`stripe-sync billing plans` shows the plans, and `stripe-sync billing checkout` subscribes",
        ),
        "incomplete" => Some("pay the first invoice, which `stripe-sync billing invoices` shows"),
        "past_due" | "unpaid" => Some(
            "`stripe-sync billing portal --flow payment_method_update` changes the payment method; `stripe-sync billing invoices` \
             shows where to pay",
        ),
        "paused" => Some(
            "add a payment method with `stripe-sync billing portal`, then `stripe-sync billing resume`",
        ),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use platform::billing::cancellation::Feedback;
    use serde_json::{Value, json};

    use super::*;
    use crate::client::requests::understood;

    fn answer() -> Value {
        json!({"plan": "pro", "status": "active", "access": true, "subscribed_plan": "pro", "interval": "month", "seats": 2,
            "current_period_end": "2026-12-21T06:00:00Z", "trial_end": null, "cancel_at": null,
            "scheduled_change": {"plan": "basic", "interval": "year", "at": "2026-12-21T06:00:00Z"},
            "limits": {"connections": 5, "lookback_days": 1095, "min_sync_interval_minutes": 5, "webhooks": true},
            "usage": {"connections": 2},
            "payment_method": {"id": "pm_1", "kind": "card", "brand": "visa", "last4": "4242"},
            "warnings": [{"code": "two_subscriptions", "message": "There is more\u{1b} than one."}],
            "as_of": "2026-11-21T06:00:00Z"})
    }

    #[test]
    fn reasons_are_those_of_the_engine() {
        assert_eq!(FEEDBACK, Feedback::ALL.map(Feedback::as_str));
    }

    #[test]
    fn a_plan_is_shown_with_what_is_used_and_what_is_to_come() {
        let text = shown(&understood(answer()).unwrap());
        assert!(text.starts_with("plan pro: active\n"), "{text}");
        for part in [
            "by the month, 2 seats",
            "2026-12-21T06:00:00Z",
            "basic, by the year",
            "2 of 5",
            "1,095 days",
            "visa 4242",
            "There is more\u{fffd} than one.",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(!text.contains("what to do"), "{text}");
    }

    #[test]
    fn what_is_not_in_force_says_what_to_do() {
        let mut late = answer();
        late["plan"] = json!("free");
        late["status"] = json!("past_due");
        late["access"] = json!(false);
        let text = shown(&understood(late).unwrap());
        for part in ["plan free: past_due", "pro, not in force", "billing portal"] {
            assert!(text.contains(part), "{part}: {text}");
        }
        for status in ["none", "canceled", "incomplete", "unpaid", "paused"] {
            assert!(next_step(status).is_some(), "{status}");
        }
    }
}
