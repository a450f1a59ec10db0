//! Transfers to the organization's account, and their reversals.
//!
//! A refusal of Stripe's is an error of the call; a transfer of which it is not known yet whether it was made is an answer.

use std::collections::HashMap;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use common::tenant::OrganizationId;
use platform::ledger::reversal::{self, NewReversal};
use platform::ledger::transfer::{self, NewTransfer};
use platform::ledger::{
    self, Entry, EntryDetail, EntryKind, EntryState, Ledger, NOT_MADE, after_refusal,
};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::auth::Caller;
use crate::input::{
    Fields, IdempotencyKey, Ids, NoParams, OptionalFields, Params, given, next_cursor, page,
};
use crate::platform_problem::PlatformProblem;
use crate::problem::{ApiError, Problem};
use crate::state::ApiState;

pub(crate) const LIST: &str = "transfers";
const MAX_ID_CHARS: usize = 255;
const MAX_DESCRIPTION_CHARS: usize = 500;

/// Status of a transfer or reversal: `created`, it exists at Stripe; `unknown`, Stripe has not answered, and the engine keeps
/// checking; `failed`, it was not made.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum TransferStatus {
    Created,
    Unknown,
    Failed,
}

impl From<EntryState> for TransferStatus {
    fn from(state: EntryState) -> Self {
        match state {
            EntryState::Done => Self::Created,
            EntryState::Failed => Self::Failed,
            EntryState::Intended | EntryState::Sent | EntryState::Unknown => Self::Unknown,
        }
    }
}

/// Why money did not move.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MoneyError {
    /// Stripe's code, if it gave one; `not_made` if no answer came and nothing was made.
    #[schema(example = "balance_insufficient")]
    pub(crate) code: Option<String>,
    pub(crate) message: String,
}

/// Money taken back from a transfer.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TransferReversal)]
pub(crate) struct ReversalBody {
    pub(crate) reversal_id: Uuid,
    #[schema(example = "trr_1PgafTB7WZ01zgkWx2y3z4A5")]
    pub(crate) stripe_reversal_id: Option<String>,
    pub(crate) status: TransferStatus,
    /// What moves back, in minor units.
    pub(crate) amount: i64,
    /// Part of its fee that the platform gives up, in minor units.
    pub(crate) refunded_fee: i64,
    pub(crate) error: Option<MoneyError>,
    pub(crate) created_at: DateTime<Utc>,
}

/// Transfer to the organization's account.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Transfer)]
pub(crate) struct TransferBody {
    pub(crate) transfer_id: Uuid,
    #[schema(example = "tr_1PgafTB7WZ01zgkWx2y3z4A5")]
    pub(crate) stripe_transfer_id: Option<String>,
    pub(crate) status: TransferStatus,
    /// What the fee is taken from, in minor units: the sum of `platform_fee` and `net`.
    pub(crate) amount: i64,
    /// Fee that the platform keeps, in minor units.
    pub(crate) platform_fee: i64,
    /// Amount transferred to the account, in minor units.
    pub(crate) net: i64,
    #[schema(example = "usd")]
    pub(crate) currency: String,
    pub(crate) source_charge: Option<String>,
    pub(crate) transfer_group: Option<String>,
    pub(crate) description: Option<String>,
    pub(crate) error: Option<MoneyError>,
    /// Part of `net` that was taken back, in minor units.
    pub(crate) reversed: i64,
    /// Oldest first.
    pub(crate) reversals: Vec<ReversalBody>,
    pub(crate) created_at: DateTime<Utc>,
}

/// Page of transfers.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TransferList {
    pub(crate) data: Vec<TransferBody>,
    pub(crate) next_cursor: Option<String>,
}

fn money_error(entry: &Entry) -> Option<MoneyError> {
    let error = entry.error.as_ref()?;
    Some(MoneyError {
        code: error.code.clone(),
        message: error.message.clone(),
    })
}

fn reversal_body(entry: &Entry) -> ReversalBody {
    let refunded_fee = match entry.detail {
        EntryDetail::Reversal { platform_fee, .. } => platform_fee,
        EntryDetail::Transfer { .. } | EntryDetail::Payout { .. } => 0,
    };
    ReversalBody {
        reversal_id: entry.entry_id,
        stripe_reversal_id: entry.external_id.clone(),
        status: entry.state.into(),
        amount: entry.money.minor,
        refunded_fee,
        error: money_error(entry),
        created_at: entry.created_at,
    }
}

impl TransferBody {
    /// What of it is neither reversed nor being reversed.
    pub(crate) fn left(&self) -> i64 {
        let counts = |it: &&ReversalBody| !matches!(it.status, TransferStatus::Failed);
        let reversals = self.reversals.iter().filter(counts);
        self.net - reversals.map(|it| it.amount).sum::<i64>()
    }

    fn of(entry: Entry, reversals: &[&Entry]) -> Self {
        let error = money_error(&entry);
        let made = |it: &&&Entry| it.state == EntryState::Done;
        let reversed = reversals.iter().filter(made).map(|it| it.money.minor).sum();
        let (platform_fee, source_charge, transfer_group, description) = match entry.detail {
            EntryDetail::Transfer {
                platform_fee,
                source_charge,
                transfer_group,
                description,
            } => (platform_fee, source_charge, transfer_group, description),
            EntryDetail::Reversal { .. } | EntryDetail::Payout { .. } => (0, None, None, None),
        };
        Self {
            transfer_id: entry.entry_id,
            stripe_transfer_id: entry.external_id,
            status: entry.state.into(),
            amount: entry.money.minor + platform_fee,
            platform_fee,
            net: entry.money.minor,
            currency: entry.money.currency.as_str().to_owned(),
            source_charge,
            transfer_group,
            description,
            error,
            reversed,
            reversals: reversals.iter().map(|it| reversal_body(it)).collect(),
            created_at: entry.created_at,
        }
    }
}

/// Entries with their reversals.
async fn bodies(
    ledger: &Ledger,
    organization: &OrganizationId,
    entries: Vec<Entry>,
) -> Result<Vec<TransferBody>, ApiError> {
    let found = transfer::reversals(ledger, organization, &entries).await?;
    let mut reversals: HashMap<Uuid, Vec<&Entry>> = HashMap::new();
    for entry in &found {
        if let EntryDetail::Reversal { transfer_id, .. } = entry.detail {
            reversals.entry(transfer_id).or_default().push(entry);
        }
    }
    let body = |entry: Entry| {
        let of_transfer = reversals.remove(&entry.entry_id).unwrap_or_default();
        TransferBody::of(entry, &of_transfer)
    };
    Ok(entries.into_iter().map(body).collect())
}

/// A page of an organization's transfers, newest first, after a position.
pub(crate) async fn page_of(
    ledger: &Ledger,
    organization: &OrganizationId,
    after: Option<(DateTime<Utc>, Uuid)>,
    limit: i64,
) -> Result<TransferList, ApiError> {
    let kind = EntryKind::Transfer;
    let mut entries = ledger::list(ledger, organization, kind, after, page(limit)).await?;
    let position = |entry: &Entry| (entry.created_at, entry.entry_id);
    let next_cursor = next_cursor(LIST, &mut entries, limit, position)?;
    let data = bodies(ledger, organization, entries).await?;
    Ok(TransferList { data, next_cursor })
}

/// An organization's transfer.
pub(crate) async fn find(
    ledger: &Ledger,
    organization: &OrganizationId,
    transfer_id: Uuid,
) -> Result<TransferBody, ApiError> {
    let entry = ledger::find(ledger, organization, EntryKind::Transfer, transfer_id).await?;
    body(ledger, organization, entry).await
}

async fn body(
    ledger: &Ledger,
    organization: &OrganizationId,
    entry: Entry,
) -> Result<TransferBody, ApiError> {
    let mut bodies = bodies(ledger, organization, vec![entry]).await?;
    bodies.pop().ok_or(ApiError::NotFound)
}

/// What Stripe refused is an error of the call; what was given up after a day without an answer is not.
pub(super) fn refuse_refused(entry: &Entry) -> Result<(), PlatformProblem> {
    let failed = entry.error.as_ref();
    let failed = failed.filter(|_| entry.state == EntryState::Failed);
    match failed {
        Some(error) if error.code.as_deref() != Some(NOT_MADE) => {
            Err(PlatformProblem::StripeRefused {
                advice: after_refusal(error.code.as_deref()),
                code: error.code.clone(),
                message: error.message.clone(),
            })
        }
        _ => Ok(()),
    }
}

/// Transfer to make.
#[derive(ToSchema)]
#[schema(as = TransferRequest)]
#[expect(dead_code, reason = "documents what is read by hand")]
pub(crate) struct TransferRequest {
    /// Amount before the fee, in minor units. The platform keeps its fee and transfers the rest.
    #[schema(minimum = 1, maximum = 999_999_999_999_i64)]
    amount: i64,
    /// Lower-case ISO 4217 code.
    #[schema(pattern = "^[a-z]{3}$")]
    currency: String,
    /// Charge of the platform's own account that the money comes from, so that it may move before the charge has settled.
    #[schema(min_length = 1, max_length = 255, pattern = "^[^\\u0000]*$")]
    source_charge: Option<String>,
    /// Groups transfers at Stripe.
    #[schema(min_length = 1, max_length = 255, pattern = "^[^\\u0000]*$")]
    transfer_group: Option<String>,
    #[schema(min_length = 1, max_length = 500, pattern = "^[^\\u0000]*$")]
    description: Option<String>,
}

/// Transfer money to the organization's account
///
/// Deducts the platform's fee, which is the organization's percentage with half a minor unit rounded up, and transfers the
/// rest. Repeating the call with the same `Idempotency-Key` and body moves the money once and returns the same transfer. If
/// Stripe does not answer, the status is `unknown`; repeat the call later for the outcome.
#[utoipa::path(post, path = "/v1/connect/transfer", operation_id = "create_transfer", tag = "connect",
    params(("Idempotency-Key" = String, Header, description = "Names this request; 1 to 255 visible ASCII characters",
            example = "order-1042")),
    request_body(content = TransferRequest, example = json!({"amount": 1000, "currency": "usd"})),
    responses((status = 201, description = "The transfer", body = TransferBody),
              (status = 400, description = "`idempotency_key_required` or `malformed_json`", body = Problem),
              (status = 409, description = "`idempotency_conflict`: the key was used for another request; \
                                            `account_not_ready` or `account_disconnected`", body = Problem),
              (status = 422, description = "`invalid_request`, also if the fee leaves nothing to transfer; `stripe_refused`: see \
                                            `stripe_code` and `stripe_message`", body = Problem)))]
pub(crate) async fn create(
    State(state): State<ApiState>,
    caller: Caller,
    IdempotencyKey(key): IdempotencyKey,
    _: NoParams,
    mut fields: Fields,
) -> Result<(StatusCode, Json<TransferBody>), ApiError> {
    let default_fee = state.platform()?.default_fee;
    let ledger = state.ledger()?;
    let amount = fields.required_amount("amount");
    let currency = fields.required_currency("currency");
    let source_charge = fields.text("source_charge", MAX_ID_CHARS);
    let transfer_group = fields.text("transfer_group", MAX_ID_CHARS);
    let description = fields.text("description", MAX_DESCRIPTION_CHARS);
    fields.finish()?;
    let (amount, currency) = given(amount.zip(currency))?;
    let asked = NewTransfer {
        amount,
        currency,
        source_charge,
        transfer_group,
        description,
    };
    let organization = &caller.organization;
    let entry = transfer::transfer(&ledger, organization, asked, &key, default_fee).await?;
    refuse_refused(&entry)?;
    let body = body(&ledger, organization, entry).await?;
    Ok((StatusCode::CREATED, Json(body)))
}

/// List transfers
///
/// Newest first, each with its reversals.
#[utoipa::path(get, path = "/v1/connect/transfers", operation_id = "list_transfers", tag = "connect",
    params(("limit" = Option<i64>, Query, description = "Items per page; 50 by default"),
           ("cursor" = Option<String>, Query, description = "`next_cursor` of the previous page")),
    responses((status = 200, description = "A page of transfers", body = TransferList)))]
pub(crate) async fn list(
    State(state): State<ApiState>,
    caller: Caller,
    mut params: Params,
) -> Result<Json<TransferList>, ApiError> {
    let ledger = state.ledger()?;
    let limit = params.limit();
    let after: Option<(DateTime<Utc>, Uuid)> = params.cursor(LIST)?;
    params.finish()?;
    let list = page_of(&ledger, &caller.organization, after, limit).await?;
    Ok(Json(list))
}

/// Get a transfer
#[utoipa::path(get, path = "/v1/connect/transfers/{transfer_id}", operation_id = "get_transfer", tag = "connect",
    params(("transfer_id" = Uuid, Path, description = "Transfer id")),
    responses((status = 200, description = "The transfer with its reversals", body = TransferBody)))]
pub(crate) async fn get(
    State(state): State<ApiState>,
    caller: Caller,
    Ids(transfer_id): Ids<Uuid>,
    _: NoParams,
) -> Result<Json<TransferBody>, ApiError> {
    let ledger = state.ledger()?;
    let found = find(&ledger, &caller.organization, transfer_id).await?;
    Ok(Json(found))
}

/// Reversal to make.
#[derive(ToSchema)]
#[schema(as = ReversalRequest)]
#[expect(dead_code, reason = "documents what is read by hand")]
pub(crate) struct ReversalRequest {
    /// Amount of `net` to take back, in minor units; all that is left by default.
    #[schema(minimum = 1, maximum = 999_999_999_999_i64)]
    amount: Option<i64>,
    /// Whether the platform gives up its fee on this part. This is only recorded and moves no money.
    #[schema(default = false)]
    refund_fee: Option<bool>,
}

/// Reverse a transfer
///
/// Takes back all that is left of the transfer, or a part. Can be repeated until nothing is left. The account's balance must
/// cover the amount.
#[utoipa::path(post, path = "/v1/connect/transfers/{transfer_id}/reverse", operation_id = "reverse_transfer", tag = "connect",
    params(("transfer_id" = Uuid, Path, description = "Transfer id"),
           ("Idempotency-Key" = String, Header, description = "Names this request; 1 to 255 visible ASCII characters",
            example = "return-1042")),
    request_body(content = Option<ReversalRequest>, example = json!({"amount": 450})),
    responses((status = 201, description = "The transfer with its reversals", body = TransferBody),
              (status = 400, description = "`idempotency_key_required` or `malformed_json`", body = Problem),
              (status = 409, description = "`conflict`: the transfer failed, or its outcome is not known yet; \
                                            `idempotency_conflict`, `account_not_ready` or `account_disconnected`", body = Problem),
              (status = 422, description = "`invalid_request`, also if the amount exceeds what is left; `stripe_refused`: see \
                                            `stripe_code` and `stripe_message`", body = Problem)))]
pub(crate) async fn reverse(
    State(state): State<ApiState>,
    caller: Caller,
    Ids(transfer_id): Ids<Uuid>,
    IdempotencyKey(key): IdempotencyKey,
    _: NoParams,
    OptionalFields(mut fields): OptionalFields,
) -> Result<(StatusCode, Json<TransferBody>), ApiError> {
    let ledger = state.ledger()?;
    let asked = NewReversal {
        transfer_id,
        amount: fields.amount("amount"),
        refund_fee: fields.boolean("refund_fee").unwrap_or_default(),
    };
    fields.finish()?;
    let organization = &caller.organization;
    let reversal = reversal::reverse(&ledger, organization, asked, &key).await?;
    refuse_refused(&reversal)?;
    let body = find(&ledger, organization, transfer_id).await?;
    Ok((StatusCode::CREATED, Json(body)))
}
