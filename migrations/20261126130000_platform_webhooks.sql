-- Webhooks of the platform itself: its own Stripe account, and the accounts that are connected to it. What concerns no
-- tenant belongs to a reserved organization, and operators, whose tokens belong to it as well, see it.

-- A foreign key below refers to it, and programs lock it first.
LOCK TABLE platform_connections IN SHARE ROW EXCLUSIVE MODE;

-- The reserved organization. No tenant can have its id, since theirs begin with a letter or a digit.
ALTER TABLE organizations
    DROP CONSTRAINT organizations_organization_id_check,
    ADD CONSTRAINT organizations_organization_id_check
        CHECK (organization_id ~ '^[a-z0-9][a-z0-9_-]{0,62}$' OR organization_id = '_platform');
ALTER TABLE organizations NO FORCE ROW LEVEL SECURITY;
INSERT INTO organizations (organization_id, name, created_at) VALUES ('_platform', 'The platform', now());
ALTER TABLE organizations FORCE ROW LEVEL SECURITY;
COMMENT ON TABLE organizations IS
    'The tenants, created, renamed and deleted by `stripe-sync org`, and `_platform`, to which belongs what concerns no '
    'tenant.';

-- Operators: their tokens are those of the reserved organization.
ALTER TABLE api_tokens
    DROP CONSTRAINT api_tokens_role_check,
    ADD CONSTRAINT api_tokens_role_check
        CHECK (role IN ('admin', 'analyst', 'operator') AND (role = 'operator') = (organization_id = '_platform'));
COMMENT ON COLUMN api_tokens.role IS
    'admin and analyst of an organization; operator of no organization, stored under `_platform`.';

-- The signing secrets of the platform's endpoints are credentials like any other, so that a change of the encryption
-- key finds them; but they belong to no connection. A foreign key does not look at a row with a null in it.
ALTER TABLE connection_credentials
    ADD COLUMN existing_connection_id TEXT
        GENERATED ALWAYS AS (CASE WHEN organization_id <> '_platform' THEN connection_id END) STORED,
    DROP CONSTRAINT connection_credentials_organization_id_connection_id_fkey,
    ADD CONSTRAINT connection_credentials_organization_id_connection_id_fkey
        FOREIGN KEY (organization_id, existing_connection_id) REFERENCES platform_connections ON DELETE CASCADE;
COMMENT ON COLUMN connection_credentials.connection_id IS
    'The connection; of `_platform`, the endpoint in platform_webhook_endpoints that a signing secret is of.';
COMMENT ON COLUMN connection_credentials.existing_connection_id IS
    'The connection, which must exist; null for those of `_platform`, which has none.';

-- An event of the platform's endpoints is of no connection.
ALTER TABLE webhook_events ALTER COLUMN connection_id DROP NOT NULL;
COMMENT ON COLUMN webhook_events.connection_id IS
    'The connection whose endpoint received it; null for the endpoints of the platform.';
COMMENT ON COLUMN webhook_events.endpoint_id IS
    'A connection''s endpoint, or `platform` or `connect` for those of the platform.';

-- One endpoint receives the events of many accounts. Whether ids of two of them differ is Stripe's affair: an event is
-- known by both. The id comes first, since events are also looked up by it alone.
ALTER TABLE webhook_events
    DROP CONSTRAINT webhook_events_once_per_endpoint,
    ADD CONSTRAINT webhook_events_once_per_endpoint
        UNIQUE NULLS NOT DISTINCT (organization_id, endpoint_id, external_event_id, account);

-- What are the events of all organizations, newest first? For operators; it also finds those that are old, so BRIN goes.
CREATE INDEX webhook_events_of_all_by_arrival ON webhook_events (received_at DESC, event_id DESC);
DROP INDEX webhook_events_by_age;

-- Endpoints that `stripe-sync webhooks register` made at Stripe. A row is committed before Stripe is asked.
CREATE TABLE platform_webhook_endpoints (
    organization_id      TEXT NOT NULL,
    endpoint_id          TEXT NOT NULL,
    registration_id      UUID NOT NULL,
    request              TEXT NOT NULL,
    requested_at         TIMESTAMPTZ NOT NULL,
    external_endpoint_id TEXT,

    PRIMARY KEY (organization_id, endpoint_id),
    CONSTRAINT platform_webhook_endpoints_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES organizations,
    CONSTRAINT platform_webhook_endpoints_endpoint_id_check CHECK (endpoint_id IN ('platform', 'connect'))
);
COMMENT ON TABLE platform_webhook_endpoints IS
    'The endpoints of the platform that were registered at Stripe, all of them of `_platform`. Their signing secrets are '
    'in connection_credentials.';
COMMENT ON COLUMN platform_webhook_endpoints.endpoint_id IS
    'platform: of the platform''s own account. connect: of the accounts that are connected to it.';
COMMENT ON COLUMN platform_webhook_endpoints.registration_id IS
    'Names this registration at Stripe, in the metadata of the endpoint and as the idempotency key of its creation.';
COMMENT ON COLUMN platform_webhook_endpoints.request IS
    'The request that creates the endpoint, form-encoded: only the same one has the same answer.';
COMMENT ON COLUMN platform_webhook_endpoints.requested_at IS
    'When it was first sent; Stripe knows an idempotency key for 24 hours.';
COMMENT ON COLUMN platform_webhook_endpoints.external_endpoint_id IS
    'Stripe''s id of the endpoint, we_…; null until Stripe has answered.';
