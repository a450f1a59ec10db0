//! A RabbitMQ that is half alive, or away: work goes on, and the consumer says how it comes by it.

use std::time::Duration;

use reqwest::Client;
use serde_json::{Value, json};
use stripe_sim::{SimHandle, Simulator};
use tests::database::TestDatabase;
use tests::partial_broker::PartialBroker;
use tests::programs::{Deployment, free_port};
use tests::servers::shared_amqp_url;
use tests::world::{WAIT_TIMEOUT, World, unlimited_account};

const DEAD: &str = "amqp://127.0.0.1:1/%2f";

/// Asks `/readyz` of an address until the status is as wanted; its HTTP status and the report.
async fn ready(http: &Client, ops: &str, wanted: &str) -> (u16, Value) {
    let mut last = Value::Null;
    let asked = async {
        loop {
            if let Ok(answer) = http.get(format!("http://{ops}/readyz")).send().await {
                let status = answer.status().as_u16();
                last = answer.json().await.unwrap();
                if last["status"] == wanted {
                    return (status, last.clone());
                }
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(WAIT_TIMEOUT, asked)
        .await
        .unwrap_or_else(|_| panic!("never {wanted}"))
}

async fn metric(http: &Client, ops: &str, line: &str) -> bool {
    let text = http
        .get(format!("http://{ops}/metrics"))
        .send()
        .await
        .unwrap();
    text.text().await.unwrap().lines().any(|l| l == line)
}

/// An account of so many charges, a broker that is half alive, and what is to run between them.
async fn prepare(charges: u64) -> (SimHandle, PartialBroker, TestDatabase, Deployment) {
    let sim = Simulator::builder()
        .account(unlimited_account(charges))
        .start()
        .await
        .unwrap();
    let broker = PartialBroker::before(&shared_amqp_url()).await;
    let database = TestDatabase::create().await;
    let url = secrecy::ExposeSecret::expose_secret(&database.url()).to_owned();
    let engine = Deployment::prepare(&url, Some(broker.url()), &sim.base_url);
    (sim, broker, database, engine)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_are_done_while_rabbitmq_never_answers_a_consumer_and_readyz_says_so() {
    let (sim, broker, _database, mut engine) = prepare(50).await;
    engine.start("api");
    engine.start("scheduler");
    let ops = format!("127.0.0.1:{}", free_port());
    engine.start_at("consumer", &ops);
    let http = Client::builder().timeout(WAIT_TIMEOUT).build().unwrap();

    let (status, report) = ready(&http, &ops, "degraded").await;
    assert_eq!(status, 200, "it works");
    assert_eq!(report["dependencies"]["rabbitmq"], "down");
    let connected = engine.connect(sim.first().key()).await;
    engine.job_completed(&connected["job_id"]).await;
    assert!(broker.unanswered() > 0);
    let (_, report) = ready(&http, &ops, "degraded").await;
    assert_eq!(report["dependencies"]["rabbitmq"], "down");
    assert!(
        metric(
            &http,
            &ops,
            "stripe_sync_rabbitmq_up{direction=\"publish\"} 1"
        )
        .await
    );
    assert!(metric(&http, &ops, "stripe_sync_consumer_polling 1").await);

    broker.recover();
    let (_, report) = ready(&http, &ops, "ok").await;
    assert_eq!(report["dependencies"]["rabbitmq"], "ok");
    assert!(
        metric(
            &http,
            &ops,
            "stripe_sync_rabbitmq_up{direction=\"deliver\"} 1"
        )
        .await
    );
    engine.terminate().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readyz_of_the_whole_engine_in_one_process_speaks_for_its_consumer() {
    let (sim, broker, _database, mut engine) = prepare(5).await;
    engine.start_up();
    let http = Client::builder().timeout(WAIT_TIMEOUT).build().unwrap();
    let address = engine.api_url.strip_prefix("http://").unwrap().to_owned();
    let connected = engine.connect(sim.first().key()).await;
    engine.job_completed(&connected["job_id"]).await;
    let (status, report) = ready(&http, &address, "degraded").await;
    assert_eq!(
        (status, &report["dependencies"]["rabbitmq"]),
        (200, &json!("down"))
    );
    broker.recover();
    ready(&http, &address, "ok").await;
    engine.terminate().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_works_while_rabbitmq_is_away() {
    let world = World::with_charges(50)
        .rabbitmq_at(DEAD.to_owned())
        .start()
        .await;
    let connected = world.connect().await;
    world.job_completed(&connected["job_id"]).await;
    world.sync(json!({})).await;
    world.assert_exact().await;
}

/// The broker delivers to another installation's consumer, say, or publishers are blocked: nobody wakes this one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_without_wake_ups_polls_the_database() {
    let world = World::with_charges(50)
        .rabbitmq()
        .quiet(Duration::from_secs(2))
        .start()
        .await;
    let connected = world.connect().await;
    world.job_completed(&connected["job_id"]).await;
    // A job that was never dispatched.
    let job_id: uuid::Uuid = sqlx::query_scalar(
        "INSERT INTO sync_jobs (organization_id, job_id, connection_id, external_account_id, job_type, lane,
                                exclusive_on_account, trigger, status, created_at)
         SELECT organization_id, gen_random_uuid(), connection_id, external_account_id, 'incremental', 'interactive',
                TRUE, 'schedule', 'pending', NOW() FROM platform_connections RETURNING job_id",
    )
    .fetch_one(world.database.admin())
    .await
    .unwrap();
    world.job_completed(&json!(job_id)).await;
}
