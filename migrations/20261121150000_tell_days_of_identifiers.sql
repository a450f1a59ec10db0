-- A filter on an identifier (an order, a cart) matches a row or two, and nothing told on which day: every row of the
-- connection was read. These say which values a day may have of the keys that stripe_daily_values leaves out.

-- Equal for equal texts, and the same in all versions of PostgreSQL: hash partitions are found by it.
CREATE FUNCTION metadata_value_hash(value TEXT) RETURNS INTEGER
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN (hashtextextended(value, 0) & 2147483647)::INTEGER;

CREATE TABLE stripe_omitted_values (
    organization_id TEXT NOT NULL,
    connection_id   TEXT NOT NULL,
    date            DATE NOT NULL,
    currency        TEXT NOT NULL,
    -- One of stripe_daily_aggregates.omitted_keys; one that is absent here may have any value.
    key_path        TEXT COLLATE "C" NOT NULL,
    -- Of the values of the counted rows, ascending. A value whose hash is absent is on none of them.
    value_hashes    INTEGER[] NOT NULL,
    PRIMARY KEY (organization_id, connection_id, date, currency, key_path)
);
-- Hashes do not get smaller by packing.
ALTER TABLE stripe_omitted_values ALTER COLUMN value_hashes SET STORAGE EXTERNAL;

ALTER TABLE stripe_omitted_values ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON stripe_omitted_values USING (organization_id = current_organization())
    WITH CHECK (organization_id = current_organization());
GRANT SELECT ON stripe_omitted_values TO stripe_sync_api;
GRANT SELECT, INSERT, UPDATE, DELETE ON stripe_omitted_values TO stripe_sync_consumer;

-- Days of before have none yet. The owner sees no tenant's rows while row-level security is forced on it.
ALTER TABLE stripe_daily_aggregates NO FORCE ROW LEVEL SECURITY;
ALTER TABLE stripe_stale_days NO FORCE ROW LEVEL SECURITY;
INSERT INTO stripe_stale_days (organization_id, connection_id, date)
SELECT DISTINCT organization_id, connection_id, date FROM stripe_daily_aggregates WHERE omitted_keys <> '{}'
ON CONFLICT DO NOTHING;
ALTER TABLE stripe_daily_aggregates FORCE ROW LEVEL SECURITY;
ALTER TABLE stripe_stale_days FORCE ROW LEVEL SECURITY;
