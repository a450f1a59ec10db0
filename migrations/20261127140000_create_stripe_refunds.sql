-- The refunds of charges, which were only summed until now. Those of charges that are stored already come when these are read
-- the next time.

CREATE TABLE stripe_refunds (
    organization_id TEXT NOT NULL,
    connection_id   TEXT NOT NULL,
    charge_id       TEXT COLLATE "C" NOT NULL,
    refund_id       TEXT COLLATE "C" NOT NULL,
    amount          BIGINT NOT NULL,
    currency        TEXT NOT NULL,
    status          TEXT,
    reason          TEXT,
    created_at      TIMESTAMPTZ,
    counted         BOOLEAN NOT NULL,

    PRIMARY KEY (organization_id, connection_id, charge_id, refund_id)
);
COMMENT ON TABLE stripe_refunds IS
    'Refunds as their charges listed them when these were last read. They are shown with a charge; figures are made of the '
    'charge''s own sums.';
COMMENT ON COLUMN stripe_refunds.amount IS 'Minor units.';
COMMENT ON COLUMN stripe_refunds.status IS
    'pending, requires_action, succeeded, failed, canceled, or a later invention. Null where Stripe gives none.';
COMMENT ON COLUMN stripe_refunds.created_at IS 'Null where Stripe gives no instant that can be one.';
COMMENT ON COLUMN stripe_refunds.counted IS
    'Whether the refund is part of what was refunded: it did not fail, was not cancelled, and is no release of an authorization.';
