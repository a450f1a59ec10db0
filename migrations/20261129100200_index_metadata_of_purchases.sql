-- Which objects with metadata do rows show? Most rows are in none of these. A file of its own, so that reports go on while
-- the table is read.

CREATE INDEX stripe_revenue_data_by_invoice_metadata ON stripe_revenue_data (organization_id, connection_id, invoice_id)
    WHERE invoice_metadata IS NOT NULL;
CREATE INDEX stripe_revenue_data_by_invoice_line_metadata ON stripe_revenue_data (organization_id, connection_id, line_id)
    WHERE invoice_line_metadata IS NOT NULL;
CREATE INDEX stripe_revenue_data_by_subscription_metadata
    ON stripe_revenue_data (organization_id, connection_id, invoice_id) WHERE subscription_metadata IS NOT NULL;
CREATE INDEX stripe_revenue_data_by_checkout_session_metadata
    ON stripe_revenue_data (organization_id, connection_id, checkout_session_id)
    WHERE checkout_session_metadata IS NOT NULL;
