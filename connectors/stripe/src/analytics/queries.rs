//! Stored figures, as far as their statements do not depend on what is asked for; those that do are built in `charge_lines`,
//! `totals` and `figure_source`.

use chrono::{DateTime, NaiveDate, Utc};
use common::db::Error;
use common::filter::KeyPath;
use common::tenant::OrganizationId;
use futures::stream::BoxStream;
use sqlx::error::BoxDynError;
use sqlx::postgres::{PgTypeInfo, PgValueRef};
use sqlx::types::Json;
use sqlx::{Decode, PgConnection, Postgres, Type};

use super::Selection;

/// What to do about days that another transaction is rebuilding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Locked {
    /// Wait for it: then fewer days than asked for means that no other is stale.
    Wait,
    /// Take others.
    Skip,
}

/// JSON as it is stored, neither parsed nor written by PostgreSQL or here.
#[derive(Debug)]
pub(super) struct JsonText(pub(super) String);

impl Type<Postgres> for JsonText {
    fn type_info() -> PgTypeInfo {
        Json::<()>::type_info()
    }

    fn compatible(of: &PgTypeInfo) -> bool {
        Json::<()>::compatible(of)
    }
}

impl<'r> Decode<'r, Postgres> for JsonText {
    fn decode(value: PgValueRef<'r>) -> Result<Self, BoxDynError> {
        // JSON is sent as its text in either format. Not for JSONB, which has a number before it.
        Ok(Self(str::from_utf8(value.as_bytes()?)?.to_owned()))
    }
}

/// Distinct values of a metadata key on one day and currency beyond which it is an identifier rather
/// than something to slice by, and is left out.
const MAX_VALUES: i64 = 1_000;
/// Beyond so many values, fewer than two charges a value make a key an identifier as well: its sums would
/// be as many as the rows.
const MAX_UNREPEATED_VALUES: i64 = 20;
/// A key with a longer value is text; an index takes no entry beyond 2,700 bytes.
const MAX_VALUE_BYTES: i32 = 1_000;
/// The same for `charge.` and a key; Stripe's have at most 40 characters.
const MAX_KEY_BYTES: i32 = 250;
/// Values shown of each metadata key.
const TOP_VALUES: i64 = 10;

/// What the standing of a connection is made of.
pub(super) struct StoredStanding {
    pub(super) written_by: Option<i64>,
    pub(super) created_at: DateTime<Utc>,
    pub(super) timezone: String,
    pub(super) lookback_days: i32,
    pub(super) covered_from: Option<DateTime<Utc>>,
    pub(super) covered_to: Option<DateTime<Utc>>,
    pub(super) full_synced: bool,
    pub(super) parked_objects: i64,
}

/// See [`super::completeness::standing`].
#[tracing::instrument(name = "db.analytics.figures_version", level = "debug", skip_all)]
pub(super) async fn figures_version(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    connection_id: &str,
) -> Result<Option<StoredStanding>, Error> {
    Ok(sqlx::query_as!(
        StoredStanding,
        r#"SELECT version.written_by AS "written_by?", connection.created_at, connection.timezone,
                  connection.lookback_days, state.covered_from AS "covered_from?", state.covered_to AS "covered_to?",
                  state.full_synced_at IS NOT NULL AS "full_synced!",
                  (SELECT COUNT(*) FROM stripe_parked_objects AS parked
                   WHERE parked.organization_id = $1 AND parked.connection_id = $2) AS "parked_objects!"
           FROM platform_connections AS connection
           LEFT JOIN stripe_aggregate_versions AS version USING (organization_id, connection_id)
           LEFT JOIN stripe_sync_state AS state USING (organization_id, connection_id)
           WHERE organization_id = $1 AND connection_id = $2 AND connection.deleting_at IS NULL"#,
        organization.as_str(),
        connection_id
    )
    .fetch_optional(conn)
    .await?)
}

/// The stored aggregates of one day and currency.
pub(super) struct StoredDay {
    pub(super) date: NaiveDate,
    pub(super) currency: String,
    pub(super) charges: i64,
    pub(super) units: i64,
    pub(super) units_decimal: String,
    pub(super) gross: i64,
    pub(super) refunded: i64,
    pub(super) revenue_by_product: JsonText,
    pub(super) top_metadata_values: JsonText,
}

/// The days with something counted, by date and currency; both ends of the range belong to it.
pub(super) fn days<'c>(
    conn: &'c mut PgConnection,
    organization: &'c OrganizationId,
    connection_id: &'c str,
    (from, to): (Option<NaiveDate>, Option<NaiveDate>),
) -> BoxStream<'c, sqlx::Result<StoredDay>> {
    sqlx::query_as!(
        StoredDay,
        // In the order of the key, so that nothing is sorted: a sort would hold, and soon spill, all of it.
        r#"SELECT date, to_json(currency)::TEXT AS "currency!", charges,
                  round(units + COALESCE(units_fraction * 0.000000000001, 0))::BIGINT AS "units!",
                  trim_scale(units + COALESCE(units_fraction * 0.000000000001, 0))::TEXT AS "units_decimal!",
                  gross, refunded,
                  revenue_by_product AS "revenue_by_product: JsonText",
                  top_metadata_values AS "top_metadata_values: JsonText"
           FROM stripe_daily_aggregates
           WHERE organization_id = $1 AND connection_id = $2 AND charges > 0
             AND ($3::DATE IS NULL OR date >= $3) AND ($4::DATE IS NULL OR date <= $4)
           ORDER BY date, currency"#,
        organization.as_str(),
        connection_id,
        from,
        to
    )
    .fetch(conn)
}

/// The selected days that are stale, on which the key is not kept and may have the value, or on which its path may
/// lead into the value of another key.
#[tracing::instrument(name = "db.analytics.days_without_rollup", level = "debug", skip_all)]
pub(super) async fn days_without_rollup(
    conn: &mut PgConnection,
    selection: &Selection,
    key: Option<&KeyPath>,
    value: Option<&str>,
) -> Result<Vec<NaiveDate>, Error> {
    let shorter = key.map(|key| key.shorter.as_slice()).unwrap_or_default();
    Ok(sqlx::query_scalar!(
        r#"SELECT date AS "date!" FROM stripe_stale_days
           WHERE organization_id = $1 AND connection_id = $2
             AND ($3::DATE IS NULL OR date >= $3) AND ($4::DATE IS NULL OR date <= $4)
           UNION
           SELECT date FROM stripe_daily_aggregates AS day
           WHERE organization_id = $1 AND connection_id = $2
             AND ($3::DATE IS NULL OR date >= $3) AND ($4::DATE IS NULL OR date <= $4)
             AND ($7::TEXT[] && high_cardinality_keys
                  OR $5::TEXT = ANY(high_cardinality_keys) AND ($6::TEXT IS NULL OR COALESCE(
                     (SELECT metadata_value_hash($6) = ANY(value_hashes) FROM stripe_omitted_value_hashes AS omitted
                      WHERE omitted.organization_id = $1 AND omitted.connection_id = $2
                        AND omitted.date = day.date AND omitted.currency = day.currency
                        AND omitted.key_path = $5),
                     TRUE)))
           UNION
           -- Key by key: where PostgreSQL knows nothing of the table yet, it takes an array for a condition on what it
           -- found, and reads the sums of all keys.
           SELECT shorter.date FROM UNNEST($7::TEXT[]) AS key (path) CROSS JOIN LATERAL (
               SELECT date FROM stripe_daily_rollups
               WHERE organization_id = $1 AND connection_id = $2 AND key_path = key.path
                 AND ($3::DATE IS NULL OR date >= $3) AND ($4::DATE IS NULL OR date <= $4)
               OFFSET 0) AS shorter
           ORDER BY 1"#,
        selection.organization_id.as_str(),
        selection.connection_id,
        selection.date_from,
        selection.date_to,
        key.map(|key| key.whole.as_str()),
        value,
        shorter
    )
    .fetch_all(conn)
    .await?)
}

/// Lets the statements of this transaction use more memory: the sums of its days fit there, and not into the default of
/// 4 MB.
#[tracing::instrument(name = "db.analytics.allow_memory", level = "debug", skip_all)]
pub(super) async fn allow_memory(conn: &mut PgConnection) -> Result<(), Error> {
    sqlx::query!("SELECT set_config('work_mem', '64MB', TRUE)")
        .fetch_one(conn)
        .await?;
    Ok(())
}

/// Takes up to `limit` days off the list of stale ones, oldest first.
#[tracing::instrument(name = "db.analytics.lock_stale_days", level = "debug", skip_all)]
pub(super) async fn lock_stale_days(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    connection_id: &str,
    limit: i64,
    only_days: Option<&[NaiveDate]>,
    locked: Locked,
) -> Result<Vec<NaiveDate>, Error> {
    // Materialized, since a limited subquery may otherwise run once for each row and take them all.
    let query = match locked {
        Locked::Wait => sqlx::query_scalar!(
            "WITH oldest AS MATERIALIZED (
                 SELECT date FROM stripe_stale_days
                 WHERE organization_id = $1 AND connection_id = $2
                   AND ($4::DATE[] IS NULL OR date = ANY($4))
                 ORDER BY date LIMIT $3 FOR UPDATE)
             DELETE FROM stripe_stale_days AS stale USING oldest
             WHERE stale.organization_id = $1 AND stale.connection_id = $2 AND stale.date = oldest.date
             RETURNING stale.date",
            organization.as_str(),
            connection_id,
            limit,
            only_days as Option<&[NaiveDate]>
        )
        .fetch_all(conn)
        .await,
        Locked::Skip => sqlx::query_scalar!(
            "WITH oldest AS MATERIALIZED (
                 SELECT date FROM stripe_stale_days
                 WHERE organization_id = $1 AND connection_id = $2
                   AND ($4::DATE[] IS NULL OR date = ANY($4))
                 ORDER BY date LIMIT $3 FOR UPDATE SKIP LOCKED)
             DELETE FROM stripe_stale_days AS stale USING oldest
             WHERE stale.organization_id = $1 AND stale.connection_id = $2 AND stale.date = oldest.date
             RETURNING stale.date",
            organization.as_str(),
            connection_id,
            limit,
            only_days as Option<&[NaiveDate]>
        )
        .fetch_all(conn)
        .await,
    };
    Ok(query?)
}

/// Stores the aggregates and rollups of these days where they differ from what is stored; how many charges are stored on
/// them.
///
/// A charge counts or not as a whole, its lines share its day, currency and customer, and one of them is
/// line 0, so lines of that number count charges. Lines of one charge may differ in product and price:
/// values that line 0 does not have are counted apart (`further`).
///
/// Each metadata of a customer, product or price is opened once a day, by its text: as JSONB, 1 and 1.0
/// would be one. Anti-joins are `NOT IN` (a hashed subplan): without statistics of a CTE the planner picks nested
/// loops. What is joined is materialized, or it may be evaluated again for each row.
#[tracing::instrument(name = "db.analytics.store_rollups", level = "debug", skip_all)]
pub(super) async fn store_rollups(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    connection_id: &str,
    days: &[NaiveDate],
) -> Result<i64, Error> {
    let stored = sqlx::query_file!(
        "src/analytics/store_rollups.sql",
        organization.as_str(),
        connection_id,
        days,
        TOP_VALUES,
        MAX_VALUES,
        MAX_VALUE_BYTES,
        MAX_KEY_BYTES,
        MAX_UNREPEATED_VALUES
    )
    .fetch_one(&mut *conn)
    .await?;
    if !stored.deleted_ctids.is_empty() {
        delete_rollups_by_ctid(
            conn,
            organization,
            connection_id,
            days,
            &stored.deleted_ctids,
        )
        .await?;
    }
    Ok(stored.charges)
}

/// Deletes rollups of these days by ctid. The days are compared as well: only theirs are locked by this transaction,
/// and a ctid may belong to another row by now.
async fn delete_rollups_by_ctid(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    connection_id: &str,
    days: &[NaiveDate],
    ctids: &[String],
) -> Result<(), Error> {
    sqlx::query!(
        "SELECT FROM delete_daily_rollups_by_ctid($1, $2, $3, $4::TEXT[]::TID[])",
        organization.as_str(),
        connection_id,
        days,
        ctids
    )
    .execute(conn)
    .await?;
    Ok(())
}
