-- A table that has just grown from nothing has no statistics until autovacuum comes by, a minute or more
-- later, and a planner without them believes that a connection has one row. A first sync writes most of its
-- rows before that. So a consumer asks for statistics as its rows grow; analysing needs the owner's rights,
-- which it has not, hence a function that does this and nothing else.
CREATE FUNCTION refresh_statistics() RETURNS VOID
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp
AS $$
DECLARE
    table_name TEXT;
BEGIN
    -- One at a time: a second one would wait for the first and do the same again.
    IF NOT pg_try_advisory_xact_lock(hashtext('refresh_statistics')) THEN
        RETURN;
    END IF;
    FOREACH table_name IN ARRAY ARRAY[
        'stripe_revenue_data', 'stripe_purchases', 'stripe_catalog_objects', 'stripe_disputes'
    ] LOOP
        EXECUTE format('ANALYZE %I', table_name);
    END LOOP;
END
$$;
REVOKE ALL ON FUNCTION refresh_statistics() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION refresh_statistics() TO stripe_sync_consumer;
