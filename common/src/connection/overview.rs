//! A connection as people see it: with its status, and the warnings that follow from other tables.

use std::slice;

use serde::Serialize;
use utoipa::ToSchema;

use super::{Connection, lookup, queries};
use crate::connector::Connectors;
use crate::db::{self, PgConnection, Pool};
use crate::job::queries::{Activity, activity};
use crate::tenant::OrganizationId;

/// Status of a connection: `error`, stopped by its `problem`; `running` or `pending`, a job is running or waiting;
/// `paused`, scheduled syncs are paused; `idle`, none of these. The first that applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ConnectionStatus {
    /// Stopped by a problem that someone has to fix.
    Error,
    /// A job is running.
    Running,
    /// A job is waiting to run.
    Pending,
    /// Scheduled syncs are paused.
    Paused,
    /// Waiting for the next scheduled sync.
    Idle,
}

impl ConnectionStatus {
    /// The first that applies.
    fn of(connection: &Connection, activity: Activity) -> Self {
        if connection.problem.is_some() {
            Self::Error
        } else if activity.running {
            Self::Running
        } else if activity.pending {
            Self::Pending
        } else if connection.paused {
            Self::Paused
        } else {
            Self::Idle
        }
    }
}

#[derive(Debug)]
pub struct Overview {
    pub connection: Connection,
    pub status: ConnectionStatus,
}

/// One connection.
pub async fn get(
    pool: &Pool,
    connectors: Connectors,
    organization: &OrganizationId,
    connection_id: &str,
) -> Result<Overview, lookup::Error> {
    let mut tx = db::tenant_transaction(pool, organization).await?;
    let connection = lookup::find(&mut tx, organization, connection_id).await?;
    let overview = of(&mut tx, connectors, connection).await?;
    db::commit(tx).await?;
    Ok(overview)
}

/// The connections of an organization whose id is greater than `after`, by id.
pub async fn list(
    pool: &Pool,
    connectors: Connectors,
    organization: &OrganizationId,
    after: Option<&str>,
    limit: i64,
) -> Result<Vec<Overview>, db::Error> {
    let mut tx = db::tenant_transaction(pool, organization).await?;
    let mut connections = queries::list(&mut tx, organization, after, limit).await?;
    let ids: Vec<String> = connections
        .iter()
        .map(|connection| connection.connection_id.clone())
        .collect();
    let activity = activity(&mut tx, organization, &ids).await?;
    add_warnings(&mut tx, connectors, organization, &mut connections).await?;
    db::commit(tx).await?;
    let overview = |connection: Connection| {
        let activity = activity.get(&connection.connection_id).copied();
        Overview {
            status: ConnectionStatus::of(&connection, activity.unwrap_or_default()),
            connection,
        }
    };
    Ok(connections.into_iter().map(overview).collect())
}

/// Adds to a connection what people see of it.
pub async fn of(
    conn: &mut PgConnection,
    connectors: Connectors,
    mut connection: Connection,
) -> Result<Overview, db::Error> {
    let organization = connection.organization_id.clone();
    let ids = slice::from_ref(&connection.connection_id);
    let mut activity = activity(conn, &organization, ids).await?;
    let activity = activity.remove(&connection.connection_id);
    let one = slice::from_mut(&mut connection);
    add_warnings(conn, connectors, &organization, one).await?;
    Ok(Overview {
        status: ConnectionStatus::of(&connection, activity.unwrap_or_default()),
        connection,
    })
}

/// Adds the warnings that follow from the plan, and from the connectors' own tables.
async fn add_warnings(
    conn: &mut PgConnection,
    connectors: Connectors,
    organization: &OrganizationId,
    connections: &mut [Connection],
) -> Result<(), db::Error> {
    for connection in connections.iter_mut() {
        let minutes = connection.sync_interval_minutes;
        let of_plan = connection.under_plan.warnings(minutes);
        connection.warnings.extend(of_plan);
    }
    for connector in connectors.iter() {
        let own = |connection: &&mut Connection| connection.connector == connector.name();
        let ids = connections.iter_mut().filter(own);
        let ids: Vec<String> = ids
            .map(|connection| connection.connection_id.clone())
            .collect();
        if ids.is_empty() {
            continue;
        }
        for (id, warning) in connector.warnings(conn, organization, &ids).await? {
            let found = connections
                .iter_mut()
                .find(|connection| connection.connection_id == id);
            if let Some(connection) = found {
                connection.warnings.push(warning);
            }
        }
    }
    Ok(())
}
