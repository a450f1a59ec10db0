-- When a token was last used, so that a person sees which ones nobody needs before revoking them.

ALTER TABLE api_tokens ADD COLUMN last_used_at TIMESTAMPTZ;
COMMENT ON COLUMN api_tokens.last_used_at IS
    'By a call of the API or in a browser. Written at most once a minute; null for a token that was never used.';
COMMENT ON TABLE api_tokens IS
    'Bearer tokens of the API, created and revoked by `stripe-sync token` and by admins of the organization on the pages. '
    'Revoked and expired tokens stay, so that they can be listed.';
