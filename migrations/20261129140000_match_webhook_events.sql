-- Which events does a filter mean? An inlined function, so that lists, counts and replays share one condition. Nothing else
-- may be in it: PostgreSQL inlines a single plain statement only, and without that no index would be used.

CREATE FUNCTION webhook_events_matching(
    organization TEXT, of_state TEXT, of_type TEXT, of_connection TEXT, of_account TEXT, received_from TIMESTAMPTZ,
    received_to TIMESTAMPTZ, id UUID
) RETURNS SETOF webhook_event_states LANGUAGE sql STABLE AS $$
    SELECT * FROM webhook_event_states
    WHERE (organization IS NULL OR organization_id = organization)
      AND (of_state IS NULL OR state = of_state)
      AND (of_type IS NULL OR event_type = of_type)
      AND (of_connection IS NULL OR connection_id = of_connection)
      AND (of_account IS NULL OR account = of_account)
      AND (received_from IS NULL OR received_at >= received_from)
      AND (received_to IS NULL OR received_at < received_to)
      AND (id IS NULL OR event_id = id)
$$;
COMMENT ON FUNCTION webhook_events_matching IS
    'Events that a filter means, as people see them. Each part of the filter that is null is any.';
