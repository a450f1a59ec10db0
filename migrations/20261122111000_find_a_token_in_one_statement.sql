-- Every call begins with its token, which took a transaction of four round trips.

-- The token with a hash, as its bearer sees it.
CREATE FUNCTION token_of_hash(hash BYTEA) RETURNS SETOF api_tokens LANGUAGE plpgsql ROWS 1 AS $$
BEGIN
    -- What the policy of bearers asks for; it goes with the transaction.
    PERFORM set_config('app.token_hash', encode(hash, 'hex'), TRUE);
    RETURN QUERY SELECT * FROM api_tokens WHERE token_hash = hash;
END
$$;
