//! Why a charge counts or not, with its refunds and its dispute.

use axum::Json;
use axum::extract::State;
use stripe::analytics::explain::{self, Explanation};

use crate::auth::Caller;
use crate::input::{Ids, NoParams};
use crate::problem::ApiError;
use crate::state::ApiState;

/// Explain why a charge counts or does not count
///
/// Answers from stored data, without asking Stripe, and shows each refund and the newest dispute of the charge.
#[utoipa::path(get, path = "/v1/connectors/{id}/charges/{charge_id}/explain", operation_id = "explain_charge",
    tag = "analytics",
    params(("id" = String, Path, description = "Connection id"),
           ("charge_id" = String, Path, description = "Stripe charge id")),
    responses((status = 200, description = "The explanation", body = Explanation)))]
pub(crate) async fn explain(
    State(state): State<ApiState>,
    caller: Caller,
    Ids((connection_id, charge_id)): Ids<(String, String)>,
    _: NoParams,
) -> Result<Json<Explanation>, ApiError> {
    let organization = &caller.organization;
    let explained = explain::explain(&state.pool, organization, &connection_id, charge_id).await?;
    Ok(Json(explained))
}
