//! Refuses changes that another site asks for in a person's browser (`same_origin`).
//!
//! Deliberately absent: GET and HEAD. They change nothing, but for a sign-in link, which is itself the secret.

use axum::extract::{Request, State};
use axum::http::{Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use super::return_path::ReturnPath;
use super::sign_in::SignIn;
use crate::problem::ApiError;
use crate::same_origin::is_same_origin;
use crate::security_headers::PAGE_REFERRER_POLICY;
use crate::state::ApiState;

const REFUSED: &str = "Nothing was changed: the request did not come from a page of this server. Open the page here and try again.";

/// The layer around all pages.
pub(super) async fn refuse_other_sites(
    State(state): State<ApiState>,
    request: Request,
    next: Next,
) -> Response {
    if !state.health.is_ready() {
        return ApiError::Unavailable(None).into_response();
    }
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    let mut response =
        if reads || is_same_origin(request.headers(), request.uri(), &state.public_url) {
            next.run(request).await
        } else {
            let page = SignIn::refused(&ReturnPath::start(), REFUSED);
            (StatusCode::FORBIDDEN, page).into_response()
        };
    // Redirects, too.
    let headers = response.headers_mut();
    headers
        .entry(header::REFERRER_POLICY)
        .or_insert(PAGE_REFERRER_POLICY);
    response
}
