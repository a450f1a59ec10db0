-- What disputes took and cost, so that revenue can be read with and without what came back.

ALTER TABLE stripe_disputes
    ADD COLUMN fee BIGINT,
    ADD COLUMN fee_currency TEXT;
COMMENT ON COLUMN stripe_disputes.fee IS
    'What Stripe charged for the dispute less what it gave back, minor units of `fee_currency`. Null if nothing was charged '
    'yet, and for disputes that were not read since this was kept.';

ALTER TABLE stripe_revenue_data
    ADD COLUMN disputed_amount BIGINT,
    ADD COLUMN dispute_fee BIGINT;
COMMENT ON COLUMN stripe_revenue_data.disputed_amount IS
    'The line''s share of what open and lost disputes took of the charge; 0 if they took nothing, null if there are none. No '
    'figure is lowered by it.';
COMMENT ON COLUMN stripe_revenue_data.dispute_fee IS
    'The line''s share of what the charge''s disputes cost, where Stripe took it in the currency of the charge.';

-- What did disputes take on these days? They are few, so their sums are kept nowhere.
CREATE INDEX stripe_revenue_data_disputed ON stripe_revenue_data (organization_id, connection_id, date)
    WHERE disputed_amount IS NOT NULL;
