//! `migrate` on a database in use: it holds nobody up, says who holds it up, names a server that keeps silent, and changes
//! stored rows as its migrations say.

use std::time::Duration;

use common::db::schema::{self, MIGRATOR, State};
use common::db::{self, Pool, Role};
use secrecy::SecretString;
use serde_json::{Value, json};
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _, PgConnection};
use tests::database::{TestDatabase, new_name, url_of};
use tests::programs::{Deployment, poll};
use tests::servers::shared_postgres_url;
use tokio::net::TcpListener;
use tokio::time::{Instant, timeout};

/// By when whatever is not held up must have happened, on a busy machine.
const SOON: Duration = Duration::from_secs(30);

async fn run(conn: &mut PgConnection, sql: &str) {
    conn.execute(AssertSqlSafe(sql.to_owned()))
        .await
        .unwrap_or_else(|error| panic!("{sql}: {error}"));
}

/// A session that reads a table in a transaction which stays open.
async fn long_report(database: &TestDatabase) -> PgConnection {
    let url = secrecy::ExposeSecret::expose_secret(&database.url()).to_owned();
    let options: PgConnectOptions = url.parse().unwrap();
    let mut report = options
        .application_name("long_report")
        .connect()
        .await
        .unwrap();
    run(&mut report, "BEGIN").await;
    run(&mut report, "SELECT FROM sync_jobs").await;
    report
}

#[tokio::test]
async fn migrate_queues_behind_no_long_query_and_says_who_holds_the_lock() {
    let database = TestDatabase::create().await;
    let admin = database.admin();
    let lost = "ALTER TABLE sync_jobs DISABLE ROW LEVEL SECURITY";
    admin.execute(lost).await.unwrap();
    let mut report = long_report(&database).await;
    let (url, patience) = (database.url(), Duration::from_secs(2));
    let migrating = schema::migrate_within(&url, patience);
    let refused = timeout(SOON, migrating)
        .await
        .expect("it gives up")
        .unwrap_err();
    let db::Error::Locked { holders, .. } = &refused else {
        panic!("{refused:?}")
    };
    assert!(holders.contains("application long_report"), "{holders}");
    assert!(refused.to_string().contains(holders), "{refused}");

    // With more patience it tries again, lets others read meanwhile, and goes on when the lock is free.
    let meanwhile = async {
        let waits = async {
            while !waits_for_the_table(admin).await {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(SOON, waits).await.expect("it asks for the lock");
        let read = sqlx::query("SELECT FROM sync_jobs").fetch_all(admin);
        timeout(SOON, read)
            .await
            .expect("others are held up for seconds at most")
            .unwrap();
        run(&mut report, "COMMIT").await;
    };
    let both = async { tokio::join!(db::migrate(&url), meanwhile) };
    let (done, ()) = timeout(SOON * 2, both).await.expect("it goes on");
    let done = done.unwrap();
    assert_eq!(
        done.repairs,
        ["ALTER TABLE sync_jobs ENABLE ROW LEVEL SECURITY"]
    );
    let state = schema::state(admin, Role::Api).await.unwrap();
    assert_eq!(state, State::Ready);
}

/// Whether a session asks for a lock on `sync_jobs` and does not have it.
async fn waits_for_the_table(admin: &Pool) -> bool {
    sqlx::query_scalar(
        "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND relation = 'sync_jobs'::REGCLASS)",
    )
    .fetch_one(admin)
    .await
    .unwrap()
}

/// A server that accepts connections and never says a word, as behind many a wrong address.
async fn silent_server() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    (listener, address)
}

#[tokio::test]
async fn a_database_that_keeps_silent_is_named_within_seconds_and_its_password_is_not() {
    let (_listener, address) = silent_server().await;
    let url = format!("postgres://owner:hunter2@{address}/db");
    let began = Instant::now();
    let secret = SecretString::from(url.clone());
    let migrating = schema::migrate(&secret);
    let error = timeout(SOON, migrating)
        .await
        .expect("it gives up")
        .unwrap_err();
    assert!(began.elapsed() < Duration::from_secs(15));
    let text = format!("{error} {error:?}");
    assert!(
        text.contains(&format!("PostgreSQL at {address} did not answer")),
        "{text}"
    );
    assert!(!text.contains("hunter2"), "{text}");

    // A program waits, and says for what.
    let database = TestDatabase::create().await;
    let migrated = secrecy::ExposeSecret::expose_secret(&database.url()).to_owned();
    let mut engine = Deployment::prepare(&migrated, None, "http://127.0.0.1:1");
    engine.set("DATABASE_URL", Some(&url));
    engine.start("api");
    let said = poll("the API to name the server", || {
        let log = std::fs::read_to_string(engine.log()).unwrap_or_default();
        log.contains(&format!("waiting for PostgreSQL at {address}"))
            .then_some(log)
    })
    .await;
    assert!(!said.contains("hunter2"), "{said}");
    engine.terminate().await;
}

/// A database at the migration before `version`, in the hands of a user who is no superuser: row-level security that is
/// forced hides rows from such a one.
async fn database_before(version: i64) -> (PgConnection, SecretString) {
    TestDatabase::create().await; // makes the roles
    let server = shared_postgres_url();
    let name = new_name("owner");
    let mut admin = PgConnection::connect(&server).await.unwrap();
    for statement in [
        format!("CREATE ROLE {name} LOGIN PASSWORD 'owner'"),
        format!("GRANT stripe_sync_api, stripe_sync_scheduler, stripe_sync_consumer TO {name}"),
        format!("CREATE DATABASE {name} OWNER {name}"),
    ] {
        run(&mut admin, &statement).await;
    }
    let mut url = url::Url::parse(&url_of(&server, &name)).unwrap();
    let as_admin = url.to_string();
    url.set_username(&name).unwrap();
    url.set_password(Some("owner")).unwrap();
    let before = MIGRATOR.iter().map(|migration| migration.version);
    let before = before.filter(|known| *known < version).max().unwrap();
    let mut owner = PgConnection::connect(url.as_str()).await.unwrap();
    MIGRATOR.run_to(before, &mut owner).await.unwrap();
    let admin = PgConnection::connect(&as_admin).await.unwrap();
    (admin, SecretString::from(url.to_string()))
}

/// The rows of a query as JSON.
async fn rows(conn: &mut PgConnection, query: &str) -> Value {
    let wrapped = format!("SELECT COALESCE(json_agg(to_json(rows)), '[]') FROM ({query}) AS rows");
    sqlx::query_scalar(AssertSqlSafe(wrapped))
        .fetch_one(conn)
        .await
        .unwrap_or_else(|error| panic!("{query}: {error}"))
}

const CONNECTIONS: &str = "
    INSERT INTO organizations VALUES ('acme', 'Acme', '2026-01-01');
    INSERT INTO platform_connections
        (organization_id, connection_id, stripe_account_id, livemode, timezone, lookback_days, rate_share, created_at,
         next_sync_at, deleting_at)
    SELECT 'acme', id, 'acct_' || id, FALSE, 'UTC', 30, share, '2026-01-01', '2026-01-01', deleting
    FROM (VALUES ('slow', 5e-324, NULL::TIMESTAMPTZ), ('half', 0.5, NULL), ('floor', 0.01, NULL),
                 ('going', 1, '2026-02-01')) AS made (id, share, deleting);
    INSERT INTO stripe_sync_state (organization_id, connection_id)
    SELECT organization_id, connection_id FROM platform_connections;";

#[tokio::test]
async fn migrations_raise_rate_shares_and_tell_what_keeps_failing_in_a_database_with_rows() {
    let (mut admin, url) = database_before(20_261_125_200_300).await;
    run(&mut admin, CONNECTIONS).await;
    run(
        &mut admin,
        "INSERT INTO sync_jobs (organization_id, job_id, connection_id, stripe_account_id, job_type, trigger, status,
             created_at, finished_at, error_code, error_message)
         SELECT 'acme', gen_random_uuid(), connection, 'acct_' || connection, job_type, 'schedule', status,
             '2026-02-01', finished::TIMESTAMPTZ, code, message
         FROM (VALUES
             -- Fails since the second of February, after a success.
             ('slow', 'incremental', 'completed', '2026-02-01', NULL, NULL),
             ('slow', 'incremental', 'failed', '2026-02-02', 'internal', 'base/16384/16589: disk full'),
             ('slow', 'full', 'failed', '2026-02-03', 'stripe_unavailable', 'error sending request for url'),
             ('slow', 'refilter', 'failed', '2026-02-04', 'internal', 'at line 486'),
             -- Failed and has worked since.
             ('half', 'full', 'failed', '2026-02-02', 'internal', 'at line 486'),
             ('half', 'incremental', 'completed', '2026-02-03', NULL, NULL),
             -- Stripe's own words stay, and a cancelled job is no failure.
             ('floor', 'full', 'failed', '2026-02-02', 'stripe_key_invalid', 'Invalid API Key provided'),
             ('floor', 'redate', 'cancelled', '2026-02-02', NULL, NULL),
             ('going', 'delete', 'failed', '2026-02-02', 'internal', 'at line 486'))
             AS made (connection, job_type, status, finished, code, message)",
    )
    .await;
    run(
        &mut admin,
        "INSERT INTO stripe_parked_objects (organization_id, connection_id, list, object_id, raw, error, parked_at)
         VALUES ('acme', 'half', 'charges', 'ch_1', '{}', 'no amount', '2026-02-01')",
    )
    .await;
    db::migrate(&url).await.unwrap();
    let shares =
        "SELECT connection_id AS id, rate_share AS share FROM platform_connections ORDER BY 1";
    assert_eq!(
        rows(&mut admin, shares).await,
        json!([{"id": "floor", "share": 0.01}, {"id": "going", "share": 1}, {"id": "half", "share": 0.5},
               {"id": "slow", "share": 0.01}])
    );
    let too_small = admin
        .execute("UPDATE platform_connections SET rate_share = 0.009")
        .await;
    assert!(too_small.is_err());
    let failing = "SELECT connection_id AS id, work.key AS work, work.value ->> 'count' AS count,
                          work.value ->> 'code' AS code, (work.value ->> 'since')::TIMESTAMPTZ::DATE AS since
                   FROM stripe_sync_state CROSS JOIN jsonb_each(failing_jobs) AS work ORDER BY 1, 2";
    assert_eq!(
        rows(&mut admin, failing).await,
        json!([
            {"id": "floor", "work": "sync", "count": "1", "code": "stripe_key_invalid", "since": "2026-02-02"},
            {"id": "slow", "work": "refilter", "count": "1", "code": "internal", "since": "2026-02-04"},
            {"id": "slow", "work": "sync", "count": "2", "code": "stripe_unavailable", "since": "2026-02-02"},
        ])
    );
    let messages = "SELECT DISTINCT error_message AS message FROM sync_jobs WHERE error_message IS NOT NULL ORDER BY 1";
    assert_eq!(
        rows(&mut admin, messages).await,
        json!([{"message": "Invalid API Key provided"}, {"message": "Stripe could not be read from."},
               {"message": "The job stopped on an error inside the engine."}])
    );
    let parked = "SELECT object_id AS id, code FROM stripe_parked_objects";
    assert_eq!(
        rows(&mut admin, parked).await,
        json!([{"id": "ch_1", "code": "unreadable"}])
    );
    let unforced = "SELECT relname FROM pg_class WHERE relrowsecurity AND NOT relforcerowsecurity";
    assert_eq!(rows(&mut admin, unforced).await, json!([]));
}

#[tokio::test]
async fn migrations_renew_catalogues_and_rules_with_paths_in_a_database_with_rows() {
    let (mut admin, url) = database_before(20_261_125_200_800).await;
    // Of a database after the floor of rate_share.
    run(&mut admin, &CONNECTIONS.replace("5e-324", "0.02")).await;
    run(
        &mut admin,
        "INSERT INTO stripe_metadata_keys
         SELECT 'acme', connection, 'charge', path, 'string', 1, '[]', '2026-01-01', '2026-01-01'
         FROM (VALUES ('slow', 'tier'), ('half', 'cart.items[]'), ('floor', '$.tier'), ('going', ''))
             AS made (connection, path);
         INSERT INTO connector_filter_rules
         SELECT 'acme', connection, gen_random_uuid(), 'rule', 'exclude', 'AND',
             jsonb_build_array(jsonb_build_object('type', 'metadata', 'metadata_key', key)), active,
             '2026-01-01', '2026-01-01'
         FROM (VALUES ('slow', 'tier', TRUE), ('half', 'cart.items[]', TRUE), ('floor', '$.tier', FALSE),
                      ('going', 'a.b', TRUE)) AS made (connection, key, active);
         INSERT INTO connector_filter_rules
         VALUES ('acme', 'half', gen_random_uuid(), 'another', 'exclude', 'AND',
                 jsonb_build_array(jsonb_build_object('metadata_key', '$x')), TRUE, '2026-01-01', '2026-01-01')",
    )
    .await;
    db::migrate(&url).await.unwrap();
    let stale = "SELECT connection_id AS id, stale_catalogue_types AS types FROM stripe_sync_state
                 WHERE stale_catalogue_types <> '{}' ORDER BY 1";
    let types = ["charge", "customer", "price", "product"];
    assert_eq!(
        rows(&mut admin, stale).await,
        json!([{"id": "floor", "types": types}, {"id": "going", "types": types}, {"id": "half", "types": types}])
    );
    let jobs =
        "SELECT connection_id AS id, job_type, status, stripe_account_id AS account FROM sync_jobs";
    assert_eq!(
        rows(&mut admin, jobs).await,
        json!([{"id": "half", "job_type": "refilter", "status": "pending", "account": "acct_half"}])
    );
    let unforced = "SELECT relname FROM pg_class WHERE relrowsecurity AND NOT relforcerowsecurity";
    assert_eq!(rows(&mut admin, unforced).await, json!([]));
}
