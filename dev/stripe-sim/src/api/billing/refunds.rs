//! `POST /v1/refunds`: of any charge of the account, not of subscriptions' alone.
//!
//! Deliberately absent: reasons and metadata, which are taken and not shown.

use serde_json::Value;

use super::Request;
use crate::billing::{Change, Refusal};
use crate::change::ControlError;
use crate::error::StripeError;
use crate::expand::Expand;
use crate::id::Kind;

pub(super) fn create(
    change: &mut Change<'_>,
    mut request: Request<'_>,
) -> Result<Value, StripeError> {
    let parameters = &mut request.parameters;
    let named = (parameters.take("charge"), parameters.take("payment_intent"));
    let amount = parameters.take_integer("amount")?;
    for name in ["reason", "refund_application_fee", "reverse_transfer"] {
        drop(parameters.take(name));
    }
    drop(parameters.take_map("metadata"));
    std::mem::take(&mut request.parameters).finish()?;
    let id = charge_id(change, named)?;
    let left = left_of(change, &id);
    if left < 1 {
        return Err(Refusal::AlreadyRefunded(id).into());
    }
    if let Some(amount) = amount.filter(|&amount| amount > left) {
        return Err(Refusal::OverRefund { amount, left }.into());
    }
    let refunded = change.handle.refund(&id, amount);
    let refund = refunded.map_err(|error: ControlError| {
        StripeError::invalid("charge", error.to_string()).executed()
    })?;
    let account = change.account();
    let book = account.book();
    let view = account.view(&book, request.version);
    let mut out = String::new();
    if let Some(index) = view.index_of(Kind::Refund, &refund) {
        view.write(&mut out, Kind::Refund, index, Expand::nothing());
    }
    // What the books write is always JSON.
    Ok(serde_json::from_str(&out).unwrap_or_default())
}

/// The id of the charge that is named, or of the one that ends the payment intent that is.
fn charge_id(
    change: &Change<'_>,
    named: (Option<String>, Option<String>),
) -> Result<String, StripeError> {
    let account = change.account();
    let book = account.book();
    let view = account.view(&book, account.version);
    let (param, kind, id) = match named {
        (Some(id), None) => ("charge", Kind::Charge, id),
        (None, Some(id)) => ("payment_intent", Kind::PaymentIntent, id),
        _ => {
            let message = "One of the following params should be provided for this request: payment_intent or charge.";
            return Err(StripeError::invalid("charge", message));
        }
    };
    let index = view.index_of(kind, &id);
    let found = index.and_then(|index| match kind {
        Kind::PaymentIntent => book.charge_of_intent(index),
        _ => book.charge(index),
    });
    let missing = || StripeError::no_such_in(param, kind.noun(), &id);
    found.map(|it| view.charge_id(&it)).ok_or_else(missing)
}

/// Minor units of a charge that can still be refunded.
fn left_of(change: &Change<'_>, id: &str) -> i64 {
    let account = change.account();
    let book = account.book();
    let view = account.view(&book, account.version);
    let found = view.charge_index(id).and_then(|index| book.charge(index));
    found.map_or(0, |it| {
        let given = it.refunds.iter().filter(|it| it.counts() && !it.release);
        it.amount_captured - given.map(|it| it.amount).sum::<i64>()
    })
}
