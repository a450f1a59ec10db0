//! `connect-account pay-out` and `payouts`: money of the account on its way to its bank.

use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::request_key::{KeyArgs, ask_again};
use crate::arguments;
use crate::client::{Ask, Error};
use crate::output::{self, instant, money, number, optional, plain, text, whole};

const METHODS: [&str; 2] = ["standard", "instant"];
const PATH: [&str; 3] = ["v1", "connect", "payouts"];

/// What to pay out, which is also what the engine is asked.
#[derive(Debug, clap::Args, Serialize)]
pub struct PayOut {
    /// How much, in minor units
    #[arg(long, value_name = "AMOUNT", value_parser = arguments::amount)]
    amount: i64,
    /// The currency in three letters, such as usd
    #[arg(long, value_name = "CURRENCY", value_parser = arguments::currency)]
    currency: String,
    /// standard: in the account's usual days; instant: in minutes, for a fee of Stripe's [default: standard]
    #[arg(long, value_name = "METHOD", value_parser = arguments::one_of::<String>(&METHODS))]
    #[serde(skip_serializing_if = "Option::is_none")]
    method: Option<String>,
    #[command(flatten)]
    #[serde(skip)]
    key: KeyArgs,
    #[command(flatten)]
    #[serde(skip)]
    ask: Ask,
}

/// Which payouts to show.
#[derive(Debug, clap::Args)]
pub struct Payouts {
    /// The maximum number, 1 to 10000
    #[arg(long, value_name = "N", default_value = "50", value_parser = arguments::whole_number(1..=10_000))]
    limit: u32,
    #[command(flatten)]
    ask: Ask,
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

impl PayoutAnswer {
    fn failure_message(&self) -> Option<&str> {
        Some(self.failure.as_ref()?.message.as_str())
    }
}

impl PayOut {
    pub(super) async fn run(self) -> Result<(), Error> {
        let (client, printer) = self.ask.clone().open().await?;
        let key = self.key.given_or_new();
        let answer: Value = client.post_once(&PATH, &key, &self).await?;
        printer.print(answer, |payout| shown(payout, &key))
    }
}

impl Payouts {
    pub(super) async fn run(self) -> Result<(), Error> {
        let (client, printer) = self.ask.open().await?;
        let payouts: Vec<Value> = client.newest(self.limit, &PATH, &[]).await?;
        printer.print_list(payouts, as_table)
    }
}

fn shown(payout: &PayoutAnswer, key: &str) -> String {
    let unknown = payout.status == "unknown";
    let lines = output::known([
        ("amount", Some(money(payout.amount, &payout.currency))),
        ("method", Some(plain(&payout.method))),
        ("Stripe's id", payout.stripe_payout_id.as_deref().map(plain)),
        ("arrives", payout.arrival_date.map(|day| day.to_string())),
        ("failure", payout.failure_message().map(plain)),
        ("what to do", unknown.then(|| ask_again(key))),
    ]);
    let status = plain(&payout.status);
    let heading = format!("payout {}: {status}", plain(&payout.payout_id));
    output::listed(&heading, &lines)
}

fn as_table(payouts: &[PayoutAnswer]) -> String {
    let fields = [
        whole("created", |it: &PayoutAnswer| instant(it.created_at)),
        whole("Stripe's id", |it| optional(it.stripe_payout_id.as_deref())),
        number("amount", |it| money(it.amount, &it.currency)),
        whole("status", |it| plain(&it.status)),
        whole("made by", |it| {
            let by = if it.automatic { "schedule" } else { "request" };
            by.to_owned()
        }),
        whole("arrives", |it| {
            let day = it.arrival_date.map(|day| day.to_string());
            day.unwrap_or_default()
        }),
        text("failure", |it| optional(it.failure_message())),
    ];
    output::table_or("no payouts found", payouts, &fields)
}

#[cfg(test)]
mod tests {
    use platform::ledger::PayoutMethod;
    use serde_json::json;

    use super::*;
    use crate::client::requests::understood;

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
