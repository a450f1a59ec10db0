//! `migrate` on a database in use: it holds nobody up, says who holds it up, and names a server that keeps silent.

use std::time::Duration;

use common::db::schema::{self, State};
use common::db::{self, Pool, Role};
use secrecy::SecretString;
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Executor as _, PgConnection};
use tests::database::TestDatabase;
use tests::programs::{Deployment, poll};
use tests::shell::Shell;
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
    let (url, max_lock_wait) = (database.url(), Duration::from_secs(2));
    let migrating = schema::migrate_within(&url, max_lock_wait);
    let refused = timeout(SOON, migrating)
        .await
        .expect("it gives up")
        .unwrap_err();
    let db::Error::Locked { holders, .. } = &refused else {
        panic!("{refused:?}")
    };
    assert!(holders.contains("application long_report"), "{holders}");
    assert!(refused.to_string().contains(holders), "{refused}");

    // With a longer limit it tries again, lets others read meanwhile, and goes on when the lock is free.
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

#[tokio::test]
async fn a_command_names_the_setting_of_a_database_that_keeps_silent() {
    let (_listener, address) = silent_server().await;
    let url = format!("postgres://owner:hunter2@{address}/db");
    let shell = Shell::new(&[("DATABASE_URL", &url)]);
    let ran = timeout(SOON, shell.run("org list", 1))
        .await
        .expect("it gives up");
    let expected = format!("PostgreSQL at {address} did not answer within 10 s");
    let ran = ran.says(&[&expected, "DATABASE_URL"]);
    assert!(!ran.err.contains("hunter2"), "{ran:?}");
}
