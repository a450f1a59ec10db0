-- The API keeps answers made of daily aggregates until these are written again. To know, it read each row of a year
-- for its version, which took longer than all else that it asked PostgreSQL for.

CREATE TABLE stripe_aggregate_versions (
    organization_id TEXT NOT NULL,
    connection_id   TEXT NOT NULL,
    -- The last transaction that wrote aggregates of the connection: none comes twice, so what is there after a
    -- connection was deleted and made again is not taken for what was there before.
    written_by      BIGINT NOT NULL,
    PRIMARY KEY (organization_id, connection_id)
);

ALTER TABLE stripe_aggregate_versions ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON stripe_aggregate_versions USING (organization_id = current_organization())
    WITH CHECK (organization_id = current_organization());
GRANT SELECT ON stripe_aggregate_versions TO stripe_sync_api;
GRANT SELECT, INSERT, UPDATE, DELETE ON stripe_aggregate_versions TO stripe_sync_consumer;

-- By triggers, so that no writer can forget it. A connection's version is written when a statement ends and held until
-- its transaction does: transactions that write a connection's aggregates end one after the other.
CREATE FUNCTION note_who_wrote_aggregates() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO stripe_aggregate_versions AS version (organization_id, connection_id, written_by)
    SELECT DISTINCT organization_id, connection_id, pg_current_xact_id()::TEXT::BIGINT FROM written
    -- In one order, so that no two transactions wait for each other.
    ORDER BY organization_id, connection_id
    ON CONFLICT (organization_id, connection_id) DO UPDATE SET written_by = EXCLUDED.written_by
    WHERE version.written_by <> EXCLUDED.written_by;
    RETURN NULL;
END
$$;
CREATE TRIGGER note_inserted AFTER INSERT ON stripe_daily_aggregates REFERENCING NEW TABLE AS written
    FOR EACH STATEMENT EXECUTE FUNCTION note_who_wrote_aggregates();
CREATE TRIGGER note_updated AFTER UPDATE ON stripe_daily_aggregates REFERENCING NEW TABLE AS written
    FOR EACH STATEMENT EXECUTE FUNCTION note_who_wrote_aggregates();
CREATE TRIGGER note_deleted AFTER DELETE ON stripe_daily_aggregates REFERENCING OLD TABLE AS written
    FOR EACH STATEMENT EXECUTE FUNCTION note_who_wrote_aggregates();

-- The owner sees no tenant's rows while row-level security is forced on it.
ALTER TABLE stripe_daily_aggregates NO FORCE ROW LEVEL SECURITY;
ALTER TABLE stripe_aggregate_versions NO FORCE ROW LEVEL SECURITY;
INSERT INTO stripe_aggregate_versions (organization_id, connection_id, written_by)
SELECT DISTINCT organization_id, connection_id, pg_current_xact_id()::TEXT::BIGINT FROM stripe_daily_aggregates;
ALTER TABLE stripe_daily_aggregates FORCE ROW LEVEL SECURITY;
ALTER TABLE stripe_aggregate_versions FORCE ROW LEVEL SECURITY;
