//! What the handler of a page begins with: the ways to all data, who looks at the page, and how values are written for them.
//!
//! Fails like [`Viewer`] where nobody is signed in. What needs no locale takes the others alone.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::response::Response;

use super::Viewer;
use super::format::LocaleFormat;
use crate::state::ApiState;

/// A request for a page, or of a form that it has.
pub(super) struct Visit(
    pub(super) ApiState,
    pub(super) Viewer,
    pub(super) LocaleFormat,
);

impl FromRequestParts<ApiState> for Visit {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, Response> {
        let viewer = Viewer::from_request_parts(parts, state).await?;
        let locale = LocaleFormat::of_reader(&parts.headers);
        Ok(Self(state.clone(), viewer, locale))
    }
}
