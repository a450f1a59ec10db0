-- Webhooks: the endpoints of connections, the inbox of events, and the secrets that verify them.

-- A connection has several credentials from now on: the key, and up to two signing secrets while one replaces another.
ALTER TABLE connection_credentials
    ADD COLUMN purpose    TEXT NOT NULL DEFAULT 'api_key',
    ADD COLUMN expires_at TIMESTAMPTZ,
    DROP CONSTRAINT connection_credentials_pkey,
    ADD PRIMARY KEY (organization_id, connection_id, purpose),
    ADD CONSTRAINT connection_credentials_purpose_check
        CHECK (purpose IN ('api_key', 'webhook_secret', 'former_webhook_secret'));
ALTER TABLE connection_credentials ALTER COLUMN purpose DROP DEFAULT;
COMMENT ON TABLE connection_credentials IS
    'The API keys of connected accounts and the signing secrets of their webhooks, encrypted.';
COMMENT ON COLUMN connection_credentials.purpose IS
    'api_key reads the account; the two webhook secrets verify signatures, the former one until it expires.';
COMMENT ON COLUMN connection_credentials.sealed IS
    'The envelope: AES-256-GCM, bound to this organization, connection and use.';
COMMENT ON COLUMN connection_credentials.expires_at IS 'Null for a credential that does not expire.';

ALTER TABLE sync_jobs
    DROP CONSTRAINT sync_jobs_trigger_check,
    ADD CONSTRAINT sync_jobs_trigger_check
        CHECK (trigger IN ('connect', 'schedule', 'manual', 'filters', 'settings', 'webhook'));

-- Which completed jobs are old? Those of webhooks are many. BRIN, since jobs are made in this order: it costs next to nothing.
CREATE INDEX sync_jobs_by_age ON sync_jobs USING brin (created_at);

CREATE TABLE webhook_endpoints (
    organization_id TEXT NOT NULL,
    endpoint_id     TEXT NOT NULL,
    connection_id   TEXT NOT NULL,
    created_at      TIMESTAMPTZ NOT NULL,
    last_signature_failure_at TIMESTAMPTZ,

    PRIMARY KEY (organization_id, endpoint_id),
    CONSTRAINT webhook_endpoints_endpoint_id_key UNIQUE (endpoint_id),
    CONSTRAINT webhook_endpoints_one_per_connection UNIQUE (organization_id, connection_id),
    CONSTRAINT webhook_endpoints_connection_fkey
        FOREIGN KEY (organization_id, connection_id) REFERENCES platform_connections ON DELETE CASCADE
);
COMMENT ON TABLE webhook_endpoints IS 'The addresses to which vendors send the events of connections.';
COMMENT ON COLUMN webhook_endpoints.endpoint_id IS 'Random: part of an address that anybody may call.';
COMMENT ON COLUMN webhook_endpoints.last_signature_failure_at IS
    'When a request with a wrong signature last came, give or take ten seconds.';

-- The inbox, which is also the queue: an event is answered once it is here, and is worked on from here.
CREATE TABLE webhook_events (
    organization_id   TEXT NOT NULL,
    event_id          UUID NOT NULL,
    endpoint_id       TEXT NOT NULL,
    connection_id     TEXT NOT NULL,
    external_event_id TEXT COLLATE "C" NOT NULL,

    event_type        TEXT NOT NULL,
    account           TEXT,
    livemode          BOOLEAN,
    api_version       TEXT,
    object_id         TEXT,
    created_at        TIMESTAMPTZ,
    received_at       TIMESTAMPTZ NOT NULL,
    payload           BYTEA NOT NULL,

    status            TEXT NOT NULL,
    attempts          INTEGER NOT NULL DEFAULT 0,
    processed_at      TIMESTAMPTZ,
    error_code        TEXT,
    error_message     TEXT,

    PRIMARY KEY (organization_id, event_id),
    CONSTRAINT webhook_events_once_per_endpoint UNIQUE (organization_id, endpoint_id, external_event_id),
    CONSTRAINT webhook_events_status_check CHECK (status IN ('pending', 'processed', 'ignored', 'dead'))
);
COMMENT ON TABLE webhook_events IS
    'Events that vendors sent, each once. No foreign key: storing an event waits for no other row.';
COMMENT ON COLUMN webhook_events.external_event_id IS 'The vendor''s id of the event; Stripe''s is evt_….';
COMMENT ON COLUMN webhook_events.account IS 'The account that the event names; null if it names none.';
COMMENT ON COLUMN webhook_events.object_id IS 'The object that the event is about; null if it has no id.';
COMMENT ON COLUMN webhook_events.created_at IS 'When it happened, by the vendor''s clock; null if the event does not say.';
COMMENT ON COLUMN webhook_events.payload IS 'The request body, byte for byte; PostgreSQL compresses it.';
COMMENT ON COLUMN webhook_events.status IS
    'pending: to be applied. processed. ignored: it changes nothing that is stored here. dead: given up, until a '
    'person replays it.';
COMMENT ON COLUMN webhook_events.attempts IS 'How often a job tried to apply it.';

-- Which events of a connection are to be applied, in the order of their arrival?
CREATE INDEX webhook_events_pending ON webhook_events (organization_id, connection_id, received_at, event_id)
    WHERE status = 'pending';
-- What are an organization's events, newest first?
CREATE INDEX webhook_events_by_arrival ON webhook_events (organization_id, received_at DESC, event_id DESC);
-- Which events are old? BRIN, since events are stored in the order of their arrival: it costs next to nothing.
CREATE INDEX webhook_events_by_age ON webhook_events USING brin (received_at);
-- When did an endpoint last receive an event?
CREATE INDEX webhook_events_by_endpoint ON webhook_events (organization_id, endpoint_id, received_at);
