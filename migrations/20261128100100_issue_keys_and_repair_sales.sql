-- Billing: the API key that a subscription brings, and what is undone when more was sold than should have been.

ALTER TABLE api_tokens ADD COLUMN suspended_at TIMESTAMPTZ;
COMMENT ON COLUMN api_tokens.suspended_at IS
    'Since when it is refused for as long as its organization has no access; the key of a subscription alone.';

-- The same as before, and a session of a token that sleeps is none.
CREATE OR REPLACE FUNCTION session_by_hash(hash BYTEA)
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
               session.last_used_at, session.expires_at, token.expires_at, COALESCE(token.revoked_at, token.suspended_at)
        FROM browser_sessions AS session
        LEFT JOIN api_tokens AS token
            ON token.organization_id = session.organization_id AND token.token_id = session.token_id
        WHERE session.session_hash = hash;
END
$$;

CREATE TABLE billing_api_keys (
    organization_id TEXT NOT NULL,
    issued_at       TIMESTAMPTZ NOT NULL,
    token_id        UUID,
    revealed_at     TIMESTAMPTZ,

    PRIMARY KEY (organization_id),
    CONSTRAINT billing_api_keys_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES organizations,
    CONSTRAINT billing_api_keys_revealed_check CHECK ((token_id IS NULL) = (revealed_at IS NULL))
);
COMMENT ON TABLE billing_api_keys IS
    'The API keys that organizations have by their subscriptions. A key is made when it is revealed, so that nothing is stored of '
    'one that nobody has seen.';
COMMENT ON COLUMN billing_api_keys.issued_at IS 'When the organization first had access.';
COMMENT ON COLUMN billing_api_keys.token_id IS 'The token that is the key now; null until it is revealed.';

CREATE TABLE billing_repairs (
    organization_id TEXT NOT NULL,
    subscription_id TEXT COLLATE "C" NOT NULL,
    kind            TEXT NOT NULL,
    found_at        TIMESTAMPTZ NOT NULL,
    done_at         TIMESTAMPTZ,

    PRIMARY KEY (organization_id, subscription_id, kind),
    CONSTRAINT billing_repairs_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES organizations,
    CONSTRAINT billing_repairs_kind_check CHECK (kind IN ('second_subscription', 'second_trial'))
);
COMMENT ON TABLE billing_repairs IS
    'What was sold and should not have been. A row is committed before Stripe is asked to undo it, and goes on being asked until '
    'done_at is set.';
COMMENT ON COLUMN billing_repairs.kind IS
    'second_subscription: two sessions were paid; the newer subscription is cancelled and refunded. second_trial: the card had a '
    'trial in another organization; the trial is ended.';

CREATE TABLE billing_trial_cards (
    organization_id TEXT NOT NULL,
    fingerprint     TEXT COLLATE "C" NOT NULL,
    used_by         TEXT NOT NULL,
    used_at         TIMESTAMPTZ NOT NULL,

    PRIMARY KEY (organization_id, fingerprint)
);
COMMENT ON TABLE billing_trial_cards IS
    'Which organization had a trial with which card. All of the reserved organization, since a card is known across '
    'organizations. fingerprint: Stripe''s, the same for one card.';
