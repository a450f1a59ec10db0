//! Controls of connected accounts and their money; [`crate::connect`] lists them with their bodies.

use std::sync::Arc;

use axum::extract::Path;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::objects::{Answer, body, done};
use super::{Chosen, Refusal};
use crate::change::{AccountHandle, ControlError};
use crate::connect::{ConnectSwitches, ConnectTruth, RequirementError};
use crate::simulator::Simulator;

pub(super) fn router() -> Router<Arc<Simulator>> {
    Router::new()
        .route("/", get(truth))
        .route("/switches", get(switches).post(switch))
        .route("/fund", post(fund))
        .route("/release", post(release))
        .route("/accounts/{id}/authorize", post(authorize))
        .route("/accounts/{id}/deauthorize", post(deauthorize))
        .route("/accounts/{id}/submit", post(submit))
        .route("/accounts/{id}/verify", post(verify))
        .route("/accounts/{id}/require", post(require))
        .route("/accounts/{id}/pass_deadline", post(pass_deadline))
        .route("/accounts/{id}/disable", post(disable))
        .route("/accounts/{id}/capabilities/{name}", post(set_capability))
        .route("/accounts/{id}/payouts", post(set_payouts))
        .route("/accounts/{id}/transfers", post(set_transfers))
        .route("/accounts/{id}/reject", post(reject))
        .route("/payouts/{id}/advance", post(advance_payout))
        .route("/payouts/run_schedule", post(run_payout_schedule))
}

/// A body that must be there.
pub(super) fn required<T: DeserializeOwned>(text: &str) -> Result<T, Refusal> {
    serde_json::from_str(text)
        .map_err(|error| ControlError::Refused(format!("the body is not right: {error}")).into())
}

async fn truth(Chosen(platform): Chosen) -> Json<ConnectTruth> {
    Json(platform.connect().truth())
}

async fn switches(Chosen(platform): Chosen) -> Json<ConnectSwitches> {
    Json(platform.connect().switches())
}

async fn switch(Chosen(platform): Chosen, text: String) -> Result<Json<ConnectSwitches>, Refusal> {
    let change: Map<String, Value> = required(&text)?;
    let connect = platform.connect();
    let mut merged = json!(connect.switches());
    if let Value::Object(fields) = &mut merged {
        fields.extend(change);
    }
    let switches: ConnectSwitches = required(&merged.to_string())?;
    connect.switch(|current| *current = switches.clone());
    Ok(Json(switches))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fund {
    amount: i64,
    currency: String,
    #[serde(default)]
    pending: bool,
    account: Option<String>,
}

async fn fund(Chosen(platform): Chosen, text: String) -> Answer {
    let new: Fund = required(&text)?;
    let account = new.account.as_deref();
    let connect = platform.connect();
    connect.fund(account, new.amount, &new.currency, new.pending)?;
    Ok(done())
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Release {
    account: Option<String>,
    charge: Option<String>,
}

async fn release(Chosen(platform): Chosen, text: String) -> Answer {
    let Release { account, charge } = body(&text)?;
    match charge {
        Some(charge) => platform.connect().release_charge(&charge),
        None => platform.connect().release(account.as_deref())?,
    }
    Ok(done())
}

async fn authorize(Chosen(platform): Chosen, Path(id): Path<String>) -> Answer {
    let account = AccountHandle::find(platform.simulator(), &id);
    let account = account.ok_or(ControlError::NoSuchAccount(id))?;
    platform.connect().authorize(&account)?;
    Ok(done())
}

async fn deauthorize(Chosen(platform): Chosen, Path(id): Path<String>) -> Answer {
    platform.connect().deauthorize(&id)?;
    Ok(done())
}

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Submit {
    complete: bool,
}

impl Default for Submit {
    fn default() -> Self {
        Self { complete: true }
    }
}

async fn submit(Chosen(platform): Chosen, Path(id): Path<String>, text: String) -> Answer {
    let Submit { complete } = body(&text)?;
    platform.connect().submit(&id, complete)?;
    Ok(done())
}

async fn verify(Chosen(platform): Chosen, Path(id): Path<String>) -> Answer {
    platform.connect().verify(&id)?;
    Ok(done())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Require {
    fields: Vec<String>,
    deadline: Option<i64>,
    #[serde(default)]
    errors: Vec<RequirementError>,
}

async fn require(Chosen(platform): Chosen, Path(id): Path<String>, text: String) -> Answer {
    let new: Require = required(&text)?;
    let fields: Vec<&str> = new.fields.iter().map(String::as_str).collect();
    let connect = platform.connect();
    connect.require(&id, &fields, new.deadline, new.errors)?;
    Ok(done())
}

async fn pass_deadline(Chosen(platform): Chosen, Path(id): Path<String>) -> Answer {
    platform.connect().pass_deadline(&id)?;
    Ok(done())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Disable {
    reason: Option<String>,
}

async fn disable(Chosen(platform): Chosen, Path(id): Path<String>, text: String) -> Answer {
    let Disable { reason } = required(&text)?;
    platform.connect().disable(&id, reason.as_deref())?;
    Ok(done())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SetCapability {
    status: Option<String>,
}

async fn set_capability(
    Chosen(platform): Chosen,
    Path((id, name)): Path<(String, String)>,
    text: String,
) -> Answer {
    let SetCapability { status } = required(&text)?;
    let connect = platform.connect();
    connect.set_capability(&id, &name, status.as_deref())?;
    Ok(done())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SetPayouts {
    enabled: bool,
    #[serde(default)]
    event: bool,
}

async fn set_payouts(Chosen(platform): Chosen, Path(id): Path<String>, text: String) -> Answer {
    let SetPayouts { enabled, event } = required(&text)?;
    platform.connect().set_payouts(&id, enabled, event)?;
    Ok(done())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SetTransfers {
    allowed: bool,
}

async fn set_transfers(Chosen(platform): Chosen, Path(id): Path<String>, text: String) -> Answer {
    let SetTransfers { allowed } = required(&text)?;
    platform.connect().set_transfers(&id, allowed)?;
    Ok(done())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Reject {
    reason: String,
}

async fn reject(Chosen(platform): Chosen, Path(id): Path<String>, text: String) -> Answer {
    let Reject { reason } = required(&text)?;
    platform.connect().reject(&id, &reason)?;
    Ok(done())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Advance {
    to: String,
    failure_code: Option<String>,
}

async fn advance_payout(Chosen(platform): Chosen, Path(id): Path<String>, text: String) -> Answer {
    let Advance { to, failure_code } = required(&text)?;
    let connect = platform.connect();
    connect.advance_payout(&id, &to, failure_code.as_deref())?;
    Ok(done())
}

async fn run_payout_schedule(Chosen(platform): Chosen) -> Answer {
    Ok(Json(
        json!({ "ids": platform.connect().run_payout_schedule() }),
    ))
}
