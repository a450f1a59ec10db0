//! Events of all organizations and of the platform itself, for operators: the same calls as an organization has for its own.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use common::webhook::EventState;
use common::webhook::operator::{self, Selection};
use common::webhook::queries::StoredEvent;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::webhook_events::{
    EventContent, MAX_NAME_CHARS, Replayed, WebhookEvent, asked_for, to_be_replayed,
};
use super::webhook_stats::{WebhookStats, received_range};
use crate::auth::Operator;
use crate::input::{Ids, NoParams, OptionalFields, Params, next_cursor, page};
use crate::problem::{ApiError, Problem};
use crate::state::ApiState;

const CURSOR: &str = "operator_webhook_events";

/// Event received by webhook, of any organization.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OperatorWebhookEvent {
    /// Organization that the event concerns; `_platform` if it concerns none.
    #[schema(example = "_platform")]
    organization_id: String,
    #[serde(flatten)]
    event: WebhookEvent,
}

impl TryFrom<StoredEvent> for OperatorWebhookEvent {
    type Error = ApiError;

    fn try_from(event: StoredEvent) -> Result<Self, ApiError> {
        Ok(Self {
            organization_id: event.organization_id.clone(),
            event: event.try_into()?,
        })
    }
}

/// Page of events.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OperatorWebhookEventList {
    data: Vec<OperatorWebhookEvent>,
    next_cursor: Option<String>,
}

/// List webhook events of all organizations
///
/// Newest first, those of the platform itself included. Needs an operator's token.
#[utoipa::path(get, path = "/v1/operator/webhooks/events", operation_id = "list_operator_webhook_events",
    tag = "operator",
    params(("organization_id" = Option<String>, Query,
            description = "Only events of this organization; `_platform` for those that concern none",
            example = "_platform"),
           ("status" = Option<EventState>, Query, description = "Only events in this state"),
           ("type" = Option<String>, Query, description = "Only events of this type", example = "charge.refunded"),
           ("connection_id" = Option<String>, Query, description = "Only events of this connection"),
           ("account" = Option<String>, Query, description = "Only events that name this Stripe account",
            example = "acct_1PgafTB7WZ01zgkW"),
           ("received_from" = Option<DateTime<Utc>>, Query, description = "Only events received at this time or later"),
           ("received_to" = Option<DateTime<Utc>>, Query, description = "Only events received before this time"),
           ("limit" = Option<i64>, Query, description = "Items per page; 50 by default"),
           ("cursor" = Option<String>, Query, description = "`next_cursor` of the previous page")),
    responses((status = 200, description = "A page of events", body = OperatorWebhookEventList)))]
pub(crate) async fn list(
    State(state): State<ApiState>,
    _: Operator,
    mut params: Params,
) -> Result<Json<OperatorWebhookEventList>, ApiError> {
    let selection = Selection {
        organization: params.text("organization_id"),
        filter: asked_for(&mut params),
    };
    let limit = params.limit();
    let after: Option<(DateTime<Utc>, Uuid)> = params.cursor(CURSOR)?;
    params.finish()?;
    let mut found = operator::list(&state.pool, &selection, after, page(limit)).await?;
    let next_cursor = next_cursor(CURSOR, &mut found, limit, |event| {
        (event.received_at, event.event_id)
    })?;
    let data = found.into_iter().map(OperatorWebhookEvent::try_from);
    Ok(Json(OperatorWebhookEventList {
        data: data.collect::<Result<_, _>>()?,
        next_cursor,
    }))
}

/// Event of any organization with its payload.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OperatorWebhookEventDetail {
    #[serde(flatten)]
    event: OperatorWebhookEvent,
    #[serde(flatten)]
    content: EventContent,
}

/// Get a webhook event of any organization
///
/// Needs an operator's token.
#[utoipa::path(get, path = "/v1/operator/webhooks/events/{event_id}", operation_id = "get_operator_webhook_event",
    tag = "operator",
    params(("event_id" = Uuid, Path, description = "Event id")),
    responses((status = 200, description = "The event", body = OperatorWebhookEventDetail),
              (status = 404, description = "`not_found`: there is no such event", body = Problem)))]
pub(crate) async fn get(
    State(state): State<ApiState>,
    _: Operator,
    Ids(event_id): Ids<Uuid>,
    _: NoParams,
) -> Result<Json<OperatorWebhookEventDetail>, ApiError> {
    let found = operator::find(&state.pool, event_id).await?;
    let (mut event, payload) = found.ok_or(ApiError::NotFound)?;
    Ok(Json(OperatorWebhookEventDetail {
        content: EventContent::take(&mut event, &payload),
        event: event.try_into()?,
    }))
}

/// Get webhook statistics of all organizations
///
/// As those of one organization. Needs an operator's token.
#[utoipa::path(get, path = "/v1/operator/webhooks/stats", operation_id = "get_operator_webhook_stats", tag = "operator",
    params(("organization_id" = Option<String>, Query,
            description = "Only events of this organization; `_platform` for those that concern none",
            example = "_platform"),
           ("from" = Option<DateTime<Utc>>, Query, description = "Received at this time or later; 24 hours ago by default"),
           ("to" = Option<DateTime<Utc>>, Query, description = "Received before this time; now by default")),
    responses((status = 200, description = "The statistics", body = WebhookStats)))]
pub(crate) async fn stats(
    State(state): State<ApiState>,
    _: Operator,
    mut params: Params,
) -> Result<Json<WebhookStats>, ApiError> {
    let now = state.clock.now();
    let organization = params.text("organization_id");
    let range = received_range(&mut params, now);
    params.finish()?;
    let statistics = operator::statistics(&state.pool, organization.as_deref(), range).await?;
    Ok(Json(WebhookStats::of(statistics, now)))
}

/// Replay a webhook event of any organization
///
/// Applies the event again, whatever its state. The count is 0 if it is pending or being applied, or if it was ignored and belongs
/// to no connection. Needs an operator's token.
#[utoipa::path(post, path = "/v1/operator/webhooks/events/{event_id}/replay",
    operation_id = "replay_operator_webhook_event", tag = "operator",
    params(("event_id" = Uuid, Path, description = "Event id")),
    responses((status = 202, description = "The event is pending", body = Replayed),
              (status = 404, description = "`not_found`: there is no such event", body = Problem)))]
pub(crate) async fn replay_one(
    State(state): State<ApiState>,
    _: Operator,
    Ids(event_id): Ids<Uuid>,
    _: NoParams,
) -> Result<(StatusCode, Json<Replayed>), ApiError> {
    let selection = Selection::event(event_id);
    if operator::list(&state.pool, &selection, None, 1)
        .await?
        .is_empty()
    {
        return Err(ApiError::NotFound);
    }
    let count = replay_all(&state, &selection).await?;
    Ok((StatusCode::ACCEPTED, Json(Replayed { count })))
}

async fn replay_all(state: &ApiState, selection: &Selection) -> Result<i64, ApiError> {
    let (connectors, now) = (state.connectors, state.clock.now());
    let of_all = operator::replay_of_all(&state.pool, connectors, selection, now).await?;
    let mut count = 0;
    for replayed in of_all.replayed {
        count += replayed.publish(&state.broker).await as i64;
    }
    match of_all.failure {
        None => Ok(count),
        Some(cause) => Err(cause.into()),
    }
}

/// Which events to replay.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "documents what is read by hand")]
pub(crate) struct OperatorReplayRequest {
    /// Only events of this organization.
    #[schema(min_length = 1, max_length = 255, pattern = "^[^\\u0000]*$")]
    organization_id: Option<String>,
    /// Only events in this state.
    #[schema(value_type = Option<EventState>, default = "dead")]
    status: Option<String>,
    /// Only events of this type.
    #[schema(value_type = Option<String>, min_length = 1, max_length = 255, pattern = "^[^\\u0000]*$")]
    r#type: Option<String>,
    /// Only events of this connection.
    #[schema(min_length = 1, max_length = 255, pattern = "^[^\\u0000]*$")]
    connection_id: Option<String>,
    /// Only events received at this time or later.
    received_from: Option<DateTime<Utc>>,
    /// Only events received before this time.
    received_to: Option<DateTime<Utc>>,
    /// Only counts the events.
    #[schema(default = false)]
    dry_run: Option<bool>,
}

/// Replay webhook events of all organizations
///
/// Replays all events that match; without a `status`, those that are dead. Ignored events that belong to no connection are not
/// included, since nothing applies them. Needs an operator's token.
#[utoipa::path(post, path = "/v1/operator/webhooks/replay", operation_id = "replay_operator_webhook_events",
    tag = "operator",
    request_body(content = Option<OperatorReplayRequest>, example = json!({"status": "dead", "dry_run": true})),
    responses((status = 202, description = "The events are pending, or counted if `dry_run` is true",
               body = Replayed)))]
pub(crate) async fn replay_matching(
    State(state): State<ApiState>,
    _: Operator,
    _: NoParams,
    OptionalFields(mut fields): OptionalFields,
) -> Result<(StatusCode, Json<Replayed>), ApiError> {
    let selection = Selection {
        organization: fields.text("organization_id", MAX_NAME_CHARS),
        filter: to_be_replayed(&mut fields),
    };
    let dry_run = fields.boolean("dry_run").unwrap_or_default();
    fields.finish()?;
    let count = if dry_run {
        operator::count(&state.pool, &selection).await?
    } else {
        replay_all(&state, &selection).await?
    };
    Ok((StatusCode::ACCEPTED, Json(Replayed { count })))
}
