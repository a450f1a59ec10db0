//! Building conditions on Explore, and saving the question, in a browser.

use common::tenant::{OrganizationId, TokenRole};
use tests::chromium::run_browser_tests_with;
use tests::webhooks::connected;

#[tokio::test(flavor = "multi_thread")]
async fn conditions_are_built_and_questions_saved_in_a_browser() {
    let world = connected(2_000).await;
    let token = world.token_of("acme").to_owned();
    let acme = OrganizationId::new("acme").unwrap();
    let analyst = world.token(&acme, TokenRole::Analyst).await;
    let connection = world.connection_id();
    let variables = [
        ("SIMULATOR", world.sim.base_url.as_str()),
        ("CONNECTION", connection.as_str()),
        ("ANALYST", analyst.as_str()),
    ];
    run_browser_tests_with("filter_builder", &world.api_url, &token, &variables).await;
}
