//! Whether the program lives and can work, and its metrics. No token, since those who ask are machines
//! that have none.

use axum::extract::State;
use axum::response::IntoResponse;
use common::lifecycle::Report;
use common::telemetry;

use crate::state::ApiState;

/// The process lives
///
/// Asks nothing of anyone, so that an outage elsewhere restarts nobody.
#[utoipa::path(get, path = "/healthz", tag = "operation", security(()),
    responses((status = 200, description = "It lives", content_type = "application/json")))]
pub(crate) async fn healthz() -> impl IntoResponse {
    axum::Json(serde_json::json!({ "status": "ok" }))
}

/// The process can work
#[utoipa::path(get, path = "/readyz", tag = "operation", security(()), responses(
    (status = 200, description = "It can work, with RabbitMQ away later than usual", body = Report),
    (status = 503, body = Report, description = "PostgreSQL does not answer; `migrations` is `missing` (run \
        `stripe-sync migrate`) or `newer` (upgrade this program); or the program has not begun yet"),
))]
pub(crate) async fn readyz(State(state): State<ApiState>) -> Report {
    state.health.check().await
}

/// Metrics in the text format of Prometheus
#[utoipa::path(get, path = "/metrics", tag = "operation", security(()),
    responses((status = 200, description = "Every metric", content_type = "text/plain")))]
pub(crate) async fn metrics() -> impl IntoResponse {
    let content_type = (
        axum::http::header::CONTENT_TYPE,
        "text/plain; version=0.0.4; charset=utf-8",
    );
    ([content_type], telemetry::render())
}
