-- Objects of Stripe from which revenue rows are made, besides charges. They are stored so that a change of one needs no
-- request for the others.

CREATE TABLE stripe_referenced_objects (
    organization_id TEXT NOT NULL,
    connection_id   TEXT NOT NULL,
    object_type     TEXT NOT NULL,
    object_id       TEXT NOT NULL,
    metadata        JSONB NOT NULL,
    deleted         BOOLEAN NOT NULL,
    created_at      TIMESTAMPTZ,

    PRIMARY KEY (organization_id, connection_id, object_type, object_id),
    CONSTRAINT stripe_referenced_objects_object_type_check CHECK (object_type IN ('customer', 'product', 'price'))
);
COMMENT ON TABLE stripe_referenced_objects IS
    'Customers, products and prices as last read, so that charges cost no request for them.';
COMMENT ON COLUMN stripe_referenced_objects.created_at IS
    'Stripe''s `created`. Null for customers, which are expanded in charges and never listed.';

CREATE TABLE stripe_purchases (
    organization_id TEXT NOT NULL,
    connection_id   TEXT NOT NULL,
    payment_id      TEXT COLLATE "C" NOT NULL,
    purchase_id     TEXT COLLATE "C" NOT NULL,
    kind            TEXT NOT NULL,
    created_at      TIMESTAMPTZ NOT NULL,
    lines           JSONB NOT NULL,

    PRIMARY KEY (organization_id, connection_id, payment_id, purchase_id),
    CONSTRAINT stripe_purchases_kind_check CHECK (kind IN ('invoice', 'checkout_session'))
);
COMMENT ON TABLE stripe_purchases IS
    'What charges paid for: invoices and checkout sessions, one row for each payment that they name.';
COMMENT ON COLUMN stripe_purchases.payment_id IS
    'The payment intent, or the charge if there is none. Empty if the purchase names neither and the charge names the '
    'purchase, as in Stripe''s API versions up to 2025-02-24.acacia.';
COMMENT ON COLUMN stripe_purchases.purchase_id IS 'in_… or cs_….';
COMMENT ON COLUMN stripe_purchases.lines IS
    '[{line_id, product_id, price_id, quantity, amount, weight}], amounts in minor units.';

-- Which rows belong to an invoice or session that changed or is gone?
CREATE INDEX stripe_purchases_by_id ON stripe_purchases (organization_id, connection_id, purchase_id);
-- Which purchases of a kind were created in a time range? Those that Stripe no longer lists there are removed.
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
COMMENT ON TABLE stripe_disputes IS 'Disputes of charges. They are shown with a charge and change no figure.';

-- Which charge does a dispute belong to?
CREATE INDEX stripe_disputes_by_id ON stripe_disputes (organization_id, connection_id, dispute_id);

CREATE TABLE stripe_parked_objects (
    organization_id TEXT NOT NULL,
    connection_id   TEXT NOT NULL,
    resource        TEXT NOT NULL,
    object_id       TEXT COLLATE "C" NOT NULL,
    raw             TEXT NOT NULL,
    code            TEXT NOT NULL DEFAULT 'unreadable',
    detail          TEXT NOT NULL,
    parked_at       TIMESTAMPTZ NOT NULL,

    PRIMARY KEY (organization_id, connection_id, resource, object_id),
    CONSTRAINT stripe_parked_objects_code_check CHECK (code IN ('unreadable', 'unstorable'))
);
COMMENT ON TABLE stripe_parked_objects IS
    'Objects that could not be read or stored, as Stripe sent them. Reports count what they lack.';
COMMENT ON COLUMN stripe_parked_objects.resource IS 'The list that the object belongs to: charges, invoices, ….';
COMMENT ON COLUMN stripe_parked_objects.raw IS 'Text, because JSONB cannot hold all JSON that Stripe may send.';
COMMENT ON COLUMN stripe_parked_objects.code IS
    'unreadable: its shape is unknown. unstorable: PostgreSQL rejected its values.';

CREATE TABLE stripe_out_of_range_charges (
    organization_id TEXT NOT NULL,
    connection_id   TEXT NOT NULL,
    charge_id       TEXT COLLATE "C" NOT NULL,
    created_at      TIMESTAMPTZ NOT NULL,

    PRIMARY KEY (organization_id, connection_id, charge_id)
);
COMMENT ON TABLE stripe_out_of_range_charges IS
    'Charges created before the covered range that events have named, so that `explain` can say so and further events '
    'of them cost no request.';
