//! The log of a healthy engine, and of one without its broker: what changed, once.

use std::time::Duration;

use serde_json::Value;
use stripe_sim::Simulator;
use tests::database::TestDatabase;
use tests::programs::Deployment;
use tests::servers::shared_amqp_url;
use tests::world::{WAIT_TIMEOUT, unlimited_account};

/// Crates whose lines are for operators.
const OURS: [&str; 6] = ["api", "cli", "common", "consumer", "scheduler", "stripe"];

fn lines(engine: &Deployment) -> Vec<Value> {
    let log = std::fs::read_to_string(engine.log()).unwrap();
    log.lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect()
}

async fn synced_by_up(amqp_url: Option<&str>, wait: Duration) -> Vec<Value> {
    let sim = Simulator::builder()
        .account(unlimited_account(20))
        .start()
        .await
        .unwrap();
    let database = TestDatabase::create().await;
    let url = secrecy::ExposeSecret::expose_secret(&database.url()).to_owned();
    let mut engine = Deployment::prepare(&url, amqp_url, &sim.base_url);
    engine.set("RUST_LOG", Some("info"));
    engine.start_up();
    let began = tokio::time::Instant::now();
    let http = reqwest::Client::builder()
        .timeout(WAIT_TIMEOUT)
        .build()
        .unwrap();
    let url = format!("{}/readyz", engine.api_url);
    let ready = async || matches!(http.get(&url).send().await, Ok(a) if a.status().is_success());
    while !ready().await {
        assert!(began.elapsed() < WAIT_TIMEOUT, "never ready");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let connected = engine.connect(sim.first().key()).await;
    engine.job_completed(&connected["job_id"]).await;
    // The outage has to last for its repetition to show.
    while began.elapsed() < wait {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    engine.terminate().await;
    lines(&engine)
}

fn assert_ours(lines: &[Value]) {
    assert!(!lines.is_empty());
    for line in lines {
        let target = line["target"].as_str().unwrap();
        let name = target.split("::").next().unwrap();
        assert!(OURS.contains(&name), "{line}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_a_sync_and_a_stop_log_nothing_of_libraries_and_warn_of_nothing() {
    let amqp_url = shared_amqp_url();
    for amqp_url in [None, Some(amqp_url.as_str())] {
        let lines = synced_by_up(amqp_url, Duration::ZERO).await;
        assert_ours(&lines);
        let loud: Vec<_> = lines
            .iter()
            .filter(|line| line["level"] != "INFO")
            .collect();
        assert!(loud.is_empty(), "{loud:#?}");
        assert!(lines.len() < 40, "{lines:#?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_outage_is_logged_once_by_each_program() {
    let lines = synced_by_up(Some("amqp://127.0.0.1:1/%2f"), Duration::from_secs(20)).await;
    assert_ours(&lines);
    let about: Vec<&Value> = lines
        .iter()
        .filter(|line| line["level"] != "INFO")
        .collect();
    let rabbit: Vec<&&Value> = about
        .iter()
        .filter(|line| line["message"].to_string().starts_with("\"RabbitMQ"))
        .collect();
    // The three programs of the process have a broker each.
    assert_eq!(rabbit.len(), 3, "{about:#?}");
    assert!(about.len() <= 6, "{about:#?}");
}
