-- Stores the aggregates and rollups of some days of a connection where they differ from what is stored. One statement,
-- so that the rows are read as of one moment.
--
-- $1 organization   $2 connection   $3 days
-- $4 how many of the highest values of a key an aggregate shows
-- $5 the most values of a key on a day that are kept   $6 the longest of them, in bytes   $7 the longest key, in bytes
-- $8 the most values that are kept even if they do not repeat
WITH line AS (
    SELECT date, currency, line_no, counted, units, units_fraction, gross, refunded,
           COALESCE(product_id, 'none') AS product_id, customer_metadata::TEXT AS customer,
           CASE WHEN product_id IS NOT NULL THEN product_metadata::TEXT END AS product,
           CASE WHEN price_id IS NOT NULL THEN price_metadata::TEXT END AS price
    FROM stripe_revenue_data
    WHERE organization_id = $1 AND connection_id = $2 AND date = ANY($3)
), parts AS MATERIALIZED (
    SELECT date, currency, product_id, customer, product, price,
           CASE WHEN GROUPING(product_id) = 0 THEN 'product_id'
                WHEN GROUPING(customer) = 0 THEN 'customer'
                WHEN GROUPING(product) = 0 THEN 'product'
                WHEN GROUPING(price) = 0 THEN 'price'
                ELSE 'day' END AS grouped_by,
           COUNT(*) FILTER (WHERE line_no = 0) AS charges_stored,
           COUNT(*) FILTER (WHERE line_no = 0 AND counted) AS charges,
           COUNT(*) FILTER (WHERE counted) AS lines,
           COALESCE(SUM(units) FILTER (WHERE counted), 0)::BIGINT AS units,
           SUM(units_fraction) FILTER (WHERE counted) AS units_fraction,
           COALESCE(SUM(gross) FILTER (WHERE counted), 0)::BIGINT AS gross,
           COALESCE(SUM(refunded) FILTER (WHERE counted), 0)::BIGINT AS refunded
    FROM line
    GROUP BY GROUPING SETS ((date, currency), (date, currency, product_id), (date, currency, customer),
                            (date, currency, product), (date, currency, price))
), charge_values AS (
    SELECT date, currency, 'charge.' || key AS key_path, value,
           COUNT(*) FILTER (WHERE line_no = 0) AS charges, SUM(units)::BIGINT AS units,
           SUM(units_fraction) AS units_fraction, SUM(gross)::BIGINT AS gross, SUM(refunded)::BIGINT AS refunded
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
      AND (SELECT bool_or(lines > charges) FROM parts WHERE grouped_by = 'day')
), object_values AS (
    SELECT date, currency, source || key AS key_path, value,
           SUM(charges)::BIGINT AS charges, SUM(units)::BIGINT AS units, SUM(units_fraction) AS units_fraction,
           SUM(gross)::BIGINT AS gross, SUM(refunded)::BIGINT AS refunded
    FROM (SELECT date, currency, source, (entry).key, (entry).value, charges, units, units_fraction, gross, refunded
          FROM (SELECT date, currency,
                       grouped_by || '.' AS source,
                       jsonb_each_text(COALESCE(customer, product, price)::JSONB) AS entry,
                       charges, units, units_fraction, gross, refunded
                FROM parts WHERE grouped_by IN ('customer', 'product', 'price') AND lines > 0) AS of_line_0
          UNION ALL
          SELECT date, currency, source, key, value, 1, 0, NULL, 0, 0
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
        SELECT ctid, date, currency, key_path, value, charges, units, units_fraction, gross, refunded
        FROM stripe_daily_rollups
        WHERE organization_id = $1 AND connection_id = $2 AND date = day.date
          -- The condition of the index by day, which is kept from others by it.
          AND octet_length(currency) > 0
        OFFSET 0) AS stored
), written AS (
    -- What is as it was is not even locked, which would write it.
    INSERT INTO stripe_daily_rollups (organization_id, connection_id, date, currency, key_path, value,
        charges, units, units_fraction, gross, refunded)
    SELECT $1, $2, changed.* FROM (
        SELECT date, currency, key_path COLLATE "C", value COLLATE "C", charges, units, units_fraction, gross, refunded
        FROM kept
        EXCEPT
        SELECT date, currency, key_path, value, charges, units, units_fraction, gross, refunded FROM stored) AS changed
    ON CONFLICT (organization_id, connection_id, date, currency, key_path, value) DO UPDATE
    SET charges = EXCLUDED.charges, units = EXCLUDED.units, units_fraction = EXCLUDED.units_fraction,
        gross = EXCLUDED.gross, refunded = EXCLUDED.refunded
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
    FROM parts WHERE grouped_by = 'product_id' AND lines > 0 GROUP BY date, currency
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
    SELECT date, currency, charges_stored, charges, units, units_fraction, gross, refunded,
           COALESCE(by_product, '{}') AS by_product, COALESCE(by_key, '{}') AS by_key,
           COALESCE(high_cardinality_keys, '{}') AS high_cardinality_keys
    FROM parts LEFT JOIN products USING (date, currency) LEFT JOIN tops USING (date, currency)
        LEFT JOIN omitted USING (date, currency)
    WHERE grouped_by = 'day'
), removed AS (
    DELETE FROM stripe_daily_aggregates AS stored
    WHERE organization_id = $1 AND connection_id = $2 AND date = ANY($3)
      AND (date, currency) NOT IN (SELECT date, currency FROM fresh)
), aggregated AS (
    INSERT INTO stripe_daily_aggregates AS stored (organization_id, connection_id, date, currency,
        charges_stored, charges, units, units_fraction, gross, refunded, revenue_by_product, top_metadata_values,
        high_cardinality_keys)
    SELECT $1, $2, date, currency, charges_stored, charges, units, units_fraction, gross, refunded, by_product::JSON,
           by_key::JSON, high_cardinality_keys
    FROM fresh
    ON CONFLICT (organization_id, connection_id, date, currency) DO UPDATE
    SET charges_stored = EXCLUDED.charges_stored, charges = EXCLUDED.charges, units = EXCLUDED.units,
        units_fraction = EXCLUDED.units_fraction, gross = EXCLUDED.gross, refunded = EXCLUDED.refunded, revenue_by_product = EXCLUDED.revenue_by_product,
        top_metadata_values = EXCLUDED.top_metadata_values, high_cardinality_keys = EXCLUDED.high_cardinality_keys
    WHERE (stored.charges_stored, stored.charges, stored.units, stored.units_fraction, stored.gross,
           stored.refunded,
           stored.revenue_by_product::TEXT, stored.top_metadata_values::TEXT, stored.high_cardinality_keys)
        IS DISTINCT FROM
          (EXCLUDED.charges_stored, EXCLUDED.charges, EXCLUDED.units, EXCLUDED.units_fraction, EXCLUDED.gross,
           EXCLUDED.refunded,
           EXCLUDED.revenue_by_product::TEXT, EXCLUDED.top_metadata_values::TEXT, EXCLUDED.high_cardinality_keys)
)
SELECT COALESCE(SUM(charges_stored), 0)::BIGINT AS "charges!",
       ARRAY(SELECT ctid::TEXT FROM stored
             WHERE (date, currency, key_path, value) NOT IN
                   (SELECT date, currency, key_path, value FROM kept)) AS "deleted_ctids!"
FROM fresh
