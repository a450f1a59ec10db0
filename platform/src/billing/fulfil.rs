//! What access brings: an API key of the organization, which sleeps while there is none.
//!
//! It follows from what was read, in the transaction that stores it, so it is done once, whoever reads first. Fails with
//! PostgreSQL. Deliberately absent: taking anything away but access; all data stays.

use chrono::{DateTime, Utc};
use common::db::{self, PgConnection};
use common::tenant::OrganizationId;
use tracing::info;

use super::queries;
use super::standing::Standing;

/// Brings what an organization has to what it is entitled to.
pub(super) async fn fulfil(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    standing: &Standing<'_>,
    now: DateTime<Utc>,
) -> Result<(), db::Error> {
    if standing.access && queries::issue_key(conn, organization, now).await? {
        let (organization_id, plan) = (organization.as_str(), standing.plan.id.as_str());
        info!(
            organization_id,
            plan, "an organization has access for the first time"
        );
    }
    queries::suspend_key(conn, organization, !standing.access, now).await
}
