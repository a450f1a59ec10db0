//! Events received by webhook: listing, reading and replaying them.

use std::mem;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use common::db;
use common::job::JobError;
use common::webhook::detail::{self, EventDetail};
use common::webhook::forward::{ForwardStatus, ForwardTypes};
use common::webhook::queries::forward::StoredForward;
use common::webhook::queries::{self, EventFilter, StoredEvent};
use common::webhook::replay::Replay;
use common::webhook::{Attempt, ChangedObject, EventState, replay};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::auth::Caller;
use crate::input::{Fields, Ids, NoParams, OptionalFields, Params, next_cursor, page};
use crate::problem::{ApiError, Problem};
use crate::state::ApiState;

/// The names by which a parameter or field asks for a state.
pub(crate) const STATES: [(&str, EventState); 6] = [
    ("pending", EventState::Pending),
    ("processing", EventState::Processing),
    ("processed", EventState::Processed),
    ("ignored", EventState::Ignored),
    ("failed", EventState::Failed),
    ("dead", EventState::Dead),
];
pub(crate) const MAX_NAME_CHARS: usize = 255;

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
    status: EventState,
    /// When it happened, by Stripe's clock.
    created_at: Option<DateTime<Utc>>,
    received_at: DateTime<Utc>,
    processed_at: Option<DateTime<Utc>>,
    /// Attempts at applying the event since it was received or last replayed.
    attempts: i32,
    /// When it is tried again, if the last attempt failed.
    next_attempt_at: Option<DateTime<Utc>>,
    /// Why the last attempt failed, if it did.
    error: Option<JobError>,
    /// Whether polling found the event: Stripe has not delivered it.
    missed: bool,
}

impl TryFrom<StoredEvent> for WebhookEvent {
    type Error = ApiError;

    fn try_from(event: StoredEvent) -> Result<Self, ApiError> {
        Ok(Self {
            status: event.state.parse().map_err(ApiError::internal)?,
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
            next_attempt_at: event.next_attempt_at,
            error: event.error_code.map(|code| JobError {
                code,
                message: event.error_message.unwrap_or_default(),
            }),
            missed: event.found_by_polling,
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
    params(("status" = Option<EventState>, Query, description = "Only events in this state"),
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
    let mut tx = state.begin(&caller.organization).await?;
    let organization = Some(caller.organization.as_str());
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

/// Delivery of an event to the internal handler.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WebhookForward {
    status: ForwardStatus,
    /// Delivery attempts that the handler answered. Timeouts, failed connections and the statuses 408, 429 and 5xx do not
    /// count.
    attempts: i32,
    /// When it is delivered next, unless a delivery is under way; null if the status is not `pending`.
    next_attempt_at: Option<DateTime<Utc>>,
    /// Why the last attempt failed.
    last_error: Option<String>,
    delivered_at: Option<DateTime<Utc>>,
}

impl TryFrom<StoredForward> for WebhookForward {
    type Error = ApiError;

    fn try_from(forward: StoredForward) -> Result<Self, ApiError> {
        Ok(Self {
            status: forward.status.parse().map_err(ApiError::internal)?,
            attempts: forward.attempts,
            next_attempt_at: forward.next_attempt_at,
            last_error: forward.last_error,
            delivered_at: forward.delivered_at,
        })
    }
}

/// The events that the parameters of a request ask for.
pub(crate) fn asked_for(params: &mut Params) -> EventFilter {
    EventFilter {
        event_id: None,
        state: params.choice("status", &STATES),
        event_type: params.text("type"),
        connection_id: params.text("connection_id"),
        account: params.text("account"),
        received_from: params.instant("received_from"),
        received_to: params.instant("received_to"),
    }
}

/// Event with its payload and its forwarding.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WebhookEventDetail {
    #[serde(flatten)]
    event: WebhookEvent,
    #[serde(flatten)]
    content: EventContent,
    /// Delivery to the internal handler; null if the event is not forwarded.
    forward: Option<WebhookForward>,
}

/// What an event says and what came of it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WebhookEventContent)]
pub(super) struct EventContent {
    /// Request to Stripe that caused the event; null if it was caused by none, such as a renewal.
    request: Option<EventRequest>,
    /// Attempts at applying the event, the first one first.
    history: Vec<Attempt>,
    /// Objects that were read again because of the event.
    changes: Vec<ChangedObject>,
    /// Stripe's id of the other event for the same change, because of which this one is ignored; null if there is none.
    #[schema(example = "evt_1PgafTB7WZ01zgkW")]
    twin_of: Option<String>,
    /// Body of the webhook exactly as received; a string if it is not valid UTF-8.
    #[schema(value_type = Object)]
    payload: Payload,
}

impl EventContent {
    /// Takes from an event what its list does not show.
    pub(super) fn take(event: &mut StoredEvent, payload: &[u8]) -> Self {
        Self {
            request: EventRequest::of(payload),
            history: mem::take(&mut event.history.0),
            changes: mem::take(&mut event.changes.0),
            twin_of: event.twin_of.take(),
            payload: Payload::of(payload),
        }
    }
}

/// Request to Stripe's API.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = WebhookEventRequest)]
pub(crate) struct EventRequest {
    /// Stripe's id of the request.
    pub(crate) id: Option<String>,
    idempotency_key: Option<String>,
}

impl EventRequest {
    /// A snapshot names it as `request`, of old versions by its id alone; a thin event as its reason.
    pub(crate) fn of(payload: &[u8]) -> Option<Self> {
        #[derive(Deserialize)]
        struct Event {
            request: Option<Either>,
            reason: Option<Reason>,
        }
        #[derive(Deserialize)]
        struct Reason {
            request: Option<Either>,
        }
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Either {
            Id(String),
            Request(EventRequest),
        }
        let event: Event = serde_json::from_slice(payload).ok()?;
        let request = match event.request.or_else(|| event.reason?.request)? {
            Either::Id(id) => Self {
                id: Some(id),
                idempotency_key: None,
            },
            Either::Request(request) => request,
        };
        Some(request).filter(|it| it.id.is_some() || it.idempotency_key.is_some())
    }
}

/// The body of a webhook in an answer.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Payload {
    Json(Box<RawValue>),
    Text(String),
}

impl Payload {
    fn of(bytes: &[u8]) -> Self {
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
    let found = detail::find(&state.pool, &caller.organization, event_id).await?;
    let EventDetail {
        mut event,
        payload,
        forward,
    } = found.ok_or(ApiError::NotFound)?;
    Ok(Json(WebhookEventDetail {
        content: EventContent::take(&mut event, &payload),
        event: event.try_into()?,
        forward: forward.map(TryInto::try_into).transpose()?,
    }))
}

/// Events that were made pending or are forwarded again.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WebhookReplay)]
pub(crate) struct Replayed {
    /// Number of events.
    pub(super) count: i64,
}

/// What else to do with an event that is applied again.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "documents what is read by hand")]
pub(crate) struct ReplayOneRequest {
    /// Whether the event is delivered to the internal handler again.
    #[schema(default = false)]
    forward: Option<bool>,
}

/// Replay a webhook event
///
/// Applies the event again, whatever became of it before: its object is read from Stripe and replaces what is stored. With
/// `forward`, it is also delivered to the internal handler again.
#[utoipa::path(post, path = "/v1/webhooks/events/{event_id}/replay", operation_id = "replay_webhook_event",
    tag = "webhooks",
    params(("event_id" = Uuid, Path, description = "Event id")),
    request_body(content = Option<ReplayOneRequest>, example = json!({"forward": true})),
    responses((status = 202, description = "The event is pending", body = Replayed),
              (status = 404, description = "`not_found`: the organization has no such event", body = Problem)))]
pub(crate) async fn replay_one(
    State(state): State<ApiState>,
    caller: Caller,
    Ids(event_id): Ids<Uuid>,
    _: NoParams,
    OptionalFields(mut fields): OptionalFields,
) -> Result<(StatusCode, Json<Replayed>), ApiError> {
    let forward = forwarded_types(&state, &mut fields);
    let organization = &caller.organization;
    let filter = EventFilter {
        event_id: Some(event_id),
        ..EventFilter::default()
    };
    let mut tx = state.begin(organization).await?;
    let found = queries::list(&mut tx, Some(organization.as_str()), &filter, None, 1).await?;
    db::commit(tx).await?;
    let event = found.into_iter().next().ok_or(ApiError::NotFound)?;
    if forward.is_some_and(|types| !types.contain(&event.event_type)) {
        let detail = format!(
            "needs a type in WEBHOOK_FORWARD_TYPES, which does not have {}",
            event.event_type
        );
        fields.refuse("forward", detail);
    }
    fields.finish()?;
    let replay = Replay {
        events: &filter,
        forward,
    };
    let count = replay_all(&state, &caller, replay).await?;
    Ok((StatusCode::ACCEPTED, Json(Replayed { count })))
}

/// The types of events whose delivery is to be repeated; none unless the body asks for that.
fn forwarded_types<'a>(state: &'a ApiState, fields: &mut Fields) -> Option<&'a ForwardTypes> {
    if !fields.boolean("forward").unwrap_or_default() {
        return None;
    }
    let types = state.forward_types.as_deref();
    if types.is_none() {
        fields.refuse("forward", "needs WEBHOOK_FORWARD_URL, which is not set");
    }
    types
}

/// Makes events pending and wakes who applies them; how many.
pub(crate) async fn replay_all(
    state: &ApiState,
    caller: &Caller,
    replay: Replay<'_>,
) -> Result<i64, ApiError> {
    let (connectors, now) = (state.connectors, state.clock.now());
    let replayed =
        replay::replay(&state.pool, connectors, &caller.organization, replay, now).await?;
    Ok(replayed.publish(&state.broker).await as i64)
}

/// Which events to replay.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "documents what is read by hand")]
pub(crate) struct ReplayRequest {
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
    /// Whether to also deliver the events to the internal handler again; only types that are forwarded are.
    #[schema(default = false)]
    forward: Option<bool>,
    /// Only counts the events.
    #[schema(default = false)]
    dry_run: Option<bool>,
}

/// Replay webhook events
///
/// Replays all events that match; without a `status`, those that are dead. It is safe to apply an event more than once. With
/// `forward`, they are also delivered to the internal handler again.
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
    let forward = forwarded_types(&state, &mut fields);
    fields.finish()?;
    let replay = Replay {
        events: &filter,
        forward,
    };
    let count = if dry_run {
        replay::count(&state.pool, &caller.organization, replay).await?
    } else {
        replay_all(&state, &caller, replay).await?
    };
    Ok((StatusCode::ACCEPTED, Json(Replayed { count })))
}

/// The events that the body of a request asks for; those that are dead where it names no status.
pub(super) fn to_be_replayed(fields: &mut Fields) -> EventFilter {
    let status = fields.choice("status", &STATES);
    EventFilter {
        event_id: None,
        state: Some(status.unwrap_or(EventState::Dead)),
        event_type: fields.text("type", MAX_NAME_CHARS),
        connection_id: fields.text("connection_id", MAX_NAME_CHARS),
        account: None,
        received_from: fields.instant("received_from"),
        received_to: fields.instant("received_to"),
    }
}
