-- Which encryption keys the running programs know, so that no credential is sealed with a key that one of them cannot
-- open. Who may use the table is described with all other access, in common/src/db/access.rs.
CREATE TABLE program_keys (
    instance_id UUID PRIMARY KEY,
    -- 'api' or 'consumer'
    program     TEXT NOT NULL,
    -- 'id/fingerprint', the one that seals first.
    keys        TEXT[] NOT NULL,
    -- By PostgreSQL's clock; a program that was killed stops renewing it.
    seen_at     TIMESTAMPTZ NOT NULL
);
