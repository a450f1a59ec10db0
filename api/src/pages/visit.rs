//! What the handler of a page begins with: who looks at it, how values are written for them, and the ways to all data.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::response::Response;

use super::Viewer;
use super::format::LocaleFormat;
use crate::state::ApiState;

/// A look at a page, or a form that is sent.
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
