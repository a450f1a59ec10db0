//! Whether the program lives and can work, and its metrics. No token, since those who ask are machines
//! that have none.

use axum::extract::State;
use axum::response::IntoResponse;
use common::lifecycle::Report;
use common::telemetry;
use serde::Serialize;
use utoipa::ToSchema;

use crate::state::ApiState;

/// Liveness of the process.
#[derive(Serialize, ToSchema)]
pub(crate) struct Liveness {
    /// Always `ok`.
    status: &'static str,
}

/// Check liveness
///
/// Succeeds while the process runs, whatever the state of its dependencies.
#[utoipa::path(get, path = "/healthz", operation_id = "check_liveness",
    tag = "operations", security(()),
    responses((status = 200, description = "The process is running", body = Liveness)))]
pub(crate) async fn healthz() -> impl IntoResponse {
    axum::Json(Liveness { status: "ok" })
}

/// Check readiness
#[utoipa::path(get, path = "/readyz", operation_id = "check_readiness",
    tag = "operations", security(()), responses(
    (status = 200, description = "Ready; with delays while RabbitMQ is unavailable", body = Report),
    (status = 503, description = "PostgreSQL or its schema is unavailable", body = Report),
))]
pub(crate) async fn readyz(State(state): State<ApiState>) -> Report {
    state.health.check().await
}

/// Get metrics
///
/// In the Prometheus text format.
#[utoipa::path(get, path = "/metrics", operation_id = "get_metrics",
    tag = "operations", security(()),
    responses((status = 200, description = "All metrics", body = String, content_type = "text/plain")))]
pub(crate) async fn metrics() -> impl IntoResponse {
    let content_type = (
        axum::http::header::CONTENT_TYPE,
        "text/plain; version=0.0.4; charset=utf-8",
    );
    ([content_type], telemetry::render())
}
