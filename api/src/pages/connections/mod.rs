//! The connections of an organization: the list, connecting an account, and one connection with all that can be done to it.
//!
//! Each page asks the use cases that the REST API asks. What changes something is a form, answered with 303 to the page of
//! the connection, or with the page again and what is wrong at its field. A key is read out of a form and is in no answer:
//! whoever corrects a form pastes the key again.
//!
//! Reading order: this list, [`connect`], [`detail`] (one connection), [`changes`] (its forms), [`jobs`], [`rules`].
//!
//! Absent on purpose: requests that were spent per day and the share that is left of them. Both are known in the process
//! that syncs and are stored nowhere; a job says how many requests it sent.

mod changes;
mod connect;
mod detail;
mod form;
mod jobs;
mod rules;

use askama::Template;
use axum::Router;
use axum::extract::State;
use axum::routing::{get, post};
use common::connection::overview::{self, ConnectionStatus, Overview};
use url::form_urlencoded;

use super::Viewer;
use super::format::LocaleFormat;
use super::layout::{Layout, Page, Section};
use super::permission::may_change;
use crate::problem::ApiError;
use crate::state::ApiState;

/// Connections that are listed.
const MAX_CONNECTIONS: i64 = 1000;

/// The pages of this section. They belong behind the layer that asks for a session.
pub(super) fn router() -> Router<ApiState> {
    Router::new()
        .route("/connections", get(show))
        .route(
            "/connections/new",
            get(connect::show).post(connect::connect),
        )
        .route("/connections/new/check", post(connect::check))
        .route("/connections/{id}", get(detail::show))
        .route("/connections/{id}/sync", post(changes::sync))
        .route("/connections/{id}/pause", post(changes::pause))
        .route("/connections/{id}/resume", post(changes::resume))
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

#[derive(Debug, Template)]
#[template(path = "connections.html")]
struct ConnectionsPage {
    layout: Layout,
    locale: LocaleFormat,
    connections: Vec<Overview>,
    may_change: bool,
}

/// `GET /connections`.
async fn show(
    State(state): State<ApiState>,
    viewer: Viewer,
    locale: LocaleFormat,
) -> Result<Page<ConnectionsPage>, ApiError> {
    let organization = &viewer.organization;
    let connections = overview::list(
        &state.pool,
        state.connectors,
        organization,
        None,
        MAX_CONNECTIONS,
    )
    .await?;
    Ok(Page(ConnectionsPage {
        layout: layout(&state, &viewer, "Connections", false).await?,
        locale,
        connections,
        may_change: may_change(&viewer),
    }))
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
