//! Webhooks: how fast and how well events arrive and are applied, the state of each connection's endpoint, and the events.
//!
//! The address has `range` (of the statistics), the parameters of `GET /v1/webhooks/events` (of the list), and `replayed`,
//! by which the page says what a replay did. The list is of all stored events, whatever the range.
//!
//! Fails like the calls that it reads by. Deliberately absent: setting an endpoint up, which is on the page of its
//! connection, and the events of the platform, which belong to no organization.

pub(super) mod endpoints;
mod event;
mod figures;
mod replay;

use askama::Template;
use axum::Router;
use axum::extract::RawQuery;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use common::connection::overview::{self, Overview};
use common::db;
use common::webhook::queries::{self, EventFilter, StoredEvent};
use common::webhook::statistics::{self, Statistics};
use common::webhook::{EventState, endpoint};
use uuid::Uuid;

use self::endpoints::EndpointRow;
use self::figures::Figures;
use super::Viewer;
use super::address::Address;
use super::format::LocaleFormat;
use super::layout::{Layout, Page, Section};
use super::mark::{Mark, Shape, Tone};
use super::moment::Moment;
use super::permission::may_change;
use super::question::Choice;
use super::visit::Visit;
use crate::input::{Params, next_cursor, page};
use crate::problem::ApiError;
use crate::routes::webhook_events::{STATES, asked_for};
use crate::state::ApiState;

const PATH: &str = "/webhooks";
const CURSOR: &str = "cursor";
const RANGE: &str = "range";
const REPLAYED: &str = "replayed";
/// The parameters that say which events the list shows.
const FILTERS: [&str; 6] = [
    "status",
    "type",
    "connection_id",
    "account",
    "received_from",
    "received_to",
];
/// Events of a page of the list.
const EVENTS: i64 = 50;
/// Connections whose endpoints are listed.
const MAX_CONNECTIONS: i64 = 1000;

/// The pages of this section. They belong behind the layer that asks for a session.
pub(super) fn router() -> Router<ApiState> {
    Router::new()
        .route(PATH, get(show))
        .route(replay::PATH, get(replay::confirm).post(replay::replay))
        .route("/webhooks/events/{event_id}", get(event::show))
        .route("/webhooks/events/{event_id}/replay", post(event::replay))
}

/// A stretch of time up to now that the statistics are about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Range {
    Hour,
    Day,
    Week,
}

impl Range {
    const NAMES: [(&'static str, Self); 3] =
        [("1h", Self::Hour), ("24h", Self::Day), ("7d", Self::Week)];

    fn label(self) -> &'static str {
        match self {
            Self::Hour => "1 hour",
            Self::Day => "24 hours",
            Self::Week => "7 days",
        }
    }

    fn length(self) -> TimeDelta {
        match self {
            Self::Hour => TimeDelta::hours(1),
            Self::Day => TimeDelta::hours(24),
            Self::Week => TimeDelta::days(7),
        }
    }
}

/// An event in the list.
#[derive(Debug)]
struct EventRow {
    event_id: Uuid,
    event_type: String,
    object_id: Option<String>,
    /// The name of the account; none where there is only one.
    account: Option<String>,
    state: Mark,
    /// Why the last attempt failed.
    error: Option<String>,
    missed: bool,
    received: Moment,
}

#[derive(Debug, Template)]
#[template(path = "webhooks.html")]
struct WebhooksPage {
    layout: Layout,
    locale: LocaleFormat,
    may_change: bool,
    /// How many events a replay has just made pending.
    replayed: Option<u64>,
    endpoints: Vec<EndpointRow>,
    ranges: Vec<Choice>,
    figures: Figures,
    events: Vec<EventRow>,
    states: Vec<Choice>,
    event_type: String,
    accounts: Vec<Choice>,
    /// What the form of the filters sends with its fields.
    address: Address,
    is_filtered: bool,
    /// Whether the list does not begin with the newest event.
    is_later_page: bool,
    without_filters: String,
    newest: String,
    older: Option<String>,
    replay_matching: String,
    replay_dead: String,
    dead_events: String,
}

/// What the address asks for.
struct Wanted {
    range: Range,
    replayed: Option<u64>,
    filter: EventFilter,
    after: Option<(DateTime<Utc>, Uuid)>,
}

impl Wanted {
    fn read(address: &Address) -> Result<Self, ApiError> {
        let mut params = Params::parse(&address.query());
        let range = params.choice(RANGE, &Range::NAMES);
        let replayed = params.text(REPLAYED);
        let filter = asked_for(&mut params);
        let after = params.cursor("webhook_events")?;
        params.finish()?;
        Ok(Self {
            range: range.unwrap_or(Range::Day),
            replayed: replayed.and_then(|count| count.parse().ok()),
            filter,
            after,
        })
    }
}

/// What is stored of webhooks.
struct Loaded {
    connections: Vec<Overview>,
    endpoints: Vec<endpoint::ListedEndpoint>,
    statistics: Statistics,
    events: Vec<StoredEvent>,
    next_cursor: Option<String>,
}

/// `GET /webhooks`.
async fn show(
    Visit(state, viewer, locale): Visit,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiError> {
    let address = Address::new(PATH, &query.unwrap_or_default());
    let wanted = Wanted::read(&address)?;
    let now = state.clock.now();
    let loaded = load(&state, &viewer, &wanted, now).await?;
    let test_mode = are_of_test_mode(&loaded.connections);
    let layout =
        Layout::for_viewer(&state, &viewer, Section::Webhooks, "Webhooks", test_mode).await?;
    let page = WebhooksPage::new(
        layout,
        locale,
        may_change(&viewer),
        &address,
        wanted,
        loaded,
        now,
    );
    Ok(Page(page).into_response())
}

async fn load(
    state: &ApiState,
    viewer: &Viewer,
    wanted: &Wanted,
    now: DateTime<Utc>,
) -> Result<Loaded, ApiError> {
    let organization = &viewer.organization;
    let connections = connections(state, viewer).await?;
    let endpoints = endpoint::list(&state.pool, organization).await?;
    // What is received at this moment belongs to the range.
    let range = now - wanted.range.length()..now + TimeDelta::seconds(1);
    let mut tx = state.begin(organization).await?;
    let statistics = statistics::get(&mut tx, Some(organization.as_str()), range).await?;
    let mut events = queries::list(
        &mut tx,
        Some(organization.as_str()),
        &wanted.filter,
        wanted.after,
        page(EVENTS),
    )
    .await?;
    db::commit(tx).await?;
    let next_cursor = next_cursor("webhook_events", &mut events, EVENTS, |event| {
        (event.received_at, event.event_id)
    })?;
    Ok(Loaded {
        connections,
        endpoints,
        statistics,
        events,
        next_cursor,
    })
}

async fn connections(state: &ApiState, viewer: &Viewer) -> Result<Vec<Overview>, ApiError> {
    let (pool, connectors) = (&state.pool, state.connectors);
    let organization = &viewer.organization;
    Ok(overview::list(pool, connectors, organization, None, MAX_CONNECTIONS).await?)
}

impl WebhooksPage {
    fn new(
        layout: Layout,
        locale: LocaleFormat,
        may_change: bool,
        address: &Address,
        wanted: Wanted,
        loaded: Loaded,
        now: DateTime<Utc>,
    ) -> Self {
        let address = &address.without(REPLAYED);
        let newest = address.without(CURSOR);
        let without_filters = without_filters(&newest);
        let zone = zone_of(&loaded.connections);
        let ranges = Range::NAMES.map(|(name, range)| {
            Choice::of(address, RANGE, name, range.label(), range == wanted.range)
        });
        let dead = Address::new(PATH, "status=dead");
        let matching = newest.without(RANGE).at(replay::PATH);
        let names = AccountNames::of(&loaded.connections);
        let events = loaded.events.into_iter();
        Self {
            endpoints: endpoints::rows(&loaded.connections, &loaded.endpoints, &locale, zone),
            figures: Figures::new(
                &loaded.statistics,
                wanted.range.length(),
                now,
                &newest,
                &locale,
                zone,
            ),
            events: events
                .map(|event| EventRow::new(event, &names, &locale, zone))
                .collect(),
            states: states(wanted.filter.state),
            accounts: names.choices(wanted.filter.connection_id.as_deref()),
            event_type: wanted.filter.event_type.unwrap_or_default(),
            is_filtered: without_filters != newest,
            is_later_page: wanted.after.is_some(),
            older: loaded
                .next_cursor
                .map(|cursor| address.with(CURSOR, &cursor).to_string()),
            replay_matching: matching.to_string(),
            replay_dead: dead.at(replay::PATH).to_string(),
            dead_events: dead.to_string(),
            without_filters: without_filters.to_string(),
            newest: newest.to_string(),
            address: newest,
            replayed: wanted.replayed,
            ranges: ranges.into(),
            may_change,
            layout,
            locale,
        }
    }
}

fn without_filters(address: &Address) -> Address {
    let mut address = address.clone();
    for filter in FILTERS {
        address = address.without(filter);
    }
    address
}

impl EventRow {
    fn new(event: StoredEvent, names: &AccountNames, locale: &LocaleFormat, zone: Tz) -> Self {
        Self {
            state: mark_of(&event.state),
            account: names.in_list(event.connection_id.as_deref()),
            error: event.error_message.or(event.error_code),
            missed: event.found_by_polling,
            received: Moment::new(event.received_at, locale, zone),
            event_id: event.event_id,
            event_type: event.event_type,
            object_id: event.object_id,
        }
    }
}

/// The names of the accounts, which the list needs where there are several.
struct AccountNames(Vec<(String, String)>);

impl AccountNames {
    fn of(connections: &[Overview]) -> Self {
        let names = connections.iter().map(|it| {
            let connection = &it.connection;
            (
                connection.connection_id.clone(),
                connection.display_name().to_owned(),
            )
        });
        Self(names.collect())
    }

    fn in_list(&self, connection_id: Option<&str>) -> Option<String> {
        if self.0.len() < 2 {
            return None;
        }
        connection_id.map(|id| self.name(id))
    }

    /// The name of a connection's account; its id where it was deleted since.
    fn name(&self, connection_id: &str) -> String {
        let known = self.0.iter().find(|(id, _)| id == connection_id);
        known.map_or(connection_id, |(_, name)| name).to_owned()
    }

    fn choices(&self, chosen: Option<&str>) -> Vec<Choice> {
        let choices = self.0.iter().map(|(id, name)| Choice {
            label: name.clone(),
            value: id.clone(),
            address: String::new(),
            chosen: chosen == Some(id.as_str()),
        });
        choices.collect()
    }
}

/// Whether all connections are of Stripe's test mode, where there are any.
fn are_of_test_mode(connections: &[Overview]) -> bool {
    let is_test = |it: &Overview| !it.connection.livemode;
    !connections.is_empty() && connections.iter().all(is_test)
}

/// The time zone of the connections, where they have the same.
fn zone_of(connections: &[Overview]) -> Tz {
    let mut zones = connections.iter().map(|it| it.connection.timezone);
    match zones.next() {
        Some(zone) if zones.all(|other| other == zone) => zone,
        _ => Tz::UTC,
    }
}

fn states(chosen: Option<EventState>) -> Vec<Choice> {
    let choices = STATES.map(|(name, state)| Choice {
        label: state_mark(state).word.to_owned(),
        value: name.to_owned(),
        address: String::new(),
        chosen: chosen == Some(state),
    });
    choices.into()
}

fn state_mark(state: EventState) -> Mark {
    match state {
        EventState::Pending => Mark::new("Waiting", Shape::Circle, Tone::Quiet),
        EventState::Processing => Mark::new("Being applied", Shape::Clock, Tone::Quiet),
        EventState::Processed => Mark::new("Applied", Shape::Check, Tone::Good),
        EventState::Ignored => Mark::new("Not needed", Shape::Dash, Tone::Quiet),
        EventState::Failed => Mark::new("Retrying", Shape::Triangle, Tone::Warning),
        EventState::Dead => Mark::new("Failed", Shape::Cross, Tone::Error),
    }
}

/// The mark of a stored state; one that this version does not know is shown as waiting.
fn mark_of(state: &str) -> Mark {
    state_mark(state.parse().unwrap_or(EventState::Pending))
}
