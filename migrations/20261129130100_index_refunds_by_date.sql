-- What went back on these days? A file of its own, so that reports go on while the table is read.

CREATE INDEX stripe_refunds_by_date ON stripe_refunds (organization_id, connection_id, date) WHERE date IS NOT NULL;
