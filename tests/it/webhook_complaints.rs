//! What people complain of in other receivers of Stripe's webhooks, each complaint a test that it does not happen here.
//!
//! Others are with what they are about: a handler that fails once (`webhook_attempts`), dead letters, wrong signatures and
//! every order of a checkout's events (`webhooks`, `webhook_order`), and an empty secret, with the signature's own tests.

use futures::future::join_all;
use serde_json::{Value, json};
use stripe_sim::{EndpointHandle, NewCharge, WebhookFault, WebhookFaultRule};
use tests::webhooks::{DELIVERY_TIMEOUT, all_applied, connected, count, receive};
use tests::world::World;

/// Where no broker listens.
const NO_BROKER: &str = "amqp://127.0.0.1:1";

fn of(event_type: &str, fault: WebhookFault) -> WebhookFaultRule {
    WebhookFaultRule {
        events: Some(event_type.to_owned()),
        ..WebhookFaultRule::once(fault)
    }
}

async fn assert_delivered_and_exact(world: &World, sender: &EndpointHandle) {
    sender.wait_until_delivered(DELIVERY_TIMEOUT).await.unwrap();
    all_applied(world).await;
    assert_eq!(count(world, "dead").await, 0);
    world.assert_exact().await;
}

fn event(id: &str, event_type: &str, object: &Value) -> Value {
    json!({"id": id, "object": "event", "type": event_type, "created": 1_790_000_000, "data": {"object": object}})
}

#[tokio::test]
async fn updated_before_created_leaves_nothing_incomplete() {
    let world = connected(10).await;
    let sender = receive(&world).await;
    sender.add_fault(of("charge.succeeded", WebhookFault::Delay { seconds: 600 }));
    let account = world.account();
    let charge = account.create_charge(&NewCharge::of(900, "usd")).unwrap();
    let metadata = [("tier".to_owned(), Some("late".to_owned()))].into();
    account.set_charge_metadata(&charge, &metadata).unwrap();
    assert_delivered_and_exact(&world, &sender).await;
}

#[tokio::test]
async fn a_refund_that_comes_before_its_charge_is_not_refused() {
    let world = connected(10).await;
    let sender = receive(&world).await;
    sender.add_fault(of("charge.succeeded", WebhookFault::Delay { seconds: 600 }));
    let account = world.account();
    let charge = account.create_charge(&NewCharge::of(900, "usd")).unwrap();
    account.refund(&charge, Some(300)).unwrap();
    assert_delivered_and_exact(&world, &sender).await;
}

#[tokio::test]
async fn the_second_of_two_events_of_one_second_is_not_dropped() {
    let world = connected(10).await;
    let sender = receive(&world).await;
    let charge = json!({"object": "charge", "id": "ch_of_nobody"});
    for id in ["evt_first", "evt_second"] {
        let sent = sender.send(&event(id, "charge.updated", &charge)).await;
        assert_eq!(sent.unwrap(), 200);
    }
    all_applied(&world).await;
    assert_eq!(count(&world, "processed").await, 2);
    let account = world.account();
    let charge = account.create_charge(&NewCharge::of(900, "usd")).unwrap();
    account.refund(&charge, Some(300)).unwrap();
    account.refund(&charge, Some(200)).unwrap();
    assert_delivered_and_exact(&world, &sender).await;
}

#[tokio::test]
async fn an_acknowledged_event_is_not_lost_because_the_queue_is_down() {
    let world = World::with_charges(10).rabbitmq_at(NO_BROKER.to_owned());
    let world = world.start().await;
    let connected = world.connect().await;
    world.job_completed(&connected["job_id"]).await;
    let sender = receive(&world).await;
    let account = world.account();
    let charge = account.create_charge(&NewCharge::of(900, "usd")).unwrap();
    account.refund(&charge, Some(300)).unwrap();
    assert_delivered_and_exact(&world, &sender).await;
}

#[tokio::test]
async fn a_slow_handler_does_not_look_like_a_failure_to_stripe() {
    let mut world = connected(10).await;
    let sender = receive(&world).await;
    world.stop_consumers().await;
    let account = world.account();
    let charge = account.create_charge(&NewCharge::of(900, "usd")).unwrap();
    account.refund(&charge, Some(300)).unwrap();
    sender.wait_until_delivered(DELIVERY_TIMEOUT).await.unwrap();
    assert!(sender.deliveries().iter().all(|it| it.attempts == 1));
    world.start_consumer();
    assert_delivered_and_exact(&world, &sender).await;
}

#[tokio::test]
async fn an_unknown_type_is_not_answered_400() {
    let world = connected(5).await;
    let sender = receive(&world).await;
    let unknown = event(
        "evt_1",
        "something.invented",
        &json!({"object": "something", "id": "st_1"}),
    );
    assert_eq!(sender.send(&unknown).await.unwrap(), 200);
    assert_eq!(count(&world, "ignored").await, 1);
}

#[tokio::test]
async fn a_payload_of_an_old_version_gives_no_null_date() {
    let world = connected(5).await;
    let sender = receive(&world).await;
    let charge: String = sqlx::query_scalar("SELECT charge_id FROM stripe_revenue_data LIMIT 1")
        .fetch_one(world.database.admin())
        .await
        .unwrap();
    // Times had other names in those days; ours are read from Stripe by the id.
    let mut old = event(
        "evt_1",
        "charge.updated",
        &json!({"object": "charge", "id": charge, "date": 1}),
    );
    old["api_version"] = json!("2011-06-21");
    assert_eq!(sender.send(&old).await.unwrap(), 200);
    assert_delivered_and_exact(&world, &sender).await;
    let without: i64 =
        sqlx::query_scalar("SELECT COUNT(*) FROM webhook_events WHERE created_at IS NULL")
            .fetch_one(world.database.admin())
            .await
            .unwrap();
    assert_eq!((without, count(&world, "processed").await), (0, 1));
}

#[tokio::test]
async fn the_test_event_of_stripes_dashboard_with_its_fixed_id_is_not_refused() {
    let world = connected(5).await;
    let sender = receive(&world).await;
    let charge = json!({"object": "charge", "id": "ch_00000000000000"});
    let test = event("evt_00000000000000", "charge.succeeded", &charge);
    for _ in 0..2 {
        assert_eq!(sender.send(&test).await.unwrap(), 200);
    }
    assert_delivered_and_exact(&world, &sender).await;
}

#[tokio::test]
async fn a_rate_limit_does_not_block_stripe() {
    let world = connected(5).await;
    let sender = receive(&world).await;
    let charge = json!({"object": "charge", "id": "ch_of_nobody"});
    let events: Vec<Value> = (0..300)
        .map(|n| event(&format!("evt_{n}"), "charge.updated", &charge))
        .collect();
    let answers = join_all(events.iter().map(|event| sender.send(event))).await;
    assert!(answers.into_iter().all(|answer| answer.unwrap() == 200));
}
