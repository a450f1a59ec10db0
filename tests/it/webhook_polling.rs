//! Polling in addition to webhooks: rare while they work, and the net that catches what they miss.

use chrono::{DateTime, TimeDelta, Utc};
use common::clock::{Clock as _, SystemClock};
use reqwest::Method;
use serde_json::Value;
use stripe_sim::{EndpointHandle, NewCharge, WebhookFault, WebhookFaultRule};
use tests::webhooks::{DELIVERY_TIMEOUT, all_applied, connected, count, endpoint_path, receive};
use tests::world::World;

async fn next_sync(world: &World) -> TimeDelta {
    let next: DateTime<Utc> = sqlx::query_scalar("SELECT next_sync_at FROM platform_connections")
        .fetch_one(world.database.admin())
        .await
        .unwrap();
    next - SystemClock.now()
}

/// Makes the connection due, and waits until its job is done.
async fn poll(world: &World) {
    sqlx::query("UPDATE platform_connections SET next_sync_at = now()")
        .execute(world.database.admin())
        .await
        .unwrap();
    tick(world).await;
}

/// Has the scheduler make the jobs of what is due, and waits until they are done; how many there were.
async fn tick(world: &World) -> usize {
    let jobs = scheduler::tick(&world.scheduler()).await.unwrap().jobs;
    world
        .eventually("the jobs to end", async || {
            let open: i64 =
                sqlx::query_scalar("SELECT COUNT(*) FROM sync_jobs WHERE finished_at IS NULL")
                    .fetch_one(world.database.admin())
                    .await
                    .unwrap();
            (open == 0).then_some(())
        })
        .await;
    jobs
}

async fn charge(world: &World, sender: &EndpointHandle) {
    world
        .account()
        .create_charge(&NewCharge::of(500, "usd"))
        .unwrap();
    sender.wait_until_idle(DELIVERY_TIMEOUT).await.unwrap();
    all_applied(world).await;
}

async fn status(world: &World) -> Value {
    world.get(&endpoint_path(world)).await["status"].clone()
}

#[tokio::test]
async fn a_connection_whose_webhooks_work_is_polled_every_six_hours() {
    let world = connected(20).await;
    poll(&world).await;
    assert!(next_sync(&world).await <= TimeDelta::minutes(15));
    let sender = receive(&world).await;
    // Nobody has seen them work.
    poll(&world).await;
    assert!(next_sync(&world).await <= TimeDelta::minutes(15));
    charge(&world, &sender).await;
    world.sim.reset_requests();
    poll(&world).await;
    let next = next_sync(&world).await;
    assert!(next > TimeDelta::minutes(340), "{next}");
    assert!(next <= TimeDelta::hours(6), "{next}");
    assert_eq!(status(&world).await, "receiving");
    assert_eq!(tick(&world).await, 0);
    // Without the endpoint it is polled as before.
    world
        .ask(Method::DELETE, &endpoint_path(&world), None)
        .await;
    assert!(next_sync(&world).await <= TimeDelta::minutes(15));
    world.assert_exact().await;
}

#[tokio::test]
async fn what_webhooks_missed_is_found_by_polling_and_counted_until_it_is_delivered() {
    let world = connected(20).await;
    let sender = receive(&world).await;
    charge(&world, &sender).await;
    sender.add_fault(WebhookFaultRule::always(WebhookFault::Drop));
    charge(&world, &sender).await;
    let missed = world.account().create_charge(&NewCharge::of(700, "usd"));
    let missed = missed.unwrap();
    poll(&world).await;
    world.assert_exact().await;
    assert_eq!(status(&world).await, "silent");
    assert!(next_sync(&world).await <= TimeDelta::minutes(15));
    let stats = world.get("/v1/webhooks/stats").await;
    let found = stats["missed"].as_i64().unwrap();
    assert!(found >= 2, "{stats:#}");
    let events = world.get("/v1/webhooks/events?limit=1000").await;
    let events = events["data"].as_array().unwrap();
    let of_charge = events.iter().find(|event| event["object_id"] == missed);
    let event = of_charge.unwrap();
    assert_eq!(event["missed"], true);
    assert_eq!(event["status"], "processed");
    assert_eq!(count(&world, "pending").await, 0);
    // It comes after all: that is its first delivery, and no gap any more.
    let id = event["event_id"].as_str().unwrap();
    let stored = world.get(&format!("/v1/webhooks/events/{id}")).await;
    assert_eq!(sender.send(&stored["payload"]).await.unwrap(), 200);
    let stats = world.get("/v1/webhooks/stats").await;
    assert_eq!(stats["missed"], found - 1);
    sender.clear_faults();
    charge(&world, &sender).await;
    assert_eq!(status(&world).await, "receiving");
    poll(&world).await;
    assert!(next_sync(&world).await > TimeDelta::hours(5));
    world.assert_exact().await;
}

#[tokio::test]
async fn an_endpoint_that_falls_silent_or_whose_signatures_fail_is_polled_at_once() {
    let world = connected(20).await;
    let sender = receive(&world).await;
    charge(&world, &sender).await;
    poll(&world).await;
    assert!(next_sync(&world).await > TimeDelta::hours(5));
    assert_eq!(tick(&world).await, 0);
    let run = async |statement: &'static str| {
        let admin = world.database.admin();
        sqlx::query(statement).execute(admin).await.unwrap();
    };
    let an_hour_passes =
        "UPDATE platform_connections SET next_sync_at = next_sync_at - INTERVAL '1 hour'";
    run(an_hour_passes).await;
    run("UPDATE webhook_events SET received_at = received_at - INTERVAL '2 hours'").await;
    assert_eq!(tick(&world).await, 1);
    // Nothing was missed; while it stays quiet it is polled at its interval, and no more often.
    assert_eq!(status(&world).await, "receiving");
    assert_eq!(tick(&world).await, 0);
    assert!(next_sync(&world).await <= TimeDelta::minutes(15));
    charge(&world, &sender).await;
    poll(&world).await;
    assert!(next_sync(&world).await > TimeDelta::hours(5));
    run(an_hour_passes).await;
    assert_eq!(tick(&world).await, 0);
    run("UPDATE webhook_endpoints SET last_signature_failure_at = now()").await;
    assert_eq!(tick(&world).await, 1);
    assert_eq!(status(&world).await, "failing");
    assert!(next_sync(&world).await <= TimeDelta::minutes(15));
}
