//! Controls of webhook endpoints: where events go, what became of them, what goes wrong with them.

use axum::Json;
use axum::extract::Path;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Chosen;
use super::objects::{Answer, body, done};
use crate::change::{AccountHandle, ControlError};
use crate::webhook::{DeliveryState, EndpointHandle, WebhookEndpoint, WebhookFaultRule};

fn find(account: &AccountHandle, id: &str) -> Result<EndpointHandle, ControlError> {
    account
        .webhook_endpoint(id)
        .ok_or_else(|| ControlError::NoSuchObject {
            kind: "webhook_endpoint",
            id: id.to_owned(),
        })
}

fn shown(endpoint: &EndpointHandle) -> Value {
    json!({
        "id": endpoint.id(),
        "url": endpoint.url(),
        "secret": endpoint.secret(),
        "enabled": endpoint.is_enabled(),
    })
}

/// `POST /_sim/webhook_endpoints {"url": "http://…", "enabled_events": ["charge.*"], "connect":
/// true}`: a [`WebhookEndpoint`]; answers with its id and secret.
pub(super) async fn add(Chosen(account): Chosen, text: String) -> Answer {
    let endpoint = account.add_webhook_endpoint(body::<WebhookEndpoint>(&text)?)?;
    Ok(Json(shown(&endpoint)))
}

/// `GET /_sim/webhook_endpoints`: those that get the account's events.
pub(super) async fn list(Chosen(account): Chosen) -> Json<Value> {
    let all: Vec<Value> = account.webhook_endpoints().iter().map(shown).collect();
    Json(json!({ "webhook_endpoints": all }))
}

/// `GET /_sim/webhook_endpoints/{id}`: with what became of each event.
pub(super) async fn report(Chosen(account): Chosen, Path(id): Path<String>) -> Answer {
    let endpoint = find(&account, &id)?;
    let mut shown = shown(&endpoint);
    let deliveries = endpoint.deliveries();
    for (name, state) in [
        ("pending", DeliveryState::Pending),
        ("acknowledged", DeliveryState::Acknowledged),
        ("dropped", DeliveryState::Dropped),
        ("given_up", DeliveryState::GivenUp),
        ("stopped", DeliveryState::Stopped),
    ] {
        let those = deliveries.iter().filter(|it| it.state == state);
        shown[name] = those.count().into();
    }
    shown["deliveries"] = json!(deliveries);
    Ok(Json(shown))
}

/// `DELETE /_sim/webhook_endpoints/{id}`.
pub(super) async fn remove(Chosen(account): Chosen, Path(id): Path<String>) -> Answer {
    find(&account, &id)?.remove();
    Ok(done())
}

/// `POST /_sim/webhook_endpoints/{id}/disable`.
pub(super) async fn disable(Chosen(account): Chosen, Path(id): Path<String>) -> Answer {
    find(&account, &id)?.disable();
    Ok(done())
}

/// `POST /_sim/webhook_endpoints/{id}/enable`.
pub(super) async fn enable(Chosen(account): Chosen, Path(id): Path<String>) -> Answer {
    find(&account, &id)?.enable();
    Ok(done())
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Roll {
    keep_old_seconds: u32,
}

/// `POST /_sim/webhook_endpoints/{id}/roll {"keep_old_seconds": 86400}`: answers with the new
/// secret.
pub(super) async fn roll(Chosen(account): Chosen, Path(id): Path<String>, text: String) -> Answer {
    let Roll { keep_old_seconds } = body(&text)?;
    let secret = find(&account, &id)?.roll_secret(keep_old_seconds);
    Ok(Json(json!({ "secret": secret })))
}

/// `POST /_sim/webhook_endpoints/{id}/faults`: a [`WebhookFaultRule`], such as `{"fault":
/// "duplicate", "percent": 10}` or `{"fault": {"delay": {"seconds": 3600}}, "times": 1}`.
pub(super) async fn add_fault(
    Chosen(account): Chosen,
    Path(id): Path<String>,
    text: String,
) -> Answer {
    let rule: WebhookFaultRule = serde_json::from_str(&text)
        .map_err(|error| ControlError::Refused(format!("the body is not right: {error}")))?;
    find(&account, &id)?.add_fault(rule);
    Ok(done())
}

/// `DELETE /_sim/webhook_endpoints/{id}/faults`.
pub(super) async fn clear_faults(Chosen(account): Chosen, Path(id): Path<String>) -> Answer {
    find(&account, &id)?.clear_faults();
    Ok(done())
}

/// `POST /_sim/webhook_endpoints/{id}/send {"id": "evt_00000000000000", …}`: sends the body, signed,
/// once; answers with the receiver's status.
pub(super) async fn send(Chosen(account): Chosen, Path(id): Path<String>, text: String) -> Answer {
    let sent = find(&account, &id)?.send_raw(text, &[]).await;
    let status = sent.map_err(|error| ControlError::Refused(error.to_string()))?;
    Ok(Json(json!({ "status": status })))
}
