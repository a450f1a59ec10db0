//! Events survive what answered them: an event that was acknowledged is stored exactly once, and the figures are Stripe's,
//! whatever is killed meanwhile.

use reqwest::Method;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use stripe_sim::{Retries, Simulator, WebhookEndpoint, WebhookFault, WebhookFaultRule};
use tests::database::TestDatabase;
use tests::programs::{Deployment, truth_by_day};
use tests::random::size;
use tests::servers::PrivateServer;
use tests::webhooks::DELIVERY_TIMEOUT;
use tests::world::unlimited_account;

/// A minute of Stripe's waits between two attempts, in seconds of the test.
const MINUTE: f64 = 0.05;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_acknowledged_event_is_stored_once_though_programs_and_postgresql_are_killed() {
    let sim = Simulator::builder()
        .account(unlimited_account(500))
        .start()
        .await
        .unwrap();
    let account = sim.first();
    let postgres = PrivateServer::postgres().await;
    let database = TestDatabase::create_in(&postgres.url()).await;
    let url = database.url().expose_secret().to_owned();
    let mut engine = Deployment::prepare(&url, None, &sim.base_url);
    for program in ["api", "scheduler", "consumer"] {
        engine.start(program);
    }
    let connected = engine.connect(account.key()).await;
    engine.job_completed(&connected["job_id"]).await;
    let connection = connected["connection_id"].as_str().unwrap();
    let path = format!("/v1/connectors/stripe/{connection}/webhook");
    let (_, created) = engine.ask(Method::POST, &path, None).await;
    let endpoint = created["endpoint_id"].as_str().unwrap();
    let sender = account
        .add_webhook_endpoint(WebhookEndpoint {
            time_scale: MINUTE / 60.0,
            // For half a minute of the test, as Stripe does for days.
            retries: Some(Retries {
                attempts: 10,
                first_seconds: 60,
                horizon_seconds: 3 * 86_400,
            }),
            ..WebhookEndpoint::at(format!("{}/webhooks/stripe/{endpoint}", engine.api_url))
        })
        .unwrap();
    let secret = json!({"signing_secret": sender.secret()});
    engine.ask(Method::PUT, &path, Some(secret)).await;
    sender.add_fault(WebhookFaultRule::sometimes(WebhookFault::Duplicate, 10.0));
    sender.add_fault(WebhookFaultRule::sometimes(
        WebhookFault::Reorder { seconds: 30 },
        30.0,
    ));

    let rounds = size("WEBHOOK_ROUNDS", 6, 200);
    for round in 0..rounds {
        account.churn(60, round);
        match round % 3 {
            0 => {
                engine.kill("api");
                engine.start("api");
            }
            1 => {
                engine.kill("consumer");
                engine.start("consumer");
            }
            _ => {
                postgres.kill().await;
                postgres.restart().await;
            }
        }
    }
    sender.wait_until_delivered(DELIVERY_TIMEOUT).await.unwrap();
    sender.wait_until_idle(DELIVERY_TIMEOUT).await.unwrap();

    let acknowledged: Vec<String> = sender.acknowledged().into_iter().collect();
    assert!(acknowledged.len() > 100, "{} events", acknowledged.len());
    let stored: Vec<String> =
        sqlx::query_scalar("SELECT external_event_id FROM webhook_events ORDER BY 1")
            .fetch_all(database.admin())
            .await
            .unwrap();
    assert_eq!(stored, acknowledged);
    let none = |events: &Value| events["data"] == json!([]);
    engine
        .until("/v1/webhooks/events?status=pending", none)
        .await;
    let ended = |jobs: &Value| jobs["data"][0]["status"] == "completed";
    engine
        .until(&format!("/v1/connectors/{connection}/jobs?limit=1"), ended)
        .await;
    assert_eq!(engine.days(connection).await, truth_by_day(&sim));
    let dead = engine.get("/v1/webhooks/events?status=dead").await;
    assert!(none(&dead), "{dead:#}");
    engine.terminate().await;
}
