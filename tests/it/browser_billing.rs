//! Plans and billing in a browser: from the plans through the simulator's pages in place of Stripe's to a connection under the paid
//! plan, and to its end.

use stripe_sim::WebhookEndpoint;
use tests::chromium::run_browser_tests_with;
use tests::sold_plans::sell;
use tests::world::World;

const SECRET: &str = "whsec_platform";
const NO_SCRIPT: &str = "https://connect-js.stripe.com";

#[tokio::test(flavor = "multi_thread")]
async fn an_organization_subscribes_and_cancels_in_a_browser() {
    let mut world = World::with_charges(20)
        .platform()
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
    for organization in ["hesitant", "keyboard", "indebted"] {
        world.organization(organization).await;
    }
    let token = |organization| world.token_of(organization).to_owned();
    let (hesitant, keyboard, indebted) = (token("hesitant"), token("keyboard"), token("indebted"));
    let variables = [
        ("STRIPE", world.sim.base_url.as_str()),
        ("STRIPE_KEY", world.account().key()),
        ("HESITANT", &hesitant),
        ("KEYBOARD", &keyboard),
        ("INDEBTED", &indebted),
    ];
    let acme = token("acme");
    run_browser_tests_with("billing", &world.api_url, &acme, &variables).await;
}
