//! Finding the connection that a use case is about.

use super::{Connection, queries};
use crate::db::{self, PgConnection};
use crate::plan_limit::PlanLimit;
use crate::tenant::OrganizationId;

/// Why a use case of an existing connection failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The organization has no such connection, or is deleting it.
    #[error("the organization has no such connection")]
    NotFound,
    /// The organization's plan does not allow it.
    #[error(transparent)]
    PlanLimit(#[from] PlanLimit),
    #[error(transparent)]
    Database(#[from] db::Error),
}

/// The connection of an organization.
pub async fn find(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    connection_id: &str,
) -> Result<Connection, Error> {
    let found = queries::get(conn, organization, connection_id).await?;
    found.ok_or(Error::NotFound)
}

/// The same, locked until the transaction ends.
pub async fn lock(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    connection_id: &str,
) -> Result<Connection, Error> {
    let found = queries::get_for_update(conn, organization, connection_id).await?;
    found.ok_or(Error::NotFound)
}
