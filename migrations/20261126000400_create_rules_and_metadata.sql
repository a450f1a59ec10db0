-- Rules, the catalogue of metadata keys, and the functions by which conditions on metadata are SQL.

CREATE TABLE connector_filter_rules (
    organization_id TEXT NOT NULL,
    connection_id   TEXT NOT NULL,
    filter_id       UUID NOT NULL,
    name            TEXT NOT NULL,
    action          TEXT NOT NULL,
    operator        TEXT NOT NULL,
    conditions      JSONB NOT NULL,
    active          BOOLEAN NOT NULL,
    created_at      TIMESTAMPTZ NOT NULL,
    updated_at      TIMESTAMPTZ NOT NULL,

    PRIMARY KEY (organization_id, connection_id, filter_id),
    CONSTRAINT connector_filter_rules_organization_id_connection_id_fkey
        FOREIGN KEY (organization_id, connection_id) REFERENCES platform_connections ON DELETE CASCADE,
    CONSTRAINT connector_filter_rules_action_check CHECK (action IN ('include', 'exclude')),
    CONSTRAINT connector_filter_rules_operator_check CHECK (operator IN ('AND', 'OR'))
);
COMMENT ON TABLE connector_filter_rules IS
    'A tenant''s rules: which charges of a connection count. The result is in stripe_revenue_data.excluded_by.';
COMMENT ON COLUMN connector_filter_rules.conditions IS
    'As the API accepts them. Conditions stored by older versions stay readable (common::filter).';

CREATE TABLE stripe_metadata_keys (
    organization_id TEXT NOT NULL,
    connection_id   TEXT NOT NULL,
    object_type     TEXT NOT NULL,
    key_path        TEXT COLLATE "C" NOT NULL,
    value_type      TEXT NOT NULL,
    occurrences     BIGINT NOT NULL,
    sample_values   JSONB NOT NULL,
    first_seen      TIMESTAMPTZ NOT NULL,
    last_seen       TIMESTAMPTZ NOT NULL,

    PRIMARY KEY (organization_id, connection_id, object_type, key_path),
    CONSTRAINT stripe_metadata_keys_object_type_check
        CHECK (object_type IN ('charge', 'product', 'price', 'customer')),
    CONSTRAINT stripe_metadata_keys_value_type_check
        CHECK (value_type IN ('string', 'number', 'boolean', 'json', 'mixed'))
);
COMMENT ON TABLE stripe_metadata_keys IS
    'The metadata keys that a connection''s objects have, nested paths included: what `discover` shows.';
COMMENT ON COLUMN stripe_metadata_keys.sample_values IS 'A few values; what looks personal or secret is redacted.';
COMMENT ON COLUMN stripe_metadata_keys.first_seen IS
    'Stripe''s `created` of the oldest charge that has the key, or refers to an object that has it.';
COMMENT ON COLUMN stripe_metadata_keys.last_seen IS 'The same of the newest.';


-- Functions for conditions on metadata.
--
-- common::filter does the same in memory, and generated_rules_over_generated_charges_give_the_same_answer_both_ways
-- compares the two. No function fails for any stored value. None uses an exception block, which PostgreSQL refuses in
-- parallel plans. All are IMMUTABLE and PARALLEL SAFE.

-- JSON here is a whole object or array of at most 1,000 characters, without U+0000, lone surrogates or exponents of
-- more than three digits, which jsonb may refuse. Casting and catching the error would need an exception block, so the
-- text is validated by reduction: strings become U+0001 and other scalars U+0002, then the innermost arrays and objects
-- become U+0002 until only one is left.
CREATE FUNCTION metadata_parse_json(value JSONB) RETURNS JSONB
    LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
AS $$
DECLARE
    raw      TEXT;
    reduced  TEXT;
    previous TEXT;
BEGIN
    IF jsonb_typeof(value) <> 'string' THEN
        RETURN value;
    END IF;
    raw := value #>> '{}';
    IF left(ltrim(raw, E' \t\n\r'), 1) NOT IN ('{', '[') OR length(raw) > 1000
        OR strpos(raw, E'\x01') > 0 OR strpos(raw, E'\x02') > 0 THEN
        RETURN value;
    END IF;
    reduced := regexp_replace(
        raw COLLATE "C",
        CASE strpos(raw, '\')
            WHEN 0 THEN '"[^"\u0001-\u001F]*"' -- the usual case: nothing is escaped
            ELSE '"(?:[^"\\\u0001-\u001F]|\\["\\/bfnrt]'
                '|\\u(?:[1-9a-cA-CefEF][0-9a-fA-F]{3}|[dD][0-7][0-9a-fA-F]{2}'
                '|0[1-9a-fA-F][0-9a-fA-F]{2}|00[1-9a-fA-F][0-9a-fA-F]|000[1-9a-fA-F])'
                '|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})*"'
        END,
        E'\x01', 'g');
    reduced := regexp_replace(
        reduced COLLATE "C",
        '-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]{1,3})?|true|false|null', E'\x02', 'g');
    reduced := translate(reduced, E' \t\n\r', '');
    WHILE reduced <> E'\x02' LOOP
        previous := reduced;
        reduced := regexp_replace(
            reduced COLLATE "C",
            '\[(?:[\u0001\u0002](?:,[\u0001\u0002])*)?\]'
            '|\{(?:\u0001:[\u0001\u0002](?:,\u0001:[\u0001\u0002])*)?\}',
            E'\x02', 'g');
        IF reduced = previous THEN
            RETURN value;
        END IF;
    END LOOP;
    RETURN raw::JSONB;
END
$$;
COMMENT ON FUNCTION metadata_parse_json(JSONB) IS
    'What JSON does a metadata value hold as text? Returns the value itself if it holds none.';

CREATE FUNCTION metadata_with_parsed_json(metadata JSONB) RETURNS JSONB
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN (SELECT COALESCE(jsonb_object_agg(member.key, metadata_parse_json(member.value)), '{}')
            FROM jsonb_each(metadata) AS member);
COMMENT ON FUNCTION metadata_with_parsed_json(JSONB) IS 'What are an object''s metadata with every value opened?';

CREATE FUNCTION metadata_with_parsed_json(metadata JSONB, key TEXT) RETURNS JSONB
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN CASE
        WHEN metadata ? key THEN jsonb_build_object(key, metadata_parse_json(metadata -> key)) ELSE '{}'
    END;
COMMENT ON FUNCTION metadata_with_parsed_json(JSONB, TEXT) IS 'The same for one key alone, which costs less.';

CREATE FUNCTION metadata_compact(value JSONB) RETURNS TEXT
    LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
AS $$
BEGIN
    CASE jsonb_typeof(value)
        WHEN 'object' THEN
            RETURN (SELECT '{' || COALESCE(string_agg(
                               to_json(member.key)::TEXT || ':' || metadata_compact(member.value), ','
                               ORDER BY member.key COLLATE "C"), '') || '}'
                    FROM jsonb_each(value) AS member);
        WHEN 'array' THEN
            RETURN (SELECT '[' || COALESCE(string_agg(
                               metadata_compact(element.value), ',' ORDER BY element.index), '') || ']'
                    FROM jsonb_array_elements(value) WITH ORDINALITY AS element (value, index));
        ELSE
            RETURN value::TEXT;
    END CASE;
END
$$;
COMMENT ON FUNCTION metadata_compact(JSONB) IS
    'What is a value as compact JSON, with members sorted by code points?';

CREATE FUNCTION metadata_text(value JSONB) RETURNS TEXT
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN CASE jsonb_typeof(value)
        WHEN 'object' THEN metadata_compact(value)
        WHEN 'array' THEN metadata_compact(value)
        ELSE value #>> '{}'
    END;
COMMENT ON FUNCTION metadata_text(JSONB) IS
    'What text is a value compared as? Strings without quotes, everything else as compact JSON; JSON null gives null.';

-- The length limit keeps the number within what NUMERIC can hold.
CREATE FUNCTION metadata_number(value TEXT) RETURNS NUMERIC
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN CASE
        WHEN length(value) <= 10000
            AND value COLLATE "C" ~ '^-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]{1,3})?$' THEN value::NUMERIC
    END;
COMMENT ON FUNCTION metadata_number(TEXT) IS 'What number does a text spell? Null if it spells none.';


-- A path, as `discover` shows it, is a key and parts that lead into the JSON that its value holds. A part is `[]`,
-- which leads to all elements of an array, or `.` and a name. Names may contain dots and brackets themselves, so a name
-- may span several parts; the longest member that the parts begin with wins.
CREATE FUNCTION metadata_collect_at(node JSONB, parts TEXT[]) RETURNS TEXT[]
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
                    found := found || metadata_collect_at(item, parts[2:]);
                END LOOP;
            ELSIF parts[1] COLLATE "C" ~ '^\.[0-9]+$' THEN
                -- Null beyond the end, however large the number.
                item := node #> ARRAY[substr(parts[1], 2)];
                IF item IS NOT NULL THEN
                    RETURN metadata_collect_at(item, parts[2:]);
                END IF;
            END IF;
        WHEN 'object' THEN
            IF starts_with(parts[1], '.') THEN
                FOR ending IN REVERSE cardinality(parts)..1 LOOP
                    name := substr(array_to_string(parts[1:ending], ''), 2);
                    IF node ? name THEN
                        RETURN metadata_collect_at(node -> name, parts[ending + 1:]);
                    END IF;
                END LOOP;
            END IF;
        ELSE
            NULL;
    END CASE;
    RETURN found;
END
$$;
COMMENT ON FUNCTION metadata_collect_at(JSONB, TEXT[]) IS
    'Which texts do the parts of a path lead to from a node? Empty if they lead nowhere; never null.';

-- The longest key that the parts begin with wins; the remaining parts lead into its value.
CREATE FUNCTION metadata_texts_at_path(metadata JSONB, parts TEXT[]) RETURNS TEXT[]
    LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
AS $$
DECLARE
    key TEXT;
BEGIN
    FOR ending IN REVERSE cardinality(parts)..1 LOOP
        key := array_to_string(parts[1:ending], '');
        IF metadata ? key THEN
            IF ending < cardinality(parts) THEN
                RETURN metadata_collect_at(metadata_parse_json(metadata -> key), parts[ending + 1:]);
            END IF;
            RETURN CASE WHEN metadata ->> key IS NULL THEN '{}' ELSE ARRAY[metadata ->> key] END;
        END IF;
    END LOOP;
    RETURN '{}';
END
$$;
COMMENT ON FUNCTION metadata_texts_at_path(JSONB, TEXT[]) IS
    'Which texts does a path find in metadata? Empty if it finds none; never null.';


-- JSONPath (RFC 9535), one function for each kind of step.

CREATE FUNCTION metadata_children(node JSONB) RETURNS SETOF JSONB ROWS 4
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
    SELECT element.value
    FROM jsonb_array_elements(CASE jsonb_typeof(node) WHEN 'array' THEN node ELSE '[]' END) AS element
    UNION ALL
    SELECT member.value
    FROM jsonb_each(CASE jsonb_typeof(node) WHEN 'object' THEN node ELSE '{}' END) AS member;
END;
COMMENT ON FUNCTION metadata_children(JSONB) IS
    'What are the elements of an array, or the member values of an object? (`[*]`)';

CREATE FUNCTION metadata_descendants(node JSONB) RETURNS SETOF JSONB ROWS 4
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
    SELECT jsonb_path_query(node, 'strict $.**');
END;
COMMENT ON FUNCTION metadata_descendants(JSONB) IS 'What are the node itself and everything below it? (`..`)';

-- The type check matters: `->` would also find 'a' in '"a"'.
CREATE FUNCTION metadata_element(node JSONB, index BIGINT) RETURNS JSONB
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN CASE
        WHEN jsonb_typeof(node) = 'array' AND abs(index) <= 2147483647 THEN node -> index::INTEGER
    END;
COMMENT ON FUNCTION metadata_element(JSONB, BIGINT) IS
    'What is the n-th element of an array? Negative numbers count from the end. (`[n]`)';

CREATE FUNCTION metadata_slice(node JSONB, start BIGINT, stop BIGINT, step BIGINT) RETURNS SETOF JSONB ROWS 4
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $$
DECLARE
    len   BIGINT;
    index BIGINT;
    bound BIGINT;
BEGIN
    IF jsonb_typeof(node) IS DISTINCT FROM 'array' OR step = 0 THEN
        RETURN;
    END IF;
    len := jsonb_array_length(node);
    start := start + CASE WHEN start < 0 THEN len ELSE 0 END;
    stop := stop + CASE WHEN stop < 0 THEN len ELSE 0 END;
    IF step > 0 THEN
        index := LEAST(GREATEST(COALESCE(start, 0), 0), len);
        bound := LEAST(GREATEST(COALESCE(stop, len), 0), len);
        WHILE index < bound LOOP
            RETURN NEXT node -> index::INTEGER;
            index := index + step;
        END LOOP;
    ELSE
        index := LEAST(GREATEST(COALESCE(start, len - 1), -1), len - 1);
        bound := LEAST(GREATEST(COALESCE(stop, -1), -1), len - 1);
        WHILE index > bound LOOP
            RETURN NEXT node -> index::INTEGER;
            index := index + step;
        END LOOP;
    END IF;
END
$$;
COMMENT ON FUNCTION metadata_slice(JSONB, BIGINT, BIGINT, BIGINT) IS
    'Which elements does a slice select? A missing bound is null. (`[start:stop:step]`)';

CREATE FUNCTION metadata_length(value JSONB) RETURNS JSONB
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN CASE jsonb_typeof(value)
        WHEN 'string' THEN to_jsonb(length(value #>> '{}'))
        WHEN 'array' THEN to_jsonb(jsonb_array_length(value))
        WHEN 'object' THEN (SELECT to_jsonb(COUNT(*)) FROM jsonb_object_keys(value))
    END;
COMMENT ON FUNCTION metadata_length(JSONB) IS
    'How many characters, elements or members does a value have? (`length()`)';

-- PL/pgSQL, so that it is not inlined: the planner would then cast a constant before its type is checked.
CREATE FUNCTION metadata_is_less(lesser JSONB, greater JSONB) RETURNS BOOLEAN
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $$
BEGIN
    IF jsonb_typeof(lesser) = 'number' AND jsonb_typeof(greater) = 'number' THEN
        RETURN lesser::NUMERIC < greater::NUMERIC;
    ELSIF jsonb_typeof(lesser) = 'string' AND jsonb_typeof(greater) = 'string' THEN
        RETURN (lesser #>> '{}') COLLATE "C" < (greater #>> '{}') COLLATE "C";
    END IF;
    RETURN FALSE;
END
$$;
COMMENT ON FUNCTION metadata_is_less(JSONB, JSONB) IS
    'Is one value less than another? Numbers compare with numbers, strings with strings by code points; any other pair '
    'is false. (`<`)';

CREATE FUNCTION metadata_matches(value JSONB, pattern TEXT) RETURNS BOOLEAN
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN COALESCE(
        CASE WHEN jsonb_typeof(value) = 'string' THEN (value #>> '{}') COLLATE "C" ~ pattern END, FALSE);
COMMENT ON FUNCTION metadata_matches(JSONB, TEXT) IS
    'Is the value a string that matches a pattern? (`match()`, `search()`)';
