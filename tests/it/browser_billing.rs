//! Plans and billing in a browser: from the plans through the simulator's pages in place of Stripe's to a connection under the paid
//! plan, and to its end.

use stripe_sim::WebhookEndpoint;
use tests::chromium::run_browser_tests_with;
use tests::sold_plans::{built_in, sell};
use tests::world::World;

const SECRET: &str = "whsec_platform";
const NO_SCRIPT: &str = "https://connect-js.stripe.com";

/// A platform that sells plans, and these organizations.
async fn selling(organizations: &[&str]) -> World {
    let mut world = World::with_charges(20)
        .selling(built_in())
        .platform_secrets(&[SECRET], &[])
        .browsed(NO_SCRIPT)
        .start()
        .await;
    sell(&world.account().billing());
    let endpoint = WebhookEndpoint {
        secret: Some(SECRET.to_owned()),
        ..WebhookEndpoint::at(format!("{}/webhooks/stripe", world.api_url))
    };
    world.account().add_webhook_endpoint(endpoint).unwrap();
    for organization in organizations {
        world.organization(organization).await;
    }
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn an_organization_subscribes_and_cancels_in_a_browser() {
    let world = selling(&["hesitant"]).await;
    let account = world.account();
    let variables = [
        ("STRIPE", world.sim.base_url.as_str()),
        ("STRIPE_KEY", account.key()),
        ("HESITANT", world.token_of("hesitant")),
    ];
    let token = world.token_of("acme");
    run_browser_tests_with("billing", &world.api_url, token, &variables).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn how_an_organization_stands_is_said_in_a_browser() {
    let world = selling(&["keyboard", "indebted"]).await;
    let variables = [
        ("STRIPE", world.sim.base_url.as_str()),
        ("KEYBOARD", world.token_of("keyboard")),
        ("INDEBTED", world.token_of("indebted")),
    ];
    let token = world.token_of("acme");
    run_browser_tests_with("billing_states", &world.api_url, token, &variables).await;
}
