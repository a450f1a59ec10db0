//! Transfers and reversals: each moves money once, whatever is called twice, lost or refused.

use std::collections::BTreeSet;
use std::time::Duration;

use common::tenant::{OrganizationId, TokenRole};
use futures::future::join_all;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use stripe_sim::{ConnectTruth, Fault, FaultRule, WebhookEndpoint};
use tests::connected::{onboard, start};
use tests::world::{Answer, WAIT_TIMEOUT, World};

const SECRET: &str = "whsec_platform";
const TRANSFER: &str = "/v1/connect/transfer";
const TRANSFERS: &str = "/v1/connect/transfers";

async fn transfer(world: &World, key: &str, amount: i64) -> Answer {
    let body = json!({"amount": amount, "currency": "usd"});
    world.post_once(key, TRANSFER, body).await
}

fn truth(world: &World) -> ConnectTruth {
    world.account().connect().truth()
}

fn fault(world: &World, endpoint: &str, fault: Fault, times: u32) {
    world.account().add_fault(FaultRule {
        endpoint: Some(endpoint.to_owned()),
        fault,
        after: 0,
        times,
        retry_after: None,
    });
}

fn path_of(transfer: &Value) -> String {
    format!("{TRANSFERS}/{}", transfer["transfer_id"].as_str().unwrap())
}

async fn reverse(world: &World, key: &str, transfer: &Value, body: Value) -> Answer {
    let path = format!("{}/reverse", path_of(transfer));
    world.post_once(key, &path, body).await
}

#[tokio::test]
async fn the_platform_keeps_its_fee_and_the_rest_moves() {
    let (world, account_id) = start().await;
    let body = json!({"amount": 1005, "currency": "usd", "transfer_group": "order-7", "description": "Order 7"});
    let made = world.post_once("order-7", TRANSFER, body).await.expect(201);
    assert_eq!(made["status"], "created", "{made}");
    let figures = ["amount", "platform_fee", "net"].map(|name| made[name].as_i64().unwrap());
    assert_eq!(figures, [1005, 101, 904], "half a cent is rounded up");
    let truth = truth(&world);
    let [moved] = &truth.transfers[..] else {
        panic!("one transfer: {truth:?}");
    };
    assert_eq!((moved.amount, moved.currency.as_str()), (904, "usd"));
    assert_eq!(moved.destination, account_id);
    assert_eq!(moved.transfer_group.as_deref(), Some("order-7"));
    assert_eq!(made["stripe_transfer_id"], moved.id.as_str());
    assert_eq!(
        moved.metadata["stripe_sync_entry"],
        made["transfer_id"].as_str().unwrap()
    );
    assert_eq!(world.get(&path_of(&made)).await, made);
    assert_eq!(world.get(TRANSFERS).await["data"], json!([made]));
    let balance = world.get("/v1/connect/balance/acme").await;
    assert_eq!(
        balance["available"],
        json!([{"currency": "usd", "amount": 904}])
    );
}

#[tokio::test]
async fn an_organizations_own_percentage_counts_from_the_next_transfer_on() {
    let (world, _) = start().await;
    let operator = world.operator_token().await;
    let before = transfer(&world, "a", 1000).await.expect(201);
    let body = json!({"platform_fee_percent": 2.5});
    let path = "/v1/operator/organizations/acme";
    let set = world
        .ask_as(&operator, Method::PATCH, path, Some(body))
        .await;
    set.expect(200);
    let after = transfer(&world, "b", 1000).await.expect(201);
    assert_eq!(
        (&before["platform_fee"], &after["platform_fee"]),
        (&json!(100), &json!(25))
    );
    assert_eq!(transfer(&world, "a", 1000).await.expect(201), before);
    let status = world.get("/v1/connect/status/acme").await;
    assert_eq!(status["platform_fee_percent"], 2.5);
    let all = json!({"platform_fee_percent": 100});
    world
        .ask_as(&operator, Method::PATCH, path, Some(all))
        .await
        .expect(200);
    let refused = transfer(&world, "c", 1000).await;
    assert_eq!(refused.code(), "invalid_request", "{}", refused.body);
    assert_eq!(refused.body["errors"][0]["pointer"], "/amount");
    assert_eq!(truth(&world).transfers.len(), 2);
}

#[tokio::test]
async fn a_key_is_required_and_belongs_to_one_request() {
    let (world, _) = start().await;
    let body = json!({"amount": 1000, "currency": "usd"});
    let without = world.ask(Method::POST, TRANSFER, Some(body)).await;
    assert_eq!(without.status, StatusCode::BAD_REQUEST);
    assert_eq!(without.code(), "idempotency_key_required");
    let spaced = transfer(&world, "a key", 1000).await;
    assert_eq!(spaced.code(), "idempotency_key_required");

    let first = transfer(&world, "k", 1000).await.expect(201);
    assert_eq!(transfer(&world, "k", 1000).await.expect(201), first);
    let reordered = json!({"currency": "usd", "description": null, "amount": 1000.0});
    let same = world.post_once("k", TRANSFER, reordered).await;
    assert_eq!(
        same.expect(201),
        first,
        "the same request, written otherwise"
    );
    let other = transfer(&world, "k", 1001).await;
    assert_eq!(
        (other.status, other.code()),
        (StatusCode::CONFLICT, "idempotency_conflict")
    );
    let body = json!({"amount": 1000, "currency": "usd"});
    let payout = world.post_once("k", "/v1/connect/payouts", body).await;
    assert_eq!(payout.code(), "idempotency_conflict");
    assert_eq!(truth(&world).transfers.len(), 1);
}

#[tokio::test]
async fn a_hundred_simultaneous_calls_with_one_key_move_money_once() {
    let (world, _) = start().await;
    world
        .account()
        .configure(|settings| settings.latency_ms = 50);
    let answers = join_all((0..100).map(|_| transfer(&world, "once", 1000))).await;
    let made: BTreeSet<String> = answers
        .into_iter()
        .map(|it| it.expect(201).to_string())
        .collect();
    assert_eq!(made.len(), 1, "{made:?}");
    assert_eq!(truth(&world).transfers.len(), 1);
    let posts = world.sim.requests().of("POST /v1/transfers");
    assert_eq!(posts, 1);
}

#[tokio::test]
async fn a_refusal_says_what_to_do_and_stays_one() {
    let (world, _) = start().await;
    let refused = transfer(&world, "k", 100_000_000).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(refused.code(), "stripe_refused");
    assert_eq!(refused.body["stripe_code"], "balance_insufficient");
    let message = refused.body["stripe_message"].as_str().unwrap();
    let detail = refused.body["detail"].as_str().unwrap();
    assert!(
        detail.starts_with(message) && detail.contains("source_charge"),
        "{detail}"
    );
    let again = transfer(&world, "k", 100_000_000).await;
    for name in ["code", "stripe_code", "stripe_message", "detail"] {
        assert_eq!(again.body[name], refused.body[name]);
    }
    let listed = world.get(TRANSFERS).await;
    assert_eq!(listed["data"][0]["status"], "failed");
    assert_eq!(listed["data"][0]["error"]["code"], "balance_insufficient");
    assert!(truth(&world).transfers.is_empty());
}

/// Each is looked up, or sent again under its key, before the caller is answered.
#[tokio::test]
async fn an_answer_that_is_lost_is_looked_up_before_the_caller_is_answered() {
    let faults = [
        Fault::Lost,
        Fault::FailedAfter(500),
        Fault::Status(503),
        Fault::Truncate,
        Fault::Reset,
        Fault::LockTimeout,
        Fault::NotJson,
    ];
    let (world, _) = start().await;
    for (number, lost) in faults.into_iter().enumerate() {
        fault(&world, "POST /v1/transfers", lost.clone(), 1);
        let key = format!("key-{number}");
        let made = transfer(&world, &key, 1000).await.expect(201);
        assert_eq!(made["status"], "created", "{lost:?}");
        assert_eq!(transfer(&world, &key, 1000).await.expect(201), made);
        assert_eq!(truth(&world).transfers.len(), number + 1, "{lost:?}");
    }
}

#[tokio::test]
async fn what_cannot_be_looked_up_is_unknown_and_the_same_key_says_later_what_became_of_it() {
    let (world, _) = start().await;
    fault(&world, "POST /v1/transfers", Fault::Lost, 1);
    fault(&world, "GET /v1/transfers", Fault::Reset, 1);
    let unknown = transfer(&world, "k", 1000).await.expect(201);
    assert_eq!(unknown["status"], "unknown", "{unknown}");
    assert_eq!(unknown["stripe_transfer_id"], Value::Null);
    let reversed = reverse(&world, "r", &unknown, json!({})).await;
    assert_eq!(
        (reversed.status, reversed.code()),
        (StatusCode::CONFLICT, "conflict")
    );
    let made = transfer(&world, "k", 1000).await.expect(201);
    assert_eq!(made["status"], "created");
    let moved = truth(&world).transfers;
    assert_eq!(moved.len(), 1);
    assert_eq!(made["stripe_transfer_id"], moved[0].id.as_str());
}

#[tokio::test]
async fn a_consumer_settles_what_its_caller_does_not_ask_for_again() {
    let (mut world, _) = start().await;
    fault(&world, "POST /v1/transfers", Fault::Lost, 1);
    fault(&world, "GET /v1/transfers", Fault::Reset, 1);
    let unknown = transfer(&world, "k", 1000).await.expect(201);
    assert_eq!(unknown["status"], "unknown");
    // Caller and API die before Stripe is asked: the lease ends.
    world
        .execute(
            "INSERT INTO ledger_entries (organization_id, entry_id, kind, account_id, amount, currency, state, request_key,
                                         request_hash, next_attempt_at, created_at, platform_fee)
             SELECT organization_id, gen_random_uuid(), kind, account_id, 500, currency, 'intended', 'other', request_hash,
                    now(), now(), 0 FROM ledger_entries",
        )
        .await;
    world.start_consumer();
    world
        .eventually("both are settled", async || {
            let listed = world.get(TRANSFERS).await;
            let mut data = listed["data"].as_array().unwrap().iter();
            data.all(|it| it["status"] == "created").then_some(())
        })
        .await;
    assert_eq!(truth(&world).transfers.len(), 2);
}

#[tokio::test]
async fn an_event_of_a_transfer_settles_it() {
    let mut world = World::with_charges(0)
        .platform()
        .platform_secrets(&[SECRET], &[])
        .consumers(0)
        .start()
        .await;
    onboard(&world).await;
    world
        .account()
        .connect()
        .fund(None, 5_000, "usd", false)
        .unwrap();
    fault(&world, "POST /v1/transfers", Fault::Lost, 1);
    fault(&world, "GET /v1/transfers", Fault::Reset, 1);
    let unknown = transfer(&world, "k", 1000).await.expect(201);
    assert_eq!(unknown["status"], "unknown");
    world
        .execute("UPDATE ledger_entries SET next_attempt_at = now() + INTERVAL '1 day'")
        .await;
    world.start_consumer();
    let endpoint = WebhookEndpoint {
        secret: Some(SECRET.to_owned()),
        ..WebhookEndpoint::at(format!("{}/webhooks/stripe", world.api_url))
    };
    world.account().add_webhook_endpoint(endpoint).unwrap();
    let moved = truth(&world).transfers;
    let path = format!("/v1/transfers/{}/reversals", moved[0].id);
    let client = reqwest::Client::builder().timeout(WAIT_TIMEOUT).build();
    let reversed = client
        .unwrap()
        .post(format!("{}{path}", world.sim.base_url))
        .bearer_auth(world.account().key())
        .header("content-type", "application/x-www-form-urlencoded")
        .body("amount=1")
        .send()
        .await
        .unwrap();
    assert!(reversed.status().is_success(), "{reversed:?}");
    world
        .eventually("the transfer is settled", async || {
            let found = world.get(&path_of(&unknown)).await;
            (found["status"] == "created").then_some(())
        })
        .await;
}

#[tokio::test]
async fn an_account_that_is_not_ready_is_not_sent_anything() {
    let world = World::with_charges(0).platform().start().await;
    let none = transfer(&world, "k", 1000).await;
    assert_eq!(
        (none.status, none.code()),
        (StatusCode::CONFLICT, "account_not_ready")
    );
    let account_id = onboard(&world).await;
    let connect = world.account().connect();
    connect.fund(None, 5_000, "usd", false).unwrap();
    let made = transfer(&world, "k", 1000).await.expect(201);
    assert_eq!(made["status"], "created");

    connect
        .set_capability(&account_id, "transfers", Some("inactive"))
        .unwrap();
    // Not read since: Stripe refuses, and says why.
    let refused = transfer(&world, "stale", 1000).await;
    assert_eq!(
        refused.body["stripe_code"],
        "insufficient_capabilities_for_transfer"
    );
    world.get("/v1/connect/status/acme?refresh=true").await;
    let known = transfer(&world, "known", 1000).await;
    assert_eq!(known.code(), "account_not_ready", "{}", known.body);

    world
        .ask(Method::POST, "/v1/connect/disconnect", None)
        .await
        .expect(200);
    let gone = transfer(&world, "gone", 1000).await;
    assert_eq!(
        (gone.status, gone.code()),
        (StatusCode::CONFLICT, "account_disconnected")
    );
    assert_eq!(transfer(&world, "k", 1000).await.expect(201), made);
    let posts = world.sim.requests().of("POST /v1/transfers");
    assert_eq!(posts, 2);
}

#[tokio::test]
async fn a_transfer_is_reversed_in_parts_until_nothing_is_left() {
    let (world, account_id) = start().await;
    let made = transfer(&world, "t", 1000).await.expect(201);
    let part = reverse(&world, "r1", &made, json!({"amount": 300}))
        .await
        .expect(201);
    assert_eq!(
        (&part["reversed"], &part["reversals"][0]["refunded_fee"]),
        (&json!(300), &json!(0))
    );
    let same = reverse(&world, "r1", &made, json!({"amount": 300}))
        .await
        .expect(201);
    assert_eq!(same, part);
    let too_much = reverse(&world, "r2", &made, json!({"amount": 601})).await;
    assert_eq!(too_much.code(), "invalid_request");
    assert_eq!(too_much.body["errors"][0]["pointer"], "/amount");
    let rest = reverse(&world, "r3", &made, json!({"refund_fee": true}))
        .await
        .expect(201);
    assert_eq!(rest["reversed"], 900);
    assert_eq!(
        rest["reversals"][1]["refunded_fee"], 67,
        "two thirds of 100, as two thirds are reversed"
    );
    let nothing = reverse(&world, "r4", &made, json!({})).await;
    assert_eq!(nothing.code(), "invalid_request", "{}", nothing.body);

    let truth = truth(&world);
    let amounts: Vec<i64> = truth.transfers[0]
        .reversals
        .iter()
        .map(|it| it.amount)
        .collect();
    assert_eq!(amounts, [300, 600]);
    let account = truth
        .accounts
        .iter()
        .find(|it| it.id == account_id)
        .unwrap();
    assert_eq!(account.balance["usd"].available, 0);
    let posts = world.sim.requests().of("POST /v1/transfers/{id}/reversals");
    assert_eq!(
        posts, 2,
        "what is too much is refused before Stripe is asked"
    );
}

#[tokio::test]
async fn simultaneous_reversals_do_not_take_back_more_than_moved() {
    let (world, _) = start().await;
    let made = transfer(&world, "t", 1000).await.expect(201);
    let made = &made;
    let asked = (0..10).map(|number| {
        let world = &world;
        async move {
            let body = json!({"amount": 400});
            reverse(world, &format!("r{number}"), made, body).await
        }
    });
    let answers = join_all(asked).await;
    let done = answers.iter().filter(|it| it.status == StatusCode::CREATED);
    assert_eq!(done.count(), 2);
    assert_eq!(truth(&world).transfers[0].reversals.len(), 2);
}

#[tokio::test]
async fn a_reversal_whose_answer_is_lost_is_made_once() {
    let (world, _) = start().await;
    let made = transfer(&world, "t", 1000).await.expect(201);
    let endpoint = "POST /v1/transfers/{id}/reversals";
    for (number, lost) in [Fault::Lost, Fault::FailedAfter(500), Fault::Reset]
        .into_iter()
        .enumerate()
    {
        fault(&world, endpoint, lost.clone(), 1);
        let body = json!({"amount": 100});
        let reversed = reverse(&world, &format!("r{number}"), &made, body)
            .await
            .expect(201);
        assert_eq!(reversed["reversed"], 100 * (number as i64 + 1), "{lost:?}");
    }
    assert_eq!(truth(&world).transfers[0].reversals.len(), 3);
}

#[tokio::test]
async fn another_organization_sees_and_reverses_none_of_it() {
    let (world, _) = start().await;
    let made = transfer(&world, "t", 1000).await.expect(201);
    let other = OrganizationId::new("other").unwrap();
    let other = world.token(&other, TokenRole::Admin).await;
    let listed = world.ask_as(&other, Method::GET, TRANSFERS, None).await;
    assert_eq!(listed.expect(200)["data"], json!([]));
    let found = world
        .ask_as(&other, Method::GET, &path_of(&made), None)
        .await;
    assert_eq!(
        (found.status, found.code()),
        (StatusCode::NOT_FOUND, "not_found")
    );
    let path = format!("{}/reverse", path_of(&made));
    let reversed = world.post_once_as(&other, "r", &path, json!({})).await;
    assert_eq!(
        (reversed.status, reversed.code()),
        (StatusCode::NOT_FOUND, "not_found")
    );
    let balance = world
        .ask_as(&other, Method::GET, "/v1/connect/balance/acme", None)
        .await;
    assert_eq!(balance.status, StatusCode::NOT_FOUND);
    // The key of another organization is another key.
    let body = json!({"amount": 5, "currency": "usd"});
    let own = world.post_once_as(&other, "t", TRANSFER, body).await;
    assert_eq!(own.code(), "account_not_ready");
    let analyst = OrganizationId::new("acme").unwrap();
    let analyst = world.token(&analyst, TokenRole::Analyst).await;
    let body = json!({"amount": 1000, "currency": "usd"});
    let refused = world.post_once_as(&analyst, "a", TRANSFER, body).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    assert_eq!(truth(&world).transfers.len(), 1);
}

/// Real HTTP on both sides: answers of Stripe's are lost and fail, and callers hang up, which ends what the API does for them.
#[tokio::test]
async fn lost_answers_and_callers_that_hang_up_leave_a_ledger_that_is_what_stripe_made() {
    let (mut world, _) = start().await;
    world.account().configure(|settings| {
        settings.fault_lost_percent = 5.0;
        settings.fault_500_percent = 5.0;
        settings.fault_failed_after_percent = 2.0;
        settings.latency_ms = 100;
    });
    let client = reqwest::Client::builder().timeout(WAIT_TIMEOUT).build();
    let client = client.unwrap();
    let url = format!("{}{TRANSFER}", world.api_url);
    let token = world.token_of("acme").to_owned();
    let asked = (0..150_u64).map(|number| {
        let request = client
            .post(&url)
            .bearer_auth(&token)
            .header("Idempotency-Key", format!("key-{number}"))
            .json(&json!({"amount": 100 + number, "currency": "usd"}));
        // A third of the callers does not wait for the answer.
        let patience = if number % 3 == 0 {
            50 + number * 20
        } else {
            60_000
        };
        request.timeout(Duration::from_millis(patience)).send()
    });
    let answered = join_all(asked).await.into_iter().flatten().count();
    assert!((80..150).contains(&answered), "{answered} answers");
    world.account().configure(|settings| {
        settings.fault_lost_percent = 0.0;
        settings.fault_500_percent = 0.0;
        settings.fault_failed_after_percent = 0.0;
    });
    // The leases of what was abandoned end.
    world
        .execute(
            "UPDATE ledger_entries SET next_attempt_at = now() WHERE next_attempt_at IS NOT NULL",
        )
        .await;
    world.start_consumer();
    let transfers = world
        .eventually("everything is settled", async || {
            let transfers = world.all(&format!("{TRANSFERS}?"), "data").await;
            let settled = transfers.iter().all(|it| it["status"] != "unknown");
            settled.then_some(transfers)
        })
        .await;
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let made = transfers.iter().filter(|it| it["status"] == "created");
    let ours: BTreeSet<_> = made
        .map(|it| {
            (
                text(&it["transfer_id"]),
                text(&it["stripe_transfer_id"]),
                it["net"].as_i64().unwrap(),
            )
        })
        .collect();
    let moved = truth(&world).transfers;
    let theirs: BTreeSet<_> = moved
        .iter()
        .map(|it| {
            (
                it.metadata["stripe_sync_entry"].clone(),
                it.id.clone(),
                it.amount,
            )
        })
        .collect();
    assert_eq!(ours, theirs);
    assert_eq!(theirs.len(), moved.len(), "each was made once");
    let abandoned = transfers.len() - answered;
    assert!(
        abandoned > 0,
        "callers hung up while something was done for them"
    );
}
