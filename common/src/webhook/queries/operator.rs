//! Events of all organizations, for operators. All of it needs the operator's role, which reads events and nothing else.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;

use super::{EventFilter, StoredEvent};
use crate::db::{self, Error};
use crate::id::OrganizationId;
use crate::webhook::{Attempt, ChangedObject, EventState};

/// Events of all organizations, or of the one that is meant, the newest first; those after the given one.
#[tracing::instrument(name = "db.webhook.list_of_all", level = "debug", skip_all)]
pub async fn list(
    conn: &mut PgConnection,
    organization: Option<&str>,
    filter: &EventFilter,
    after: Option<(DateTime<Utc>, Uuid)>,
    limit: i64,
) -> Result<Vec<StoredEvent>, Error> {
    let (after_time, after_id) = after.unzip();
    Ok(sqlx::query_as!(
        StoredEvent,
        r#"SELECT organization_id AS "organization_id!", event_id AS "event_id!", external_event_id AS "external_event_id!",
                endpoint_id AS "endpoint_id!", connection_id, event_type AS "event_type!", account, livemode, api_version,
                object_id, created_at, received_at AS "received_at!", state AS "state!", next_attempt_at, processed_at,
                attempts AS "attempts!", error_code, error_message, history AS "history!: Json<Vec<Attempt>>",
                changes AS "changes!: Json<Vec<ChangedObject>>", found_by_polling AS "found_by_polling!", twin_of
         FROM webhook_event_states
         WHERE ($1::TEXT IS NULL OR organization_id = $1)
           AND ($2::TEXT IS NULL OR state = $2) AND ($3::TEXT IS NULL OR event_type = $3)
           AND ($4::TEXT IS NULL OR connection_id = $4) AND ($5::TEXT IS NULL OR account = $5)
           AND ($6::TIMESTAMPTZ IS NULL OR received_at >= $6) AND ($7::TIMESTAMPTZ IS NULL OR received_at < $7)
           AND ($8::UUID IS NULL OR event_id = $8)
           AND ($9::TIMESTAMPTZ IS NULL OR (received_at, event_id) < ($9, $10))
         ORDER BY received_at DESC, event_id DESC LIMIT $11"#,
        organization,
        filter.state.map(EventState::as_str),
        filter.event_type,
        filter.connection_id,
        filter.account,
        filter.received_from,
        filter.received_to,
        filter.event_id,
        after_time,
        after_id,
        limit
    )
    .fetch_all(conn)
    .await?)
}

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
        r#"SELECT organization_id AS "organization_id!", COUNT(*) AS "count!" FROM webhook_event_states
           WHERE ($1::TEXT IS NULL OR organization_id = $1) AND state NOT IN ('pending', 'processing')
             AND (connection_id IS NOT NULL OR state <> 'ignored')
             AND ($2::TEXT IS NULL OR state = $2) AND ($3::TEXT IS NULL OR event_type = $3)
             AND ($4::TEXT IS NULL OR connection_id = $4) AND ($5::TEXT IS NULL OR account = $5)
             AND ($6::TIMESTAMPTZ IS NULL OR received_at >= $6) AND ($7::TIMESTAMPTZ IS NULL OR received_at < $7)
             AND ($8::UUID IS NULL OR event_id = $8)
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
