//! The middleware around every request: its id, the problem document or page of a failure, one log line for it, and the
//! metrics.
//!
//! A handler that panics answers 500 as any other failure of our own. The id is made here and never
//! taken from the caller, so that two requests cannot share one.
//!
//! Metrics and the log name a method, a route and a status out of closed sets: whatever a client makes up is `other`
//! or `unmatched`, so that nobody can make the metrics grow. What does not say how it may be cached is not to be stored.

use std::panic::AssertUnwindSafe;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use common::clock::new_id;
use common::error_chain::ErrorChain;
use futures::FutureExt as _;
use tokio::time::Instant;
use tracing::{Instrument as _, debug, error, info_span};

use crate::input::{MAX_BODY_BYTES, check_content_length};
use crate::pages::problem::{self, Shown};
use crate::problem::{ApiError, AttachedError};
use crate::security_headers;
use crate::state::ApiState;
use crate::webhooks;

/// The header that names the request.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

pub(crate) async fn log_request(
    State(state): State<ApiState>,
    request: Request,
    next: Next,
) -> Response {
    let started = Instant::now();
    let request_id = new_id(state.clock.now()).to_string();
    let method = method_label(request.method());
    // The pattern, not the path: paths hold ids without end.
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or_else(|| "unmatched".to_owned(), |path| path.as_str().to_owned());
    let span = info_span!("http.request", request_id, method, route);
    let max_bytes = if request.uri().path().starts_with("/webhooks/") {
        webhooks::MAX_BODY_BYTES
    } else {
        MAX_BODY_BYTES
    };
    let shown = Shown::of(&request);
    let announced = check_content_length(request.body(), max_bytes);
    let handled = async {
        match announced {
            Ok(()) => next.run(request).await,
            Err(refused) => refused.into_response(),
        }
    };
    let handled = AssertUnwindSafe(handled)
        .catch_unwind()
        .instrument(span.clone())
        .await;
    let mut response =
        handled.unwrap_or_else(|_| ApiError::internal("the handler panicked").into_response());
    span.in_scope(|| response = render_problem(&request_id, shown, std::mem::take(&mut response)));
    if let Ok(value) = HeaderValue::from_str(&request_id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    let headers = response.headers_mut();
    headers.entry(header::CACHE_CONTROL).or_insert(NO_STORE);
    security_headers::add(headers);
    let status = response.status().as_u16().to_string();
    let labels = [
        ("method", method.to_owned()),
        ("route", route),
        ("status", status),
    ];
    metrics::counter!("api_requests_total", &labels).increment(1);
    metrics::histogram!("api_request_seconds", &labels).record(started.elapsed().as_secs_f64());
    response
}

/// The method out of a closed set. HTTP allows any word, and each would be kept as a metric of its own.
fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

/// Writes the document or the page of a failed request and logs why it failed.
fn render_problem(request_id: &str, shown: Option<Shown>, response: Response) -> Response {
    let status = response.status();
    let carried = response.extensions().get::<AttachedError>().cloned();
    let error = match carried {
        Some(AttachedError(error)) => error,
        None if status == StatusCode::METHOD_NOT_ALLOWED => ApiError::MethodNotAllowed.into(),
        None => {
            debug!(status = status.as_u16(), "answered");
            return response;
        }
    };
    if status.is_server_error() {
        error!(status = status.as_u16(), code = error.code(), error = %ErrorChain(&*error), "failed");
    } else {
        debug!(status = status.as_u16(), code = error.code(), error = %ErrorChain(&*error), "refused");
    }
    let mut rendered = match shown {
        Some(shown) => problem::render(&error, request_id, shown),
        None => error.render(request_id),
    };
    for (name, value) in response.headers() {
        if name == axum::http::header::ALLOW {
            rendered.headers_mut().insert(name, value.clone());
        }
    }
    rendered
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_methods_share_one_metric_label() {
        for method in ["BREW", "GETX", "get", "TRACE", "CONNECT"] {
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            assert_eq!(method_label(&method), "other", "{method}");
        }
        assert_eq!(method_label(&Method::PATCH), "PATCH");
    }
}
