//! Events survive what answered them: an event that was acknowledged is stored exactly once, and the figures are Stripe's,
//! whatever is killed meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use common::clock::{Clock as _, SystemClock};
use futures::{StreamExt as _, stream};
use reqwest::Method;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use stripe_sim::{
    EndpointHandle, Retries, SimHandle, Simulator, WebhookEndpoint, WebhookFault, WebhookFaultRule,
};
use tests::database::TestDatabase;
use tests::programs::{Deployment, truth_by_day};
use tests::random::{Random, size};
use tests::servers::PrivateServer;
use tests::webhooks::DELIVERY_TIMEOUT;
use tests::world::unlimited_account;
use tokio::time::Instant;

/// Requests of the flood that are under way at a time.
const PARALLEL: usize = 32;
/// How often something is killed during the flood.
const KILLS: usize = 6;
/// A minute of Stripe's waits between two attempts, in seconds of the test.
const MINUTE: f64 = 0.05;

/// An engine of programs with a PostgreSQL of its own, and a connected account whose webhooks it receives.
struct Receiving {
    sim: SimHandle,
    postgres: PrivateServer,
    database: TestDatabase,
    engine: Deployment,
    connection: String,
    sender: EndpointHandle,
}

impl Receiving {
    async fn start() -> Self {
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
        let connection = connected["connection_id"].as_str().unwrap().to_owned();
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
        Self {
            sim,
            postgres,
            database,
            engine,
            connection,
            sender,
        }
    }

    /// Kills a program or PostgreSQL, each in turn, and starts it again.
    async fn kill(&mut self, turn: u64) {
        match turn % 3 {
            0 => {
                self.engine.kill("api");
                self.engine.start("api");
            }
            1 => {
                self.engine.kill("consumer");
                self.engine.start("consumer");
            }
            _ => {
                self.postgres.kill().await;
                self.postgres.restart().await;
            }
        }
    }

    /// The ids of all stored events, each as often as it is stored, in the order of their bytes.
    async fn stored(&self) -> Vec<String> {
        sqlx::query_scalar("SELECT external_event_id FROM webhook_events ORDER BY 1")
            .fetch_all(self.database.admin())
            .await
            .unwrap()
    }

    /// Waits until every event is applied, and compares the figures with Stripe's.
    async fn assert_applied_and_exact(&mut self) {
        let engine = &mut self.engine;
        let none_waits = |stats: &Value| stats["queue_depth"] == 0;
        engine.until("/v1/webhooks/stats", none_waits).await;
        let ended = |jobs: &Value| jobs["data"][0]["status"] == "completed";
        let jobs = format!("/v1/connectors/{}/jobs?limit=1", self.connection);
        engine.until(&jobs, ended).await;
        let days = engine.days(&self.connection).await;
        assert_eq!(days, truth_by_day(&self.sim));
        let stats = engine.get("/v1/webhooks/stats").await;
        assert_eq!(stats["dead"], 0, "{stats:#}");
        engine.terminate().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_acknowledged_event_is_stored_once_though_programs_and_postgresql_are_killed() {
    let mut receiving = Receiving::start().await;
    let sender = receiving.sender.clone();
    sender.add_fault(WebhookFaultRule::sometimes(WebhookFault::Duplicate, 10.0));
    sender.add_fault(WebhookFaultRule::sometimes(
        WebhookFault::Reorder { seconds: 30 },
        30.0,
    ));
    for round in 0..size("WEBHOOK_ROUNDS", 6, 200) {
        receiving.sim.first().churn(60, round);
        receiving.kill(round).await;
    }
    sender.wait_until_delivered(DELIVERY_TIMEOUT).await.unwrap();
    sender.wait_until_idle(DELIVERY_TIMEOUT).await.unwrap();
    let acknowledged: Vec<String> = sender.acknowledged().into_iter().collect();
    assert!(acknowledged.len() > 100, "{} events", acknowledged.len());
    assert_eq!(receiving.stored().await, acknowledged);
    receiving.assert_applied_and_exact().await;
}

/// Twenty thousand events, of all charges, one in ten doubled and in any order; a million in the long run.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_flood_of_events_each_is_stored_once_though_programs_and_postgresql_are_killed() {
    let mut receiving = Receiving::start().await;
    let charges: Vec<String> =
        sqlx::query_scalar("SELECT DISTINCT charge_id FROM stripe_revenue_data")
            .fetch_all(receiving.database.admin())
            .await
            .unwrap();
    let events = size("WEBHOOK_EVENTS", 20_000, 1_000_000);
    let mut random = Random::of_variable("WEBHOOK_SEED", 17);
    let mut order: Vec<u64> = (0..events).chain((0..events).step_by(10)).collect();
    for place in (1..order.len()).rev() {
        order.swap(place, random.below(place + 1));
    }
    let requests = order.len();
    let acknowledged = Arc::new(AtomicUsize::new(0));
    let (sender, counter) = (receiving.sender.clone(), Arc::clone(&acknowledged));
    let flood = tokio::spawn(async move {
        let client = reqwest::Client::builder()
            .timeout(DELIVERY_TIMEOUT)
            .build()
            .unwrap();
        let sent = stream::iter(order).for_each_concurrent(PARALLEL, |n| {
            let charge = charges[n as usize % charges.len()].clone();
            let (client, sender, counter) = (client.clone(), sender.clone(), Arc::clone(&counter));
            async move {
                send_until_acknowledged(&client, &sender, n, &charge).await;
                counter.fetch_add(1, Ordering::Relaxed);
            }
        });
        sent.await;
    });
    for turn in 0..KILLS {
        let share = requests * (turn + 1) / (KILLS + 1);
        while acknowledged.load(Ordering::Relaxed) < share {
            assert!(!flood.is_finished(), "the flood broke off");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        receiving.kill(turn as u64).await;
    }
    flood.await.unwrap();
    let mut expected: Vec<String> = (0..events).map(|n| format!("evt_flood_{n}")).collect();
    expected.sort_unstable();
    assert_eq!(receiving.stored().await, expected);
    receiving.assert_applied_and_exact().await;
}

/// Sends an event as Stripe does: again, until it is answered 200.
async fn send_until_acknowledged(
    client: &reqwest::Client,
    sender: &EndpointHandle,
    n: u64,
    charge: &str,
) {
    let now = SystemClock.now().timestamp();
    let event = json!({"id": format!("evt_flood_{n}"), "object": "event", "type": "charge.updated", "created": now,
        "data": {"object": {"object": "charge", "id": charge}}});
    let body = event.to_string();
    let give_up_at = Instant::now() + DELIVERY_TIMEOUT;
    loop {
        let now = SystemClock.now().timestamp();
        let request = client
            .post(sender.url())
            .header("stripe-signature", sender.sign(body.as_bytes(), now))
            .body(body.clone());
        if request
            .send()
            .await
            .is_ok_and(|answer| answer.status() == 200)
        {
            return;
        }
        assert!(Instant::now() < give_up_at, "event {n} is not acknowledged");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
