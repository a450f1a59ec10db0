//! How the caller's organization stands with the platform: its subscription, its invoices and its payments, as Stripe last said.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use common::tenant::OrganizationId;
use platform::billing::plan::{Interval, Limits};
use platform::billing::standing::{self, Standing, Warning};
use platform::billing::status::StandingStatus;
use platform::billing::subscription::Invoice;
use platform::billing::{Billing, Payment, PaymentMethod, PaymentStatus, api_key, sync};
use secrecy::ExposeSecret as _;
use serde::Serialize;
use utoipa::ToSchema;

use crate::auth::Caller;
use crate::input::{NoParams, Params, next_cursor, page};
use crate::problem::{ApiError, Problem};
use crate::state::ApiState;

pub(crate) const INVOICES: &str = "invoices";
pub(crate) const PAYMENTS: &str = "payments";

/// Change of plan that is to come.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ScheduledChange {
    plan: String,
    interval: Interval,
    at: DateTime<Utc>,
}

/// What of the limits is used.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PlanUsage)]
pub(crate) struct Usage {
    /// Accounts that are connected.
    connections: i64,
}

/// Page of invoices.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct InvoiceList {
    pub(crate) data: Vec<Invoice>,
    pub(crate) next_cursor: Option<String>,
}

/// Payment of the organization.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Payment)]
pub(crate) struct PaymentBody {
    #[schema(example = "ch_3PgafTB7WZ01zgkW1x2y3z4A")]
    pub(crate) payment_id: String,
    pub(crate) status: PaymentStatus,
    /// In minor units.
    pub(crate) amount: i64,
    pub(crate) amount_refunded: i64,
    #[schema(example = "usd")]
    pub(crate) currency: String,
    pub(crate) failure_code: Option<String>,
    /// In Stripe's words.
    pub(crate) failure_message: Option<String>,
    /// Stripe's page with the receipt.
    pub(crate) receipt_url: Option<String>,
    pub(crate) created_at: DateTime<Utc>,
}

/// Page of payments.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PaymentList {
    pub(crate) data: Vec<PaymentBody>,
    pub(crate) next_cursor: Option<String>,
}

/// How the organization stands.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Subscription)]
pub(crate) struct SubscriptionBody {
    /// The plan in force; the free one without access.
    plan: String,
    status: StandingStatus,
    /// Whether the plan that is subscribed to is in force.
    access: bool,
    /// The plan that is subscribed to, in force or not.
    subscribed_plan: Option<String>,
    interval: Option<Interval>,
    seats: Option<i64>,
    current_period_end: Option<DateTime<Utc>>,
    trial_end: Option<DateTime<Utc>>,
    /// When the subscription ends, if a cancellation is pending.
    cancel_at: Option<DateTime<Utc>>,
    scheduled_change: Option<ScheduledChange>,
    /// Of the plan in force.
    limits: Limits,
    usage: Usage,
    /// By which the organization pays.
    payment_method: Option<PaymentMethod>,
    last_invoice: Option<Invoice>,
    warnings: Vec<Warning>,
    /// When Stripe was asked; null if there was never anything to ask.
    as_of: Option<DateTime<Utc>>,
}

impl From<Payment> for PaymentBody {
    fn from(payment: Payment) -> Self {
        Self {
            payment_id: payment.payment_id,
            status: payment.status,
            amount: payment.money.minor,
            amount_refunded: payment.amount_refunded,
            currency: payment.money.currency.as_str().to_owned(),
            failure_code: payment.failure_code,
            failure_message: payment.failure_message,
            receipt_url: payment.receipt_url,
            created_at: payment.created_at,
        }
    }
}

/// How an organization stands now, by what is stored.
pub(crate) async fn body(
    billing: &Billing,
    organization: &OrganizationId,
) -> Result<SubscriptionBody, ApiError> {
    let stored = standing::stored(billing, organization).await?;
    let standing = Standing::of(&billing.plans, &stored, billing.clock.now());
    let subscription = standing.subscription;
    let (subscribed, interval) = standing.subscribed.unzip();
    let change = standing.coming_change.map(|change| ScheduledChange {
        plan: change.plan.id.clone(),
        interval: change.interval,
        at: change.at,
    });
    Ok(SubscriptionBody {
        plan: standing.plan.id.clone(),
        status: standing.status,
        access: standing.access,
        subscribed_plan: subscribed.map(|plan| plan.id.clone()),
        interval,
        seats: subscription.map(|it| it.seats),
        current_period_end: subscription.and_then(|it| it.current_period_end),
        trial_end: subscription.and_then(|it| it.trial_end),
        cancel_at: subscription.and_then(|it| it.cancel_at),
        scheduled_change: change,
        limits: standing.plan.limits,
        usage: Usage {
            connections: stored.connections,
        },
        warnings: standing.warnings.clone(),
        payment_method: stored.payment_method.clone(),
        as_of: stored.read_at,
        last_invoice: stored.last_invoice.clone(),
    })
}

/// Get the organization's subscription
///
/// As it was last read at Stripe. Every event of Stripe's about the organization has it read again.
#[utoipa::path(get, path = "/v1/billing/subscription", operation_id = "get_subscription", tag = "billing",
    responses((status = 200, description = "The subscription", body = SubscriptionBody)))]
pub(crate) async fn get(
    State(state): State<ApiState>,
    caller: Caller,
    _: NoParams,
) -> Result<Json<SubscriptionBody>, ApiError> {
    Ok(Json(body(&state.billing()?, &caller.organization).await?))
}

/// Read everything of the organization at Stripe again
///
/// Its subscription, invoices and payments are replaced by what Stripe has now.
#[utoipa::path(post, path = "/v1/billing/sync", operation_id = "sync_billing", tag = "billing",
    responses((status = 200, description = "The subscription as Stripe has it now", body = SubscriptionBody),
              (status = 503, description = "`stripe_unreachable`: call again", body = Problem)))]
pub(crate) async fn read_again(
    State(state): State<ApiState>,
    caller: Caller,
    _: NoParams,
) -> Result<Json<SubscriptionBody>, ApiError> {
    let billing = state.billing()?;
    sync::sync(&billing, &caller.organization).await?;
    Ok(Json(body(&billing, &caller.organization).await?))
}

/// API key of the organization.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ApiKey)]
pub(crate) struct ApiKeyBody {
    /// A token with the role `admin`; it cannot be had again.
    #[schema(example = "sst_0123456789abcdef")]
    token: String,
}

/// Reveal the organization's API key
///
/// The key that a subscription brings: a token of the organization, which works while the organization has access. It is
/// revealed once.
#[utoipa::path(post, path = "/v1/billing/api-key/reveal", operation_id = "reveal_api_key", tag = "billing",
    responses((status = 200, description = "The key", body = ApiKeyBody),
              (status = 409, description = "`already_revealed`: roll it to have another one; `conflict`: the organization never \
                                            had a subscription that gave access", body = Problem)))]
pub(crate) async fn reveal_key(
    State(state): State<ApiState>,
    caller: Caller,
    _: NoParams,
) -> Result<Json<ApiKeyBody>, ApiError> {
    let secret = api_key::reveal(&state.billing()?, &caller.organization).await?;
    let token = secret.expose_secret().to_owned();
    Ok(Json(ApiKeyBody { token }))
}

/// Roll the organization's API key
///
/// Makes another key; the former is refused at once.
#[utoipa::path(post, path = "/v1/billing/api-key/roll", operation_id = "roll_api_key", tag = "billing",
    responses((status = 201, description = "The new key", body = ApiKeyBody),
              (status = 409, description = "`conflict`: the organization never had a subscription that gave access",
               body = Problem)))]
pub(crate) async fn roll_key(
    State(state): State<ApiState>,
    caller: Caller,
    _: NoParams,
) -> Result<(StatusCode, Json<ApiKeyBody>), ApiError> {
    let secret = api_key::roll(&state.billing()?, &caller.organization).await?;
    let token = secret.expose_secret().to_owned();
    Ok((StatusCode::CREATED, Json(ApiKeyBody { token })))
}

/// List the organization's invoices
///
/// Newest first.
#[utoipa::path(get, path = "/v1/billing/invoices", operation_id = "list_invoices", tag = "billing",
    params(("limit" = Option<i64>, Query, description = "Items per page; 50 by default"),
           ("cursor" = Option<String>, Query, description = "`next_cursor` of the previous page")),
    responses((status = 200, description = "A page of invoices", body = InvoiceList)))]
pub(crate) async fn invoices(
    State(state): State<ApiState>,
    caller: Caller,
    mut params: Params,
) -> Result<Json<InvoiceList>, ApiError> {
    let billing = state.billing()?;
    let limit = params.limit();
    let after: Option<(DateTime<Utc>, String)> = params.cursor(INVOICES)?;
    params.finish()?;
    let list = invoices_of(&billing, &caller.organization, after, limit).await?;
    Ok(Json(list))
}

/// A page of an organization's invoices, newest first, after a position.
pub(crate) async fn invoices_of(
    billing: &Billing,
    organization: &OrganizationId,
    after: Option<(DateTime<Utc>, String)>,
    limit: i64,
) -> Result<InvoiceList, ApiError> {
    let mut data = standing::invoices(billing, organization, after, page(limit)).await?;
    let position = |it: &Invoice| (it.created_at, it.invoice_id.clone());
    let next_cursor = next_cursor(INVOICES, &mut data, limit, position)?;
    Ok(InvoiceList { data, next_cursor })
}

/// List the organization's payments
///
/// Newest first, those that failed included.
#[utoipa::path(get, path = "/v1/billing/payments", operation_id = "list_payments", tag = "billing",
    params(("limit" = Option<i64>, Query, description = "Items per page; 50 by default"),
           ("cursor" = Option<String>, Query, description = "`next_cursor` of the previous page")),
    responses((status = 200, description = "A page of payments", body = PaymentList)))]
pub(crate) async fn payments(
    State(state): State<ApiState>,
    caller: Caller,
    mut params: Params,
) -> Result<Json<PaymentList>, ApiError> {
    let billing = state.billing()?;
    let limit = params.limit();
    let after: Option<(DateTime<Utc>, String)> = params.cursor(PAYMENTS)?;
    params.finish()?;
    let list = payments_of(&billing, &caller.organization, after, limit).await?;
    Ok(Json(list))
}

/// A page of an organization's payments, newest first, after a position.
pub(crate) async fn payments_of(
    billing: &Billing,
    organization: &OrganizationId,
    after: Option<(DateTime<Utc>, String)>,
    limit: i64,
) -> Result<PaymentList, ApiError> {
    let mut found = standing::payments(billing, organization, after, page(limit)).await?;
    let position = |it: &Payment| (it.created_at, it.payment_id.clone());
    let next_cursor = next_cursor(PAYMENTS, &mut found, limit, position)?;
    let data = found.into_iter().map(PaymentBody::from).collect();
    Ok(PaymentList { data, next_cursor })
}
