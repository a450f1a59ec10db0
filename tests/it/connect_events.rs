//! Events of connected accounts: each makes the account be read again, whatever it says and in whatever order.

use axum::http::StatusCode;
use reqwest::Method;
use serde_json::{Value, json};
use stripe_sim::{
    EndpointHandle, Fault, FaultRule, WebhookEndpoint, WebhookFault, WebhookFaultRule,
};
use tests::webhooks::DELIVERY_TIMEOUT;
use tests::world::World;

const CONNECT: &str = "/webhooks/stripe/connect";
const SECRET: &str = "whsec_connect";

/// A platform with a Connect endpoint, and an organization whose account is onboarding.
async fn onboarding() -> (World, EndpointHandle, String) {
    let world = World::with_charges(0)
        .platform()
        .platform_secrets(&[], &[SECRET])
        .start()
        .await;
    let endpoint = WebhookEndpoint {
        secret: Some(SECRET.to_owned()),
        connect: true,
        ..WebhookEndpoint::at(format!("{}{CONNECT}", world.api_url))
    };
    let endpoint = world.account().add_webhook_endpoint(endpoint).unwrap();
    let onboarded = world.ask(Method::POST, "/v1/connect/onboard", None).await;
    assert_eq!(onboarded.status, StatusCode::CREATED, "{}", onboarded.body);
    let account_id = onboarded.body["account_id"].as_str().unwrap().to_owned();
    (world, endpoint, account_id)
}

async fn status(world: &World) -> Value {
    world.get("/v1/connect/status/acme").await["status"].clone()
}

async fn until_status(world: &World, wanted: &str) {
    world
        .eventually(&format!("the status {wanted}"), async || {
            (status(world).await == wanted).then_some(())
        })
        .await;
}

/// The events of the organization, by type and status.
async fn events(world: &World) -> Vec<(String, String)> {
    let events = world.get("/v1/webhooks/events").await;
    let events = events["data"].as_array().unwrap().clone();
    let text = |event: &Value, name: &str| event[name].as_str().unwrap().to_owned();
    events
        .iter()
        .map(|event| (text(event, "type"), text(event, "status")))
        .collect()
}

#[tokio::test]
async fn an_organization_becomes_active_by_webhook_and_its_events_are_its_own() {
    let (world, endpoint, account_id) = onboarding().await;
    let connect = world.account().connect();
    connect.submit(&account_id, true).unwrap();
    until_status(&world, "active").await;
    endpoint.wait_until_idle(DELIVERY_TIMEOUT).await.unwrap();
    world
        .eventually("every event to be processed", async || {
            let events = events(&world).await;
            let done = events.iter().all(|(_, status)| status == "processed");
            (done && events.iter().any(|(name, _)| name == "account.updated")).then_some(())
        })
        .await;
    connect
        .require(&account_id, &["external_account"], None, Vec::new())
        .unwrap();
    world
        .eventually("the requirement", async || {
            let account = world.get("/v1/connect/status/acme").await;
            (!account["requirements"].as_array().unwrap().is_empty()).then_some(())
        })
        .await;
}

#[tokio::test]
async fn doubled_and_delayed_events_end_in_what_stripe_has() {
    let (world, endpoint, account_id) = onboarding().await;
    endpoint.add_fault(WebhookFaultRule::always(WebhookFault::Duplicate));
    let connect = world.account().connect();
    connect.switch(|switches| switches.instant_verification = false);
    connect.submit(&account_id, true).unwrap();
    connect.verify(&account_id).unwrap();
    connect
        .set_capability(&account_id, "transfers", Some("inactive"))
        .unwrap();
    connect
        .set_capability(&account_id, "transfers", None)
        .unwrap();
    connect.set_payouts(&account_id, false, true).unwrap();
    endpoint.wait_until_idle(DELIVERY_TIMEOUT).await.unwrap();
    until_status(&world, "restricted").await;
    let account = world.get("/v1/connect/status/acme").await;
    assert_eq!(account["payouts_enabled"], false);
}

#[tokio::test]
async fn an_account_that_is_deauthorized_is_disconnected_by_the_event() {
    let (world, _endpoint, account_id) = onboarding().await;
    world.account().connect().deauthorize(&account_id).unwrap();
    until_status(&world, "disconnected").await;
}

#[tokio::test]
async fn payouts_that_are_turned_off_without_an_event_are_seen_when_the_account_is_read_again() {
    let (world, _endpoint, account_id) = onboarding().await;
    let connect = world.account().connect();
    connect.submit(&account_id, true).unwrap();
    until_status(&world, "active").await;
    connect.set_payouts(&account_id, false, false).unwrap();
    // An event of before may still be on its way, and would move the time of the next reading.
    world
        .eventually("the account to be read again", async || {
            sqlx::query("UPDATE connected_accounts SET next_read_at = now()")
                .execute(world.database.admin())
                .await
                .unwrap();
            (status(&world).await == "restricted").then_some(())
        })
        .await;
}

#[tokio::test]
async fn an_event_waits_for_stripe_to_come_back_and_costs_no_attempt() {
    let (world, endpoint, account_id) = onboarding().await;
    world.account().add_fault(FaultRule {
        endpoint: Some("GET /v1/accounts/{id}".to_owned()),
        fault: Fault::Status(503),
        after: 0,
        times: 8,
        retry_after: None,
    });
    world.account().connect().submit(&account_id, true).unwrap();
    endpoint.wait_until_idle(DELIVERY_TIMEOUT).await.unwrap();
    until_status(&world, "active").await;
    let dead = world.get("/v1/webhooks/events?status=dead").await;
    assert_eq!(dead["data"], json!([]));
}

#[tokio::test]
async fn an_event_of_a_strangers_account_is_kept_and_ignored() {
    let (world, endpoint, _) = onboarding().await;
    let event = json!({"id": "evt_stranger", "object": "event", "type": "account.updated", "created": 1_700_000_000,
                       "account": "acct_stranger", "data": {"object": {"object": "account", "id": "acct_stranger"}}});
    let body = event.to_string();
    let signature = endpoint.sign(body.as_bytes(), world.sim.now());
    let answer = reqwest::Client::builder()
        .timeout(DELIVERY_TIMEOUT)
        .build()
        .unwrap()
        .post(format!("{}{CONNECT}", world.api_url))
        .header("stripe-signature", signature)
        .body(body)
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 200);
    let stored: (String, String) = sqlx::query_as(
        "SELECT organization_id, status FROM webhook_events WHERE external_event_id = 'evt_stranger'",
    )
    .fetch_one(world.database.admin())
    .await
    .unwrap();
    assert_eq!(stored, ("_platform".to_owned(), "ignored".to_owned()));
}

/// Stripe sends test events of connected accounts to live endpoints, too. The platform's key here is one of test mode.
#[tokio::test]
async fn an_event_of_the_other_mode_is_kept_and_asks_stripe_nothing() {
    let (world, endpoint, account_id) = onboarding().await;
    endpoint.wait_until_idle(DELIVERY_TIMEOUT).await.unwrap();
    let send = async |id: &str, livemode: bool| {
        let event = json!({"id": id, "object": "event", "type": "payout.paid", "created": 1_700_000_000,
            "account": account_id, "livemode": livemode, "data": {"object": {"object": "payout", "id": "po_1"}}});
        assert_eq!(endpoint.send(&event).await.unwrap(), 200);
    };
    send("evt_live", true).await;
    send("evt_test", false).await;
    let status = async |id: &str| {
        let events = world.get("/v1/webhooks/events?type=payout.paid").await;
        let mut events = events["data"].as_array().unwrap().clone().into_iter();
        let event = events.find(|event| event["stripe_event_id"] == id);
        event.unwrap()["status"].as_str().unwrap().to_owned()
    };
    world
        .eventually("the event of the key's mode to be handled", async || {
            let status = status("evt_test").await;
            (status != "pending" && status != "processing").then_some(())
        })
        .await;
    assert_eq!(status("evt_live").await, "ignored");
    assert_ne!(status("evt_test").await, "ignored");
}
