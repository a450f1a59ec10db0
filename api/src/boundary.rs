//! Where a request enters and its answer leaves: the request's id, the problem document, the one log
//! line a failure gets, and the metrics.
//!
//! A handler that panics answers 500 as any other failure of our own. The id is made here and never
//! taken from the caller, so that two requests cannot share one.

use std::panic::AssertUnwindSafe;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use common::cause::Chain;
use common::clock::new_id;
use futures::FutureExt as _;
use tokio::time::Instant;
use tracing::{Instrument as _, debug, error, info_span};

use crate::problem::{ApiError, Carried};
use crate::state::ApiState;

/// The header that names the request.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The middleware around everything.
pub(crate) async fn boundary(
    State(state): State<ApiState>,
    request: Request,
    next: Next,
) -> Response {
    let started = Instant::now();
    let request_id = new_id(state.clock.now()).to_string();
    let method = request.method().clone();
    // The pattern, not the path: paths hold ids without end.
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or_else(|| "unmatched".to_owned(), |path| path.as_str().to_owned());
    let span = info_span!("http.request", request_id, %method, route);
    let handled = AssertUnwindSafe(next.run(request))
        .catch_unwind()
        .instrument(span.clone())
        .await;
    let mut response = handled.unwrap_or_else(|_| {
        axum::response::IntoResponse::into_response(ApiError::internal("the handler panicked"))
    });
    span.in_scope(|| response = told(&request_id, std::mem::take(&mut response)));
    if let Ok(value) = HeaderValue::from_str(&request_id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    let status = response.status().as_u16().to_string();
    let labels = [
        ("method", method.to_string()),
        ("route", route),
        ("status", status),
    ];
    metrics::counter!("api_requests_total", &labels).increment(1);
    metrics::histogram!("api_request_seconds", &labels).record(started.elapsed().as_secs_f64());
    response
}

/// Writes the document of a failed request and logs why it failed.
fn told(request_id: &str, response: Response) -> Response {
    let status = response.status();
    let carried = response.extensions().get::<Carried>().cloned();
    let error = match carried {
        Some(Carried(error)) => error,
        None if status == StatusCode::METHOD_NOT_ALLOWED => ApiError::MethodNotAllowed.into(),
        None => {
            debug!(status = status.as_u16(), "answered");
            return response;
        }
    };
    if status.is_server_error() {
        error!(status = status.as_u16(), code = error.code(), error = %Chain(&*error), "failed");
    } else {
        debug!(status = status.as_u16(), code = error.code(), error = %Chain(&*error), "refused");
    }
    let mut rendered = error.render(request_id);
    for (name, value) in response.headers() {
        if name == axum::http::header::ALLOW {
            rendered.headers_mut().insert(name, value.clone());
        }
    }
    rendered
}
