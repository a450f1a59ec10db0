//! Controls that make what is bought and billed: products, prices and invoices; and patches of how
//! any object is shown.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::Path;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Chosen;
use super::objects::{Answer, body, done};
use crate::change::{MetadataChange, NewLine};

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct NewInvoice {
    lines: Vec<NewLine>,
    customer: String,
    currency: Option<String>,
    created: Option<i64>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Attached {
    lines: Vec<NewLine>,
    created: Option<i64>,
}

/// `POST /_sim/invoices {"customer": "cus_…", "lines": [{"amount": 500}], "currency": "usd"}`: an
/// open invoice.
pub(super) async fn create_invoice(Chosen(account): Chosen, text: String) -> Answer {
    let new: NewInvoice = body(&text)?;
    let currency = new.currency.as_deref().unwrap_or("usd");
    let id = account.create_invoice(&new.lines, &new.customer, currency, new.created)?;
    Ok(Json(json!({ "id": id })))
}

/// `POST /_sim/invoices/{id}/pay`: answers with the charge's id.
pub(super) async fn pay_invoice(Chosen(account): Chosen, Path(id): Path<String>) -> Answer {
    let charge = account.pay_invoice(&id)?;
    Ok(Json(json!({ "id": charge })))
}

/// `POST /_sim/charges/{id}/invoice {"lines": [{"amount": 500}]}`: answers with the invoice's id.
pub(super) async fn attach_invoice(
    Chosen(account): Chosen,
    Path(id): Path<String>,
    text: String,
) -> Answer {
    let new: Attached = body(&text)?;
    let invoice = account.attach_invoice(&id, &new.lines, new.created)?;
    Ok(Json(json!({ "id": invoice })))
}

/// `POST /_sim/products {"slug": "mug"}`: a product with that metadata.
pub(super) async fn create_product(Chosen(account): Chosen, text: String) -> Answer {
    let id = account.create_product(&body::<MetadataChange>(&text)?);
    Ok(Json(json!({ "id": id })))
}

/// `POST /_sim/products/{id}/prices {"tier": "pro"}`: a price of that product with that metadata.
pub(super) async fn create_price(
    Chosen(account): Chosen,
    Path(id): Path<String>,
    text: String,
) -> Answer {
    let price = account.create_price(&id, &body::<MetadataChange>(&text)?)?;
    Ok(Json(json!({ "id": price })))
}

/// `POST /_sim/patches/{id} {"created": null}`: an RFC 7396 merge patch of how it is shown.
pub(super) async fn patch_answers(
    Chosen(account): Chosen,
    Path(id): Path<String>,
    text: String,
) -> Answer {
    account.patch_answers(&id, Some(body::<Value>(&text)?));
    Ok(done())
}

/// `POST /_sim/patches/{id}/raw {"/name": "\"Zo\\ud83d\""}`: JSON text by JSON pointer, shown as it is.
pub(super) async fn patch_answers_raw(
    Chosen(account): Chosen,
    Path(id): Path<String>,
    text: String,
) -> Answer {
    for (pointer, json) in body::<BTreeMap<String, String>>(&text)? {
        account.patch_answers_raw(&id, &pointer, &json);
    }
    Ok(done())
}

/// `DELETE /_sim/patches/{id}`.
pub(super) async fn forget_patch(Chosen(account): Chosen, Path(id): Path<String>) -> Answer {
    account.patch_answers(&id, None);
    Ok(done())
}
