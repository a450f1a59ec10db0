//! `billing change`: another plan, interval or number of seats, after showing what it would cost.

use chrono::{DateTime, Utc};
use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::INTERVALS;
use super::subscription::{self, standing};
use crate::arguments::{self, Confirmation};
use crate::client::confirm::confirm;
use crate::client::requests::understood;
use crate::client::{Ask, Client, Error};
use crate::output;

/// What to change to.
#[derive(Debug, clap::Args)]
pub struct Change {
    /// The plan; `stripe-sync billing plans` shows them [default: as now]
    #[arg(value_name = "PLAN")]
    plan: Option<String>,
    /// How often it is paid [default: as now]
    #[arg(long, value_name = "INTERVAL", value_parser = arguments::one_of::<String>(&INTERVALS))]
    interval: Option<String>,
    /// How many of the plan are paid for, 1 to 10000 [default: as now]
    #[arg(long, value_name = "N", value_parser = arguments::whole_number(1..=10_000))]
    seats: Option<u32>,
    /// Show what it would cost, and change nothing
    #[arg(long, conflicts_with = "yes")]
    preview: bool,
    #[command(flatten)]
    confirmation: Confirmation,
    #[command(flatten)]
    ask: Ask,
}

#[derive(Debug, Serialize)]
struct Asked {
    plan: String,
    interval: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    seats: Option<u32>,
}

#[derive(Debug, Deserialize)]
struct PreviewAnswer {
    now: bool,
    due_now: Amount,
    next_invoice: NextInvoice,
    #[serde(default)]
    lines: Vec<Line>,
}

#[derive(Debug, Deserialize)]
struct Amount {
    amount: i64,
    currency: String,
}

#[derive(Debug, Deserialize)]
struct NextInvoice {
    amount: i64,
    currency: String,
    at: Option<DateTime<Utc>>,
}

#[derive(Debug, Deserialize)]
struct Line {
    description: Option<String>,
    amount: i64,
}

impl Change {
    pub(super) async fn run(self) -> Result<(), Error> {
        let (client, printer) = self.ask.clone().open().await?;
        let asked = self.asked(&client).await?;
        if self.preview {
            return printer.print(preview(&client, &asked).await?, shown);
        }
        if !self.confirmation.yes {
            let cost: PreviewAnswer = understood(preview(&client, &asked).await?)?;
            confirm(&meant(&asked, &cost), self.confirmation)?;
        }
        let path = ["v1", "billing", "subscription", "change"];
        let (_, answer) = client.call(Method::POST, &path, Some(&asked)).await?;
        printer.print(answer, subscription::shown)
    }

    /// What is to be had, where something is left out as now.
    async fn asked(&self, client: &Client) -> Result<Asked, Error> {
        let (mut plan, mut interval) = (self.plan.clone(), self.interval.clone());
        if plan.is_none() || interval.is_none() {
            let now = standing(client).await?;
            plan = plan.or(now.subscribed_plan);
            interval = interval.or(now.interval);
        }
        Ok(Asked {
            plan: plan.ok_or(Error::NoSubscription)?,
            interval: interval.ok_or(Error::NoSubscription)?,
            seats: self.seats,
        })
    }
}

async fn preview(client: &Client, asked: &Asked) -> Result<Value, Error> {
    let path = ["v1", "billing", "subscription", "preview"];
    let (_, answer) = client.call(Method::POST, &path, Some(asked)).await?;
    Ok(answer)
}

/// What is confirmed.
fn meant(asked: &Asked, cost: &PreviewAnswer) -> String {
    let due = output::money(cost.due_now.amount, &cost.due_now.currency);
    let when = if cost.now {
        format!("now, and charge {due}")
    } else {
        "when what is paid for ends".to_owned()
    };
    let (plan, interval) = (output::plain(&asked.plan), &asked.interval);
    format!("change the plan to {plan}, paid by the {interval}, {when}")
}

fn shown(preview: &PreviewAnswer) -> String {
    let next = &preview.next_invoice;
    let amount = output::money(next.amount, &next.currency);
    let next = match next.at {
        Some(at) => format!("{amount}, {}", output::instant(at)),
        None => amount,
    };
    let takes_effect = if preview.now {
        "now"
    } else {
        "when what is paid for ends"
    };
    let due = &preview.due_now;
    let mut lines = vec![
        ("takes effect", takes_effect.to_owned()),
        ("due now", output::money(due.amount, &due.currency)),
        ("next invoice", next),
    ];
    lines.extend(preview.lines.iter().map(|line| {
        let text = output::plain(line.description.as_deref().unwrap_or_default());
        let amount = output::money(line.amount, &due.currency);
        ("of which", format!("{amount}  {text}"))
    }));
    output::listed("nothing is changed yet", &lines)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn answer(now: bool) -> PreviewAnswer {
        understood(
            json!({"now": now, "due_now": {"amount": 4_000, "currency": "usd"},
            "next_invoice": {"amount": 4_900, "currency": "usd", "at": "2026-12-21T06:00:00Z"},
            "proration_date": "2026-11-21T06:00:00Z",
            "lines": [{"description": "Remaining time on Scale", "amount": 4_900},
                      {"description": "Unused time on Pro", "amount": -900}]}),
        )
        .unwrap()
    }

    #[test]
    fn a_preview_says_what_is_due_now_and_next() {
        let text = shown(&answer(true));
        for part in [
            "due now       40.00 USD",
            "49.00 USD, 2026-12-21T06:00:00Z",
            "-9.00 USD  Unused time on Pro",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(shown(&answer(false)).contains("when what is paid for ends"));
    }

    #[test]
    fn what_is_charged_is_confirmed() {
        let asked = Asked {
            plan: "scale".to_owned(),
            interval: "month".to_owned(),
            seats: None,
        };
        assert_eq!(
            meant(&asked, &answer(true)),
            "change the plan to scale, paid by the month, now, and charge 40.00 USD"
        );
    }
}
