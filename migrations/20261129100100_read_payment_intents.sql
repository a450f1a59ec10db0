-- Whether a connection reads the metadata of its payment intents.

ALTER TABLE platform_connections ADD COLUMN payment_intent_metadata BOOLEAN NOT NULL DEFAULT FALSE;
COMMENT ON COLUMN platform_connections.payment_intent_metadata IS
    'Whether the metadata of payment intents is read: a list of its own, so it costs requests.';
