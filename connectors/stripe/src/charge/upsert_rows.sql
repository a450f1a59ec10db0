-- Writes rows of a connection; $3 to $43 are their columns, one array each. Unchanged rows are not rewritten.
WITH incoming AS (
    SELECT * FROM UNNEST($3::TEXT[], $4::INT[], $5::TEXT[], $6::TIMESTAMPTZ[], $7::DATE[], $8::TEXT[],
        $9::TEXT[], $10::BOOL[], $11::BOOL[], $12::BIGINT[], $13::BIGINT[], $14::BIGINT[], $15::BIGINT[],
        $16::BIGINT[], $17::TEXT[], $18::TEXT[], $19::TEXT[], $20::TEXT[], $21::TEXT[], $22::TEXT[],
        $23::TEXT[], $24::TEXT[], $25::TEXT[], $26::BOOL[], $27::TEXT[], $28::JSONB[], $29::JSONB[],
        $30::JSONB[], $31::JSONB[], $32::UUID[], $33::TEXT[], $34::TEXT[], $35::BOOL[],
        $36::BIGINT[], $37::BIGINT[], $38::BIGINT[], $39::JSONB[], $40::JSONB[], $41::JSONB[],
        $42::JSONB[], $43::JSONB[])
    AS row (charge_id, line_no, line_id, created_at, date, currency, status, captured, livemode,
        charge_amount, amount, gross, refunded, units, customer_id, product_id, price_id,
        payment_intent_id, invoice_id, checkout_session_id, description, country, payment_method,
        disputed, dispute_status, charge_metadata, product_metadata, price_metadata,
        customer_metadata, excluded_by, named_invoice_id, source_transfer, partly_captured,
        units_fraction, disputed_amount, dispute_fee,
        invoice_metadata, invoice_line_metadata, subscription_metadata,
        checkout_session_metadata, payment_intent_metadata)
), written AS (
    INSERT INTO stripe_revenue_data AS stored (organization_id, connection_id, charge_id, line_no,
        line_id, created_at, date, currency, status, captured, livemode, charge_amount, amount, gross,
        refunded, units, customer_id, product_id, price_id, payment_intent_id, invoice_id,
        checkout_session_id, description, country, payment_method, disputed, dispute_status,
        charge_metadata, product_metadata, price_metadata, customer_metadata, excluded_by, named_invoice_id,
        source_transfer, partly_captured, units_fraction, disputed_amount, dispute_fee,
        invoice_metadata, invoice_line_metadata, subscription_metadata,
        checkout_session_metadata, payment_intent_metadata)
    SELECT $1, $2, incoming.* FROM incoming
    ON CONFLICT (organization_id, connection_id, charge_id, line_no) DO UPDATE
    SET (line_id, created_at, date, currency, status, captured, livemode, charge_amount, amount, gross,
        refunded, units, customer_id, product_id, price_id, payment_intent_id, invoice_id,
        checkout_session_id, description, country, payment_method, disputed, dispute_status,
        charge_metadata, product_metadata, price_metadata, customer_metadata, excluded_by, named_invoice_id,
        source_transfer, partly_captured, units_fraction, disputed_amount, dispute_fee,
        invoice_metadata, invoice_line_metadata, subscription_metadata,
        checkout_session_metadata, payment_intent_metadata)
      = (EXCLUDED.line_id, EXCLUDED.created_at, EXCLUDED.date, EXCLUDED.currency, EXCLUDED.status,
        EXCLUDED.captured, EXCLUDED.livemode, EXCLUDED.charge_amount, EXCLUDED.amount, EXCLUDED.gross,
        EXCLUDED.refunded, EXCLUDED.units, EXCLUDED.customer_id, EXCLUDED.product_id,
        EXCLUDED.price_id, EXCLUDED.payment_intent_id, EXCLUDED.invoice_id,
        EXCLUDED.checkout_session_id, EXCLUDED.description, EXCLUDED.country,
        EXCLUDED.payment_method, EXCLUDED.disputed, EXCLUDED.dispute_status,
        EXCLUDED.charge_metadata, EXCLUDED.product_metadata, EXCLUDED.price_metadata,
        EXCLUDED.customer_metadata, EXCLUDED.excluded_by, EXCLUDED.named_invoice_id,
        EXCLUDED.source_transfer, EXCLUDED.partly_captured, EXCLUDED.units_fraction,
        EXCLUDED.disputed_amount, EXCLUDED.dispute_fee,
        EXCLUDED.invoice_metadata, EXCLUDED.invoice_line_metadata, EXCLUDED.subscription_metadata,
        EXCLUDED.checkout_session_metadata, EXCLUDED.payment_intent_metadata)
    WHERE (stored.line_id, stored.created_at, stored.date, stored.currency, stored.status,
        stored.captured, stored.livemode, stored.charge_amount, stored.amount, stored.gross,
        stored.refunded, stored.units, stored.customer_id, stored.product_id, stored.price_id,
        stored.payment_intent_id, stored.invoice_id, stored.checkout_session_id, stored.description,
        stored.country, stored.payment_method, stored.disputed, stored.dispute_status,
        stored.charge_metadata, stored.product_metadata, stored.price_metadata,
        stored.customer_metadata, stored.excluded_by, stored.named_invoice_id, stored.source_transfer,
        stored.partly_captured, stored.units_fraction, stored.disputed_amount, stored.dispute_fee,
        stored.invoice_metadata, stored.invoice_line_metadata, stored.subscription_metadata,
        stored.checkout_session_metadata, stored.payment_intent_metadata)
      IS DISTINCT FROM (EXCLUDED.line_id, EXCLUDED.created_at, EXCLUDED.date, EXCLUDED.currency,
        EXCLUDED.status, EXCLUDED.captured, EXCLUDED.livemode, EXCLUDED.charge_amount,
        EXCLUDED.amount, EXCLUDED.gross, EXCLUDED.refunded, EXCLUDED.units, EXCLUDED.customer_id,
        EXCLUDED.product_id, EXCLUDED.price_id, EXCLUDED.payment_intent_id, EXCLUDED.invoice_id,
        EXCLUDED.checkout_session_id, EXCLUDED.description, EXCLUDED.country,
        EXCLUDED.payment_method, EXCLUDED.disputed, EXCLUDED.dispute_status,
        EXCLUDED.charge_metadata, EXCLUDED.product_metadata, EXCLUDED.price_metadata,
        EXCLUDED.customer_metadata, EXCLUDED.excluded_by, EXCLUDED.named_invoice_id,
        EXCLUDED.source_transfer, EXCLUDED.partly_captured, EXCLUDED.units_fraction,
        EXCLUDED.disputed_amount, EXCLUDED.dispute_fee,
        EXCLUDED.invoice_metadata, EXCLUDED.invoice_line_metadata, EXCLUDED.subscription_metadata,
        EXCLUDED.checkout_session_metadata, EXCLUDED.payment_intent_metadata)
    RETURNING stored.charge_id, stored.line_no, stored.date, (stored.xmax = 0) AS inserted,
        CASE WHEN stored.xmax <> 0 THEN stored.charge_id END AS updated_id,
        CASE WHEN stored.xmax <> 0 THEN stored.charge_metadata END AS charge_metadata,
        stored.product_id, stored.price_id, stored.customer_id, stored.counted, stored.invoice_id, stored.line_id,
        stored.checkout_session_id, stored.payment_intent_id,
        stored.invoice_metadata, stored.invoice_line_metadata, stored.subscription_metadata,
        stored.checkout_session_metadata, stored.payment_intent_metadata
), stale AS (
    INSERT INTO stripe_stale_days (organization_id, connection_id, date)
    SELECT $1, $2, written.date FROM written
    UNION
    -- The days that rows leave: this reads them as they were before the statement, and those alone that
    -- were updated, one by one: a join might read the whole table.
    SELECT $1, $2, before.date FROM written CROSS JOIN LATERAL (
        SELECT date FROM stripe_revenue_data AS stored
        WHERE stored.organization_id = $1 AND stored.connection_id = $2
          AND stored.charge_id = written.updated_id AND stored.line_no = written.line_no
        LIMIT 1) AS before
    WHERE written.updated_id IS NOT NULL
    ON CONFLICT (organization_id, connection_id, date) DO UPDATE SET date = EXCLUDED.date
)
SELECT written.charge_id AS "charge_id!", written.line_no AS "line_no!", inserted AS "inserted!",
    COALESCE(before.charge_metadata <> written.charge_metadata, FALSE) AS "metadata_changed!",
    COALESCE(before.product_id <> COALESCE(written.product_id, ''), FALSE)
        OR COALESCE(before.price_id <> COALESCE(written.price_id, ''), FALSE)
        OR COALESCE(before.customer_id <> COALESCE(written.customer_id, ''), FALSE)
        AS "reference_removed!",
    -- What came is noted by itself; what went or changed is not. Compared with its object, since that may be another one.
    written.updated_id IS NOT NULL AND (
        before.invoice_metadata IS NOT NULL
            AND (before.invoice_id, before.invoice_metadata) IS DISTINCT FROM (written.invoice_id, written.invoice_metadata)
        OR before.invoice_line_metadata IS NOT NULL
            AND (before.line_id, before.invoice_line_metadata)
                IS DISTINCT FROM (written.line_id, written.invoice_line_metadata)
        OR before.subscription_metadata IS NOT NULL
            AND (before.invoice_id, before.subscription_metadata)
                IS DISTINCT FROM (written.invoice_id, written.subscription_metadata)
        OR before.checkout_session_metadata IS NOT NULL
            AND (before.checkout_session_id, before.checkout_session_metadata)
                IS DISTINCT FROM (written.checkout_session_id, written.checkout_session_metadata)
        OR before.payment_intent_metadata IS NOT NULL
            AND (before.payment_intent_id, before.payment_intent_metadata)
                IS DISTINCT FROM (written.payment_intent_id, written.payment_intent_metadata)
    ) AS "other_metadata_changed!",
    written.counted AS "counted!", before.date AS "date_before?", before.currency AS "currency_before?",
    COALESCE(before.units, 0) AS "units_before!", before.units_fraction AS "units_fraction_before?",
    COALESCE(before.gross, 0) AS "gross_before!", COALESCE(before.refunded, 0) AS "refunded_before!",
    COALESCE(before.counted, FALSE) AS "counted_before!"
-- Rows as they were before the statement, too; looked up for those alone that were updated.
FROM written LEFT JOIN LATERAL (
    SELECT * FROM stripe_revenue_data AS stored
    WHERE stored.organization_id = $1 AND stored.connection_id = $2
      AND stored.charge_id = written.updated_id AND stored.line_no = written.line_no
    LIMIT 1) AS before ON TRUE
