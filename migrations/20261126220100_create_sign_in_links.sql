-- Links by which a person signs in once, without a token.

CREATE TABLE sign_in_links (
    organization_id TEXT NOT NULL,
    link_hash       BYTEA NOT NULL,
    role            TEXT NOT NULL,
    created_at      TIMESTAMPTZ NOT NULL,
    expires_at      TIMESTAMPTZ NOT NULL,

    PRIMARY KEY (organization_id, link_hash),
    CONSTRAINT sign_in_links_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES organizations,
    CONSTRAINT sign_in_links_link_hash_key UNIQUE (link_hash),
    CONSTRAINT sign_in_links_link_hash_check CHECK (octet_length(link_hash) = 32),
    CONSTRAINT sign_in_links_organization_id_check CHECK (organization_id <> '_platform'),
    CONSTRAINT sign_in_links_role_check CHECK (role IN ('admin', 'analyst'))
);
COMMENT ON TABLE sign_in_links IS
    'Links that `stripe-sync sign-in-link` made and nobody has used. Using one deletes its row, so it works once.';
COMMENT ON COLUMN sign_in_links.link_hash IS
    'SHA-256 of the code in the link, which is 256 random bits and so needs no salt.';
COMMENT ON COLUMN sign_in_links.role IS 'The role of the session that the link makes.';

-- As token_by_hash: whose a link is, is only known from the link.
CREATE FUNCTION sign_in_link_by_hash(hash BYTEA) RETURNS SETOF sign_in_links
    LANGUAGE plpgsql ROWS 1
AS $$
BEGIN
    PERFORM set_config('app.link_hash', encode(hash, 'hex'), TRUE);
    RETURN QUERY SELECT * FROM sign_in_links WHERE link_hash = hash;
END
$$;
COMMENT ON FUNCTION sign_in_link_by_hash(BYTEA) IS
    'Which link has this SHA-256, even if expired? Sets app.link_hash for the transaction.';
