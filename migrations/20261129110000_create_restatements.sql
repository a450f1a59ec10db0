-- What changed of days that had been read whole, so that a figure of last month that is another one today can be explained.
-- Nothing is known of changes before this; days are followed from now on.

CREATE TABLE stripe_restatements (
    organization_id TEXT NOT NULL,
    connection_id   TEXT NOT NULL,
    restatement_id  UUID NOT NULL,
    date            DATE NOT NULL,
    currency        TEXT NOT NULL,
    restated_at     TIMESTAMPTZ NOT NULL,
    charges         BIGINT NOT NULL,
    units           BIGINT NOT NULL,
    units_fraction  BIGINT,
    gross           BIGINT NOT NULL,
    refunded        BIGINT NOT NULL,
    cause           TEXT NOT NULL,
    charge_id       TEXT COLLATE "C",
    object_id       TEXT COLLATE "C",
    event_id        TEXT COLLATE "C",
    event_type      TEXT,

    -- Ids sort by time: the newest first is this backwards.
    PRIMARY KEY (organization_id, connection_id, restatement_id)
);
COMMENT ON TABLE stripe_restatements IS
    'Changes of a day''s figures after a completed sync had read the day to its end. What a day was then and all its '
    'restatements since add up to what it is now. Written in the transaction that changes the rows, kept for a year.';
COMMENT ON COLUMN stripe_restatements.restatement_id IS 'UUID version 7.';
COMMENT ON COLUMN stripe_restatements.date IS 'The day whose figures changed, in the connection''s time zone.';
COMMENT ON COLUMN stripe_restatements.charges IS 'By how much the number of counted charges changed.';
COMMENT ON COLUMN stripe_restatements.units_fraction IS 'Trillionths, as in stripe_revenue_data.';
COMMENT ON COLUMN stripe_restatements.gross IS 'Minor units, by how much it changed.';
COMMENT ON COLUMN stripe_restatements.refunded IS 'Minor units, by how much it changed.';
COMMENT ON COLUMN stripe_restatements.cause IS 'event, comparison, full_sync or rules.';
COMMENT ON COLUMN stripe_restatements.charge_id IS 'Null where rules changed, which concerns many charges of a day.';
COMMENT ON COLUMN stripe_restatements.object_id IS
    'The object at Stripe that changed, or the id of the rule; null where it is not known.';

-- Which are older than a year?
CREATE INDEX stripe_restatements_restated_at ON stripe_restatements (restated_at);
