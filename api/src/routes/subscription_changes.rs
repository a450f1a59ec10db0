//! What an organization does with its subscription: changing and cancelling it, taking that back, and Stripe's page for the rest.

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use platform::billing::cancellation::{self, Ends, Feedback};
use platform::billing::change::{self, NewPlan, PreviewLine, TakesEffect};
use platform::billing::plan::Interval;
use platform::billing::portal::{self, PortalFlow};
use serde::Serialize;
use utoipa::ToSchema;

use crate::auth::Caller;
use crate::input::{Fields, NoParams, OptionalFields, given};
use crate::problem::{ApiError, Problem};
use crate::routes::checkout::{MAX_PLAN_CHARS, MAX_SEATS, required_interval};
use crate::routes::connected_accounts::address;
use crate::routes::subscription::{SubscriptionBody, body};
use crate::state::ApiState;

/// What to subscribe to instead.
#[derive(ToSchema)]
#[schema(as = PlanChangeRequest)]
#[expect(dead_code, reason = "documents what is read by hand")]
pub(crate) struct PlanChangeRequest {
    #[schema(min_length = 1, max_length = 40, pattern = "^[^\\u0000]*$")]
    plan: String,
    interval: Interval,
    /// As many as before when absent.
    #[schema(minimum = 1, maximum = 10_000)]
    seats: Option<i32>,
}

/// Amount of an invoice.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = InvoiceAmount)]
pub(crate) struct AmountBody {
    /// In minor units.
    amount: i64,
    #[schema(example = "usd")]
    currency: String,
}

/// Invoice that is to come.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = NextInvoice)]
pub(crate) struct NextInvoiceBody {
    /// In minor units.
    amount: i64,
    #[schema(example = "usd")]
    currency: String,
    at: Option<DateTime<Utc>>,
}

/// What a change would cost.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ChangePreview)]
pub(crate) struct PreviewBody {
    /// Whether the change takes effect now, rather than at the end of what is paid for.
    now: bool,
    due_now: AmountBody,
    next_invoice: NextInvoiceBody,
    /// As of when what is left of the former price was computed.
    proration_date: DateTime<Utc>,
    lines: Vec<PreviewLine>,
}

/// What is asked for by the fields of a body or of a form.
pub(crate) fn new_plan(mut fields: Fields) -> Result<NewPlan, ApiError> {
    let plan = fields.required_text("plan", MAX_PLAN_CHARS);
    let interval = required_interval(&mut fields);
    let seats = fields.integer("seats", 1..=MAX_SEATS).map(i64::from);
    fields.finish()?;
    let (plan, interval) = given(plan.zip(interval))?;
    Ok(NewPlan {
        plan,
        interval,
        seats,
    })
}

/// Preview a change of the subscription
///
/// What changing would cost now, and what the next invoice would be. Nothing is changed.
#[utoipa::path(post, path = "/v1/billing/subscription/preview", operation_id = "preview_subscription_change", tag = "billing",
    request_body(content = PlanChangeRequest, example = json!({"plan": "scale", "interval": "month"})),
    responses((status = 200, description = "What it would cost", body = PreviewBody),
              (status = 409, description = "`conflict`: there is no subscription that goes on", body = Problem),
              (status = 422, description = "`invalid_request`; `price_not_found`; `stripe_refused`: see `stripe_code`",
               body = Problem),
              (status = 503, description = "`stripe_unreachable`: call again", body = Problem)))]
pub(crate) async fn preview(
    State(state): State<ApiState>,
    caller: Caller,
    _: NoParams,
    fields: Fields,
) -> Result<Json<PreviewBody>, ApiError> {
    let billing = state.billing()?;
    let new = new_plan(fields)?;
    let found = change::preview(&billing, &caller.organization, &new).await?;
    Ok(Json(PreviewBody {
        now: found.takes_effect == TakesEffect::Now,
        due_now: AmountBody {
            amount: found.due_now.minor,
            currency: found.due_now.currency.as_str().to_owned(),
        },
        next_invoice: NextInvoiceBody {
            amount: found.next_invoice.minor,
            currency: found.next_invoice.currency.as_str().to_owned(),
            at: found.next_invoice_at,
        },
        proration_date: found.proration_date,
        lines: found.lines,
    }))
}

/// Change the subscription
///
/// Another plan, interval or number of seats. More is had now and paid now, less from the end of what is paid for
/// (`scheduled_change`). If the payment fails, nothing changes.
#[utoipa::path(post, path = "/v1/billing/subscription/change", operation_id = "change_subscription", tag = "billing",
    request_body(content = PlanChangeRequest, example = json!({"plan": "scale", "interval": "month"})),
    responses((status = 200, description = "The subscription as Stripe has it now", body = SubscriptionBody),
              (status = 409, description = "`conflict`: there is no subscription that goes on", body = Problem),
              (status = 422, description = "`invalid_request`; `price_not_found`; `stripe_refused`, also if the payment fails: see \
                                            `stripe_code`", body = Problem),
              (status = 503, description = "`stripe_unreachable`: call again", body = Problem)))]
pub(crate) async fn change_plan(
    State(state): State<ApiState>,
    caller: Caller,
    _: NoParams,
    fields: Fields,
) -> Result<Json<SubscriptionBody>, ApiError> {
    let billing = state.billing()?;
    let new = new_plan(fields)?;
    change::change(&billing, &caller.organization, &new).await?;
    Ok(Json(body(&billing, &caller.organization).await?))
}

/// How to cancel.
#[derive(ToSchema)]
#[schema(as = CancellationRequest)]
#[expect(dead_code, reason = "documents what is read by hand")]
pub(crate) struct CancellationRequest {
    /// Whether what is paid for goes on until its end.
    #[schema(default = true)]
    at_period_end: Option<bool>,
    feedback: Option<Feedback>,
}

/// Cancel the subscription
///
/// At the end of what is paid for, which can be taken back until then, or at once. Nothing is refunded.
#[utoipa::path(post, path = "/v1/billing/subscription/cancel", operation_id = "cancel_subscription", tag = "billing",
    request_body(content = CancellationRequest, example = json!({"at_period_end": true, "feedback": "unused"})),
    responses((status = 200, description = "The subscription as Stripe has it now", body = SubscriptionBody),
              (status = 409, description = "`conflict`: there is no subscription that goes on", body = Problem),
              (status = 503, description = "`stripe_unreachable`: call again", body = Problem)))]
pub(crate) async fn cancel(
    State(state): State<ApiState>,
    caller: Caller,
    _: NoParams,
    OptionalFields(mut fields): OptionalFields,
) -> Result<Json<SubscriptionBody>, ApiError> {
    let billing = state.billing()?;
    let ends = match fields.boolean("at_period_end") {
        Some(false) => Ends::Now,
        _ => Ends::AtPeriodEnd,
    };
    let choices = Feedback::ALL.map(|it| (it.as_str(), it));
    let feedback = fields.choice("feedback", &choices);
    fields.finish()?;
    cancellation::cancel(&billing, &caller.organization, ends, feedback).await?;
    Ok(Json(body(&billing, &caller.organization).await?))
}

/// Resume the subscription
///
/// Takes back a cancellation that is pending, or resumes a subscription that is paused.
#[utoipa::path(post, path = "/v1/billing/subscription/resume", operation_id = "resume_subscription", tag = "billing",
    responses((status = 200, description = "The subscription as Stripe has it now", body = SubscriptionBody),
              (status = 409, description = "`conflict`: there is no subscription that goes on", body = Problem),
              (status = 503, description = "`stripe_unreachable`: call again", body = Problem)))]
pub(crate) async fn resume(
    State(state): State<ApiState>,
    caller: Caller,
    _: NoParams,
) -> Result<Json<SubscriptionBody>, ApiError> {
    let billing = state.billing()?;
    cancellation::resume(&billing, &caller.organization).await?;
    Ok(Json(body(&billing, &caller.organization).await?))
}

/// What Stripe's page is opened for.
#[derive(ToSchema)]
#[schema(as = PortalRequest)]
#[expect(dead_code, reason = "documents what is read by hand")]
pub(crate) struct PortalRequest {
    /// Where the page leads back to. A page of this server when absent.
    #[schema(min_length = 1, max_length = 2_000, pattern = "^[^\\u0000]*$")]
    return_url: Option<String>,
    /// What it begins with; an overview when absent.
    flow: Option<PortalFlow>,
}

/// Stripe's page.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Portal)]
pub(crate) struct PortalBody {
    /// It expires soon.
    url: String,
}

/// Open Stripe's billing portal
///
/// Stripe's page on which the organization changes its payment methods and address, sees its invoices and cancels.
#[utoipa::path(post, path = "/v1/billing/portal", operation_id = "open_portal", tag = "billing",
    request_body(content = PortalRequest, example = json!({"flow": "payment_method_update"})),
    responses((status = 200, description = "The page", body = PortalBody),
              (status = 409, description = "`conflict`: there is no subscription to cancel", body = Problem),
              (status = 503, description = "`stripe_unreachable`: call again", body = Problem)))]
pub(crate) async fn open_portal(
    State(state): State<ApiState>,
    caller: Caller,
    _: NoParams,
    OptionalFields(mut fields): OptionalFields,
) -> Result<Json<PortalBody>, ApiError> {
    let billing = state.billing()?;
    let own = state.own_checkout_addresses().cancel_url;
    let return_url = address(&state, &mut fields, "return_url").unwrap_or(own);
    let choices = PortalFlow::ALL.map(|it| (it.as_str(), it));
    let flow = fields.choice("flow", &choices);
    fields.finish()?;
    let url = portal::open(&billing, &caller.organization, return_url, flow).await?;
    Ok(Json(PortalBody { url }))
}
