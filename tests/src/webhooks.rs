//! A world whose first account sends its webhooks to the engine.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use stripe_sim::{EndpointHandle, WebhookEndpoint};

use crate::world::World;

/// A minute of Stripe's waits between two attempts, in seconds of a test.
const MINUTE: f64 = 0.01;
/// How long deliveries may take.
pub const DELIVERY_TIMEOUT: Duration = Duration::from_mins(1);

/// A world whose first account is connected and synced.
pub async fn connected(charges: u64) -> World {
    let world = World::with_charges(charges).start().await;
    let connected = world.connect().await;
    world.job_completed(&connected["job_id"]).await;
    world
}

/// The path of the webhook endpoint of a world's connection.
pub fn endpoint_path(world: &World) -> String {
    format!("/v1/connectors/stripe/{}/webhook", world.connection_id())
}

/// Where the engine of a world receives what is sent to this address.
pub fn local_url(world: &World, url: &Value) -> String {
    let url = url.as_str().expect("an address");
    let (_, path) = url
        .split_once("/webhooks/")
        .expect("an address of webhooks");
    format!("{}/webhooks/{path}", world.api_url)
}

/// Has the first account, which is connected, send its webhooks to the engine.
pub async fn receive(world: &World) -> EndpointHandle {
    let path = endpoint_path(world);
    let created = world.ask(Method::POST, &path, None).await.expect(201);
    let sender = world
        .account()
        .add_webhook_endpoint(WebhookEndpoint {
            time_scale: MINUTE / 60.0,
            ..WebhookEndpoint::at(local_url(world, &created["url"]))
        })
        .expect("the account has room for an endpoint");
    let secret = json!({"signing_secret": sender.secret()});
    world
        .ask(Method::PUT, &path, Some(secret))
        .await
        .expect(200);
    sender
}

/// How many stored events are in this state.
pub async fn count(world: &World, status: &str) -> i64 {
    sqlx::query_scalar("SELECT COUNT(*) FROM webhook_events WHERE status = $1")
        .bind(status)
        .fetch_one(world.database.admin())
        .await
        .expect("PostgreSQL answers")
}

/// Waits until every event that was received is applied, and no job is left that applies any.
pub async fn all_applied(world: &World) {
    world
        .eventually("the events to be applied", async || {
            let left: i64 = sqlx::query_scalar(
                "SELECT (SELECT COUNT(*) FROM webhook_events WHERE status = 'pending')
                      + (SELECT COUNT(*) FROM sync_jobs WHERE finished_at IS NULL)",
            )
            .fetch_one(world.database.admin())
            .await
            .expect("PostgreSQL answers");
            (left == 0).then_some(())
        })
        .await;
}
