//! The customer's key is nowhere in plain text: not in the database, not in a log, not in an answer.

use reqwest::Method;
use serde_json::json;
use stripe_sim::{AccountConfig, KeyState, Simulator};
use tests::database::TestDatabase;
use tests::programs::Deployment;

const KEY: &str = "rk_test_51UnmistakableSecretOfTheCustomer";
const REPLACEMENT: &str = "rk_test_51AnotherSecretOfTheSameCustomer";

#[tokio::test]
async fn the_stored_key_is_in_no_table_no_log_and_no_answer() {
    let database = TestDatabase::create().await;
    let account = AccountConfig {
        charges: 150,
        ..tests::world::unlimited_account(150)
    };
    let sim = Simulator::builder().account(account).start().await.unwrap();
    let all: Vec<&str> = stripe_sim::PERMISSIONS.to_vec();
    sim.first().set_key(KEY, Some(&all), KeyState::Active);
    sim.first()
        .set_key(REPLACEMENT, Some(&all), KeyState::Active);
    let url = secrecy::ExposeSecret::expose_secret(&database.url()).to_owned();
    let mut engine = Deployment::prepare(&url, None, &sim.base_url);
    engine.start_up();
    let connected = engine.connect(KEY).await;
    engine.job_completed(&connected["job_id"]).await;
    let id = connected["connection_id"].as_str().unwrap().to_owned();
    // Every way in which a key is handled or refused, and may be repeated by mistake.
    let again = json!({"organization_id": "acme", "api_key": KEY});
    engine
        .ask(Method::POST, "/v1/connectors/stripe/connect", Some(again))
        .await;
    let unknown = json!({"organization_id": "acme", "api_key": KEY, "colour": "red"});
    engine
        .ask(Method::POST, "/v1/connectors/stripe/connect", Some(unknown))
        .await;
    engine
        .ask(
            Method::POST,
            &format!("/v1/connectors/stripe/{id}/test"),
            None,
        )
        .await;
    let key_path = format!("/v1/connectors/stripe/{id}/key");
    let (status, replaced) = engine
        .ask(
            Method::PUT,
            &key_path,
            Some(json!({"api_key": REPLACEMENT})),
        )
        .await;
    assert_eq!(status, 200, "{replaced:#}");
    engine.job_completed(&replaced["job_id"]).await;
    sim.first().set_key(REPLACEMENT, None, KeyState::Revoked);
    let sync = format!("/v1/connectors/stripe/{id}/sync");
    let (_, refused) = engine.ask(Method::POST, &sync, Some(json!({}))).await;
    engine
        .job_until(&refused["job_id"], |job| job["status"] == "failed")
        .await;
    for path in [
        "/v1/connectors",
        &format!("/v1/connectors/{id}/sync-status"),
        &format!("/v1/connectors/{id}/jobs"),
        "/metrics",
        "/openapi.json",
    ] {
        engine.ask(Method::GET, path, None).await;
    }
    engine.terminate().await;

    let log = std::fs::read_to_string(engine.log()).unwrap();
    assert!(
        log.contains("job completed"),
        "the log was searched where there is one"
    );
    let stored = dump(&database).await;
    assert!(
        stored.contains("connection_credentials"),
        "the dump holds the tables"
    );
    let answers = engine.answers.borrow();
    for key in [KEY, REPLACEMENT] {
        let hex = hex_of(key);
        for (place, text) in [("log", &log), ("database", &stored), ("answers", &*answers)] {
            assert!(!text.contains(key), "a key stands in the {place}");
            assert!(!text.contains(&hex), "a key stands in the {place} as bytes");
            // Not even a part of it that Stripe does not show itself.
            assert!(
                !text.contains(&key[8..24]),
                "a part of a key stands in the {place}"
            );
        }
    }
}

fn hex_of(text: &str) -> String {
    hex::encode(text)
}

/// Every row of every table as text; `bytea` shows as hexadecimal digits.
async fn dump(database: &TestDatabase) -> String {
    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables
         WHERE schemaname NOT IN ('pg_catalog', 'information_schema')",
    )
    .fetch_all(database.admin())
    .await
    .unwrap();
    let mut dump = String::new();
    for table in tables {
        let rows: Vec<String> = sqlx::query_scalar(sqlx::AssertSqlSafe(format!(
            "SELECT t::TEXT FROM {table} AS t"
        )))
        .fetch_all(database.admin())
        .await
        .unwrap();
        dump.extend([table, "\n".to_owned(), rows.join("\n"), "\n".to_owned()]);
    }
    dump
}
