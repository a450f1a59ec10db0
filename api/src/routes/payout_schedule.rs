//! When the organization's account is paid out without being asked.

use axum::Json;
use axum::extract::State;
use platform::ledger::payout_schedule::{
    self, MAX_DELAY_DAYS, PayoutInterval, PayoutSchedule, PayoutWeekday,
};
use serde_json::Value;
use utoipa::ToSchema;

use crate::auth::Caller;
use crate::input::{Fields, NoParams};
use crate::problem::{ApiError, Problem};
use crate::state::ApiState;

/// Schedule to set.
#[derive(ToSchema)]
#[schema(as = PayoutScheduleRequest)]
#[expect(dead_code, reason = "documents what is read by hand")]
pub(crate) struct ScheduleRequest {
    interval: PayoutInterval,
    /// Required with `weekly`, not allowed otherwise: at least one day.
    weekly_payout_days: Option<Vec<PayoutWeekday>>,
    /// Required with `monthly`, not allowed otherwise: at least one day from 1 to 31; in a shorter month, its last day.
    monthly_payout_days: Option<Vec<i32>>,
    /// How many days a payment waits before it is paid out. It stays as it is by default.
    #[schema(minimum = 0, maximum = 31)]
    delay_days: Option<i32>,
}

/// Get the payout schedule
///
/// As Stripe has it now.
#[utoipa::path(get, path = "/v1/connect/payout-schedule", operation_id = "get_payout_schedule", tag = "connect",
    responses((status = 200, description = "The schedule", body = PayoutSchedule),
              (status = 409, description = "`account_not_ready` or `account_disconnected`", body = Problem)))]
pub(crate) async fn get(
    State(state): State<ApiState>,
    caller: Caller,
    _: NoParams,
) -> Result<Json<PayoutSchedule>, ApiError> {
    let schedule = payout_schedule::get(&state.ledger()?, &caller.organization).await?;
    Ok(Json(schedule))
}

/// Set the payout schedule
///
/// Returns the schedule as Stripe has it then.
#[utoipa::path(put, path = "/v1/connect/payout-schedule", operation_id = "set_payout_schedule", tag = "connect",
    request_body(content = ScheduleRequest, example = json!({"interval": "weekly", "weekly_payout_days": ["friday"]})),
    responses((status = 200, description = "The schedule", body = PayoutSchedule),
              (status = 409, description = "`account_not_ready` or `account_disconnected`", body = Problem),
              (status = 422, description = "`invalid_request`, or `stripe_refused`: see `stripe_code` and `stripe_message`",
               body = Problem)))]
pub(crate) async fn set(
    State(state): State<ApiState>,
    caller: Caller,
    _: NoParams,
    mut fields: Fields,
) -> Result<Json<PayoutSchedule>, ApiError> {
    let ledger = state.ledger()?;
    let schedule = schedule(&mut fields);
    fields.finish()?;
    let schedule = payout_schedule::set(&ledger, &caller.organization, &schedule).await?;
    Ok(Json(schedule))
}

/// What was asked for; what makes no sense in it is refused.
fn schedule(fields: &mut Fields) -> PayoutSchedule {
    let intervals = PayoutInterval::ALL.map(|it| (it.as_str(), it));
    let interval = if fields.is_missing("interval") {
        None
    } else {
        fields.choice("interval", &intervals)
    };
    let weekday = |value: &Value| value.as_str()?.parse::<PayoutWeekday>().ok();
    let weekly = fields.list(
        "weekly_payout_days",
        "must be a list of days from monday to friday",
        weekday,
    );
    let day = |value: &Value| i32::try_from(value.as_i64()?).ok();
    let monthly = fields.list(
        "monthly_payout_days",
        "must be a list of days from 1 to 31",
        day,
    );
    let schedule = PayoutSchedule {
        interval: interval.unwrap_or(PayoutInterval::Manual),
        weekly_payout_days: weekly.unwrap_or_default(),
        monthly_payout_days: monthly.unwrap_or_default(),
        delay_days: fields.integer("delay_days", 0..=MAX_DELAY_DAYS),
    };
    if interval.is_some() {
        for problem in schedule.problems() {
            fields.refuse(problem.member, problem.detail);
        }
    }
    schedule
}
