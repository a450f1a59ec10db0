//! Subscribing over the API at the simulated Stripe: what is paid on its page is known by events, and shown.

use axum::http::StatusCode;
use reqwest::Method;
use serde_json::{Value, json};
use stripe_sim::{
    BillingHandle, CheckoutStep, EndpointHandle, Fault, FaultRule, NewPrice, NewProduct,
    WebhookEndpoint, WebhookFault, WebhookFaultRule,
};
use tests::sold_plans::sell;
use tests::webhooks::DELIVERY_TIMEOUT;
use tests::world::{Answer, World};

const SECRET: &str = "whsec_platform";
const CHECKOUT: &str = "/v1/billing/checkout";

/// A platform that sells the plans that are built in, with an endpoint at Stripe.
async fn selling() -> (World, EndpointHandle) {
    let world = World::with_charges(0)
        .platform()
        .platform_secrets(&[SECRET], &[])
        .start()
        .await;
    let endpoint = WebhookEndpoint {
        secret: Some(SECRET.to_owned()),
        ..WebhookEndpoint::at(format!("{}/webhooks/stripe", world.api_url))
    };
    let endpoint = world.account().add_webhook_endpoint(endpoint).unwrap();
    sell(&billing(&world));
    (world, endpoint)
}

fn client() -> reqwest::Client {
    let client = reqwest::Client::builder().timeout(DELIVERY_TIMEOUT);
    client.build().unwrap()
}

fn billing(world: &World) -> BillingHandle {
    world.account().billing()
}

async fn checkout(world: &World, plan: &str) -> Answer {
    let body = json!({"plan": plan, "interval": "month"});
    world.ask(Method::POST, CHECKOUT, Some(body)).await
}

/// Has a session paid on Stripe's page.
async fn pay(world: &World, plan: &str) {
    let opened = checkout(world, plan).await;
    assert!(opened.status.is_success(), "{}", opened.body);
    let session = opened.body["session_id"].as_str().unwrap();
    let paid = billing(world)
        .pay_checkout(session, "pm_card_visa")
        .unwrap();
    assert_eq!(paid, CheckoutStep::Completed);
}

/// A session that Stripe was asked for as ours are.
async fn another_session(world: &World, customer: &str, price: &str) -> String {
    let form = format!(
        "mode=subscription&customer={customer}&line_items[0][price]={price}&line_items[0][quantity]=1\
         &success_url=https://sync.example.com/&subscription_data[metadata][stripe_sync_checkout]=another"
    );
    let made = client()
        .post(format!("{}/v1/checkout/sessions", world.sim.base_url))
        .bearer_auth(world.sim.first().key())
        .header("Content-Type", "application/x-www-form-urlencoded")
        .body(form)
        .send()
        .await
        .unwrap();
    let made: Value = made.json().await.unwrap();
    made["id"].as_str().unwrap().to_owned()
}

async fn subscription(world: &World) -> Value {
    world.get("/v1/billing/subscription").await
}

async fn until_status(world: &World, wanted: &str) -> Value {
    world
        .eventually(&format!("the status {wanted}"), async || {
            let found = subscription(world).await;
            (found["status"] == wanted).then_some(found)
        })
        .await
}

#[tokio::test]
async fn plans_are_listed_with_stripes_prices_without_a_token() {
    let (world, _endpoint) = selling().await;
    let plans = client()
        .get(format!("{}/v1/billing/plans", world.api_url))
        .send()
        .await
        .unwrap();
    assert_eq!(plans.status(), StatusCode::OK);
    let plans: Value = plans.json().await.unwrap();
    assert_eq!(plans["data"][0]["plan"], "free");
    assert_eq!(plans["data"][0]["prices"], json!([]));
    let monthly = json!({"interval": "month", "amount": 900, "currency": "usd"});
    assert_eq!(plans["data"][1]["prices"][0], monthly);
    assert_eq!(plans["data"][1]["trial_days"], 14);

    // A price is never changed: another one takes its key over.
    let product = billing(&world).create_product(&NewProduct::default());
    let dearer = NewPrice {
        lookup_key: Some("stripe_sync_pro_month".to_owned()),
        ..NewPrice::monthly(&product, 1_200)
    };
    billing(&world).create_price(&dearer).unwrap();
    world
        .eventually("the new price", async || {
            let plans = world.get("/v1/billing/plans").await;
            (plans["data"][1]["prices"][0]["amount"] == 1_200).then_some(())
        })
        .await;
}

#[tokio::test]
async fn a_payment_is_known_by_its_event_and_the_organization_has_the_plan() {
    let (world, endpoint) = selling().await;
    let before = subscription(&world).await;
    assert_eq!(
        (before["plan"].as_str(), before["status"].as_str()),
        (Some("free"), Some("none"))
    );
    pay(&world, "scale").await;
    let paid = until_status(&world, "active").await;
    assert_eq!(paid["plan"], "scale");
    assert_eq!(paid["access"], true);
    assert_eq!(paid["interval"], "month");
    endpoint.wait_until_idle(DELIVERY_TIMEOUT).await.unwrap();
    let settled = world
        .eventually("the invoice", async || {
            let found = subscription(&world).await;
            (found["last_invoice"]["status"] == "paid").then_some(found)
        })
        .await;
    assert_eq!(settled["last_invoice"]["amount_paid"], 4_900);
    assert_eq!(settled["payment_method"]["brand"], "visa");
    let invoices = world.get("/v1/billing/invoices").await;
    assert_eq!(invoices["data"].as_array().unwrap().len(), 1);
    world
        .eventually("the payment", async || {
            let payments = world.get("/v1/billing/payments").await;
            (payments["data"][0]["amount"] == 4_900).then_some(())
        })
        .await;
    checkout(&world, "pro")
        .await
        .problem(409, "subscription_exists");
    // Events are the organization's own.
    let events = world.get("/v1/webhooks/events").await;
    let types = events["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| event["type"].clone());
    assert!(types.into_iter().any(|name| name == "invoice.paid"));
}

#[tokio::test]
async fn a_trial_gives_access_and_doubled_and_reordered_events_end_in_what_stripe_has() {
    let (world, endpoint) = selling().await;
    endpoint.add_fault(WebhookFaultRule::always(WebhookFault::Duplicate));
    pay(&world, "pro").await;
    let trial = until_status(&world, "trialing").await;
    assert_eq!(
        (trial["plan"].as_str(), trial["access"].as_bool()),
        (Some("pro"), Some(true))
    );
    let revealed = world
        .ask(Method::POST, "/v1/billing/api-key/reveal", None)
        .await;
    assert_eq!(revealed.status, StatusCode::OK, "{}", revealed.body);
    let again = world
        .ask(Method::POST, "/v1/billing/api-key/reveal", None)
        .await;
    again.problem(409, "already_revealed");

    let truth = billing(&world).truth();
    let subscription_id = &truth.customers[0].subscriptions[0].id;
    billing(&world)
        .cancel_subscription(subscription_id)
        .unwrap();
    let over = until_status(&world, "canceled").await;
    assert_eq!(
        (over["plan"].as_str(), over["access"].as_bool()),
        (Some("free"), Some(false))
    );
    let token = revealed.body["token"].as_str().unwrap();
    let refused = client()
        .get(format!("{}/v1/billing/subscription", world.api_url))
        .bearer_auth(token)
        .send()
        .await
        .unwrap();
    assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_cancellation_is_pending_until_the_period_ends_and_can_be_taken_back() {
    let (world, _endpoint) = selling().await;
    let none = world
        .ask(Method::POST, "/v1/billing/subscription/cancel", None)
        .await;
    none.problem(409, "conflict");
    pay(&world, "scale").await;
    let paid = until_status(&world, "active").await;
    assert_eq!(paid["cancel_at"], Value::Null);
    let body = json!({"feedback": "too_expensive"});
    let path = "/v1/billing/subscription/cancel";
    let pending = world.ask(Method::POST, path, Some(body)).await;
    assert_eq!(pending.status, StatusCode::OK, "{}", pending.body);
    assert_eq!(pending.body["cancel_at"], paid["current_period_end"]);
    assert_eq!(pending.body["access"], true);
    let resumed = world
        .ask(Method::POST, "/v1/billing/subscription/resume", None)
        .await;
    assert_eq!(resumed.body["cancel_at"], Value::Null, "{}", resumed.body);
    let body = json!({"at_period_end": false});
    let over = world.ask(Method::POST, path, Some(body)).await;
    assert_eq!(over.body["status"], "canceled", "{}", over.body);
    assert_eq!(over.body["plan"], "free");
}

#[tokio::test]
async fn more_is_had_now_for_what_the_preview_said_and_less_at_the_end_of_the_period() {
    let (world, _endpoint) = selling().await;
    pay(&world, "scale").await;
    let before = until_status(&world, "active").await;
    let more = json!({"plan": "scale", "interval": "month", "seats": 2});
    let path = "/v1/billing/subscription/preview";
    let preview = world.ask(Method::POST, path, Some(more.clone())).await;
    assert_eq!(preview.status, StatusCode::OK, "{}", preview.body);
    assert_eq!(preview.body["now"], true);
    let due = preview.body["due_now"]["amount"].as_i64().unwrap();
    assert!((1..=4_900).contains(&due), "{}", preview.body);
    assert_eq!(preview.body["next_invoice"]["amount"], 9_800);
    assert_eq!(
        preview.body["next_invoice"]["at"],
        before["current_period_end"]
    );

    let path = "/v1/billing/subscription/change";
    let changed = world.ask(Method::POST, path, Some(more)).await;
    assert_eq!(changed.status, StatusCode::OK, "{}", changed.body);
    assert_eq!(changed.body["seats"], 2);
    let paid = &changed.body["last_invoice"]["amount_paid"];
    assert!((paid.as_i64().unwrap() - due).abs() <= 1, "{paid} {due}");

    let less = json!({"plan": "pro", "interval": "month", "seats": 1});
    let later = world.ask(Method::POST, path, Some(less.clone())).await;
    assert_eq!(later.status, StatusCode::OK, "{}", later.body);
    assert_eq!(later.body["plan"], "scale");
    assert_eq!(later.body["scheduled_change"]["plan"], "pro");
    assert_eq!(
        later.body["scheduled_change"]["at"],
        later.body["current_period_end"]
    );
    let again = world.ask(Method::POST, path, Some(less)).await;
    assert_eq!(
        again.body["scheduled_change"],
        later.body["scheduled_change"]
    );

    // Staying takes back what was to come, and so does cancelling.
    let same = json!({"plan": "scale", "interval": "month"});
    let stays = world.ask(Method::POST, path, Some(same)).await;
    assert_eq!(
        stays.body["scheduled_change"],
        Value::Null,
        "{}",
        stays.body
    );
    let truth = billing(&world).truth();
    assert_eq!(truth.customers[0].subscriptions[0].items.len(), 1);
}

#[tokio::test]
async fn an_account_without_a_portal_is_given_one() {
    let (world, _endpoint) = selling().await;
    for flow in [json!({}), json!({"flow": "payment_method_update"})] {
        let opened = world
            .ask(Method::POST, "/v1/billing/portal", Some(flow))
            .await;
        assert_eq!(opened.status, StatusCode::OK, "{}", opened.body);
        assert!(
            opened.body["url"]
                .as_str()
                .unwrap()
                .starts_with(&world.sim.base_url)
        );
    }
    let body = json!({"flow": "subscription_cancel"});
    let refused = world
        .ask(Method::POST, "/v1/billing/portal", Some(body))
        .await;
    refused.problem(409, "conflict");
}

#[tokio::test]
async fn two_sessions_that_are_paid_leave_one_subscription_and_a_refund() {
    let (world, _endpoint) = selling().await;
    pay(&world, "scale").await;
    let paid = until_status(&world, "active").await;
    let truth = billing(&world).truth();
    let first = &truth.customers[0].subscriptions[0];
    // As when the page of another session is paid at the same moment: Stripe refuses none.
    let session = another_session(&world, &truth.customers[0].id, &first.items[0].price).await;
    billing(&world)
        .pay_checkout(&session, "pm_card_visa")
        .unwrap();
    let first = first.id.clone();
    world
        .eventually("the second subscription to be undone", async || {
            let truth = billing(&world).truth();
            let all = &truth.customers[0].subscriptions;
            let undone = all.iter().find(|it| it.id != first)?;
            (undone.status == "canceled" && undone.paid > 0 && undone.refunded == undone.paid)
                .then_some(())
        })
        .await;
    assert_eq!(subscription(&world).await["plan"], paid["plan"]);
}

#[tokio::test]
async fn a_payment_method_that_is_set_up_becomes_the_default() {
    let (world, _endpoint) = selling().await;
    let body = json!({"email": "owner@example.com"});
    let begun = world
        .ask(Method::POST, "/v1/billing/setup-payment", Some(body))
        .await;
    assert_eq!(begun.status, StatusCode::OK, "{}", begun.body);
    assert_eq!(begun.body["publishable_key"], "pk_test_1");
    let setup_id = begun.body["setup_intent_id"].as_str().unwrap();
    billing(&world)
        .confirm_setup_intent(setup_id, "pm_card_mastercard")
        .unwrap();
    world
        .eventually("the payment method", async || {
            let found = subscription(&world).await;
            (found["payment_method"]["brand"] == "mastercard").then_some(())
        })
        .await;
    assert_eq!(billing(&world).truth().customers.len(), 1);
}

/// Each leaves one customer and one open session.
#[tokio::test]
async fn an_answer_that_is_lost_or_a_failure_makes_no_second_customer_and_no_second_session() {
    for endpoint in ["POST /v1/customers", "POST /v1/checkout/sessions"] {
        for fault in [
            Fault::Lost,
            Fault::FailedAfter(500),
            Fault::FailedBefore(500),
            Fault::Status(503),
            Fault::Truncate,
        ] {
            let (world, _endpoint) = selling().await;
            world.account().add_fault(FaultRule {
                endpoint: Some(endpoint.to_owned()),
                fault: fault.clone(),
                after: 0,
                times: 1,
                retry_after: None,
            });
            let first = checkout(&world, "pro").await;
            assert!(
                first.status.is_success() || first.body["code"] == "stripe_unreachable",
                "{endpoint} {fault:?}: {}",
                first.body
            );
            let second = checkout(&world, "pro").await;
            assert!(
                second.status.is_success(),
                "{endpoint} {fault:?}: {}",
                second.body
            );
            let truth = billing(&world).truth();
            assert_eq!(truth.customers.len(), 1, "{endpoint} {fault:?}");
            let open = truth
                .sessions
                .iter()
                .filter(|session| session.status == "open");
            assert_eq!(open.count(), 1, "{endpoint} {fault:?}");
        }
    }
}

#[tokio::test]
async fn a_price_that_stripe_does_not_know_cannot_be_subscribed_to() {
    let world = World::with_charges(0).platform().start().await;
    checkout(&world, "pro")
        .await
        .problem(422, "price_not_found");
    let unknown = checkout(&world, "nonsense").await;
    unknown.problem(422, "invalid_request");
    assert_eq!(billing(&world).truth().customers.len(), 0);
}
