-- Every path that discovery shows works as a key of a condition: `[]` leads to all elements of an array, and
-- names may have dots and brackets themselves. The Rust module common::filter::path does the same in memory.

-- The texts to which the parts of a path lead from a node. A part is `[]`, or `.` and a name; a name with dots
-- is several parts, so the longest member that the parts begin with wins. Never null.
CREATE FUNCTION metadata_lead(node JSONB, parts TEXT[]) RETURNS TEXT[]
    LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
AS $$
DECLARE
    result TEXT;
    found  TEXT[] := '{}';
    item   JSONB;
    name   TEXT;
BEGIN
    IF cardinality(parts) = 0 THEN
        result := metadata_text(node);
        RETURN CASE WHEN result IS NULL THEN '{}' ELSE ARRAY[result] END;
    END IF;
    CASE jsonb_typeof(node)
        WHEN 'array' THEN
            IF parts[1] = '[]' THEN
                FOR item IN SELECT element.value FROM jsonb_array_elements(node) AS element LOOP
                    found := found || metadata_lead(item, parts[2:]);
                END LOOP;
            ELSIF parts[1] COLLATE "C" ~ '^\.[0-9]+$' THEN
                -- Null beyond the end, whatever the number.
                item := node #> ARRAY[substr(parts[1], 2)];
                IF item IS NOT NULL THEN
                    RETURN metadata_lead(item, parts[2:]);
                END IF;
            END IF;
        WHEN 'object' THEN
            IF starts_with(parts[1], '.') THEN
                FOR ending IN REVERSE cardinality(parts)..1 LOOP
                    name := substr(array_to_string(parts[1:ending], ''), 2);
                    IF node ? name THEN
                        RETURN metadata_lead(node -> name, parts[ending + 1:]);
                    END IF;
                END LOOP;
            END IF;
        ELSE
            NULL;
    END CASE;
    RETURN found;
END
$$;

-- The texts that a path finds in metadata. The longest whole key that the parts begin with wins; what is left of
-- them leads into its value where that holds JSON text. Never null.
CREATE FUNCTION metadata_found(metadata JSONB, parts TEXT[]) RETURNS TEXT[]
    LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
AS $$
DECLARE
    key TEXT;
BEGIN
    FOR ending IN REVERSE cardinality(parts)..1 LOOP
        key := array_to_string(parts[1:ending], '');
        IF metadata ? key THEN
            IF ending < cardinality(parts) THEN
                RETURN metadata_lead(metadata_open(metadata -> key), parts[ending + 1:]);
            END IF;
            RETURN CASE WHEN metadata ->> key IS NULL THEN '{}' ELSE ARRAY[metadata ->> key] END;
        END IF;
    END LOOP;
    RETURN '{}';
END
$$;

-- Catalogues with paths that discovery may now write or count otherwise are made anew by the connection's next
-- job, and rules that may now match otherwise are applied anew. The owner sees no tenant's rows while row-level
-- security is forced on it.
ALTER TABLE stripe_sync_state NO FORCE ROW LEVEL SECURITY;
ALTER TABLE stripe_metadata_keys NO FORCE ROW LEVEL SECURITY;
ALTER TABLE platform_connections NO FORCE ROW LEVEL SECURITY;
ALTER TABLE connector_filter_rules NO FORCE ROW LEVEL SECURITY;
ALTER TABLE sync_jobs NO FORCE ROW LEVEL SECURITY;
UPDATE stripe_sync_state AS state SET stale_catalogue_types = '{charge,customer,price,product}'
WHERE EXISTS (SELECT FROM stripe_metadata_keys AS key
              WHERE key.organization_id = state.organization_id AND key.connection_id = state.connection_id
                AND (key.key_path = '' OR key.key_path ~ '^\$|\.|\[\]'));
INSERT INTO sync_jobs (organization_id, job_id, connection_id, stripe_account_id, job_type, trigger, status, created_at)
SELECT organization_id, gen_random_uuid(), connection_id, stripe_account_id, 'refilter', 'filters', 'pending', now()
FROM platform_connections AS connection
WHERE deleting_at IS NULL
  AND EXISTS (SELECT FROM connector_filter_rules AS rule
              CROSS JOIN jsonb_array_elements(rule.conditions) AS condition
              WHERE rule.organization_id = connection.organization_id
                AND rule.connection_id = connection.connection_id AND rule.active
                AND condition ->> 'metadata_key' ~ '^\$|\.|\[\]')
ON CONFLICT (organization_id, connection_id, job_type) WHERE status = 'pending' DO NOTHING;
ALTER TABLE stripe_sync_state FORCE ROW LEVEL SECURITY;
ALTER TABLE stripe_metadata_keys FORCE ROW LEVEL SECURITY;
ALTER TABLE platform_connections FORCE ROW LEVEL SECURITY;
ALTER TABLE connector_filter_rules FORCE ROW LEVEL SECURITY;
ALTER TABLE sync_jobs FORCE ROW LEVEL SECURITY;
