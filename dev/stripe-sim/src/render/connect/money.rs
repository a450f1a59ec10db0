//! Balances, transfers, reversals and payouts.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::connect::{Payout, Reversal, Sums, Transfer};
use crate::ledger::Currency;

/// Reversals that a transfer shows inline, newest first.
const INLINE_REVERSALS: usize = 10;

pub(crate) fn balance(sums: &BTreeMap<Currency, Sums>, livemode: bool) -> Value {
    let nothing = BTreeMap::from([(Currency::USD, Sums::default())]);
    let sums = if sums.is_empty() { &nothing } else { sums };
    let shown = |amount: fn(&Sums) -> i64| -> Vec<Value> {
        let each = sums.iter().map(|(currency, sums)| {
            let amount = amount(sums);
            json!({
                "amount": amount, "currency": currency.code(), "source_types": { "card": amount },
            })
        });
        each.collect()
    };
    let reserved = sums
        .keys()
        .map(|currency| json!({ "amount": 0, "currency": currency.code() }));
    json!({
        "available": shown(|it| it.available),
        "connect_reserved": reserved.collect::<Vec<_>>(),
        "livemode": livemode,
        "object": "balance",
        "pending": shown(|it| it.pending),
    })
}

pub(crate) fn transfer(it: &Transfer, livemode: bool) -> Value {
    let newest = it.reversals.iter().rev().take(INLINE_REVERSALS);
    let reversals: Vec<Value> = newest.map(|one| reversal(it, one)).collect();
    json!({
        "amount": it.amount,
        "amount_reversed": it.reversed(),
        "balance_transaction": it.balance_transaction,
        "created": it.created,
        "currency": it.currency.code(),
        "description": it.description,
        "destination": it.destination_id,
        "destination_payment": it.destination_payment,
        "id": it.id,
        "livemode": livemode,
        "metadata": it.metadata,
        "object": "transfer",
        "reversals": {
            "data": reversals,
            "has_more": it.reversals.len() > INLINE_REVERSALS,
            "object": "list",
            "total_count": it.reversals.len(),
            "url": reversals_url(&it.id),
        },
        "reversed": it.reversed() == it.amount,
        "source_transaction": it.source,
        "source_type": "card",
        "transfer_group": it.group,
    })
}

pub(crate) fn reversals_url(transfer: &str) -> String {
    format!("/v1/transfers/{transfer}/reversals")
}

pub(crate) fn reversal(transfer: &Transfer, it: &Reversal) -> Value {
    json!({
        "amount": it.amount,
        "balance_transaction": it.balance_transaction,
        "created": it.created,
        "currency": transfer.currency.code(),
        "destination_payment_refund": it.destination_payment_refund,
        "id": it.id,
        "metadata": it.metadata,
        "object": "transfer_reversal",
        "source_refund": null,
        "transfer": transfer.id,
    })
}

/// What a transfer is on the destination, as far as anybody reads it.
pub(crate) fn destination_payment(it: &Transfer, livemode: bool) -> Value {
    json!({
        "amount": it.amount,
        "amount_captured": it.amount,
        "amount_refunded": 0,
        "captured": true,
        "created": it.created,
        "currency": it.currency.code(),
        "id": it.destination_payment,
        "livemode": livemode,
        "metadata": {},
        "object": "charge",
        "paid": true,
        "refunded": false,
        "source_transfer": it.id,
        "status": "succeeded",
        "transfer_group": it.group,
    })
}

pub(crate) fn payout(it: &Payout, livemode: bool) -> Value {
    let reconciliation = match (it.automatic, it.status.name()) {
        (false, _) => "not_applicable",
        (true, "paid") => "completed",
        (true, _) => "in_progress",
    };
    json!({
        "amount": it.amount,
        "application_fee": null,
        "application_fee_amount": null,
        "arrival_date": it.arrival_date,
        "automatic": it.automatic,
        "balance_transaction": it.balance_transaction,
        "created": it.created,
        "currency": it.currency.code(),
        "description": it.description,
        "destination": it.destination,
        "failure_balance_transaction": it.failure_balance_transaction,
        "failure_code": it.failure_code,
        "failure_message": it.failure_code.as_deref().map(failure_message),
        "id": it.id,
        "livemode": livemode,
        "metadata": it.metadata,
        "method": "standard",
        "object": "payout",
        "original_payout": null,
        "payout_method": null,
        "reconciliation_status": reconciliation,
        "reversed_by": null,
        "source_type": "card",
        "statement_descriptor": it.statement_descriptor,
        "status": it.status.name(),
        "trace_id": null,
        "type": "bank_account",
    })
}

fn failure_message(code: &str) -> &'static str {
    match code {
        "account_closed" => "The bank account has been closed.",
        "account_frozen" => "The bank account has been frozen.",
        "insufficient_funds" => "Your Stripe account has insufficient funds to cover the payout.",
        "invalid_account_number" => {
            "The routing number seems correct, but the account number is invalid."
        }
        "no_account" => "The bank account could not be located.",
        _ => "The bank could not process this payout.",
    }
}
