//! What people see in a browser, who is signed in there, and what a browser may send.
//!
//! Every page route is in [`router`], whose outer layer refuses changes that another site asks for ([`same_origin`]). What
//! shows data is in `for_viewers`, behind the layer that asks for a session ([`session`]). A new page that is added to either
//! cannot forget them.

mod return_path;
mod same_origin;
mod session;

use axum::Router;
use axum::middleware;
use axum::response::Html;
use axum::routing::{get, post};

use crate::state::ApiState;

pub(crate) use session::Viewer;

pub(crate) fn router(state: &ApiState) -> Router<ApiState> {
    let for_viewers = Router::new()
        .route("/", get(start_page))
        .route("/sign-out-everywhere", post(session::sign_out_everywhere))
        .route_layer(middleware::from_fn_with_state(
            state.clone(),
            session::require_viewer,
        ));
    Router::new()
        .route("/sign-in", get(session::show).post(session::sign_in))
        .route("/sign-in/{code}", session::by_link())
        .route("/sign-out", post(session::sign_out))
        .merge(for_viewers)
        .layer(middleware::from_fn_with_state(
            state.clone(),
            same_origin::refuse_other_sites,
        ))
}

async fn start_page(viewer: Viewer) -> Html<String> {
    let (organization, role) = (viewer.organization, viewer.role.as_str());
    Html(format!(
        "<!doctype html><title>stripe-sync</title><p>Signed in to {organization} as {role}.</p>\
         <form method=\"post\" action=\"/sign-out\"><button>Sign out</button></form>\
         <form method=\"post\" action=\"/sign-out-everywhere\"><button>Sign out everywhere</button></form>"
    ))
}
