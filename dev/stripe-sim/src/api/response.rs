//! Turns what a request ended as into an HTTP response with Stripe's headers.
//!
//! An answer that breaks off (`truncated`) is that of a request that was executed. Nothing here can fail.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode};
use bytes::Bytes;

use crate::account::Account;
use crate::error::StripeError;
use crate::simulator::Simulator;
use crate::version::ApiVersion;

/// What went out, before it is an HTTP response.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) status: u16,
    pub(super) body: String,
    pub(super) retry_after: Option<u32>,
    pub(super) truncated: bool,
    pub(super) html: bool,
    /// Whether it was given before, under the same idempotency key.
    pub(super) replayed: bool,
}

impl Default for Outcome {
    fn default() -> Self {
        Self {
            status: 200,
            body: String::new(),
            retry_after: None,
            truncated: false,
            html: false,
            replayed: false,
        }
    }
}

/// A refusal and its `Retry-After`.
pub(super) struct Refusal(pub(super) StripeError, pub(super) Option<u32>);

impl From<StripeError> for Refusal {
    fn from(error: StripeError) -> Self {
        Self(error, None)
    }
}

pub(super) fn response<E: Into<Refusal>>(
    simulator: &Simulator,
    account: Option<&Arc<Account>>,
    result: Result<Outcome, E>,
) -> Response<Body> {
    let mut limited = None;
    let outcome = result
        .map_err(Into::into)
        .unwrap_or_else(|Refusal(error, retry_after)| {
            limited = error.limited;
            Outcome {
                status: error.status,
                body: error.body(),
                retry_after,
                ..Outcome::default()
            }
        });
    let kind = if outcome.html {
        "text/html"
    } else {
        "application/json"
    };
    let length = outcome.body.len();
    let body = if outcome.truncated {
        let half = Bytes::copy_from_slice(&outcome.body.as_bytes()[..length / 2]);
        Body::from_stream(futures::stream::iter([
            Ok(half),
            Err(std::io::Error::from(std::io::ErrorKind::ConnectionReset)),
        ]))
    } else {
        Body::from(outcome.body)
    };
    let mut response = Response::new(body);
    let status = StatusCode::from_u16(outcome.status);
    *response.status_mut() = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert("content-type", HeaderValue::from_static(kind));
    headers.insert(
        "stripe-version",
        HeaderValue::from_static(account.map_or(ApiVersion::Dahlia, |it| it.version).name()),
    );
    if outcome.truncated {
        headers.insert("content-length", HeaderValue::from(length));
    }
    if outcome.replayed {
        headers.insert("idempotent-replayed", HeaderValue::from_static("true"));
    }
    if let Some(seconds) = outcome.retry_after {
        headers.insert("retry-after", HeaderValue::from(seconds));
    }
    if let Some(reason) = limited {
        headers.insert(
            "stripe-rate-limited-reason",
            HeaderValue::from_static(reason),
        );
    }
    let now = chrono::DateTime::from_timestamp(simulator.clock.now(), 0).unwrap_or_default();
    let date = now.format("%a, %d %b %Y %H:%M:%S GMT").to_string();
    if let Ok(date) = HeaderValue::from_str(&date) {
        headers.insert("date", date);
    }
    let number = crate::draw::mix(simulator.next_request());
    let id = format!("req_{:014}", number % 100_000_000_000_000);
    if let Ok(id) = HeaderValue::from_str(&id) {
        headers.insert("request-id", id);
    }
    response
}
