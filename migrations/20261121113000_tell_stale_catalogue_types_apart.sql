-- Which parts of the metadata catalogue must be made anew from the rows: a changed customer is no reason to
-- read the metadata of every charge.
ALTER TABLE stripe_sync_state ADD COLUMN stale_catalogue_types TEXT[] NOT NULL DEFAULT '{}';
UPDATE stripe_sync_state SET stale_catalogue_types = '{charge,customer,price,product}' WHERE catalogue_stale;
ALTER TABLE stripe_sync_state DROP COLUMN catalogue_stale;
