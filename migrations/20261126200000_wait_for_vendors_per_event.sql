-- One object that a vendor does not hand out holds up no other object's events: each event waits for the vendor by itself.
ALTER TABLE webhook_events ADD COLUMN away_since TIMESTAMPTZ;
COMMENT ON COLUMN webhook_events.away_since IS
    'Since when the vendor does not hand out what the event is about, though it answers otherwise: no attempts. Null if '
    'it did at the last attempt.';
