//! A connection's sync state in PostgreSQL: what is covered, where events go on, and the totals, which
//! are always those of the daily aggregates.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chrono::{DateTime, NaiveDate, Utc};
use common::catalogue::ObjectType;
use common::db::Error;
use common::job::JobError;
use common::money::Totals;
use common::tenant::OrganizationId;
use sqlx::PgConnection;
use sqlx::types::Json;

use crate::read_client;
use crate::sync::JobType;

/// The sync state of a connection.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SyncState {
    /// First covered instant; none until something is covered.
    pub covered_from: Option<DateTime<Utc>>,
    /// The instant up to which Stripe was read.
    pub covered_to: Option<DateTime<Utc>>,
    /// When a full job last covered the whole range.
    pub full_synced_at: Option<DateTime<Utc>>,
    /// Events at or after it are read next.
    pub events_cursor: Option<DateTime<Utc>>,
    /// Ids of events at or after the cursor that were applied.
    pub applied_events: Vec<String>,
    /// Which lists the rows were made of, and what was inlined in them.
    pub listed_resources: Vec<String>,
    /// From where new charges are listed next.
    pub next_list_from: Option<DateTime<Utc>>,
    /// The newest stored charge by (`created`, id).
    pub last_charge_id: Option<String>,
    /// Distinct charges stored.
    pub charges_synced: i64,
    /// Net of all that count, minor units per currency.
    pub total_revenue_synced: Totals,
    /// The kinds of objects whose keys must be rebuilt from the rows.
    pub stale_catalogue: BTreeSet<ObjectType>,
    /// The day, in the connection's time zone, on which the last days were listed again.
    pub reconciled_on: Option<NaiveDate>,
    /// Rows that the last such listing repaired.
    pub rows_repaired: i64,
}

/// Reads the state of a connection; the empty one when there is none.
#[tracing::instrument(name = "db.sync.get", level = "debug", skip_all)]
pub async fn get(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    connection_id: &str,
) -> Result<SyncState, Error> {
    let row = sqlx::query!(
        r#"SELECT covered_from, covered_to, full_synced_at, events_cursor, applied_events, listed_resources, next_list_from,
                  last_charge_id, charges_synced, total_revenue_synced AS "totals: Json<Totals>", stale_catalogue_types,
                  reconciled_on, rows_repaired
           FROM stripe_sync_state WHERE organization_id = $1 AND connection_id = $2"#,
        organization.as_str(),
        connection_id
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map_or_else(SyncState::default, |row| SyncState {
        covered_from: row.covered_from,
        covered_to: row.covered_to,
        full_synced_at: row.full_synced_at,
        events_cursor: row.events_cursor,
        applied_events: row.applied_events,
        listed_resources: row.listed_resources,
        next_list_from: row.next_list_from,
        last_charge_id: row.last_charge_id,
        charges_synced: row.charges_synced,
        total_revenue_synced: row.totals.0,
        stale_catalogue: object_types(&row.stale_catalogue_types),
        reconciled_on: row.reconciled_on,
        rows_repaired: row.rows_repaired,
    }))
}

/// Up to when Stripe was read, by connection; those that were never synced are left out.
#[tracing::instrument(name = "db.sync.last_syncs", level = "debug", skip_all)]
pub(super) async fn last_syncs(
    conn: &mut PgConnection,
    organization: &OrganizationId,
) -> Result<HashMap<String, DateTime<Utc>>, Error> {
    let rows = sqlx::query!(
        r#"SELECT connection_id, covered_to AS "covered_to!" FROM stripe_sync_state
           WHERE organization_id = $1 AND covered_to IS NOT NULL"#,
        organization.as_str()
    )
    .fetch_all(conn)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| (row.connection_id, row.covered_to))
        .collect())
}

/// About how many requests a full sync of a connection takes for payment intents, by the charges that are stored.
#[tracing::instrument(name = "db.sync.payment_intent_requests", level = "debug", skip_all)]
pub async fn payment_intent_requests(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    connection_id: &str,
) -> Result<i64, Error> {
    let charges = sqlx::query_scalar!(
        "SELECT charges_synced FROM stripe_sync_state WHERE organization_id = $1 AND connection_id = $2",
        organization.as_str(),
        connection_id
    )
    .fetch_optional(conn)
    .await?;
    Ok(read_client::payment_intent_requests(
        charges.unwrap_or_default(),
    ))
}

/// Marks the keys of these kinds of objects as stale, in the transaction that changed or removed one.
#[tracing::instrument(name = "db.sync.mark_catalogue_stale", level = "debug", skip_all)]
pub async fn mark_catalogue_stale(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    connection_id: &str,
    of: &BTreeSet<ObjectType>,
) -> Result<(), Error> {
    let of: Vec<&str> = of.iter().map(|object_type| object_type.as_str()).collect();
    sqlx::query!(
        "UPDATE stripe_sync_state
         SET stale_catalogue_types = ARRAY(SELECT DISTINCT UNNEST(stale_catalogue_types || $3::TEXT[]))
         WHERE organization_id = $1 AND connection_id = $2 AND NOT stale_catalogue_types @> $3::TEXT[]",
        organization.as_str(),
        connection_id,
        &of as &[&str]
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Notes that the catalogue is as the rows are.
#[tracing::instrument(name = "db.sync.mark_catalogue_fresh", level = "debug", skip_all)]
pub async fn mark_catalogue_fresh(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    connection_id: &str,
) -> Result<(), Error> {
    sqlx::query!(
        "UPDATE stripe_sync_state SET stale_catalogue_types = '{}'
         WHERE organization_id = $1 AND connection_id = $2",
        organization.as_str(),
        connection_id
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// What is not known is from a later version, whose programs deal with it.
fn object_types(names: &[String]) -> BTreeSet<ObjectType> {
    let known = names.iter().filter_map(|name| ObjectType::parse(name));
    known.collect()
}

/// What a job that asked Stripe leaves behind.
#[derive(Debug, Clone)]
pub struct SyncPosition {
    /// Where the covered range begins.
    pub covered_from: DateTime<Utc>,
    /// The instant up to which Stripe was read.
    pub covered_to: DateTime<Utc>,
    /// Set by a full job.
    pub full_synced_at: Option<DateTime<Utc>>,
    /// Events at or after it are read next.
    pub events_cursor: DateTime<Utc>,
    /// Ids of events at or after the cursor that were applied.
    pub applied_events: Vec<String>,
    /// Which lists were read, and what was inlined in them.
    pub listed_resources: Vec<String>,
    /// When the last days were listed again, and how many rows that repaired.
    pub recheck: Option<Recheck>,
}

/// What listing the last days again came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recheck {
    /// The day, in the connection's time zone.
    pub on: NaiveDate,
    /// Rows that differed from what events had shown.
    pub rows_repaired: i64,
}

/// Stores how far a job came, and forgets failures before it: a full job rebuilds every row, by the rules and
/// in the time zone of now.
#[tracing::instrument(name = "db.sync.store_position", level = "debug", skip_all)]
pub async fn store_position(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    connection_id: &str,
    reached: &SyncPosition,
) -> Result<(), Error> {
    sqlx::query!(
        "UPDATE stripe_sync_state
         SET covered_from = $3, full_synced_at = COALESCE($4, full_synced_at), events_cursor = $5,
             applied_events = $6, listed_resources = $7,
             reconciled_on = COALESCE($8, reconciled_on), rows_repaired = COALESCE($9, rows_repaired),
             failing_jobs = CASE WHEN $4 IS NULL THEN failing_jobs - 'sync' ELSE '{}' END,
             covered_to = GREATEST(covered_to, $10)
         WHERE organization_id = $1 AND connection_id = $2",
        organization.as_str(),
        connection_id,
        reached.covered_from,
        reached.full_synced_at,
        reached.events_cursor,
        &reached.applied_events,
        &reached.listed_resources,
        reached.recheck.map(|recheck| recheck.on),
        reached.recheck.map(|recheck| recheck.rows_repaired),
        reached.covered_to,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The same where nothing is left to be rebuilt: neither days nor the catalogue. Else it stores nothing and
/// says false.
#[tracing::instrument(name = "db.sync.store_position_if_settled", level = "debug", skip_all)]
pub async fn store_position_if_settled(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    connection_id: &str,
    reached: &SyncPosition,
) -> Result<bool, Error> {
    let stored = sqlx::query!(
        "UPDATE stripe_sync_state AS state
         SET covered_from = $3, full_synced_at = COALESCE($4, full_synced_at), events_cursor = $5,
             applied_events = $6, listed_resources = $7,
             reconciled_on = COALESCE($8, reconciled_on), rows_repaired = COALESCE($9, rows_repaired),
             failing_jobs = CASE WHEN $4 IS NULL THEN failing_jobs - 'sync' ELSE '{}' END,
             covered_to = GREATEST(covered_to, $10)
         WHERE organization_id = $1 AND connection_id = $2 AND stale_catalogue_types = '{}'
           AND NOT EXISTS (
               SELECT FROM stripe_stale_days AS stale
               WHERE stale.organization_id = state.organization_id
                 AND stale.connection_id = state.connection_id)",
        organization.as_str(),
        connection_id,
        reached.covered_from,
        reached.full_synced_at,
        reached.events_cursor,
        &reached.applied_events,
        &reached.listed_resources,
        reached.recheck.map(|recheck| recheck.on),
        reached.recheck.map(|recheck| recheck.rows_repaired),
        reached.covered_to,
    )
    .execute(conn)
    .await?;
    Ok(stored.rows_affected() == 1)
}

/// Notes that a job failed for good; the connection's warnings say so until one that does the same work
/// completes.
#[tracing::instrument(name = "db.sync.note_failed_job", level = "debug", skip_all)]
pub async fn note_failed_job(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    connection_id: &str,
    job_type: JobType,
    error: &JobError,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    sqlx::query!(
        "UPDATE stripe_sync_state
         SET failing_jobs = failing_jobs || jsonb_build_object($3::TEXT, jsonb_build_object(
             'since', COALESCE(failing_jobs #> ARRAY[$3, 'since'], to_jsonb($4::TIMESTAMPTZ)),
             'count', COALESCE((failing_jobs #>> ARRAY[$3, 'count'])::BIGINT, 0) + 1,
             'code', $5::TEXT, 'message', $6::TEXT))
         WHERE organization_id = $1 AND connection_id = $2",
        organization.as_str(),
        connection_id,
        job_type.work(),
        now,
        error.code,
        error.message
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Forgets failures of jobs that work on stored rows alone, when one completes. Those of syncs are forgotten
/// by [`store_position`].
#[tracing::instrument(name = "db.sync.forget_failed_jobs", level = "debug", skip_all)]
pub async fn forget_failed_jobs(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    connection_id: &str,
    job_type: JobType,
) -> Result<(), Error> {
    sqlx::query!(
        "UPDATE stripe_sync_state SET failing_jobs = failing_jobs - $3::TEXT
         WHERE organization_id = $1 AND connection_id = $2 AND failing_jobs ? $3",
        organization.as_str(),
        connection_id,
        job_type.work()
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Narrows the covered range to begin no earlier than `from`, when what was before it has been removed.
#[tracing::instrument(name = "db.sync.narrow_covered_range", level = "debug", skip_all)]
pub async fn narrow_covered_range(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    connection_id: &str,
    from: DateTime<Utc>,
) -> Result<(), Error> {
    sqlx::query!(
        "UPDATE stripe_sync_state SET covered_from = GREATEST(covered_from, $3)
         WHERE organization_id = $1 AND connection_id = $2 AND covered_from IS NOT NULL",
        organization.as_str(),
        connection_id,
        from
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Recomputes the totals from the daily aggregates, and the newest charge from the rows. Every stale day
/// must have been refreshed before.
#[tracing::instrument(name = "db.sync.refresh_totals", level = "debug", skip_all)]
pub async fn refresh_totals(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    connection_id: &str,
) -> Result<(), Error> {
    let sums = sqlx::query!(
        r#"SELECT currency, SUM(charges_stored)::BIGINT AS "stored!", SUM(charges)::BIGINT AS "charges!",
                  SUM(gross - refunded)::BIGINT AS "net!"
           FROM stripe_daily_aggregates WHERE organization_id = $1 AND connection_id = $2
           GROUP BY currency"#,
        organization.as_str(),
        connection_id
    )
    .fetch_all(&mut *conn)
    .await?;
    let stored: i64 = sums.iter().map(|sum| sum.stored).sum();
    let totals: BTreeMap<&str, i64> = sums
        .iter()
        .filter(|sum| sum.charges > 0)
        .map(|sum| (sum.currency.as_str(), sum.net))
        .collect();
    sqlx::query!(
        "UPDATE stripe_sync_state AS state
         SET charges_synced = $3, total_revenue_synced = $4,
             last_charge_id = newest.charge_id,
             next_list_from = COALESCE(newest.created_at, state.covered_from)
         FROM (SELECT 1) AS one LEFT JOIN LATERAL (
             SELECT charge_id, created_at FROM stripe_revenue_data
             WHERE organization_id = $1 AND connection_id = $2
             ORDER BY created_at DESC, charge_id DESC LIMIT 1) AS newest ON TRUE
         WHERE state.organization_id = $1 AND state.connection_id = $2",
        organization.as_str(),
        connection_id,
        stored,
        Json(totals) as _
    )
    .execute(conn)
    .await?;
    Ok(())
}
