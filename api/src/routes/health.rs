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

/// What answers here.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Alive {
    /// Always `ok`.
    status: &'static str,
    /// Always `stripe-sync`.
    name: &'static str,
    /// The engine's version.
    version: &'static str,
    /// HMAC-SHA256 of the challenge in hexadecimal; only with a challenge, and only of an engine that
    /// `stripe-sync up` started.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    proof: Option<String>,
}

/// The process lives
///
/// Needs neither the database nor the broker, so that an outage of theirs restarts nothing. A client that is given a
/// `challenge` and the secret in `.local/engines` can make sure that this is its engine before it sends a token.
#[utoipa::path(get, path = "/healthz", tag = "operation", security(()),
    params(("challenge" = Option<String>, Query, max_length = 128,
        description = "A random text; the answer then has a `proof`")),
    responses((status = 200, description = "It lives", body = Alive)))]
pub(crate) async fn healthz(State(state): State<ApiState>, mut params: Params) -> Json<Alive> {
    // A probe never fails for its parameters: a supervisor would restart the program.
    let challenge = params
        .text("challenge")
        .filter(|text| !text.is_empty() && text.len() <= identity::MAX_CHALLENGE_BYTES);
    let proof = state
        .engine_secret
        .zip(challenge)
        .map(|(secret, challenge)| secret.proof(&challenge));
    Json(Alive {
        status: "ok",
        name: identity::NAME,
        version: env!("CARGO_PKG_VERSION"),
        proof,
    })
}

/// The process can work
#[utoipa::path(get, path = "/readyz", tag = "operation", security(()), responses(
    (status = 200, description = "It can work, with RabbitMQ away later than usual", body = Report),
    (status = 503, description = "PostgreSQL or its migrations are missing", body = Report),
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
