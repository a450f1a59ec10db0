//! What changed later, in a browser.

use stripe_sim::NewCharge;
use tests::chromium::run_browser_tests;
use tests::world::World;

const DAY: i64 = 86_400;

#[tokio::test(flavor = "multi_thread")]
async fn what_changed_later_is_read_in_a_browser() {
    let world = World::with_charges(200).start().await;
    let account = world.account();
    let charges: Vec<String> = (2..8)
        .map(|days_ago| {
            let charge = NewCharge {
                created: Some(world.sim.now() - days_ago * DAY),
                ..NewCharge::of(days_ago * 1_000, "usd")
            };
            account.create_charge(&charge).unwrap()
        })
        .collect();
    let connected = world.connect().await;
    world.job_completed(&connected["job_id"]).await;
    for charge in &charges {
        account.refund(charge, Some(240)).unwrap();
    }
    world.sync(serde_json::json!({})).await;
    let token = world.token_of("acme").to_owned();
    run_browser_tests("restatements", &world.api_url, &token).await;
}
