-- Connections of connected accounts, which are read with the platform's key.

ALTER TABLE platform_connections ADD COLUMN via_platform BOOLEAN NOT NULL DEFAULT false;
COMMENT ON COLUMN platform_connections.via_platform IS
    'Whether the account is read with the platform''s key, as one that is connected to it; no key of its own is stored.';
