//! Where the organization's ledger and Stripe disagreed when they were last compared, which happens once a day.

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use platform::ledger::EntryKind;
use platform::ledger::reconciliation::{self, Movement};
use serde::Serialize;
use utoipa::ToSchema;

use crate::auth::Caller;
use crate::input::NoParams;
use crate::problem::{ApiError, Problem};
use crate::state::ApiState;

/// Difference between the ledger and Stripe.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = LedgerDifference)]
pub(crate) struct DifferenceBody {
    object: EntryKind,
    #[schema(example = "tr_1PgafTB7WZ01zgkWx2y3z4A5")]
    stripe_id: String,
    /// As the ledger has it; null if it has no such entry.
    ours: Option<Movement>,
    /// As Stripe has it; null if it has no such object.
    theirs: Option<Movement>,
}

/// What the last reconciliation of the ledger with Stripe found.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Reconciliation {
    /// Null before the first one.
    ran_at: Option<DateTime<Utc>>,
    differences: Vec<DifferenceBody>,
}

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
    let differences = last.differences.into_iter().map(|it| DifferenceBody {
        object: it.object,
        stripe_id: it.external_id,
        ours: it.ours,
        theirs: it.theirs,
    });
    Ok(Json(Reconciliation {
        ran_at: last.ran_at,
        differences: differences.collect(),
    }))
}
