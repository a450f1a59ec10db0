//! The programs as processes: three with RabbitMQ or one with PostgreSQL alone, they come to the same
//! figures, also when they, the broker or PostgreSQL are killed in the middle.

use serde_json::Value;
use stripe_sim::{SimHandle, Simulator};
use tests::database::TestDatabase;
use tests::programs::{Deployment, truth_by_day};
use tests::random::size;
use tests::servers::{PrivateServer, shared_amqp_url};
use tests::world::unlimited_account;

async fn simulator(charges: u64) -> SimHandle {
    Simulator::builder()
        .account(unlimited_account(charges))
        .start()
        .await
        .unwrap()
}

fn url_of(database: &TestDatabase) -> String {
    secrecy::ExposeSecret::expose_secret(&database.url()).to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_programs_with_rabbitmq_and_one_with_postgresql_alone_give_the_same_exact_figures() {
    let charges = size("PROGRAM_CHARGES", 15_000, 50_000);
    let sim = simulator(charges).await;
    let truth = truth_by_day(&sim);
    let mut found = Vec::new();
    for amqp_url in [Some(shared_amqp_url()), None] {
        let database = TestDatabase::create().await;
        let mut engine =
            Deployment::prepare(&url_of(&database), amqp_url.as_deref(), &sim.base_url);
        if amqp_url.is_some() {
            for program in ["api", "scheduler", "consumer"] {
                engine.start(program);
            }
        } else {
            engine.start_up();
        }
        let connected = engine.connect(sim.first().key()).await;
        let job = engine.job_completed(&connected["job_id"]).await;
        assert_eq!(job["progress"]["charges_seen"], charges);
        found.push(
            engine
                .days(connected["connection_id"].as_str().unwrap())
                .await,
        );
        engine.terminate().await;
    }
    assert_eq!(found[0], found[1]);
    assert_eq!(found[0], truth);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killing_the_consumer_the_broker_and_postgresql_during_a_sync_changes_no_figure() {
    let sim = simulator(size("PROGRAM_CHARGES", 12_000, 20_000)).await;
    // Slow enough for a broker to come back while the sync is under way.
    sim.configure_all(|settings| settings.latency_ms = 150);
    let postgres = PrivateServer::postgres().await;
    let rabbit = PrivateServer::rabbitmq().await;
    let database = TestDatabase::create_in(&postgres.url()).await;
    let mut engine = Deployment::prepare(&url_of(&database), Some(&rabbit.url()), &sim.base_url);
    for program in ["api", "scheduler", "consumer"] {
        engine.start(program);
    }
    let connected = engine.connect(sim.first().key()).await;
    let job_id = &connected["job_id"];
    let beyond = |charges: i64| {
        move |job: &Value| {
            assert_ne!(job["status"], "failed", "{job:#}");
            job["progress"]["charges_seen"].as_i64().unwrap() >= charges
        }
    };
    let ended = |job: &Value| job["status"] == "completed";

    let before = engine.job_until(job_id, beyond(1_000)).await;
    assert!(!ended(&before), "the sync is still under way");
    engine.kill("consumer");
    engine.start("consumer");

    let before = engine.job_until(job_id, beyond(3_000)).await;
    assert!(!ended(&before), "the sync is still under way");
    rabbit.kill().await;
    let without_broker = engine.job_until(job_id, beyond(3_500)).await;
    assert!(!ended(&without_broker), "the sync is still under way");
    rabbit.restart().await;

    let before = engine.job_until(job_id, beyond(4_000)).await;
    assert!(!ended(&before), "the sync is still under way");
    postgres.kill().await;
    postgres.restart().await;

    let job = engine.job_completed(job_id).await;
    assert!(
        job["attempt"].as_i64().unwrap() > 1,
        "it was claimed again: {job:#}"
    );
    let connection_id = connected["connection_id"].as_str().unwrap();
    assert_eq!(engine.days(connection_id).await, truth_by_day(&sim));

    // The broker came back to a queue that works: a further job travels through it.
    sim.configure_all(|settings| settings.latency_ms = 0);
    sim.first().churn(50, 1);
    let path = format!("/v1/connectors/stripe/{connection_id}/sync");
    let (_, answer) = engine
        .ask(reqwest::Method::POST, &path, Some(serde_json::json!({})))
        .await;
    engine.job_completed(&answer["job_id"]).await;
    assert_eq!(engine.days(connection_id).await, truth_by_day(&sim));
    engine.terminate().await;
}

/// What "memory grows until the process is killed" would show: the peak follows the account's size.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_does_not_grow_with_the_account() {
    // Both are large enough for every slot to be in use.
    let small_account = size("PROGRAM_CHARGES", 8_000, 15_000);
    let large_account = 3 * small_account;
    let mut peaks = Vec::new();
    for charges in [small_account, large_account] {
        let sim = simulator(charges).await;
        let database = TestDatabase::create().await;
        let mut engine = Deployment::prepare(&url_of(&database), None, &sim.base_url);
        for program in ["api", "consumer"] {
            engine.start(program);
        }
        let connected = engine.connect(sim.first().key()).await;
        engine.job_completed(&connected["job_id"]).await;
        peaks.push(engine.peak_memory("consumer"));
        engine.terminate().await;
    }
    let [small, large] = peaks[..] else { panic!() };
    eprintln!("{small} KiB for {small_account} charges, {large} KiB for {large_account}");
    assert!(
        large * 10 <= small * 13,
        "{small} KiB for {small_account} charges, {large} KiB for {large_account}"
    );
}
