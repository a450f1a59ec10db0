//! Webhooks of a connection: what is received is stored once, and is in the figures moments later.

use std::time::Duration;

use common::db::Role;
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::postgres::PgListener;
use stripe_sim::{
    EndpointHandle, EventPayload, KeyState, NewCharge, WebhookEndpoint, WebhookFault,
    WebhookFaultRule,
};
use tests::wait::until;
use tests::webhooks::{
    DELIVERY_TIMEOUT, all_applied, connected, count, endpoint_path, local_url, receive,
};
use tests::world::{World, unlimited_account};

async fn some_charges(world: &World, number: i64) -> Vec<String> {
    sqlx::query_scalar(
        "SELECT charge_id FROM stripe_revenue_data WHERE line_no = 0 AND counted AND refunded = 0 AND amount > 100
         ORDER BY created_at, charge_id LIMIT $1",
    )
    .bind(number)
    .fetch_all(world.database.admin())
    .await
    .unwrap()
}

#[tokio::test]
async fn changes_are_in_the_figures_moments_after_their_webhooks_without_any_polling() {
    let world = connected(500).await;
    let sender = receive(&world).await;
    let account = world.account();
    world.sim.reset_requests();
    let charge = account.create_charge(&NewCharge::of(700, "usd")).unwrap();
    account.refund(&charge, Some(200)).unwrap();
    for old in some_charges(&world, 3).await {
        account.refund(&old, None).unwrap();
    }
    sender.wait_until_delivered(DELIVERY_TIMEOUT).await.unwrap();
    all_applied(&world).await;
    world.assert_exact().await;
    assert_eq!(world.sim.requests().of("GET /v1/events"), 0);
    assert_eq!(count(&world, "dead").await, 0);
    let endpoint = world.get(&endpoint_path(&world)).await;
    assert_eq!(endpoint["status"], "receiving");
}

#[tokio::test]
async fn an_event_that_comes_again_is_stored_once_and_answered_200() {
    let world = connected(20).await;
    let sender = receive(&world).await;
    sender.add_fault(WebhookFaultRule::always(WebhookFault::Duplicate));
    let account = world.account();
    for _ in 0..20 {
        account.create_charge(&NewCharge::of(500, "usd")).unwrap();
    }
    sender.wait_until_idle(DELIVERY_TIMEOUT).await.unwrap();
    all_applied(&world).await;
    let sent = sender.deliveries();
    let stored: Vec<String> =
        sqlx::query_scalar("SELECT external_event_id FROM webhook_events ORDER BY 1")
            .fetch_all(world.database.admin())
            .await
            .unwrap();
    let mut expected: Vec<String> = sent.iter().map(|delivery| delivery.event.clone()).collect();
    expected.sort_unstable();
    assert_eq!(stored, expected);
    assert!(sent.iter().all(|delivery| delivery.acknowledgements == 2));
    world.assert_exact().await;
}

/// A consumer that was woken while another group of events held the job has passed over it.
#[tokio::test]
async fn a_job_that_waits_already_is_announced_with_each_group_of_events() {
    let world = connected(5).await;
    let sender = receive(&world).await;
    let mut wake_ups = PgListener::connect_with(world.database.admin())
        .await
        .unwrap();
    wake_ups.listen("stripe_sync_jobs").await.unwrap();
    let mut other_group = world.database.admin().begin().await.unwrap();
    sqlx::query(
        "INSERT INTO sync_jobs (organization_id, job_id, connection_id, external_account_id, job_type, lane,
                                exclusive_on_account, trigger, status, created_at)
         SELECT organization_id, gen_random_uuid(), connection_id, external_account_id, 'webhook', 'interactive', true,
                'webhook', 'pending', now()
         FROM platform_connections",
    )
    .execute(&mut *other_group)
    .await
    .unwrap();
    let event = json!({"id": "evt_1", "type": "charge.updated", "data": {"object": {"object": "charge", "id": "ch_1"}}});
    let sent = async { assert_eq!(sender.send(&event).await.unwrap(), 200) };
    let committed = async {
        let waits = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database()
                                    AND wait_event_type = 'Lock' AND query LIKE 'INSERT INTO sync_jobs%')";
        until("the event to wait for the other group", async || {
            let waits = sqlx::query_scalar(waits).fetch_one(world.database.admin());
            waits.await.unwrap_or(false).then_some(())
        })
        .await;
        other_group.commit().await.unwrap();
    };
    tokio::join!(sent, committed);
    let announced = tokio::time::timeout(DELIVERY_TIMEOUT, wake_ups.recv()).await;
    announced.expect("no wake-up came").unwrap();
}

/// An unknown type, another account or mode, a test event with its fixed id, an event of nothing that has an id: the
/// sender would try each of them for days.
#[tokio::test]
async fn whatever_is_correctly_signed_is_answered_200_and_stored() {
    let world = connected(5).await;
    let sender = receive(&world).await;
    let event = |id: &str, event_type: &str, object: Value| {
        json!({"id": id, "object": "event", "type": event_type, "created": 1_700_000_000, "livemode": false,
               "api_version": "2025-02-24.acacia", "data": {"object": object}})
    };
    let charge = json!({"object": "charge", "id": "ch_of_nobody", "created": 1_700_000_000});
    let mut other_account = event("evt_other", "charge.refunded", charge.clone());
    other_account["account"] = json!("acct_of_somebody_else");
    let mut other_mode = event("evt_live", "charge.refunded", charge.clone());
    other_mode["livemode"] = json!(!world.account().livemode());
    let ignored = [
        event(
            "evt_new",
            "something.invented",
            json!({"object": "something", "id": "st_1"}),
        ),
        event(
            "evt_upcoming",
            "invoice.upcoming",
            json!({"object": "invoice"}),
        ),
        event(
            "evt_plain",
            "balance.available",
            json!({"object": "balance"}),
        ),
        other_account,
        other_mode,
    ];
    for event in &ignored {
        assert_eq!(sender.send(event).await.unwrap(), 200, "{event}");
    }
    assert_eq!(count(&world, "ignored").await, ignored.len() as i64);
    // It does not tell what changed, which a person has to see.
    let bare = json!({"id": "evt_bare"});
    let thin = json!({"id": "evt_test_thin", "object": "v2.core.event", "type": "v1.charge.refunded",
        "created": "2026-10-01T08:00:00.000Z", "livemode": false,
        "related_object": {"id": "ch_of_nobody", "type": "charge", "url": "/v1/charges/ch_of_nobody"}});
    let test = event("evt_00000000000000", "charge.refunded", charge);
    for event in [&bare, &thin, &test] {
        assert_eq!(sender.send(event).await.unwrap(), 200, "{event}");
    }
    all_applied(&world).await;
    assert_eq!(count(&world, "processed").await, 3);
    let parked = format!("/v1/connectors/{}/parked", world.connection_id());
    let parked = world.get(&parked).await;
    assert_eq!(parked["data"][0]["object_id"], "evt_bare");
    assert_eq!(parked["data"].as_array().unwrap().len(), 1);
    world.assert_exact().await;
}

#[tokio::test]
async fn a_wrong_signature_is_refused_and_never_stored_and_limits_only_who_sends_it() {
    let world = connected(5).await;
    let sender = receive(&world).await;
    let body = json!({"id": "evt_forged", "type": "charge.succeeded"}).to_string();
    let forge = async |header: Option<&str>| {
        let headers = [("stripe-signature", header)];
        sender.send_raw(body.clone(), &headers).await.unwrap()
    };
    assert_eq!(forge(None).await, 400);
    assert_eq!(forge(Some("t=1,v1=00")).await, 400);
    let old = sender.sign(body.as_bytes(), world.sim.now() - 301);
    assert_eq!(forge(Some(&old)).await, 400);
    for _ in 0..17 {
        assert_eq!(forge(Some("nonsense")).await, 400);
    }
    assert_eq!(forge(Some("nonsense")).await, 429);
    let genuine = json!({"id": "evt_genuine", "type": "payout.paid"});
    assert_eq!(
        sender.send(&genuine).await.unwrap(),
        200,
        "what is signed is never limited"
    );
    assert_eq!(sender.send_raw("{}", &[]).await.unwrap(), 400, "no event");
    let stored: Vec<String> = sqlx::query_scalar("SELECT external_event_id FROM webhook_events")
        .fetch_all(world.database.admin())
        .await
        .unwrap();
    assert_eq!(stored, ["evt_genuine"]);
}

#[tokio::test]
async fn an_address_without_a_secret_does_not_exist() {
    let world = connected(5).await;
    let path = endpoint_path(&world);
    let send = async |endpoint: &str| {
        let path = format!("/webhooks/stripe/{endpoint}");
        let body = json!({"id": "evt_1"});
        world
            .ask_as("none", Method::POST, &path, Some(body))
            .await
            .status
            .as_u16()
    };
    assert_eq!(send("whe_unknown").await, 404);
    let created = world.ask(Method::POST, &path, None).await.expect(201);
    assert_eq!(created["status"], "waiting");
    assert_eq!(created["has_signing_secret"], false);
    let endpoint = created["endpoint_id"].as_str().unwrap();
    assert_eq!(send(endpoint).await, 404);
    let empty = json!({"signing_secret": "whsec_"});
    let refused = world.ask(Method::PUT, &path, Some(empty)).await.expect(422);
    assert_eq!(refused["errors"][0]["pointer"], "/signing_secret");
    let secret = json!({"signing_secret": "whsec_something"});
    let again = world
        .ask(Method::POST, &path, Some(secret))
        .await
        .expect(200);
    assert_eq!(again["endpoint_id"], created["endpoint_id"]);
    assert_eq!(again["has_signing_secret"], true);
    assert_eq!(send(endpoint).await, 400, "from the first moment on");
    world
        .eventually("the failure to be noted", async || {
            let status = &world.get(&path).await["status"];
            (status == "failing").then_some(())
        })
        .await;
    world.ask(Method::DELETE, &path, None).await.expect(204);
    assert_eq!(send(endpoint).await, 404);
    world.ask(Method::GET, &path, None).await.expect(404);
}

#[tokio::test]
async fn the_secret_before_the_last_one_serves_until_it_expires() {
    let world = connected(5).await;
    let sender = receive(&world).await;
    let event = |id: &str| json!({"id": id, "type": "payout.paid"});
    let path = endpoint_path(&world);
    let next = json!({"signing_secret": "whsec_the_next_one"});
    world
        .ask(Method::PUT, &path, Some(next.clone()))
        .await
        .expect(200);
    // A client that sends it again does not push the first one out.
    world.ask(Method::PUT, &path, Some(next)).await.expect(200);
    assert_eq!(sender.send(&event("evt_1")).await.unwrap(), 200);
    let expired = "UPDATE connection_credentials SET expires_at = now() WHERE purpose = 'former_webhook_secret'";
    let changed = sqlx::query(expired)
        .execute(world.database.admin())
        .await
        .unwrap();
    assert_eq!(changed.rows_affected(), 1);
    world
        .eventually("the former secret to be forgotten", async || {
            let status = sender.send(&event("evt_2")).await.unwrap();
            (status == 400).then_some(())
        })
        .await;
}

#[tokio::test]
async fn events_of_a_few_moments_cost_one_request_for_each_object() {
    let mut world = connected(200).await;
    let sender = receive(&world).await;
    world.stop_consumers().await;
    let charges = some_charges(&world, 10).await;
    for charge in &charges {
        for _ in 0..3 {
            world.account().refund(charge, Some(1)).unwrap();
        }
    }
    sender.wait_until_delivered(DELIVERY_TIMEOUT).await.unwrap();
    world.sim.reset_requests();
    world.start_consumer();
    all_applied(&world).await;
    let requests = world.sim.requests();
    assert!(requests.total <= charges.len() as u64, "{requests:#?}");
    world.assert_exact().await;
    // And polling reads nothing of it again.
    world.sim.reset_requests();
    world.sync(json!({"job_type": "incremental"})).await;
    let requests = world.sim.requests();
    assert_eq!(
        requests.total,
        requests.of("GET /v1/events"),
        "{requests:#?}"
    );
}

#[tokio::test]
async fn events_that_come_before_a_full_sync_reads_its_objects_cost_nothing() {
    let mut world = connected(100).await;
    let sender = receive(&world).await;
    world.stop_consumers().await;
    for charge in some_charges(&world, 20).await {
        world.account().refund(&charge, Some(1)).unwrap();
    }
    sender.wait_until_delivered(DELIVERY_TIMEOUT).await.unwrap();
    // Before the job that the events made.
    let cancelled =
        "UPDATE sync_jobs SET status = 'cancelled', finished_at = now() WHERE finished_at IS NULL";
    sqlx::query(cancelled)
        .execute(world.database.admin())
        .await
        .unwrap();
    world.sim.reset_requests();
    world.start_consumer();
    world.sync(json!({"job_type": "full"})).await;
    assert_eq!(count(&world, "pending").await, 0);
    let requests = world.sim.requests();
    assert_eq!(requests.of("GET /v1/charges/{id}"), 0, "{requests:#?}");
    world.assert_exact().await;
}

#[tokio::test]
async fn events_in_any_order_doubled_and_late_end_in_the_same_rows() {
    let account = stripe_sim::AccountConfig {
        settings: Some(stripe_sim::Settings {
            event_duplicate_percent: 20.0,
            ..stripe_sim::Settings::unlimited()
        }),
        ..unlimited_account(300)
    };
    let world = World::builder().account(account).start().await;
    let connected = world.connect().await;
    world.job_completed(&connected["job_id"]).await;
    let sender = receive(&world).await;
    for fault in [
        WebhookFault::Duplicate,
        WebhookFault::Reorder { seconds: 60 },
        WebhookFault::Delay { seconds: 600 },
        WebhookFault::ThinTwin,
        WebhookFault::WrongSignature,
    ] {
        sender.add_fault(WebhookFaultRule::sometimes(fault, 30.0));
    }
    for seed in 0..5 {
        world.account().churn(40, seed);
        sender.wait_until_delivered(DELIVERY_TIMEOUT).await.unwrap();
        all_applied(&world).await;
        world.assert_exact().await;
    }
}

#[tokio::test]
async fn a_paused_connection_keeps_its_events_and_applies_them_when_it_goes_on() {
    let world = connected(50).await;
    let sender = receive(&world).await;
    let connection = format!("/v1/connectors/{}", world.connection_id());
    let pause = async |paused: bool| {
        let body = json!({"paused": paused});
        world
            .ask(Method::PATCH, &connection, Some(body))
            .await
            .expect(200)
    };
    pause(true).await;
    world
        .account()
        .create_charge(&NewCharge::of(500, "usd"))
        .unwrap();
    sender.wait_until_delivered(DELIVERY_TIMEOUT).await.unwrap();
    assert!(count(&world, "pending").await > 0);
    pause(false).await;
    // Nobody asks for a sync: events that wait and have no job are found.
    let waited = "UPDATE webhook_events SET received_at = received_at - INTERVAL '2 minutes'";
    sqlx::query(waited)
        .execute(world.database.admin())
        .await
        .unwrap();
    scheduler::dispatch(&world.scheduler()).await.unwrap();
    all_applied(&world).await;
    world.assert_exact().await;
}

#[tokio::test]
async fn an_event_is_applied_at_once_though_a_full_job_has_to_cover_more_first() {
    let world = connected(50).await;
    let sender = receive(&world).await;
    let more = "UPDATE platform_connections SET lookback_days = lookback_days + 30";
    sqlx::query(more)
        .execute(world.database.admin())
        .await
        .unwrap();
    world
        .account()
        .create_charge(&NewCharge::of(500, "usd"))
        .unwrap();
    sender.wait_until_delivered(DELIVERY_TIMEOUT).await.unwrap();
    all_applied(&world).await;
    let full: i64 = sqlx::query_scalar(
        "SELECT COUNT(*) FROM sync_jobs WHERE job_type = 'full' AND trigger = 'webhook' AND status = 'completed'",
    )
    .fetch_one(world.database.admin())
    .await
    .unwrap();
    assert_eq!(full, 1);
}

#[tokio::test]
async fn large_events_that_arrive_together_are_all_stored() {
    let world = connected(5).await;
    let sender = receive(&world).await;
    let sent = (0..8).map(|n| {
        let padding = "x".repeat(3 << 20);
        let body = format!(r#"{{"id": "evt_{n}", "padding": "{padding}"}}"#);
        let sender = sender.clone();
        async move { sender.send_raw(body, &[]).await.unwrap() }
    });
    let answers = futures::future::join_all(sent).await;
    assert_eq!(answers, [200; 8]);
    let stored: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM webhook_events")
        .fetch_one(world.database.admin())
        .await
        .unwrap();
    assert_eq!(stored, 8);
}

#[tokio::test]
async fn a_body_that_is_too_large_or_too_slow_holds_nobody_up() {
    let world = connected(5).await;
    let sender = receive(&world).await;
    let huge = format!(r#"{{"id": "evt_1", "padding": "{}"}}"#, "x".repeat(4 << 20));
    assert_eq!(sender.send_raw(huge, &[]).await.unwrap(), 413);
    let large = format!(r#"{{"id": "evt_2", "padding": "{}"}}"#, "x".repeat(2 << 20));
    assert_eq!(sender.send_raw(large, &[]).await.unwrap(), 200);
    sender.add_fault(WebhookFaultRule::once(WebhookFault::SlowBody {
        milliseconds: 2_000,
    }));
    let account = world.account();
    account.create_charge(&NewCharge::of(500, "usd")).unwrap();
    let started = tokio::time::Instant::now();
    assert_eq!(sender.send(&json!({"id": "evt_3"})).await.unwrap(), 200);
    assert!(
        started.elapsed() < Duration::from_secs(2),
        "one slow body is none of the others' business"
    );
    sender.wait_until_delivered(DELIVERY_TIMEOUT).await.unwrap();
    all_applied(&world).await;
    world.assert_exact().await;
}

#[tokio::test]
async fn the_role_that_receives_webhooks_reads_no_key_and_no_payload() {
    let world = connected(5).await;
    let sender = receive(&world).await;
    assert_eq!(
        sender
            .send(&json!({"id": "evt_1", "type": "x"}))
            .await
            .unwrap(),
        200
    );
    let pool = world.database.pool(Role::Webhooks);
    let purposes: Vec<String> = sqlx::query_scalar("SELECT purpose FROM connection_credentials")
        .fetch_all(&pool)
        .await
        .unwrap();
    assert_eq!(purposes, ["webhook_secret"]);
    for refused in [
        "SELECT payload FROM webhook_events",
        "SELECT last_error FROM webhook_forwards",
        "UPDATE webhook_forwards SET status = 'dead'",
        "DELETE FROM webhook_forwards",
        "DELETE FROM webhook_events",
        "UPDATE webhook_events SET status = 'dead'",
        "UPDATE sync_jobs SET status = 'cancelled'",
        "SELECT * FROM stripe_revenue_data",
        "SELECT permissions FROM platform_connections",
    ] {
        let answer = sqlx::query(refused).execute(&pool).await;
        let refusal = answer.unwrap_err().into_database_error().unwrap();
        assert_eq!(refusal.code().as_deref(), Some("42501"), "{refused}");
    }
}

#[tokio::test]
async fn dead_letters_can_be_seen_and_replayed() {
    let world = connected(50).await;
    let sender = receive(&world).await;
    let charge = some_charges(&world, 1).await.remove(0);
    world.account().refund(&charge, Some(100)).unwrap();
    sender.wait_until_delivered(DELIVERY_TIMEOUT).await.unwrap();
    all_applied(&world).await;
    let events = world
        .get("/v1/webhooks/events?status=processed&type=charge.refunded")
        .await;
    let event = &events["data"][0];
    assert_eq!(event["object_id"], charge.as_str());
    assert_eq!(event["error"], Value::Null);
    let path = format!(
        "/v1/webhooks/events/{}",
        event["event_id"].as_str().unwrap()
    );
    let detail = world.get(&path).await;
    assert_eq!(detail["payload"]["id"], event["stripe_event_id"]);
    assert_eq!(detail["payload"]["data"]["object"]["id"], charge.as_str());
    let dead = "UPDATE webhook_events SET status = 'dead', error_code = 'internal', error_message = 'It failed.'";
    sqlx::query(dead)
        .execute(world.database.admin())
        .await
        .unwrap();
    let count = count(&world, "dead").await;
    let seen = world.get("/v1/webhooks/events?status=dead").await;
    assert_eq!(seen["data"].as_array().unwrap().len() as i64, count);
    assert_eq!(seen["data"][0]["error"]["code"], "internal");
    let replay = async |body: Value| {
        let answer = world
            .ask(Method::POST, "/v1/webhooks/replay", Some(body))
            .await;
        answer.expect(202)["count"].as_i64().unwrap()
    };
    assert_eq!(replay(json!({"dry_run": true})).await, count);
    assert_eq!(replay(json!({"type": "payout.paid"})).await, 0);
    let one = world
        .ask(Method::POST, &format!("{path}/replay"), None)
        .await;
    assert_eq!(one.expect(202)["count"], 1);
    assert_eq!(replay(json!({})).await, count - 1);
    all_applied(&world).await;
    // A processed one as well.
    let one = world
        .ask(Method::POST, &format!("{path}/replay"), None)
        .await;
    assert_eq!(one.expect(202)["count"], 1);
    all_applied(&world).await;
    assert_eq!(world.get(&path).await["status"], "processed");
    world.assert_exact().await;
    let unknown = "/v1/webhooks/events/019ab3f4-5c00-7000-8000-000000000009";
    world.ask(Method::GET, unknown, None).await.expect(404);
    world
        .ask(Method::POST, &format!("{unknown}/replay"), None)
        .await
        .expect(404);
}

#[tokio::test]
async fn old_events_and_completed_webhook_jobs_are_deleted() {
    let world = connected(5).await;
    let states = ["pending", "processed", "ignored", "dead"];
    for (age, status) in [1, 40]
        .into_iter()
        .flat_map(|age| states.map(|status| (age, status)))
    {
        sqlx::query(
            "INSERT INTO webhook_events (organization_id, event_id, endpoint_id, connection_id, external_event_id,
                                         event_type, received_at, payload, status)
             SELECT organization_id, gen_random_uuid(), 'whe', connection_id, $1 || $2, 'x',
                    now() - make_interval(days => $1), '{}', $2
             FROM platform_connections",
        )
        .bind(age)
        .bind(status)
        .execute(world.database.admin())
        .await
        .unwrap();
    }
    // Received while its connection was being deleted.
    let orphaned = "INSERT INTO webhook_events (organization_id, event_id, endpoint_id, connection_id, external_event_id,
                                                event_type, received_at, payload, status)
                    SELECT organization_id, gen_random_uuid(), 'whe', 'gone', 'orphan', 'x', now() - INTERVAL '2 hours',
                           '{}', 'pending'
                    FROM platform_connections";
    sqlx::query(orphaned)
        .execute(world.database.admin())
        .await
        .unwrap();
    for (job_type, status) in [
        ("webhook", "completed"),
        ("webhook", "failed"),
        ("full", "completed"),
    ] {
        sqlx::query(
            "INSERT INTO sync_jobs (organization_id, job_id, connection_id, external_account_id, job_type, lane,
                                    exclusive_on_account, trigger, status, created_at, finished_at)
             SELECT organization_id, gen_random_uuid(), connection_id, 'acct_old', $1, 'interactive', FALSE, 'webhook',
                    $2, now() - INTERVAL '2 days', now() - INTERVAL '2 days'
             FROM platform_connections",
        )
        .bind(job_type)
        .bind(status)
        .execute(world.database.admin())
        .await
        .unwrap();
    }
    let deleted = scheduler::delete_old(&world.scheduler()).await.unwrap();
    assert_eq!((deleted.events, deleted.jobs), (3, 1));
    let left: Vec<String> =
        sqlx::query_scalar("SELECT external_event_id FROM webhook_events ORDER BY 1")
            .fetch_all(world.database.admin())
            .await
            .unwrap();
    assert_eq!(
        left,
        [
            "1dead",
            "1ignored",
            "1pending",
            "1processed",
            "40dead",
            "40pending"
        ]
    );
}

#[tokio::test]
async fn events_wait_while_the_connection_has_a_problem_and_are_applied_when_it_is_solved() {
    let world = connected(30).await;
    let sender = receive(&world).await;
    let account = world.account();
    account.set_key(account.key(), None, KeyState::Revoked);
    account.create_charge(&NewCharge::of(500, "usd")).unwrap();
    let path = format!("/v1/connectors/{}", world.connection_id());
    world
        .eventually("the problem", async || {
            (world.get(&path).await["status"] == "error").then_some(())
        })
        .await;
    account.create_charge(&NewCharge::of(600, "usd")).unwrap();
    sender.wait_until_delivered(DELIVERY_TIMEOUT).await.unwrap();
    assert_eq!(count(&world, "dead").await, 0);
    assert!(count(&world, "pending").await >= 2);
    account.set_key(account.key(), None, KeyState::Active);
    world.sync(json!({})).await;
    assert_eq!(count(&world, "pending").await, 0);
    world.assert_exact().await;
}

#[tokio::test]
async fn a_thin_event_whose_snapshot_was_received_is_ignored_as_its_twin() {
    let world = connected(20).await;
    let sender = receive(&world).await;
    sender.add_fault(WebhookFaultRule::always(WebhookFault::ThinTwin).of("charge.succeeded"));
    let account = world.account();
    account.create_charge(&NewCharge::of(500, "usd")).unwrap();
    sender.wait_until_idle(DELIVERY_TIMEOUT).await.unwrap();
    all_applied(&world).await;
    let thin = world
        .get("/v1/webhooks/events?type=v1.charge.succeeded")
        .await;
    let snapshot = world.get("/v1/webhooks/events?type=charge.succeeded").await;
    let replayed = thin["data"][0]["event_id"].as_str().unwrap().to_owned();
    // Which of them came first is up to the network; applied again, the thin one has a twin for sure.
    let path = format!("/v1/webhooks/events/{replayed}");
    world
        .ask(Method::POST, &format!("{path}/replay"), None)
        .await
        .expect(202);
    all_applied(&world).await;
    let thin = world.get(&path).await;
    assert_eq!(thin["status"], "ignored", "{thin:#}");
    assert_eq!(thin["twin_of"], snapshot["data"][0]["stripe_event_id"]);
    world.assert_exact().await;
}

/// Has the first account send thin events alone.
async fn receive_thin(world: &World) -> EndpointHandle {
    let path = endpoint_path(world);
    let created = world.ask(Method::POST, &path, None).await.expect(201);
    let endpoint = WebhookEndpoint {
        payload: EventPayload::Thin,
        ..WebhookEndpoint::at(local_url(world, &created["url"]))
    };
    let sender = world.account().add_webhook_endpoint(endpoint).unwrap();
    let secret = json!({"signing_secret": sender.secret()});
    world
        .ask(Method::PUT, &path, Some(secret))
        .await
        .expect(200);
    sender
}

#[tokio::test]
async fn thin_events_alone_bring_every_change() {
    let world = connected(60).await;
    let sender = receive_thin(&world).await;
    let account = world.account();
    account.create_charge(&NewCharge::of(500, "usd")).unwrap();
    for charge in some_charges(&world, 3).await {
        account.refund(&charge, Some(50)).unwrap();
    }
    sender.wait_until_idle(DELIVERY_TIMEOUT).await.unwrap();
    all_applied(&world).await;
    world.assert_exact().await;
    let refunds = world
        .get("/v1/webhooks/events?type=v1.refund.created")
        .await;
    let refund = &refunds["data"][0];
    assert_eq!(refund["status"], "processed", "{refunds:#}");
    let path = format!(
        "/v1/webhooks/events/{}",
        refund["event_id"].as_str().unwrap()
    );
    let refund = world.get(&path).await;
    assert_eq!(refund["changes"][0]["object"], "charge", "{refund:#}");
}

#[tokio::test]
async fn a_full_job_leaves_a_thin_refund_to_the_job_that_asks_for_its_charge() {
    let mut world = connected(60).await;
    let sender = receive_thin(&world).await;
    let charge = some_charges(&world, 1).await.remove(0);
    world.stop_consumers().await;
    let path = format!("/v1/connectors/stripe/{}/sync", world.connection_id());
    let full = json!({"job_type": "full"});
    let job = world.ask(Method::POST, &path, Some(full)).await.expect(202);
    world.account().refund(&charge, Some(50)).unwrap();
    sender.wait_until_idle(DELIVERY_TIMEOUT).await.unwrap();
    world.start_consumer();
    world.job_completed(&job["job_id"]).await;
    all_applied(&world).await;
    let refunds = world
        .get("/v1/webhooks/events?type=v1.refund.created")
        .await;
    let id = refunds["data"][0]["event_id"].as_str().unwrap();
    let refund = world.get(&format!("/v1/webhooks/events/{id}")).await;
    assert_eq!(
        refund["changes"],
        json!([{"object": "charge", "id": charge}]),
        "{refund:#}"
    );
    world.assert_exact().await;
}
