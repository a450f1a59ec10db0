//! What the platform sells. No token, since whoever asks may not be a customer yet.

use axum::Json;
use axum::extract::State;
use platform::billing::plan::{Interval, Limits, Plan};
use platform::billing::price::{self, Prices};
use serde::Serialize;
use utoipa::ToSchema;

use crate::input::NoParams;
use crate::problem::{ApiError, Problem};
use crate::state::ApiState;

/// Price of a plan.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PlanPrice)]
pub(crate) struct PriceBody {
    interval: Interval,
    /// For each seat and interval, in minor units.
    amount: i64,
    #[schema(example = "usd")]
    currency: String,
}

/// Plan that an organization may subscribe to.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Plan)]
pub(crate) struct PlanBody {
    #[schema(example = "pro")]
    plan: String,
    name: String,
    description: String,
    /// None for the free plan, and for a plan that cannot be subscribed to at present.
    prices: Vec<PriceBody>,
    /// Days for which an organization may try its first plan.
    trial_days: Option<u32>,
    features: Vec<String>,
    limits: Limits,
}

/// The plans.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PlanList {
    data: Vec<PlanBody>,
}

fn body(plan: &Plan, prices: &Prices) -> PlanBody {
    let offered = plan.prices.iter().filter_map(|it| {
        let price = prices.of(plan, it.interval)?;
        Some(PriceBody {
            interval: it.interval,
            amount: price.amount?,
            currency: price.currency.as_str().to_owned(),
        })
    });
    PlanBody {
        plan: plan.id.clone(),
        name: plan.name.clone(),
        description: plan.description.clone(),
        prices: offered.collect(),
        trial_days: plan.trial_days,
        features: plan.features.clone(),
        limits: plan.limits,
    }
}

/// List the plans
///
/// In the order of the setting `PLANS_FILE`, with the prices that Stripe has for them. Needs no token.
#[utoipa::path(get, path = "/v1/billing/plans", operation_id = "list_plans", tag = "billing", security(()),
    responses((status = 200, description = "The plans", body = PlanList),
              (status = 503, description = "`stripe_unreachable`: no price was ever read", body = Problem)))]
pub(crate) async fn list(
    State(state): State<ApiState>,
    _: NoParams,
) -> Result<Json<PlanList>, ApiError> {
    let billing = state.billing()?;
    let prices = price::current(&billing).await?;
    let plans = billing.plans.all().iter();
    Ok(Json(PlanList {
        data: plans.map(|plan| body(plan, &prices)).collect(),
    }))
}
