//! Where the organization's ledger and Stripe disagreed when they were last compared, which happens once a day.

use axum::Json;
use axum::extract::State;
use platform::ledger::reconciliation::{self, Reconciliation};

use crate::auth::Caller;
use crate::input::NoParams;
use crate::problem::ApiError;
use crate::state::ApiState;

/// Get the reconciliation of the ledger with Stripe
///
/// Once a day, the transfers, reversals and payouts of the last 30 days are compared with Stripe. Differences in transfers and
/// reversals are reported and never corrected: investigate each, for example a transfer made in Stripe's dashboard.
#[utoipa::path(get, path = "/v1/connect/reconciliation", operation_id = "get_reconciliation", tag = "connect",
    responses((status = 200, description = "What the last reconciliation found", body = Reconciliation)))]
pub(crate) async fn get(
    State(state): State<ApiState>,
    caller: Caller,
    _: NoParams,
) -> Result<Json<Reconciliation>, ApiError> {
    let last = reconciliation::last(&state.ledger()?, &caller.organization).await?;
    Ok(Json(last))
}
