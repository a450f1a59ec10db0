//! Payouts, those that Stripe makes by the schedule included, and the schedule.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use stripe_sim::{BalanceSettingsAnswer, Fault, FaultRule, WebhookEndpoint};
use tests::connected::{onboard, start};
use tests::world::{Answer, World};

const PAYOUTS: &str = "/v1/connect/payouts";
const SCHEDULE: &str = "/v1/connect/payout-schedule";
const BALANCE: &str = "/v1/connect/balance/acme";
const SECRET: &str = "whsec_connect";

async fn pay_out(world: &World, key: &str, amount: i64) -> Answer {
    let body = json!({"amount": amount, "currency": "usd"});
    world.post_once(key, PAYOUTS, body).await
}

async fn payouts(world: &World) -> Vec<Value> {
    let listed = world.get(PAYOUTS).await;
    listed["data"].as_array().unwrap().clone()
}

async fn set_schedule(world: &World, schedule: Value) -> Answer {
    world.ask(Method::PUT, SCHEDULE, Some(schedule)).await
}

/// The account has money, and its events reach the engine.
async fn funded() -> (World, String) {
    let world = World::with_charges(0)
        .platform()
        .platform_secrets(&[], &[SECRET])
        .start()
        .await;
    let endpoint = WebhookEndpoint {
        secret: Some(SECRET.to_owned()),
        connect: true,
        ..WebhookEndpoint::at(format!("{}/webhooks/stripe/connect", world.api_url))
    };
    world.account().add_webhook_endpoint(endpoint).unwrap();
    let account_id = onboard(&world).await;
    let connect = world.account().connect();
    connect
        .fund(Some(&account_id), 10_000, "usd", false)
        .unwrap();
    (world, account_id)
}

/// Waits until the payout has this status; the payout.
async fn until_status(world: &World, payout_id: &str, status: &str) -> Value {
    world
        .eventually(&format!("a payout that is {status}"), async || {
            let payouts = payouts(world).await;
            let mut payouts = payouts.into_iter();
            payouts.find(|it| it["stripe_payout_id"] == payout_id && it["status"] == status)
        })
        .await
}

#[tokio::test]
async fn a_payout_is_followed_until_it_is_paid_and_even_then_may_fail() {
    let (world, _) = funded().await;
    let made = pay_out(&world, "p", 4_000).await.expect(201);
    assert_eq!(made["status"], "pending", "{made}");
    assert_eq!(
        (&made["method"], &made["automatic"]),
        (&json!("standard"), &json!(false))
    );
    assert_eq!(
        pay_out(&world, "p", 4_000).await.expect(201)["payout_id"],
        made["payout_id"]
    );
    let payout_id = made["stripe_payout_id"].as_str().unwrap();
    let connect = world.account().connect();
    for status in ["in_transit", "paid"] {
        connect.advance_payout(payout_id, status, None).unwrap();
        let payout = until_status(&world, payout_id, status).await;
        assert_eq!(payout["failure"], Value::Null);
    }
    connect
        .advance_payout(payout_id, "failed", Some("account_closed"))
        .unwrap();
    let failed = until_status(&world, payout_id, "failed").await;
    assert_eq!(failed["payout_id"], made["payout_id"], "the same entry");
    assert_eq!(failed["failure"]["code"], "account_closed");
    let words = "The bank account has been closed. Give another one.";
    assert_eq!(failed["failure"]["message"], words);
    assert_eq!(world.account().connect().truth().payouts.len(), 1);
}

#[tokio::test]
async fn payouts_by_the_schedule_appear_and_each_once() {
    let (world, account_id) = funded().await;
    set_schedule(&world, json!({"interval": "daily"}))
        .await
        .expect(200);
    let made = world.account().connect().run_payout_schedule();
    let [payout_id] = &made[..] else {
        panic!("one payout: {made:?}");
    };
    let payout = until_status(&world, payout_id, "pending").await;
    assert_eq!(
        (&payout["automatic"], &payout["amount"]),
        (&json!(true), &json!(10_000))
    );
    let connect = world.account().connect();
    connect
        .advance_payout(payout_id, "in_transit", None)
        .unwrap();
    connect.advance_payout(payout_id, "paid", None).unwrap();
    until_status(&world, payout_id, "paid").await;
    assert_eq!(payouts(&world).await.len(), 1);
    let balance = world.get(BALANCE).await;
    let available = balance["available"].as_array().unwrap();
    assert!(available.iter().all(|sum| sum["amount"] == 0), "{balance}");
    assert_eq!(connect.truth().payouts[0].account, account_id);
}

/// Makes every request for the balance fail.
fn balance_fails(world: &World) {
    world.account().add_fault(FaultRule {
        endpoint: Some("GET /v1/balance".to_owned()),
        fault: Fault::Status(500),
        after: 0,
        times: u32::MAX,
        retry_after: None,
    });
}

#[tokio::test]
async fn a_balance_follows_its_event_and_is_known_while_stripe_is_away() {
    let (world, account_id) = funded().await;
    let connect = world.account().connect();
    connect.fund(Some(&account_id), 700, "usd", true).unwrap();
    let first = world.get(BALANCE).await;
    let usd = |amount: i64| json!([{"currency": "usd", "amount": amount}]);
    assert_eq!(
        (&first["available"], &first["pending"]),
        (&usd(10_000), &usd(700))
    );

    connect.release(Some(&account_id)).unwrap();
    let path = "/v1/webhooks/events?type=balance.available";
    let event = world
        .eventually("a handled event of the balance", async || {
            let listed = world.get(path).await;
            let mut events = listed["data"].as_array().unwrap().clone().into_iter();
            events.find(|event| event["status"] == "processed")
        })
        .await;
    let handled_at = event["processed_at"].as_str().unwrap();
    balance_fails(&world);
    let known = world.get(BALANCE).await;
    assert_eq!(known["available"], usd(10_700), "read because of the event");
    let as_of = |balance: &Value| balance["as_of"].as_str().unwrap().to_owned();
    assert!(as_of(&first) < as_of(&known), "{known}");
    assert!(as_of(&known).as_str() <= handled_at, "not asked for now");
}

#[tokio::test]
async fn a_balance_that_was_never_read_is_not_known_while_stripe_is_away() {
    let (world, _) = start().await;
    balance_fails(&world);
    let answer = world.ask(Method::GET, BALANCE, None).await;
    assert_eq!(
        (answer.status, answer.code()),
        (StatusCode::SERVICE_UNAVAILABLE, "stripe_unreachable")
    );
}

#[tokio::test]
async fn what_stripe_refuses_is_answered_with_what_to_do() {
    let (world, account_id) = start().await;
    let connect = world.account().connect();
    connect.fund(Some(&account_id), 500, "usd", false).unwrap();
    let poor = pay_out(&world, "a", 501).await;
    assert_eq!(
        (poor.status, poor.code()),
        (StatusCode::UNPROCESSABLE_ENTITY, "stripe_refused")
    );
    assert_eq!(poor.body["stripe_code"], "balance_insufficient");
    let small = pay_out(&world, "b", 10).await;
    assert_eq!(
        small.body["stripe_code"], "amount_too_small",
        "{}",
        small.body
    );
    assert!(
        small.body["detail"]
            .as_str()
            .unwrap()
            .contains("Wait until more")
    );
    let failed = payouts(&world).await;
    assert!(
        failed.iter().all(|it| it["status"] == "failed"),
        "{failed:?}"
    );
    assert!(failed.iter().all(|it| it["stripe_payout_id"].is_null()));

    connect.set_payouts(&account_id, false, false).unwrap();
    let off = pay_out(&world, "c", 200).await;
    assert_eq!(
        off.body["stripe_code"], "payouts_not_allowed",
        "{}",
        off.body
    );
    world.get("/v1/connect/status/acme?refresh=true").await;
    let known = pay_out(&world, "d", 200).await;
    assert_eq!(
        (known.status, known.code()),
        (StatusCode::CONFLICT, "account_not_ready")
    );
}

#[tokio::test]
async fn a_payout_whose_answer_is_lost_is_made_once() {
    let (world, account_id) = start().await;
    let connect = world.account().connect();
    connect
        .fund(Some(&account_id), 10_000, "usd", false)
        .unwrap();
    let faults = [
        Fault::Lost,
        Fault::FailedAfter(500),
        Fault::Reset,
        Fault::Status(502),
    ];
    for (number, fault) in faults.into_iter().enumerate() {
        world.account().add_fault(FaultRule {
            endpoint: Some("POST /v1/payouts".to_owned()),
            fault: fault.clone(),
            after: 0,
            times: 1,
            retry_after: None,
        });
        let made = pay_out(&world, &format!("key-{number}"), 1_000)
            .await
            .expect(201);
        assert_eq!(made["status"], "pending", "{fault:?}");
        assert_eq!(connect.truth().payouts.len(), number + 1, "{fault:?}");
    }
}

#[tokio::test]
async fn a_payout_needs_a_key_and_makes_sense() {
    let (world, _) = start().await;
    let body = json!({"amount": 100, "currency": "usd"});
    let without = world.ask(Method::POST, PAYOUTS, Some(body)).await;
    assert_eq!(
        (without.status, without.code()),
        (StatusCode::BAD_REQUEST, "idempotency_key_required")
    );
    let nonsense = json!({"amount": 0, "currency": "USD", "method": "pigeon"});
    let refused = world.post_once("k", PAYOUTS, nonsense).await;
    let errors = refused.body["errors"].as_array().unwrap().clone();
    let pointers: Vec<&str> = errors
        .iter()
        .map(|it| it["pointer"].as_str().unwrap())
        .collect();
    assert_eq!(pointers, ["/amount", "/currency", "/method"]);
}

#[tokio::test]
async fn a_schedule_is_stripes_whether_the_platform_may_have_balance_settings_or_not() {
    let (world, _) = start().await;
    let connect = world.account().connect();
    for answer in [
        BalanceSettingsAnswer::Allowed,
        BalanceSettingsAnswer::Forbidden,
        BalanceSettingsAnswer::Refused,
    ] {
        connect.switch(|switches| switches.balance_settings = answer);
        for schedule in [
            json!({"interval": "weekly", "weekly_payout_days": ["monday", "friday"], "delay_days": 7}),
            json!({"interval": "monthly", "monthly_payout_days": [1, 15]}),
            json!({"interval": "manual"}),
            json!({"interval": "daily"}),
        ] {
            let set = set_schedule(&world, schedule.clone()).await.expect(200);
            assert_eq!(set, world.get(SCHEDULE).await, "{answer:?}");
            for (name, value) in schedule.as_object().unwrap() {
                assert_eq!(&set[name], value, "{answer:?}: {set}");
            }
        }
        assert!(world.sim.requests().keyless.is_empty());
    }
}

#[tokio::test]
async fn a_schedule_that_makes_no_sense_is_refused_before_stripe_is_asked() {
    let (world, _) = start().await;
    world.sim.reset_requests();
    for (schedule, pointer) in [
        (json!({}), "/interval"),
        (json!({"interval": "hourly"}), "/interval"),
        (json!({"interval": "weekly"}), "/weekly_payout_days"),
        (
            json!({"interval": "weekly", "weekly_payout_days": ["sunday"]}),
            "/weekly_payout_days",
        ),
        (
            json!({"interval": "monthly", "monthly_payout_days": [32]}),
            "/monthly_payout_days",
        ),
        (
            json!({"interval": "daily", "monthly_payout_days": [1]}),
            "/monthly_payout_days",
        ),
        (
            json!({"interval": "daily", "delay_days": 32}),
            "/delay_days",
        ),
    ] {
        let refused = set_schedule(&world, schedule.clone()).await;
        assert_eq!(refused.code(), "invalid_request", "{schedule}");
        assert_eq!(
            refused.body["errors"][0]["pointer"], pointer,
            "{}",
            refused.body
        );
    }
    assert_eq!(world.sim.requests().total, 0);
}
