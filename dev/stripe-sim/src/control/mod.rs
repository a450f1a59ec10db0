//! The control endpoints under `/_sim`: JSON in and out, without keys.
//!
//! `?account=acct_…` chooses the account, the first when absent; `?quiet=true` leaves no events.
//! A change that cannot be made is a 400, an object that is not there a 404, both with
//! `{"error": "…"}`. Deliberately absent: any protection; a simulator is not for a public network.

mod billing;
mod connect;
mod objects;
mod purchases;
mod simulation;
mod webhooks;

use std::sync::Arc;

use axum::extract::{FromRequestParts, Query};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::json;

use crate::change::{AccountHandle, ControlError};
use crate::simulator::Simulator;

pub(crate) fn router(simulator: Arc<Simulator>) -> Router {
    let routes = Router::new()
        .route("/", get(simulation::overview))
        .route("/truth", get(simulation::truth))
        .route("/truth/rows", get(simulation::truth_rows))
        .route("/examples", get(simulation::examples))
        .route(
            "/requests",
            get(simulation::requests).delete(simulation::forget_requests),
        )
        .route(
            "/faults",
            post(simulation::add_fault).delete(simulation::clear_faults),
        )
        .route(
            "/config",
            get(simulation::config).post(simulation::configure),
        )
        .route("/keys", post(simulation::set_key))
        .route("/clock", get(simulation::clock).post(simulation::advance))
        .route("/churn", post(simulation::churn))
        .route("/events", post(simulation::inject_event))
        .route("/charges", post(objects::create_charge))
        .route("/charges/random", get(objects::random_charge))
        .route("/charges/{id}", delete(objects::unlist_charge))
        .route("/charges/{id}/refund", post(objects::refund))
        .route("/charges/{id}/capture", post(objects::capture))
        .route("/charges/{id}/expire", post(objects::expire))
        .route("/charges/{id}/succeed", post(objects::succeed))
        .route("/charges/{id}/fail", post(objects::fail))
        .route("/charges/{id}/dispute", post(objects::dispute))
        .route("/charges/{id}/dispute/close", post(objects::close_dispute))
        .route("/charges/{id}/metadata", post(objects::charge_metadata))
        .route("/refunds/{id}/fail", post(objects::fail_refund))
        .route("/refunds/{id}/settle", post(objects::settle_refund))
        .route("/customers", post(objects::create_customer))
        .route("/customers/{id}", delete(objects::delete_customer))
        .route("/customers/{id}/metadata", post(objects::customer_metadata))
        .route("/charges/{id}/invoice", post(purchases::attach_invoice))
        .route("/invoices", post(purchases::create_invoice))
        .route("/invoices/{id}/pay", post(purchases::pay_invoice))
        .route("/products", post(purchases::create_product))
        .route("/products/{id}/prices", post(purchases::create_price))
        .route(
            "/patches/{id}",
            post(purchases::patch_answers).delete(purchases::forget_patch),
        )
        .route("/patches/{id}/raw", post(purchases::patch_answers_raw))
        .route("/products/{id}", delete(objects::delete_product))
        .route("/products/{id}/metadata", post(objects::product_metadata))
        .route("/prices/{id}/metadata", post(objects::price_metadata))
        .route("/invoices/{id}/metadata", post(objects::invoice_metadata))
        .route("/sessions/{id}/metadata", post(objects::session_metadata))
        .route(
            "/payment_intents/{id}/metadata",
            post(objects::payment_intent_metadata),
        );
    let routes = Router::new()
        .nest("/_sim", routes)
        .nest("/_sim/webhook_endpoints", webhook_endpoints())
        .nest("/_sim/connect", connect::router())
        .nest("/_sim/billing", billing::router());
    routes.with_state(simulator)
}

fn webhook_endpoints() -> Router<Arc<Simulator>> {
    Router::new()
        .route("/", get(webhooks::list).post(webhooks::add))
        .route("/{id}", get(webhooks::report).delete(webhooks::remove))
        .route("/{id}/disable", post(webhooks::disable))
        .route("/{id}/enable", post(webhooks::enable))
        .route("/{id}/roll", post(webhooks::roll))
        .route(
            "/{id}/faults",
            post(webhooks::add_fault).delete(webhooks::clear_faults),
        )
        .route("/{id}/send", post(webhooks::send))
}

/// The account that a control is about.
pub(super) struct Chosen(pub(super) AccountHandle);

#[derive(Deserialize)]
struct Choice {
    account: Option<String>,
    #[serde(default)]
    quiet: bool,
}

impl FromRequestParts<Arc<Simulator>> for Chosen {
    type Rejection = Refusal;

    async fn from_request_parts(
        parts: &mut Parts,
        simulator: &Arc<Simulator>,
    ) -> Result<Self, Self::Rejection> {
        let Query(choice) = Query::<Choice>::try_from_uri(&parts.uri)
            .map_err(|error| ControlError::Refused(error.to_string()))?;
        let account = match choice.account {
            None => AccountHandle::new(Arc::clone(simulator), 0),
            Some(id) => {
                AccountHandle::find(simulator, &id).ok_or(ControlError::NoSuchAccount(id))?
            }
        };
        Ok(Self(if choice.quiet {
            account.quietly()
        } else {
            account
        }))
    }
}

pub(super) struct Refusal(ControlError);

impl From<ControlError> for Refusal {
    fn from(error: ControlError) -> Self {
        Self(error)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = match &self.0 {
            ControlError::NoSuchObject { .. } | ControlError::NoSuchAccount(_) => {
                StatusCode::NOT_FOUND
            }
            ControlError::Refused(_) | ControlError::Truth(_) => StatusCode::BAD_REQUEST,
        };
        (status, Json(json!({ "error": self.0.to_string() }))).into_response()
    }
}
