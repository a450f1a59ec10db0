-- Revenue rows, one for each line of a charge, and their daily rollups.
--
-- A transaction that writes rows records their days in stripe_stale_days. The sums of a stale day are recomputed from
-- its rows (connectors/stripe/src/analytics/refresh.rs), never incremented. Reports use the sums of fresh days and the rows of
-- stale ones, so figures are exact at any time.

CREATE TABLE stripe_revenue_data (
    organization_id     TEXT NOT NULL,
    connection_id       TEXT NOT NULL,
    charge_id           TEXT COLLATE "C" NOT NULL,
    line_no             INTEGER NOT NULL,
    line_id             TEXT,

    created_at          TIMESTAMPTZ NOT NULL,
    date                DATE NOT NULL,
    currency            TEXT NOT NULL,
    status              TEXT NOT NULL,
    captured            BOOLEAN NOT NULL,
    livemode            BOOLEAN NOT NULL,

    charge_amount       BIGINT NOT NULL,
    amount              BIGINT NOT NULL,
    gross               BIGINT NOT NULL,
    refunded            BIGINT NOT NULL,
    units               BIGINT NOT NULL,

    customer_id         TEXT,
    product_id          TEXT,
    price_id            TEXT,
    payment_intent_id   TEXT,
    invoice_id          TEXT,
    named_invoice_id    TEXT,
    checkout_session_id TEXT,
    description         TEXT,
    country             TEXT,
    payment_method      TEXT,
    disputed            BOOLEAN NOT NULL,
    dispute_status      TEXT,

    charge_metadata     JSONB NOT NULL,
    product_metadata    JSONB NOT NULL,
    price_metadata      JSONB NOT NULL,
    customer_metadata   JSONB NOT NULL,

    excluded_by         UUID,
    counted             BOOLEAN NOT NULL GENERATED ALWAYS AS
                            (status = 'succeeded' AND captured AND excluded_by IS NULL) STORED,

    PRIMARY KEY (organization_id, connection_id, charge_id, line_no)
)
-- Room for HOT updates: a changed rule, refund or customer then touches no index.
WITH (fillfactor = 85);
COMMENT ON TABLE stripe_revenue_data IS
    'Charges of any status, one row for each line that a charge paid for, or one row if it has no lines. Amounts are '
    'in minor units of `currency`; the lines of a charge sum to the charge exactly.';
COMMENT ON COLUMN stripe_revenue_data.line_no IS
    '0 is the first or only line, so counting rows with line_no = 0 counts charges.';
COMMENT ON COLUMN stripe_revenue_data.line_id IS 'Stripe''s id of the line of the invoice or checkout session.';
COMMENT ON COLUMN stripe_revenue_data.created_at IS 'Stripe''s `created` of the charge.';
COMMENT ON COLUMN stripe_revenue_data.date IS 'The day of created_at in the connection''s time zone.';
COMMENT ON COLUMN stripe_revenue_data.charge_amount IS 'The amount of the whole charge; rules compare this one.';
COMMENT ON COLUMN stripe_revenue_data.amount IS 'The line''s share of the charge''s amount.';
COMMENT ON COLUMN stripe_revenue_data.gross IS
    'The line''s share of the captured amount; 0 unless the charge succeeded and was captured. Rules do not change it.';
COMMENT ON COLUMN stripe_revenue_data.refunded IS
    'The line''s share of the refunded amount; 0 unless the charge succeeded and was captured.';
COMMENT ON COLUMN stripe_revenue_data.units IS 'The line''s quantity.';
COMMENT ON COLUMN stripe_revenue_data.invoice_id IS 'The invoice whose lines the charge was split into.';
COMMENT ON COLUMN stripe_revenue_data.named_invoice_id IS
    'The invoice that the charge itself names, in Stripe''s API versions up to 2025-02-24.acacia.';
COMMENT ON COLUMN stripe_revenue_data.product_metadata IS
    'Copied from stripe_referenced_objects, like that of price and customer, so that reports and rules read one table.';
COMMENT ON COLUMN stripe_revenue_data.excluded_by IS
    'The rule that excludes the charge; null if none. Excluded rows stay, so that a changed rule needs no request.';
COMMENT ON COLUMN stripe_revenue_data.counted IS 'Whether the row is part of figures.';

-- Which rows are on these days?
CREATE INDEX stripe_revenue_data_by_date
    ON stripe_revenue_data (organization_id, connection_id, date, currency);
-- Which rows are the newest, and which follow a cursor? In the order of the list, so that nothing is sorted.
CREATE INDEX stripe_revenue_data_by_created_at
    ON stripe_revenue_data (organization_id, connection_id, created_at DESC, charge_id DESC, line_no);
-- Which rows does a change of a customer, product, price, payment or invoice affect?
CREATE INDEX stripe_revenue_data_by_customer
    ON stripe_revenue_data (organization_id, connection_id, customer_id) WHERE customer_id IS NOT NULL;
CREATE INDEX stripe_revenue_data_by_product
    ON stripe_revenue_data (organization_id, connection_id, product_id) WHERE product_id IS NOT NULL;
CREATE INDEX stripe_revenue_data_by_price
    ON stripe_revenue_data (organization_id, connection_id, price_id) WHERE price_id IS NOT NULL;
CREATE INDEX stripe_revenue_data_by_payment_intent
    ON stripe_revenue_data (organization_id, connection_id, payment_intent_id) WHERE payment_intent_id IS NOT NULL;
CREATE INDEX stripe_revenue_data_by_invoice
    ON stripe_revenue_data (organization_id, connection_id, named_invoice_id) WHERE named_invoice_id IS NOT NULL;

CREATE TABLE stripe_stale_days (
    organization_id TEXT NOT NULL,
    connection_id   TEXT NOT NULL,
    date            DATE NOT NULL,

    PRIMARY KEY (organization_id, connection_id, date)
);
COMMENT ON TABLE stripe_stale_days IS 'Days whose rows changed after their sums were computed.';


-- Daily sums.

CREATE TABLE stripe_daily_aggregates (
    organization_id       TEXT NOT NULL,
    connection_id         TEXT NOT NULL,
    date                  DATE NOT NULL,
    currency              TEXT NOT NULL,
    charges_stored        BIGINT NOT NULL,
    charges               BIGINT NOT NULL,
    units                 BIGINT NOT NULL,
    gross                 BIGINT NOT NULL,
    refunded              BIGINT NOT NULL,
    revenue_by_product    JSON NOT NULL,
    top_metadata_values   JSON NOT NULL,
    high_cardinality_keys TEXT[] COLLATE "C" NOT NULL DEFAULT '{}',

    PRIMARY KEY (organization_id, connection_id, date, currency)
)
-- A dashboard reads a year of these, and fetching the JSON texts from the TOAST table took most of the time. Up to the
-- length of a page they now stay in the row.
WITH (toast_tuple_target = 8160);
COMMENT ON TABLE stripe_daily_aggregates IS 'Sums by day and currency, in minor units, without excluded charges.';
COMMENT ON COLUMN stripe_daily_aggregates.charges_stored IS 'Charges of any status, excluded ones included.';
COMMENT ON COLUMN stripe_daily_aggregates.charges IS 'Charges that count.';
COMMENT ON COLUMN stripe_daily_aggregates.revenue_by_product IS
    '{product_id | "none": net}. JSON rather than JSONB, like top_metadata_values: both are sent unchanged, and JSONB '
    'would be converted to text for each reader.';
COMMENT ON COLUMN stripe_daily_aggregates.top_metadata_values IS
    '{"charge.tier": [{value, revenue, charges}]}, the values with the most net revenue first.';
COMMENT ON COLUMN stripe_daily_aggregates.high_cardinality_keys IS
    'Metadata keys that stripe_daily_rollups omits on this day and currency: identifiers and long texts.';
-- lz4 decompresses in half the time of the default, which a PostgreSQL built without lz4 keeps.
DO $$
BEGIN
    ALTER TABLE stripe_daily_aggregates
        ALTER COLUMN revenue_by_product SET COMPRESSION lz4,
        ALTER COLUMN top_metadata_values SET COMPRESSION lz4;
EXCEPTION WHEN feature_not_supported THEN
    NULL;
END
$$;

CREATE TABLE stripe_aggregate_versions (
    organization_id TEXT NOT NULL,
    connection_id   TEXT NOT NULL,
    written_by      BIGINT NOT NULL,

    PRIMARY KEY (organization_id, connection_id)
);
COMMENT ON TABLE stripe_aggregate_versions IS
    'The version of a connection''s daily aggregates, by which the API validates cached responses. Reading the '
    'versions of a year''s rows instead took longer than everything else.';
COMMENT ON COLUMN stripe_aggregate_versions.written_by IS
    'The id of the last transaction that wrote aggregates. Ids never repeat, so a connection that was deleted and '
    'created again has another version.';

-- A trigger, so that no writer can forget it. The row stays locked until the transaction ends, so transactions that
-- write aggregates of the same connection commit one after the other. Rows are written in key order to avoid deadlocks.
CREATE FUNCTION bump_aggregate_version() RETURNS TRIGGER
    LANGUAGE plpgsql
AS $$
BEGIN
    INSERT INTO stripe_aggregate_versions AS version (organization_id, connection_id, written_by)
    SELECT DISTINCT organization_id, connection_id, pg_current_xact_id()::TEXT::BIGINT FROM written
    ORDER BY organization_id, connection_id
    ON CONFLICT (organization_id, connection_id) DO UPDATE SET written_by = EXCLUDED.written_by
    WHERE version.written_by <> EXCLUDED.written_by;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION bump_aggregate_version() IS
    'Updates the version of each connection whose daily aggregates a statement changed.';
CREATE TRIGGER bump_version_on_insert AFTER INSERT ON stripe_daily_aggregates REFERENCING NEW TABLE AS written
    FOR EACH STATEMENT EXECUTE FUNCTION bump_aggregate_version();
CREATE TRIGGER bump_version_on_update AFTER UPDATE ON stripe_daily_aggregates REFERENCING NEW TABLE AS written
    FOR EACH STATEMENT EXECUTE FUNCTION bump_aggregate_version();
CREATE TRIGGER bump_version_on_delete AFTER DELETE ON stripe_daily_aggregates REFERENCING OLD TABLE AS written
    FOR EACH STATEMENT EXECUTE FUNCTION bump_aggregate_version();

CREATE TABLE stripe_daily_rollups (
    organization_id TEXT NOT NULL,
    connection_id   TEXT NOT NULL,
    date            DATE NOT NULL,
    currency        TEXT NOT NULL,
    key_path        TEXT COLLATE "C" NOT NULL,
    value           TEXT COLLATE "C" NOT NULL,
    charges         BIGINT NOT NULL,
    units           BIGINT NOT NULL,
    gross           BIGINT NOT NULL,
    refunded        BIGINT NOT NULL,

    -- In the order that reports need: one value of a key, or all its values, over any days.
    PRIMARY KEY (organization_id, key_path, connection_id, value, date, currency)
)
-- Room for HOT updates of today's sums, which change with every sync.
WITH (fillfactor = 85);
COMMENT ON TABLE stripe_daily_rollups IS
    'Sums by day, currency and metadata value, in minor units, so that filters on a value and groups by a key need not '
    'read revenue rows.';
COMMENT ON COLUMN stripe_daily_rollups.key_path IS 'The object type and the key, such as ''charge.tier''.';
COMMENT ON COLUMN stripe_daily_rollups.charges IS
    'Charges that count and have the value; a charge counts once, even if several of its lines have it.';

-- Which sums does a day have, to compare with those just computed? The condition always holds: it hides the index from
-- statements that do not repeat it, and only connectors/stripe/src/analytics/refresh.rs does. Without it, reports used this narrow
-- index while statistics were missing or showed an empty table, since it then looks cheaper than the primary key, and
-- read the sums of all keys. The day comes first for the same reason.
-- Guarded by metadata_report_uses_key_index_without_statistics and
-- metadata_report_uses_key_index_when_stats_predate_rows.
CREATE INDEX stripe_daily_rollups_by_date ON stripe_daily_rollups (date, organization_id, connection_id)
    WHERE octet_length(currency) > 0;

-- Deletes by ctid, with all other scans switched off. If statistics do not know an organization yet, PostgreSQL expects
-- one row of it in an index, and read all sums of the organization to find these few. It is a function because that is
-- how settings apply to a single statement. Guarded by
-- a_changed_rule_deletes_stale_rollups_by_ctid.
--
-- A ctid may belong to another row by now, so the days, which the caller has locked, are compared as well.
CREATE FUNCTION delete_daily_rollups_by_ctid(organization TEXT, connection TEXT, days DATE[], ctids TID[]) RETURNS VOID
    LANGUAGE plpgsql
    SET enable_indexscan = off SET enable_bitmapscan = off SET enable_seqscan = off
AS $$
BEGIN
    DELETE FROM stripe_daily_rollups
    WHERE organization_id = organization AND connection_id = connection AND date = ANY(days) AND ctid = ANY(ctids);
END
$$;
COMMENT ON FUNCTION delete_daily_rollups_by_ctid(TEXT, TEXT, DATE[], TID[]) IS
    'Deletes the sums of these days at these ctids.';

CREATE TABLE stripe_omitted_value_hashes (
    organization_id TEXT NOT NULL,
    connection_id   TEXT NOT NULL,
    date            DATE NOT NULL,
    currency        TEXT NOT NULL,
    key_path        TEXT COLLATE "C" NOT NULL,
    value_hashes    INTEGER[] NOT NULL,

    PRIMARY KEY (organization_id, connection_id, date, currency, key_path)
);
-- Hashes do not compress.
ALTER TABLE stripe_omitted_value_hashes ALTER COLUMN value_hashes SET STORAGE EXTERNAL;
COMMENT ON TABLE stripe_omitted_value_hashes IS
    'Which values a day may have of the keys that stripe_daily_rollups omits, so that a filter on an identifier reads '
    'only the days that may have it.';
COMMENT ON COLUMN stripe_omitted_value_hashes.key_path IS
    'One of stripe_daily_aggregates.high_cardinality_keys. A key of those that is missing here may have any value.';
COMMENT ON COLUMN stripe_omitted_value_hashes.value_hashes IS
    'metadata_value_hash of the values of counted rows, ascending. No row has a value whose hash is missing.';

-- The hashes are stored, so they must never change: hashtextextended is the same in all versions of PostgreSQL, because
-- hash partitions depend on it.
CREATE FUNCTION metadata_value_hash(value TEXT) RETURNS INTEGER
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN (hashtextextended(value, 0) & 2147483647)::INTEGER;
COMMENT ON FUNCTION metadata_value_hash(TEXT) IS 'What is the hash of a value in stripe_omitted_value_hashes?';


-- Statistics.

-- Autovacuum analyzes a new table only after a minute or more; until then the planner expects a connection to have one
-- row, and a first sync writes most of its rows by then. So the consumer refreshes statistics as the rows grow. ANALYZE
-- needs the owner's rights, hence SECURITY DEFINER, without arguments and with nothing else inside. Metadata and lines
-- are left to autovacuum: analyzing them took most of the time, and no plan of a sync depends on them.
CREATE FUNCTION analyze_revenue_data() RETURNS VOID
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp
AS $$
BEGIN
    -- One at a time: a second one would wait for the first and then repeat its work.
    IF NOT pg_try_advisory_xact_lock(hashtext('analyze_revenue_data')) THEN
        RETURN;
    END IF;
    ANALYZE stripe_revenue_data (organization_id, connection_id, charge_id, line_no, created_at, date, currency,
        customer_id, product_id, price_id, payment_intent_id, named_invoice_id, counted);
    ANALYZE stripe_purchases (organization_id, connection_id, payment_id, purchase_id, created_at);
    ANALYZE stripe_referenced_objects (organization_id, connection_id, object_type, object_id);
    ANALYZE stripe_disputes;
END
$$;
COMMENT ON FUNCTION analyze_revenue_data() IS
    'Analyzes the columns that the plans of a sync depend on, unless another session is doing so.';
-- SECURITY DEFINER: nobody may call it until common/src/db/access.rs grants that.
REVOKE ALL ON FUNCTION analyze_revenue_data() FROM PUBLIC;
