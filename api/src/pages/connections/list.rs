//! The list of connections: how each stands, when it was synced and will be, and whether its webhooks work.

use askama::Template;
use common::connection::Connection;
use common::connection::overview::{self, ConnectionStatus, Overview};
use common::webhook::endpoint;
use stripe::sync::status::last_syncs;

use super::layout;
use crate::pages::layout::{Layout, Page};
use crate::pages::mark::Mark;
use crate::pages::moment::Moment;
use crate::pages::permission::may_change;
use crate::pages::visit::Visit;
use crate::pages::webhooks;
use crate::problem::ApiError;

/// Connections that are listed.
const MAX_CONNECTIONS: i64 = 1000;

#[derive(Debug, Template)]
#[template(path = "connections.html")]
pub(super) struct ConnectionsPage {
    layout: Layout,
    rows: Vec<Row>,
    may_change: bool,
}

#[derive(Debug)]
struct Row {
    connection: Connection,
    status: ConnectionStatus,
    /// None before the first sync has ended.
    last_sync: Option<Moment>,
    /// None where nothing is scheduled.
    next_sync: Option<Moment>,
    webhooks: Mark,
}

/// `GET /connections`.
pub(super) async fn show(
    Visit(state, viewer, locale): Visit,
) -> Result<Page<ConnectionsPage>, ApiError> {
    let (pool, organization) = (&state.pool, &viewer.organization);
    let connections =
        overview::list(pool, state.connectors, organization, None, MAX_CONNECTIONS).await?;
    let endpoints = endpoint::list(pool, organization).await?;
    let last_syncs = last_syncs(pool, organization).await?;
    let rows = connections.into_iter().map(|overview| {
        let Overview { connection, status } = overview;
        let id = &connection.connection_id;
        let moment = |at| Moment::new(at, &locale, connection.timezone);
        let endpoint = endpoints.iter().find(|other| other.connection_id == *id);
        let is_scheduled = connection.problem.is_none() && !connection.paused;
        Row {
            last_sync: last_syncs.get(id).copied().map(moment),
            next_sync: is_scheduled.then(|| moment(connection.next_sync_at)),
            webhooks: webhooks::endpoints::state(endpoint),
            status,
            connection,
        }
    });
    Ok(Page(ConnectionsPage {
        rows: rows.collect(),
        layout: layout(&state, &viewer, "Connections", false).await?,
        may_change: may_change(&viewer),
    }))
}
