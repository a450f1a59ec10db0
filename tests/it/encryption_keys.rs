//! Encryption keys in operation: a program begins only with the keys that open what is stored, keys are changed
//! while jobs run, and a key that is lost is given up by its own command.

use std::path::Path;
use std::time::Duration;

use common::credential::Keyring;
use common::lifecycle::Context;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, PgPool};
use stripe_sim::{SimHandle, Simulator};
use tests::api_only::ApiOnly;
use tests::database::TestDatabase;
use tests::programs::Deployment;
use tests::wait::until;
use tests::world::unlimited_account;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

const PROGRAMS: [&str; 3] = ["api", "scheduler", "consumer"];

async fn simulator() -> SimHandle {
    Simulator::builder()
        .account(unlimited_account(50))
        .start()
        .await
        .unwrap()
}

fn keys(parts: &[&SecretString]) -> String {
    let parts: Vec<&str> = parts.iter().map(|part| part.expose_secret()).collect();
    parts.join(",")
}

/// An engine of three programs that ticks every second.
fn deployment(database: &TestDatabase, sim: &SimHandle) -> Deployment {
    let url = database.url().expose_secret().to_owned();
    let mut engine = Deployment::prepare(&url, None, &sim.base_url);
    engine.set("SYNC_SCHEDULE", Some("* * * * * *"));
    engine
}

async fn execute(admin: &PgPool, sql: &str) {
    sqlx::query(AssertSqlSafe(sql.to_owned()))
        .execute(admin)
        .await
        .unwrap();
}

async fn count(admin: &PgPool, sql: &str) -> i64 {
    sqlx::query_scalar(AssertSqlSafe(format!("SELECT COUNT(*) FROM {sql}")))
        .fetch_one(admin)
        .await
        .unwrap()
}

/// Makes every connection due again and again until a job that began after this call has completed.
async fn another_job_completes(admin: &PgPool) {
    let begun: chrono::DateTime<chrono::Utc> = sqlx::query_scalar("SELECT now()")
        .fetch_one(admin)
        .await
        .unwrap();
    until("a job to complete", async || {
        execute(
            admin,
            "UPDATE platform_connections SET next_sync_at = now()",
        )
        .await;
        let completed: bool = sqlx::query_scalar(
            "SELECT EXISTS (SELECT FROM sync_jobs WHERE status = 'completed' AND started_at > $1)",
        )
        .bind(begun)
        .fetch_one(admin)
        .await
        .unwrap();
        completed.then_some(())
    })
    .await;
}

async fn key_ids(admin: &PgPool) -> Vec<String> {
    sqlx::query_scalar("SELECT DISTINCT key_id FROM connection_credentials ORDER BY key_id")
        .fetch_all(admin)
        .await
        .unwrap()
}

/// No job has met an error so far.
async fn assert_no_job_failed(admin: &PgPool) {
    let errors: Vec<String> = sqlx::query_scalar(
        "SELECT status || ' ' || COALESCE(error_code, '') || ' ' || COALESCE(error_message, '') FROM sync_jobs
         WHERE status IN ('failed', 'cancelled') OR error_code IS NOT NULL",
    )
    .fetch_all(admin)
    .await
    .unwrap();
    assert_eq!(errors, [""; 0]);
    let problems = count(admin, "platform_connections WHERE problem_code IS NOT NULL").await;
    assert_eq!(problems, 0);
}

async fn restart_all(engine: &mut Deployment, admin: &PgPool) {
    for program in PROGRAMS {
        engine.stop(program).await;
        engine.start(program);
        another_job_completes(admin).await;
    }
    all_run(engine).await;
}

/// Both programs that know keys have begun.
async fn all_run(engine: &Deployment) {
    engine.get("/v1/connectors").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_key_is_changed_in_the_documented_order_while_jobs_run_and_none_fails() {
    let sim = simulator().await;
    let database = TestDatabase::create().await;
    let admin = database.admin();
    let mut engine = deployment(&database, &sim);
    let [old, new] = ["k1", "k2"].map(Keyring::generate);
    engine.set("ENCRYPTION_KEYS", Some(&keys(&[&old])));
    for program in PROGRAMS {
        engine.start(program);
    }
    let connected = engine.connect(sim.first().key()).await;
    engine.job_completed(&connected["job_id"]).await;

    // Too early: nobody knows the new key.
    let rotate = ["keys", "rotate", "--encryption-keys", &keys(&[&new, &old])];
    let refused = engine.run_refused(&rotate);
    for program in ["api", "consumer"] {
        assert!(
            refused.contains(&format!("a running {program} ")),
            "{refused}"
        );
    }
    assert!(
        refused.contains("does not know it: add it at the end"),
        "{refused}"
    );
    another_job_completes(admin).await;

    engine.set("ENCRYPTION_KEYS", Some(&keys(&[&old, &new])));
    restart_all(&mut engine, admin).await;
    let refused = engine.run_refused(&rotate);
    assert!(refused.contains("put `k2` first"), "{refused}");
    assert!(refused.contains("docs/operations.md"), "{refused}");
    assert_eq!(key_ids(admin).await, ["k1"]);

    engine.set("ENCRYPTION_KEYS", Some(&keys(&[&new, &old])));
    restart_all(&mut engine, admin).await;
    let rotated = engine.run(&["keys", "rotate"]);
    assert!(
        rotated.contains("re-encrypted 1 credential under the key k2"),
        "{rotated}"
    );
    assert_eq!(key_ids(admin).await, ["k2"]);
    another_job_completes(admin).await;

    engine.set("ENCRYPTION_KEYS", Some(&keys(&[&new])));
    restart_all(&mut engine, admin).await;
    let id = connected["connection_id"].as_str().unwrap();
    let path = format!("/v1/connectors/stripe/{id}/test");
    let (status, tested) = engine.ask(reqwest::Method::POST, &path, None).await;
    assert_eq!((status, &tested["ok"]), (200, &json!(true)), "{tested}");
    assert_no_job_failed(admin).await;
    engine.terminate().await;
}

/// The end of a program that must refuse to run, and what it said.
async fn refused(engine: &mut Deployment, program: &str) -> String {
    let before = std::fs::read_to_string(engine.log())
        .unwrap_or_default()
        .len();
    if program == "stripe-sync" {
        engine.start_up();
    } else {
        engine.start(program);
    }
    let status = engine.ended(program).await;
    assert_eq!(status.code(), Some(1), "{program}");
    std::fs::read_to_string(engine.log()).unwrap()[before..].to_owned()
}

/// An engine with one connection sealed with the key `k1`, stopped again.
async fn sealed_with(
    key: &SecretString,
    database: &TestDatabase,
    sim: &SimHandle,
) -> (Deployment, Value) {
    let mut engine = deployment(database, sim);
    engine.set("ENCRYPTION_KEYS", Some(key.expose_secret()));
    engine.start_up();
    let connected = engine.connect(sim.first().key()).await;
    engine.job_completed(&connected["job_id"]).await;
    engine.terminate().await;
    (engine, connected)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_program_begins_without_the_key_that_seals_what_is_stored() {
    let sim = simulator().await;
    let database = TestDatabase::create().await;
    let [old, new, impostor] = ["k1", "k2", "k1"].map(Keyring::generate);
    let (mut engine, _) = sealed_with(&old, &database, &sim).await;
    for (given, says) in [
        (&new, "lacks `k1`, which encrypts 1 credential"),
        (
            &impostor,
            "another key under the id of `k1`, which encrypts 1 credential",
        ),
    ] {
        engine.set("ENCRYPTION_KEYS", Some(given.expose_secret()));
        for program in ["api", "consumer", "stripe-sync"] {
            let said = refused(&mut engine, program).await;
            assert!(said.contains(says), "{program}: {said}");
        }
    }
    assert_eq!(
        count(database.admin(), "program_encryption_keys").await,
        0,
        "none counts as running"
    );
    assert_no_job_failed(database.admin()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn up_creates_no_key_over_sealed_credentials_or_with_a_running_program() {
    let sim = simulator().await;
    let database = TestDatabase::create().await;
    let key = Keyring::generate("k1");
    let (mut engine, _) = sealed_with(&key, &database, &sim).await;
    let local = tempfile::tempdir().unwrap();
    engine.set("ENCRYPTION_KEYS", None);
    engine.set("LOCAL_DIR", Some(local.path().to_str().unwrap()));
    let said = refused(&mut engine, "stripe-sync").await;
    assert!(said.contains("1 credential encrypted with k1"), "{said}");
    assert!(said.contains("ENCRYPTION_KEYS"), "{said}");
    assert!(!local.path().join("encryption_keys").exists());

    // Nothing is sealed yet, but a program that runs will seal with a key of its own.
    execute(database.admin(), "DELETE FROM connection_credentials").await;
    execute(
        database.admin(),
        "INSERT INTO program_encryption_keys VALUES (gen_random_uuid(), 'api', '{k1/0011223344556677}', now())",
    )
    .await;
    let said = refused(&mut engine, "stripe-sync").await;
    assert!(
        said.contains("another program runs on this database"),
        "{said}"
    );
    assert!(!local.path().join("encryption_keys").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_cannot_be_decrypted_is_a_problem_of_its_connection_until_it_can() {
    let sim = simulator().await;
    let database = TestDatabase::create().await;
    let admin = database.admin();
    let mut engine = deployment(&database, &sim);
    for program in PROGRAMS {
        engine.start(program);
    }
    let connected = engine.connect(sim.first().key()).await;
    engine.job_completed(&connected["job_id"]).await;
    let id = connected["connection_id"].as_str().unwrap().to_owned();
    let damage = "UPDATE connection_credentials
        SET sealed = set_byte(sealed, octet_length(sealed) - 1, get_byte(sealed, octet_length(sealed) - 1) # 1)";
    execute(admin, damage).await;

    let path = format!("/v1/connectors/stripe/{id}/sync");
    let (_, job) = engine
        .ask(reqwest::Method::POST, &path, Some(json!({})))
        .await;
    let job = engine
        .job_until(&job["job_id"], |job| job["status"] == "failed")
        .await;
    assert_eq!(job["error"]["code"], "credential_unreadable", "{job:#}");
    let connection = engine.get(&format!("/v1/connectors/{id}")).await;
    assert_eq!(connection["status"], "error");
    assert_eq!(connection["problem"]["code"], "credential_unreadable");
    let path = format!("/v1/connectors/stripe/{id}/test");
    let (status, tested) = engine.ask(reqwest::Method::POST, &path, None).await;
    assert_eq!((status, &tested["ok"]), (200, &json!(false)), "{tested}");
    assert_eq!(tested["problem"]["code"], "credential_unreadable");

    // Mended, it goes on by itself once a consumer starts.
    engine.stop("consumer").await;
    execute(admin, damage).await;
    engine.start("consumer");
    until("the problem to go", async || {
        let connection = engine.get(&format!("/v1/connectors/{id}")).await;
        connection["problem"].is_null().then_some(())
    })
    .await;
    another_job_completes(admin).await;
    engine.terminate().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_key_is_discarded_only_by_its_own_command() {
    let sim = simulator().await;
    let database = TestDatabase::create().await;
    let [lost, new] = ["k1", "k2"].map(Keyring::generate);
    let (mut engine, connected) = sealed_with(&lost, &database, &sim).await;
    let id = connected["connection_id"].as_str().unwrap();
    let discard = ["keys", "discard", "k1"];
    let refused = engine.run_refused(&discard);
    assert!(refused.contains("`k1` is not lost"), "{refused}");
    engine.set("ENCRYPTION_KEYS", Some(new.expose_secret()));
    let listed = engine.run(&["keys", "list"]);
    assert!(listed.contains("missing"), "{listed}");
    let discarded = engine.run(&discard);
    assert!(discarded.contains("discarded 1 credential"), "{discarded}");

    engine.start_up();
    let connection = engine.get(&format!("/v1/connectors/{id}")).await;
    assert_eq!(connection["problem"]["code"], "credential_unreadable");
    let path = format!("/v1/connectors/stripe/{id}/test");
    let (status, tested) = engine.ask(reqwest::Method::POST, &path, None).await;
    assert_eq!((status, &tested["ok"]), (200, &json!(false)), "{tested}");
    let path = format!("/v1/connectors/stripe/{id}/key");
    let body = json!({"api_key": sim.first().key()});
    let (status, replaced) = engine.ask(reqwest::Method::PUT, &path, Some(body)).await;
    assert_eq!(status, 200, "{replaced}");
    engine.job_completed(&replaced["job_id"]).await;
    engine.terminate().await;
}

fn first_key(local: &Path) -> String {
    let text = std::fs::read_to_string(local.join("encryption_keys")).unwrap();
    text.split(':').next().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_up_that_made_its_own_key_gets_another_by_the_documented_commands() {
    let sim = simulator().await;
    let database = TestDatabase::create().await;
    let admin = database.admin();
    let local = tempfile::tempdir().unwrap();
    let mut engine = deployment(&database, &sim);
    engine.set("ENCRYPTION_KEYS", None);
    engine.set("LOCAL_DIR", Some(local.path().to_str().unwrap()));
    engine.start_up();
    let connected = engine.connect(sim.first().key()).await;
    engine.job_completed(&connected["job_id"]).await;

    let added = engine.run(&["keys", "add"]);
    assert!(
        added.contains("local2") && added.contains("restart"),
        "{added}"
    );
    assert_eq!(first_key(local.path()), "local2");
    let refused = engine.run_refused(&["keys", "rotate"]);
    assert!(refused.contains("does not know it"), "{refused}");
    another_job_completes(admin).await;

    engine.stop("stripe-sync").await;
    engine.start_up();
    engine.get("/v1/connectors").await;
    let refused = engine.run_refused(&["keys", "remove", "local1"]);
    assert!(
        refused.contains("1 credential is encrypted with"),
        "{refused}"
    );
    engine.run(&["keys", "rotate"]);
    another_job_completes(admin).await;
    engine.run(&["keys", "remove", "local1"]);
    engine.stop("stripe-sync").await;
    engine.start_up();
    another_job_completes(admin).await;
    assert_eq!(key_ids(admin).await, ["local2"]);
    assert_no_job_failed(admin).await;
    engine.terminate().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_api_that_stops_counts_as_running_until_its_last_call_is_answered() {
    let api = ApiOnly::start().await;
    let admin = api.database.admin();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let context = Context::system();
    let state = api.state_before_it_begins().await;
    let served = tokio::spawn(api::serve(listener, state, context.clone()));
    let http = reqwest::Client::builder().build().unwrap();
    until("the API to begin", async || {
        let answer = http.get(format!("http://{address}/readyz")).send().await;
        (answer.ok()?.status() == 200).then_some(())
    })
    .await;
    assert_eq!(count(admin, "program_encryption_keys").await, 1);
    // The server says that it waits for the body, and so that the call has begun.
    let mut call = TcpStream::connect(address).await.unwrap();
    let head = format!(
        "POST /v1/connectors/stripe/connect HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {}\r\n\
         content-type: application/json\r\ncontent-length: 2\r\nexpect: 100-continue\r\n\r\n",
        api.token
    );
    call.write_all(head.as_bytes()).await.unwrap();
    let mut begun = [0; 12];
    call.read_exact(&mut begun).await.unwrap();
    assert_eq!(&begun, b"HTTP/1.1 100");
    context.shutdown.cancel();
    until("the listener to close", async || {
        TcpStream::connect(address).await.is_err().then_some(())
    })
    .await;
    let withdrawn = async {
        while count(admin, "program_encryption_keys").await > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let withdrawn = tokio::time::timeout(Duration::from_secs(1), withdrawn).await;
    assert!(
        withdrawn.is_err(),
        "a call that may store a credential still runs"
    );
    call.write_all(b"{}").await.unwrap();
    let mut answer = String::new();
    call.read_to_string(&mut answer).await.unwrap();
    assert!(answer.contains("HTTP/1.1 422"), "{answer}");
    served.await.unwrap().unwrap();
    assert_eq!(count(admin, "program_encryption_keys").await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_api_that_stops_while_it_begins_does_not_stay_announced() {
    let api = ApiOnly::start().await;
    let admin = api.database.admin();
    // The announcement's commit takes a while, and the API has to stop meanwhile.
    execute(
        admin,
        "CREATE FUNCTION slow() RETURNS TRIGGER LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(1); RETURN NULL; END $$",
    )
    .await;
    execute(
        admin,
        "CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON program_encryption_keys DEFERRABLE INITIALLY DEFERRED
         FOR EACH ROW EXECUTE FUNCTION slow()",
    )
    .await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let context = Context::system();
    let state = api.state_before_it_begins().await;
    let served = tokio::spawn(api::serve(listener, state, context.clone()));
    until("the commit of the announcement to begin", async || {
        let committing = "SELECT count(*) FROM pg_stat_activity
                          WHERE datname = current_database() AND query = 'COMMIT' AND wait_event = 'PgSleep'";
        let committing: i64 = sqlx::query_scalar(committing).fetch_one(admin).await.unwrap();
        (committing == 1).then_some(())
    })
    .await;
    context.shutdown.cancel();
    served.await.unwrap().unwrap();
    assert_eq!(count(admin, "program_encryption_keys").await, 0);
}

/// Asks the API once to connect an account.
async fn connect_once(engine: &Deployment, key: &str) -> (u16, Value) {
    let body = json!({"organization_id": "acme", "api_key": key});
    let url = format!("{}/v1/connectors/stripe/connect", engine.api_url);
    let http = reqwest::Client::builder()
        .timeout(Duration::from_mins(1))
        .build()
        .unwrap();
    let asked = http.post(url).bearer_auth(&engine.token);
    let answer = asked.json(&body).send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_api_that_stood_still_encrypts_nothing_before_its_keys_are_checked_again() {
    let sim = simulator().await;
    let database = TestDatabase::create().await;
    let admin = database.admin();
    let mut engine = deployment(&database, &sim);
    engine.start("api");
    all_run(&engine).await;
    // As after a minute of standing still, and as if its next announcement did not come.
    execute(
        admin,
        "CREATE FUNCTION late() RETURNS TRIGGER LANGUAGE plpgsql
         AS $$ BEGIN NEW.seen_at := now() - INTERVAL '1 minute'; RETURN NEW; END $$",
    )
    .await;
    execute(
        admin,
        "CREATE TRIGGER late BEFORE INSERT OR UPDATE ON program_encryption_keys FOR EACH ROW EXECUTE FUNCTION late()",
    )
    .await;
    execute(
        admin,
        "UPDATE program_encryption_keys SET seen_at = seen_at",
    )
    .await;
    let (status, refused) = connect_once(&engine, sim.first().key()).await;
    assert_eq!(
        (status, &refused["code"]),
        (503, &json!("unavailable")),
        "{refused}"
    );
    assert_eq!(count(admin, "connection_credentials").await, 0);
    execute(admin, "DROP TRIGGER late ON program_encryption_keys").await;
    engine.connect(sim.first().key()).await;
    assert_eq!(count(admin, "connection_credentials").await, 1);
    engine.terminate().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn programs_that_stood_still_while_the_key_was_changed_end_and_name_it() {
    let sim = simulator().await;
    let database = TestDatabase::create().await;
    let admin = database.admin();
    let mut engine = deployment(&database, &sim);
    let programs = ["api", "consumer"];
    for program in programs {
        engine.start(program);
    }
    let connected = engine.connect(sim.first().key()).await;
    engine.job_completed(&connected["job_id"]).await;
    let before = std::fs::read_to_string(engine.log()).unwrap().len();
    execute(admin, "UPDATE connection_credentials SET key_id = 'k2'").await;
    execute(
        admin,
        "UPDATE program_encryption_keys SET seen_at = now() - INTERVAL '1 minute'",
    )
    .await;
    for program in programs {
        let status = engine.ended(program).await;
        assert_eq!(status.code(), Some(1), "{program}");
    }
    let said = std::fs::read_to_string(engine.log()).unwrap()[before..].to_owned();
    let named = said
        .matches("lacks `k2`, which encrypts 1 credential")
        .count();
    assert_eq!(named, 2, "{said}");
}
