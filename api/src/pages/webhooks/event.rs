//! One event: what it said, each attempt at applying it, what it changed, and its delivery to the internal handler.
//!
//! While the event is not done the page asks for itself every few seconds, so that a replay is seen to succeed.

use askama::Template;
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Redirect, Response};
use chrono_tz::Tz;
use common::connection::Connection;
use common::connection::overview::Overview;
use common::webhook::detail::{self, EventDetail};
use common::webhook::forward::ForwardStatus;
use common::webhook::queries::EventFilter;
use common::webhook::queries::forward::StoredForward;
use common::webhook::replay::Replay;
use common::webhook::{Attempt, AttemptOutcome, ChangedObject, EventState};
use uuid::Uuid;

use super::figures::duration;
use super::replay::{FORWARD, MAX_FORM_BYTES};
use super::{PATH, connections, mark_of};
use crate::input::{Ids, Params, read_body};
use crate::pages::Viewer;
use crate::pages::format::LocaleFormat;
use crate::pages::layout::{Layout, Page, Section};
use crate::pages::mark::{Mark, Shape, Tone};
use crate::pages::moment::Moment;
use crate::pages::permission::may_change;
use crate::pages::stripe_dashboard;
use crate::pages::visit::Visit;
use crate::problem::ApiError;
use crate::routes::webhook_events::{EventRequest, replay_all};
use crate::state::ApiState;

/// Something of Stripe's, with where its dashboard shows it.
#[derive(Debug)]
struct StripeObject {
    /// What it is, in words.
    kind: String,
    id: String,
    address: Option<String>,
}

impl StripeObject {
    fn new(object: &str, id: &str, livemode: Option<bool>) -> Self {
        Self {
            kind: object.replace(['_', '.'], " "),
            id: id.to_owned(),
            address: stripe_dashboard::address_of(object, id, livemode),
        }
    }
}

/// The connection whose endpoint received the event.
#[derive(Debug)]
struct Receiver {
    name: String,
    /// None when the connection was deleted since.
    address: Option<String>,
}

#[derive(Debug)]
struct AttemptRow {
    outcome: Mark,
    started: Moment,
    took: String,
    handler: String,
    error: Option<String>,
}

#[derive(Debug)]
struct ForwardState {
    state: Mark,
    attempts: i32,
    delivered: Option<Moment>,
    next_attempt: Option<Moment>,
    last_error: Option<String>,
}

#[derive(Debug, Template)]
#[template(path = "webhook_event.html")]
struct EventPage {
    layout: Layout,
    address: String,
    event_type: String,
    state: Mark,
    /// What the state means and what to do; empty where the word says all.
    advice: &'static str,
    error: Option<String>,
    next_attempt: Option<Moment>,
    /// Whether the state is going to change by itself.
    is_open: bool,
    /// None for who may not replay it; else whether its delivery can be repeated.
    replay: Option<bool>,
    event: StripeObject,
    received: Moment,
    happened: Option<Moment>,
    processed: Option<Moment>,
    receiver: Option<Receiver>,
    account: Option<String>,
    api_version: Option<String>,
    request_id: Option<String>,
    missed: bool,
    twin: Option<StripeObject>,
    changes: Vec<StripeObject>,
    attempts: Vec<AttemptRow>,
    forward: Option<ForwardState>,
    payload: String,
}

/// `GET /webhooks/events/{event_id}`.
pub(super) async fn show(
    Visit(state, viewer, locale): Visit,
    Ids(event_id): Ids<Uuid>,
) -> Result<Response, ApiError> {
    let found = detail::find(&state.pool, &viewer.organization, event_id).await?;
    let detail = found.ok_or(ApiError::NotFound)?;
    let connections = connections(&state, &viewer).await?;
    let event_type = &detail.event.event_type;
    let test_mode = detail.event.livemode == Some(false);
    let layout =
        Layout::for_viewer(&state, &viewer, Section::Webhooks, event_type, test_mode).await?;
    let replay = may_change(&viewer).then(|| is_forwarded(&state, event_type));
    let page = EventPage::new(layout, &locale, detail, &connections, replay);
    Ok(Page(page).into_response())
}

/// `POST /webhooks/events/{event_id}/replay`.
pub(super) async fn replay(
    State(state): State<ApiState>,
    viewer: Viewer,
    Ids(event_id): Ids<Uuid>,
    request: Request,
) -> Result<Response, ApiError> {
    let body = read_body(request.into_body(), &state, MAX_FORM_BYTES).await?;
    let mut params = Params::parse(&String::from_utf8_lossy(&body));
    let forward = params.text(FORWARD).is_some();
    params.finish()?;
    let found = detail::find(&state.pool, &viewer.organization, event_id).await?;
    found.ok_or(ApiError::NotFound)?;
    let filter = EventFilter {
        event_id: Some(event_id),
        ..EventFilter::default()
    };
    let types = state.forward_types.clone();
    let replay = Replay {
        events: &filter,
        forward: types.as_deref().filter(|_| forward),
    };
    replay_all(&state, &viewer.into(), replay).await?;
    Ok(Redirect::to(&address_of(event_id)).into_response())
}

fn address_of(event_id: Uuid) -> String {
    format!("{PATH}/events/{event_id}")
}

fn is_forwarded(state: &ApiState, event_type: &str) -> bool {
    let types = state.forward_types.as_deref();
    types.is_some_and(|types| types.contain(event_type))
}

impl EventPage {
    fn new(
        layout: Layout,
        locale: &LocaleFormat,
        detail: EventDetail,
        connections: &[Overview],
        replay: Option<bool>,
    ) -> Self {
        let EventDetail {
            event,
            payload,
            forward,
        } = detail;
        let connection = event.connection_id.as_deref().and_then(|id| {
            let mut all = connections.iter().map(|it| &it.connection);
            all.find(|it| it.connection_id == id)
        });
        let zone = connection.map_or(Tz::UTC, |connection| connection.timezone);
        let moment = |at| Moment::exact(at, locale, zone);
        let stripe = |object: &str, id: &str| StripeObject::new(object, id, event.livemode);
        let state = event.state.parse().unwrap_or(EventState::Pending);
        let changes = &event.changes.0;
        let attempts = event.history.0.iter();
        Self {
            layout,
            address: address_of(event.event_id),
            state: mark_of(&event.state),
            advice: advice(state, event.twin_of.is_some()),
            is_open: matches!(
                state,
                EventState::Pending | EventState::Processing | EventState::Failed
            ),
            replay: replay.filter(|_| event.connection_id.is_some()),
            event: stripe("event", &event.external_event_id),
            received: moment(event.received_at),
            happened: event.created_at.map(moment),
            processed: event.processed_at.map(moment),
            next_attempt: event
                .next_attempt_at
                .map(|at| Moment::new(at, locale, zone)),
            receiver: event.connection_id.as_deref().map(|id| Receiver {
                name: connection.map_or(id, Connection::display_name).to_owned(),
                address: connection.map(|it| format!("/connections/{}", it.connection_id)),
            }),
            twin: event.twin_of.as_deref().map(|twin| stripe("event", twin)),
            changes: changes
                .iter()
                .map(|ChangedObject { object, id }| stripe(object, id))
                .collect(),
            attempts: attempts
                .map(|it| AttemptRow::new(it, locale, zone))
                .collect(),
            forward: forward.map(|it| ForwardState::new(it, locale, zone)),
            request_id: EventRequest::of(&payload).and_then(|request| request.id),
            payload: indented(&payload),
            event_type: event.event_type,
            error: event.error_message.or(event.error_code),
            account: event.account,
            api_version: event.api_version,
            missed: event.found_by_polling,
        }
    }
}

fn advice(state: EventState, has_twin: bool) -> &'static str {
    match state {
        EventState::Dead => {
            "Every attempt at applying it failed, and it is not tried again by itself. Once the cause is gone, it can be replayed. \
             The next scheduled sync reads what it is about in any case."
        }
        EventState::Failed => {
            "The last attempt at applying it failed. It is tried again by itself."
        }
        EventState::Ignored if has_twin => "Another event reports the same change.",
        EventState::Ignored => "It changes nothing that is stored here.",
        EventState::Pending | EventState::Processing | EventState::Processed => "",
    }
}

impl AttemptRow {
    fn new(attempt: &Attempt, locale: &LocaleFormat, zone: Tz) -> Self {
        let took = (attempt.finished_at - attempt.started_at).as_seconds_f64() * 1_000.0;
        let error = attempt.error.as_ref();
        Self {
            outcome: match attempt.outcome {
                AttemptOutcome::Processed => Mark::new("Applied", Shape::Check, Tone::Good),
                AttemptOutcome::Failed => Mark::new("Failed", Shape::Cross, Tone::Error),
            },
            started: Moment::exact(attempt.started_at, locale, zone),
            took: duration(Some(took.max(0.0)), locale),
            handler: attempt.handler.clone(),
            error: error.map(|error| error.message.clone()),
        }
    }
}

impl ForwardState {
    fn new(forward: StoredForward, locale: &LocaleFormat, zone: Tz) -> Self {
        let moment = |at| Moment::new(at, locale, zone);
        let state = forward.status.parse().unwrap_or(ForwardStatus::Pending);
        Self {
            state: match state {
                ForwardStatus::Pending => Mark::new("Waiting", Shape::Circle, Tone::Quiet),
                ForwardStatus::Delivered => Mark::new("Delivered", Shape::Check, Tone::Good),
                ForwardStatus::Dead => Mark::new("Failed", Shape::Cross, Tone::Error),
            },
            attempts: forward.attempts,
            delivered: forward.delivered_at.map(moment),
            next_attempt: forward.next_attempt_at.map(moment),
            last_error: forward.last_error,
        }
    }
}

/// A body as indented JSON with its members in their order, or as it is where it is no JSON.
fn indented(payload: &[u8]) -> String {
    let mut text = Vec::new();
    let mut from = serde_json::Deserializer::from_slice(payload);
    let written =
        serde_transcode::transcode(&mut from, &mut serde_json::Serializer::pretty(&mut text));
    let shown = match written {
        Ok(()) => &text,
        Err(_) => payload,
    };
    String::from_utf8_lossy(shown).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_is_indented_and_keeps_its_order_and_what_is_no_json_is_shown_as_it_is() {
        let shown = indented(br#"{"b":1,"a":[0.5,"<x>"]}"#);
        assert_eq!(
            shown,
            "{\n  \"b\": 1,\n  \"a\": [\n    0.5,\n    \"<x>\"\n  ]\n}"
        );
        assert_eq!(indented(b"{\"b\": "), "{\"b\": ");
        assert_eq!(indented(b"\xff"), "\u{fffd}");
    }
}
