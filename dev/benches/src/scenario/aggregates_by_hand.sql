-- The daily aggregates of all days of a connection as the engine stores them, as plainly as they can be made: the floor of
-- a changed rule. Each charge of the measured table is one row, so rows are counted as charges, and each day has rows
-- of the rule.
--
-- $1 organization   $2 connection
WITH counted AS (
    SELECT * FROM stripe_revenue_data WHERE organization_id = $1 AND connection_id = $2 AND counted
), objects AS (
    SELECT date, currency, 'customer.' AS source, customer_metadata AS metadata,
           COUNT(*) AS charges, SUM(gross - refunded) AS revenue
    FROM counted GROUP BY date, currency, customer_metadata
    UNION ALL
    SELECT date, currency, 'product.', product_metadata, COUNT(*), SUM(gross - refunded)
    FROM counted WHERE product_id IS NOT NULL GROUP BY date, currency, product_metadata
    UNION ALL
    SELECT date, currency, 'price.', price_metadata, COUNT(*), SUM(gross - refunded)
    FROM counted WHERE price_id IS NOT NULL GROUP BY date, currency, price_metadata
), entries AS (
    SELECT date, currency, 'charge.' || key AS key_path, value,
           COUNT(*) AS charges, SUM(gross - refunded) AS revenue
    FROM counted CROSS JOIN jsonb_each_text(charge_metadata) GROUP BY date, currency, key, value
    UNION ALL
    SELECT date, currency, source || key, value, SUM(charges), SUM(revenue)
    FROM objects CROSS JOIN jsonb_each_text(metadata) GROUP BY date, currency, source, key, value
), ranked AS (
    SELECT *, ROW_NUMBER() OVER (PARTITION BY date, currency, key_path
                                 ORDER BY revenue DESC, value COLLATE "C") AS rank,
           COUNT(*) OVER (PARTITION BY date, currency, key_path) AS different
    FROM entries
), tops AS (
    SELECT date, currency, json_object_agg(key_path, shown) AS shown
    FROM (SELECT date, currency, key_path, json_agg(json_build_object(
                     'value', value, 'revenue', revenue, 'charges', charges) ORDER BY rank) AS shown
          FROM ranked WHERE rank <= 10 AND different <= 1000 GROUP BY date, currency, key_path) AS keys
    GROUP BY date, currency
), products AS (
    SELECT date, currency, json_object_agg(product, revenue) AS revenue
    FROM (SELECT date, currency, COALESCE(product_id, 'none') AS product, SUM(gross - refunded) AS revenue
          FROM counted GROUP BY date, currency, product_id) AS of_product
    GROUP BY date, currency
), sums AS (
    SELECT date, currency, COUNT(*) AS stored, COUNT(*) FILTER (WHERE counted) AS charges,
           SUM(units) FILTER (WHERE counted) AS units, SUM(gross) FILTER (WHERE counted) AS gross,
           SUM(refunded) FILTER (WHERE counted) AS refunded
    FROM stripe_revenue_data WHERE organization_id = $1 AND connection_id = $2 GROUP BY date, currency
)
INSERT INTO stripe_daily_aggregates (organization_id, connection_id, date, currency, charges_stored, charges, units,
                                     gross, refunded, revenue_by_product, top_metadata_values)
SELECT $1, $2, date, currency, stored, charges, COALESCE(units, 0), COALESCE(gross, 0), COALESCE(refunded, 0),
       COALESCE(products.revenue, '{}'), COALESCE(tops.shown, '{}')
FROM sums LEFT JOIN products USING (date, currency) LEFT JOIN tops USING (date, currency)
ON CONFLICT (organization_id, connection_id, date, currency) DO UPDATE
SET charges_stored = EXCLUDED.charges_stored, charges = EXCLUDED.charges, units = EXCLUDED.units,
    gross = EXCLUDED.gross, refunded = EXCLUDED.refunded, revenue_by_product = EXCLUDED.revenue_by_product,
    top_metadata_values = EXCLUDED.top_metadata_values
