//! What an operator does, as `docs/operations.md` says it: backing up, restoring into another cluster, and
//! asking whether a program can work.

use std::path::Path;
use std::process::{Command, Output};

use common::db::schema::{self, State};
use common::db::{self, Role};
use secrecy::{ExposeSecret as _, SecretString};
use sqlx::{AssertSqlSafe, PgPool};
use stripe_sim::Simulator;
use tests::database::{TestDatabase, url_of};
use tests::documents::code_blocks;
use tests::programs::{Deployment, Program, binaries, free_port};
use tests::servers::{PrivateServer, postgres_programs};
use tests::world::{WAIT_TIMEOUT, unlimited_account};

use crate::access::catalogue;

const CHARGES: u64 = 200;
const DOCUMENT: &str = "docs/operations.md";

/// Runs shell lines in a folder, with PostgreSQL's programs and ours on the `PATH`.
fn shell(folder: &Path, lines: &str, settings: &[(&str, &str)]) -> Output {
    let path = format!(
        "{}:{}:{}",
        binaries().display(),
        postgres_programs().display(),
        std::env::var("PATH").unwrap()
    );
    Command::new("bash")
        .args(["-euo", "pipefail", "-c", lines])
        .current_dir(folder)
        .env_clear()
        .env("PATH", path)
        .envs(settings.iter().copied())
        .output()
        .unwrap()
}

/// Runs the blocks below a heading of the document, which must work.
fn run_blocks(folder: &Path, heading: &str, settings: &[(&str, &str)]) {
    let blocks: Vec<_> = code_blocks(DOCUMENT)
        .into_iter()
        .filter(|block| block.heading == heading && block.language == "bash")
        .collect();
    assert!(!blocks.is_empty(), "{DOCUMENT} has a block on: {heading}");
    for block in blocks {
        let output = shell(folder, &block.text, settings);
        assert!(output.status.success(), "{}\n{output:?}", block.text);
    }
}

async fn execute(admin: &PgPool, sql: String) {
    sqlx::query(AssertSqlSafe(sql.clone()))
        .execute(admin)
        .await
        .unwrap_or_else(|error| panic!("{sql}: {error}"));
}

/// An engine that has synced an account, stopped again; and its database's URL.
async fn synced(sim: &stripe_sim::SimHandle) -> (Deployment, String, TestDatabase) {
    let database = TestDatabase::create().await;
    let url = database.url().expose_secret().to_owned();
    let mut engine = Deployment::prepare(&url, None, &sim.base_url);
    engine.start_up();
    let connected = engine.connect(sim.first().key()).await;
    engine.job_completed(&connected["job_id"]).await;
    (engine, url, database)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_is_restored_into_a_new_cluster_as_the_document_says() {
    let sim = Simulator::builder()
        .account(unlimited_account(CHARGES))
        .start()
        .await
        .unwrap();
    let (mut engine, url, database) = synced(&sim).await;
    let connection_id = engine.get("/v1/connectors").await["data"][0]["connection_id"].clone();
    let connection_id = connection_id.as_str().unwrap();
    let days = engine.days(connection_id).await;
    engine.terminate().await;
    let folder = tempfile::tempdir().unwrap();
    run_blocks(folder.path(), "Back up", &[("DATABASE_URL", &url)]);

    // Its owner is no superuser, as a hosted PostgreSQL gives one.
    let cluster = PrivateServer::postgres().await;
    let admin = PgPool::connect(&cluster.url()).await.unwrap();
    for statement in [
        "CREATE ROLE owner_of_restored LOGIN CREATEROLE PASSWORD 'restored'",
        "CREATE DATABASE restored OWNER owner_of_restored",
    ] {
        execute(&admin, statement.to_owned()).await;
    }
    let mut restored = url::Url::parse(&url_of(&cluster.url(), "restored")).unwrap();
    let admin = PgPool::connect(restored.as_str()).await.unwrap();
    restored.set_username("owner_of_restored").unwrap();
    restored.set_password(Some("restored")).unwrap();
    let restored = restored.as_str();
    run_blocks(folder.path(), "Restore", &[("RESTORED_URL", restored)]);

    assert_eq!(
        catalogue(&admin).await,
        catalogue(database.admin()).await,
        "the same may do the same"
    );
    engine.set("DATABASE_URL", Some(restored));
    engine.start_up();
    assert_eq!(engine.days(connection_id).await, days);
    let path = format!("/v1/connectors/stripe/{connection_id}/sync");
    let body = Some(serde_json::json!({}));
    let (_, answer) = engine.ask(reqwest::Method::POST, &path, body).await;
    engine.job_completed(&answer["job_id"]).await;
    engine.terminate().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn migrate_repairs_a_backup_restored_without_roles() {
    let database = TestDatabase::create().await;
    let cluster = PrivateServer::postgres().await;
    let admin = PgPool::connect(&cluster.url()).await.unwrap();
    execute(&admin, "CREATE DATABASE restored".to_owned()).await;
    let restored = url_of(&cluster.url(), "restored");
    let folder = tempfile::tempdir().unwrap();
    let lines = "pg_dump --format=custom \"$DATABASE_URL\" | pg_restore --dbname=\"$RESTORED_URL\"";
    let settings = [
        ("DATABASE_URL", database.url().expose_secret().to_owned()),
        ("RESTORED_URL", restored.clone()),
    ];
    let settings = settings
        .each_ref()
        .map(|(name, value)| (*name, value.as_str()));
    let output = shell(folder.path(), lines, &settings);
    let complaints = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(complaints.contains("stripe_sync_scheduler"), "{complaints}");

    let admin = PgPool::connect(&restored).await.unwrap();
    for role in Role::ALL {
        let state = schema::state(&admin, role).await.unwrap();
        let State::AccessMissing(lacking) = &state else {
            panic!("{role:?}: {state:?}")
        };
        let create = format!("CREATE ROLE {} NOLOGIN", role.as_str());
        assert!(lacking.contains(&create), "{lacking:?}");
    }
    // With the roles made by hand, as its complaints suggest, most of it is still missing.
    for role in Role::ALL {
        execute(&admin, format!("CREATE ROLE {} BYPASSRLS", role.as_str())).await;
        let state = schema::state(&admin, role).await.unwrap();
        assert!(
            matches!(state, State::AccessMissing(_)),
            "{role:?}: {state:?}"
        );
    }
    let port = free_port();
    let ops = format!("127.0.0.1:{port}");
    let log = folder.path().join("scheduler.log");
    let settings = [("DATABASE_URL", restored.as_str()), ("OPS_BIND", &ops)];
    let mut scheduler = Program::start("scheduler", &[], &settings, &log);
    let report = readyz(port, 503).await;
    assert_eq!(report["dependencies"]["migrations"], "missing");
    // It answers before it has looked at the database itself.
    let advised = async {
        while !std::fs::read_to_string(&log)
            .unwrap()
            .contains("run `stripe-sync migrate`")
        {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(WAIT_TIMEOUT, advised)
        .await
        .expect("the log says what to run");

    let url = SecretString::from(restored);
    let done = db::migrate(&url).await.unwrap();
    assert!(done.migrations == 0 && !done.repairs.is_empty(), "{done:?}");
    assert_eq!(catalogue(&admin).await, catalogue(database.admin()).await);
    let bypassing: bool = sqlx::query_scalar(
        "SELECT bool_or(rolbypassrls) FROM pg_roles WHERE rolname LIKE 'stripe\\_sync\\_%'",
    )
    .fetch_one(&admin)
    .await
    .unwrap();
    assert!(!bypassing, "no role may step around row-level security");
    let report = readyz(port, 200).await;
    assert_eq!(report["dependencies"]["migrations"], "ok");
    scheduler.terminate().await;
}

/// What `/readyz` says, once it answers with this status.
async fn readyz(port: u16, status: u16) -> serde_json::Value {
    common::lifecycle::prepare_process();
    let http = reqwest::Client::builder().build().unwrap();
    let url = format!("http://127.0.0.1:{port}/readyz");
    let asked = async {
        loop {
            if let Ok(answer) = http.get(&url).send().await {
                let found = answer.status().as_u16();
                let report: serde_json::Value = answer.json().await.unwrap();
                if found == status {
                    return report;
                }
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    let answered = tokio::time::timeout(WAIT_TIMEOUT, asked).await;
    answered.unwrap_or_else(|_| panic!("{url} never answers {status}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_is_ready_only_once_it_does_its_work() {
    let database = TestDatabase::create().await;
    let url = database.url().expose_secret().to_owned();
    let mut engine = Deployment::prepare(&url, None, "http://127.0.0.1:1");
    // What each program needs before it begins, and cannot have for now.
    let mut held = database.admin().begin().await.unwrap();
    sqlx::query("SELECT pg_advisory_xact_lock(hashtext('stripe_sync keys'))")
        .execute(&mut *held)
        .await
        .unwrap();
    let consumer_port = free_port();
    engine.set("OPS_BIND", Some(&format!("127.0.0.1:{consumer_port}")));
    engine.start_as_set("consumer");
    engine.start_as_set("api");
    let api_port = url::Url::parse(&engine.api_url).unwrap().port().unwrap();
    let http = reqwest::Client::builder().build().unwrap();
    let v1 = async || {
        let url = format!("{}/v1/connectors", engine.api_url);
        let sent = http.get(url).bearer_auth(&engine.token).send().await;
        sent.unwrap().status().as_u16()
    };
    for port in [api_port, consumer_port] {
        let report = readyz(port, 503).await;
        // Every dependency is there; it is the program that has not begun.
        let dependencies = &report["dependencies"];
        assert_eq!(dependencies["postgres"], "ok", "{report}");
        assert_eq!(dependencies["migrations"], "ok", "{report}");
    }
    assert_eq!(v1().await, 503);
    held.rollback().await.unwrap();
    readyz(consumer_port, 200).await;
    readyz(api_port, 200).await;
    assert_eq!(v1().await, 200);
    engine.terminate().await;
}
