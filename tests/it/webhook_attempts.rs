//! Events that cannot be applied: tried again by themselves, given up, seen and replayed.

use reqwest::Method;
use serde_json::{Value, json};
use stripe_sim::{EndpointHandle, Fault, FaultRule, NewCharge};
use tests::webhooks::{DELIVERY_TIMEOUT, all_applied, connected, count, receive};
use tests::world::World;

/// Has PostgreSQL refuse that the event `evt_bad` is marked as processed, as a stand-in for whatever keeps failing.
async fn refuse_the_bad_event(world: &World) {
    let refusal = "
        CREATE FUNCTION refuse() RETURNS TRIGGER LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'refused'; END $$;
        CREATE TRIGGER refuse BEFORE UPDATE ON webhook_events FOR EACH ROW
        WHEN (NEW.status = 'processed' AND NEW.external_event_id = 'evt_bad') EXECUTE FUNCTION refuse()";
    sqlx::raw_sql(refusal)
        .execute(world.database.admin())
        .await
        .unwrap();
}

async fn accept_the_bad_event(world: &World) {
    sqlx::raw_sql("DROP TRIGGER refuse ON webhook_events")
        .execute(world.database.admin())
        .await
        .unwrap();
}

/// Sends the event that is refused, and waits for its first attempt.
async fn send_the_bad_event(world: &World, sender: &EndpointHandle) {
    assert_eq!(sender.send(&json!({"id": "evt_bad"})).await.unwrap(), 200);
    world
        .eventually("the first attempt", async || {
            let failed = world.get("/v1/webhooks/events?status=failed").await;
            (!failed["data"].as_array().unwrap().is_empty()).then_some(())
        })
        .await;
}

/// The bad event with its history.
async fn bad_event(world: &World) -> Value {
    let events = world.get("/v1/webhooks/events?limit=1000").await;
    let events = events["data"].as_array().unwrap();
    let bad = events
        .iter()
        .find(|event| event["stripe_event_id"] == "evt_bad");
    let id = bad.unwrap()["event_id"].as_str().unwrap();
    world.get(&format!("/v1/webhooks/events/{id}")).await
}

/// Waits until the bad event is in a state; the scheduler makes the jobs of its attempts.
async fn bad_event_is(world: &World, status: &str) -> Value {
    let scheduler = world.scheduler();
    world
        .eventually(&format!("the event to be {status}"), async || {
            scheduler::dispatch(&scheduler).await.unwrap();
            let bad = bad_event(world).await;
            (bad["status"] == status).then_some(bad)
        })
        .await
}

#[tokio::test]
async fn a_dead_event_delays_no_other_objects_events() {
    let world = connected(30).await;
    let sender = receive(&world).await;
    refuse_the_bad_event(&world).await;
    send_the_bad_event(&world, &sender).await;
    let waiting = bad_event(&world).await;
    assert_eq!(waiting["attempts"], 1);
    assert!(waiting["next_attempt_at"].is_string(), "{waiting:#}");
    // While it waits for its next attempt, others are applied: in one batch with it, and alone.
    let charge = world
        .account()
        .create_charge(&NewCharge::of(500, "usd"))
        .unwrap();
    sender.wait_until_delivered(DELIVERY_TIMEOUT).await.unwrap();
    world
        .eventually("the others to be applied", async || {
            let left =
                "SELECT COUNT(*) FROM webhook_events WHERE status = 'pending' AND attempts = 0";
            let left: i64 = sqlx::query_scalar(left)
                .fetch_one(world.database.admin())
                .await
                .unwrap();
            (left == 0).then_some(())
        })
        .await;
    assert!(bad_event(&world).await["attempts"].as_i64().unwrap() < 5);
    let of_charge = "/v1/webhooks/events?type=charge.succeeded";
    let applied = world.get(of_charge).await;
    let id = applied["data"][0]["event_id"].as_str().unwrap().to_owned();
    let applied = world.get(&format!("/v1/webhooks/events/{id}")).await;
    assert_eq!(
        applied["changes"],
        json!([{"object": "charge", "id": charge}])
    );
    let dead = bad_event_is(&world, "dead").await;
    assert_eq!(dead["attempts"], 5);
    assert_eq!(dead["error"]["code"], "internal");
    let history = dead["history"].as_array().unwrap();
    assert_eq!(history.len(), 5);
    for attempt in history {
        assert_eq!(attempt["outcome"], "failed");
        assert_eq!(attempt["error"]["code"], "internal");
        assert!(attempt["started_at"].as_str() <= attempt["finished_at"].as_str());
    }
    all_applied(&world).await;
    assert_eq!(count(&world, "dead").await, 1);
    world.assert_exact().await;
    // Seen and replayed, once its reason is gone.
    accept_the_bad_event(&world).await;
    let dead = world.get("/v1/webhooks/events?status=dead").await;
    assert_eq!(dead["data"][0]["stripe_event_id"], "evt_bad");
    let answer = world
        .ask(Method::POST, "/v1/webhooks/replay", Some(json!({})))
        .await;
    assert_eq!(answer.expect(202)["count"], 1);
    let processed = bad_event_is(&world, "processed").await;
    assert_eq!(processed["attempts"], 1);
    assert_eq!(processed["history"].as_array().unwrap().len(), 6);
    assert_eq!(processed["error"], Value::Null);
}

#[tokio::test]
async fn a_charge_that_stripe_answers_with_500_delays_no_other_charges_events() {
    let world = connected(400).await;
    let sender = receive(&world).await;
    let account = world.account();
    // An old one, which no page of a list shows together with the new one: each is read by its id.
    let blocked: String = sqlx::query_scalar(
        "SELECT charge_id FROM stripe_revenue_data
         WHERE counted AND refunded = 0 AND amount > 100 ORDER BY created_at LIMIT 1",
    )
    .fetch_one(world.database.admin())
    .await
    .unwrap();
    account.add_fault(FaultRule {
        endpoint: Some(format!("/v1/charges/{blocked}")),
        fault: Fault::Status(500),
        after: 0,
        times: u32::MAX,
        retry_after: None,
    });
    account.refund(&blocked, Some(100)).unwrap();
    let charge = account.create_charge(&NewCharge::of(700, "usd")).unwrap();
    sender.wait_until_delivered(DELIVERY_TIMEOUT).await.unwrap();
    let scheduler = world.scheduler();
    let event_of = async |path: &str, object: &str| {
        let events = world.get(path).await;
        let events = events["data"].as_array().unwrap().clone();
        let mut of_object = Vec::new();
        for event in events {
            let id = event["event_id"].as_str().unwrap();
            let event = world.get(&format!("/v1/webhooks/events/{id}")).await;
            let about = event["payload"]["data"]["object"].clone();
            if about["id"] == object || about["charge"] == object {
                of_object.push(event);
            }
        }
        of_object
    };
    // Applied although the others fail for ever.
    world
        .eventually("the other charge to be applied", async || {
            scheduler::dispatch(&scheduler).await.unwrap();
            let applied = event_of("/v1/webhooks/events?status=processed&limit=1000", &charge);
            (!applied.await.is_empty()).then_some(())
        })
        .await;
    let waiting = world
        .eventually("the refund to wait for Stripe", async || {
            scheduler::dispatch(&scheduler).await.unwrap();
            let waiting = event_of("/v1/webhooks/events?status=failed&limit=1000", &blocked);
            waiting.await.into_iter().next()
        })
        .await;
    assert_eq!(waiting["error"]["code"], "stripe_unavailable");
    assert_eq!(waiting["attempts"], 0);
    assert_eq!(waiting["history"], json!([]));
    account.clear_faults();
    world
        .eventually("Stripe to hand it out", async || {
            scheduler::dispatch(&scheduler).await.unwrap();
            let failed = world.get("/v1/webhooks/events?status=failed").await;
            failed["data"].as_array().unwrap().is_empty().then_some(())
        })
        .await;
    all_applied(&world).await;
    assert_eq!(count(&world, "dead").await, 0);
    world.assert_exact().await;
}

#[tokio::test]
async fn a_handler_that_fails_once_is_tried_again_although_the_event_was_seen() {
    let world = connected(10).await;
    let sender = receive(&world).await;
    refuse_the_bad_event(&world).await;
    send_the_bad_event(&world, &sender).await;
    accept_the_bad_event(&world).await;
    let processed = bad_event_is(&world, "processed").await;
    let outcomes: Vec<&Value> = processed["history"]
        .as_array()
        .unwrap()
        .iter()
        .map(|attempt| &attempt["outcome"])
        .collect();
    assert_eq!(outcomes, ["failed", "processed"]);
    assert_eq!(processed["next_attempt_at"], Value::Null);
    assert_eq!(processed["attempts"], 2);
}

#[tokio::test]
async fn a_failed_event_can_be_replayed_before_its_next_attempt() {
    let world = connected(10).await;
    let sender = receive(&world).await;
    refuse_the_bad_event(&world).await;
    send_the_bad_event(&world, &sender).await;
    accept_the_bad_event(&world).await;
    let later = "UPDATE webhook_events SET next_attempt_at = now() + INTERVAL '1 hour'";
    sqlx::query(later)
        .execute(world.database.admin())
        .await
        .unwrap();
    let replay = json!({"status": "failed"});
    let answer = world
        .ask(Method::POST, "/v1/webhooks/replay", Some(replay))
        .await;
    assert_eq!(answer.expect(202)["count"], 1);
    bad_event_is(&world, "processed").await;
}

#[tokio::test]
async fn statistics_count_what_came_and_what_became_of_it() {
    let world = connected(30).await;
    let sender = receive(&world).await;
    refuse_the_bad_event(&world).await;
    send_the_bad_event(&world, &sender).await;
    let account = world.account();
    for _ in 0..5 {
        account.create_charge(&NewCharge::of(500, "usd")).unwrap();
    }
    sender.wait_until_idle(DELIVERY_TIMEOUT).await.unwrap();
    for expected in [false, true, true] {
        let answer = sender
            .send(&json!({"id": "evt_other", "type": "payout.paid"}))
            .await;
        assert_eq!(answer.unwrap(), 200, "{expected}");
    }
    let unsigned = [("stripe-signature", None)];
    assert_eq!(sender.send_raw("{}", &unsigned).await.unwrap(), 400);
    world
        .eventually("the charges to be applied", async || {
            let pending = world.get("/v1/webhooks/events?status=pending").await;
            let processing = world.get("/v1/webhooks/events?status=processing").await;
            let none = |events: &Value| events["data"].as_array().unwrap().is_empty();
            (none(&pending) && none(&processing)).then_some(())
        })
        .await;
    let delivered = sender.deliveries().len() as i64;
    let stats = world
        .eventually("the measurements to be stored", async || {
            let stats = world.get("/v1/webhooks/stats").await;
            (stats["signature_failures"] == 1 && stats["duplicates"] == 2).then_some(stats)
        })
        .await;
    // The sender does not count what is sent by hand.
    assert_eq!(stats["received"], delivered + 2, "{stats:#}");
    assert_eq!(stats["ignored"], count(&world, "ignored").await);
    assert_eq!(stats["failed"], 1);
    assert_eq!(stats["dead"], 0);
    assert_eq!(stats["missed"], 0);
    assert_eq!(stats["processed"], count(&world, "processed").await);
    assert!(stats["processed"].as_i64() >= Some(5), "{stats:#}");
    assert_eq!(stats["queue_depth"], 1);
    assert!(stats["oldest_pending_seconds"].as_f64().unwrap() > 0.0);
    for step in [
        "verification_ms",
        "storage_ms",
        "response_ms",
        "processing_ms",
        "freshness_ms",
    ] {
        let [p50, p95, p99] = ["p50", "p95", "p99"].map(|share| stats[step][share].as_f64());
        assert!(p50.unwrap() > 0.0, "{step}: {stats:#}");
        assert!(p50 <= p95 && p95 <= p99, "{step}: {stats:#}");
    }
    let types = stats["by_type"].as_array().unwrap();
    let of = |name: &str| types.iter().find(|it| it["type"] == name).unwrap();
    assert_eq!(of("charge.succeeded")["received"], 5);
    assert_eq!(of("payout.paid")["received"], 1);
    assert_eq!(of("unknown")["failed"], 1);
    let of_hours = stats["by_hour"].as_array().unwrap().iter();
    let of_hours: i64 = of_hours.map(|it| it["received"].as_i64().unwrap()).sum();
    assert_eq!(of_hours, delivered + 2);
    let before = world
        .get("/v1/webhooks/stats?from=2020-01-01T00:00:00Z&to=2020-02-01T00:00:00Z")
        .await;
    assert_eq!(before["received"], 0);
    assert_eq!(before["verification_ms"]["p50"], Value::Null);
}
