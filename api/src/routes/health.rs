//! Whether the program lives and can work, which engine it is, and its metrics. No token, since those who ask are
//! machines that have none, or clients that do not yet know to whom they would give it.

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use common::identity;
use common::lifecycle::Report;
use common::telemetry;
use serde::Serialize;
use utoipa::ToSchema;

use crate::input::Params;
use crate::state::ApiState;

/// Liveness of the process.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Liveness {
    /// Always `ok`.
    status: &'static str,
    /// Always `stripe-sync`.
    name: &'static str,
    /// Version of the engine.
    version: &'static str,
    /// HMAC-SHA256 of the challenge in hexadecimal; only with a challenge, and only of an engine that
    /// `stripe-sync up` started.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    proof: Option<String>,
}

/// Check liveness
///
/// Succeeds while the process runs, whatever the state of its dependencies. A client that sends a `challenge` and knows
/// the secret in `.local/engines` can verify that this is its own engine before it sends a token.
#[utoipa::path(get, path = "/healthz", operation_id = "check_liveness",
    tag = "operations", security(()),
    params(("challenge" = Option<String>, Query, max_length = 128,
        description = "Random text; the answer then has a `proof`")),
    responses((status = 200, description = "The process is running", body = Liveness)))]
pub(crate) async fn healthz(State(state): State<ApiState>, mut params: Params) -> Json<Liveness> {
    // A probe never fails for its parameters: a supervisor would restart the program.
    let challenge = params
        .text("challenge")
        .filter(|text| !text.is_empty() && text.len() <= identity::MAX_CHALLENGE_BYTES);
    let secret = state.engine_secret.as_ref();
    let proof = secret
        .zip(challenge)
        .map(|(secret, challenge)| secret.proof(&challenge));
    Json(Liveness {
        status: "ok",
        name: identity::NAME,
        version: env!("CARGO_PKG_VERSION"),
        proof,
    })
}

/// Check readiness
#[utoipa::path(get, path = "/readyz", operation_id = "check_readiness",
    tag = "operations", security(()), responses(
    (status = 200, description = "Ready; with delays while RabbitMQ is unavailable", body = Report),
    (status = 503, body = Report, description = "PostgreSQL does not answer; `migrations` is `missing` (run \
        `stripe-sync migrate`) or `newer` (upgrade this program); or the program has not started its work yet"),
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
