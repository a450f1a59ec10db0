//! What the first sync of an account takes, estimated before it, against what it took; and the requests of today, against
//! those that Stripe counted.

use axum::http::Method;
use serde_json::{Value, json};
use tests::world::World;

/// What the key test of the connection estimates.
async fn estimate(world: &World) -> Value {
    let path = format!("/v1/connectors/stripe/{}/test", world.connection_id());
    let mut tested = world.ask(Method::POST, &path, None).await.expect(200);
    assert_eq!(tested["ok"], true, "{tested:#}");
    tested["estimate"].take()
}

async fn charges_synced(world: &World) -> i64 {
    let path = format!("/v1/connectors/{}/sync-status", world.connection_id());
    let status = world.get(&path).await;
    status["state"]["charges_synced"].as_i64().unwrap()
}

#[tokio::test]
async fn an_estimate_of_an_even_account_is_within_a_tenth() {
    for (charges, days) in [(6_000, 60), (20_000, 30), (3_000, 365)] {
        let world = World::with_charges(charges).start().await;
        let connected = world.connect_with(json!({"lookback_days": days})).await;
        let job = world.job_completed(&connected.expect(201)["job_id"]).await;
        let truth = charges_synced(&world).await as f64;
        let estimate = estimate(&world).await;
        let error = estimate["charges"].as_f64().unwrap() / truth - 1.0;
        assert!(error.abs() < 0.1, "{estimate} for {truth} charges");
        assert_eq!(estimate["is_exact"], false, "{estimate}");
        let requests = job["progress"]["requests"].as_f64().unwrap();
        let ratio = estimate["requests"].as_f64().unwrap() / requests;
        assert!((0.5..2.0).contains(&ratio), "{estimate} for {requests}");
    }
}

#[tokio::test]
async fn a_small_account_is_counted() {
    for charges in [3, 90] {
        let world = World::with_charges(charges).start().await;
        let connected = world.connect().await;
        let job = world.job_completed(&connected["job_id"]).await;
        let estimate = estimate(&world).await;
        assert_eq!(estimate["charges"], charges, "{estimate}");
        assert_eq!(estimate["is_exact"], true, "{estimate}");
        let requests = job["progress"]["requests"].as_f64().unwrap();
        let ratio = estimate["requests"].as_f64().unwrap() / requests;
        assert!((0.5..2.0).contains(&ratio), "{estimate} for {requests}");
    }
}

#[tokio::test]
async fn the_requests_of_today_are_those_that_stripe_counted() {
    let mut world = World::builder()
        .account(tests::world::unlimited_account(500))
        .consumers(0)
        .start()
        .await;
    let connected = world.connect().await;
    world.sim.reset_requests();
    world.start_consumer();
    world.job_completed(&connected["job_id"]).await;
    world.sync(json!({})).await;
    let path = format!("/v1/connectors/{}", world.connection_id());
    let connection = world.get(&path).await;
    assert_eq!(connection["requests_today"], world.sim.requests().total);
}
