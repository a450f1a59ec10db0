-- Tenants, their credentials, and the accounts that they connected.
--
-- The first of the five files of the baseline. docs/database.md lists every object of the schema with the question it
-- answers and the test that guards it. Some conventions hold throughout:
--
-- * organization_id is the first column of every primary key, so that the schema can be distributed by tenant. Only
--   program_encryption_keys, which belongs to the engine, has no such column.
-- * Roles, grants, policies and row-level security are not here. common/src/db/access.rs describes them, and
--   `stripe-sync migrate` applies that after the migrations, every time it runs. Until then no program can read
--   anything.
-- * Money is BIGINT in minor units of the currency of its row (cents; yen have none). Times are TIMESTAMPTZ. A DATE is a
--   day in the connection's time zone unless its comment says UTC.
-- * Ids that are sorted have COLLATE "C": they order by bytes, whatever the database's own collation.

-- The tenant policy of every table calls this, so it must be inlined: one expression, STABLE.
CREATE FUNCTION current_organization() RETURNS TEXT
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN NULLIF(current_setting('app.organization_id', true), '');
COMMENT ON FUNCTION current_organization() IS
    'Which tenant does this transaction work for? Null, and so equal to nothing, while app.organization_id is not set.';


-- Tenancy: who may ask.

CREATE TABLE organizations (
    organization_id TEXT NOT NULL,
    name            TEXT NOT NULL,
    created_at      TIMESTAMPTZ NOT NULL,

    PRIMARY KEY (organization_id),
    CONSTRAINT organizations_organization_id_check CHECK (organization_id ~ '^[a-z0-9][a-z0-9_-]{0,62}$')
);
COMMENT ON TABLE organizations IS 'The tenants. Created, renamed and deleted by `stripe-sync org`.';

CREATE TABLE api_tokens (
    organization_id TEXT NOT NULL,
    token_id        UUID NOT NULL,
    token_hash      BYTEA NOT NULL,
    name            TEXT NOT NULL,
    role            TEXT NOT NULL,
    created_at      TIMESTAMPTZ NOT NULL,
    expires_at      TIMESTAMPTZ,
    revoked_at      TIMESTAMPTZ,

    PRIMARY KEY (organization_id, token_id),
    CONSTRAINT api_tokens_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES organizations,
    CONSTRAINT api_tokens_token_hash_key UNIQUE (token_hash),
    CONSTRAINT api_tokens_token_hash_check CHECK (octet_length(token_hash) = 32),
    CONSTRAINT api_tokens_role_check CHECK (role IN ('admin', 'analyst'))
);
COMMENT ON TABLE api_tokens IS 'Bearer tokens of the API. Revoked and expired tokens stay, so that they can be listed.';
COMMENT ON COLUMN api_tokens.token_hash IS 'SHA-256 of the token, which is 256 random bits and so needs no salt.';
COMMENT ON COLUMN api_tokens.expires_at IS 'Null for a token that does not expire.';

-- A caller's organization is only known from its token, so the policy `bearer` shows the one row whose hash is in
-- app.token_hash. This function sets it and reads the row in one statement; otherwise every call of the API would begin
-- with a transaction of four round trips. The setting ends with the transaction.
CREATE FUNCTION token_by_hash(hash BYTEA) RETURNS SETOF api_tokens
    LANGUAGE plpgsql ROWS 1
AS $$
BEGIN
    PERFORM set_config('app.token_hash', encode(hash, 'hex'), TRUE);
    RETURN QUERY SELECT * FROM api_tokens WHERE token_hash = hash;
END
$$;
COMMENT ON FUNCTION token_by_hash(BYTEA) IS
    'Which token has this SHA-256, even if revoked or expired? Sets app.token_hash for the transaction.';


-- Connections: the accounts of customers, and the keys that read them.

CREATE TABLE platform_connections (
    organization_id       TEXT NOT NULL,
    connection_id         TEXT NOT NULL,
    connector             TEXT NOT NULL,
    external_account_id   TEXT NOT NULL,
    livemode              BOOLEAN NOT NULL,
    name                  TEXT,

    timezone              TEXT NOT NULL,
    lookback_days         INTEGER NOT NULL,
    paused                BOOLEAN NOT NULL DEFAULT FALSE,
    sync_interval_minutes INTEGER NOT NULL DEFAULT 15,
    rate_share            DOUBLE PRECISION NOT NULL DEFAULT 1,

    permissions           JSONB NOT NULL DEFAULT '[]',
    problem_code          TEXT,
    problem_detail        TEXT,
    problem_since         TIMESTAMPTZ,
    warnings              JSONB NOT NULL DEFAULT '[]',

    created_at            TIMESTAMPTZ NOT NULL,
    next_sync_at          TIMESTAMPTZ NOT NULL,
    scheduled_job_type    TEXT NOT NULL,
    deleting_at           TIMESTAMPTZ,

    PRIMARY KEY (organization_id, connection_id),
    CONSTRAINT platform_connections_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES organizations,
    CONSTRAINT platform_connections_one_per_account UNIQUE (organization_id, connector, external_account_id),
    CONSTRAINT platform_connections_lookback_days_check CHECK (lookback_days BETWEEN 1 AND 3650),
    CONSTRAINT platform_connections_sync_interval_minutes_check CHECK (sync_interval_minutes BETWEEN 1 AND 1440),
    -- A smaller share would leave a sync without a request for hours.
    CONSTRAINT platform_connections_rate_share_check CHECK (rate_share >= 0.01 AND rate_share <= 1),
    CONSTRAINT platform_connections_problem_has_since CHECK ((problem_code IS NULL) = (problem_since IS NULL))
)
-- A tick of the scheduler updates many connections at once.
WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02);
COMMENT ON TABLE platform_connections IS
    'The accounts that tenants connected: settings, permissions of the key, problems. '
    'Lock a row here before those of its connector, such as stripe_sync_state.';
COMMENT ON COLUMN platform_connections.external_account_id IS 'The vendor''s id of the account; Stripe''s is acct_….';
COMMENT ON COLUMN platform_connections.timezone IS 'IANA name. Its midnights separate days.';
COMMENT ON COLUMN platform_connections.lookback_days IS 'How many days before its making the connection covers.';
COMMENT ON COLUMN platform_connections.rate_share IS 'The part of the vendor''s rate limit that a sync may use.';
COMMENT ON COLUMN platform_connections.permissions IS
    '[{resource, granted, needed_for, hint?}], as the last test of the key found them.';
COMMENT ON COLUMN platform_connections.problem_code IS
    'Why the connection is stopped until a person acts; null if it is not stopped.';
COMMENT ON COLUMN platform_connections.warnings IS
    '[{code, resource, detail, count?}]: what is missing although syncs continue.';
COMMENT ON COLUMN platform_connections.next_sync_at IS 'When the scheduler creates the next job.';
COMMENT ON COLUMN platform_connections.scheduled_job_type IS 'Which kind of job that is.';
COMMENT ON COLUMN platform_connections.deleting_at IS
    'Set by DELETE. From then on the API answers 404, while a job removes the rows.';

-- Which connections are due? Guarded by a_batch_of_the_schedule_reads_what_it_takes.
CREATE INDEX platform_connections_by_next_sync_at ON platform_connections (next_sync_at)
    WHERE NOT paused AND problem_code IS NULL AND deleting_at IS NULL;

-- Separate from platform_connections, so that the scheduler cannot read keys.
CREATE TABLE connection_credentials (
    organization_id TEXT NOT NULL,
    connection_id   TEXT NOT NULL,
    key_id          TEXT NOT NULL,
    sealed          BYTEA NOT NULL,
    updated_at      TIMESTAMPTZ NOT NULL,

    PRIMARY KEY (organization_id, connection_id),
    CONSTRAINT connection_credentials_organization_id_connection_id_fkey
        FOREIGN KEY (organization_id, connection_id) REFERENCES platform_connections ON DELETE CASCADE
);
COMMENT ON TABLE connection_credentials IS 'The API keys of connected accounts, encrypted.';
COMMENT ON COLUMN connection_credentials.key_id IS
    'The id of the key in ENCRYPTION_KEYS that encrypted it; also part of the envelope.';
COMMENT ON COLUMN connection_credentials.sealed IS
    'The envelope: AES-256-GCM, bound to this organization, connection and column.';

CREATE TABLE program_encryption_keys (
    instance_id UUID NOT NULL,
    program     TEXT NOT NULL,
    keys        TEXT[] NOT NULL,
    seen_at     TIMESTAMPTZ NOT NULL,

    PRIMARY KEY (instance_id)
);
COMMENT ON TABLE program_encryption_keys IS
    'Which encryption keys the running programs have, so that `keys rotate` does not encrypt with a key that one of '
    'them lacks. Belongs to the engine, not to a tenant.';
COMMENT ON COLUMN program_encryption_keys.program IS 'api or consumer.';
COMMENT ON COLUMN program_encryption_keys.keys IS 'id/fingerprint of each key; the first one encrypts.';
COMMENT ON COLUMN program_encryption_keys.seen_at IS 'By PostgreSQL''s clock. A program that was killed stops renewing it.';
