//! Replaying all events that match: a page that counts them without changing anything, whose form replays them.
//!
//! The form sends the filters that were counted and the moment of counting, so that what arrives in between is no part of
//! it. What else changes in between is: an event that is no longer dead is not replayed as a dead one.

use askama::Template;
use axum::extract::{RawQuery, Request, State};
use axum::response::{IntoResponse as _, Redirect, Response};
use chrono::SecondsFormat;
use common::webhook::forward::ForwardTypes;
use common::webhook::queries::EventFilter;
use common::webhook::replay::{self, Replay};

use super::{AccountNames, REPLAYED, are_of_test_mode, connections, state_mark};
use crate::input::{Params, read_body};
use crate::pages::Viewer;
use crate::pages::address::Address;
use crate::pages::format::LocaleFormat;
use crate::pages::layout::{Layout, Page, Section};
use crate::pages::permission::require_admin;
use crate::pages::visit::Visit;
use crate::problem::ApiError;
use crate::routes::webhook_events::{asked_for, replay_all};
use crate::state::ApiState;

pub(super) const PATH: &str = "/webhooks/replay";
/// The name of the field that asks for deliveries to the internal handler as well.
pub(super) const FORWARD: &str = "forward";
const RECEIVED_TO: &str = "received_to";
/// Bytes of the longest form that is taken.
pub(super) const MAX_FORM_BYTES: usize = 16 << 10;

#[derive(Debug, Template)]
#[template(path = "webhook_replay.html")]
struct ReplayPage {
    layout: Layout,
    locale: LocaleFormat,
    /// What the events have in common, in words.
    criteria: Vec<(&'static str, String)>,
    count: u64,
    /// How many events it would be with their deliveries; none where nothing is forwarded.
    with_forwards: Option<u64>,
    /// The fields that the form sends along.
    address: Address,
    back: String,
}

/// `GET /webhooks/replay`: the dry count.
pub(super) async fn confirm(
    Visit(state, viewer, locale): Visit,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiError> {
    require_admin(&viewer)?;
    let address = Address::new(PATH, &query.unwrap_or_default());
    let mut params = Params::parse(&address.query());
    let mut filter = asked_for(&mut params);
    params.finish()?;
    let back = address.at(super::PATH).to_string();
    let until = filter.received_to.unwrap_or_else(|| state.clock.now());
    filter.received_to = Some(until);
    let until = until.to_rfc3339_opts(SecondsFormat::Micros, true);
    let count = count(&state, &viewer, &filter, None).await?;
    let with_forwards = match state.forward_types.as_deref() {
        Some(types) => Some(self::count(&state, &viewer, &filter, Some(types)).await?),
        None => None,
    };
    let connections = connections(&state, &viewer).await?;
    let test_mode = are_of_test_mode(&connections);
    let title = "Replay events";
    let page = ReplayPage {
        layout: Layout::for_viewer(&state, &viewer, Section::Webhooks, title, test_mode).await?,
        locale,
        criteria: criteria(&filter, &AccountNames::of(&connections)),
        count,
        with_forwards,
        address: address.with(RECEIVED_TO, &until),
        back,
    };
    Ok(Page(page).into_response())
}

/// `POST /webhooks/replay`.
pub(super) async fn replay(
    State(state): State<ApiState>,
    viewer: Viewer,
    request: Request,
) -> Result<Response, ApiError> {
    let body = read_body(request.into_body(), &state, MAX_FORM_BYTES).await?;
    let mut params = Params::parse(&String::from_utf8_lossy(&body));
    let filter = asked_for(&mut params);
    let forward = params.text(FORWARD).is_some();
    params.finish()?;
    let types = state.forward_types.clone();
    let replay = Replay {
        events: &filter,
        forward: types.as_deref().filter(|_| forward),
    };
    let count = replay_all(&state, &viewer.into(), replay).await?;
    let back = Address::new(super::PATH, "").with(REPLAYED, &count.to_string());
    Ok(Redirect::to(&back.to_string()).into_response())
}

async fn count(
    state: &ApiState,
    viewer: &Viewer,
    events: &EventFilter,
    forward: Option<&ForwardTypes>,
) -> Result<u64, ApiError> {
    let replay = Replay { events, forward };
    let count = replay::count(&state.pool, &viewer.organization, replay).await?;
    Ok(u64::try_from(count).unwrap_or_default())
}

/// What events have in common, in words.
fn criteria(filter: &EventFilter, names: &AccountNames) -> Vec<(&'static str, String)> {
    let state = filter.state.map(|state| state_mark(state).word.to_owned());
    let connection = filter.connection_id.as_deref().map(|id| names.name(id));
    let from = filter
        .received_from
        .map(|at| at.to_rfc3339_opts(SecondsFormat::Secs, true));
    let given = [
        ("State", state),
        ("Type", filter.event_type.clone()),
        ("Account", connection),
        ("Stripe account", filter.account.clone()),
        ("Received since", from),
    ];
    let given = given.into_iter();
    given
        .filter_map(|(name, value)| Some((name, value?)))
        .collect()
}
