-- Connect: the accounts at Stripe through which the platform's organizations are paid.

CREATE TABLE connected_accounts (
    organization_id   TEXT NOT NULL,
    creation_id       UUID NOT NULL,
    idempotency_key   UUID NOT NULL,
    key_used_at       TIMESTAMPTZ NOT NULL,
    created_at        TIMESTAMPTZ NOT NULL,

    preset            TEXT NOT NULL,
    email             TEXT,
    country           TEXT,
    business_type     TEXT,

    account_id        TEXT COLLATE "C",
    charges_enabled   BOOLEAN NOT NULL DEFAULT false,
    payouts_enabled   BOOLEAN NOT NULL DEFAULT false,
    details_submitted BOOLEAN NOT NULL DEFAULT false,
    capabilities      JSONB NOT NULL DEFAULT '{}',
    requirements      JSONB NOT NULL DEFAULT '[]',
    disabled_reason   TEXT,
    read_at           TIMESTAMPTZ,
    next_read_at      TIMESTAMPTZ,

    disconnected_at   TIMESTAMPTZ,
    disconnected_by   TEXT,

    PRIMARY KEY (organization_id, creation_id),
    CONSTRAINT connected_accounts_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES organizations,
    CONSTRAINT connected_accounts_account_id_key UNIQUE (account_id),
    CONSTRAINT connected_accounts_preset_check CHECK (preset IN ('express', 'standard', 'custom')),
    CONSTRAINT connected_accounts_disconnected_by_check
        CHECK (disconnected_by IN ('organization', 'stripe')
               AND (disconnected_by IS NULL) = (disconnected_at IS NULL))
);
COMMENT ON TABLE connected_accounts IS
    'The accounts at Stripe of the platform''s organizations, former ones included. A row is committed before Stripe is '
    'asked to create its account.';
COMMENT ON COLUMN connected_accounts.creation_id IS
    'Names the row in the metadata of the account at Stripe, by which an account is found whose creation had no answer.';
COMMENT ON COLUMN connected_accounts.idempotency_key IS
    'Of the request that creates the account; exchanged only once it is certain that the former one created nothing.';
COMMENT ON COLUMN connected_accounts.key_used_at IS
    'When the key was first sent; Stripe knows an idempotency key for 24 hours.';
COMMENT ON COLUMN connected_accounts.account_id IS 'Stripe''s id of the account, acct_…; null until Stripe has answered.';
COMMENT ON COLUMN connected_accounts.capabilities IS 'What the account asked to be able to do, and the state of each: name, state.';
COMMENT ON COLUMN connected_accounts.requirements IS
    'What Stripe wants to know of the organization: field, state, deadline, reason.';
COMMENT ON COLUMN connected_accounts.read_at IS 'When the request was sent whose answer is stored.';
COMMENT ON COLUMN connected_accounts.next_read_at IS
    'When it is read again unasked, since Stripe does not always send an event; null once it is disconnected.';
COMMENT ON COLUMN connected_accounts.disconnected_by IS
    'organization: by a call here. stripe: the account was deleted, or took the platform''s access away.';

-- An organization has one account at a time, however many calls ask for one at once.
CREATE UNIQUE INDEX connected_accounts_one_per_organization ON connected_accounts (organization_id)
    WHERE disconnected_at IS NULL;
-- Which accounts are to be read again?
CREATE INDEX connected_accounts_to_read ON connected_accounts (next_read_at) WHERE next_read_at IS NOT NULL;

-- Events of the platform's endpoints are worked on one by one, each claimed by a lease.
ALTER TABLE webhook_events ADD COLUMN claimed_until TIMESTAMPTZ;
COMMENT ON COLUMN webhook_events.claimed_until IS
    'Of an event of the platform''s endpoints that a consumer works on: after that another one takes it over.';
-- Which events of the platform's endpoints are to be applied?
CREATE INDEX webhook_events_of_platform_pending ON webhook_events (received_at)
    WHERE connection_id IS NULL AND status = 'pending';

-- The same as before, and an event of the platform is processing while a consumer holds it.
CREATE OR REPLACE VIEW webhook_event_states WITH (security_invoker = true) AS
SELECT event.organization_id, event.event_id, event.external_event_id, event.endpoint_id, event.connection_id,
       event.event_type, event.account, event.livemode, event.api_version, event.object_id, event.created_at,
       event.received_at, event.next_attempt_at, event.processed_at, event.attempts, event.error_code,
       event.error_message, event.history, event.changes, event.found_by_polling, event.twin_of,
       CASE
           WHEN event.status <> 'pending' THEN event.status
           WHEN event.claimed_until IS NOT NULL THEN 'processing'
           WHEN EXISTS (SELECT FROM sync_jobs AS job
                        WHERE job.organization_id = event.organization_id AND job.connection_id = event.connection_id
                          AND job.status = 'running' AND job.lease_owner IS NOT NULL
                          AND job.started_at >= COALESCE(event.next_attempt_at, event.received_at)) THEN 'processing'
           WHEN event.next_attempt_at IS NOT NULL THEN 'failed'
           ELSE 'pending'
       END AS state
FROM webhook_events AS event;
