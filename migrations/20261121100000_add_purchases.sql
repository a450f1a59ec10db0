-- What charges paid for, disputes, objects that could not be read, and charges known to be outside the
-- range: the ingredients of revenue rows, kept so that a changed one needs no request for the others.

-- An invoice or checkout session, once for each payment that it names.
CREATE TABLE stripe_purchases (
    organization_id TEXT NOT NULL,
    connection_id   TEXT NOT NULL,
    -- A payment intent, or a charge where the payment has none; '' where the purchase names neither and
    -- is found by the charge that names it (versions up to 2025-02-24.acacia).
    payment_id      TEXT COLLATE "C" NOT NULL,
    -- `in_…` or `cs_…`
    purchase_id     TEXT COLLATE "C" NOT NULL,
    kind            TEXT NOT NULL CHECK (kind IN ('invoice', 'checkout_session')),
    created_at      TIMESTAMPTZ NOT NULL,
    -- [{line_id, product_id, price_id, quantity, amount, weight}]
    lines           JSONB NOT NULL,
    PRIMARY KEY (organization_id, connection_id, payment_id, purchase_id)
);
CREATE INDEX stripe_purchases_by_id ON stripe_purchases (organization_id, connection_id, purchase_id);
CREATE INDEX stripe_purchases_by_time ON stripe_purchases (organization_id, connection_id, kind, created_at);

CREATE TABLE stripe_disputes (
    organization_id TEXT NOT NULL,
    connection_id   TEXT NOT NULL,
    charge_id       TEXT COLLATE "C" NOT NULL,
    dispute_id      TEXT COLLATE "C" NOT NULL,
    created_at      TIMESTAMPTZ NOT NULL,
    status          TEXT NOT NULL,
    PRIMARY KEY (organization_id, connection_id, charge_id, dispute_id)
);
CREATE INDEX stripe_disputes_by_id ON stripe_disputes (organization_id, connection_id, dispute_id);

-- Objects of a shape never seen, as Stripe sent them, until they can be read.
CREATE TABLE stripe_parked_objects (
    organization_id TEXT NOT NULL,
    connection_id   TEXT NOT NULL,
    -- The list that it is of: charges, invoices, …
    list            TEXT NOT NULL,
    object_id       TEXT COLLATE "C" NOT NULL,
    -- Text, since JSONB cannot hold every JSON that Stripe may send.
    raw             TEXT NOT NULL,
    error           TEXT NOT NULL,
    parked_at       TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (organization_id, connection_id, list, object_id)
);

-- Charges that events have named and that were created before the covered range.
CREATE TABLE stripe_outside_charges (
    organization_id TEXT NOT NULL,
    connection_id   TEXT NOT NULL,
    charge_id       TEXT COLLATE "C" NOT NULL,
    created_at      TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (organization_id, connection_id, charge_id)
);

-- Null for customers, which are read with their charges and never listed.
ALTER TABLE stripe_catalog_objects ADD COLUMN created_at TIMESTAMPTZ;

ALTER TABLE stripe_sync_state
    -- The day, UTC, on which the last days were listed again.
    ADD COLUMN relisted_on DATE,
    -- What the last such listing found to differ from what events had told: rows put right.
    ADD COLUMN rows_repaired BIGINT NOT NULL DEFAULT 0;

-- The invoice that the charge itself names, as versions up to 2025-02-24.acacia show it; invoice_id is the
-- one whose lines the rows are.
ALTER TABLE stripe_revenue_data ADD COLUMN named_invoice_id TEXT;
CREATE INDEX stripe_revenue_data_by_payment_intent
    ON stripe_revenue_data (organization_id, connection_id, payment_intent_id) WHERE payment_intent_id IS NOT NULL;
CREATE INDEX stripe_revenue_data_by_product
    ON stripe_revenue_data (organization_id, connection_id, product_id) WHERE product_id IS NOT NULL;
CREATE INDEX stripe_revenue_data_by_price
    ON stripe_revenue_data (organization_id, connection_id, price_id) WHERE price_id IS NOT NULL;
CREATE INDEX stripe_revenue_data_by_named_invoice
    ON stripe_revenue_data (organization_id, connection_id, named_invoice_id) WHERE named_invoice_id IS NOT NULL;

DO $$
DECLARE
    table_name TEXT;
BEGIN
    FOREACH table_name IN ARRAY ARRAY[
        'stripe_purchases', 'stripe_disputes', 'stripe_parked_objects', 'stripe_outside_charges'
    ] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', table_name);
        EXECUTE format(
            'CREATE POLICY tenant ON %I USING (organization_id = current_organization()) '
            'WITH CHECK (organization_id = current_organization())', table_name);
    END LOOP;
END
$$;

GRANT SELECT ON stripe_parked_objects, stripe_outside_charges TO stripe_sync_api;
GRANT SELECT, INSERT, UPDATE, DELETE ON stripe_purchases, stripe_disputes, stripe_parked_objects,
    stripe_outside_charges TO stripe_sync_consumer;
