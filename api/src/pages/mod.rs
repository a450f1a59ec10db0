//! The pages: what a person sees in a browser at `/`, rendered here and updated in part by htmx.
//!
//! A page is a template in `api/templates` and a struct that names all of its values, so that a template that asks
//! for more does not compile. Pages read by the same use cases as the REST API, and say nothing that it does not. They
//! are no part of the OpenAPI document.
//!
//! Every page route is in [`router`], whose outer layer refuses changes that another site asks for ([`same_origin`]). What
//! shows data is in `for_viewers`, behind the layer that asks for a session ([`session`]); the plans are for everybody. A new page that is added to either
//! cannot forget them.
//!
//! Reading order: [`layout`] (what surrounds each page and how it is answered), [`assets`] (styles and scripts),
//! [`problem`] (errors as pages), [`format`] and [`chart`] (how figures are shown), [`session`], [`visit`] (what a handler
//! begins with), then a page a file.
//!
//! Absent on purpose: anything from another host, but for Stripe's script on the page of embedded onboarding
//! (`payouts::embedded`); scripts and styles inside of pages, state that only the browser has.

mod address;
mod amounts;
pub(crate) mod assets;
mod billing;
mod charges;
mod chart;
mod condition;
mod connections;
mod days;
mod entered_amount;
mod explore;
mod explore_filter;
mod filter_builder;
mod form;
mod format;
mod groups_csv;
pub(crate) mod layout;
mod live_part;
mod mark;
mod moment;
mod named_object;
mod notice;
mod overview;
mod payouts;
mod permission;
pub(crate) mod problem;
mod question;
mod questions;
mod restatements;
mod return_path;
mod same_origin;
pub(crate) mod saved_query;
mod session;
mod sign_in;
mod stripe_dashboard;
mod tokens;
mod visit;
mod webhooks;

use axum::Router;
use axum::middleware;
use axum::routing::{get, post};

use crate::state::ApiState;

pub(crate) use session::Viewer;

/// Everything that is answered to browsers, next to the calls of the REST API.
pub(crate) fn router(state: &ApiState) -> Router<ApiState> {
    let for_viewers = Router::new()
        .route("/", get(overview::show))
        .route("/overview.csv", get(overview::csv))
        .merge(connections::router())
        .merge(webhooks::router())
        .merge(payouts::router())
        .merge(billing::router())
        .merge(tokens::router())
        .route("/explore", get(explore::show))
        .route("/explore.csv", get(explore::csv))
        .route("/explore/conditions", get(explore_filter::conditions))
        .route("/explore/matching", get(explore_filter::matching))
        .merge(questions::router())
        .route("/restatements", get(restatements::show))
        .route("/charges", get(charges::list))
        .route("/charges/{charge_id}", get(charges::show))
        .route("/sign-out-everywhere", post(session::sign_out_everywhere))
        .route_layer(middleware::from_fn_with_state(
            state.clone(),
            session::require_viewer,
        ));
    Router::new()
        .route("/sign-in", get(session::show).post(session::sign_in))
        .route("/sign-in/{code}", session::by_link())
        .route("/sign-out", post(session::sign_out))
        .route("/pricing", get(billing::pricing))
        .merge(for_viewers)
        .layer(middleware::from_fn_with_state(
            state.clone(),
            same_origin::refuse_other_sites,
        ))
        .merge(assets::router())
}
