//! Controls that change objects. A body may be left out where every field of it may.

use axum::Json;
use axum::extract::{Path, Query};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{Chosen, Refusal};
use crate::change::{ControlError, MetadataChange, NewCharge};

pub(super) type Answer = Result<Json<Value>, Refusal>;

/// A body that may be empty.
pub(super) fn body<T: DeserializeOwned + Default>(text: &str) -> Result<T, Refusal> {
    if text.trim().is_empty() {
        return Ok(T::default());
    }
    serde_json::from_str(text)
        .map_err(|error| ControlError::Refused(format!("the body is not right: {error}")).into())
}

pub(super) fn done() -> Json<Value> {
    Json(json!({ "ok": true }))
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Amount {
    amount: Option<i64>,
    pending: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Status {
    status: String,
}

impl Default for Status {
    fn default() -> Self {
        Self {
            status: "lost".to_owned(),
        }
    }
}

#[derive(Deserialize)]
pub(super) struct Count {
    #[serde(default = "one")]
    count: u32,
}

const fn one() -> u32 {
    1
}

/// `POST /_sim/charges?count=1`: a [`NewCharge`]; answers with the ids.
pub(super) async fn create_charge(
    Chosen(account): Chosen,
    Query(Count { count }): Query<Count>,
    text: String,
) -> Answer {
    let new: NewCharge = body(&text)?;
    let ids = (0..count)
        .map(|_| account.create_charge(&new))
        .collect::<Result<Vec<_>, _>>()?;
    Ok(Json(json!({ "id": ids.first(), "ids": ids })))
}

#[derive(Deserialize)]
pub(super) struct Wanted {
    #[serde(default = "succeeded")]
    kind: String,
}

fn succeeded() -> String {
    "succeeded".to_owned()
}

/// `GET /_sim/charges/random?kind=succeeded`: an id of that kind (see `/_sim/examples`).
pub(super) async fn random_charge(
    Chosen(account): Chosen,
    Query(Wanted { kind }): Query<Wanted>,
) -> Answer {
    let examples = account.examples(100);
    let ids = examples.get(&kind).filter(|ids| !ids.is_empty());
    let ids = ids.ok_or_else(|| ControlError::Refused(format!("no example of '{kind}'")))?;
    let at = account.draw_number() as usize % ids.len();
    Ok(Json(json!({ "id": ids[at] })))
}

/// `DELETE /_sim/charges/{id}`: lists no longer show it.
pub(super) async fn unlist_charge(Chosen(account): Chosen, Path(id): Path<String>) -> Answer {
    account.unlist_charge(&id)?;
    Ok(done())
}

/// `POST /_sim/charges/{id}/refund {"amount": 5, "pending": false}`.
pub(super) async fn refund(
    Chosen(account): Chosen,
    Path(id): Path<String>,
    text: String,
) -> Answer {
    let Amount { amount, pending } = body(&text)?;
    let refund = if pending {
        account.refund_pending(&id, amount)?
    } else {
        account.refund(&id, amount)?
    };
    Ok(Json(json!({ "id": refund })))
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Capture {
    amount: Option<i64>,
    more: bool,
}

/// `POST /_sim/charges/{id}/capture {"amount": 5, "more": false}`: with `more`, the hold goes on.
pub(super) async fn capture(
    Chosen(account): Chosen,
    Path(id): Path<String>,
    text: String,
) -> Answer {
    match body(&text)? {
        Capture {
            amount: Some(amount),
            more: true,
        } => account.capture_part(&id, amount)?,
        Capture { amount, .. } => account.capture(&id, amount)?,
    }
    Ok(done())
}

/// `POST /_sim/charges/{id}/expire`.
pub(super) async fn expire(Chosen(account): Chosen, Path(id): Path<String>) -> Answer {
    account.expire(&id)?;
    Ok(done())
}

/// `POST /_sim/charges/{id}/succeed`.
pub(super) async fn succeed(Chosen(account): Chosen, Path(id): Path<String>) -> Answer {
    account.succeed(&id)?;
    Ok(done())
}

/// `POST /_sim/charges/{id}/fail`.
pub(super) async fn fail(Chosen(account): Chosen, Path(id): Path<String>) -> Answer {
    account.fail(&id)?;
    Ok(done())
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct NewDispute {
    lost_at_once: bool,
}

/// `POST /_sim/charges/{id}/dispute {"lost_at_once": false}`: with `lost_at_once`, a bank debit comes back.
pub(super) async fn dispute(
    Chosen(account): Chosen,
    Path(id): Path<String>,
    text: String,
) -> Answer {
    let dispute = if body::<NewDispute>(&text)?.lost_at_once {
        account.return_debit(&id)?
    } else {
        account.dispute(&id)?
    };
    Ok(Json(json!({ "id": dispute })))
}

/// `POST /_sim/charges/{id}/dispute/close {"status": "won"}`.
pub(super) async fn close_dispute(
    Chosen(account): Chosen,
    Path(id): Path<String>,
    text: String,
) -> Answer {
    account.close_dispute(&id, &body::<Status>(&text)?.status)?;
    Ok(done())
}

/// `POST /_sim/charges/{id}/metadata {"tier": "pro", "campaign": null}`.
pub(super) async fn charge_metadata(
    Chosen(account): Chosen,
    Path(id): Path<String>,
    text: String,
) -> Answer {
    account.set_charge_metadata(&id, &body::<MetadataChange>(&text)?)?;
    Ok(done())
}

/// `POST /_sim/refunds/{id}/fail`.
pub(super) async fn fail_refund(Chosen(account): Chosen, Path(id): Path<String>) -> Answer {
    account.fail_refund(&id)?;
    Ok(done())
}

/// `POST /_sim/refunds/{id}/settle`.
pub(super) async fn settle_refund(Chosen(account): Chosen, Path(id): Path<String>) -> Answer {
    account.settle_refund(&id)?;
    Ok(done())
}

/// `POST /_sim/customers {"plan": "basic"}`: a customer with that metadata.
pub(super) async fn create_customer(Chosen(account): Chosen, text: String) -> Answer {
    let id = account.create_customer(&body::<MetadataChange>(&text)?);
    Ok(Json(json!({ "id": id })))
}

/// `DELETE /_sim/customers/{id}`.
pub(super) async fn delete_customer(Chosen(account): Chosen, Path(id): Path<String>) -> Answer {
    account.delete_customer(&id)?;
    Ok(done())
}

/// `POST /_sim/customers/{id}/metadata`.
pub(super) async fn customer_metadata(
    Chosen(account): Chosen,
    Path(id): Path<String>,
    text: String,
) -> Answer {
    account.set_customer_metadata(&id, &body::<MetadataChange>(&text)?)?;
    Ok(done())
}

/// `DELETE /_sim/products/{id}`.
pub(super) async fn delete_product(Chosen(account): Chosen, Path(id): Path<String>) -> Answer {
    account.delete_product(&id)?;
    Ok(done())
}

/// `POST /_sim/products/{id}/metadata`.
pub(super) async fn product_metadata(
    Chosen(account): Chosen,
    Path(id): Path<String>,
    text: String,
) -> Answer {
    account.set_product_metadata(&id, &body::<MetadataChange>(&text)?)?;
    Ok(done())
}

/// `POST /_sim/prices/{id}/metadata`.
pub(super) async fn price_metadata(
    Chosen(account): Chosen,
    Path(id): Path<String>,
    text: String,
) -> Answer {
    account.set_price_metadata(&id, &body::<MetadataChange>(&text)?)?;
    Ok(done())
}

/// `POST /_sim/invoices/{id}/metadata`.
pub(super) async fn invoice_metadata(
    Chosen(account): Chosen,
    Path(id): Path<String>,
    text: String,
) -> Answer {
    account.set_invoice_metadata(&id, &body::<MetadataChange>(&text)?)?;
    Ok(done())
}

/// `POST /_sim/sessions/{id}/metadata`.
pub(super) async fn session_metadata(
    Chosen(account): Chosen,
    Path(id): Path<String>,
    text: String,
) -> Answer {
    account.set_session_metadata(&id, &body::<MetadataChange>(&text)?)?;
    Ok(done())
}

/// `POST /_sim/payment_intents/{id}/metadata`.
pub(super) async fn payment_intent_metadata(
    Chosen(account): Chosen,
    Path(id): Path<String>,
    text: String,
) -> Answer {
    account.set_payment_intent_metadata(&id, &body::<MetadataChange>(&text)?)?;
    Ok(done())
}
