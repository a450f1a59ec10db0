//! The pages: what a person sees at `/`, rendered here and updated in part by htmx.
//!
//! A page is a template in `api/templates` and a struct that names all of its values, so that a template that asks
//! for more does not compile. Pages read by the same use cases as the REST API, and say nothing that it does not. They
//! are no part of the OpenAPI document.
//!
//! Reading order: [`layout`] (what surrounds each page and how it is answered), [`assets`] (styles and scripts),
//! [`problem`] (errors as pages), [`format`] and [`chart`] (how figures are shown), then a page a file.
//!
//! Absent on purpose: anything from another host, scripts and styles inside of pages, state that only the browser has.

pub(crate) mod assets;
#[cfg_attr(not(test), expect(dead_code, reason = "for pages that need a session"))]
pub(crate) mod chart;
#[cfg_attr(not(test), expect(dead_code, reason = "for pages that need a session"))]
pub(crate) mod format;
pub(crate) mod layout;
pub(crate) mod problem;
pub(crate) mod sign_in;

use axum::Router;
use axum::response::Redirect;
use axum::routing::get;

use crate::state::ApiState;

/// Everything that is answered to browsers, next to the calls of the REST API.
pub(crate) fn router() -> Router<ApiState> {
    Router::new()
        .route("/", get(async || Redirect::to("/sign-in")))
        .route("/sign-in", get(sign_in::show))
        .merge(assets::router())
}
