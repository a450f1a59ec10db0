//! The state of each connection's endpoint in words, with what to do where something is wrong.

use chrono_tz::Tz;
use common::connection::overview::Overview;
use common::webhook::endpoint::{EndpointStatus, ListedEndpoint};

use crate::pages::format::LocaleFormat;
use crate::pages::mark::{Mark, Shape, Tone};
use crate::pages::moment::Moment;
use crate::pages::stripe_dashboard;

/// A connection and the state of its endpoint.
#[derive(Debug)]
pub(super) struct EndpointRow {
    pub(super) account: String,
    pub(super) connection_id: String,
    pub(super) state: Mark,
    /// What the state means and what to do.
    pub(super) text: &'static str,
    /// Whether the page of the connection is where to do it.
    pub(super) on_connection: bool,
    /// Where in Stripe's dashboard to do it.
    pub(super) dashboard: Option<&'static str>,
    pub(super) last_event: Option<Moment>,
}

pub(super) fn rows(
    connections: &[Overview],
    endpoints: &[ListedEndpoint],
    locale: &LocaleFormat,
    zone: Tz,
) -> Vec<EndpointRow> {
    let rows = connections.iter().map(|it| {
        let connection = &it.connection;
        let id = &connection.connection_id;
        let endpoint = endpoints.iter().find(|other| other.connection_id == *id);
        let known = endpoint.map(|endpoint| (endpoint.status, endpoint.has_secret));
        let advice = Advice::of(known);
        let last_event = endpoint.and_then(|endpoint| endpoint.last_event_at);
        let dashboard = stripe_dashboard::webhooks(connection.livemode);
        EndpointRow {
            account: connection.display_name().to_owned(),
            connection_id: id.clone(),
            state: advice.state,
            text: advice.text,
            on_connection: advice.on_connection,
            dashboard: advice.in_dashboard.then_some(dashboard),
            last_event: last_event.map(|at| Moment::new(at, locale, zone)),
        }
    });
    rows.collect()
}

/// The state of a connection's endpoint; none where there is no endpoint.
pub(in crate::pages) fn state(endpoint: Option<&ListedEndpoint>) -> Mark {
    let known = endpoint.map(|endpoint| (endpoint.status, endpoint.has_secret));
    Advice::of(known).state
}

struct Advice {
    state: Mark,
    text: &'static str,
    on_connection: bool,
    in_dashboard: bool,
}

impl Advice {
    /// By an endpoint's status and whether it has a secret; none where there is no endpoint.
    fn of(endpoint: Option<(EndpointStatus, bool)>) -> Self {
        let (state, text, on_connection, in_dashboard) = match endpoint {
            None => (
                Mark::new("Not set up", Shape::Circle, Tone::Quiet),
                "Changes arrive with the next scheduled sync. With webhooks they arrive within seconds.",
                true,
                false,
            ),
            Some((_, false)) => (
                Mark::new("Not finished", Shape::Triangle, Tone::Warning),
                "The signing secret is missing, so every event is refused. Enter the one that Stripe shows for the endpoint.",
                true,
                false,
            ),
            Some((EndpointStatus::Waiting, true)) => (
                Mark::new("Waiting", Shape::Clock, Tone::Quiet),
                "No event has come yet. Check that the address is entered in Stripe, or have Stripe send a test event.",
                false,
                true,
            ),
            Some((EndpointStatus::Receiving, true)) => (
                Mark::new("Receiving", Shape::Check, Tone::Good),
                "",
                false,
                false,
            ),
            Some((EndpointStatus::Silent, true)) => (
                Mark::new("Silent", Shape::Triangle, Tone::Error),
                "Syncs find events that Stripe did not deliver. Check in Stripe that the endpoint is enabled and its address \
                 right. Nothing is lost: these events are applied, only later.",
                false,
                true,
            ),
            Some((EndpointStatus::Failing, true)) => (
                Mark::new("Failing", Shape::Cross, Tone::Error),
                "Requests come with an invalid signature. Enter the signing secret that Stripe shows for the endpoint.",
                true,
                false,
            ),
        };
        Self {
            state,
            text,
            on_connection,
            in_dashboard,
        }
    }
}
