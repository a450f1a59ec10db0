-- The day of each refund and its split over the lines of its charge, so that refunds can be read by the day they were made.
-- Refunds that are stored already have theirs when their charges are read the next time.

ALTER TABLE stripe_refunds
    ADD COLUMN date DATE,
    ADD COLUMN line_shares BIGINT[];
COMMENT ON COLUMN stripe_refunds.date IS
    'The day the refund was made, in the connection''s time zone. Null where it does not count, and where that day is not known.';
COMMENT ON COLUMN stripe_refunds.line_shares IS
    'What each line of the charge, from line 0 on, has of the refund in minor units. Null where `date` is.';
