//! What the programs' roles may do in the database: `migrate` puts it right whatever happened to it, a program
//! that lacks something says so, and nobody is shown PostgreSQL's raw messages.

use std::collections::{BTreeMap, BTreeSet};

use common::db::schema::{self, State};
use common::db::{self, Role};
use secrecy::SecretString;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, PgPool};
use tests::api_only::ApiOnly;
use tests::database::{TestDatabase, new_name, url_of};
use tests::servers::shared_postgres_url;

/// Everything that decides what the three roles may do, each as the statement that takes it away. Written apart
/// from the engine's own, so that the two cannot be wrong in the same way.
pub(crate) async fn catalogue(admin: &PgPool) -> BTreeSet<String> {
    let statements: Vec<String> = sqlx::query_scalar(
        "SELECT format('REVOKE %s ON %I FROM %I', privilege_type, table_name, grantee)
         FROM information_schema.role_table_grants
         WHERE table_schema = 'public' AND (grantee LIKE 'stripe\\_sync\\_%' OR grantee = 'PUBLIC')
         UNION
         SELECT format('REVOKE %s (%I) ON %I FROM %I', privilege_type, column_name, table_name, grantee)
         FROM information_schema.role_column_grants AS c
         WHERE table_schema = 'public' AND grantee LIKE 'stripe\\_sync\\_%' AND NOT EXISTS (
             SELECT FROM information_schema.role_table_grants AS t
             WHERE t.table_name = c.table_name AND t.grantee = c.grantee AND t.privilege_type = c.privilege_type)
         UNION
         SELECT format('REVOKE EXECUTE ON FUNCTION %I() FROM %I', routine_name, grantee)
         FROM information_schema.role_routine_grants
         WHERE routine_schema = 'public' AND routine_name = 'analyze_revenue_data' AND grantee <> 'postgres'
             AND grantee NOT LIKE 'owner\\_%'
         UNION
         SELECT format('ALTER TABLE %I DISABLE ROW LEVEL SECURITY', relname)
         FROM pg_class WHERE relnamespace = 'public'::REGNAMESPACE AND relrowsecurity
         UNION
         SELECT format('ALTER TABLE %I NO FORCE ROW LEVEL SECURITY', relname)
         FROM pg_class WHERE relnamespace = 'public'::REGNAMESPACE AND relforcerowsecurity
         UNION
         SELECT format('DROP POLICY %I ON %I -- %s %s %s %s %s', policyname, tablename, permissive, roles, cmd, qual,
                       with_check)
         FROM pg_policies WHERE schemaname = 'public'",
    )
    .fetch_all(admin)
    .await
    .unwrap();
    statements.into_iter().collect()
}

async fn execute(admin: &PgPool, sql: impl Into<String>) {
    let sql = sql.into();
    sqlx::query(AssertSqlSafe(sql.clone()))
        .execute(admin)
        .await
        .unwrap_or_else(|error| panic!("{sql}: {error}"));
}

/// What the database is to each of the programs.
async fn states(admin: &PgPool) -> Vec<State> {
    let mut states = Vec::new();
    for role in Role::ALL {
        states.push(schema::state(admin, role).await.unwrap());
    }
    states
}

fn all_ready(states: &[State]) -> bool {
    states.iter().all(|state| *state == State::Ready)
}

#[tokio::test]
async fn lost_grants_and_policies_are_detected_and_repaired() {
    let database = TestDatabase::create().await;
    let admin = database.admin();
    let whole = catalogue(admin).await;
    assert!(whole.len() > 150, "{} are known", whole.len());
    // A migration for each of them would take minutes: some of each kind, and all of them at once.
    let mut tried: BTreeMap<String, usize> = BTreeMap::new();
    for loss in &whole {
        let kind = loss.split(' ').take(2).collect();
        let tried = tried.entry(kind).or_default();
        *tried += 1;
        if *tried > 2 {
            continue;
        }
        execute(admin, loss.as_str()).await;
        let states = states(admin).await;
        let noticed = states
            .iter()
            .any(|state| matches!(state, State::AccessMissing(_)));
        assert!(noticed, "nobody notices: {loss}");
        let done = db::migrate(&database.url()).await.unwrap();
        assert_eq!(done.repairs.len(), 1, "{loss}: {done:?}");
        assert_eq!(catalogue(admin).await, whole, "after {loss}");
    }
    assert!(tried.len() > 5, "kinds: {tried:?}");
    for loss in &whole {
        execute(admin, loss.as_str()).await;
    }
    assert!(catalogue(admin).await.is_empty());
    db::migrate(&database.url()).await.unwrap();
    assert_eq!(catalogue(admin).await, whole);
    assert!(all_ready(&states(admin).await));
}

#[tokio::test]
async fn a_program_reports_only_its_own_missing_access() {
    let database = TestDatabase::create().await;
    let admin = database.admin();
    execute(
        admin,
        "REVOKE INSERT ON stripe_revenue_data FROM stripe_sync_consumer",
    )
    .await;
    let states = states(admin).await;
    let lacking = "GRANT INSERT ON stripe_revenue_data TO stripe_sync_consumer".to_owned();
    assert_eq!(
        states,
        [
            State::Ready,
            State::Ready,
            State::AccessMissing(vec![lacking]),
            State::Ready,
            State::Ready,
        ]
    );
    assert!(states[2].to_string().contains("run `stripe-sync migrate`"));
}

#[tokio::test]
async fn migrate_changes_nothing_where_access_is_right() {
    let database = TestDatabase::create().await;
    let done = db::migrate(&database.url()).await.unwrap();
    assert_eq!(done, schema::Migrated::default());
}

/// A migration that grants what access does not describe would lose it with the next `migrate`, silently.
#[tokio::test]
async fn no_migration_grants_what_access_does_not_describe() {
    let server = shared_postgres_url();
    TestDatabase::create().await; // makes the roles
    let name = new_name("migrations_alone");
    let mut conn = PgConnection::connect(&server).await.unwrap();
    sqlx::query(AssertSqlSafe(format!("CREATE DATABASE {name}")))
        .execute(&mut conn)
        .await
        .unwrap();
    let url = url_of(&server, &name);
    let mut conn = PgConnection::connect(&url).await.unwrap();
    schema::MIGRATOR.run(&mut conn).await.unwrap();
    let done = db::migrate(&SecretString::from(url)).await.unwrap();
    for repair in &done.repairs {
        assert!(
            !repair.starts_with("REVOKE") && !repair.starts_with("DROP"),
            "describe it in common/src/db/access/tables.rs: {repair}"
        );
    }
}

#[tokio::test]
async fn every_table_is_described_and_every_function_may_be_called() {
    let database = TestDatabase::create().await;
    let admin = database.admin();
    let orphans: Vec<String> = sqlx::query_scalar(
        "SELECT relname::TEXT FROM pg_class
         WHERE relnamespace = 'public'::REGNAMESPACE AND relkind IN ('r', 'p') AND NOT EXISTS (
             SELECT FROM aclexplode(relacl) WHERE pg_get_userbyid(grantee) LIKE 'stripe\\_sync\\_%')",
    )
    .fetch_all(admin)
    .await
    .unwrap();
    assert_eq!(
        orphans, [""; 0],
        "describe them in common/src/db/access/tables.rs"
    );

    // As on a server whose default privileges give PUBLIC nothing.
    execute(
        admin,
        "REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA public FROM PUBLIC",
    )
    .await;
    execute(admin, "REVOKE USAGE ON SCHEMA public FROM PUBLIC").await;
    assert!(!all_ready(&states(admin).await));
    db::migrate(&database.url()).await.unwrap();
    assert!(all_ready(&states(admin).await));
    let unreachable: Vec<String> = sqlx::query_scalar(
        "SELECT oid::REGPROCEDURE || ' for ' || rolname FROM pg_proc,
             unnest(ARRAY['stripe_sync_api', 'stripe_sync_scheduler', 'stripe_sync_consumer']) AS rolname
         WHERE pronamespace = 'public'::REGNAMESPACE AND NOT prosecdef
             AND NOT has_function_privilege(rolname, oid, 'EXECUTE')",
    )
    .fetch_all(admin)
    .await
    .unwrap();
    assert_eq!(
        unreachable, [""; 0],
        "list them in common/src/db/access/tables.rs"
    );
}

#[tokio::test]
async fn undeclared_grants_are_revoked_from_program_roles_only() {
    let database = TestDatabase::create().await;
    let admin = database.admin();
    let whole = catalogue(admin).await;
    let reports = new_name("reports");
    for addition in [
        "GRANT SELECT ON connection_credentials TO PUBLIC",
        "GRANT DELETE ON organizations TO stripe_sync_scheduler",
        "GRANT SELECT (sealed) ON connection_credentials TO stripe_sync_scheduler",
        "GRANT EXECUTE ON FUNCTION analyze_revenue_data() TO PUBLIC",
        "CREATE POLICY careless ON connection_credentials USING (true)",
        "DROP POLICY tenant ON sync_jobs",
        "CREATE POLICY tenant ON sync_jobs USING (true) WITH CHECK (true)",
    ] {
        execute(admin, addition).await;
    }
    execute(admin, format!("CREATE ROLE {reports}")).await;
    execute(
        admin,
        format!("GRANT SELECT ON stripe_revenue_data TO {reports}"),
    )
    .await;
    execute(
        admin,
        format!("CREATE POLICY {reports} ON stripe_revenue_data TO {reports} USING (true)"),
    )
    .await;
    db::migrate(&database.url()).await.unwrap();
    let mut after = catalogue(admin).await;
    after.retain(|statement| !statement.contains(&reports));
    assert_eq!(after, whole);
    let kept: bool = sqlx::query_scalar(
        "SELECT has_table_privilege($1, 'stripe_revenue_data', 'SELECT')
             AND EXISTS (SELECT FROM pg_policies WHERE policyname = $1)",
    )
    .bind(&reports)
    .fetch_one(admin)
    .await
    .unwrap();
    assert!(kept);
}

#[tokio::test]
async fn a_function_that_runs_with_its_owners_rights_belongs_to_the_owner_of_the_tables() {
    let database = TestDatabase::create().await;
    let admin = database.admin();
    let name = new_name("restorer");
    execute(admin, format!("CREATE ROLE {name}")).await;
    execute(
        admin,
        format!("ALTER FUNCTION analyze_revenue_data() OWNER TO {name}"),
    )
    .await;
    assert!(!all_ready(&states(admin).await));
    db::migrate(&database.url()).await.unwrap();
    assert!(all_ready(&states(admin).await));
    let owner: String = sqlx::query_scalar(
        "SELECT pg_get_userbyid(proowner)::TEXT FROM pg_proc WHERE proname = 'analyze_revenue_data'",
    )
    .fetch_one(admin)
    .await
    .unwrap();
    assert_eq!(owner, "postgres");
}

#[tokio::test]
async fn an_older_program_asks_for_an_upgrade_not_a_migration() {
    let api = ApiOnly::start().await;
    execute(
        api.database.admin(),
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
         VALUES (29990101000000, 'of tomorrow', TRUE, '', 0)",
    )
    .await;
    let error = db::migrate(&api.database.url()).await.unwrap_err();
    assert!(matches!(
        error,
        db::Error::Newer {
            version: 29_990_101_000_000
        }
    ));
    for text in [
        error.to_string(),
        states(api.database.admin()).await[0].to_string(),
    ] {
        assert!(text.contains("upgrade this program"), "{text}");
        assert!(!text.contains("run `stripe-sync migrate`"), "{text}");
    }
    let request = axum::extract::Request::get("/readyz")
        .body(axum::body::Body::empty())
        .unwrap();
    let ready = api.send(request).await.expect(503);
    assert_eq!(ready["dependencies"]["migrations"], "newer");
}

#[tokio::test]
async fn without_role_membership_the_error_names_what_a_superuser_runs() {
    TestDatabase::create().await; // makes the roles
    let name = new_name("plain");
    let admin = PgPool::connect(&shared_postgres_url()).await.unwrap();
    execute(&admin, format!("CREATE ROLE {name} LOGIN PASSWORD 'plain'")).await;
    execute(&admin, format!("CREATE DATABASE {name} OWNER {name}")).await;
    let mut url = url::Url::parse(&url_of(&shared_postgres_url(), &name)).unwrap();
    url.set_username(&name).unwrap();
    url.set_password(Some("plain")).unwrap();
    let url = SecretString::from(url.to_string());
    let error = db::migrate(&url).await.unwrap_err();
    let db::Error::RolesRefused {
        user, statements, ..
    } = &error
    else {
        panic!("{error:?}")
    };
    assert_eq!(*user, name);
    assert!(error.to_string().contains(&format!("`{name}`")), "{error}");
    for statement in statements {
        assert!(error.to_string().contains(statement), "{error}");
        execute(&admin, statement.as_str()).await;
    }
    db::migrate(&url).await.unwrap();
}

#[tokio::test]
async fn without_ownership_the_error_names_the_owner() {
    let database = TestDatabase::create().await;
    let name = new_name("other");
    let admin = database.admin();
    execute(admin, format!("CREATE ROLE {name} LOGIN PASSWORD 'other'")).await;
    execute(
        admin,
        format!("GRANT stripe_sync_api, stripe_sync_scheduler, stripe_sync_consumer, stripe_sync_webhooks, \
             stripe_sync_operator TO {name}"),
    )
    .await;
    execute(admin, "REVOKE SELECT ON organizations FROM stripe_sync_api").await;
    let url = secrecy::ExposeSecret::expose_secret(&database.url()).to_owned();
    let mut url = url::Url::parse(&url).unwrap();
    url.set_username(&name).unwrap();
    url.set_password(Some("other")).unwrap();
    let error = db::migrate(&SecretString::from(url.to_string()))
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("`postgres`") || error.to_string().contains("owner"),
        "{error}"
    );
}
