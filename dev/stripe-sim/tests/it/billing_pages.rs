//! The pages of Checkout and of the portal, as a browser without scripts uses them.

use reqwest::redirect;
use stripe_sim::NewPromotionCode;

use crate::billing::{Shop, VISA};
use crate::client::http;
use crate::connect::{id, made};

/// What a page answered with: where it leads to, or its text.
#[derive(Debug, PartialEq)]
enum Shown {
    Elsewhere(String),
    Page(String),
}

impl Shown {
    fn text(self) -> String {
        match self {
            Self::Page(text) => text,
            Self::Elsewhere(url) => panic!("it leads to {url}"),
        }
    }
}

async fn shown(request: reqwest::RequestBuilder) -> Shown {
    let response = request.send().await.expect("the simulator answers");
    match response.headers().get("location") {
        Some(url) => Shown::Elsewhere(url.to_str().expect("an address").to_owned()),
        None => Shown::Page(response.text().await.expect("a page")),
    }
}

/// Opens the page, or presses the button of the form with this body.
async fn browse(url: &str, form: Option<&str>) -> Shown {
    // The client of all tests has chosen how TLS is done.
    let _ = http();
    let client = reqwest::Client::builder().redirect(redirect::Policy::none());
    let client = client.build().expect("a plain client");
    match form {
        None => shown(client.get(url)).await,
        Some(form) => shown(client.post(url).body(form.to_owned())).await,
    }
}

async fn press(url: &str, action: &str) -> Shown {
    browse(url, Some(&format!("action={action}"))).await
}

async fn opened(shop: &Shop, more: &[(&str, &str)]) -> (String, String) {
    let customer = shop.stranger();
    let session = shop.session(&customer, more).await;
    let url = session["url"].as_str().expect("an address").to_owned();
    (id(&session), url)
}

#[tokio::test]
async fn a_person_pays_and_is_led_back() {
    let shop = Shop::open().await;
    let (session, url) = opened(&shop, &[]).await;
    let page = browse(&url, None).await.text();
    for text in [
        "Pro",
        "2000 usd each month",
        ">Pay<",
        "Go back",
        "Let it expire",
    ] {
        assert!(page.contains(text), "{text}: {page}");
    }
    let done = format!("http://example.com/done?session_id={session}");
    assert_eq!(press(&url, "pay").await, Shown::Elsewhere(done));
    let page = browse(&url, None).await.text();
    assert!(
        page.contains("is complete") && !page.contains("<form"),
        "{page}"
    );
    assert!(press(&url, "pay").await.text().contains("is complete"));
    assert_eq!(shop.billing().truth().subscriptions, 1);
}

#[tokio::test]
async fn a_person_goes_back_and_the_session_stays_open() {
    let shop = Shop::open().await;
    let (_, url) = opened(&shop, &[]).await;
    let back = Shown::Elsewhere("http://example.com/back".to_owned());
    assert_eq!(press(&url, "back").await, back);
    assert_eq!(shop.billing().truth().sessions[0].status, "open");
    assert!(press(&url, "expire").await.text().contains("is expired"));
}

#[tokio::test]
async fn a_declined_card_is_said_on_the_page() {
    let shop = Shop::open().await;
    let (_, url) = opened(&shop, &[]).await;
    let page = press(&url, "decline").await.text();
    assert!(page.contains("Your card was declined."), "{page}");
    let page = press(&url, "secure").await.text();
    assert!(page.contains("Complete authentication"), "{page}");
    let page = press(&url, "fail").await.text();
    assert!(page.contains("unable to authenticate"), "{page}");
    press(&url, "secure").await;
    assert!(matches!(
        press(&url, "authenticate").await,
        Shown::Elsewhere(_)
    ));
}

#[tokio::test]
async fn a_trial_without_a_card_is_subscribed_to() {
    let shop = Shop::open().await;
    let more = [
        ("subscription_data[trial_period_days]", "7"),
        ("payment_method_collection", "if_required"),
    ];
    let (_, url) = opened(&shop, &more).await;
    assert!(browse(&url, None).await.text().contains(">Subscribe<"));
    press(&url, "pay").await;
    let truth = shop.billing().truth();
    let subscription = truth.customers[0].live()[0];
    assert_eq!(
        (
            subscription.status.as_str(),
            &subscription.default_payment_method
        ),
        ("trialing", &None)
    );
}

#[tokio::test]
async fn a_promotion_code_is_typed_in() {
    let shop = Shop::open().await;
    let new = NewPromotionCode {
        code: "HALF".to_owned(),
        percent_off: 50,
        forever: false,
    };
    shop.billing().create_promotion_code(&new).expect("a code");
    let (_, url) = opened(&shop, &[("allow_promotion_codes", "true")]).await;
    let wrong = browse(&url, Some("action=code&promotion_code=NOTHING")).await;
    assert!(wrong.text().contains("This code is invalid."));
    browse(&url, Some("action=code&promotion_code=half")).await;
    press(&url, "pay").await;
    assert_eq!(shop.billing().truth().paid["usd"], 1_000);
}

#[tokio::test]
async fn a_subscription_is_cancelled_and_kept_in_the_portal() {
    let shop = Shop::open().await;
    let (customer, subscription) = shop.subscribed(VISA, &shop.monthly).await;
    shop.billing().save_portal_settings();
    let form = [
        ("customer", customer.as_str()),
        ("return_url", "http://example.com/plan"),
    ];
    let session = made(&shop.sim, "/v1/billing_portal/sessions", &form).await;
    let url = session["url"].as_str().expect("an address");
    assert!(
        browse(url, None)
            .await
            .text()
            .contains("Cancel subscription")
    );
    let form = |action: &str| format!("action={action}&subscription={subscription}");
    let page = browse(url, Some(&form("cancel"))).await.text();
    assert!(page.contains("Keep subscription"), "{page}");
    let truth = shop.truth(&subscription);
    assert!(truth.cancel_at_period_end && truth.cancel_at == Some(truth.current_period_end));
    browse(url, Some(&form("keep"))).await;
    assert_eq!(shop.truth(&subscription).cancel_at, None);
    let back = Shown::Elsewhere("http://example.com/plan".to_owned());
    assert_eq!(press(url, "return").await, back);
}

#[tokio::test]
async fn an_address_that_is_nobodys_is_not_found() {
    let shop = Shop::open().await;
    for path in ["/c/pay/cs_test_1", "/p/session/0"] {
        let request = http().get(format!("{}{path}", shop.sim.base_url));
        let response = request.send().await.expect("an answer");
        assert_eq!(response.status(), 404, "{path}");
    }
}
