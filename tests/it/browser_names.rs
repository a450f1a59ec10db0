//! Names of products, prices and customers in a browser.

use tests::chromium::run_browser_tests_with;
use tests::webhooks::connected;

#[tokio::test(flavor = "multi_thread")]
async fn pages_with_names_work_in_a_browser() {
    let world = connected(2_000).await;
    let token = world.token_of("acme").to_owned();
    let connection = world.connection_id();
    let variables = [("CONNECTION", connection.as_str())];
    run_browser_tests_with("names", &world.api_url, &token, &variables).await;
}
