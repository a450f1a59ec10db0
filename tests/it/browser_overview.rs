//! The overview in a browser, before an account that sends webhooks.

use tests::chromium::run_browser_tests_with;
use tests::webhooks::{connected, receive};

#[tokio::test(flavor = "multi_thread")]
async fn the_overview_works_in_a_browser() {
    let world = connected(2_000).await;
    let _sender = receive(&world).await;
    let token = world.token_of("acme").to_owned();
    let connection = world.connection_id();
    let variables = [
        ("SIMULATOR", world.sim.base_url.as_str()),
        ("CONNECTION", connection.as_str()),
    ];
    run_browser_tests_with("overview", &world.api_url, &token, &variables).await;
}
