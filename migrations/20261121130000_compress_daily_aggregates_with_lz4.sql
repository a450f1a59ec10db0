-- A year of aggregates is megabytes of JSON that every reader unpacks; lz4 is unpacked in half the time. A
-- PostgreSQL that was built without it keeps its own way. What is stored already is packed anew as its day is.
DO $$
BEGIN
    ALTER TABLE stripe_daily_aggregates
        ALTER COLUMN revenue_by_product SET COMPRESSION lz4,
        ALTER COLUMN top_metadata_values SET COMPRESSION lz4;
EXCEPTION WHEN feature_not_supported THEN
    NULL;
END
$$;
