//! The plans, and "Plan and billing": what is shown of how an organization stands, and the forms that lead to Stripe or change
//! something, before a simulated Stripe.

use std::sync::Arc;

use axum::http::Method;
use chrono::TimeDelta;
use common::tenant::TokenRole;
use stripe_sim::{BillingHandle, Fault, FaultRule, SimHandle, Simulator};
use tests::api_only::{Answer, ApiOnly};
use tests::browsed_platform::spaced;
use tests::browser::Browser;
use tests::sold_plans::{built_in, sell};
use tests::world::unlimited_account;

const DAY: i64 = 86_400;
const SCALE: [(&str, &str); 2] = [("plan", "scale"), ("interval", "month")];
const PRO: [(&str, &str); 2] = [("plan", "pro"), ("interval", "month")];
/// Every form, which an analyst and another site may not send.
const FORMS: [&str; 8] = [
    "/billing/checkout",
    "/billing/portal",
    "/billing/change",
    "/billing/cancel",
    "/billing/resume",
    "/billing/sync",
    "/billing/api-key/reveal",
    "/billing/api-key/roll",
];

struct Shop {
    sim: SimHandle,
    api: ApiOnly,
    /// Of an admin of `acme`.
    browser: Browser,
}

async fn shop() -> Shop {
    let simulator = Simulator::builder().account(unlimited_account(0));
    let sim = simulator.start().await.unwrap();
    sell(&sim.first().billing());
    let api = ApiOnly::start_selling(&sim, Arc::new(built_in()), None).await;
    let browser = Browser::signed_in(&api, &api.token).await;
    Shop { sim, api, browser }
}

impl Shop {
    fn billing(&self) -> BillingHandle {
        self.sim.first().billing()
    }

    async fn page(&mut self, path: &str) -> String {
        spaced(&self.browser.page(&self.api, path).await)
    }

    async fn post(&mut self, path: &str, form: &[(&str, &str)]) -> Answer {
        self.browser.post(&self.api, path, form).await
    }

    /// The only session that Stripe has, as the browser comes back from it.
    fn success(&self) -> String {
        let sessions = self.billing().truth().sessions;
        let session = sessions.last().expect("a session");
        format!("/billing/success?session_id={}", session.id)
    }

    /// Has Stripe's page for a plan paid with a card.
    async fn pay(&mut self, form: &[(&str, &str)], card: &str) {
        let left = self.post("/billing/checkout", form).await;
        assert_eq!(left.status, 303, "{}", left.text);
        assert!(left.header("location").starts_with(&self.sim.base_url));
        let sessions = self.billing().truth().sessions;
        let session = &sessions.last().expect("a session").id;
        self.billing().pay_checkout(session, card).unwrap();
    }

    /// With the plan of a form.
    async fn subscribed(form: &[(&str, &str)]) -> Self {
        let mut shop = shop().await;
        shop.pay(form, "pm_card_visa").await;
        shop.read().await;
        shop
    }

    /// Reads everything again, later than before. The session may have ended meanwhile.
    async fn read(&mut self) {
        self.api.clock.advance(TimeDelta::seconds(1));
        self.browser = Browser::signed_in(&self.api, &self.api.token).await;
        let read = self.post("/billing/sync", &[]).await;
        read.assert_leads_to("/billing?done=read");
    }

    fn fail(&self, endpoint: &str) {
        self.sim.first().add_fault(FaultRule {
            endpoint: Some(endpoint.to_owned()),
            fault: Fault::Status(503),
            after: 0,
            times: 1_000,
            retry_after: None,
        });
    }

    async fn analyst(&self) -> Browser {
        let token = self.api.token("acme", TokenRole::Analyst).await;
        Browser::signed_in(&self.api, &token).await
    }
}

#[tokio::test]
async fn the_plans_are_for_everybody_and_ask_stripe_nothing_once_they_are_known() {
    let shop = shop().await;
    let mut stranger = Browser::default();
    let page = spaced(&stranger.page(&shop.api, "/pricing").await);
    for said in [
        "Free",
        "Pro",
        "9.00 USD",
        "49.00 USD",
        "14 days free of charge first",
        "Start free trial",
        "Subscribe",
        "3 years",
        "Every hour at most",
        "/sign-in?return_to=%2Fpricing%3Finterval%3Dmonth",
    ] {
        assert!(page.contains(said), "{said}: {page}");
    }
    assert!(
        !page.contains("<form method=\"post\" action=\"/billing"),
        "{page}"
    );
    shop.sim.reset_requests();
    let year = spaced(&stranger.page(&shop.api, "/pricing?interval=year").await);
    assert!(year.contains("90.00 USD"), "{year}");
    assert!(year.contains("16 % less than by the month"), "{year}");
    assert!(
        year.contains("aria-current=\"true\">Paid by the year"),
        "{year}"
    );
    assert_eq!(shop.sim.requests().of("GET /v1/prices"), 0);
    let nonsense = stranger.page(&shop.api, "/pricing?interval=week").await;
    assert!(nonsense.contains("aria-current=\"true\">Paid by the month"));
}

#[tokio::test]
async fn without_the_platforms_key_nothing_is_sold_and_no_link_leads_there() {
    let api = ApiOnly::start().await;
    let mut browser = Browser::signed_in(&api, &api.token).await;
    let pricing = browser.get(&api, "/pricing").await;
    assert_eq!(pricing.status, 404);
    assert!(
        pricing.text.contains("Nothing is sold here"),
        "{}",
        pricing.text
    );
    let tokens = browser.page(&api, "/tokens").await;
    assert!(!tokens.contains("Plan and billing"), "{tokens}");
    let billing = browser.get(&api, "/billing").await;
    assert_eq!(billing.status, 501);
    assert!(billing.text.contains("STRIPE_PLATFORM_KEY"));
}

#[tokio::test]
async fn a_price_that_stripe_does_not_know_is_not_offered() {
    let sim = Simulator::builder().account(unlimited_account(0));
    let sim = sim.start().await.unwrap();
    let api = ApiOnly::start_selling(&sim, Arc::new(built_in()), None).await;
    let mut browser = Browser::signed_in(&api, &api.token).await;
    let page = browser.page(&api, "/pricing").await;
    assert!(page.contains("Not available at present"), "{page}");
    assert!(page.contains("Your plan"), "{page}");
    let refused = browser.post(&api, "/billing/checkout", &PRO).await;
    refused.assert_refused(422, "Stripe has no price for it");
}

#[tokio::test]
async fn whoever_subscribes_has_the_plan_on_the_page_that_stripe_leads_to() {
    let mut shop = shop().await;
    let before = shop.page("/billing").await;
    assert!(
        before.contains("Free is in force. It costs nothing."),
        "{before}"
    );
    assert!(before.contains("0 of 1"), "{before}");
    assert!(before.contains("No invoices yet."), "{before}");
    assert!(!before.contains("Refresh from Stripe"), "{before}");

    let policy = shop.browser.get(&shop.api, "/pricing").await;
    let policy = policy.header("content-security-policy").to_owned();
    let stripe = "form-action 'self' https://checkout.stripe.com https://billing.stripe.com";
    assert!(policy.contains(stripe), "{policy}");
    shop.pay(&SCALE, "pm_card_visa").await;

    // No event came, and nobody has read anything yet.
    let success = shop.success();
    let page = shop.page(&success).await;
    for said in [
        "You have Scale",
        "Connect Stripe",
        "Reveal the key",
        "Active",
    ] {
        assert!(page.contains(said), "{said}: {page}");
    }
    let pricing = shop.page("/pricing").await;
    assert!(pricing.contains("Your plan"), "{pricing}");
    assert!(pricing.contains("Change to this plan"), "{pricing}");
    assert!(pricing.contains("Cancel your plan"), "{pricing}");
    let billing = shop.page("/billing").await;
    for said in [
        "49.00 USD a month",
        "Visa ending in 4242",
        "0, of any number",
        "Paid",
    ] {
        assert!(billing.contains(said), "{said}: {billing}");
    }
    // A second subscription is never sold: the form leads to changing the first.
    let second = shop.post("/billing/checkout", &PRO).await;
    second.assert_leads_to("/billing/change?plan=pro&interval=month");
    assert_eq!(shop.billing().truth().subscriptions, 1);
}

#[tokio::test]
async fn a_session_of_another_organization_shows_nothing_of_it() {
    let mut shop = Shop::subscribed(&SCALE).await;
    let success = shop.success();
    let token = shop.api.token("globex", TokenRole::Admin).await;
    let mut other = Browser::signed_in(&shop.api, &token).await;
    for path in [
        success.as_str(),
        "/billing/success",
        "/billing/success?session_id=cs_test_nothing",
    ] {
        let answer = other.get(&shop.api, path).await;
        assert_eq!(answer.status, 404, "{path}");
        assert!(answer.text.contains("No such session"), "{path}");
        assert!(!answer.text.contains("Scale"), "{path}: {}", answer.text);
    }
    let stranger = Browser::default().get(&shop.api, &success).await;
    let location = stranger.header("location");
    let back = "/sign-in?return_to=%2Fbilling%2Fsuccess%3Fsession_id%3D";
    assert!(location.starts_with(back), "{location}");
    assert!(shop.page(&success).await.contains("You have Scale"));
}

/// Stripe may have the subscription wait for the money, or begin before it has arrived.
#[tokio::test]
async fn a_bank_debit_is_said_to_be_on_its_way_until_it_arrives() {
    for begins_before in [false, true] {
        let mut shop = shop().await;
        shop.billing()
            .switch(|switches| switches.debit_activates = begins_before);
        shop.pay(&SCALE, "pm_usBankAccount").await;
        let success = shop.success();
        let page = shop.page(&success).await;
        assert!(page.contains("Your payment is on its way"), "{page}");
        assert!(page.contains("Look again"), "{page}");
        assert_eq!(page.contains("Reveal the key"), begins_before, "{page}");
        let pricing = shop.page("/pricing").await;
        let form = "action=\"/billing/checkout\"";
        assert!(!pricing.contains(form), "{pricing}");

        let session = shop.billing().truth().sessions[0].id.clone();
        shop.billing().settle_checkout(&session, true).unwrap();
        shop.api.clock.advance(TimeDelta::seconds(1));
        let page = shop.page(&success).await;
        assert!(page.contains("You have Scale"), "{page}");
    }
}

#[tokio::test]
async fn a_page_that_was_left_or_expired_says_that_nothing_was_paid() {
    let mut shop = shop().await;
    let left = shop.post("/billing/checkout", &SCALE).await;
    assert_eq!(left.status, 303);
    let success = shop.success();
    assert!(shop.page(&success).await.contains("Nothing is paid yet"));
    let session = shop.billing().truth().sessions[0].id.clone();
    shop.billing().expire_checkout(&session).unwrap();
    shop.api.clock.advance(TimeDelta::seconds(1));
    assert!(shop.page(&success).await.contains("Nothing was paid"));
}

#[tokio::test]
async fn without_an_answer_of_stripe_the_page_after_a_payment_asks_for_patience() {
    let mut shop = shop().await;
    shop.pay(&SCALE, "pm_card_visa").await;
    let success = shop.success();
    shop.fail("GET /v1/customers/{id}");
    let page = shop.page(&success).await;
    assert!(page.contains("Stripe has not answered yet"), "{page}");
    assert!(page.contains("Do not pay again"), "{page}");
    assert!(page.contains("Look again"), "{page}");
    let refused = shop.post("/billing/sync", &[]).await;
    refused.assert_refused(503, "Stripe did not answer in time.");
}

#[tokio::test]
async fn the_key_is_shown_once_and_rolled_after_a_question() {
    let mut shop = shop().await;
    let none = shop.post("/billing/api-key/reveal", &[]).await;
    none.assert_refused(409, "no API key");
    shop.browser
        .get(&shop.api, "/billing/api-key/roll")
        .await
        .assert_leads_to("/billing");
    let mut shop = Shop::subscribed(&SCALE).await;
    let revealed = shop.post("/billing/api-key/reveal", &[]).await;
    assert_eq!(revealed.status, 200, "{}", revealed.text);
    let key = key_in(&revealed.text);
    let again = shop.post("/billing/api-key/reveal", &[]).await;
    again.assert_refused(409, "is not shown again");
    assert!(!again.text.contains(&key));
    let page = shop.page("/billing").await;
    assert!(!page.contains(&key), "{page}");
    assert!(page.contains("Roll the key"), "{page}");
    let question = shop.page("/billing/api-key/roll").await;
    assert!(question.contains("Roll the API key?"), "{question}");
    let rolled = shop.post("/billing/api-key/roll", &[]).await;
    assert_eq!(rolled.status, 201, "{}", rolled.text);
    let new_key = key_in(&rolled.text);
    for (key, status) in [(&key, 401), (&new_key, 200)] {
        let path = "/v1/billing/subscription";
        let answer = shop.api.ask_as(key, Method::GET, path, None).await;
        assert_eq!(answer.status, status);
    }
}

fn key_in(page: &str) -> String {
    let (_, rest) = page.split_once("id=\"token\">").expect("a key");
    let (key, _) = rest.split_once('<').expect("its end");
    assert!(key.starts_with("sst_"), "{key}");
    key.to_owned()
}

#[tokio::test]
async fn a_change_says_what_it_costs_before_it_is_made() {
    let mut shop = Shop::subscribed(&SCALE).await;
    let more = "/billing/change?plan=scale&interval=month&seats=2";
    let page = shop.page(more).await;
    for said in [
        "Due now",
        "Next invoice",
        "98.00 USD on",
        "Pay and change",
        "Scale, paid by the month, 2 seats",
    ] {
        assert!(page.contains(said), "{said}: {page}");
    }
    assert_eq!(
        shop.billing().truth().customers[0].subscriptions[0].items[0].quantity,
        1
    );
    let form = [("plan", "scale"), ("interval", "month"), ("seats", "2")];
    for _ in 0..2 {
        let changed = shop.post("/billing/change", &form).await;
        changed.assert_leads_to("/billing?done=changed");
    }
    let page = shop.page("/billing?done=changed").await;
    assert!(page.contains("The plan is changed."), "{page}");
    assert!(page.contains("for each of 2 seats"), "{page}");

    let less = shop
        .page("/billing/change?plan=pro&interval=month&seats=1")
        .await;
    assert!(less.contains("Plan the change"), "{less}");
    let planned = shop.post("/billing/change", &PRO).await;
    planned.assert_leads_to("/billing?done=scheduled");
    let page = shop.page("/billing").await;
    assert!(page.contains("it is Pro, paid by the month."), "{page}");
    assert!(page.contains("Stay with Scale"), "{page}");
    let stayed = shop.post("/billing/change", &form).await;
    stayed.assert_leads_to("/billing?done=stayed");
    assert!(!shop.page("/billing").await.contains("it is Pro"));
}

#[tokio::test]
async fn a_change_that_cannot_be_is_led_elsewhere_or_said_at_its_field() {
    let mut shop = Shop::subscribed(&SCALE).await;
    let wrong = shop
        .page_of("/billing/change?plan=scale&interval=month&seats=0", 422)
        .await;
    assert!(wrong.contains("aria-invalid=\"true\""), "{wrong}");
    assert!(wrong.contains("<title>Error: Change the plan"), "{wrong}");
    let same = shop.page("/billing/change?plan=scale&interval=month").await;
    assert!(same.contains("This is what you have."), "{same}");
    for path in [
        "/billing/change",
        "/billing/change?plan=free&interval=month",
        "/billing/change?plan=nonsense&interval=month",
    ] {
        let answer = shop.browser.get(&shop.api, path).await;
        answer.assert_leads_to("/pricing");
    }
}

impl Shop {
    async fn page_of(&mut self, path: &str, status: u16) -> String {
        let answer = self.browser.get(&self.api, path).await;
        assert_eq!(answer.status, status, "{}", answer.text);
        answer.text
    }
}

#[tokio::test]
async fn a_payment_that_fails_changes_nothing_and_says_why() {
    let mut shop = Shop::subscribed(&SCALE).await;
    let customer = shop.billing().truth().customers[0].id.clone();
    let declined = "pm_card_chargeCustomerFail";
    shop.billing().set_card(&customer, declined).unwrap();
    let form = [("plan", "scale"), ("interval", "month"), ("seats", "2")];
    let refused = shop.post("/billing/change", &form).await;
    assert!(refused.status.is_client_error(), "{}", refused.text);
    assert!(
        refused.text.contains("The card was declined"),
        "{}",
        refused.text
    );
    assert!(refused.text.contains("Change the payment method"));
    assert_eq!(
        shop.billing().truth().customers[0].subscriptions[0].items[0].quantity,
        1
    );
}

#[tokio::test]
async fn cancelling_asks_first_and_is_taken_back() {
    let mut shop = Shop::subscribed(&SCALE).await;
    let question = shop.page("/billing/cancel").await;
    assert!(question.contains("Cancel Scale?"), "{question}");
    assert!(
        question.contains("value=\"period_end\" checked"),
        "{question}"
    );
    let form = [("ends", "period_end"), ("feedback", "too_expensive")];
    let cancelled = shop.post("/billing/cancel", &form).await;
    cancelled.assert_leads_to("/billing?done=cancelled");
    let page = shop.page("/billing").await;
    assert!(page.contains("Cancelled"), "{page}");
    assert!(page.contains("Nothing more is charged"), "{page}");
    assert!(page.contains("Keep Scale"), "{page}");
    assert!(!page.contains("href=\"/billing/cancel\""), "{page}");
    let resumed = shop.post("/billing/resume", &[]).await;
    resumed.assert_leads_to("/billing?done=resumed");
    assert!(
        shop.page("/billing")
            .await
            .contains("goes on from then by itself")
    );
    let ended = shop.post("/billing/cancel", &[("ends", "now")]).await;
    ended.assert_leads_to("/billing?done=cancelled");
    let page = shop.page("/billing").await;
    assert!(
        page.contains("The subscription to Scale has ended"),
        "{page}"
    );
    let again = shop.post("/billing/cancel", &[]).await;
    again.assert_refused(409, "no subscription that goes on");
    shop.browser
        .get(&shop.api, "/billing/cancel")
        .await
        .assert_leads_to("/billing");
}

#[tokio::test]
async fn a_failed_payment_says_until_when_access_lasts_and_what_to_do() {
    let mut shop = Shop::subscribed(&SCALE).await;
    let customer = shop.billing().truth().customers[0].id.clone();
    let failing = "pm_card_chargeCustomerFail";
    shop.billing().set_card(&customer, failing).unwrap();
    shop.sim.advance(32 * DAY);
    shop.api.clock.advance(TimeDelta::days(37));
    shop.read().await;
    let page = shop.page("/billing").await;
    for said in [
        "Payment failed",
        "Scale stays in force until",
        "Stripe says: ",
        "Change the payment method",
        "Pay the invoice at Stripe",
        "To be paid",
    ] {
        assert!(page.contains(said), "{said}: {page}");
    }
    shop.api.clock.advance(TimeDelta::days(9));
    shop.read().await;
    let page = shop.page("/billing").await;
    assert!(page.contains("Payment overdue"), "{page}");
    assert!(
        page.contains("Free is in force until the payment is made."),
        "{page}"
    );
    assert!(page.contains("It sleeps."), "{page}");
}

#[tokio::test]
async fn a_trial_says_how_long_it_lasts_and_is_offered_once() {
    let mut shop = Shop::subscribed(&PRO).await;
    let page = shop.page("/billing").await;
    assert!(page.contains("Free trial"), "{page}");
    assert!(page.contains("You try Pro free of charge until"), "{page}");
    let ended = shop.post("/billing/cancel", &[("ends", "now")]).await;
    ended.assert_leads_to("/billing?done=cancelled");
    let pricing = shop.page("/pricing").await;
    assert!(!pricing.contains("Start free trial"), "{pricing}");
    assert!(!pricing.contains("free of charge first"), "{pricing}");
}

#[tokio::test]
async fn the_portal_leads_back_to_what_stripe_has() {
    let mut shop = Shop::subscribed(&SCALE).await;
    let flow = [("flow", "payment_method_update")];
    let left = shop.post("/billing/portal", &flow).await;
    assert_eq!(left.status, 303, "{}", left.text);
    assert!(left.header("location").starts_with(&shop.sim.base_url));
    let subscription = shop.billing().truth().customers[0].subscriptions[0]
        .id
        .clone();
    shop.billing().cancel_subscription(&subscription).unwrap();
    shop.api.clock.advance(TimeDelta::seconds(1));
    // No event came.
    let page = shop.page("/billing?done=returned").await;
    assert!(page.contains("has ended"), "{page}");
    let wrong = shop.post("/billing/portal", &[("flow", "x")]).await;
    assert_eq!(wrong.status, 422);
}

#[tokio::test]
async fn an_analyst_sees_everything_and_no_form() {
    let shop = Shop::subscribed(&SCALE).await;
    let mut analyst = shop.analyst().await;
    for path in ["/billing", "/pricing", shop.success().as_str()] {
        let page = analyst.page(&shop.api, path).await;
        assert!(page.contains("Scale"), "{path}: {page}");
        assert!(page.contains("ask an admin"), "{path}: {page}");
        assert!(
            !page.contains("method=\"post\" action=\"/billing"),
            "{path}: {page}"
        );
        assert!(!page.contains("href=\"/billing/c"), "{path}: {page}");
    }
    for path in [
        "/billing/change",
        "/billing/cancel",
        "/billing/api-key/roll",
    ] {
        let answer = analyst.get(&shop.api, path).await;
        assert_eq!(answer.status, 403, "{path}");
    }
    for path in FORMS {
        let answer = analyst.post(&shop.api, path, &SCALE).await;
        assert_eq!(answer.status, 403, "{path}");
    }
}

#[tokio::test]
async fn another_site_and_a_stranger_change_nothing() {
    let mut shop = shop().await;
    let elsewhere = [("sec-fetch-site", "cross-site")];
    for path in FORMS {
        let sent = shop
            .browser
            .send(&shop.api, Method::POST, path, &elsewhere, &SCALE);
        assert_eq!(sent.await.status, 403, "{path}");
        let stranger = Browser::default().post(&shop.api, path, &SCALE).await;
        assert_eq!(stranger.status, 401, "{path}");
    }
    assert!(shop.billing().truth().customers.is_empty());
}

#[tokio::test]
async fn what_stripe_does_not_answer_is_said_on_the_page() {
    let mut shop = shop().await;
    shop.page("/pricing").await;
    shop.fail("POST /v1/checkout/sessions");
    let refused = shop.post("/billing/checkout", &SCALE).await;
    refused.assert_refused(503, "nothing is done twice");
}

#[tokio::test]
async fn all_invoices_and_payments_have_pages_of_their_own() {
    let mut shop = Shop::subscribed(&SCALE).await;
    for month in 1..=6 {
        shop.sim.advance(32 * DAY);
        shop.api.clock.advance(TimeDelta::days(32));
        shop.read().await;
        let invoices = shop.billing().truth().invoices.len();
        assert!(invoices > month, "{invoices}");
    }
    let page = shop.page("/billing").await;
    assert!(page.contains("All invoices"), "{page}");
    assert!(page.contains("All payments"), "{page}");
    let invoices = shop.page("/billing/invoices").await;
    assert!(invoices.matches("49.00 USD").count() >= 7, "{invoices}");
    assert!(
        invoices.contains("aria-label=\"Open the invoice"),
        "{invoices}"
    );
    let payments = shop.page("/billing/payments").await;
    assert!(payments.matches("49.00 USD").count() >= 7, "{payments}");
}
