//! Stored figures, as far as their statements do not depend on what is asked for; those that do are built in `rows`,
//! `report` and `figure_source`.

use chrono::{DateTime, NaiveDate, Utc};
use futures::stream::BoxStream;
use sqlx::PgConnection;

use super::Selection;
use super::daily::JsonText;
use super::refresh::Locked;
use crate::db::Error;
use crate::filter::KeyPath;
use crate::tenant::OrganizationId;

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
        r#"SELECT date, to_json(currency)::TEXT AS "currency!", charges, units, gross, refunded,
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
pub(super) async fn allow_memory(conn: &mut PgConnection) -> Result<(), Error> {
    sqlx::query!("SELECT set_config('work_mem', '64MB', TRUE)")
        .fetch_one(conn)
        .await?;
    Ok(())
}

/// Takes up to `limit` days off the list of stale ones, oldest first.
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
#[expect(
    clippy::too_many_lines,
    reason = "one statement, so that the rows are read as of one moment"
)]
pub(super) async fn store_rollups(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    connection_id: &str,
    days: &[NaiveDate],
) -> Result<i64, Error> {
    let stored = sqlx::query!(
        r#"WITH line AS (
               SELECT date, currency, line_no, counted, units, gross, refunded,
                      COALESCE(product_id, 'none') AS product_id, customer_metadata::TEXT AS customer,
                      CASE WHEN product_id IS NOT NULL THEN product_metadata::TEXT END AS product,
                      CASE WHEN price_id IS NOT NULL THEN price_metadata::TEXT END AS price
               FROM stripe_revenue_data
               WHERE organization_id = $1 AND connection_id = $2 AND date = ANY($3)
           ), parts AS MATERIALIZED (
               SELECT date, currency, GROUPING(product_id, customer, product, price) AS part, product_id,
                      customer, product, price,
                      COUNT(*) FILTER (WHERE line_no = 0) AS charges_stored,
                      COUNT(*) FILTER (WHERE line_no = 0 AND counted) AS charges,
                      COUNT(*) FILTER (WHERE counted) AS lines,
                      COALESCE(SUM(units) FILTER (WHERE counted), 0)::BIGINT AS units,
                      COALESCE(SUM(gross) FILTER (WHERE counted), 0)::BIGINT AS gross,
                      COALESCE(SUM(refunded) FILTER (WHERE counted), 0)::BIGINT AS refunded
               FROM line
               GROUP BY GROUPING SETS ((date, currency), (date, currency, product_id), (date, currency, customer),
                                       (date, currency, product), (date, currency, price))
           ), charge_values AS (
               SELECT date, currency, 'charge.' || key AS key_path, value,
                      COUNT(*) FILTER (WHERE line_no = 0) AS charges, SUM(units)::BIGINT AS units,
                      SUM(gross)::BIGINT AS gross, SUM(refunded)::BIGINT AS refunded
               FROM stripe_revenue_data CROSS JOIN LATERAL jsonb_each_text(charge_metadata)
               WHERE organization_id = $1 AND connection_id = $2 AND date = ANY($3) AND counted
                 AND value IS NOT NULL
               GROUP BY date, currency, key, value
           ), further AS (
               SELECT line.date, line.currency, line.charge_id, object.source,
                      jsonb_each_text(object.metadata) AS entry, object.first
               FROM stripe_revenue_data AS line
               JOIN stripe_revenue_data AS first USING (organization_id, connection_id, charge_id)
               CROSS JOIN LATERAL (VALUES ('product.', line.product_metadata, first.product_metadata),
                                          ('price.', line.price_metadata, first.price_metadata))
                   AS object (source, metadata, first)
               WHERE organization_id = $1 AND connection_id = $2 AND line.date = ANY($3) AND line.line_no <> 0
                 AND line.counted AND first.date = ANY($3) AND first.line_no = 0
                 -- So that the rows are not read twice more where charges have one line each.
                 AND (SELECT bool_or(lines > charges) FROM parts WHERE part = 15)
           ), object_values AS (
               SELECT date, currency, source || key AS key_path, value,
                      SUM(charges)::BIGINT AS charges, SUM(units)::BIGINT AS units, SUM(gross)::BIGINT AS gross,
                      SUM(refunded)::BIGINT AS refunded
               FROM (SELECT date, currency, source, (entry).key, (entry).value, charges, units, gross, refunded
                     FROM (SELECT date, currency,
                                  CASE part WHEN 11 THEN 'customer.' WHEN 13 THEN 'product.' ELSE 'price.' END
                                      AS source,
                                  jsonb_each_text(COALESCE(customer, product, price)::JSONB) AS entry,
                                  charges, units, gross, refunded
                           FROM parts WHERE part IN (11, 13, 14) AND lines > 0) AS of_line_0
                     UNION ALL
                     SELECT date, currency, source, key, value, 1, 0, 0, 0
                     FROM (SELECT DISTINCT date, currency, charge_id, source, (entry).key, (entry).value FROM further
                           WHERE first ->> (entry).key IS DISTINCT FROM (entry).value) AS of_others) AS entries
               WHERE value IS NOT NULL
               GROUP BY date, currency, source, key, value
           ), metadata_values AS MATERIALIZED (
               SELECT * FROM charge_values UNION ALL SELECT * FROM object_values
           ), metadata_keys AS MATERIALIZED (
               SELECT date, currency, key_path, COUNT(*) <= $5 AS shown,
                      COUNT(*) <= $5 AND MAX(octet_length(value)) <= $6 AND octet_length(key_path) <= $7
                          AND (COUNT(*) <= $8 OR COUNT(*) * 2 <= SUM(charges)) AS kept
               FROM metadata_values GROUP BY date, currency, key_path
           ), kept AS MATERIALIZED (
               SELECT * FROM metadata_values
               WHERE (date, currency, key_path) NOT IN
                     (SELECT date, currency, key_path FROM metadata_keys WHERE NOT kept)
           ), stored AS MATERIALIZED (
               -- Day by day, each by the key: PostgreSQL's statistics of the table may be long out of date.
               SELECT stored.* FROM UNNEST($3::DATE[]) AS day (date) CROSS JOIN LATERAL (
                   SELECT ctid, date, currency, key_path, value, charges, units, gross, refunded
                   FROM stripe_daily_rollups
                   WHERE organization_id = $1 AND connection_id = $2 AND date = day.date
                     -- The condition of the index by day, which is kept from others by it.
                     AND octet_length(currency) > 0
                   OFFSET 0) AS stored
           ), written AS (
               -- What is as it was is not even locked, which would write it.
               INSERT INTO stripe_daily_rollups (organization_id, connection_id, date, currency, key_path, value,
                   charges, units, gross, refunded)
               SELECT $1, $2, changed.* FROM (
                   SELECT date, currency, key_path COLLATE "C", value COLLATE "C", charges, units, gross, refunded
                   FROM kept
                   EXCEPT
                   SELECT date, currency, key_path, value, charges, units, gross, refunded FROM stored) AS changed
               ON CONFLICT (organization_id, connection_id, date, currency, key_path, value) DO UPDATE
               SET charges = EXCLUDED.charges, units = EXCLUDED.units, gross = EXCLUDED.gross,
                   refunded = EXCLUDED.refunded
           ), hashes AS MATERIALIZED (
               SELECT date, currency, key_path,
                      array_agg(DISTINCT metadata_value_hash(value) ORDER BY metadata_value_hash(value)) AS value_hashes
               FROM metadata_values
               WHERE (date, currency, key_path) NOT IN
                     (SELECT date, currency, key_path FROM metadata_keys
                      WHERE kept OR octet_length(key_path) > $7)
               GROUP BY date, currency, key_path
           ), unhashed AS (
               DELETE FROM stripe_omitted_value_hashes
               WHERE organization_id = $1 AND connection_id = $2 AND date = ANY($3)
                 AND (date, currency, key_path) NOT IN (SELECT date, currency, key_path FROM hashes)
           ), hashed AS (
               INSERT INTO stripe_omitted_value_hashes AS stored (organization_id, connection_id, date, currency, key_path,
                   value_hashes)
               SELECT $1, $2, hashes.* FROM hashes
               ON CONFLICT (organization_id, connection_id, date, currency, key_path) DO UPDATE
               SET value_hashes = EXCLUDED.value_hashes
               WHERE stored.value_hashes <> EXCLUDED.value_hashes
           ), products AS MATERIALIZED (
               SELECT date, currency,
                      '{' || string_agg(to_json(product_id)::TEXT || ':' || (gross - refunded), ','
                                        ORDER BY product_id COLLATE "C") || '}' AS by_product
               FROM parts WHERE part = 7 AND lines > 0 GROUP BY date, currency
           ), tops AS MATERIALIZED (
               SELECT date, currency,
                      '{' || string_agg(to_json(key_path)::TEXT || ':[' || entries || ']', ','
                                        ORDER BY key_path COLLATE "C") || '}' AS by_key
               FROM (SELECT date, currency, key_path,
                            string_agg('{"value":' || to_json(value)::TEXT || ',"revenue":' || revenue
                                       || ',"charges":' || charges || '}', ',' ORDER BY rank) AS entries
                     FROM (SELECT *, gross - refunded AS revenue,
                                  ROW_NUMBER() OVER (PARTITION BY date, currency, key_path
                                                     ORDER BY gross - refunded DESC, value COLLATE "C") AS rank
                           FROM metadata_values
                           WHERE (date, currency, key_path) NOT IN
                                 (SELECT date, currency, key_path FROM metadata_keys WHERE NOT shown)) AS ranked
                     WHERE rank <= $4 GROUP BY date, currency, key_path) AS lists
               GROUP BY date, currency
           ), omitted AS MATERIALIZED (
               SELECT date, currency, array_agg(key_path ORDER BY key_path) AS high_cardinality_keys
               FROM metadata_keys WHERE NOT kept GROUP BY date, currency
           ), fresh AS MATERIALIZED (
               SELECT date, currency, charges_stored, charges, units, gross, refunded,
                      COALESCE(by_product, '{}') AS by_product, COALESCE(by_key, '{}') AS by_key,
                      COALESCE(high_cardinality_keys, '{}') AS high_cardinality_keys
               FROM parts LEFT JOIN products USING (date, currency) LEFT JOIN tops USING (date, currency)
                   LEFT JOIN omitted USING (date, currency)
               WHERE part = 15
           ), removed AS (
               DELETE FROM stripe_daily_aggregates AS stored
               WHERE organization_id = $1 AND connection_id = $2 AND date = ANY($3)
                 AND (date, currency) NOT IN (SELECT date, currency FROM fresh)
           ), aggregated AS (
               INSERT INTO stripe_daily_aggregates AS stored (organization_id, connection_id, date, currency,
                   charges_stored, charges, units, gross, refunded, revenue_by_product, top_metadata_values, high_cardinality_keys)
               SELECT $1, $2, date, currency, charges_stored, charges, units, gross, refunded, by_product::JSON,
                      by_key::JSON, high_cardinality_keys
               FROM fresh
               ON CONFLICT (organization_id, connection_id, date, currency) DO UPDATE
               SET charges_stored = EXCLUDED.charges_stored, charges = EXCLUDED.charges, units = EXCLUDED.units,
                   gross = EXCLUDED.gross, refunded = EXCLUDED.refunded, revenue_by_product = EXCLUDED.revenue_by_product,
                   top_metadata_values = EXCLUDED.top_metadata_values, high_cardinality_keys = EXCLUDED.high_cardinality_keys
               WHERE (stored.charges_stored, stored.charges, stored.units, stored.gross, stored.refunded,
                      stored.revenue_by_product::TEXT, stored.top_metadata_values::TEXT, stored.high_cardinality_keys)
                   IS DISTINCT FROM
                     (EXCLUDED.charges_stored, EXCLUDED.charges, EXCLUDED.units, EXCLUDED.gross, EXCLUDED.refunded,
                      EXCLUDED.revenue_by_product::TEXT, EXCLUDED.top_metadata_values::TEXT, EXCLUDED.high_cardinality_keys)
           )
           SELECT COALESCE(SUM(charges_stored), 0)::BIGINT AS "charges!",
                  ARRAY(SELECT ctid::TEXT FROM stored
                        WHERE (date, currency, key_path, value) NOT IN
                              (SELECT date, currency, key_path, value FROM kept)) AS "deleted_ctids!"
           FROM fresh"#,
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
