//! "Get paid" in a browser: from the first click to a disconnected account, on the simulator's pages in place of Stripe's and
//! with a script that stands in for Stripe's.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use axum::routing::get;
use stripe_sim::WebhookEndpoint;
use tests::chromium::run_browser_tests_with;
use tests::world::World;

const CONNECT: &str = "/webhooks/stripe/connect";
const SECRET: &str = "whsec_connect";
const STAND_IN: &str = include_str!("../browser/connect_stand_in.js");

/// Serves the script where Stripe's would be; its origin, and how often it was asked for.
async fn serve_script() -> (String, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let router = Router::new()
        .route("/v1.0/connect.js", get(script))
        .with_state(Arc::clone(&asked));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    (origin, asked)
}

async fn script(State(asked): State<Arc<AtomicUsize>>) -> impl IntoResponse {
    asked.fetch_add(1, Ordering::Relaxed);
    ([(header::CONTENT_TYPE, "text/javascript")], STAND_IN)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_organization_gets_paid_in_a_browser() {
    let (stripe_script, asked) = serve_script().await;
    let world = World::with_charges(0)
        .platform()
        .platform_secrets(&[], &[SECRET])
        .browsed(&stripe_script)
        .start()
        .await;
    let endpoint = WebhookEndpoint {
        secret: Some(SECRET.to_owned()),
        connect: true,
        ..WebhookEndpoint::at(format!("{}{CONNECT}", world.api_url))
    };
    world.account().add_webhook_endpoint(endpoint).unwrap();
    world
        .account()
        .connect()
        .switch(|switches| switches.instant_verification = false);
    let token = world.token_of("acme").to_owned();
    let variables = [
        ("STRIPE", world.sim.base_url.as_str()),
        ("STRIPE_SCRIPT", stripe_script.as_str()),
    ];
    run_browser_tests_with("payouts", &world.api_url, &token, &variables).await;
    assert!(asked.load(Ordering::Relaxed) > 0);
}
