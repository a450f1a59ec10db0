//! A platform with one organization, `acme`, whose connected account is active, before a simulated Stripe.

use reqwest::Method;
use serde_json::json;

use crate::world::World;

/// Minor units of dollars that the platform has to begin with.
pub const FUNDS: i64 = 10_000_000;

/// The account of `acme`, onboarded as a person does it.
pub async fn onboard(world: &World) -> String {
    let body = json!({"preset": "express", "country": "US"});
    let onboarded = world
        .ask(Method::POST, "/v1/connect/onboard", Some(body))
        .await;
    let onboarded = onboarded.expect(201);
    let account_id = onboarded["account_id"].as_str().expect("an id").to_owned();
    let connect = world.account().connect();
    connect.submit(&account_id, true).expect("it is there");
    let status = world.get("/v1/connect/status/acme?refresh=true").await;
    assert_eq!(status["status"], "active", "{status}");
    account_id
}

/// A platform that has money, and the account of its organization. No consumer works.
pub async fn start() -> (World, String) {
    let world = World::with_charges(0).platform().consumers(0).start().await;
    let account_id = onboard(&world).await;
    let connect = world.account().connect();
    connect
        .fund(None, FUNDS, "usd", false)
        .expect("a platform takes money");
    (world, account_id)
}
