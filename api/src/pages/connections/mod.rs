//! The connections of an organization: the list, connecting an account, and one connection with all that can be done to it.
//!
//! Each page asks the use cases that the REST API asks. What changes something is a form, answered with 303 to the page of
//! the connection, or with the page again and what is wrong at its field. A key is read out of a form and is in no answer:
//! whoever corrects a form pastes the key again.
//!
//! Reading order: [`list`], [`connect`], [`detail`] (one connection), [`activity`] (what its jobs do), [`changes`] (its
//! forms), [`comparison`] (which days are complete), [`jobs`], [`rules`].

mod activity;
mod changes;
mod comparison;
mod connect;
mod detail;
mod done;
mod estimate;
mod jobs;
mod key_permissions;
mod list;
mod rules;

use axum::Router;
use axum::routing::{get, post};
use common::connection::overview::ConnectionStatus;
use url::form_urlencoded;

use super::Viewer;
use super::layout::{Layout, Section};
use crate::problem::ApiError;
use crate::state::ApiState;

/// The pages of this section. They belong behind the layer that asks for a session.
pub(super) fn router() -> Router<ApiState> {
    Router::new()
        .route("/connections", get(list::show))
        .route(
            "/connections/new",
            get(connect::show).post(connect::connect),
        )
        .route("/connections/new/check", post(connect::check))
        .route("/connections/{id}", get(detail::show))
        .route("/connections/{id}/activity/events", get(activity::events))
        .route("/connections/{id}/sync", post(changes::sync))
        .route("/connections/{id}/compare", post(comparison::compare))
        .route("/connections/{id}/pause", post(changes::set_paused::<true>))
        .route(
            "/connections/{id}/resume",
            post(changes::set_paused::<false>),
        )
        .route("/connections/{id}/settings", post(changes::settings))
        .route("/connections/{id}/key", post(changes::replace_key))
        .route("/connections/{id}/key/test", post(changes::test_key))
        .route("/connections/{id}/webhook", post(changes::webhook))
        .route("/connections/{id}/delete", post(changes::delete))
        .route("/connections/{id}/jobs/{job_id}/retry", post(jobs::retry))
        .route("/connections/{id}/jobs/{job_id}/cancel", post(jobs::cancel))
        .route("/connections/{id}/rules/new", get(rules::new))
        .route("/connections/{id}/rules", post(rules::create))
        .route("/connections/{id}/rules/{rule_id}", post(rules::change))
}

/// What surrounds a page of this section.
async fn layout(
    state: &ApiState,
    viewer: &Viewer,
    title: &str,
    test_mode: bool,
) -> Result<Layout, ApiError> {
    Layout::for_viewer(state, viewer, Section::Connections, title, test_mode).await
}

/// The path of a connection's page. An id has no space, which would have to be written in another way in a path.
fn path_of(connection_id: &str) -> String {
    let encoded: String = form_urlencoded::byte_serialize(connection_id.as_bytes()).collect();
    format!("/connections/{encoded}")
}

/// The status of a connection in words.
fn status_text(status: ConnectionStatus) -> &'static str {
    match status {
        ConnectionStatus::Error => "Stopped",
        ConnectionStatus::Running => "Syncing",
        ConnectionStatus::Pending => "Waiting to sync",
        ConnectionStatus::Paused => "Paused",
        ConnectionStatus::Idle => "Up to date",
    }
}

/// The same as a shape, for whoever cannot tell colours apart.
fn status_shape(status: ConnectionStatus) -> &'static str {
    match status {
        ConnectionStatus::Error => "✕",
        ConnectionStatus::Running => "◐",
        ConnectionStatus::Pending => "○",
        ConnectionStatus::Paused => "‖",
        ConnectionStatus::Idle => "✓",
    }
}
