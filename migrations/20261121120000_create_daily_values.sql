-- Daily sums by metadata value, so that a filter on a value and groups by a key read sums and not rows.

CREATE TABLE stripe_daily_values (
    organization_id TEXT NOT NULL,
    connection_id   TEXT NOT NULL,
    date            DATE NOT NULL,
    currency        TEXT NOT NULL,
    -- 'charge.tier': whose metadata, then the key as it stands there.
    key_path        TEXT COLLATE "C" NOT NULL,
    value           TEXT COLLATE "C" NOT NULL,
    -- Of the counted rows that have the value; a charge counts once however many of its lines have it.
    charges         BIGINT NOT NULL,
    units           BIGINT NOT NULL,
    gross           BIGINT NOT NULL,
    refunded        BIGINT NOT NULL,
    PRIMARY KEY (organization_id, connection_id, date, currency, key_path, value)
);
-- One value, or all values of a key, over any days, from the index alone.
CREATE INDEX stripe_daily_values_by_value
    ON stripe_daily_values (organization_id, key_path, connection_id, value, date)
    INCLUDE (currency, charges, units, gross, refunded);

ALTER TABLE stripe_daily_values ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON stripe_daily_values USING (organization_id = current_organization())
    WITH CHECK (organization_id = current_organization());
GRANT SELECT ON stripe_daily_values TO stripe_sync_api;
GRANT SELECT, INSERT, UPDATE, DELETE ON stripe_daily_values TO stripe_sync_consumer;

ALTER TABLE stripe_daily_aggregates
    -- Keys of which stripe_daily_values has nothing on this day and currency: identifiers and long texts.
    ADD COLUMN omitted_keys TEXT[] COLLATE "C" NOT NULL DEFAULT '{}',
    -- Both are handed out as they are; JSON keeps the text that JSONB would write anew for every reader.
    ALTER COLUMN revenue_by_product TYPE JSON USING revenue_by_product::TEXT::JSON,
    ALTER COLUMN top_metadata_values TYPE JSON USING top_metadata_values::TEXT::JSON,
    ALTER COLUMN revenue_by_product SET STORAGE EXTERNAL,
    ALTER COLUMN top_metadata_values SET STORAGE EXTERNAL;

-- Room on each page for new versions of its rows: a changed rule, refund or customer then touches no index.
ALTER TABLE stripe_revenue_data SET (fillfactor = 85);

-- Aggregates of before have no values yet, so their days are to be made anew. The owner sees no tenant's
-- rows while row-level security is forced on it.
ALTER TABLE stripe_daily_aggregates NO FORCE ROW LEVEL SECURITY;
ALTER TABLE stripe_stale_days NO FORCE ROW LEVEL SECURITY;
INSERT INTO stripe_stale_days (organization_id, connection_id, date)
SELECT DISTINCT organization_id, connection_id, date FROM stripe_daily_aggregates
ON CONFLICT DO NOTHING;
ALTER TABLE stripe_daily_aggregates FORCE ROW LEVEL SECURITY;
ALTER TABLE stripe_stale_days FORCE ROW LEVEL SECURITY;
