//! How the caller's organization subscribes, and sets up what it pays with.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use platform::billing::checkout::{self, Subscribing};
use platform::billing::customer::Contact;
use platform::billing::plan::Interval;
use platform::billing::setup;
use secrecy::ExposeSecret as _;
use serde::Serialize;
use utoipa::ToSchema;

use super::answer_status;
use crate::auth::Caller;
use crate::input::{Fields, NoParams, OptionalFields, given};
use crate::platform_problem::PlatformProblem;
use crate::problem::{ApiError, Problem};
use crate::routes::connected_accounts::address;
use crate::state::ApiState;

pub(crate) const MAX_PLAN_CHARS: usize = 40;
const MAX_EMAIL_CHARS: usize = 512;
const MAX_NAME_CHARS: usize = 150;
pub(crate) const MAX_SEATS: i32 = 10_000;

/// What to subscribe to.
#[derive(ToSchema)]
#[schema(as = CheckoutRequest)]
#[expect(dead_code, reason = "documents what is read by hand")]
pub(crate) struct CheckoutRequest {
    #[schema(min_length = 1, max_length = 40, pattern = "^[^\\u0000]*$")]
    plan: String,
    interval: Interval,
    #[schema(minimum = 1, maximum = 10_000, default = 1)]
    seats: Option<i32>,
    /// Where Stripe's page leads after the payment. `{CHECKOUT_SESSION_ID}` in it is replaced. A page of this server when absent.
    #[schema(min_length = 1, max_length = 2_000, pattern = "^[^\\u0000]*$")]
    success_url: Option<String>,
    /// Where Stripe's page leads without a payment. A page of this server when absent.
    #[schema(min_length = 1, max_length = 2_000, pattern = "^[^\\u0000]*$")]
    cancel_url: Option<String>,
}

/// Session on Stripe's page.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Checkout)]
pub(crate) struct CheckoutBody {
    #[schema(example = "cs_test_a1PgafTB7WZ01zgkWx2y3z4A5")]
    session_id: String,
    /// Stripe's page, to which the browser is sent.
    url: String,
    expires_at: DateTime<Utc>,
}

/// Subscribe to a plan
///
/// Makes a session on Stripe's page, on which the organization pays. However often and however simultaneously it is called,
/// there is one customer and one session that may be paid: the same request is handed the same session, and one for another
/// plan, interval or number of seats takes its place.
#[utoipa::path(post, path = "/v1/billing/checkout", operation_id = "create_checkout", tag = "billing",
    request_body(content = CheckoutRequest, example = json!({"plan": "pro", "interval": "month"})),
    responses((status = 201, description = "The session was made", body = CheckoutBody),
              (status = 200, description = "The session for the same exists already", body = CheckoutBody),
              (status = 409, description = "`subscription_exists`: change it instead, with \
                                            `POST /v1/billing/subscription/change`; `payment_pending`: a payment is on its way",
               body = Problem),
              (status = 422, description = "`invalid_request`; `price_not_found`: Stripe has no price for the plan; \
                                            `stripe_refused`: see `stripe_code` and `stripe_message`", body = Problem),
              (status = 503, description = "`stripe_unreachable`: call again, which finds what was done", body = Problem)))]
pub(crate) async fn create(
    State(state): State<ApiState>,
    caller: Caller,
    _: NoParams,
    mut fields: Fields,
) -> Result<(StatusCode, Json<CheckoutBody>), ApiError> {
    let billing = state.billing()?;
    let plan = fields.required_text("plan", MAX_PLAN_CHARS);
    let interval = required_interval(&mut fields);
    let seats = fields.integer("seats", 1..=MAX_SEATS).unwrap_or(1);
    let own = state.own_checkout_addresses();
    let success_url = address(&state, &mut fields, "success_url").unwrap_or(own.success_url);
    let cancel_url = address(&state, &mut fields, "cancel_url").unwrap_or(own.cancel_url);
    fields.finish()?;
    let (plan, interval) = given(plan.zip(interval))?;
    let asked = Subscribing {
        plan,
        interval,
        seats: i64::from(seats),
        success_url,
        cancel_url,
    };
    let opened = checkout::open(&billing, &caller.organization, &asked).await?;
    let status = answer_status(opened.created, StatusCode::CREATED);
    let body = CheckoutBody {
        session_id: opened.session_id,
        url: opened.url,
        expires_at: opened.expires_at,
    };
    Ok((status, Json(body)))
}

pub(crate) fn required_interval(fields: &mut Fields) -> Option<Interval> {
    if fields.is_missing("interval") {
        return None;
    }
    fields.choice("interval", &Interval::ALL.map(|it| (it.as_str(), it)))
}

/// Who pays, for a customer that is new.
#[derive(ToSchema)]
#[schema(as = SetupPaymentRequest)]
#[expect(dead_code, reason = "documents what is read by hand")]
pub(crate) struct SetupPaymentRequest {
    #[schema(min_length = 1, max_length = 512, pattern = "^[^\\u0000]*$")]
    email: Option<String>,
    /// The organization's when absent.
    #[schema(min_length = 1, max_length = 150, pattern = "^[^\\u0000]*$")]
    name: Option<String>,
}

/// What Stripe's script needs to take a payment method.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SetupPayment)]
pub(crate) struct SetupPaymentBody {
    #[schema(example = "cus_PgafTB7WZ01zgk")]
    customer_id: String,
    #[schema(example = "seti_1PgafTB7WZ01zgkWx2y3z4A5")]
    setup_intent_id: String,
    /// For the browser of whoever pays, and nobody else.
    client_secret: String,
    publishable_key: String,
}

/// Set up a payment method
///
/// Nothing is charged. Once the method is confirmed with Stripe's script, it becomes the one by which the organization pays.
#[utoipa::path(post, path = "/v1/billing/setup-payment", operation_id = "setup_payment", tag = "billing",
    request_body(content = SetupPaymentRequest, example = json!({"email": "owner@example.com"})),
    responses((status = 200, description = "What Stripe's script needs", body = SetupPaymentBody),
              (status = 422, description = "`invalid_request`, or `stripe_refused`: see `stripe_code` and `stripe_message`",
               body = Problem),
              (status = 501, description = "`not_configured`: STRIPE_PLATFORM_KEY or STRIPE_PUBLISHABLE_KEY is not set",
               body = Problem),
              (status = 503, description = "`stripe_unreachable`: call again, which finds what was done", body = Problem)))]
pub(crate) async fn setup_payment(
    State(state): State<ApiState>,
    caller: Caller,
    _: NoParams,
    OptionalFields(mut fields): OptionalFields,
) -> Result<Json<SetupPaymentBody>, ApiError> {
    let billing = state.billing()?;
    let setting = "STRIPE_PUBLISHABLE_KEY";
    let publishable_key = state.platform()?.onboarding.publishable_key.clone();
    let publishable_key = publishable_key.ok_or(PlatformProblem::NotConfigured { setting })?;
    let contact = Contact {
        email: fields.text("email", MAX_EMAIL_CHARS),
        name: fields.text("name", MAX_NAME_CHARS),
    };
    fields.finish()?;
    let opened = setup::open(&billing, &caller.organization, contact).await?;
    Ok(Json(SetupPaymentBody {
        customer_id: opened.customer_id,
        setup_intent_id: opened.setup_id,
        client_secret: opened.client_secret.expose_secret().to_owned(),
        publishable_key,
    }))
}
