//! `connect-account pay-out` and `payouts`: money of the account on its way to its bank.

use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::request_key::{KeyArgs, ask_again};
use crate::arguments;
use crate::client::requests::understood;
use crate::client::{Error, Server, print_json};
use crate::output::{self, Column};

const METHODS: [&str; 2] = ["standard", "instant"];
const PATH: [&str; 3] = ["v1", "connect", "payouts"];

/// What to pay out.
#[derive(Debug, clap::Args)]
pub struct PayOut {
    /// How much, in minor units
    #[arg(long, value_name = "AMOUNT", value_parser = arguments::amount)]
    amount: i64,
    /// The currency in three letters, such as usd
    #[arg(long, value_name = "CURRENCY", value_parser = arguments::currency)]
    currency: String,
    /// standard: in the account's usual days; instant: in minutes, for a fee of Stripe's [default: standard]
    #[arg(long, value_name = "METHOD", value_parser = arguments::one_of::<String>(&METHODS))]
    method: Option<String>,
    #[command(flatten)]
    key: KeyArgs,
    /// Print the engine's response as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: Server,
}

/// Which payouts to show.
#[derive(Debug, clap::Args)]
pub struct Payouts {
    /// The maximum number, 1 to 10000
    #[arg(long, value_name = "N", default_value = "50", value_parser = arguments::whole_number(1..=10_000))]
    limit: u32,
    /// Print the engine's response as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: Server,
}

#[derive(Debug, Serialize)]
struct Asked<'a> {
    amount: i64,
    currency: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    method: Option<&'a str>,
}

#[derive(Debug, Deserialize)]
struct PayoutAnswer {
    payout_id: String,
    stripe_payout_id: Option<String>,
    amount: i64,
    currency: String,
    status: String,
    method: String,
    arrival_date: Option<NaiveDate>,
    #[serde(default)]
    automatic: bool,
    failure: Option<Failure>,
    created_at: DateTime<Utc>,
}

#[derive(Debug, Deserialize)]
struct Failure {
    message: String,
}

impl PayOut {
    pub(super) async fn run(self) -> Result<(), Error> {
        let client = self.server.client().await?;
        let key = self.key.given_or_new();
        let asked = Asked {
            amount: self.amount,
            currency: &self.currency,
            method: self.method.as_deref(),
        };
        let answer: Value = client.post_once(&PATH, &key, &asked).await?;
        if self.json {
            return print_json(&answer);
        }
        Ok(output::print(&shown(&understood(answer)?, &key))?)
    }
}

impl Payouts {
    pub(super) async fn run(self) -> Result<(), Error> {
        let client = self.server.client().await?;
        let page_size = self.limit.min(1000).to_string();
        let payouts: Vec<Value> = client
            .up_to(self.limit as usize, &page_size, &PATH, &[], |_| true)
            .await?;
        if self.json {
            return print_json(&payouts);
        }
        let payouts: Vec<PayoutAnswer> = understood(payouts.into())?;
        Ok(output::print(&as_table(&payouts))?)
    }
}

fn shown(payout: &PayoutAnswer, key: &str) -> String {
    let mut lines = vec![
        ("amount", output::money(payout.amount, &payout.currency)),
        ("method", output::plain(&payout.method)),
    ];
    if let Some(id) = &payout.stripe_payout_id {
        lines.push(("Stripe's id", output::plain(id)));
    }
    if let Some(day) = payout.arrival_date {
        lines.push(("arrives", day.to_string()));
    }
    if let Some(failure) = &payout.failure {
        lines.push(("failure", output::plain(&failure.message)));
    }
    if payout.status == "unknown" {
        lines.push(("what to do", ask_again(key)));
    }
    let status = output::plain(&payout.status);
    let heading = format!("payout {}: {status}", output::plain(&payout.payout_id));
    output::listed(&heading, &lines)
}

fn as_table(payouts: &[PayoutAnswer]) -> String {
    if payouts.is_empty() {
        return "no payouts found".to_owned();
    }
    let rows = payouts.iter().map(|payout| {
        let made_by = if payout.automatic {
            "schedule"
        } else {
            "request"
        };
        vec![
            output::instant(payout.created_at),
            output::plain(payout.stripe_payout_id.as_deref().unwrap_or_default()),
            output::money(payout.amount, &payout.currency),
            output::plain(&payout.status),
            made_by.to_owned(),
            payout
                .arrival_date
                .map(|day| day.to_string())
                .unwrap_or_default(),
            payout
                .failure
                .as_ref()
                .map(|failure| output::plain(&failure.message))
                .unwrap_or_default(),
        ]
    });
    let columns = [
        ("created", Column::Whole),
        ("Stripe's id", Column::Whole),
        ("amount", Column::Number),
        ("status", Column::Whole),
        ("made by", Column::Whole),
        ("arrives", Column::Whole),
        ("failure", Column::Text),
    ];
    output::table(&columns, rows)
}

#[cfg(test)]
mod tests {
    use platform::ledger::PayoutMethod;
    use serde_json::json;

    use super::*;

    fn payout(status: &str, failure: &Value) -> PayoutAnswer {
        understood(json!({
            "payout_id": "0190", "stripe_payout_id": "po_1", "amount": 4_000, "currency": "usd", "status": status,
            "method": "standard", "arrival_date": "2026-11-24", "automatic": true, "failure": failure,
            "created_at": "2026-11-21T06:00:00Z"}))
        .unwrap()
    }

    #[test]
    fn methods_are_those_of_the_engine() {
        assert_eq!(METHODS, PayoutMethod::ALL.map(PayoutMethod::as_str));
    }

    #[test]
    fn a_payout_is_shown_with_its_arrival_and_its_failure_in_words() {
        let failure =
            json!({"code": "account_closed", "message": "The bank account has been closed."});
        let failed = payout("failed", &failure);
        let text = shown(&failed, "k");
        let expected = "payout 0190: failed\n  amount       40.00 USD\n  method       standard\n  Stripe's id  po_1\n  \
                        arrives      2026-11-24\n  failure      The bank account has been closed.";
        assert_eq!(text, expected);
        let table = as_table(&[failed, payout("paid", &Value::Null)]);
        for part in ["po_1", "40.00 USD", "schedule", "has been closed", "paid"] {
            assert!(table.contains(part), "{table}");
        }
        assert_eq!(as_table(&[]), "no payouts found");
    }

    #[test]
    fn an_unknown_payout_says_under_which_key_to_ask_again() {
        let text = shown(&payout("unknown", &Value::Null), "k-7");
        assert!(text.contains("--idempotency-key k-7"), "{text}");
    }
}
