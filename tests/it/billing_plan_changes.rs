//! What a change of plan brings, whoever reads first and however often: the limits of the plan, the rules and questions that come with
//! it, and events of our own, each once.

use std::time::Duration;

use chrono::TimeDelta;
use common::clock::Clock as _;
use futures::future::join_all;
use platform::billing::InvoiceStatus;
use platform::billing::plan::Plans;
use platform::billing::status::SubscriptionStatus;
use platform::billing::sync::sync;
use reqwest::Method;
use serde_json::{Value, json};
use tests::billing_shop::Shop;
use tests::webhook_handler::Handler;
use tests::world::{ForwardSettings, World, unlimited_account};

async fn rows(shop: &Shop, sql: &'static str) -> Vec<String> {
    sqlx::query_scalar(sql)
        .fetch_all(shop.database.admin())
        .await
        .unwrap()
}

async fn plan(shop: &Shop) -> Vec<String> {
    let sql = "SELECT COALESCE(plan, '-') FROM organizations WHERE organization_id = 'acme'";
    rows(shop, sql).await
}

/// The events of ours that were stored since this was last asked, by type.
async fn said(shop: &Shop) -> Vec<Value> {
    let payloads: Vec<Vec<u8>> = sqlx::query_scalar(
        "WITH gone AS (DELETE FROM webhook_events WHERE endpoint_id = 'stripe_sync' RETURNING payload, event_type)
         SELECT payload FROM gone ORDER BY event_type",
    )
    .fetch_all(shop.database.admin())
    .await
    .unwrap();
    let events = payloads.iter();
    events
        .map(|it| serde_json::from_slice(it).unwrap())
        .collect()
}

fn types(events: &[Value]) -> Vec<&str> {
    let types = events.iter().map(|event| event["type"].as_str().unwrap());
    types
        .map(|it| it.strip_prefix("stripe_sync.subscription.").unwrap())
        .collect()
}

async fn set_status(shop: &Shop, status: SubscriptionStatus) {
    shop.vendor
        .change(|reading| reading.subscriptions[0].status = status);
    shop.sync().await;
}

#[tokio::test]
async fn the_plan_in_force_is_stored_with_what_was_read_and_forgotten_with_the_customer() {
    let shop = Shop::subscribing().await;
    shop.sync().await;
    assert_eq!(plan(&shop).await, ["-"], "nothing was ever subscribed to");
    shop.vendor.advance_all();
    shop.sync().await;
    assert_eq!(plan(&shop).await, ["pro"]);
    set_status(&shop, SubscriptionStatus::Unpaid).await;
    assert_eq!(plan(&shop).await, ["free"]);
    set_status(&shop, SubscriptionStatus::Active).await;
    assert_eq!(plan(&shop).await, ["pro"]);
    shop.vendor.delete_customer("cus_1");
    shop.sync().await;
    assert_eq!(plan(&shop).await, ["free"]);
}

#[tokio::test]
async fn questions_come_with_the_first_access_to_a_plan_once() {
    let plans = json!({"plans": [
        {"plan": "free", "name": "Free", "seed": {"questions": [{"name": "Of the free plan"}]}},
        {"plan": "pro", "name": "Pro", "prices": [{"interval": "month", "lookup_key": "pro"}], "seed": {"questions": [
            {"name": "By country", "query": "group_by=country"}, {"name": "Lately", "page": "overview"}]}}]});
    let shop = Shop::selling(Plans::parse(&plans.to_string()).unwrap()).await;
    shop.subscribe("pro").await.unwrap();
    shop.sync().await;
    let names = "SELECT name FROM saved_questions WHERE shared ORDER BY name";
    assert!(rows(&shop, names).await.is_empty());
    shop.vendor.advance_all();
    let syncs = (0..8).map(|_| sync(&shop.consumer, &shop.organization));
    for synced in join_all(syncs).await {
        synced.unwrap();
    }
    assert_eq!(rows(&shop, names).await, ["By country", "Lately"]);
    sqlx::raw_sql("DELETE FROM saved_questions WHERE name = 'Lately'")
        .execute(shop.database.admin())
        .await
        .unwrap();
    set_status(&shop, SubscriptionStatus::Canceled).await;
    set_status(&shop, SubscriptionStatus::Active).await;
    assert_eq!(
        rows(&shop, names).await,
        ["By country"],
        "what was deleted stays deleted"
    );
}

#[tokio::test]
async fn rules_of_a_plan_are_given_to_each_connection_when_it_is_made() {
    let plans = json!({"plans": [{"plan": "free", "name": "Free", "seed": {"rules": [
        {"name": "No tests", "action": "exclude",
         "conditions": [{"type": "field", "field": "amount", "operator": "lt", "value": 100}]}]}}]});
    let plans = Plans::parse(&plans.to_string()).unwrap();
    let world = World::builder()
        .selling(plans)
        .account(unlimited_account(0))
        .start()
        .await;
    world.connect().await;
    let path = format!("/v1/connectors/{}/filters", world.connection_id());
    let rules = world.get(&path).await;
    assert_eq!(rules["data"].as_array().unwrap().len(), 1, "{rules:#}");
    assert_eq!(rules["data"][0]["name"], "No tests");
    assert_eq!(rules["data"][0]["action"], "exclude");
}

#[tokio::test]
async fn each_change_of_the_standing_is_said_once_and_nothing_where_nothing_changed() {
    let shop = Shop::subscribing().await;
    shop.sync().await;
    assert!(said(&shop).await.is_empty(), "nothing is subscribed to yet");
    shop.vendor.advance_all();
    let syncs = (0..8).map(|_| sync(&shop.consumer, &shop.organization));
    for synced in join_all(syncs).await {
        synced.unwrap();
    }
    shop.sync().await;
    let events = said(&shop).await;
    assert_eq!(types(&events), ["updated"], "{events:#?}");
    let event = &events[0];
    assert!(event["id"].as_str().unwrap().starts_with("evt_sync_"));
    assert_eq!(
        (&event["object"], &event["livemode"]),
        (&json!("event"), &json!(false))
    );
    let object = &event["data"]["object"];
    assert_eq!(
        (&object["plan"], &object["access"]),
        (&json!("pro"), &json!(true))
    );
    assert_eq!(object["organization_id"], "acme");
    let previous = &event["data"]["previous_attributes"];
    assert_eq!(
        (&previous["plan"], &previous["access"]),
        (&json!("free"), &json!(false))
    );

    let at = shop.clock.now() + TimeDelta::days(20);
    shop.vendor
        .change(|reading| reading.subscriptions[0].cancel_at = Some(at));
    shop.sync().await;
    shop.sync().await;
    let events = said(&shop).await;
    assert_eq!(types(&events), ["updated"]);
    assert_eq!(
        events[0]["data"]["previous_attributes"],
        json!({"cancel_at": null})
    );
    shop.vendor.change(|reading| {
        reading.subscriptions[0].cancel_at = None;
        reading.subscriptions[0].items[0].seats = 3;
    });
    shop.sync().await;
    let events = said(&shop).await;
    assert_eq!(events[0]["data"]["object"]["seats"], 3);
    // What moves with each renewal is no change.
    shop.vendor.change(|reading| {
        let item = &mut reading.subscriptions[0].items[0];
        item.current_period_end = Some(at);
    });
    shop.sync().await;
    assert!(said(&shop).await.is_empty());
    shop.vendor.delete_customer("cus_1");
    shop.sync().await;
    let events = said(&shop).await;
    assert_eq!(events[0]["data"]["object"]["plan"], "free");
    assert_eq!(types(&events), ["updated"]);
}

#[tokio::test]
async fn a_payment_that_fails_and_the_end_of_grace_are_said_once() {
    let shop = Shop::subscribed().await;
    said(&shop).await;
    let began = shop.clock.now();
    shop.vendor.change(|reading| {
        reading.subscriptions[0].status = SubscriptionStatus::PastDue;
        let invoice = &mut reading.invoices[0];
        invoice.status = InvoiceStatus::Open;
        invoice.created_at = began;
    });
    shop.sync().await;
    shop.sync().await;
    let events = said(&shop).await;
    assert_eq!(types(&events), ["payment_failed", "updated"]);
    let object = &events[0]["data"]["object"];
    assert_eq!(object["access"], true);
    assert_eq!(object["warnings"][0]["code"], "payment_failed");
    let ends: chrono::DateTime<chrono::Utc> =
        object["grace_ends"].as_str().unwrap().parse().unwrap();
    assert_eq!(ends, began + TimeDelta::days(7));
    shop.clock.advance(TimeDelta::days(7));
    shop.sync().await;
    let events = said(&shop).await;
    assert_eq!(types(&events), ["updated"]);
    assert_eq!(
        events[0]["data"]["previous_attributes"],
        json!({"access": true, "plan": "pro"})
    );
}

#[tokio::test]
async fn the_end_of_a_trial_and_what_is_undone_are_said_once() {
    let shop = Shop::subscribed().await;
    said(&shop).await;
    let ends = shop.clock.now() + TimeDelta::days(5);
    shop.vendor.change(|reading| {
        reading.subscriptions[0].status = SubscriptionStatus::Trialing;
        reading.subscriptions[0].trial_end = Some(ends);
    });
    shop.sync().await;
    assert_eq!(types(&said(&shop).await), ["updated"]);
    shop.clock.advance(TimeDelta::days(2));
    shop.sync().await;
    shop.sync().await;
    let events = said(&shop).await;
    assert_eq!(types(&events), ["trial_will_end"]);
    assert!(events[0]["data"]["previous_attributes"].is_null());

    shop.vendor.change(|reading| {
        let mut second = reading.subscriptions[0].clone();
        second.subscription_id = "sub_2".to_owned();
        second.created_at += TimeDelta::seconds(1);
        reading.subscriptions.push(second);
    });
    shop.sync().await;
    shop.sync().await;
    let events = said(&shop).await;
    let types = types(&events);
    let seconds = types.iter().filter(|it| **it == "second_subscription");
    assert_eq!(seconds.count(), 1, "{types:?}");
}

#[tokio::test]
async fn events_of_ours_reach_the_handler_as_those_of_stripe_do() {
    let handler = Handler::start().await;
    let world = World::builder()
        .platform()
        .account(unlimited_account(0))
        .forward(ForwardSettings {
            types: "stripe_sync.*".to_owned(),
            timeout: Duration::from_mins(1),
            ..ForwardSettings::to(handler.url.clone())
        })
        .start()
        .await;
    let billing = world.account().billing();
    let product = billing.create_product(&stripe_sim::NewProduct {
        name: "Pro".to_owned(),
        ..stripe_sim::NewProduct::default()
    });
    for key in ["pro", "scale"] {
        let price = stripe_sim::NewPrice {
            lookup_key: Some(format!("stripe_sync_{key}_month")),
            ..stripe_sim::NewPrice::monthly(&product, 900)
        };
        billing.create_price(&price).unwrap();
    }
    let body = json!({"plan": "scale", "interval": "month"});
    let opened = world
        .ask(Method::POST, "/v1/billing/checkout", Some(body))
        .await;
    let session = opened.body["session_id"].as_str().unwrap();
    billing.pay_checkout(session, "pm_card_visa").unwrap();
    let read = world.ask(Method::POST, "/v1/billing/sync", None).await;
    assert_eq!(read.expect(200)["plan"], "scale");
    world
        .eventually("the event to be delivered", async || {
            (!handler.requests().is_empty()).then_some(())
        })
        .await;
    let requests = handler.requests();
    let request = &requests[0];
    let event: Value = serde_json::from_slice(&request.body).unwrap();
    assert_eq!(event["type"], "stripe_sync.subscription.updated");
    assert_eq!(request.header("x-event-id"), event["id"].as_str().unwrap());
    assert_eq!(request.header("webhook-id"), event["id"].as_str().unwrap());
    assert_eq!(request.header("x-organization-id"), "acme");
    let listed = world
        .get("/v1/webhooks/events?type=stripe_sync.subscription.updated")
        .await;
    assert_eq!(listed["data"][0]["stripe_event_id"], event["id"]);
    assert_eq!(listed["data"][0]["status"], "ignored");
    let stats = world.get("/v1/webhooks/stats").await;
    assert_eq!(stats["received"], 0, "nobody sent it to us");
}
