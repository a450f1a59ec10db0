//! How soon a plan is there that was paid: on the page that Stripe leads to without any event, and by events alone when nobody
//! opens it.

use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Client, Response, StatusCode, header};
use stripe_sim::{EndpointHandle, WebhookEndpoint};
use tests::sold_plans::{built_in, sell};
use tests::world::World;
use tokio::time::Instant;
use url::form_urlencoded;

const SECRET: &str = "whsec_platform";
/// From the redirect to the page with the new plan.
const ON_THE_PAGE: Duration = Duration::from_secs(1);
/// From the payment to the new plan in the API.
const BY_EVENTS: Duration = Duration::from_secs(2);

async fn selling() -> (World, EndpointHandle) {
    let world = World::with_charges(0)
        .selling(built_in())
        .platform_secrets(&[SECRET], &[])
        .browsed("https://connect-js.stripe.com")
        .start()
        .await;
    sell(&world.account().billing());
    let endpoint = WebhookEndpoint {
        secret: Some(SECRET.to_owned()),
        ..WebhookEndpoint::at(format!("{}/webhooks/stripe", world.api_url))
    };
    let endpoint = world.account().add_webhook_endpoint(endpoint).unwrap();
    (world, endpoint)
}

/// A browser, which follows no redirect by itself.
struct Browser {
    http: Client,
    cookie: String,
}

impl Browser {
    async fn signed_in(world: &World) -> Self {
        let http = Client::builder().redirect(Policy::none()).build().unwrap();
        let stranger = Self {
            http,
            cookie: String::new(),
        };
        let token = world.token_of("acme");
        let url = format!("{}/sign-in", world.api_url);
        let answer = stranger.post(&url, &[("token", token)]).await;
        let cookie = answer.headers()[header::SET_COOKIE].to_str().unwrap();
        let (cookie, _) = cookie.split_once(';').unwrap();
        Self {
            cookie: cookie.to_owned(),
            ..stranger
        }
    }

    async fn post(&self, url: &str, form: &[(&str, &str)]) -> Response {
        let form = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(form)
            .finish();
        let request = self.http.post(url).header("sec-fetch-site", "same-origin");
        let request = request.header(header::COOKIE, &self.cookie);
        let kind = "application/x-www-form-urlencoded";
        let request = request.header(header::CONTENT_TYPE, kind).body(form);
        request.send().await.unwrap()
    }

    async fn get(&self, url: &str) -> String {
        let request = self.http.get(url).header(header::COOKIE, &self.cookie);
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        answer.text().await.unwrap()
    }

    /// Goes to Stripe's page and pays; where that leads to, and when it did.
    async fn pay(&self, world: &World) -> (String, Instant) {
        let form = [("plan", "scale"), ("interval", "month")];
        let url = format!("{}/billing/checkout", world.api_url);
        let stripe = location(&self.post(&url, &form).await);
        let paid = self.post(&stripe, &[("action", "pay")]).await;
        (location(&paid), Instant::now())
    }
}

fn location(answer: &Response) -> String {
    assert_eq!(answer.status(), StatusCode::SEE_OTHER);
    answer.headers()[header::LOCATION]
        .to_str()
        .unwrap()
        .to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_after_a_payment_has_the_plan_within_a_second_while_no_event_comes() {
    let (world, endpoint) = selling().await;
    endpoint.disable();
    let browser = Browser::signed_in(&world).await;
    let (success, redirected) = browser.pay(&world).await;
    let page = browser.get(&success).await;
    let took = redirected.elapsed();
    assert!(page.contains("You have Scale"), "{page}");
    assert!(took < ON_THE_PAGE, "{took:?}");
    let subscription = world.get("/v1/billing/subscription").await;
    assert_eq!(subscription["plan"], "scale");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_closes_the_browser_after_paying_has_the_plan_by_events_within_two_seconds() {
    let (world, _endpoint) = selling().await;
    let browser = Browser::signed_in(&world).await;
    let (_, paid) = browser.pay(&world).await;
    world
        .eventually("the plan", async || {
            let found = world.get("/v1/billing/subscription").await;
            (found["plan"] == "scale").then_some(())
        })
        .await;
    let took = paid.elapsed();
    assert!(took < BY_EVENTS, "{took:?}");
}
