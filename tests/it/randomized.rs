//! Crashes, changes, rules, time zones and cancelled jobs in whatever order: in the end every figure is
//! exact.

use std::time::Duration;

use reqwest::Method;
use serde_json::json;
use tests::random::{Random, size};
use tests::world::World;

const ACTS: u64 = 25;

#[tokio::test]
async fn randomized_operations_end_with_exact_figures() {
    for seed in 0..size("RANDOMIZED_SEEDS", 1, 6) {
        let mut world = World::with_charges(900)
            .lease(Duration::from_secs(2))
            .consumers(2)
            .start()
            .await;
        world.account().configure(|s| {
            s.latency_ms = 5;
            s.event_duplicate_percent = 20.0;
            s.event_disorder_seconds = 5;
            s.event_lag_seconds = 10;
            s.visibility_lag_seconds = 8;
            s.fault_500_percent = 2.0;
            s.fault_reset_percent = 2.0;
        });
        world.connect().await;
        let mut draws = Random::of(seed);
        for round in 0..ACTS {
            let number = draws.draw();
            let status = act(&mut world, number, seed * 100 + round).await;
            assert!(
                status < 500,
                "seed {seed} round {round}: {} gave {status}",
                number % 8
            );
            // Not for anything to happen, but to meet the engine at another moment.
            tokio::time::sleep(Duration::from_millis(50 + number % 200)).await;
        }
        settle(&world).await;
        println!("seed {seed}");
        world.assert_exact().await;
    }
}

/// One of the things that people, the schedule and bad luck do; the API's status.
async fn act(world: &mut World, draw: u64, churn_seed: u64) -> u16 {
    let id = world.connection_id();
    let sync = format!("/v1/connectors/stripe/{id}/sync");
    match draw % 8 {
        0 | 1 => {
            world.account().churn(15, churn_seed);
            200
        }
        2 => world
            .ask(Method::POST, &sync, Some(json!({})))
            .await
            .status
            .as_u16(),
        3 => world
            .ask(Method::POST, &sync, Some(json!({"job_type": "full"})))
            .await
            .status
            .as_u16(),
        4 => {
            world.crash_consumers();
            world.start_consumer();
            world.start_consumer();
            200
        }
        5 => {
            let zone = [
                "UTC",
                "America/New_York",
                "Asia/Tokyo",
                "Pacific/Kiritimati",
            ][(draw >> 8) as usize % 4];
            let path = format!("/v1/connectors/{id}");
            world
                .ask(Method::PATCH, &path, Some(json!({"timezone": zone})))
                .await
                .status
                .as_u16()
        }
        6 => {
            let rule = json!({"name": "r", "action": "exclude", "conditions": [
                {"type": "metadata", "metadata_source": "customer", "metadata_key": "plan", "operator": "equals", "value": "pro"}]});
            let path = format!("/v1/connectors/{id}/filters");
            world
                .ask(Method::POST, &path, Some(rule))
                .await
                .status
                .as_u16()
        }
        _ => {
            let jobs = world.get(&format!("/v1/connectors/{id}/jobs")).await;
            let job = jobs["data"][0]["job_id"].as_str().unwrap().to_owned();
            let path = format!("/v1/sync-jobs/{job}/cancel");
            world.ask(Method::POST, &path, None).await.status.as_u16()
        }
    }
}

/// Takes the faults and the rules away, and waits for all that was begun.
async fn settle(world: &World) {
    let id = world.connection_id();
    world.account().configure(|s| {
        s.fault_500_percent = 0.0;
        s.fault_reset_percent = 0.0;
    });
    let rules = world
        .get(&format!("/v1/connectors/{id}/filters?limit=1000"))
        .await;
    for rule in rules["data"].as_array().unwrap() {
        let path = format!(
            "/v1/connectors/{id}/filters/{}",
            rule["filter_id"].as_str().unwrap()
        );
        world.ask(Method::DELETE, &path, None).await.expect(200);
    }
    world.sim.advance(40);
    world
        .eventually("quiet", async || {
            let live: i64 = sqlx::query_scalar(
                "SELECT COUNT(*) FROM sync_jobs WHERE status IN ('pending', 'running')",
            )
            .fetch_one(world.database.admin())
            .await
            .unwrap();
            (live == 0).then_some(())
        })
        .await;
    // A cancelled redate is nobody's fault: ask for it again.
    let path = format!("/v1/connectors/{id}");
    for zone in ["Asia/Kolkata", "UTC"] {
        let patched = world
            .ask(Method::PATCH, &path, Some(json!({"timezone": zone})))
            .await
            .expect(200);
        if !patched["job_id"].is_null() {
            world.job_completed(&patched["job_id"]).await;
        }
    }
    world.sync(json!({})).await;
}
