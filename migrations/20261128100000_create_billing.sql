-- Billing: what the platform's organizations subscribe to, as Stripe described it when it was last read.

CREATE TABLE billing_customers (
    organization_id    TEXT NOT NULL,
    creation_id        UUID NOT NULL,
    idempotency_key    UUID NOT NULL,
    key_used_at        TIMESTAMPTZ,
    created_at         TIMESTAMPTZ NOT NULL,
    email              TEXT,
    name               TEXT,

    customer_id        TEXT COLLATE "C",
    payment_method     JSONB,
    applied_setup_id   TEXT,
    read_at            TIMESTAMPTZ,
    next_read_at       TIMESTAMPTZ,
    trial_used_at      TIMESTAMPTZ,

    PRIMARY KEY (organization_id),
    CONSTRAINT billing_customers_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES organizations,
    CONSTRAINT billing_customers_customer_id_key UNIQUE (customer_id)
);
COMMENT ON TABLE billing_customers IS
    'The customers at Stripe that stand for the platform''s organizations, one each. A row is committed before Stripe is asked '
    'to create its customer.';
COMMENT ON COLUMN billing_customers.creation_id IS
    'Names the row in the metadata of the customer, by which a customer is found whose creation had no answer.';
COMMENT ON COLUMN billing_customers.idempotency_key IS
    'Of the request that creates the customer; exchanged only once it is certain that the former one created nothing, or '
    'that its customer was deleted.';
COMMENT ON COLUMN billing_customers.key_used_at IS
    'When the key was first sent; Stripe knows an idempotency key for 24 hours. Null while no customer is asked for.';
COMMENT ON COLUMN billing_customers.customer_id IS 'Stripe''s id of it, cus_…; null until Stripe has answered.';
COMMENT ON COLUMN billing_customers.payment_method IS
    'By which it pays unless something else is said: id, kind, brand, last4, exp_month, exp_year.';
COMMENT ON COLUMN billing_customers.applied_setup_id IS
    'The SetupIntent whose payment method was made the default last, seti_…; once is enough.';
COMMENT ON COLUMN billing_customers.read_at IS
    'When the first request was sent whose answers are stored, here and in the other tables of billing.';
COMMENT ON COLUMN billing_customers.next_read_at IS 'When everything is read again unasked.';
COMMENT ON COLUMN billing_customers.trial_used_at IS 'When a trial was first seen; an organization has one.';
-- Which customers are to be read again?
CREATE INDEX billing_customers_to_read ON billing_customers (next_read_at) WHERE next_read_at IS NOT NULL;

CREATE TABLE billing_subscriptions (
    organization_id      TEXT NOT NULL,
    subscription_id      TEXT COLLATE "C" NOT NULL,
    is_ours              BOOLEAN NOT NULL,
    status               TEXT NOT NULL,
    item_id              TEXT,
    price_id             TEXT,
    lookup_key           TEXT,
    seats                BIGINT NOT NULL,
    current_period_start TIMESTAMPTZ,
    current_period_end   TIMESTAMPTZ,
    trial_end            TIMESTAMPTZ,
    cancel_at            TIMESTAMPTZ,
    created_at           TIMESTAMPTZ NOT NULL,
    ended_at             TIMESTAMPTZ,
    latest_invoice_id    TEXT,
    schedule_id          TEXT,
    scheduled_lookup_key TEXT,
    scheduled_at         TIMESTAMPTZ,

    PRIMARY KEY (organization_id, subscription_id),
    CONSTRAINT billing_subscriptions_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES billing_customers,
    CONSTRAINT billing_subscriptions_status_check
        CHECK (status IN ('incomplete', 'incomplete_expired', 'trialing', 'active', 'past_due', 'unpaid', 'paused', 'canceled'))
);
COMMENT ON TABLE billing_subscriptions IS 'All subscriptions of an organization''s customer, those that ended included.';
COMMENT ON COLUMN billing_subscriptions.is_ours IS 'Whether it was made by a checkout of ours, rather than elsewhere.';
COMMENT ON COLUMN billing_subscriptions.item_id IS 'The item that is a plan''s, si_…; null where no item is.';
COMMENT ON COLUMN billing_subscriptions.lookup_key IS
    'Of the price, as a plan names it; null where no plan does. A price keeps the key by which it was known when another price '
    'at Stripe takes the key over.';
COMMENT ON COLUMN billing_subscriptions.cancel_at IS
    'When it ends by a cancellation that is pending, however Stripe expresses that.';
COMMENT ON COLUMN billing_subscriptions.scheduled_lookup_key IS 'Of the price to which it changes at scheduled_at.';

CREATE TABLE billing_invoices (
    organization_id      TEXT NOT NULL,
    invoice_id           TEXT COLLATE "C" NOT NULL,
    subscription_id      TEXT,
    number               TEXT,
    status               TEXT NOT NULL,
    currency             TEXT NOT NULL,
    amount_due           BIGINT NOT NULL,
    amount_paid          BIGINT NOT NULL,
    amount_remaining     BIGINT NOT NULL,
    attempts             INTEGER NOT NULL,
    next_attempt_at      TIMESTAMPTZ,
    created_at           TIMESTAMPTZ NOT NULL,
    paid_at              TIMESTAMPTZ,
    hosted_url           TEXT,
    pdf_url              TEXT,

    PRIMARY KEY (organization_id, invoice_id),
    CONSTRAINT billing_invoices_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES billing_customers,
    CONSTRAINT billing_invoices_status_check CHECK (status IN ('draft', 'open', 'paid', 'uncollectible', 'void'))
);
COMMENT ON TABLE billing_invoices IS 'The invoices of an organization''s customer. Amounts are in minor units.';
-- What are an organization's invoices, newest first?
CREATE INDEX billing_invoices_by_time ON billing_invoices (organization_id, created_at DESC, invoice_id DESC);

CREATE TABLE billing_payments (
    organization_id TEXT NOT NULL,
    payment_id      TEXT COLLATE "C" NOT NULL,
    status          TEXT NOT NULL,
    currency        TEXT NOT NULL,
    amount          BIGINT NOT NULL,
    amount_refunded BIGINT NOT NULL,
    failure_code    TEXT,
    failure_message TEXT,
    receipt_url     TEXT,
    created_at      TIMESTAMPTZ NOT NULL,

    PRIMARY KEY (organization_id, payment_id),
    CONSTRAINT billing_payments_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES billing_customers,
    CONSTRAINT billing_payments_status_check CHECK (status IN ('succeeded', 'pending', 'failed'))
);
COMMENT ON TABLE billing_payments IS 'The charges of an organization''s customer. Amounts are in minor units.';
-- What are an organization's payments, newest first?
CREATE INDEX billing_payments_by_time ON billing_payments (organization_id, created_at DESC, payment_id DESC);

CREATE TABLE billing_checkouts (
    organization_id TEXT NOT NULL,
    checkout_id     UUID NOT NULL,
    created_at      TIMESTAMPTZ NOT NULL,
    plan            TEXT NOT NULL,
    billed_every    TEXT NOT NULL,
    seats           BIGINT NOT NULL,
    success_url     TEXT NOT NULL,
    cancel_url      TEXT NOT NULL,
    price_id        TEXT,
    trial_days      INTEGER,
    sent_at         TIMESTAMPTZ,
    held_until      TIMESTAMPTZ,

    status          TEXT NOT NULL,
    session_id      TEXT COLLATE "C",
    url             TEXT,
    expires_at      TIMESTAMPTZ,
    payment_pending BOOLEAN NOT NULL DEFAULT false,
    subscription_id TEXT,

    PRIMARY KEY (organization_id, checkout_id),
    CONSTRAINT billing_checkouts_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES billing_customers,
    CONSTRAINT billing_checkouts_session_id_key UNIQUE (session_id),
    CONSTRAINT billing_checkouts_status_check CHECK (status IN ('asked', 'open', 'complete', 'expired'))
);
COMMENT ON TABLE billing_checkouts IS
    'Checkout sessions by which organizations subscribe. A row is committed before Stripe is asked to create its session; its id '
    'is the idempotency key of that request and stands in the session.';
COMMENT ON COLUMN billing_checkouts.sent_at IS
    'When the request was about to be sent for the first time; what it says does not change from then on.';
COMMENT ON COLUMN billing_checkouts.held_until IS 'Until then one call works on it, and others wait.';
COMMENT ON COLUMN billing_checkouts.status IS
    'asked: no answer was stored yet. open: it may be paid. complete: it was gone through. expired: it never will be, or was '
    'never made.';
COMMENT ON COLUMN billing_checkouts.payment_pending IS 'Gone through, and the payment is still on its way, as a debit is.';
-- An organization has one session at a time that may be paid, however many calls ask for one at once.
CREATE UNIQUE INDEX billing_checkouts_one_open ON billing_checkouts (organization_id) WHERE status IN ('asked', 'open');

CREATE TABLE billing_prices (
    organization_id TEXT NOT NULL,
    prices          JSONB NOT NULL,
    read_at         TIMESTAMPTZ NOT NULL,

    PRIMARY KEY (organization_id),
    CONSTRAINT billing_prices_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES organizations
);
COMMENT ON TABLE billing_prices IS
    'What the plans cost, as Stripe last said: one row, of the reserved organization. prices: price_id, product_id, lookup_key, '
    'amount in minor units, currency, interval, sold (whether it is the price that the key names now).';
