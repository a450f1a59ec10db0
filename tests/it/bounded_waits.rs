//! How long a person waits for an answer when somebody else does not answer.

use std::time::Duration;

use reqwest::Method;
use serde_json::json;
use stripe_sim::AccountConfig;
use tests::world::{World, unlimited_account};

/// The longest that anybody should wait.
const LONGEST: Duration = Duration::from_secs(15);
/// Milliseconds that an answer takes: longer than a test does.
const NEVER: u64 = 600_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn key_checks_time_out_within_fifteen_seconds() {
    let other = AccountConfig {
        seed: 2,
        key: Some("sk_test_other".to_owned()),
        ..unlimited_account(5)
    };
    let world = World::with_charges(5).account(other).start().await;
    let connected = world.connect().await;
    world.job_completed(&connected["job_id"]).await;
    world
        .sim
        .configure_all(|settings| settings.latency_ms = NEVER);
    let id = world.connection_id();
    let key = world.account().key().to_owned();
    let of_other = json!({"organization_id": "acme", "api_key": "sk_test_other"});
    let asked = [
        (
            Method::POST,
            format!("/v1/connectors/stripe/{id}/test"),
            None,
        ),
        (
            Method::PUT,
            format!("/v1/connectors/stripe/{id}/key"),
            Some(json!({"api_key": key})),
        ),
        (
            Method::POST,
            "/v1/connectors/stripe/connect".to_owned(),
            Some(of_other),
        ),
    ];
    let began = tokio::time::Instant::now();
    let answers = asked
        .iter()
        .map(|(method, path, body)| world.ask(method.clone(), path, body.clone()));
    for answer in futures::future::join_all(answers).await {
        let body = answer.expect(503);
        assert_eq!(body["code"], "stripe_unreachable", "{body:#}");
    }
    assert!(began.elapsed() < LONGEST, "{:?}", began.elapsed());
}

/// Publishing to a broker that is away takes up to a second, to one that does not confirm five.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_does_not_wait_for_a_broker_that_does_not_answer() {
    let world = World::with_charges(5)
        .rabbitmq_at(silent_server().await)
        .start()
        .await;
    let connected = world.connect().await;
    world.job_completed(&connected["job_id"]).await;
    let path = format!("/v1/connectors/stripe/{}/sync", world.connection_id());
    let began = tokio::time::Instant::now();
    world
        .ask(Method::POST, &path, Some(json!({})))
        .await
        .expect(202);
    assert!(
        began.elapsed() < Duration::from_secs(4),
        "{:?}",
        began.elapsed()
    );
}

/// The URL of a server that takes connections and never says a word.
async fn silent_server() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut taken = Vec::new();
        loop {
            taken.push(listener.accept().await.unwrap());
        }
    });
    format!("amqp://{address}/%2f")
}
