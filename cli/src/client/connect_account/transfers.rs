//! `connect-account transfer`, `transfers` and `reverse`: money that moves from the platform to the account, and back.
//!
//! A transfer of which Stripe gave no answer yet is shown as unknown, with the key under which to ask again.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::request_key::{KeyArgs, ask_again};
use crate::arguments;
use crate::client::{Ask, Error};
use crate::output::{self, Column, instant, money, number, optional, plain, text, whole};

/// What to transfer, which is also what the engine is asked.
#[derive(Debug, clap::Args, Serialize)]
#[expect(clippy::struct_field_names, reason = "they are the engine's names")]
pub struct Transfer {
    /// How much, in minor units; the platform keeps its fee of it, and the rest moves
    #[arg(long, value_name = "AMOUNT", value_parser = arguments::amount)]
    amount: i64,
    /// The currency in three letters, such as usd
    #[arg(long, value_name = "CURRENCY", value_parser = arguments::currency)]
    currency: String,
    /// The platform's charge that the money comes from, so that it may move before the charge has settled
    #[arg(long, value_name = "CHARGE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    source_charge: Option<String>,
    /// Groups transfers at Stripe
    #[arg(long, value_name = "GROUP")]
    #[serde(skip_serializing_if = "Option::is_none")]
    transfer_group: Option<String>,
    /// A description, which Stripe shows
    #[arg(long, value_name = "TEXT")]
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    #[command(flatten)]
    #[serde(skip)]
    key: KeyArgs,
    #[command(flatten)]
    #[serde(skip)]
    ask: Ask,
}

/// Which transfers to show.
#[derive(Debug, clap::Args)]
pub struct Transfers {
    /// Only this transfer, with its reversals [default: all]
    #[arg(value_name = "TRANSFER", value_parser = arguments::transfer_id, conflicts_with = "limit")]
    transfer_id: Option<Uuid>,
    /// The maximum number, 1 to 10000
    #[arg(long, value_name = "N", default_value = "50", value_parser = arguments::whole_number(1..=10_000))]
    limit: u32,
    #[command(flatten)]
    ask: Ask,
}

/// What to take back, which is also what the engine is asked.
#[derive(Debug, clap::Args, Serialize)]
pub struct Reverse {
    /// The transfer
    #[arg(value_name = "TRANSFER", value_parser = arguments::transfer_id)]
    #[serde(skip)]
    transfer_id: Uuid,
    /// How much of what moved, in minor units [default: all that is left]
    #[arg(long, value_name = "AMOUNT", value_parser = arguments::amount)]
    #[serde(skip_serializing_if = "Option::is_none")]
    amount: Option<i64>,
    /// Note that the platform gives up its fee of this part, which moves nothing
    #[arg(long)]
    refund_fee: bool,
    #[command(flatten)]
    #[serde(skip)]
    key: KeyArgs,
    #[command(flatten)]
    #[serde(skip)]
    ask: Ask,
}

#[derive(Debug, Deserialize)]
struct TransferAnswer {
    transfer_id: String,
    stripe_transfer_id: Option<String>,
    status: String,
    amount: i64,
    platform_fee: i64,
    net: i64,
    currency: String,
    source_charge: Option<String>,
    transfer_group: Option<String>,
    description: Option<String>,
    error: Option<MoneyError>,
    reversed: i64,
    #[serde(default)]
    reversals: Vec<ReversalAnswer>,
    created_at: DateTime<Utc>,
}

#[derive(Debug, Deserialize)]
struct ReversalAnswer {
    stripe_reversal_id: Option<String>,
    status: String,
    amount: i64,
    refunded_fee: i64,
    error: Option<MoneyError>,
    created_at: DateTime<Utc>,
}

#[derive(Debug, Deserialize)]
struct MoneyError {
    message: String,
}

impl Transfer {
    pub(super) async fn run(self) -> Result<(), Error> {
        let (client, printer) = self.ask.clone().open().await?;
        let key = self.key.given_or_new();
        let path = ["v1", "connect", "transfer"];
        let answer: Value = client.post_once(&path, &key, &self).await?;
        printer.print(answer, |transfer| shown(transfer, Some(&key)))
    }
}

impl Transfers {
    pub(super) async fn run(self) -> Result<(), Error> {
        let (client, printer) = self.ask.open().await?;
        if let Some(id) = self.transfer_id {
            let path = ["v1", "connect", "transfers", &id.to_string()];
            let answer: Value = client.get(&path, &[]).await?;
            return printer.print(answer, |transfer| shown(transfer, None));
        }
        let path = ["v1", "connect", "transfers"];
        let transfers: Vec<Value> = client.newest(self.limit, &path, &[]).await?;
        printer.print_list(transfers, as_table)
    }
}

impl Reverse {
    pub(super) async fn run(self) -> Result<(), Error> {
        let (client, printer) = self.ask.clone().open().await?;
        let key = self.key.given_or_new();
        let id = self.transfer_id.to_string();
        let path = ["v1", "connect", "transfers", &id, "reverse"];
        let answer: Value = client.post_once(&path, &key, &self).await?;
        printer.print(answer, |transfer| shown(transfer, Some(&key)))
    }
}

fn message(error: Option<&MoneyError>) -> String {
    optional(error.map(|error| error.message.as_str()))
}

/// A transfer; `key` is that of the movement which was just asked for.
fn shown(transfer: &TransferAnswer, key: Option<&str>) -> String {
    let money = |minor| money(minor, &transfer.currency);
    let unknown = |status: &str| status == "unknown";
    let any_unknown =
        unknown(&transfer.status) || transfer.reversals.iter().any(|it| unknown(&it.status));
    let error = transfer.error.as_ref();
    let lines = output::known([
        ("amount", Some(money(transfer.amount))),
        ("platform fee", Some(money(transfer.platform_fee))),
        ("moved", Some(money(transfer.net))),
        ("created", Some(instant(transfer.created_at))),
        (
            "Stripe's id",
            transfer.stripe_transfer_id.as_deref().map(plain),
        ),
        (
            "source charge",
            transfer.source_charge.as_deref().map(plain),
        ),
        ("group", transfer.transfer_group.as_deref().map(plain)),
        ("description", transfer.description.as_deref().map(plain)),
        ("not moved", error.map(|error| plain(&error.message))),
        (
            "taken back",
            (transfer.reversed != 0).then(|| money(transfer.reversed)),
        ),
        ("what to do", key.filter(|_| any_unknown).map(ask_again)),
    ]);
    let status = plain(&transfer.status);
    let id = plain(&transfer.transfer_id);
    let text = output::listed(&format!("transfer {id}: {status}"), &lines);
    if transfer.reversals.is_empty() {
        return text;
    }
    let rows = transfer.reversals.iter().map(|it| {
        vec![
            instant(it.created_at),
            optional(it.stripe_reversal_id.as_deref()),
            money(it.amount),
            money(it.refunded_fee),
            plain(&it.status),
            message(it.error.as_ref()),
        ]
    });
    let columns = [
        ("reversed", Column::Whole),
        ("Stripe's id", Column::Whole),
        ("amount", Column::Number),
        ("fee given up", Column::Number),
        ("status", Column::Whole),
        ("error", Column::Text),
    ];
    format!("{text}\n\n{}", output::table(&columns, rows))
}

fn as_table(transfers: &[TransferAnswer]) -> String {
    let fields = [
        whole("created", |it: &TransferAnswer| instant(it.created_at)),
        whole("transfer", |it| plain(&it.transfer_id)),
        number("amount", |it| money(it.amount, &it.currency)),
        number("platform fee", |it| money(it.platform_fee, &it.currency)),
        number("moved", |it| money(it.net, &it.currency)),
        number("taken back", |it| money(it.reversed, &it.currency)),
        whole("status", |it| plain(&it.status)),
        text("error", |it| message(it.error.as_ref())),
    ];
    output::table_or("no transfers found", transfers, &fields)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::client::requests::understood;

    fn transfer(status: &str, error: &Value, reversals: &Value) -> TransferAnswer {
        understood(json!({
            "transfer_id": "0190", "stripe_transfer_id": "tr_1", "status": status, "amount": 1005, "platform_fee": 101,
            "net": 904, "currency": "usd", "source_charge": null, "transfer_group": "order-7",
            "description": "Order\u{1b} 7", "error": error, "reversed": 300, "reversals": reversals,
            "created_at": "2026-11-21T06:00:00Z"}))
        .unwrap()
    }

    #[test]
    fn a_transfer_is_shown_with_its_fee_and_its_reversals() {
        let reversals = json!([{"reversal_id": "0191", "stripe_reversal_id": "trr_1", "status": "created", "amount": 300,
                                "refunded_fee": 34, "error": null, "created_at": "2026-11-21T07:00:00Z"}]);
        let made = transfer("created", &Value::Null, &reversals);
        let text = shown(&made, Some("k"));
        let beginning = "transfer 0190: created\n  amount        10.05 USD\n  platform fee  1.01 USD\n  \
                         moved         9.04 USD\n  created       2026-11-21T06:00:00Z\n  Stripe's id   tr_1\n  \
                         group         order-7\n  description   Order\u{fffd} 7\n  taken back    3.00 USD\n\n";
        assert!(text.starts_with(beginning), "{text}");
        for part in ["trr_1", "3.00 USD", "0.34 USD"] {
            assert!(text.contains(part), "{text}");
        }
        assert!(!text.contains("what to do"), "{text}");
    }

    #[test]
    fn what_is_unknown_says_under_which_key_to_ask_again() {
        let unknown = transfer("unknown", &Value::Null, &json!([]));
        let text = shown(&unknown, Some("k-7"));
        assert!(text.contains("--idempotency-key k-7"), "{text}");
        assert!(!shown(&unknown, None).contains("idempotency"));
        let reversal = json!([{"reversal_id": "0191", "stripe_reversal_id": null, "status": "unknown", "amount": 300,
                               "refunded_fee": 0, "error": null, "created_at": "2026-11-21T07:00:00Z"}]);
        let text = shown(&transfer("created", &Value::Null, &reversal), Some("k-8"));
        assert!(text.contains("--idempotency-key k-8"), "{text}");
    }

    #[test]
    fn a_list_of_transfers_says_why_one_failed() {
        let error = json!({"code": "balance_insufficient", "message": "Too little."});
        let text = as_table(&[transfer("failed", &error, &json!([]))]);
        for part in ["0190", "10.05 USD", "1.01 USD", "9.04 USD", "Too little."] {
            assert!(text.contains(part), "{text}");
        }
        assert_eq!(as_table(&[]), "no transfers found");
    }
}
