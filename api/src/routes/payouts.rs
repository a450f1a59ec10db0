//! Payouts of the organization's account to its bank, those that Stripe makes by the schedule included, and what the account
//! holds.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use chrono::{DateTime, NaiveDate, Utc};
use common::money::Currency;
use common::tenant::OrganizationId;
use platform::ledger::balance::balance;
use platform::ledger::payout::{NewPayout, pay_out};
use platform::ledger::{
    self, Entry, EntryDetail, EntryKind, EntryState, Ledger, PayoutMethod, PayoutStatus,
    payout_failure,
};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::connected_accounts::require_own;
use super::transfers::{MoneyError, refuse_refused};
use crate::auth::Caller;
use crate::input::{Fields, IdempotencyKey, Ids, NoParams, Params, given, next_cursor, page};
use crate::problem::{ApiError, Problem};
use crate::state::ApiState;

pub(crate) const LIST: &str = "payouts";

/// Status of a payout: `pending`, not yet sent to the bank; `in_transit`; `paid`, which may still become `failed` within
/// days; `failed`, the bank returned it, or Stripe refused it; `canceled`; `unknown`, Stripe has not answered, and the engine
/// keeps checking.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum PayoutState {
    Pending,
    InTransit,
    Paid,
    Failed,
    Canceled,
    Unknown,
}

impl PayoutState {
    fn of(state: EntryState, status: Option<PayoutStatus>) -> Self {
        match (state, status) {
            (EntryState::Failed, _) | (EntryState::Done, Some(PayoutStatus::Failed)) => {
                Self::Failed
            }
            (EntryState::Done, Some(PayoutStatus::Pending) | None) => Self::Pending,
            (EntryState::Done, Some(PayoutStatus::InTransit)) => Self::InTransit,
            (EntryState::Done, Some(PayoutStatus::Paid)) => Self::Paid,
            (EntryState::Done, Some(PayoutStatus::Canceled)) => Self::Canceled,
            (EntryState::Intended | EntryState::Sent | EntryState::Unknown, _) => Self::Unknown,
        }
    }
}

/// Payout to the bank of the organization's account.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Payout)]
pub(crate) struct PayoutBody {
    pub(crate) payout_id: Uuid,
    #[schema(example = "po_1PgafTB7WZ01zgkWx2y3z4A5")]
    pub(crate) stripe_payout_id: Option<String>,
    /// In minor units.
    pub(crate) amount: i64,
    #[schema(example = "usd")]
    pub(crate) currency: String,
    pub(crate) status: PayoutState,
    pub(crate) method: PayoutMethod,
    /// When the bank is expected to have it.
    pub(crate) arrival_date: Option<NaiveDate>,
    /// Whether Stripe made it by the payout schedule.
    pub(crate) automatic: bool,
    /// Why it failed, in words.
    pub(crate) failure: Option<MoneyError>,
    pub(crate) created_at: DateTime<Utc>,
}

impl From<Entry> for PayoutBody {
    fn from(entry: Entry) -> Self {
        let (method, status, arrival_date, automatic) = match entry.detail {
            EntryDetail::Payout {
                method,
                status,
                arrival_date,
                automatic,
            } => (method, status, arrival_date, automatic),
            EntryDetail::Transfer { .. } | EntryDetail::Reversal { .. } => {
                (PayoutMethod::Standard, None, None, false)
            }
        };
        let failure = entry.error.map(|error| MoneyError {
            message: payout_failure(&error),
            code: error.code,
        });
        Self {
            payout_id: entry.entry_id,
            stripe_payout_id: entry.external_id,
            amount: entry.money.minor,
            currency: entry.money.currency.as_str().to_owned(),
            status: PayoutState::of(entry.state, status),
            method,
            arrival_date,
            automatic,
            failure,
            created_at: entry.created_at,
        }
    }
}

/// Page of payouts.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PayoutList {
    pub(crate) data: Vec<PayoutBody>,
    pub(crate) next_cursor: Option<String>,
}

/// A page of an organization's payouts, newest first, after a position.
pub(crate) async fn page_of(
    ledger: &Ledger,
    organization: &OrganizationId,
    after: Option<(DateTime<Utc>, Uuid)>,
    limit: i64,
) -> Result<PayoutList, ApiError> {
    let kind = EntryKind::Payout;
    let mut entries = ledger::list(ledger, organization, kind, after, page(limit)).await?;
    let position = |entry: &Entry| (entry.created_at, entry.entry_id);
    let next_cursor = next_cursor(LIST, &mut entries, limit, position)?;
    let data = entries.into_iter().map(PayoutBody::from).collect();
    Ok(PayoutList { data, next_cursor })
}

/// Payout to make.
#[derive(ToSchema)]
#[schema(as = PayoutRequest)]
#[expect(dead_code, reason = "documents what is read by hand")]
pub(crate) struct PayoutRequest {
    /// In minor units.
    #[schema(minimum = 1, maximum = 999_999_999_999_i64)]
    amount: i64,
    /// Lower-case ISO 4217 code.
    #[schema(pattern = "^[a-z]{3}$")]
    currency: String,
    /// `standard` by default.
    method: Option<PayoutMethod>,
}

/// Pay out the organization's account
///
/// Sends money from the account's available balance to its bank. Repeating the call with the same `Idempotency-Key` and body
/// pays out once and returns the same payout. If Stripe does not answer, the status is `unknown`; repeat the call later for the
/// outcome.
#[utoipa::path(post, path = "/v1/connect/payouts", operation_id = "create_payout", tag = "connect",
    params(("Idempotency-Key" = String, Header, description = "Names this request; 1 to 255 visible ASCII characters",
            example = "payout-2026-11-21")),
    request_body(content = PayoutRequest, example = json!({"amount": 900, "currency": "usd"})),
    responses((status = 201, description = "The payout", body = PayoutBody),
              (status = 400, description = "`idempotency_key_required` or `malformed_json`", body = Problem),
              (status = 409, description = "`idempotency_conflict`: the key was used for another request; \
                                            `account_not_ready` or `account_disconnected`", body = Problem),
              (status = 422, description = "`invalid_request`, or `stripe_refused`: see `stripe_code` and `stripe_message`",
               body = Problem)))]
pub(crate) async fn create(
    State(state): State<ApiState>,
    caller: Caller,
    IdempotencyKey(key): IdempotencyKey,
    _: NoParams,
    mut fields: Fields,
) -> Result<(StatusCode, Json<PayoutBody>), ApiError> {
    let ledger = state.ledger()?;
    let amount = fields.required_amount("amount");
    let currency = fields.required_currency("currency");
    let methods = PayoutMethod::ALL.map(|method| (method.as_str(), method));
    let method = fields.choice("method", &methods);
    fields.finish()?;
    let (amount, currency) = given(amount.zip(currency))?;
    let asked = NewPayout {
        amount,
        currency,
        method: method.unwrap_or(PayoutMethod::Standard),
    };
    let entry = pay_out(&ledger, &caller.organization, asked, &key).await?;
    refuse_refused(&entry)?;
    Ok((StatusCode::CREATED, Json(entry.into())))
}

/// List payouts
///
/// Newest first, including those that Stripe creates according to the schedule.
#[utoipa::path(get, path = "/v1/connect/payouts", operation_id = "list_payouts", tag = "connect",
    params(("limit" = Option<i64>, Query, description = "Items per page; 50 by default"),
           ("cursor" = Option<String>, Query, description = "`next_cursor` of the previous page")),
    responses((status = 200, description = "A page of payouts", body = PayoutList)))]
pub(crate) async fn list(
    State(state): State<ApiState>,
    caller: Caller,
    mut params: Params,
) -> Result<Json<PayoutList>, ApiError> {
    let ledger = state.ledger()?;
    let limit = params.limit();
    let after: Option<(DateTime<Utc>, Uuid)> = params.cursor(LIST)?;
    params.finish()?;
    let list = page_of(&ledger, &caller.organization, after, limit).await?;
    Ok(Json(list))
}

/// Sum of a balance in a currency.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BalanceSum {
    #[schema(example = "usd")]
    currency: String,
    /// In minor units; negative if the account owes it.
    amount: i64,
}

/// What the organization's account holds.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Balance)]
pub(crate) struct BalanceBody {
    /// May be paid out now.
    available: Vec<BalanceSum>,
    /// Becomes available later.
    pending: Vec<BalanceSum>,
    /// When Stripe was asked.
    as_of: DateTime<Utc>,
}

/// Get the balance of the organization's account
///
/// As Stripe has it now. If Stripe does not answer, as it was at `as_of`, when it last did.
#[utoipa::path(get, path = "/v1/connect/balance/{org}", operation_id = "get_balance", tag = "connect",
    params(("org" = String, Path, description = "The token's own organization")),
    responses((status = 200, description = "The balance", body = BalanceBody),
              (status = 409, description = "`account_not_ready` or `account_disconnected`", body = Problem)))]
pub(crate) async fn get_balance(
    State(state): State<ApiState>,
    caller: Caller,
    Ids(organization): Ids<String>,
    _: NoParams,
) -> Result<Json<BalanceBody>, ApiError> {
    require_own(&caller, &organization)?;
    let reading = balance(&state.ledger()?, &caller.organization).await?;
    Ok(Json(BalanceBody {
        available: sums(reading.balance.available),
        pending: sums(reading.balance.pending),
        as_of: reading.as_of,
    }))
}

fn sums(sums: Vec<(Currency, i64)>) -> Vec<BalanceSum> {
    let sums = sums.into_iter().map(|(currency, amount)| BalanceSum {
        currency: currency.as_str().to_owned(),
        amount,
    });
    sums.collect()
}
