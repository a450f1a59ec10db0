//! Events of the platform's endpoints that are to be handled. What came of an attempt is stored as for any other event
//! ([`super::attempts`]).

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::db::{self, Error};
use crate::id::OrganizationId;
use crate::webhook::Progress;
use crate::webhook::platform::PlatformEndpoint;
use crate::webhook::queries::Receiver;

/// An event that this program holds until its lease ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimedEvent {
    /// The reserved one for an event that concerns no organization.
    pub organization_id: OrganizationId,
    pub event_id: Uuid,
    pub endpoint: PlatformEndpoint,
    pub event_type: String,
    /// The account at the vendor that it names.
    pub account: Option<String>,
    /// The object that it is about.
    pub object_id: Option<String>,
    pub received_at: DateTime<Utc>,
    pub progress: Progress,
}

/// Claims up to `limit` due events of the platform's endpoints until `until`, in the order of their arrival. Needs the
/// consumer's role.
#[tracing::instrument(name = "db.webhook.platform_events.claim", level = "debug", skip_all)]
pub async fn claim(
    conn: &mut PgConnection,
    now: DateTime<Utc>,
    until: DateTime<Utc>,
    limit: i64,
) -> Result<Vec<ClaimedEvent>, Error> {
    let rows = sqlx::query!(
        "UPDATE webhook_events SET claimed_until = $2
         WHERE (organization_id, event_id) IN (
             SELECT organization_id, event_id FROM webhook_events
             WHERE connection_id IS NULL AND status = 'pending' AND (next_attempt_at IS NULL OR next_attempt_at <= $1)
               AND (claimed_until IS NULL OR claimed_until <= $1)
             ORDER BY received_at LIMIT $3 FOR UPDATE SKIP LOCKED)
         RETURNING organization_id, event_id, endpoint_id, event_type, account, object_id, received_at, attempts,
                   away_since",
        now,
        until,
        limit
    )
    .fetch_all(conn)
    .await?;
    let claimed = rows.into_iter().map(|row| {
        Ok(ClaimedEvent {
            organization_id: db::organization_id(row.organization_id)?,
            event_id: row.event_id,
            endpoint: db::parse_stored("webhook_events.endpoint_id", &row.endpoint_id)?,
            event_type: row.event_type,
            account: row.account,
            object_id: row.object_id,
            received_at: row.received_at,
            progress: Progress {
                attempts: row.attempts,
                away_since: row.away_since,
            },
        })
    });
    claimed.collect()
}

/// Notes that an event changes nothing that is stored.
#[tracing::instrument(
    name = "db.webhook.platform_events.mark_ignored",
    level = "debug",
    skip_all
)]
pub async fn mark_ignored(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    event_id: Uuid,
) -> Result<(), Error> {
    sqlx::query!(
        "UPDATE webhook_events SET status = 'ignored', next_attempt_at = NULL, claimed_until = NULL
         WHERE organization_id = $1 AND event_id = $2 AND status = 'pending'",
        organization.as_str(),
        event_id
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The connection that reads an account of an organization with the platform's key, as what receives its events. Needs the role
/// that receives webhooks.
#[tracing::instrument(
    name = "db.webhook.platform_events.receiver",
    level = "debug",
    skip_all
)]
pub async fn receiver(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    account: &str,
) -> Result<Option<Receiver>, Error> {
    let found = sqlx::query!(
        "SELECT connection_id, connector, external_account_id, livemode FROM platform_connections
         WHERE organization_id = $1 AND external_account_id = $2 AND via_platform AND deleting_at IS NULL",
        organization.as_str(),
        account
    )
    .fetch_optional(conn)
    .await?;
    Ok(found.map(|row| Receiver {
        organization_id: organization.clone(),
        connection_id: row.connection_id,
        connector: row.connector,
        external_account_id: row.external_account_id,
        livemode: row.livemode,
        sealed_secrets: Vec::new(),
    }))
}

/// Whether an event of an endpoint is stored under the reserved organization: the organization that it concerns became known
/// later. Needs the role that receives webhooks.
#[tracing::instrument(
    name = "db.webhook.platform_events.is_stored_under_platform",
    level = "debug",
    skip_all
)]
pub async fn is_stored_under_platform(
    conn: &mut PgConnection,
    endpoint: PlatformEndpoint,
    external_event_id: &str,
) -> Result<bool, Error> {
    Ok(sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM webhook_events
                          WHERE organization_id = $1 AND endpoint_id = $2 AND external_event_id = $3) AS "stored!""#,
        OrganizationId::PLATFORM,
        endpoint.as_str(),
        external_event_id
    )
    .fetch_one(conn)
    .await?)
}
