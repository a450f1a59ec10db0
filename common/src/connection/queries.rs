//! Connections in PostgreSQL.

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use sqlx::PgConnection;
use sqlx::types::Json;

use super::{Connection, ConnectionProblem, Permission, Warning};
use crate::db::{self, Error};
use crate::job::JobKind;
use crate::plan_limit::UnderPlan;
use crate::tenant::OrganizationId;

#[expect(clippy::struct_excessive_bools, reason = "a row is its columns")]
struct ConnectionRow {
    organization_id: String,
    connection_id: String,
    connector: String,
    external_account_id: String,
    livemode: bool,
    name: Option<String>,
    timezone: String,
    lookback_days: i32,
    paused: bool,
    sync_interval_minutes: i32,
    rate_share: f64,
    payment_intent_metadata: bool,
    permissions: Json<Vec<Permission>>,
    problem_code: Option<String>,
    problem_detail: Option<String>,
    problem_since: Option<DateTime<Utc>>,
    warnings: Json<Vec<Warning>>,
    created_at: DateTime<Utc>,
    next_sync_at: DateTime<Utc>,
    scheduled_job_type: String,
    via_platform: bool,
    plan: Option<String>,
    paused_by_plan: bool,
    wanted_sync_interval_minutes: Option<i32>,
    webhooks_paused: bool,
}

/// Reads the `timezone` column.
pub fn stored_timezone(name: &str) -> Result<Tz, Error> {
    db::parse_stored("platform_connections.timezone", name)
}

impl TryFrom<ConnectionRow> for Connection {
    type Error = Error;

    fn try_from(row: ConnectionRow) -> Result<Self, Error> {
        let problem = row
            .problem_code
            .zip(row.problem_since)
            .map(|(code, since)| ConnectionProblem {
                code,
                detail: row.problem_detail.unwrap_or_default(),
                since,
            });
        Ok(Self {
            organization_id: db::organization_id(row.organization_id)?,
            connection_id: row.connection_id,
            connector: row.connector,
            external_account_id: row.external_account_id,
            livemode: row.livemode,
            name: row.name,
            timezone: stored_timezone(&row.timezone)?,
            lookback_days: row.lookback_days,
            paused: row.paused,
            sync_interval_minutes: row.sync_interval_minutes,
            rate_share: row.rate_share,
            payment_intent_metadata: row.payment_intent_metadata,
            permissions: row.permissions.0,
            problem,
            warnings: row.warnings.0,
            created_at: row.created_at,
            next_sync_at: row.next_sync_at,
            scheduled_job_type: row.scheduled_job_type,
            via_platform: row.via_platform,
            under_plan: UnderPlan {
                plan: row.plan,
                paused: row.paused_by_plan,
                wanted_interval_minutes: row.wanted_sync_interval_minutes,
                webhooks_paused: row.webhooks_paused,
            },
        })
    }
}

/// Stores a new connection; false if the organization has as many as it may have. The caller holds the lock of
/// `plan_limit::queries::before_connecting`.
///
/// # Errors
/// [`Error::Conflict`] by `platform_connections_one_per_account` or `platform_connections_pkey` when the
/// organization has this account already, or is deleting it.
#[tracing::instrument(name = "db.connection.insert", level = "debug", skip_all)]
pub async fn insert(
    conn: &mut PgConnection,
    connection: &Connection,
    at_most: Option<i64>,
) -> Result<bool, Error> {
    let organization = connection.organization_id.as_str();
    let inserted = sqlx::query!(
        "INSERT INTO platform_connections
             (organization_id, connection_id, connector, external_account_id, livemode, name, timezone,
              lookback_days, paused, sync_interval_minutes, rate_share, permissions, warnings, created_at,
              next_sync_at, scheduled_job_type, via_platform)
         SELECT $1::TEXT, $2::TEXT, $3::TEXT, $4::TEXT, $5::BOOLEAN, $6::TEXT, $7::TEXT, $8::INTEGER, $9::BOOLEAN,
                $10::INTEGER, $11::DOUBLE PRECISION, $12::JSONB, $13::JSONB, $14::TIMESTAMPTZ, $15::TIMESTAMPTZ, $16::TEXT,
                $17::BOOLEAN
         WHERE $18::BIGINT IS NULL
            OR (SELECT COUNT(*) FROM platform_connections WHERE organization_id = $1 AND deleting_at IS NULL) < $18",
        organization,
        connection.connection_id,
        connection.connector,
        connection.external_account_id,
        connection.livemode,
        connection.name,
        connection.timezone.name(),
        connection.lookback_days,
        connection.paused,
        connection.sync_interval_minutes,
        connection.rate_share,
        Json(&connection.permissions) as _,
        Json(&connection.warnings) as _,
        connection.created_at,
        connection.next_sync_at,
        connection.scheduled_job_type,
        connection.via_platform,
        at_most,
    )
    .execute(conn)
    .await?;
    Ok(inserted.rows_affected() == 1)
}

/// One connection, none when it does not exist or is being deleted.
#[tracing::instrument(name = "db.connection.get", level = "debug", skip_all)]
pub async fn get(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    connection_id: &str,
) -> Result<Option<Connection>, Error> {
    sqlx::query_as!(
        ConnectionRow,
        r#"SELECT organization_id, connection_id, connector, external_account_id, livemode, name, timezone, lookback_days,
                  paused, sync_interval_minutes, rate_share, payment_intent_metadata, permissions AS "permissions: _", problem_code,
                  problem_detail, problem_since, warnings AS "warnings: _", created_at, next_sync_at,
                  scheduled_job_type, via_platform, paused_by_plan, wanted_sync_interval_minutes,
                  (SELECT plan FROM organizations WHERE organization_id = $1) AS plan,
                  EXISTS (SELECT FROM webhook_endpoints AS endpoint
                          WHERE endpoint.organization_id = connection.organization_id
                            AND endpoint.connection_id = connection.connection_id
                            AND endpoint.paused_by_plan) AS "webhooks_paused!"
           FROM platform_connections AS connection
           WHERE organization_id = $1 AND connection_id = $2 AND deleting_at IS NULL"#,
        organization.as_str(),
        connection_id
    )
    .fetch_optional(conn)
    .await?
    .map(Connection::try_from)
    .transpose()
}

/// The same, locked until the transaction ends.
#[tracing::instrument(name = "db.connection.get_for_update", level = "debug", skip_all)]
pub async fn get_for_update(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    connection_id: &str,
) -> Result<Option<Connection>, Error> {
    sqlx::query!(
        "SELECT 1 AS locked FROM platform_connections
         WHERE organization_id = $1 AND connection_id = $2 FOR UPDATE",
        organization.as_str(),
        connection_id
    )
    .fetch_optional(&mut *conn)
    .await?;
    get(conn, organization, connection_id).await
}

/// A connection that is to be deleted.
#[derive(Debug, Clone)]
pub struct ConnectionToDelete {
    pub connection_id: String,
    pub connector: String,
    pub external_account_id: String,
    pub deleting: bool,
}

/// Every connection of a tenant, those that are being deleted too, locked until the transaction ends.
#[tracing::instrument(name = "db.connection.list_for_deletion", level = "debug", skip_all)]
pub async fn list_for_deletion(
    conn: &mut PgConnection,
    organization: &OrganizationId,
) -> Result<Vec<ConnectionToDelete>, Error> {
    Ok(sqlx::query_as!(
        ConnectionToDelete,
        r#"SELECT connection_id, connector, external_account_id, deleting_at IS NOT NULL AS "deleting!"
           FROM platform_connections WHERE organization_id = $1 ORDER BY connection_id FOR UPDATE"#,
        organization.as_str()
    )
    .fetch_all(conn)
    .await?)
}

/// The connections of a tenant whose id is greater than `after`, by id.
#[tracing::instrument(name = "db.connection.list", level = "debug", skip_all)]
pub async fn list(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    after: Option<&str>,
    limit: i64,
) -> Result<Vec<Connection>, Error> {
    sqlx::query_as!(
        ConnectionRow,
        r#"SELECT organization_id, connection_id, connector, external_account_id, livemode, name, timezone, lookback_days,
                  paused, sync_interval_minutes, rate_share, payment_intent_metadata, permissions AS "permissions: _", problem_code,
                  problem_detail, problem_since, warnings AS "warnings: _", created_at, next_sync_at,
                  scheduled_job_type, via_platform, paused_by_plan, wanted_sync_interval_minutes,
                  (SELECT plan FROM organizations WHERE organization_id = $1) AS plan,
                  EXISTS (SELECT FROM webhook_endpoints AS endpoint
                          WHERE endpoint.organization_id = connection.organization_id
                            AND endpoint.connection_id = connection.connection_id
                            AND endpoint.paused_by_plan) AS "webhooks_paused!"
           FROM platform_connections AS connection
           WHERE organization_id = $1 AND deleting_at IS NULL AND connection_id > $2
           ORDER BY connection_id LIMIT $3"#,
        organization.as_str(),
        after.unwrap_or(""),
        limit
    )
    .fetch_all(conn)
    .await?
    .into_iter()
    .map(Connection::try_from)
    .collect()
}

/// The share of the vendor's limits that a connection may use; none when it does not exist or is being deleted.
#[tracing::instrument(name = "db.connection.rate_share", level = "debug", skip_all)]
pub async fn rate_share(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    connection_id: &str,
) -> Result<Option<f64>, Error> {
    Ok(sqlx::query_scalar!(
        "SELECT rate_share FROM platform_connections
         WHERE organization_id = $1 AND connection_id = $2 AND deleting_at IS NULL",
        organization.as_str(),
        connection_id
    )
    .fetch_optional(conn)
    .await?)
}

/// Stores a connection's settings: name, paused, interval, time zone, rate share, lookback and whether payment intents are read, and what the plan does to them.
#[tracing::instrument(name = "db.connection.update_settings", level = "debug", skip_all)]
pub async fn update_settings(
    conn: &mut PgConnection,
    connection: &Connection,
) -> Result<(), Error> {
    sqlx::query!(
        "UPDATE platform_connections
         SET name = $3, paused = $4, sync_interval_minutes = $5, timezone = $6, rate_share = $7,
             lookback_days = $8, next_sync_at = $9, paused_by_plan = $10, wanted_sync_interval_minutes = $11,
             payment_intent_metadata = $12
         WHERE organization_id = $1 AND connection_id = $2",
        connection.organization_id.as_str(),
        connection.connection_id,
        connection.name,
        connection.paused,
        connection.sync_interval_minutes,
        connection.timezone.name(),
        connection.rate_share,
        connection.lookback_days,
        connection.next_sync_at,
        connection.under_plan.paused,
        connection.under_plan.wanted_interval_minutes,
        connection.payment_intent_metadata,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Notes a problem; one of the same code keeps the instant since which it stands.
#[tracing::instrument(name = "db.connection.set_problem", level = "debug", skip_all)]
pub async fn set_problem(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    connection_id: &str,
    code: &str,
    detail: &str,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    sqlx::query!(
        "UPDATE platform_connections
         SET problem_since = CASE WHEN problem_code = $3 THEN problem_since ELSE $5 END,
             problem_code = $3, problem_detail = $4
         WHERE organization_id = $1 AND connection_id = $2",
        organization.as_str(),
        connection_id,
        code,
        detail,
        now
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The connections of every tenant that have a problem of this code. Only the scheduler's role sees them.
#[tracing::instrument(name = "db.connection.with_problem", level = "debug", skip_all)]
pub async fn with_problem(
    conn: &mut PgConnection,
    code: &str,
) -> Result<Vec<(OrganizationId, String)>, Error> {
    sqlx::query!(
        "SELECT organization_id, connection_id FROM platform_connections
         WHERE problem_code = $1 AND deleting_at IS NULL ORDER BY organization_id, connection_id",
        code
    )
    .fetch_all(conn)
    .await?
    .into_iter()
    .map(|row| Ok((db::organization_id(row.organization_id)?, row.connection_id)))
    .collect()
}

#[tracing::instrument(name = "db.connection.clear_problem", level = "debug", skip_all)]
pub async fn clear_problem(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    connection_id: &str,
) -> Result<(), Error> {
    sqlx::query!(
        "UPDATE platform_connections
         SET problem_code = NULL, problem_detail = NULL, problem_since = NULL
         WHERE organization_id = $1 AND connection_id = $2 AND problem_code IS NOT NULL",
        organization.as_str(),
        connection_id
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Stores what the last probe found, and the warnings that follow from it.
#[tracing::instrument(name = "db.connection.set_permissions", level = "debug", skip_all)]
pub async fn set_permissions(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    connection_id: &str,
    permissions: &[Permission],
    warnings: &[Warning],
) -> Result<(), Error> {
    sqlx::query!(
        "UPDATE platform_connections SET permissions = $3, warnings = $4
         WHERE organization_id = $1 AND connection_id = $2",
        organization.as_str(),
        connection_id,
        Json(permissions) as _,
        Json(warnings) as _,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Sets which kind of job the schedule makes.
#[tracing::instrument(name = "db.connection.set_scheduled_kind", level = "debug", skip_all)]
pub async fn set_scheduled_kind(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    connection_id: &str,
    kind: JobKind,
) -> Result<(), Error> {
    sqlx::query!(
        "UPDATE platform_connections SET scheduled_job_type = $3
         WHERE organization_id = $1 AND connection_id = $2 AND scheduled_job_type <> $3",
        organization.as_str(),
        connection_id,
        kind.name
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Sets when the connection is due again.
#[tracing::instrument(name = "db.connection.set_next_sync", level = "debug", skip_all)]
pub async fn set_next_sync(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    connection_id: &str,
    at: DateTime<Utc>,
) -> Result<(), Error> {
    sqlx::query!(
        "UPDATE platform_connections SET next_sync_at = $3 WHERE organization_id = $1 AND connection_id = $2",
        organization.as_str(),
        connection_id,
        at
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Marks a connection as being deleted; from then on it is not found.
#[tracing::instrument(name = "db.connection.mark_deleting", level = "debug", skip_all)]
pub async fn mark_deleting(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    connection_id: &str,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    sqlx::query!(
        "UPDATE platform_connections SET deleting_at = $3 WHERE organization_id = $1 AND connection_id = $2",
        organization.as_str(),
        connection_id,
        now
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Removes the connection itself, with its credential, rules and state; its rows must be gone.
#[tracing::instrument(name = "db.connection.delete", level = "debug", skip_all)]
pub async fn delete(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    connection_id: &str,
) -> Result<(), Error> {
    sqlx::query!(
        "DELETE FROM platform_connections WHERE organization_id = $1 AND connection_id = $2",
        organization.as_str(),
        connection_id
    )
    .execute(conn)
    .await?;
    Ok(())
}
