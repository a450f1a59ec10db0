-- What a dispute is about and until when it can be answered. Disputes that are stored already get it when they are read the
-- next time.
ALTER TABLE stripe_disputes
    ADD COLUMN amount BIGINT,
    ADD COLUMN currency TEXT,
    ADD COLUMN reason TEXT,
    ADD COLUMN evidence_due_at TIMESTAMPTZ;
COMMENT ON COLUMN stripe_disputes.amount IS 'The disputed amount, minor units of `currency`, which may differ from the charge''s.';
COMMENT ON COLUMN stripe_disputes.reason IS 'fraudulent, product_not_received, …, or a later invention.';
COMMENT ON COLUMN stripe_disputes.evidence_due_at IS 'Until when evidence can be sent. Null where Stripe gives no such instant.';
