-- The schema of the sync engine. Every tenant table begins its primary key with organization_id
-- and carries forced row-level security on current_setting('app.organization_id').

-- Roles belong to the cluster, not to this database: another database may have made them.
DO $$
DECLARE
    role_name TEXT;
BEGIN
    FOREACH role_name IN ARRAY ARRAY['stripe_sync_api', 'stripe_sync_scheduler', 'stripe_sync_consumer'] LOOP
        BEGIN
            IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role_name) THEN
                EXECUTE format('CREATE ROLE %I NOLOGIN', role_name);
            END IF;
        EXCEPTION WHEN duplicate_object OR unique_violation THEN
            NULL; -- made by a migration of another database at the same moment
        END;
    END LOOP;
END
$$;

-- The tenant of the current transaction; null, and so equal to nothing, when not set.
CREATE FUNCTION current_organization() RETURNS TEXT
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN NULLIF(current_setting('app.organization_id', true), '');

CREATE TABLE organizations (
    organization_id TEXT PRIMARY KEY CHECK (organization_id ~ '^[a-z0-9][a-z0-9_-]{0,62}$'),
    name            TEXT NOT NULL,
    created_at      TIMESTAMPTZ NOT NULL
);

CREATE TABLE api_tokens (
    organization_id TEXT NOT NULL REFERENCES organizations,
    token_id        UUID NOT NULL,
    -- SHA-256 of the token, which is 256 random bits and so needs no salt.
    token_hash      BYTEA NOT NULL UNIQUE CHECK (octet_length(token_hash) = 32),
    name            TEXT NOT NULL,
    role            TEXT NOT NULL CHECK (role IN ('admin', 'analyst')),
    created_at      TIMESTAMPTZ NOT NULL,
    expires_at      TIMESTAMPTZ,
    revoked_at      TIMESTAMPTZ,
    PRIMARY KEY (organization_id, token_id)
);

CREATE TABLE platform_connections (
    organization_id       TEXT NOT NULL REFERENCES organizations,
    connection_id         TEXT NOT NULL,
    platform              TEXT NOT NULL DEFAULT 'stripe',
    stripe_account_id     TEXT NOT NULL,
    livemode              BOOLEAN NOT NULL,
    name                  TEXT,
    timezone              TEXT NOT NULL,
    lookback_days         INTEGER NOT NULL CHECK (lookback_days BETWEEN 1 AND 3650),
    paused                BOOLEAN NOT NULL DEFAULT FALSE,
    sync_interval_minutes INTEGER NOT NULL DEFAULT 15 CHECK (sync_interval_minutes BETWEEN 1 AND 1440),
    rate_share            DOUBLE PRECISION NOT NULL DEFAULT 1 CHECK (rate_share > 0 AND rate_share <= 1),
    -- [{resource, granted, needed_for, hint?}], as the last probe found them.
    permissions           JSONB NOT NULL DEFAULT '[]',
    problem_code          TEXT,
    problem_detail        TEXT,
    problem_since         TIMESTAMPTZ,
    -- [{code, resource, detail, count?}]
    warnings              JSONB NOT NULL DEFAULT '[]',
    created_at            TIMESTAMPTZ NOT NULL,
    next_sync_at          TIMESTAMPTZ NOT NULL,
    -- Set by DELETE; from then on the connection answers 404 while a job removes its rows.
    deleting_at           TIMESTAMPTZ,
    PRIMARY KEY (organization_id, connection_id),
    CONSTRAINT platform_connections_one_per_account UNIQUE (organization_id, platform, stripe_account_id),
    CHECK ((problem_code IS NULL) = (problem_since IS NULL))
);
CREATE INDEX platform_connections_due ON platform_connections (next_sync_at)
    WHERE NOT paused AND problem_code IS NULL AND deleting_at IS NULL;

-- Apart from platform_connections so that the scheduler has no grant on it.
CREATE TABLE connection_credentials (
    organization_id TEXT NOT NULL,
    connection_id   TEXT NOT NULL,
    -- Which of ENCRYPTION_KEYS sealed it; the same id stands in the envelope.
    key_id          TEXT NOT NULL,
    sealed          BYTEA NOT NULL,
    updated_at      TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (organization_id, connection_id),
    FOREIGN KEY (organization_id, connection_id) REFERENCES platform_connections ON DELETE CASCADE
);

CREATE TABLE connector_filter_rules (
    organization_id TEXT NOT NULL,
    connection_id   TEXT NOT NULL,
    filter_id       UUID NOT NULL,
    name            TEXT NOT NULL,
    action          TEXT NOT NULL CHECK (action IN ('include', 'exclude')),
    operator        TEXT NOT NULL CHECK (operator IN ('AND', 'OR')),
    conditions      JSONB NOT NULL,
    active          BOOLEAN NOT NULL,
    created_at      TIMESTAMPTZ NOT NULL,
    updated_at      TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (organization_id, connection_id, filter_id),
    FOREIGN KEY (organization_id, connection_id) REFERENCES platform_connections ON DELETE CASCADE
);

-- No foreign key to the connection: the job of a deleted connection stays readable.
CREATE TABLE sync_jobs (
    organization_id   TEXT NOT NULL REFERENCES organizations,
    job_id            UUID NOT NULL,
    connection_id     TEXT NOT NULL,
    stripe_account_id TEXT NOT NULL,
    job_type          TEXT NOT NULL CHECK (job_type IN ('full', 'incremental', 'refilter', 'redate', 'delete')),
    trigger           TEXT NOT NULL CHECK (trigger IN ('connect', 'schedule', 'manual', 'filters', 'settings')),
    status            TEXT NOT NULL CHECK (status IN ('pending', 'running', 'completed', 'failed', 'cancelled')),
    -- The fencing number: it grows with every claim, and every write of a job names it.
    attempt           INTEGER NOT NULL DEFAULT 0,
    -- Failures in a row without progress.
    failures          INTEGER NOT NULL DEFAULT 0,
    cancel_requested  BOOLEAN NOT NULL DEFAULT FALSE,
    created_at        TIMESTAMPTZ NOT NULL,
    started_at        TIMESTAMPTZ,
    finished_at       TIMESTAMPTZ,
    lease_owner       TEXT,
    -- A running job may be claimed once this has passed: its consumer died, stalled or backs off.
    lease_expires_at  TIMESTAMPTZ,
    dispatched_at     TIMESTAMPTZ,
    -- The sync plan: {events_cursor, from, to, covered: [{from,to}], remaining: [{from,to,after}]}.
    plan              JSONB,
    charges_seen      BIGINT NOT NULL DEFAULT 0,
    rows_written      BIGINT NOT NULL DEFAULT 0,
    requests          BIGINT NOT NULL DEFAULT 0,
    error_code        TEXT,
    error_message     TEXT,
    PRIMARY KEY (organization_id, job_id),
    CHECK ((status = 'running') = (lease_expires_at IS NOT NULL))
);
CREATE UNIQUE INDEX sync_jobs_one_running_per_connection
    ON sync_jobs (organization_id, connection_id) WHERE status = 'running';
-- Across tenants: an account's rate limit has one spender at a time.
CREATE UNIQUE INDEX sync_jobs_one_running_per_account
    ON sync_jobs (stripe_account_id) WHERE status = 'running' AND job_type IN ('full', 'incremental');
CREATE UNIQUE INDEX sync_jobs_one_pending_per_type
    ON sync_jobs (organization_id, connection_id, job_type) WHERE status = 'pending';
CREATE INDEX sync_jobs_pending ON sync_jobs (created_at, job_id) WHERE status = 'pending';
CREATE INDEX sync_jobs_leases ON sync_jobs (lease_expires_at) WHERE status = 'running';
CREATE INDEX sync_jobs_by_connection ON sync_jobs (organization_id, connection_id, created_at DESC, job_id DESC);

-- One row is one charge line. Amounts are minor units of the currency beside them.
CREATE TABLE stripe_revenue_data (
    organization_id     TEXT NOT NULL,
    connection_id       TEXT NOT NULL,
    -- Ids order by bytes whatever the database's collation, as `(created, id)` cursors need it.
    charge_id           TEXT COLLATE "C" NOT NULL,
    -- 0 is the first or only line, so rows with line_no = 0 count charges.
    line_no             INTEGER NOT NULL,
    line_id             TEXT,
    created_at          TIMESTAMPTZ NOT NULL,
    -- created_at in the connection's time zone.
    date                DATE NOT NULL,
    currency            TEXT NOT NULL,
    status              TEXT NOT NULL,
    captured            BOOLEAN NOT NULL,
    livemode            BOOLEAN NOT NULL,
    -- The charge's own amount, which rules compare.
    charge_amount       BIGINT NOT NULL,
    -- The line's share of the charge's amount, of what was captured, and of what was refunded.
    -- gross and refunded are 0 unless the charge succeeded and was captured; rules do not change them.
    amount              BIGINT NOT NULL,
    gross               BIGINT NOT NULL,
    refunded            BIGINT NOT NULL,
    units               BIGINT NOT NULL,
    customer_id         TEXT,
    product_id          TEXT,
    price_id            TEXT,
    payment_intent_id   TEXT,
    invoice_id          TEXT,
    checkout_session_id TEXT,
    description         TEXT,
    country             TEXT,
    payment_method      TEXT,
    disputed            BOOLEAN NOT NULL,
    dispute_status      TEXT,
    charge_metadata     JSONB NOT NULL,
    product_metadata    JSONB NOT NULL,
    price_metadata      JSONB NOT NULL,
    customer_metadata   JSONB NOT NULL,
    -- The rule that keeps this charge out; kept rows have null.
    excluded_by         UUID,
    counted             BOOLEAN NOT NULL GENERATED ALWAYS AS
                            (status = 'succeeded' AND captured AND excluded_by IS NULL) STORED,
    PRIMARY KEY (organization_id, connection_id, charge_id, line_no)
);
CREATE INDEX stripe_revenue_data_by_date
    ON stripe_revenue_data (organization_id, connection_id, date, currency);
CREATE INDEX stripe_revenue_data_newest
    ON stripe_revenue_data (organization_id, connection_id, created_at DESC, charge_id DESC, line_no);
CREATE INDEX stripe_revenue_data_by_customer
    ON stripe_revenue_data (organization_id, connection_id, customer_id) WHERE customer_id IS NOT NULL;

CREATE TABLE stripe_daily_aggregates (
    organization_id     TEXT NOT NULL,
    connection_id       TEXT NOT NULL,
    date                DATE NOT NULL,
    currency            TEXT NOT NULL,
    -- Charges of any status; `charges` are those that count.
    charges_stored      BIGINT NOT NULL,
    charges             BIGINT NOT NULL,
    units               BIGINT NOT NULL,
    gross               BIGINT NOT NULL,
    refunded            BIGINT NOT NULL,
    -- {product_id | "none": net}
    revenue_by_product  JSONB NOT NULL,
    -- {"charge.tier": [{value, revenue, charges}]}
    top_metadata_values JSONB NOT NULL,
    PRIMARY KEY (organization_id, connection_id, date, currency)
);

-- Days whose rows changed after their aggregates were made; written with the rows.
CREATE TABLE stripe_stale_days (
    organization_id TEXT NOT NULL,
    connection_id   TEXT NOT NULL,
    date            DATE NOT NULL,
    PRIMARY KEY (organization_id, connection_id, date)
);

-- Customers, products and prices as last read, kept so that charges need no request for them.
CREATE TABLE stripe_catalog_objects (
    organization_id TEXT NOT NULL,
    connection_id   TEXT NOT NULL,
    object_type     TEXT NOT NULL CHECK (object_type IN ('customer', 'product', 'price')),
    object_id       TEXT NOT NULL,
    metadata        JSONB NOT NULL,
    deleted         BOOLEAN NOT NULL,
    PRIMARY KEY (organization_id, connection_id, object_type, object_id)
);

CREATE TABLE stripe_metadata_keys (
    organization_id TEXT NOT NULL,
    connection_id   TEXT NOT NULL,
    object_type     TEXT NOT NULL CHECK (object_type IN ('charge', 'product', 'price', 'customer')),
    key_path        TEXT COLLATE "C" NOT NULL,
    value_type      TEXT NOT NULL CHECK (value_type IN ('string', 'number', 'boolean', 'json', 'mixed')),
    occurrences     BIGINT NOT NULL,
    sample_values   JSONB NOT NULL,
    -- Creation instants of the oldest and newest charge that has the key, or refers to an object that has it.
    first_seen      TIMESTAMPTZ NOT NULL,
    last_seen       TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (organization_id, connection_id, object_type, key_path)
);

CREATE TABLE stripe_sync_state (
    organization_id      TEXT NOT NULL,
    connection_id        TEXT NOT NULL,
    covered_from         TIMESTAMPTZ,
    covered_to           TIMESTAMPTZ,
    -- Set when a full job has covered the whole range.
    full_synced_at       TIMESTAMPTZ,
    events_cursor        TIMESTAMPTZ,
    -- Event ids at or after the cursor that were applied already.
    applied_events       TEXT[] NOT NULL DEFAULT '{}',
    -- What was inlined in the charges that the rows were made of: other permissions need a full job.
    read_with            TEXT[] NOT NULL DEFAULT '{}',
    next_sync_from       TIMESTAMPTZ,
    -- A stored object changed or went, so that the metadata catalogue must be made anew from the rows.
    catalogue_stale      BOOLEAN NOT NULL DEFAULT FALSE,
    last_charge_id       TEXT,
    charges_synced       BIGINT NOT NULL DEFAULT 0,
    -- {currency: net}
    total_revenue_synced JSONB NOT NULL DEFAULT '{}',
    PRIMARY KEY (organization_id, connection_id),
    FOREIGN KEY (organization_id, connection_id) REFERENCES platform_connections ON DELETE CASCADE
);

DO $$
DECLARE
    table_name TEXT;
BEGIN
    FOREACH table_name IN ARRAY ARRAY[
        'organizations', 'api_tokens', 'platform_connections', 'connection_credentials',
        'connector_filter_rules', 'sync_jobs', 'stripe_revenue_data', 'stripe_daily_aggregates',
        'stripe_stale_days', 'stripe_catalog_objects', 'stripe_metadata_keys', 'stripe_sync_state'
    ] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', table_name);
        EXECUTE format(
            'CREATE POLICY tenant ON %I USING (organization_id = current_organization()) '
            'WITH CHECK (organization_id = current_organization())', table_name);
    END LOOP;
END
$$;

-- A caller is known by a token before its organization is: knowing the hash shows that one row.
CREATE POLICY bearer ON api_tokens FOR SELECT TO stripe_sync_api
    USING (token_hash = decode(NULLIF(current_setting('app.token_hash', true), ''), 'hex'));
-- Work is found across tenants; what it touches is then read and written under the tenant's setting.
CREATE POLICY every_tenant ON organizations FOR SELECT TO stripe_sync_scheduler USING (true);
CREATE POLICY every_tenant ON platform_connections TO stripe_sync_scheduler USING (true) WITH CHECK (true);
CREATE POLICY every_tenant ON stripe_sync_state FOR SELECT TO stripe_sync_scheduler USING (true);
CREATE POLICY every_tenant ON sync_jobs TO stripe_sync_scheduler, stripe_sync_consumer USING (true) WITH CHECK (true);

GRANT SELECT ON organizations, api_tokens TO stripe_sync_api;
GRANT SELECT, INSERT, UPDATE ON platform_connections TO stripe_sync_api;
GRANT SELECT, INSERT, UPDATE, DELETE ON connection_credentials, connector_filter_rules TO stripe_sync_api;
GRANT SELECT, INSERT ON stripe_sync_state TO stripe_sync_api;
GRANT SELECT, INSERT, UPDATE ON sync_jobs TO stripe_sync_api;
GRANT SELECT ON stripe_revenue_data, stripe_daily_aggregates, stripe_metadata_keys, stripe_stale_days,
    stripe_catalog_objects TO stripe_sync_api;

GRANT SELECT ON organizations, platform_connections TO stripe_sync_scheduler;
GRANT UPDATE (next_sync_at) ON platform_connections TO stripe_sync_scheduler;
-- Whether a full job is due, and no figures.
GRANT SELECT (organization_id, connection_id, full_synced_at) ON stripe_sync_state TO stripe_sync_scheduler;
GRANT SELECT, INSERT, UPDATE ON sync_jobs TO stripe_sync_scheduler;

GRANT SELECT ON organizations TO stripe_sync_consumer;
GRANT SELECT, UPDATE, DELETE ON platform_connections TO stripe_sync_consumer;
GRANT SELECT, UPDATE, DELETE ON connection_credentials TO stripe_sync_consumer;
GRANT SELECT, DELETE ON connector_filter_rules TO stripe_sync_consumer;
GRANT SELECT, INSERT, UPDATE ON sync_jobs TO stripe_sync_consumer;
GRANT SELECT, INSERT, UPDATE, DELETE ON stripe_revenue_data, stripe_daily_aggregates, stripe_stale_days,
    stripe_catalog_objects, stripe_metadata_keys, stripe_sync_state TO stripe_sync_consumer;
