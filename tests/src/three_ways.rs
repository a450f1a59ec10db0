//! A case that Stripe may show, found in three ways: listed by a full sync, named by the events that an incremental sync
//! reads, and by webhooks that come in another order than they were cases in. Each way must end in the truth.

use std::collections::HashSet;
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use stripe_sim::{AccountConfig, AccountHandle, WebhookFault, WebhookFaultRule};

use crate::webhooks::{all_applied, endpoint_path, receive};
use crate::world::World;

/// The events that Stripe lists and that were not `seen`, of the `types` that are sent, the newest first.
async fn unseen_events(world: &World, types: &[String], seen: &mut HashSet<String>) -> Vec<Value> {
    let http = reqwest::Client::builder()
        .timeout(Duration::from_mins(1))
        .build()
        .expect("a client");
    let mut events: Vec<Value> = Vec::new();
    loop {
        let after = events.last().map(|event| {
            let id = event["id"].as_str().expect("an id");
            format!("&starting_after={id}")
        });
        let after = after.unwrap_or_default();
        let url = format!("{}/v1/events?limit=100{after}", world.sim.base_url);
        let listed = http
            .request(Method::GET, url)
            .bearer_auth(world.account().key());
        let listed: Value = listed
            .send()
            .await
            .expect("an answer")
            .json()
            .await
            .expect("JSON");
        events.extend(listed["data"].as_array().expect("events").iter().cloned());
        if listed["has_more"] != true {
            break;
        }
    }
    events.retain(|event| {
        let is_new = seen.insert(event["id"].to_string());
        is_new && types.iter().any(|known| event["type"] == known.as_str())
    });
    events
}

/// Makes a case in an account in each way, and has what is stored compared with the truth and looked at by `check`.
pub async fn three_ways<T>(
    config: AccountConfig,
    make: impl Fn(&AccountHandle) -> T,
    check: impl AsyncFn(&World, &T),
) {
    three_ways_with(config, &json!({}), make, check).await;
}

/// The same for a connection of these settings.
pub async fn three_ways_with<T>(
    config: AccountConfig,
    settings: &Value,
    make: impl Fn(&AccountHandle) -> T,
    check: impl AsyncFn(&World, &T),
) {
    let world = World::builder().account(config).start().await;
    let mut cases = vec![("listed", make(&world.account().quietly()))];
    let connected = world.connect().await;
    world.job_completed(&connected["job_id"]).await;
    if *settings != json!({}) {
        let path = format!("/v1/connectors/{}", world.connection_id());
        let changed = world.ask(Method::PATCH, &path, Some(settings.clone()));
        changed.await.expect(200);
        world.sync(json!({"job_type": "full"})).await;
    }
    let look = async |way: &str, cases: &[(&str, T)]| {
        println!("{way}: {} times", cases.len());
        world.assert_exact().await;
        for (_, one) in cases {
            check(&world, one).await;
        }
    };
    look("a full sync", &cases).await;

    cases.push(("named by events", make(&world.account())));
    world.sync(json!({})).await;
    look("an incremental sync", &cases).await;

    let sender = receive(&world).await;
    sender.add_fault(WebhookFaultRule::always(WebhookFault::Drop));
    let endpoint = world.get(&endpoint_path(&world)).await;
    let types: Vec<String> =
        serde_json::from_value(endpoint["enabled_events"].clone()).expect("names");
    let mut seen = HashSet::new();
    unseen_events(&world, &types, &mut seen).await;
    for one_by_one in [false, true] {
        cases.push(("sent, the newest first", make(&world.account())));
        for event in unseen_events(&world, &types, &mut seen).await {
            assert_eq!(sender.send(&event).await.expect("an answer"), 200);
            if one_by_one {
                all_applied(&world).await;
            }
        }
        all_applied(&world).await;
        look("webhooks, the newest first", &cases).await;
    }

    world.sync(json!({"job_type": "full"})).await;
    look("another full sync", &cases).await;
}
