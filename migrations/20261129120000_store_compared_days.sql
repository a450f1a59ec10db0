-- Whether all that Stripe lists of a day is here, as of when it was last compared: until now only the rows that the last
-- daily comparison had repaired were counted, for all days together.

CREATE TABLE stripe_compared_days (
    organization_id  TEXT NOT NULL,
    connection_id    TEXT NOT NULL,
    date             DATE NOT NULL,
    starts_at        TIMESTAMPTZ NOT NULL,
    ends_at          TIMESTAMPTZ NOT NULL,
    compared_at      TIMESTAMPTZ NOT NULL,
    objects_differed BIGINT,

    PRIMARY KEY (organization_id, connection_id, date),
    CONSTRAINT stripe_compared_days_span_check CHECK (starts_at <= ends_at),
    CONSTRAINT stripe_compared_days_objects_differed_check CHECK (objects_differed >= 0)
);
COMMENT ON TABLE stripe_compared_days IS
    'Days that were over when all that Stripe lists of them was read and stored. Days without any charge are among them.';
COMMENT ON COLUMN stripe_compared_days.date IS 'In the time zone that the connection had then.';
COMMENT ON COLUMN stripe_compared_days.starts_at IS
    'With ends_at, which is exclusive, the time that was compared: in another time zone the same date is another time.';
COMMENT ON COLUMN stripe_compared_days.compared_at IS 'The instant as of which Stripe was read.';
COMMENT ON COLUMN stripe_compared_days.objects_differed IS
    'Objects that were missing, stored otherwise, or stored and no longer listed. Null where the day was read for the first '
    'time, or is made of parts of two days of another time zone.';

CREATE TABLE stripe_differing_objects (
    organization_id TEXT NOT NULL,
    connection_id   TEXT NOT NULL,
    object_id       TEXT COLLATE "C" NOT NULL,
    date            DATE NOT NULL,

    PRIMARY KEY (organization_id, connection_id, object_id)
);
COMMENT ON TABLE stripe_differing_objects IS
    'Objects that differed, until the comparison of their day is done and counts them: a job that is interrupted has repaired '
    'them already.';

-- What differed of days that are compared now?
CREATE INDEX stripe_differing_objects_by_date ON stripe_differing_objects (organization_id, connection_id, date);
