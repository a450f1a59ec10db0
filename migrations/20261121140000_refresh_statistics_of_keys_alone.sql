-- Statistics of metadata and lines, which no plan of a sync depends on, took most of the time; autovacuum makes
-- them later.
CREATE OR REPLACE FUNCTION refresh_statistics() RETURNS VOID
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp
AS $$
BEGIN
    -- One at a time: a second one would wait for the first and do the same again.
    IF NOT pg_try_advisory_xact_lock(hashtext('refresh_statistics')) THEN
        RETURN;
    END IF;
    ANALYZE stripe_revenue_data (organization_id, connection_id, charge_id, line_no, created_at, date, currency,
        customer_id, product_id, price_id, payment_intent_id, named_invoice_id, counted);
    ANALYZE stripe_purchases (organization_id, connection_id, payment_id, purchase_id, created_at);
    ANALYZE stripe_catalog_objects (organization_id, connection_id, object_type, object_id);
    ANALYZE stripe_disputes;
END
$$;
