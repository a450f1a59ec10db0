-- What the catalogue says about the access of $1, the roles, to $2, the tables, $3, the functions that roles call, and
-- $4, those that run with their owner's rights. Two kinds of rows:
--   found = true:  a right, policy or switch that is there, as the statement that makes it; `undo` takes it away
--   found = false: something that is always needed and is not there, as the statement that makes it
-- `comment` is that of a policy. `role` is whom it concerns, null for all. Reads the catalogue alone, so that it needs no privilege on any table.
WITH schema AS (
    SELECT relnamespace AS oid FROM pg_class WHERE oid = to_regclass('_sqlx_migrations')
),
roles AS (
    SELECT oid, rolname, rolsuper, rolbypassrls FROM pg_roles WHERE rolname = ANY($1::TEXT[])
),
-- Whatever PUBLIC may do, the roles may do too.
grantees AS (
    SELECT oid, rolname::TEXT AS name FROM roles UNION ALL SELECT 0::OID, 'public'
),
tables AS (
    SELECT pg_class.* FROM pg_class JOIN schema ON schema.oid = relnamespace
    WHERE relname = ANY($2::TEXT[]) AND relkind IN ('r', 'p', 'v')
),
functions AS (
    SELECT pg_proc.oid, pg_proc.oid::REGPROCEDURE AS signature, proowner, prosecdef,
           COALESCE(proacl, acldefault('f', proowner)) AS acl
    FROM pg_proc JOIN schema ON schema.oid = pronamespace
    WHERE proname = ANY($3::TEXT[] || $4::TEXT[])
),
policies AS (
    SELECT polname, relname, polrelid, obj_description(pg_policy.oid, 'pg_policy') AS comment, polroles, polpermissive,
           CASE polcmd WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT' WHEN 'w' THEN 'UPDATE' WHEN 'd' THEN 'DELETE'
               ELSE 'ALL' END AS command,
           pg_get_expr(polqual, polrelid) AS qualification,
           pg_get_expr(polwithcheck, polrelid) AS new_rows,
           (SELECT string_agg(COALESCE(rolname::TEXT, 'public'), ', ' ORDER BY rolname)
            FROM unnest(polroles) AS given(oid) LEFT JOIN pg_roles ON pg_roles.oid = given.oid) AS names
    FROM pg_policy JOIN tables ON tables.oid = polrelid
    -- Those of other roles, such as one for reports, are none of our business.
    WHERE polroles && (SELECT array_agg(oid) FROM grantees)
)
SELECT TRUE AS found, name AS role,
       format('GRANT %s ON %I TO %s', privilege_type, relname, name) AS statement,
       format('REVOKE %s ON %I FROM %s', privilege_type, relname, name) AS undo, NULL AS comment
FROM tables CROSS JOIN LATERAL aclexplode(relacl) AS acl JOIN grantees ON grantees.oid = acl.grantee
UNION ALL
SELECT TRUE, name, format('GRANT %s (%I) ON %I TO %s', privilege_type, attname, relname, name),
       format('REVOKE %s (%I) ON %I FROM %s', privilege_type, attname, relname, name), NULL
FROM tables JOIN pg_attribute ON attrelid = tables.oid AND attnum > 0 AND NOT attisdropped
CROSS JOIN LATERAL aclexplode(attacl) AS acl JOIN grantees ON grantees.oid = acl.grantee
UNION ALL
SELECT TRUE, name, format('GRANT EXECUTE ON FUNCTION %s TO %s', signature, name),
       format('REVOKE EXECUTE ON FUNCTION %s FROM %s', signature, name), NULL
FROM functions CROSS JOIN LATERAL aclexplode(functions.acl) AS acl JOIN grantees ON grantees.oid = acl.grantee
WHERE prosecdef
UNION ALL
SELECT TRUE, NULL, format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', relname), NULL, NULL FROM tables WHERE relrowsecurity
UNION ALL
SELECT TRUE, NULL, format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', relname), NULL, NULL
FROM tables WHERE relforcerowsecurity
UNION ALL
SELECT TRUE, NULL,
       format('CREATE POLICY %I ON %I%s FOR %s TO %s', polname, relname,
              CASE WHEN polpermissive THEN '' ELSE ' AS RESTRICTIVE' END, command, names)
       || CASE WHEN qualification IS NULL THEN ''
               WHEN qualification LIKE '(%' THEN ' USING ' || qualification
               ELSE ' USING (' || qualification || ')' END
       || CASE WHEN new_rows IS NULL THEN ''
               WHEN new_rows LIKE '(%' THEN ' WITH CHECK ' || new_rows
               ELSE ' WITH CHECK (' || new_rows || ')' END,
       format('DROP POLICY %I ON %I', polname, relname), comment
FROM policies
UNION ALL
SELECT FALSE, rolname::TEXT, format('ALTER ROLE %I NOSUPERUSER NOBYPASSRLS', rolname), NULL, NULL
FROM roles WHERE rolsuper OR rolbypassrls
UNION ALL
SELECT FALSE, rolname::TEXT, format('GRANT USAGE ON SCHEMA %s TO %I', schema.oid::REGNAMESPACE, rolname), NULL, NULL
FROM schema CROSS JOIN roles WHERE NOT has_schema_privilege(roles.oid, schema.oid, 'USAGE')
UNION ALL
SELECT FALSE, rolname::TEXT, format('GRANT EXECUTE ON FUNCTION %s TO %I', signature, rolname), NULL, NULL
FROM functions CROSS JOIN roles
WHERE NOT prosecdef AND NOT has_function_privilege(roles.oid, functions.oid, 'EXECUTE')
UNION ALL
-- What runs with its owner's rights does so for the tables' sake.
SELECT FALSE, NULL, format('ALTER FUNCTION %s OWNER TO %I', signature, pg_get_userbyid(relowner)), NULL, NULL
FROM functions JOIN tables ON relname = 'organizations'
WHERE prosecdef AND NOT pg_has_role(proowner, relowner, 'USAGE')
ORDER BY 1, 3
