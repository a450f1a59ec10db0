-- A parked object is one that Stripe lists and that is not here, so the day on which it was made is not complete.

ALTER TABLE stripe_parked_objects ADD COLUMN created_at TIMESTAMPTZ;
COMMENT ON COLUMN stripe_parked_objects.created_at IS
    'When Stripe made the object; null where it does not say so, and for what was parked before this column was.';
