-- What rules need of metadata in SQL. The Rust module common::filter does the same in memory, and a test
-- holds the two to the same answer. No function fails for any stored value, and none uses an exception
-- block, which PostgreSQL refuses inside parallel plans.

-- The JSON that a value holds as text, or the value itself when it holds none. JSON is a whole object or
-- array of at most 1,000 characters, without U+0000, lone surrogates and exponents of more than three
-- digits, none of which jsonb could be relied on to hold. Validated by replacing strings by U+0001 and
-- other scalars by U+0002, then innermost arrays and objects by U+0002 until one is left.
CREATE FUNCTION metadata_open(value JSONB) RETURNS JSONB
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
            WHEN 0 THEN '"[^"\u0001-\u001F]*"' -- nothing is escaped, as is usual
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

-- All metadata of an object, every value opened.
CREATE FUNCTION metadata_opened(metadata JSONB) RETURNS JSONB
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN (SELECT COALESCE(jsonb_object_agg(member.key, metadata_open(member.value)), '{}')
            FROM jsonb_each(metadata) AS member);

-- The same with one key alone.
CREATE FUNCTION metadata_opened(metadata JSONB, key TEXT) RETURNS JSONB
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN CASE
        WHEN metadata ? key THEN jsonb_build_object(key, metadata_open(metadata -> key)) ELSE '{}'
    END;

-- Compact JSON, members sorted by code points.
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
                               metadata_compact(element.value), ',' ORDER BY element.place), '') || ']'
                    FROM jsonb_array_elements(value) WITH ORDINALITY AS element (value, place));
        ELSE
            RETURN value::TEXT;
    END CASE;
END
$$;

-- What a value compares as: strings bare, anything else as compact JSON; null is missing.
CREATE FUNCTION metadata_text(value JSONB) RETURNS TEXT
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN CASE jsonb_typeof(value)
        WHEN 'object' THEN metadata_compact(value)
        WHEN 'array' THEN metadata_compact(value)
        ELSE value #>> '{}'
    END;

-- The number that a text is, or null. The length keeps it inside what numeric can hold.
CREATE FUNCTION metadata_number(value TEXT) RETURNS NUMERIC
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN CASE
        WHEN length(value) <= 10000
            AND value COLLATE "C" ~ '^-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]{1,3})?$' THEN value::NUMERIC
    END;

-- What follows serves JSONPath (RFC 9535).

-- The elements of an array or the members of an object.
CREATE FUNCTION metadata_children(node JSONB) RETURNS SETOF JSONB ROWS 4
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
    SELECT element.value
    FROM jsonb_array_elements(CASE jsonb_typeof(node) WHEN 'array' THEN node ELSE '[]' END) AS element
    UNION ALL
    SELECT member.value
    FROM jsonb_each(CASE jsonb_typeof(node) WHEN 'object' THEN node ELSE '{}' END) AS member;
END;

-- The node and everything under it.
CREATE FUNCTION metadata_descendants(node JSONB) RETURNS SETOF JSONB ROWS 4
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
    SELECT jsonb_path_query(node, 'strict $.**');
END;

-- An array's element, counted from the end when negative. (`->` would also find 'a' in '"a"'.)
CREATE FUNCTION metadata_element(node JSONB, place BIGINT) RETURNS JSONB
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN CASE
        WHEN jsonb_typeof(node) = 'array' AND abs(place) <= 2147483647 THEN node -> place::INTEGER
    END;

-- The elements that a slice selects. Nulls are bounds not given.
CREATE FUNCTION metadata_slice(node JSONB, first BIGINT, past BIGINT, step BIGINT) RETURNS SETOF JSONB ROWS 4
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $$
DECLARE
    len   BIGINT;
    place BIGINT;
    bound BIGINT;
BEGIN
    IF jsonb_typeof(node) IS DISTINCT FROM 'array' OR step = 0 THEN
        RETURN;
    END IF;
    len := jsonb_array_length(node);
    first := first + CASE WHEN first < 0 THEN len ELSE 0 END;
    past := past + CASE WHEN past < 0 THEN len ELSE 0 END;
    IF step > 0 THEN
        place := LEAST(GREATEST(COALESCE(first, 0), 0), len);
        bound := LEAST(GREATEST(COALESCE(past, len), 0), len);
        WHILE place < bound LOOP
            RETURN NEXT node -> place::INTEGER;
            place := place + step;
        END LOOP;
    ELSE
        place := LEAST(GREATEST(COALESCE(first, len - 1), -1), len - 1);
        bound := LEAST(GREATEST(COALESCE(past, -1), -1), len - 1);
        WHILE place > bound LOOP
            RETURN NEXT node -> place::INTEGER;
            place := place + step;
        END LOOP;
    END IF;
END
$$;

CREATE FUNCTION metadata_length(value JSONB) RETURNS JSONB
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN CASE jsonb_typeof(value)
        WHEN 'string' THEN to_jsonb(length(value #>> '{}'))
        WHEN 'array' THEN to_jsonb(jsonb_array_length(value))
        WHEN 'object' THEN (SELECT to_jsonb(COUNT(*)) FROM jsonb_object_keys(value))
    END;

-- Numbers compare with numbers and strings with strings, by code points; nothing else is less. Not inlined,
-- since the planner would then cast a constant before its type is looked at.
CREATE FUNCTION metadata_less(lesser JSONB, greater JSONB) RETURNS BOOLEAN
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

CREATE FUNCTION metadata_matches(value JSONB, pattern TEXT) RETURNS BOOLEAN
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN COALESCE(
        CASE WHEN jsonb_typeof(value) = 'string' THEN (value #>> '{}') COLLATE "C" ~ pattern END, FALSE);
