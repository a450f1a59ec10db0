-- A sum was in two wide indexes, one of which held its figures too, so that whatever changed it wrote both. Now one finds
-- it by key and value, a narrow one by day, and figures change in the row alone.
ALTER TABLE stripe_daily_values DROP CONSTRAINT stripe_daily_values_pkey;
DROP INDEX stripe_daily_values_by_value;
-- Room for the sums of today, which change with every sync.
ALTER TABLE stripe_daily_values SET (fillfactor = 85);
-- One value, or all values of a key, over any days.
ALTER TABLE stripe_daily_values ADD CONSTRAINT stripe_daily_values_pkey
    PRIMARY KEY (organization_id, key_path, connection_id, value, date, currency);
-- All sums of a day, to make them anew. The day comes first, so that no report can take this index for that of its key:
-- both look as cheap while PostgreSQL knows nothing of a table that has just been filled.
CREATE INDEX stripe_daily_values_by_date ON stripe_daily_values (date, organization_id, connection_id);
