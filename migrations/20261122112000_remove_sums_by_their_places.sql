-- Sums that go are known by their places. Where PostgreSQL does not know an organization yet, it believes that an index
-- holds one row of it at most, and looked through all sums of the organization for these, in each transaction.

-- Removes those of these sums that stand at these places.
CREATE FUNCTION remove_daily_values(organization TEXT, connection TEXT, days DATE[], places TID[]) RETURNS VOID
    LANGUAGE plpgsql
    -- What is left is to go to the places, which needs no estimate.
    SET enable_indexscan = off SET enable_bitmapscan = off SET enable_seqscan = off AS $$
BEGIN
    DELETE FROM stripe_daily_values
    WHERE organization_id = organization AND connection_id = connection AND date = ANY(days) AND ctid = ANY(places);
END
$$;
