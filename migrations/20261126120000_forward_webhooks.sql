-- Forwarding: each event that an internal handler is to be sent, and how far that has come.

CREATE TABLE webhook_forwards (
    organization_id TEXT NOT NULL,
    event_id        UUID NOT NULL,
    status          TEXT NOT NULL,
    attempts        INTEGER NOT NULL DEFAULT 0,
    away_since      TIMESTAMPTZ,
    next_attempt_at TIMESTAMPTZ,
    last_error      TEXT,
    created_at      TIMESTAMPTZ NOT NULL,
    delivered_at    TIMESTAMPTZ,

    PRIMARY KEY (organization_id, event_id),
    CONSTRAINT webhook_forwards_event_fkey
        FOREIGN KEY (organization_id, event_id) REFERENCES webhook_events ON DELETE CASCADE,
    CONSTRAINT webhook_forwards_status_check CHECK (status IN ('pending', 'delivered', 'dead')),
    CONSTRAINT webhook_forwards_pending_check CHECK ((status = 'pending') = (next_attempt_at IS NOT NULL))
);
COMMENT ON TABLE webhook_forwards IS
    'Deliveries of events to the internal handler, one for each event. A row is stored in the transaction of its event.';
COMMENT ON COLUMN webhook_forwards.status IS
    'pending: to be delivered. delivered: the handler answered 2xx. dead: given up, until a person replays it.';
COMMENT ON COLUMN webhook_forwards.attempts IS
    'How often the handler gave an answer that counts. While it is away nothing counts.';
COMMENT ON COLUMN webhook_forwards.away_since IS
    'Since when no answer came, or one of 408, 429 or 5xx; null if the handler last gave another answer.';
COMMENT ON COLUMN webhook_forwards.next_attempt_at IS
    'When it is delivered next; null if it is not pending. A claim moves it forward by the lease, and writes its outcome '
    'only if it is still there: so it is also the fence.';
COMMENT ON COLUMN webhook_forwards.last_error IS 'Why the last attempt failed, in a sentence.';
COMMENT ON COLUMN webhook_forwards.created_at IS 'When the event was stored, or a replay first asked for its delivery.';

-- Which deliveries are due?
CREATE INDEX webhook_forwards_due ON webhook_forwards (next_attempt_at) WHERE status = 'pending';
