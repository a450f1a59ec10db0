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
    next_attempt_at   TIMESTAMPTZ,
    started_at        TIMESTAMPTZ,
    processed_at      TIMESTAMPTZ,
    error_code        TEXT,
    error_message     TEXT,
    history           JSONB NOT NULL DEFAULT '[]',
    changes           JSONB NOT NULL DEFAULT '[]',
    found_by_polling  BOOLEAN NOT NULL DEFAULT false,
    twin_of           TEXT,

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
COMMENT ON COLUMN webhook_events.attempts IS 'How often it was tried to apply it, since it was stored or last replayed.';
COMMENT ON COLUMN webhook_events.next_attempt_at IS 'Not before then; null for as soon as can be.';
COMMENT ON COLUMN webhook_events.started_at IS 'When the last attempt began.';
COMMENT ON COLUMN webhook_events.history IS
    'Every attempt: handler, started_at, finished_at, outcome (processed or failed), error.';
COMMENT ON COLUMN webhook_events.changes IS 'The objects that were read again because of it: object, id.';
COMMENT ON COLUMN webhook_events.found_by_polling IS
    'Whether it was listed by a job and never delivered: the endpoint missed it.';
COMMENT ON COLUMN webhook_events.twin_of IS
    'The vendor''s id of the event that tells the same, and because of which this one is ignored.';

-- Which events of a connection are to be applied, in the order of their arrival?
CREATE INDEX webhook_events_pending ON webhook_events (organization_id, connection_id, received_at, event_id)
    WHERE status = 'pending';
-- Which events are to be tried again now?
CREATE INDEX webhook_events_to_retry ON webhook_events (next_attempt_at)
    WHERE status = 'pending' AND next_attempt_at IS NOT NULL;
-- When did an endpoint last miss an event?
CREATE INDEX webhook_events_missed ON webhook_events (organization_id, endpoint_id, received_at) WHERE found_by_polling;
-- What are an organization's events, newest first?
CREATE INDEX webhook_events_by_arrival ON webhook_events (organization_id, received_at DESC, event_id DESC);
-- Which events are old? BRIN, since events are stored in the order of their arrival: it costs next to nothing.
CREATE INDEX webhook_events_by_age ON webhook_events USING brin (received_at);
-- When did an endpoint last receive an event?
CREATE INDEX webhook_events_by_endpoint ON webhook_events (organization_id, endpoint_id, received_at);

-- Events as people see them: a pending one is processing while a job of its connection runs that began after it came, and
-- failed while it waits for its next attempt.
CREATE VIEW webhook_event_states WITH (security_invoker = true) AS
SELECT event.organization_id, event.event_id, event.external_event_id, event.endpoint_id, event.connection_id,
       event.event_type, event.account, event.livemode, event.api_version, event.object_id, event.created_at,
       event.received_at, event.next_attempt_at, event.processed_at, event.attempts, event.error_code,
       event.error_message, event.history, event.changes, event.found_by_polling, event.twin_of,
       CASE
           WHEN event.status <> 'pending' THEN event.status
           WHEN EXISTS (SELECT FROM sync_jobs AS job
                        WHERE job.organization_id = event.organization_id AND job.connection_id = event.connection_id
                          AND job.status = 'running' AND job.lease_owner IS NOT NULL
                          AND job.started_at >= COALESCE(event.next_attempt_at, event.received_at)) THEN 'processing'
           WHEN event.next_attempt_at IS NOT NULL THEN 'failed'
           ELSE 'pending'
       END AS state
FROM webhook_events AS event;

-- What programs measured of webhooks and no row of an event tells, by the hour.
CREATE TABLE webhook_measurements (
    organization_id TEXT NOT NULL,
    hour            TIMESTAMPTZ NOT NULL,
    measure         TEXT NOT NULL,
    bucket          INTEGER NOT NULL,
    count           BIGINT NOT NULL,

    PRIMARY KEY (organization_id, hour, measure, bucket),
    CONSTRAINT webhook_measurements_measure_check
        CHECK (measure IN ('duplicates', 'signature_failures', 'verification', 'storage', 'response'))
);
COMMENT ON TABLE webhook_measurements IS 'Counts and histograms of durations of received webhooks, by the hour.';
COMMENT ON COLUMN webhook_measurements.bucket IS
    'Of a duration: up to 1.1 to this power in microseconds, and longer than the bucket before. Of a count: 0.';
-- Which measurements are old?
CREATE INDEX webhook_measurements_by_age ON webhook_measurements (hour);
