-- People know a product, price or customer by its name and not by its id. Names of objects that are stored already come when
-- these are read the next time.
ALTER TABLE stripe_referenced_objects ADD COLUMN name TEXT;
COMMENT ON COLUMN stripe_referenced_objects.name IS
    'For showing only: a product''s name, a price''s nickname, a customer''s name or else email; the first 200 characters. '
    'A deleted object keeps its last one. Null where Stripe has none, or where it was not read since the column exists.';
