//! One request to the internal handler: the unchanged body of the event, with the shared secret and a signature.
//!
//! Redirects are not followed: where they lead, the secret would be sent too. Of the answer only the status matters; its
//! body is read as far as that keeps the connection open for the next request. What is said of a failure is shown to
//! tenants, so it tells nothing of the handler's address or its answer's body.

use chrono::{DateTime, Utc};
use common::webhook::forward::DeliveryFailure;
use common::webhook::queries::forward::{ClaimedForward, ForwardedEvent};
use reqwest::StatusCode;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use secrecy::ExposeSecret as _;

use super::Forwarding;

/// Bytes of an answer that are read at most.
const MAX_ANSWER_BYTES: usize = 64 << 10;

const SECRET: HeaderName = HeaderName::from_static("x-webhook-secret");
const EVENT_ID: HeaderName = HeaderName::from_static("x-event-id");
const ORGANIZATION_ID: HeaderName = HeaderName::from_static("x-organization-id");
const ID: HeaderName = HeaderName::from_static("webhook-id");
const TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");

/// Sends an event, and waits for the answer as long as the handler may take.
pub(super) async fn send(
    forwarding: &Forwarding,
    claimed: &ClaimedForward,
    event: &ForwardedEvent,
    now: DateTime<Utc>,
) -> Result<(), DeliveryFailure> {
    let headers = headers(forwarding, claimed, event, now).ok_or_else(|| {
        DeliveryFailure::Refused("The event's id cannot be the value of a header.".to_owned())
    })?;
    let request = forwarding
        .http
        .post(forwarding.target.url.clone())
        .timeout(forwarding.timeout)
        .headers(headers)
        .body(event.payload.clone());
    let mut response = match request.send().await {
        Ok(response) => response,
        Err(cause) => return Err(DeliveryFailure::Away(no_answer(&cause, forwarding))),
    };
    let answered = judge(response.status());
    let mut read = 0;
    // Whatever is wrong with the rest of it, the status is known.
    while let Ok(Some(chunk)) = response.chunk().await {
        read += chunk.len();
        if read > MAX_ANSWER_BYTES {
            break;
        }
    }
    answered
}

fn headers(
    forwarding: &Forwarding,
    claimed: &ClaimedForward,
    event: &ForwardedEvent,
    now: DateTime<Utc>,
) -> Option<HeaderMap> {
    let secret = &forwarding.target.secret;
    let (id, timestamp) = (&event.external_event_id, now.timestamp());
    let mut shared = HeaderValue::from_str(secret.text().expose_secret()).ok()?;
    shared.set_sensitive(true);
    let event_id = HeaderValue::from_bytes(id.as_bytes()).ok()?;
    let signature = HeaderValue::from_str(&secret.sign(id, timestamp, &event.payload)).ok()?;
    let mut headers: HeaderMap = [
        (CONTENT_TYPE, HeaderValue::from_static("application/json")),
        (SECRET, shared),
        (EVENT_ID, event_id.clone()),
        (ID, event_id),
        (TIMESTAMP, HeaderValue::from(timestamp)),
        (SIGNATURE, signature),
    ]
    .into_iter()
    .collect();
    let organization = claimed.organization_id.as_str();
    // One of the engine's own, such as `_platform`, does not tell whose event it is.
    if !organization.starts_with('_') {
        let organization = HeaderValue::from_str(organization).ok()?;
        headers.insert(ORGANIZATION_ID, organization);
    }
    Some(headers)
}

/// What an answer of this status means.
fn judge(status: StatusCode) -> Result<(), DeliveryFailure> {
    let code = status.as_u16();
    match code {
        200..=299 => Ok(()),
        300..=399 => Err(DeliveryFailure::Refused(format!(
            "The handler answered {code}; redirects are not followed."
        ))),
        408 | 429 | 500..=599 => Err(DeliveryFailure::Away(format!(
            "The handler answered {code}."
        ))),
        _ => Err(DeliveryFailure::Refused(format!(
            "The handler answered {code}."
        ))),
    }
}

fn no_answer(cause: &reqwest::Error, forwarding: &Forwarding) -> String {
    if cause.is_timeout() {
        let seconds = forwarding.timeout.as_secs_f64();
        format!("The handler did not answer within {seconds} s.")
    } else if cause.is_connect() {
        "The handler could not be reached.".to_owned()
    } else {
        "The connection to the handler broke off before it answered.".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_a_delivery_an_attempt_or_a_sign_of_absence() {
        for (codes, expected) in [
            (&[200, 202, 204][..], "delivered"),
            (
                &[
                    301, 302, 304, 307, 308, 400, 401, 403, 404, 409, 410, 413, 422, 600,
                ],
                "refused",
            ),
            (&[408, 429, 500, 502, 503, 504, 520], "away"),
        ] {
            for code in codes {
                let judged = match judge(StatusCode::from_u16(*code).unwrap()) {
                    Ok(()) => "delivered",
                    Err(DeliveryFailure::Refused(_)) => "refused",
                    Err(DeliveryFailure::Away(_)) => "away",
                };
                assert_eq!(judged, expected, "{code}");
            }
        }
    }
}
