-- Limits of plans: which plan is in force, what it pauses, and what was done once because of it.

-- In the order in which migrations lock.
LOCK TABLE platform_connections IN SHARE ROW EXCLUSIVE MODE;

ALTER TABLE organizations ADD COLUMN plan TEXT;
COMMENT ON COLUMN organizations.plan IS
    'The plan in force, as billing last read; null where nothing was ever read, which is the free plan. Connecting and resuming an '
    'account lock the row.';

ALTER TABLE platform_connections
    ADD COLUMN paused_by_plan               BOOLEAN NOT NULL DEFAULT FALSE,
    ADD COLUMN wanted_sync_interval_minutes INTEGER,
    ADD CONSTRAINT platform_connections_paused_by_plan_check CHECK (paused OR NOT paused_by_plan),
    ADD CONSTRAINT platform_connections_wanted_interval_check
        CHECK (wanted_sync_interval_minutes BETWEEN 1 AND sync_interval_minutes - 1);
COMMENT ON COLUMN platform_connections.paused_by_plan IS
    'Whether the plan pauses it, rather than its owner: it goes on with a plan that allows more.';
COMMENT ON COLUMN platform_connections.wanted_sync_interval_minutes IS
    'The interval that its owner set, where the plan allows none so short; null where sync_interval_minutes is the owner''s.';

ALTER TABLE webhook_endpoints ADD COLUMN paused_by_plan BOOLEAN NOT NULL DEFAULT FALSE;
COMMENT ON COLUMN webhook_endpoints.paused_by_plan IS
    'Whether events are only stored and wait for the next poll, since the plan has no webhooks.';

COMMENT ON COLUMN webhook_events.endpoint_id IS
    'A connection''s endpoint, `platform` or `connect` for those of the platform, or `stripe_sync` for an event of our own.';

CREATE TABLE billing_fulfilments (
    organization_id TEXT NOT NULL,
    announced       JSONB,
    seeded_plans    TEXT[] NOT NULL DEFAULT '{}',

    PRIMARY KEY (organization_id),
    CONSTRAINT billing_fulfilments_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES organizations
);
COMMENT ON TABLE billing_fulfilments IS 'What was done because of how organizations stand, so that it is done once.';
COMMENT ON COLUMN billing_fulfilments.announced IS
    'How the organization stood when an event of ours last said so, and what was said with it; null if none ever did.';
COMMENT ON COLUMN billing_fulfilments.seeded_plans IS 'The plans whose questions the organization was given.';
