//! `connect-account transfer`, `transfers` and `reverse`: money that moves from the platform to the account, and back.
//!
//! A transfer of which Stripe gave no answer yet is shown as unknown, with the key under which to ask again.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::request_key::{KeyArgs, ask_again};
use crate::arguments;
use crate::client::requests::understood;
use crate::client::{Error, Server, print_json};
use crate::output::{self, Column};

/// What to transfer.
#[derive(Debug, clap::Args)]
pub struct Transfer {
    /// How much, in minor units; the platform keeps its fee of it, and the rest moves
    #[arg(long, value_name = "AMOUNT", value_parser = arguments::amount)]
    amount: i64,
    /// The currency in three letters, such as usd
    #[arg(long, value_name = "CURRENCY", value_parser = arguments::currency)]
    currency: String,
    /// The platform's charge that the money comes from, so that it may move before the charge has settled
    #[arg(long, value_name = "CHARGE")]
    source_charge: Option<String>,
    /// Groups transfers at Stripe
    #[arg(long = "transfer-group", value_name = "GROUP")]
    group: Option<String>,
    /// A description, which Stripe shows
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    #[command(flatten)]
    key: KeyArgs,
    /// Print the engine's response as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: Server,
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
    /// Print the engine's response as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: Server,
}

/// What to take back.
#[derive(Debug, clap::Args)]
pub struct Reverse {
    /// The transfer
    #[arg(value_name = "TRANSFER", value_parser = arguments::transfer_id)]
    transfer_id: Uuid,
    /// How much of what moved, in minor units [default: all that is left]
    #[arg(long, value_name = "AMOUNT", value_parser = arguments::amount)]
    amount: Option<i64>,
    /// Note that the platform gives up its fee of this part, which moves nothing
    #[arg(long)]
    refund_fee: bool,
    #[command(flatten)]
    key: KeyArgs,
    /// Print the engine's response as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: Server,
}

#[derive(Debug, Serialize)]
struct AskedTransfer<'a> {
    amount: i64,
    currency: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    source_charge: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    transfer_group: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
}

#[derive(Debug, Serialize)]
struct AskedReversal {
    #[serde(skip_serializing_if = "Option::is_none")]
    amount: Option<i64>,
    refund_fee: bool,
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
        let client = self.server.client().await?;
        let key = self.key.given_or_new();
        let asked = AskedTransfer {
            amount: self.amount,
            currency: &self.currency,
            source_charge: self.source_charge.as_deref(),
            transfer_group: self.group.as_deref(),
            description: self.description.as_deref(),
        };
        let path = ["v1", "connect", "transfer"];
        let answer: Value = client.post_once(&path, &key, &asked).await?;
        print_transfer(answer, self.json, Some(&key))
    }
}

impl Transfers {
    pub(super) async fn run(self) -> Result<(), Error> {
        let client = self.server.client().await?;
        if let Some(id) = self.transfer_id {
            let path = ["v1", "connect", "transfers", &id.to_string()];
            return print_transfer(client.get(&path, &[]).await?, self.json, None);
        }
        let path = ["v1", "connect", "transfers"];
        let page_size = self.limit.min(1000).to_string();
        let transfers: Vec<Value> = client
            .up_to(self.limit as usize, &page_size, &path, &[], |_| true)
            .await?;
        if self.json {
            return print_json(&transfers);
        }
        let transfers: Vec<TransferAnswer> = understood(transfers.into())?;
        Ok(output::print(&as_table(&transfers))?)
    }
}

impl Reverse {
    pub(super) async fn run(self) -> Result<(), Error> {
        let client = self.server.client().await?;
        let key = self.key.given_or_new();
        let asked = AskedReversal {
            amount: self.amount,
            refund_fee: self.refund_fee,
        };
        let id = self.transfer_id.to_string();
        let path = ["v1", "connect", "transfers", &id, "reverse"];
        let answer: Value = client.post_once(&path, &key, &asked).await?;
        print_transfer(answer, self.json, Some(&key))
    }
}

fn print_transfer(answer: Value, json: bool, key: Option<&str>) -> Result<(), Error> {
    if json {
        return print_json(&answer);
    }
    Ok(output::print(&shown(&understood(answer)?, key))?)
}

/// A transfer; `key` is that of the movement which was just asked for.
fn shown(transfer: &TransferAnswer, key: Option<&str>) -> String {
    let money = |minor| output::money(minor, &transfer.currency);
    let mut lines = vec![
        ("amount", money(transfer.amount)),
        ("platform fee", money(transfer.platform_fee)),
        ("moved", money(transfer.net)),
        ("created", output::instant(transfer.created_at)),
    ];
    let texts = [
        ("Stripe's id", &transfer.stripe_transfer_id),
        ("source charge", &transfer.source_charge),
        ("group", &transfer.transfer_group),
        ("description", &transfer.description),
    ];
    lines.extend(
        texts
            .into_iter()
            .filter_map(|(name, text)| Some((name, output::plain(text.as_deref()?)))),
    );
    if let Some(error) = &transfer.error {
        lines.push(("not moved", output::plain(&error.message)));
    }
    if transfer.reversed != 0 {
        lines.push(("taken back", money(transfer.reversed)));
    }
    let unknown = |status: &str| status == "unknown";
    if unknown(&transfer.status) || transfer.reversals.iter().any(|it| unknown(&it.status)) {
        lines.extend(key.map(|key| ("what to do", ask_again(key))));
    }
    let status = output::plain(&transfer.status);
    let id = output::plain(&transfer.transfer_id);
    let text = output::listed(&format!("transfer {id}: {status}"), &lines);
    if transfer.reversals.is_empty() {
        return text;
    }
    let rows = transfer.reversals.iter().map(|it| {
        vec![
            output::instant(it.created_at),
            output::plain(it.stripe_reversal_id.as_deref().unwrap_or_default()),
            money(it.amount),
            money(it.refunded_fee),
            output::plain(&it.status),
            it.error
                .as_ref()
                .map(|error| output::plain(&error.message))
                .unwrap_or_default(),
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
    if transfers.is_empty() {
        return "no transfers found".to_owned();
    }
    let rows = transfers.iter().map(|transfer| {
        let money = |minor| output::money(minor, &transfer.currency);
        vec![
            output::instant(transfer.created_at),
            output::plain(&transfer.transfer_id),
            money(transfer.amount),
            money(transfer.platform_fee),
            money(transfer.net),
            money(transfer.reversed),
            output::plain(&transfer.status),
            transfer
                .error
                .as_ref()
                .map(|error| output::plain(&error.message))
                .unwrap_or_default(),
        ]
    });
    let columns = [
        ("created", Column::Whole),
        ("transfer", Column::Whole),
        ("amount", Column::Number),
        ("platform fee", Column::Number),
        ("moved", Column::Number),
        ("taken back", Column::Number),
        ("status", Column::Whole),
        ("error", Column::Text),
    ];
    output::table(&columns, rows)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

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
