//! Daily aggregates, made anew from the rows for the days that changed.
//!
//! Whoever writes rows notes their days in `stripe_stale_days` in the same transaction; here a day is
//! taken off that list and made anew in one transaction, so after a crash it is still on the list.
//! Nothing is added up in steps: a day's aggregate is a function of the day's rows, and refreshing it
//! twice changes nothing.

use chrono::NaiveDate;
use sqlx::PgConnection;

use crate::db::Error;
use crate::tenant::OrganizationId;

/// Distinct values of a metadata key on one day and currency beyond which it is an identifier rather
/// than something to slice by, and is left out.
const MAX_VALUES: i64 = 1_000;
/// Values shown of each metadata key.
const TOP_VALUES: i64 = 10;

/// Takes up to `limit` stale days of a connection, oldest first, and makes their aggregates anew in the
/// caller's transaction. Returns how many days were taken; 0 when none is stale.
pub async fn refresh_days(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    connection_id: &str,
    limit: i64,
) -> Result<usize, Error> {
    let days = take(conn, organization, connection_id, limit).await?;
    if !days.is_empty() {
        remove_gone(conn, organization, connection_id, &days).await?;
        store(conn, organization, connection_id, &days).await?;
    }
    Ok(days.len())
}

async fn take(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    connection_id: &str,
    limit: i64,
) -> Result<Vec<NaiveDate>, Error> {
    // Materialized, since a limited subquery may otherwise run once for each row and take them all.
    Ok(sqlx::query_scalar!(
        "WITH oldest AS MATERIALIZED (
             SELECT date FROM stripe_stale_days
             WHERE organization_id = $1 AND connection_id = $2
             ORDER BY date LIMIT $3 FOR UPDATE)
         DELETE FROM stripe_stale_days AS stale USING oldest
         WHERE stale.organization_id = $1 AND stale.connection_id = $2 AND stale.date = oldest.date
         RETURNING stale.date",
        organization.as_str(),
        connection_id,
        limit
    )
    .fetch_all(conn)
    .await?)
}

/// Removes aggregates of currencies that these days no longer have.
async fn remove_gone(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    connection_id: &str,
    days: &[NaiveDate],
) -> Result<(), Error> {
    sqlx::query!(
        "DELETE FROM stripe_daily_aggregates AS aggregate
         WHERE organization_id = $1 AND connection_id = $2 AND date = ANY($3)
           AND NOT EXISTS (
               SELECT FROM stripe_revenue_data AS r
               WHERE r.organization_id = $1 AND r.connection_id = $2
                 AND r.date = aggregate.date AND r.currency = aggregate.currency)",
        organization.as_str(),
        connection_id,
        days
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Stores the aggregates of these days where they differ from what is stored. A charge counts or not as
/// a whole and has a line 0, so lines of that number count charges.
async fn store(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    connection_id: &str,
    days: &[NaiveDate],
) -> Result<(), Error> {
    sqlx::query!(
        "WITH lines AS MATERIALIZED (
             SELECT date, currency, charge_id, line_no, counted, units, gross, refunded, product_id,
                    charge_metadata, product_metadata, price_metadata, customer_metadata
             FROM stripe_revenue_data
             WHERE organization_id = $1 AND connection_id = $2 AND date = ANY($3)
         ), sums AS (
             SELECT date, currency,
                    COUNT(*) FILTER (WHERE line_no = 0) AS charges_stored,
                    COUNT(*) FILTER (WHERE line_no = 0 AND counted) AS charges,
                    COALESCE(SUM(units) FILTER (WHERE counted), 0)::BIGINT AS units,
                    COALESCE(SUM(gross) FILTER (WHERE counted), 0)::BIGINT AS gross,
                    COALESCE(SUM(refunded) FILTER (WHERE counted), 0)::BIGINT AS refunded
             FROM lines GROUP BY date, currency
         ), products AS (
             SELECT date, currency, jsonb_object_agg(product, net) AS by_product FROM (
                 SELECT date, currency, COALESCE(product_id, 'none') AS product,
                        SUM(gross - refunded)::BIGINT AS net
                 FROM lines WHERE counted GROUP BY 1, 2, 3) AS product_nets
             GROUP BY date, currency
         ), metadata_values AS (
             SELECT date, currency, entry.key, entry.value, SUM(gross - refunded)::BIGINT AS revenue,
                    COUNT(DISTINCT charge_id) AS charges
             FROM lines CROSS JOIN LATERAL (
                 SELECT 'charge.' || key AS key, value FROM jsonb_each_text(charge_metadata)
                 UNION ALL SELECT 'product.' || key, value FROM jsonb_each_text(product_metadata)
                 UNION ALL SELECT 'price.' || key, value FROM jsonb_each_text(price_metadata)
                 UNION ALL SELECT 'customer.' || key, value FROM jsonb_each_text(customer_metadata)
             ) AS entry
             WHERE counted AND entry.value IS NOT NULL GROUP BY 1, 2, 3, 4
         ), ranked AS (
             SELECT *, COUNT(*) OVER key_values AS distinct_values,
                    ROW_NUMBER() OVER (key_values ORDER BY revenue DESC, value COLLATE \"C\") AS rank
             FROM metadata_values WINDOW key_values AS (PARTITION BY date, currency, key)
         ), tops AS (
             SELECT date, currency, jsonb_object_agg(key, entries) AS by_key FROM (
                 SELECT date, currency, key, jsonb_agg(
                     jsonb_build_object('value', value, 'revenue', revenue, 'charges', charges)
                     ORDER BY rank) AS entries
                 FROM ranked WHERE rank <= $4 AND distinct_values <= $5 GROUP BY 1, 2, 3) AS lists
             GROUP BY date, currency
         )
         INSERT INTO stripe_daily_aggregates AS stored
             (organization_id, connection_id, date, currency, charges_stored, charges, units, gross,
              refunded, revenue_by_product, top_metadata_values)
         SELECT $1, $2, date, currency, charges_stored, charges, units, gross, refunded,
                COALESCE(by_product, '{}'), COALESCE(by_key, '{}')
         FROM sums LEFT JOIN products USING (date, currency) LEFT JOIN tops USING (date, currency)
         ON CONFLICT (organization_id, connection_id, date, currency) DO UPDATE
         SET charges_stored = EXCLUDED.charges_stored, charges = EXCLUDED.charges,
             units = EXCLUDED.units, gross = EXCLUDED.gross, refunded = EXCLUDED.refunded,
             revenue_by_product = EXCLUDED.revenue_by_product,
             top_metadata_values = EXCLUDED.top_metadata_values
         WHERE (stored.charges_stored, stored.charges, stored.units, stored.gross, stored.refunded,
                stored.revenue_by_product, stored.top_metadata_values)
             IS DISTINCT FROM
               (EXCLUDED.charges_stored, EXCLUDED.charges, EXCLUDED.units, EXCLUDED.gross,
                EXCLUDED.refunded, EXCLUDED.revenue_by_product, EXCLUDED.top_metadata_values)",
        organization.as_str(),
        connection_id,
        days,
        TOP_VALUES,
        MAX_VALUES
    )
    .execute(conn)
    .await?;
    Ok(())
}
