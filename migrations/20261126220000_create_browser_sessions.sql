-- Sessions of browsers: who is signed in to the pages.

CREATE TABLE browser_sessions (
    organization_id TEXT NOT NULL,
    session_id      UUID NOT NULL,
    session_hash    BYTEA NOT NULL,
    token_id        UUID,
    role            TEXT,
    created_at      TIMESTAMPTZ NOT NULL,
    last_used_at    TIMESTAMPTZ NOT NULL,
    expires_at      TIMESTAMPTZ NOT NULL,

    PRIMARY KEY (organization_id, session_id),
    CONSTRAINT browser_sessions_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES organizations,
    CONSTRAINT browser_sessions_token_fkey FOREIGN KEY (organization_id, token_id) REFERENCES api_tokens ON DELETE CASCADE,
    CONSTRAINT browser_sessions_session_hash_key UNIQUE (session_hash),
    CONSTRAINT browser_sessions_session_hash_check CHECK (octet_length(session_hash) = 32),
    -- An operator belongs to no organization, and the pages show one.
    CONSTRAINT browser_sessions_organization_id_check CHECK (organization_id <> '_platform'),
    CONSTRAINT browser_sessions_role_check CHECK (role IN ('admin', 'analyst')),
    -- With both, a session could do more than its token.
    CONSTRAINT browser_sessions_token_or_role CHECK ((token_id IS NULL) <> (role IS NULL))
);
COMMENT ON TABLE browser_sessions IS
    'Who is signed in to the pages. Signing out deletes the row; what has expired is deleted by the scheduler.';
COMMENT ON COLUMN browser_sessions.session_hash IS
    'SHA-256 of what the cookie holds, which is 256 random bits and so needs no salt.';
COMMENT ON COLUMN browser_sessions.token_id IS
    'The token that was pasted. The session has its role as of now, and ends with it. Null for a session of a sign-in link.';
COMMENT ON COLUMN browser_sessions.role IS 'Of a session without a token; null where the token says it.';
COMMENT ON COLUMN browser_sessions.last_used_at IS 'Written at most once a minute.';

-- Which sessions end with this token? Without it, deleting a token would read the whole table.
CREATE INDEX browser_sessions_by_token ON browser_sessions (organization_id, token_id);

-- As token_by_hash: whose a session is, is only known from the session, so the policy `bearer` shows the one row whose hash
-- is in app.session_hash. Its token, which decides whether it still holds, is then read under its organization. Both
-- settings end with the transaction.
CREATE FUNCTION session_by_hash(hash BYTEA)
    RETURNS TABLE (organization_id TEXT, session_id UUID, token_id UUID, role TEXT, last_used_at TIMESTAMPTZ,
                   expires_at TIMESTAMPTZ, token_expires_at TIMESTAMPTZ, token_revoked_at TIMESTAMPTZ)
    LANGUAGE plpgsql ROWS 1
AS $$
DECLARE
    organization TEXT;
BEGIN
    PERFORM set_config('app.session_hash', encode(hash, 'hex'), TRUE);
    SELECT session.organization_id INTO organization FROM browser_sessions AS session WHERE session.session_hash = hash;
    PERFORM set_config('app.organization_id', COALESCE(organization, ''), TRUE);
    RETURN QUERY
        SELECT session.organization_id, session.session_id, session.token_id, COALESCE(token.role, session.role),
               session.last_used_at, session.expires_at, token.expires_at, token.revoked_at
        FROM browser_sessions AS session
        LEFT JOIN api_tokens AS token
            ON token.organization_id = session.organization_id AND token.token_id = session.token_id
        WHERE session.session_hash = hash;
END
$$;
COMMENT ON FUNCTION session_by_hash(BYTEA) IS
    'Which session has this SHA-256, even if expired, and in which role? Sets app.session_hash and app.organization_id '
    'for the transaction.';
