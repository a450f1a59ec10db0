//! Events that Stripe never made: what the daily listing of the last days puts right, counts and costs.

use std::time::Duration;

use serde_json::{Value, json};
use stripe_sim::NewCharge;
use tests::world::World;

const DAY: i64 = 86_400;

/// Without a lag nothing is too new to be listed again.
async fn synced(charges: u64) -> World {
    let world = World::with_charges(charges)
        .event_lag(Duration::ZERO)
        .start()
        .await;
    let connected = world.connect().await;
    world.job_completed(&connected["job_id"]).await;
    world
}

/// The next job is the first of its day.
async fn a_day_later(world: &World) {
    sqlx::query("UPDATE stripe_sync_state SET reconciled_on = reconciled_on - 1")
        .execute(world.database.admin())
        .await
        .unwrap();
    // What the present second holds may not be listed yet.
    let second = world.sim.now();
    world
        .eventually("the next second", async || {
            (world.sim.now() > second).then_some(())
        })
        .await;
}

async fn events_missed(world: &World) -> Vec<Value> {
    let id = world.connection_id();
    let mut counts = Vec::new();
    for path in [
        format!("/v1/connectors/{id}"),
        format!("/v1/connectors/{id}/sync-status"),
        "/v1/connectors?limit=1".to_owned(),
    ] {
        let mut body = world.get(&path).await;
        if path.contains('?') {
            body = body["data"][0].take();
        }
        let warnings = body["warnings"].as_array().unwrap().iter();
        let missed = warnings.filter(|warning| warning["code"] == "events_missed");
        counts.push(missed.map(|warning| warning["count"].clone()).collect());
    }
    assert!(
        counts
            .iter()
            .all(|reported: &Vec<Value>| *reported == counts[0])
    );
    counts.swap_remove(0)
}

#[tokio::test]
async fn recheck_repairs_missed_events_daily_and_counts_them() {
    let world = synced(100).await;
    let account = world.account().quietly();
    let charge = |age: i64| {
        let new = NewCharge {
            created: Some(world.sim.now() - age),
            ..NewCharge::of(2_000, "usd")
        };
        account.create_charge(&new).unwrap()
    };
    let (first, second) = (charge(DAY), charge(2 * DAY));
    account.refund(&first, Some(500)).unwrap();
    account.dispute(&second).unwrap();
    world.sync(json!({})).await;
    assert_eq!(events_missed(&world).await, Vec::<Value>::new());
    a_day_later(&world).await;
    let job = world.sync(json!({})).await;
    assert_eq!(job["job_type"], "incremental");
    world.assert_exact().await;
    let missed = events_missed(&world).await;
    assert!(missed[0].as_i64().unwrap() >= 2, "{missed:?}");
    // A day on which nothing was missed takes the warning away.
    a_day_later(&world).await;
    world.sync(json!({})).await;
    assert_eq!(events_missed(&world).await, Vec::<Value>::new());
}

#[tokio::test]
async fn a_silent_refund_of_an_older_charge_is_found_the_same_day() {
    let world = World::with_charges(0)
        .event_lag(Duration::ZERO)
        .start()
        .await;
    let account = world.account().quietly();
    let old = NewCharge {
        created: Some(world.sim.now() - 40 * DAY),
        ..NewCharge::of(9_000, "eur")
    };
    let charge = account.create_charge(&old).unwrap();
    let connected = world.connect().await;
    world.job_completed(&connected["job_id"]).await;
    account.refund(&charge, Some(2_500)).unwrap();
    a_day_later(&world).await;
    world.sync(json!({})).await;
    world.assert_exact().await;
    assert_eq!(events_missed(&world).await, [json!(1)]);
}

#[tokio::test]
async fn the_first_run_of_a_day_costs_five_requests_more_and_the_others_none() {
    let world = synced(20).await;
    a_day_later(&world).await;
    for requests in [6, 1, 1] {
        world.sim.reset_requests();
        let job = world.sync(json!({})).await;
        assert_eq!(job["progress"]["requests"], requests);
        assert_eq!(world.sim.requests().total, requests);
    }
}

#[tokio::test]
async fn a_gap_longer_than_stripe_keeps_events_becomes_a_full_job() {
    let world = synced(100).await;
    world.account().quietly().churn(30, 5);
    sqlx::query("UPDATE stripe_sync_state SET events_cursor = now() - INTERVAL '31 days'")
        .execute(world.database.admin())
        .await
        .unwrap();
    let job = world.sync(json!({"job_type": "incremental"})).await;
    assert_eq!(job["job_type"], "full");
    world.assert_exact().await;
}
