-- What was captured of a hold that goes on counts at once.

ALTER TABLE stripe_revenue_data ADD COLUMN partly_captured BOOLEAN NOT NULL DEFAULT FALSE;
COMMENT ON COLUMN stripe_revenue_data.partly_captured IS
    'Something of the charge was captured, though Stripe does not call it captured: more of the hold may be captured, or the '
    'rest has lapsed. Of the whole charge, so that all its lines count or none.';

-- PostgreSQL before 17 cannot change the expression of a column.
ALTER TABLE stripe_revenue_data DROP COLUMN counted;
ALTER TABLE stripe_revenue_data ADD COLUMN counted BOOLEAN NOT NULL GENERATED ALWAYS AS
    (status = 'succeeded' AND (captured OR partly_captured) AND excluded_by IS NULL) STORED;
COMMENT ON COLUMN stripe_revenue_data.counted IS 'Whether the row is part of figures.';
COMMENT ON COLUMN stripe_revenue_data.gross IS
    'The line''s share of the captured amount; 0 unless the charge succeeded. Rules do not change it.';
COMMENT ON COLUMN stripe_revenue_data.refunded IS
    'The line''s share of the refunded amount; 0 unless the charge succeeded and something of it was captured.';
