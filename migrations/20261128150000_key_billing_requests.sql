-- Billing: the keys of requests that change something at Stripe, until what became of them is known.

CREATE TABLE billing_requests (
    organization_id TEXT NOT NULL,
    request         TEXT COLLATE "C" NOT NULL,
    idempotency_key UUID NOT NULL,
    sent_at         TIMESTAMPTZ NOT NULL,

    PRIMARY KEY (organization_id, request),
    CONSTRAINT billing_requests_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES organizations
);
COMMENT ON TABLE billing_requests IS
    'What Stripe is being asked to change, or was asked without an answer. A row is committed before the request is sent, and goes '
    'when it is answered or everything was read after it. The description of the portal belongs to the reserved organization, and '
    'stays until its key is too old.';
COMMENT ON COLUMN billing_requests.request IS 'What is asked for, of which object. Whoever asks for the same sends the same key.';
COMMENT ON COLUMN billing_requests.sent_at IS
    'When the key was about to be sent for the first time; Stripe knows it for 24 hours.';

ALTER TABLE billing_customers ADD COLUMN applied_setup_at TIMESTAMPTZ;
COMMENT ON COLUMN billing_customers.applied_setup_at IS
    'When the SetupIntent applied_setup_id was created: one that is older is applied no more.';

ALTER TABLE billing_subscriptions ADD COLUMN scheduled_seats BIGINT;
COMMENT ON COLUMN billing_subscriptions.scheduled_seats IS 'How many seats there are from scheduled_at on.';
