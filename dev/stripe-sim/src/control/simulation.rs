//! Controls of the simulation itself: truth, counters, faults, settings, keys, time, churn.

use std::sync::Arc;

use axum::Json;
use axum::extract::{RawQuery, State};
use chrono::DateTime;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Chosen, Refusal};
use crate::account::lock;
use crate::change::{AccountHandle, ChurnReport, ControlError};
use crate::fault::FaultRule;
use crate::key::KeyState;
use crate::parameters::Parameters;
use crate::requests::{Counters, RequestReport};
use crate::settings::Settings;
use crate::simulator::Simulator;
use crate::truth::{Truth, TruthQuery, TruthRow};

const SHOWN: usize = 100;

fn refused(reason: impl std::fmt::Display) -> Refusal {
    ControlError::Refused(reason.to_string()).into()
}

/// `GET /_sim/`: the accounts with their keys, and the time.
pub(super) async fn overview(State(simulator): State<Arc<Simulator>>) -> Json<Value> {
    let count = simulator.accounts.len();
    let accounts: Vec<Value> = (0..count.min(SHOWN))
        .map(|index| {
            let account = AccountHandle::new(Arc::clone(&simulator), index);
            json!({
                "id": account.id(),
                "key": account.key(),
                "charges": account.generated_charges(),
                "livemode": account.livemode(),
            })
        })
        .collect();
    let now = simulator.clock.now();
    Json(json!({ "accounts": accounts, "accounts_total": count, "now": now }))
}

/// `GET /_sim/truth?from=…&to=…&timezone=…&metadata=charge.tier&metadata=product`: instants as
/// Unix seconds or RFC 3339.
pub(super) async fn truth(
    Chosen(account): Chosen,
    RawQuery(query): RawQuery,
) -> Result<Json<Truth>, Refusal> {
    let query = truth_query(query.as_deref())?;
    let result = tokio::task::spawn_blocking(move || account.truth(&query)).await;
    let truth = result.map_err(refused)?.map_err(ControlError::from)?;
    Ok(Json(truth))
}

/// `GET /_sim/truth/rows?from=…&to=…&timezone=…`: a [`TruthRow`] for each row that must be stored.
pub(super) async fn truth_rows(
    Chosen(account): Chosen,
    RawQuery(query): RawQuery,
) -> Result<Json<Vec<TruthRow>>, Refusal> {
    let query = truth_query(query.as_deref())?;
    let result = tokio::task::spawn_blocking(move || account.truth_rows(&query)).await;
    let rows = result.map_err(refused)?.map_err(ControlError::from)?;
    Ok(Json(rows))
}

fn truth_query(query: Option<&str>) -> Result<TruthQuery, Refusal> {
    let mut parameters = Parameters::parse(query.unwrap_or_default());
    let mut instant = |name: &str| {
        parameters
            .take(name)
            .map(|it| parse_instant(&it))
            .transpose()
    };
    let (from, to, purchases_from) = (instant("from")?, instant("to")?, instant("lines_from")?);
    Ok(TruthQuery {
        from,
        to,
        purchases_from,
        timezone: parameters.take("timezone"),
        metadata: parameters.take_each("metadata"),
    })
}

fn parse_instant(text: &str) -> Result<i64, Refusal> {
    if let Ok(seconds) = text.parse() {
        return Ok(seconds);
    }
    DateTime::parse_from_rfc3339(text)
        .map(|instant| instant.timestamp())
        .map_err(|error| refused(format!("'{text}' is no instant: {error}")))
}

/// `GET /_sim/examples`: some ids of every kind.
pub(super) async fn examples(Chosen(account): Chosen) -> Json<Value> {
    Json(json!(account.examples(3)))
}

/// `GET /_sim/requests`: what was asked for since the start or the last `DELETE`.
pub(super) async fn requests(State(simulator): State<Arc<Simulator>>) -> Json<RequestReport> {
    Json(lock(&simulator.counters).report())
}

/// `DELETE /_sim/requests`.
pub(super) async fn forget_requests(State(simulator): State<Arc<Simulator>>) -> Json<Value> {
    *lock(&simulator.counters) = Counters::default();
    Json(json!({ "ok": true }))
}

/// `POST /_sim/faults`: a [`FaultRule`], such as `{"endpoint": "GET /v1/charges", "fault": "reset"}`
/// or `{"fault": {"status": 503}, "times": 3}`.
pub(super) async fn add_fault(
    Chosen(account): Chosen,
    text: String,
) -> Result<Json<Value>, Refusal> {
    let rule: FaultRule = serde_json::from_str(&text).map_err(refused)?;
    account.add_fault(rule);
    Ok(Json(json!({ "ok": true })))
}

/// `DELETE /_sim/faults`.
pub(super) async fn clear_faults(Chosen(account): Chosen) -> Json<Value> {
    account.clear_faults();
    Json(json!({ "ok": true }))
}

/// `GET /_sim/config`.
pub(super) async fn config(Chosen(account): Chosen) -> Json<Settings> {
    Json(account.settings())
}

/// `POST /_sim/config`: the fields of [`Settings`] that are to change.
pub(super) async fn configure(
    Chosen(account): Chosen,
    text: String,
) -> Result<Json<Settings>, Refusal> {
    let change: serde_json::Map<String, Value> = serde_json::from_str(&text).map_err(refused)?;
    let mut merged = serde_json::to_value(account.settings()).map_err(refused)?;
    if let Value::Object(fields) = &mut merged {
        fields.extend(change);
    }
    let settings: Settings = serde_json::from_value(merged).map_err(refused)?;
    account.configure(|current| *current = settings.clone());
    Ok(Json(settings))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewKey {
    key: String,
    #[serde(default)]
    permissions: Option<Vec<String>>,
    #[serde(default)]
    state: KeyState,
}

/// `POST /_sim/keys {"key": "rk_test_x", "permissions": ["rak_charge_read"], "state": "active"}`.
pub(super) async fn set_key(Chosen(account): Chosen, text: String) -> Result<Json<Value>, Refusal> {
    let new: NewKey = serde_json::from_str(&text).map_err(refused)?;
    let permissions = new.permissions.as_ref();
    let names: Option<Vec<&str>> = permissions.map(|it| it.iter().map(String::as_str).collect());
    account.set_key(&new.key, names.as_deref(), new.state);
    Ok(Json(json!({ "ok": true })))
}

/// `GET /_sim/clock`.
pub(super) async fn clock(State(simulator): State<Arc<Simulator>>) -> Json<Value> {
    Json(json!({ "now": simulator.clock.now() }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Advance {
    advance_seconds: i64,
}

/// `POST /_sim/clock {"advance_seconds": 3600}`.
pub(super) async fn advance(
    State(simulator): State<Arc<Simulator>>,
    text: String,
) -> Result<Json<Value>, Refusal> {
    let Advance { advance_seconds } = serde_json::from_str(&text).map_err(refused)?;
    simulator.advance(advance_seconds);
    Ok(Json(json!({ "now": simulator.clock.now() })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Churn {
    operations: u64,
    #[serde(default)]
    seed: u64,
}

/// `POST /_sim/churn {"operations": 100, "seed": 1}`.
pub(super) async fn churn(
    Chosen(account): Chosen,
    text: String,
) -> Result<Json<ChurnReport>, Refusal> {
    let Churn { operations, seed } = serde_json::from_str(&text).map_err(refused)?;
    let churned = tokio::task::spawn_blocking(move || account.churn(operations, seed)).await;
    Ok(Json(churned.map_err(refused)?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewEvent {
    #[serde(rename = "type")]
    kind: String,
    object: Value,
    #[serde(default)]
    created: Option<i64>,
}

/// `POST /_sim/events {"type": "charge.invented", "object": {…}, "created": 1790000000}`.
pub(super) async fn inject_event(
    Chosen(account): Chosen,
    text: String,
) -> Result<Json<Value>, Refusal> {
    let new: NewEvent = serde_json::from_str(&text).map_err(refused)?;
    let id = account.inject_event(&new.kind, &new.object, new.created);
    Ok(Json(json!({ "id": id })))
}
