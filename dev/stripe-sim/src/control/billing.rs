//! Controls of customers and subscriptions; [`crate::billing`] lists them with their bodies.

use std::sync::Arc;

use axum::extract::Path;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::connect::required;
use super::objects::{Answer, body, done};
use super::{Chosen, Refusal};
use crate::billing::{
    BillingSwitches, BillingTruth, NewBillingCustomer, NewPrice, NewProduct, NewPromotionCode,
    NewSubscription,
};
use crate::simulator::Simulator;

pub(super) fn router() -> Router<Arc<Simulator>> {
    Router::new()
        .route("/", get(truth))
        .route("/switches", get(switches).post(switch))
        .route("/products", post(create_product))
        .route("/products/{id}/active", post(set_product_active))
        .route("/prices", post(create_price))
        .route("/prices/{id}/active", post(set_price_active))
        .route("/promotion_codes", post(create_promotion_code))
        .route("/customers", post(create_customer))
        .route("/customers/{id}/card", post(set_card))
        .route("/customers/{id}/delete", post(delete_customer))
        .route("/setup_intents/{id}/confirm", post(confirm_setup_intent))
        .route(
            "/setup_intents/{id}/authenticate",
            post(authenticate_setup_intent),
        )
        .route("/checkout/{id}/pay", post(pay_checkout))
        .route("/checkout/{id}/authenticate", post(authenticate_checkout))
        .route("/checkout/{id}/settle", post(settle_checkout))
        .route("/checkout/{id}/expire", post(expire_checkout))
        .route("/subscriptions", post(create_subscription))
        .route("/subscriptions/{id}/cancel", post(cancel_subscription))
        .route("/invoices/{id}/authenticate", post(authenticate_invoice))
        .route("/invoices/{id}/settle", post(settle_invoice))
        .route("/portal/configuration", post(save_portal_settings))
}

async fn truth(Chosen(account): Chosen) -> Json<BillingTruth> {
    Json(account.billing().truth())
}

async fn switches(Chosen(account): Chosen) -> Json<BillingSwitches> {
    Json(account.billing().switches())
}

async fn switch(Chosen(account): Chosen, text: String) -> Result<Json<BillingSwitches>, Refusal> {
    let change: Map<String, Value> = required(&text)?;
    let billing = account.billing();
    let mut merged = json!(billing.switches());
    if let Value::Object(fields) = &mut merged {
        fields.extend(change);
    }
    let switches: BillingSwitches = required(&merged.to_string())?;
    billing.switch(|current| *current = switches.clone());
    Ok(Json(switches))
}

fn made(id: &str) -> Json<Value> {
    Json(json!({ "id": id }))
}

async fn create_product(Chosen(account): Chosen, text: String) -> Answer {
    let new: NewProduct = required(&text)?;
    Ok(made(&account.billing().create_product(&new)))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SetActive {
    active: bool,
}

async fn set_product_active(
    Chosen(account): Chosen,
    Path(id): Path<String>,
    text: String,
) -> Answer {
    let SetActive { active } = required(&text)?;
    account.billing().set_product_active(&id, active)?;
    Ok(done())
}

async fn create_price(Chosen(account): Chosen, text: String) -> Answer {
    let new: NewPrice = required(&text)?;
    Ok(made(&account.billing().create_price(&new)?))
}

async fn set_price_active(Chosen(account): Chosen, Path(id): Path<String>, text: String) -> Answer {
    let SetActive { active } = required(&text)?;
    account.billing().set_price_active(&id, active)?;
    Ok(done())
}

async fn create_promotion_code(Chosen(account): Chosen, text: String) -> Answer {
    let new: NewPromotionCode = required(&text)?;
    Ok(made(&account.billing().create_promotion_code(&new)?))
}

async fn create_customer(Chosen(account): Chosen, text: String) -> Answer {
    let new: NewBillingCustomer = body(&text)?;
    Ok(made(&account.billing().create_customer(&new)?))
}

async fn delete_customer(Chosen(account): Chosen, Path(id): Path<String>) -> Answer {
    account.billing().delete_customer(&id)?;
    Ok(done())
}

/// A test card, a Visa unless it says another.
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Named {
    card: String,
}

impl Default for Named {
    fn default() -> Self {
        Self {
            card: "pm_card_visa".to_owned(),
        }
    }
}

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Ended {
    success: bool,
}

impl Default for Ended {
    fn default() -> Self {
        Self { success: true }
    }
}

async fn set_card(Chosen(account): Chosen, Path(id): Path<String>, text: String) -> Answer {
    let Named { card } = body(&text)?;
    Ok(made(&account.billing().set_card(&id, &card)?))
}

async fn confirm_setup_intent(
    Chosen(account): Chosen,
    Path(id): Path<String>,
    text: String,
) -> Answer {
    let Named { card } = body(&text)?;
    let status = account.billing().confirm_setup_intent(&id, &card)?;
    Ok(Json(json!({ "status": status })))
}

async fn authenticate_setup_intent(
    Chosen(account): Chosen,
    Path(id): Path<String>,
    text: String,
) -> Answer {
    let Ended { success } = body(&text)?;
    let status = account.billing().authenticate_setup_intent(&id, success)?;
    Ok(Json(json!({ "status": status })))
}

async fn pay_checkout(Chosen(account): Chosen, Path(id): Path<String>, text: String) -> Answer {
    let Named { card } = body(&text)?;
    let step = account.billing().pay_checkout(&id, &card)?;
    Ok(Json(json!({ "step": step })))
}

async fn authenticate_checkout(
    Chosen(account): Chosen,
    Path(id): Path<String>,
    text: String,
) -> Answer {
    let Ended { success } = body(&text)?;
    let step = account.billing().authenticate_checkout(&id, success)?;
    Ok(Json(json!({ "step": step })))
}

async fn settle_checkout(Chosen(account): Chosen, Path(id): Path<String>, text: String) -> Answer {
    let Ended { success } = body(&text)?;
    account.billing().settle_checkout(&id, success)?;
    Ok(done())
}

async fn expire_checkout(Chosen(account): Chosen, Path(id): Path<String>) -> Answer {
    account.billing().expire_checkout(&id)?;
    Ok(done())
}

async fn create_subscription(Chosen(account): Chosen, text: String) -> Answer {
    let new: NewSubscription = required(&text)?;
    Ok(made(&account.billing().create_subscription(&new)?))
}

async fn cancel_subscription(Chosen(account): Chosen, Path(id): Path<String>) -> Answer {
    account.billing().cancel_subscription(&id)?;
    Ok(done())
}

async fn authenticate_invoice(
    Chosen(account): Chosen,
    Path(id): Path<String>,
    text: String,
) -> Answer {
    let Ended { success } = body(&text)?;
    account.billing().authenticate_invoice(&id, success)?;
    Ok(done())
}

async fn settle_invoice(Chosen(account): Chosen, Path(id): Path<String>, text: String) -> Answer {
    let Ended { success } = body(&text)?;
    account.billing().settle_invoice(&id, success)?;
    Ok(done())
}

async fn save_portal_settings(Chosen(account): Chosen) -> Answer {
    Ok(made(&account.billing().save_portal_settings()))
}
