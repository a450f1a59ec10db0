//! Explore and the charges behind it in a browser.

use tests::chromium::run_browser_tests_with;
use tests::webhooks::connected;

#[tokio::test(flavor = "multi_thread")]
async fn explore_pages_work_in_a_browser() {
    let world = connected(2_000).await;
    let token = world.token_of("acme").to_owned();
    let connection = world.connection_id();
    let variables = [
        ("SIMULATOR", world.sim.base_url.as_str()),
        ("CONNECTION", connection.as_str()),
    ];
    run_browser_tests_with("explore", &world.api_url, &token, &variables).await;
}
