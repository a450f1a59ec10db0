//! A connected account is read with the platform's key: the same engine, and no key is handed over.

use axum::http::StatusCode;
use reqwest::Method;
use serde_json::{Value, json};
use stripe_sim::{NewCharge, WebhookEndpoint};
use tests::webhooks::DELIVERY_TIMEOUT;
use tests::world::World;

const SECRET: &str = "whsec_connect";

/// A platform whose organization has an active account with a charge.
async fn platform() -> (World, String) {
    let world = World::with_charges(0)
        .platform()
        .platform_secrets(&[], &[SECRET])
        .start()
        .await;
    let onboarded = world.ask(Method::POST, "/v1/connect/onboard", None).await;
    let account_id = onboarded.body["account_id"].as_str().unwrap().to_owned();
    let connect = world.account().connect();
    connect.submit(&account_id, true).unwrap();
    let account = connect.account(&account_id).unwrap();
    account.create_charge(&NewCharge::of(700, "usd")).unwrap();
    (world, account_id)
}

async fn connect(world: &World) -> (StatusCode, Value) {
    let body = json!({"organization_id": "acme", "via": "platform"});
    let answer = world
        .ask(Method::POST, "/v1/connectors/stripe/connect", Some(body))
        .await;
    (answer.status, answer.body)
}

async fn net(world: &World, id: &str) -> Value {
    let report = world
        .get(&format!(
            "/v1/analytics/stripe?connection_id={id}&group_by=currency"
        ))
        .await;
    report["totals"][0]["net"].clone()
}

#[tokio::test]
async fn a_connected_account_is_synced_without_a_key_and_follows_its_events() {
    let (world, account_id) = platform().await;
    let (status, connected) = connect(&world).await;
    assert_eq!(status, StatusCode::CREATED, "{connected}");
    assert_eq!(connected["stripe_account_id"], account_id.as_str());
    world.job_completed(&connected["job_id"]).await;
    let id = connected["connection_id"].as_str().unwrap();
    assert_eq!(net(&world, id).await, 700);
    let keys: i64 =
        sqlx::query_scalar("SELECT COUNT(*) FROM connection_credentials WHERE purpose = 'api_key'")
            .fetch_one(world.database.admin())
            .await
            .unwrap();
    assert_eq!(keys, 0, "no key is stored");

    let endpoint = WebhookEndpoint {
        secret: Some(SECRET.to_owned()),
        connect: true,
        ..WebhookEndpoint::at(format!("{}/webhooks/stripe/connect", world.api_url))
    };
    let endpoint = world.account().add_webhook_endpoint(endpoint).unwrap();
    let account = world.account().connect().account(&account_id).unwrap();
    account.create_charge(&NewCharge::of(300, "usd")).unwrap();
    endpoint.wait_until_idle(DELIVERY_TIMEOUT).await.unwrap();
    world
        .eventually("the second charge to be counted", async || {
            (net(&world, id).await == 1_000).then_some(())
        })
        .await;
}

#[tokio::test]
async fn a_connection_of_the_platforms_has_no_key_to_replace_and_no_endpoint_of_its_own() {
    let (world, _) = platform().await;
    let (_, connected) = connect(&world).await;
    let id = connected["connection_id"].as_str().unwrap();
    let shown = world.get(&format!("/v1/connectors/{id}")).await;
    assert_eq!(shown["via"], "platform");
    let key = Some(json!({"api_key": "rk_test_1"}));
    let replaced = world
        .ask(Method::PUT, &format!("/v1/connectors/stripe/{id}/key"), key)
        .await;
    replaced.problem(409, "managed_by_platform");
    let endpoint = world
        .ask(
            Method::POST,
            &format!("/v1/connectors/stripe/{id}/webhook"),
            None,
        )
        .await;
    endpoint.problem(409, "managed_by_platform");
    let tested = world
        .ask(
            Method::POST,
            &format!("/v1/connectors/stripe/{id}/test"),
            None,
        )
        .await;
    assert_eq!(tested.body["ok"], true, "{}", tested.body);
    let (status, again) = connect(&world).await;
    assert_eq!(status, StatusCode::CONFLICT, "{again}");
    assert_eq!(again["code"], "connection_exists");
}

#[tokio::test]
async fn an_account_that_took_our_access_away_stops_its_connection_in_words() {
    let (world, account_id) = platform().await;
    let (_, connected) = connect(&world).await;
    world.job_completed(&connected["job_id"]).await;
    world.account().connect().deauthorize(&account_id).unwrap();
    let id = connected["connection_id"].as_str().unwrap();
    let sync = world
        .ask(
            Method::POST,
            &format!("/v1/connectors/stripe/{id}/sync"),
            None,
        )
        .await;
    assert_eq!(sync.status, StatusCode::ACCEPTED, "{}", sync.body);
    let path = format!("/v1/connectors/{id}");
    world
        .eventually("the connection to say what is wrong", async || {
            let connection = world.get(&path).await;
            (!connection["problem"].is_null()).then_some(())
        })
        .await;
}

#[tokio::test]
async fn without_an_account_there_is_nothing_to_connect() {
    let world = World::with_charges(0).platform().start().await;
    let (status, refused) = connect(&world).await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert_eq!(refused["code"], "account_not_ready");
    let world = World::with_charges(0).start().await;
    assert_eq!(connect(&world).await.0, StatusCode::NOT_IMPLEMENTED);
}
