-- One row for each request of the group; an event that came twice, in the group or before it, is stored once. In the order of
-- the unique key: two programs that store the same events in different orders would wait for each other.
INSERT INTO webhook_events (organization_id, event_id, endpoint_id, connection_id, external_event_id, event_type,
                            account, livemode, api_version, object_id, created_at, received_at, payload, status,
                            found_by_polling)
SELECT *
FROM UNNEST($1::TEXT[], $2::UUID[], $3::TEXT[], $4::TEXT[], $5::TEXT[], $6::TEXT[], $7::TEXT[], $8::BOOLEAN[],
            $9::TEXT[], $10::TEXT[], $11::TIMESTAMPTZ[], $12::TIMESTAMPTZ[], $13::BYTEA[], $14::TEXT[],
            $15::BOOLEAN[])
ORDER BY 1, 3, 5, 7
ON CONFLICT (organization_id, endpoint_id, external_event_id, account) DO NOTHING
RETURNING event_id
