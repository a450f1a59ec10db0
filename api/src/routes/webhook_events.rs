//! Events received by webhook: listing, reading and replaying them.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use common::db;
use common::webhook::queries::{self, EventFilter, StoredEvent};
use common::webhook::{EventStatus, replay};
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::auth::Caller;
use crate::input::{Fields, Ids, NoParams, OptionalFields, Params, next_cursor, page};
use crate::problem::{ApiError, Problem};
use crate::state::ApiState;

const STATUSES: [(&str, EventStatus); 4] = [
    ("pending", EventStatus::Pending),
    ("processed", EventStatus::Processed),
    ("ignored", EventStatus::Ignored),
    ("dead", EventStatus::Dead),
];
pub(super) const MAX_NAME_CHARS: usize = 255;

/// Why an event is dead.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EventError {
    /// Stable code, as of jobs.
    code: String,
    message: String,
}

/// Event received by webhook.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WebhookEvent {
    event_id: Uuid,
    /// Stripe's id of the event.
    #[schema(example = "evt_1PgafTB7WZ01zgkW")]
    stripe_event_id: String,
    endpoint_id: String,
    /// Connection whose endpoint received it; null for the endpoints of the platform.
    connection_id: Option<String>,
    #[serde(rename = "type")]
    #[schema(example = "charge.refunded")]
    event_type: String,
    /// Account that the event names, if any.
    account: Option<String>,
    livemode: Option<bool>,
    api_version: Option<String>,
    /// Object that the event is about, if it has an id.
    object_id: Option<String>,
    status: EventStatus,
    /// When it happened, by Stripe's clock.
    created_at: Option<DateTime<Utc>>,
    received_at: DateTime<Utc>,
    processed_at: Option<DateTime<Utc>>,
    /// How often it was tried to apply the event.
    attempts: i32,
    error: Option<EventError>,
}

impl TryFrom<StoredEvent> for WebhookEvent {
    type Error = ApiError;

    fn try_from(event: StoredEvent) -> Result<Self, ApiError> {
        Ok(Self {
            status: event.status.parse().map_err(ApiError::internal)?,
            event_id: event.event_id,
            stripe_event_id: event.external_event_id,
            endpoint_id: event.endpoint_id,
            connection_id: event.connection_id,
            event_type: event.event_type,
            account: event.account,
            livemode: event.livemode,
            api_version: event.api_version,
            object_id: event.object_id,
            created_at: event.created_at,
            received_at: event.received_at,
            processed_at: event.processed_at,
            attempts: event.attempts,
            error: event.error_code.map(|code| EventError {
                code,
                message: event.error_message.unwrap_or_default(),
            }),
        })
    }
}

/// Page of events.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WebhookEventList {
    data: Vec<WebhookEvent>,
    next_cursor: Option<String>,
}

/// List webhook events
///
/// Newest first.
#[utoipa::path(get, path = "/v1/webhooks/events", operation_id = "list_webhook_events", tag = "webhooks",
    params(("status" = Option<EventStatus>, Query, description = "Only events in this state"),
           ("type" = Option<String>, Query, description = "Only events of this type", example = "charge.refunded"),
           ("connection_id" = Option<String>, Query, description = "Only events of this connection"),
           ("account" = Option<String>, Query, description = "Only events that name this Stripe account",
            example = "acct_1PgafTB7WZ01zgkW"),
           ("received_from" = Option<DateTime<Utc>>, Query, description = "Only events received at this time or later"),
           ("received_to" = Option<DateTime<Utc>>, Query, description = "Only events received before this time"),
           ("limit" = Option<i64>, Query, description = "Items per page; 50 by default"),
           ("cursor" = Option<String>, Query, description = "`next_cursor` of the previous page")),
    responses((status = 200, description = "A page of events", body = WebhookEventList)))]
pub(crate) async fn list(
    State(state): State<ApiState>,
    caller: Caller,
    mut params: Params,
) -> Result<Json<WebhookEventList>, ApiError> {
    let filter = asked_for(&mut params);
    let limit = params.limit();
    let after: Option<(DateTime<Utc>, Uuid)> = params.cursor("webhook_events")?;
    params.finish()?;
    let organization = &caller.organization;
    let mut tx = state.begin(organization).await?;
    let mut found = queries::list(&mut tx, organization, &filter, after, page(limit)).await?;
    db::commit(tx).await?;
    let next_cursor = next_cursor("webhook_events", &mut found, limit, |event| {
        (event.received_at, event.event_id)
    })?;
    let data = found.into_iter().map(WebhookEvent::try_from);
    Ok(Json(WebhookEventList {
        data: data.collect::<Result<_, _>>()?,
        next_cursor,
    }))
}

/// The events that the parameters of a request ask for.
pub(super) fn asked_for(params: &mut Params) -> EventFilter {
    EventFilter {
        event_id: None,
        status: params.choice("status", &STATUSES),
        event_type: params.text("type"),
        connection_id: params.text("connection_id"),
        account: params.text("account"),
        received_from: params.instant("received_from"),
        received_to: params.instant("received_to"),
    }
}

/// Event with its payload.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WebhookEventDetail {
    #[serde(flatten)]
    event: WebhookEvent,
    /// Body of the webhook exactly as received; a string if it is not valid UTF-8.
    #[schema(value_type = Object)]
    payload: Payload,
}

/// The body of a webhook in an answer.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum Payload {
    Json(Box<RawValue>),
    Text(String),
}

impl Payload {
    pub(super) fn of(bytes: &[u8]) -> Self {
        serde_json::from_slice(bytes).map_or_else(
            |_| Self::Text(String::from_utf8_lossy(bytes).into_owned()),
            Self::Json,
        )
    }
}

/// Get a webhook event
#[utoipa::path(get, path = "/v1/webhooks/events/{event_id}", operation_id = "get_webhook_event", tag = "webhooks",
    params(("event_id" = Uuid, Path, description = "Event id")),
    responses((status = 200, description = "The event", body = WebhookEventDetail)))]
pub(crate) async fn get(
    State(state): State<ApiState>,
    caller: Caller,
    Ids(event_id): Ids<Uuid>,
    _: NoParams,
) -> Result<Json<WebhookEventDetail>, ApiError> {
    let organization = &caller.organization;
    let filter = EventFilter {
        event_id: Some(event_id),
        ..EventFilter::default()
    };
    let mut tx = state.begin(organization).await?;
    let found = queries::list(&mut tx, organization, &filter, None, 1).await?;
    let payload = queries::payload(&mut tx, organization, event_id).await?;
    db::commit(tx).await?;
    let event = found.into_iter().next().ok_or(ApiError::NotFound)?;
    Ok(Json(WebhookEventDetail {
        event: event.try_into()?,
        payload: Payload::of(&payload.unwrap_or_default()),
    }))
}

/// Events that were made pending.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WebhookReplay)]
pub(crate) struct Replayed {
    /// Number of events.
    pub(super) count: i64,
}

/// Replay a webhook event
///
/// Applies the event again, whatever became of it before: its object is read from Stripe and replaces what is stored.
#[utoipa::path(post, path = "/v1/webhooks/events/{event_id}/replay", operation_id = "replay_webhook_event",
    tag = "webhooks",
    params(("event_id" = Uuid, Path, description = "Event id")),
    responses((status = 202, description = "The event is pending", body = Replayed),
              (status = 404, description = "`not_found`: the organization has no such event",
               body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn replay_one(
    State(state): State<ApiState>,
    caller: Caller,
    Ids(event_id): Ids<Uuid>,
    _: NoParams,
) -> Result<(StatusCode, Json<Replayed>), ApiError> {
    let organization = &caller.organization;
    let filter = EventFilter {
        event_id: Some(event_id),
        ..EventFilter::default()
    };
    let mut tx = state.begin(organization).await?;
    let found = queries::list(&mut tx, organization, &filter, None, 1).await?;
    db::commit(tx).await?;
    if found.is_empty() {
        return Err(ApiError::NotFound);
    }
    let count = replay_all(&state, &caller, &filter).await?;
    Ok((StatusCode::ACCEPTED, Json(Replayed { count })))
}

async fn replay_all(
    state: &ApiState,
    caller: &Caller,
    filter: &EventFilter,
) -> Result<i64, ApiError> {
    let (connectors, now) = (state.connectors, state.clock.now());
    let replayed =
        replay::replay(&state.pool, connectors, &caller.organization, filter, now).await?;
    Ok(replayed.publish(&state.broker).await as i64)
}

/// Which events to replay.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "documents what is read by hand")]
pub(crate) struct ReplayRequest {
    /// State of the events.
    #[schema(value_type = Option<EventStatus>, default = "dead")]
    status: Option<String>,
    /// Type of the events.
    #[schema(value_type = Option<String>, min_length = 1, max_length = 255, pattern = "^[^\\u0000]*$")]
    r#type: Option<String>,
    /// Connection of the events.
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

/// Replay webhook events
///
/// Replays all events that match; without a `status` those that are dead. Applying an event twice changes nothing that was
/// right.
#[utoipa::path(post, path = "/v1/webhooks/replay", operation_id = "replay_webhook_events", tag = "webhooks",
    request_body(content = Option<ReplayRequest>, example = json!({"status": "dead", "dry_run": true})),
    responses((status = 202, description = "The events are pending, or counted if `dry_run` is true",
               body = Replayed)))]
pub(crate) async fn replay_matching(
    State(state): State<ApiState>,
    caller: Caller,
    _: NoParams,
    OptionalFields(mut fields): OptionalFields,
) -> Result<(StatusCode, Json<Replayed>), ApiError> {
    let filter = to_be_replayed(&mut fields);
    let dry_run = fields.boolean("dry_run").unwrap_or_default();
    fields.finish()?;
    let count = if dry_run {
        replay::count(&state.pool, &caller.organization, &filter).await?
    } else {
        replay_all(&state, &caller, &filter).await?
    };
    Ok((StatusCode::ACCEPTED, Json(Replayed { count })))
}

/// The events that the body of a request asks for; those that are dead where it names no status.
pub(super) fn to_be_replayed(fields: &mut Fields) -> EventFilter {
    let status = fields.choice("status", &STATUSES);
    EventFilter {
        event_id: None,
        status: Some(status.unwrap_or(EventStatus::Dead)),
        event_type: fields.text("type", MAX_NAME_CHARS),
        connection_id: fields.text("connection_id", MAX_NAME_CHARS),
        account: None,
        received_from: fields.instant("received_from"),
        received_to: fields.instant("received_to"),
    }
}
