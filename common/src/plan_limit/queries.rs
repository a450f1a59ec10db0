//! The plan in force and what it pauses, in PostgreSQL.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use crate::db::Error;
use crate::id::OrganizationId;

/// The plan in force of an organization, which nobody else changes until the transaction ends. Connecting and resuming take
/// this lock first, so that two of them cannot share the last room.
#[tracing::instrument(name = "db.plan_limit.lock_plan", level = "debug", skip_all)]
pub(crate) async fn lock_plan(
    conn: &mut PgConnection,
    organization: &OrganizationId,
) -> Result<Option<String>, Error> {
    let plan = sqlx::query_scalar!(
        "SELECT plan FROM organizations WHERE organization_id = $1 FOR NO KEY UPDATE",
        organization.as_str(),
    )
    .fetch_optional(conn)
    .await?;
    Ok(plan.flatten())
}

/// The plan in force of an organization.
#[tracing::instrument(name = "db.plan_limit.plan", level = "debug", skip_all)]
pub(super) async fn plan(
    conn: &mut PgConnection,
    organization: &OrganizationId,
) -> Result<Option<String>, Error> {
    let plan = sqlx::query_scalar!(
        "SELECT plan FROM organizations WHERE organization_id = $1",
        organization.as_str(),
    )
    .fetch_optional(conn)
    .await?;
    Ok(plan.flatten())
}

/// What is known before a connection is made.
#[derive(Debug)]
pub(crate) struct BeforeConnecting {
    pub(crate) plan: Option<String>,
    /// Whether a connection of this id is being deleted; none where there is no row.
    pub(crate) deleting: Option<bool>,
}

/// The same lock, with whether there is a connection of this id.
#[tracing::instrument(name = "db.plan_limit.before_connecting", level = "debug", skip_all)]
pub(crate) async fn before_connecting(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    connection_id: &str,
) -> Result<BeforeConnecting, Error> {
    let found = sqlx::query_as!(
        BeforeConnecting,
        r#"SELECT plan, (SELECT deleting_at IS NOT NULL FROM platform_connections
                         WHERE organization_id = $1 AND connection_id = $2) AS deleting
           FROM organizations WHERE organization_id = $1 FOR NO KEY UPDATE"#,
        organization.as_str(),
        connection_id,
    )
    .fetch_optional(conn)
    .await?;
    // Without the organization, storing the connection fails.
    Ok(found.unwrap_or(BeforeConnecting {
        plan: None,
        deleting: None,
    }))
}

/// Stores which plan is in force.
#[tracing::instrument(name = "db.plan_limit.set_plan", level = "debug", skip_all)]
pub(super) async fn set_plan(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    plan: &str,
) -> Result<(), Error> {
    sqlx::query!(
        "UPDATE organizations SET plan = $2 WHERE organization_id = $1",
        organization.as_str(),
        plan,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// How many connections are synced, those that are paused left out.
#[tracing::instrument(name = "db.plan_limit.count_synced", level = "debug", skip_all)]
pub(super) async fn count_synced(
    conn: &mut PgConnection,
    organization: &OrganizationId,
) -> Result<i64, Error> {
    Ok(sqlx::query_scalar!(
        r#"SELECT COUNT(*) AS "count!" FROM platform_connections
           WHERE organization_id = $1 AND NOT paused AND deleting_at IS NULL"#,
        organization.as_str(),
    )
    .fetch_one(conn)
    .await?)
}

/// Leaves as many connections unpaused as are allowed, those that are, and then the oldest, first. One that its owner paused
/// stays as it is.
#[tracing::instrument(name = "db.plan_limit.pause_connections", level = "debug", skip_all)]
pub(super) async fn pause_connections(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    at_most: Option<i64>,
) -> Result<(), Error> {
    sqlx::query!(
        "UPDATE platform_connections AS connection SET paused = ranked.is_beyond, paused_by_plan = ranked.is_beyond
         FROM (SELECT connection_id,
                      COALESCE(ROW_NUMBER() OVER (ORDER BY paused, created_at, connection_id) > $2::BIGINT, FALSE) AS is_beyond
               FROM platform_connections
               WHERE organization_id = $1 AND deleting_at IS NULL AND (NOT paused OR paused_by_plan)) AS ranked
         WHERE connection.organization_id = $1 AND connection.connection_id = ranked.connection_id
           AND connection.paused <> ranked.is_beyond AND (NOT connection.paused OR connection.paused_by_plan)",
        organization.as_str(),
        at_most,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Goes on with the oldest connections that the plan pauses, until as many are synced as are allowed.
#[tracing::instrument(name = "db.plan_limit.fill_room", level = "debug", skip_all)]
pub(super) async fn fill_room(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    at_most: i64,
) -> Result<(), Error> {
    sqlx::query!(
        "UPDATE platform_connections SET paused = FALSE, paused_by_plan = FALSE
         WHERE organization_id = $1 AND paused_by_plan AND connection_id IN (
             SELECT connection_id FROM platform_connections
             WHERE organization_id = $1 AND paused_by_plan AND deleting_at IS NULL
             ORDER BY created_at, connection_id
             LIMIT GREATEST(0, $2::BIGINT - (SELECT COUNT(*) FROM platform_connections
                                             WHERE organization_id = $1 AND NOT paused AND deleting_at IS NULL)))",
        organization.as_str(),
        at_most,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Makes every interval at least so long, and gives back those that were set and are allowed again.
#[tracing::instrument(name = "db.plan_limit.limit_intervals", level = "debug", skip_all)]
pub(super) async fn limit_intervals(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    least: i32,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    sqlx::query!(
        "UPDATE platform_connections
         SET sync_interval_minutes = GREATEST(COALESCE(wanted_sync_interval_minutes, sync_interval_minutes), $2),
             wanted_sync_interval_minutes = CASE
                 WHEN COALESCE(wanted_sync_interval_minutes, sync_interval_minutes) < $2
                 THEN COALESCE(wanted_sync_interval_minutes, sync_interval_minutes) END,
             -- The same rule as next_sync_at(); it only ever is due sooner.
             next_sync_at = LEAST(next_sync_at,
                 date_bin(make_interval(mins => GREATEST(COALESCE(wanted_sync_interval_minutes, sync_interval_minutes), $2)),
                          $3::TIMESTAMPTZ, TIMESTAMPTZ 'epoch')
                 + make_interval(mins => GREATEST(COALESCE(wanted_sync_interval_minutes, sync_interval_minutes), $2)))
         WHERE organization_id = $1 AND deleting_at IS NULL
           AND sync_interval_minutes <> GREATEST(COALESCE(wanted_sync_interval_minutes, sync_interval_minutes), $2)",
        organization.as_str(),
        least,
        now,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Lets the events of the connections' endpoints wait for the next poll, or not any more. Polling, which was rare while
/// webhooks worked, is due at its interval again.
#[tracing::instrument(name = "db.plan_limit.pause_webhooks", level = "debug", skip_all)]
pub(super) async fn pause_webhooks(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    paused: bool,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    let changed = sqlx::query_scalar!(
        "UPDATE webhook_endpoints SET paused_by_plan = $2
         WHERE organization_id = $1 AND paused_by_plan <> $2 RETURNING connection_id",
        organization.as_str(),
        paused,
    )
    .fetch_all(&mut *conn)
    .await?;
    if changed.is_empty() || !paused {
        return Ok(());
    }
    sqlx::query!(
        "UPDATE platform_connections
         SET next_sync_at = LEAST(next_sync_at,
                 date_bin(make_interval(mins => sync_interval_minutes), $3::TIMESTAMPTZ, TIMESTAMPTZ 'epoch')
                 + make_interval(mins => sync_interval_minutes))
         WHERE organization_id = $1 AND connection_id = ANY($2)",
        organization.as_str(),
        &changed,
        now,
    )
    .execute(conn)
    .await?;
    Ok(())
}
