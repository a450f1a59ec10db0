//! Events of all organizations, for operators. All of it needs the operator's role, which reads events and nothing else.

use sqlx::PgConnection;
use uuid::Uuid;

use super::EventFilter;
use crate::db::{self, Error};
use crate::id::OrganizationId;
use crate::webhook::EventState;

/// The body of an event of any organization, exactly as received.
#[tracing::instrument(name = "db.webhook.payload_of_any", level = "debug", skip_all)]
pub async fn payload(
    conn: &mut PgConnection,
    organization: &str,
    event_id: Uuid,
) -> Result<Option<Vec<u8>>, Error> {
    Ok(sqlx::query_scalar!(
        "SELECT payload FROM webhook_events WHERE organization_id = $1 AND event_id = $2",
        organization,
        event_id
    )
    .fetch_optional(conn)
    .await?)
}

/// How many events of each organization a replay would make pending, in the order of their ids; organizations without any
/// are left out.
#[tracing::instrument(name = "db.webhook.replayable_of_all", level = "debug", skip_all)]
pub(in crate::webhook) async fn replayable(
    conn: &mut PgConnection,
    organization: Option<&str>,
    filter: &EventFilter,
) -> Result<Vec<(OrganizationId, i64)>, Error> {
    sqlx::query!(
        r#"SELECT organization_id AS "organization_id!", COUNT(*) AS "count!" FROM webhook_events_matching($1, $2, $3, $4, $5, $6, $7, $8)
           WHERE state NOT IN ('pending', 'processing') AND (connection_id IS NOT NULL OR state <> 'ignored')
           GROUP BY organization_id ORDER BY organization_id"#,
        organization,
        filter.state.map(EventState::as_str),
        filter.event_type,
        filter.connection_id,
        filter.account,
        filter.received_from,
        filter.received_to,
        filter.event_id
    )
    .fetch_all(conn)
    .await?
    .into_iter()
    .map(|row| Ok((db::organization_id(row.organization_id)?, row.count)))
    .collect()
}
