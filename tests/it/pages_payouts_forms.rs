//! The forms of "Get paid" that move money or say when it is paid out: what they do, once, and what they refuse.

use std::time::Duration;

use axum::http::Method;
use serde_json::json;
use stripe_sim::Fault;
use tests::browsed_platform::{key_in, platform, spaced};
use tests::wait::until;

const PAY_OUT: &str = "/payouts/pay-out";
const SCHEDULE: &str = "/payouts/schedule";
const PAID_OUT: &str = "/payouts?done=paid-out";

#[tokio::test]
async fn a_form_pays_out_once_however_often_it_is_sent() {
    let mut platform = platform().await;
    platform.fund(8_000, "usd");
    let key = platform.key(PAY_OUT).await;
    let (mut first, mut second) = (platform.browser.clone(), platform.browser.clone());
    let form = [
        ("request_key", key.as_str()),
        ("amount", "12.50"),
        ("currency", "USD"),
    ];
    let (first, second) = tokio::join!(
        first.post(&platform.api, PAY_OUT, &form),
        second.post(&platform.api, PAY_OUT, &form)
    );
    first.assert_leads_to(PAID_OUT);
    second.assert_leads_to(PAID_OUT);
    platform
        .pay_out(&key, "12.50", "usd")
        .await
        .assert_leads_to(PAID_OUT);
    assert_eq!(platform.payouts_made(), [1_250]);
    let page = spaced(&platform.page(PAID_OUT).await);
    assert!(page.contains("The payout is created."), "{page}");
    assert!(page.contains("12.50 USD"), "{page}");
    assert!(page.contains("Manual"), "{page}");

    let other = platform.pay_out(&key, "20", "usd").await;
    other.assert_refused(409, "counts as it was then");
    let new_key = key_in(&other.text);
    assert_ne!(new_key, key);
    platform
        .pay_out(&new_key, "20", "usd")
        .await
        .assert_leads_to(PAID_OUT);
    assert_eq!(platform.payouts_made(), [1_250, 2_000]);
}

#[tokio::test]
async fn what_a_browser_abandons_is_finished() {
    let mut platform = platform().await;
    platform.fund(8_000, "usd");
    let key = platform.key(PAY_OUT).await;
    platform.fail("POST /v1/payouts", Fault::Slow(1_000), 1);
    let sent = platform.pay_out(&key, "12.50", "usd");
    let abandoned = tokio::time::timeout(Duration::from_millis(300), sent).await;
    assert!(abandoned.is_err(), "Stripe is slow");
    // The second request waits for the first, which nobody waits for any more.
    platform
        .pay_out(&key, "12.50", "usd")
        .await
        .assert_leads_to(PAID_OUT);
    assert_eq!(platform.payouts_made(), [1_250]);
}

#[tokio::test]
async fn what_takes_too_long_is_said_to_be_unknown_and_finished() {
    let mut platform = platform().await;
    platform.fund(8_000, "usd");
    let key = platform.key(PAY_OUT).await;
    platform.fail("POST /v1/payouts", Fault::Slow(9_000), 1);
    let unknown = platform.pay_out(&key, "12.50", "usd").await;
    unknown.assert_leads_to("/payouts?done=unknown");
    let page = platform.page("/payouts?done=unknown").await;
    assert!(page.contains("Stripe has not answered yet"), "{page}");
    assert!(page.contains("Not known yet"), "{page}");
    let form = platform.page(PAY_OUT).await;
    assert!(form.contains("<strong>Wait.</strong>"), "{form}");
    until("the payout", async || {
        let page = platform.page("/payouts").await;
        page.contains("Pending").then_some(())
    })
    .await;
    assert_eq!(platform.payouts_made(), [1_250]);
}

#[tokio::test]
async fn what_is_wrong_with_a_payout_is_said_at_its_field_and_nothing_is_sent() {
    let mut platform = platform().await;
    platform.fund(1_000, "jpy");
    for (amount, currency, said) in [
        ("", "usd", "Enter an amount."),
        (
            "12.505",
            "usd",
            "USD has 2 decimals at most. Enter a number such as 12.50.",
        ),
        ("1,234.50", "usd", "without separators of thousands"),
        ("12.5", "jpy", "JPY has no decimals."),
        ("0", "usd", "Enter more than 0."),
        ("12.50", "dollar", "Enter the currency’s three letters"),
    ] {
        let key = platform.key(PAY_OUT).await;
        let answer = platform.pay_out(&key, amount, currency).await;
        answer.assert_refused(422, said);
        assert!(answer.text.contains("aria-invalid=\"true\""), "{said}");
        assert!(answer.text.contains(&format!("value=\"{amount}\"")));
    }
    let no_key = [("amount", "12.50"), ("currency", "usd")];
    assert_eq!(platform.post(PAY_OUT, &no_key).await.status, 422);
    assert!(platform.payouts_made().is_empty());
    let key = platform.key(PAY_OUT).await;
    let yen = platform.pay_out(&key, "1000", "jpy").await;
    yen.assert_leads_to(PAID_OUT);
    assert_eq!(platform.payouts_made(), [1_000]);
}

#[tokio::test]
async fn what_stripe_refuses_is_said_with_what_to_do_and_can_be_sent_again() {
    let mut platform = platform().await;
    let key = platform.key(PAY_OUT).await;
    let refused = platform.pay_out(&key, "12.50", "usd").await;
    refused.assert_refused(422, "Wait until pending money is available");
    assert!(refused.text.contains("Nothing was moved."));
    assert!(!refused.text.contains("Idempotency-Key"));
    let page = platform.page("/payouts").await;
    assert!(page.contains("Failed"), "{page}");
    assert!(page.contains("Not enough is available"), "{page}");

    platform.fund(8_000, "usd");
    let key = key_in(&refused.text);
    let again = platform.pay_out(&key, "12.50", "usd").await;
    again.assert_leads_to(PAID_OUT);

    let account_id = platform.account_id.clone();
    platform
        .connect()
        .set_payouts(&account_id, false, false)
        .unwrap();
    platform.post("/payouts/read", &[]).await;
    let key = platform.key(PAY_OUT).await;
    let not_ready = platform.pay_out(&key, "12.50", "usd").await;
    not_ready.assert_refused(409, "cannot do this at the moment");
}

#[tokio::test]
async fn a_transfer_is_reversed_in_parts_and_each_part_once() {
    let mut platform = platform().await;
    let made = platform.transfer("t", 1_000).await;
    let path = format!(
        "/payouts/transfers/{}",
        made["transfer_id"].as_str().unwrap()
    );
    let page = spaced(&platform.page(&path).await);
    assert!(
        page.contains(made["stripe_transfer_id"].as_str().unwrap()),
        "{page}"
    );
    assert!(page.contains("Order &#60;t&#62;"), "{page}");
    let form_path = format!("{path}/reverse");
    assert!(page.contains(&format!("href=\"{form_path}\"")), "{page}");
    let form = platform.page(&form_path).await;
    assert!(form.contains("value=\"9.00\""), "all that is left: {form}");

    let key = key_in(&form);
    let sent = [
        ("request_key", key.as_str()),
        ("amount", "4.50"),
        ("refund_fee", "1"),
    ];
    for _ in 0..2 {
        let reversed = platform.post(&form_path, &sent).await;
        reversed.assert_leads_to(&format!("{path}?done=reversed"));
    }
    let page = spaced(&platform.page(&format!("{path}?done=reversed")).await);
    assert!(page.contains("The transfer is reversed."), "{page}");
    assert!(page.contains("0.50 USD"), "the fee given up: {page}");
    let list = spaced(&platform.page("/payouts").await);
    assert!(list.contains("−4.50 USD"), "{list}");

    let key = platform.key(&form_path).await;
    let too_much = [("request_key", key.as_str()), ("amount", "4.51")];
    let refused = platform.post(&form_path, &too_much).await;
    assert!(spaced(&refused.text).contains("Enter 4.50 USD at most"));
    let unreadable = [("request_key", key.as_str()), ("amount", "all")];
    let refused = platform.post(&form_path, &unreadable).await;
    refused.assert_refused(422, "Enter a number such as 12.50");

    let key = key_in(&refused.text);
    let rest = [("request_key", key.as_str()), ("amount", "4.50")];
    let reversed = platform.post(&form_path, &rest).await;
    reversed.assert_leads_to(&format!("{path}?done=reversed"));
    let nothing_left = platform.browser.get(&platform.api, &form_path).await;
    nothing_left.assert_leads_to(&path);
    let reversals = platform.api.get("/v1/connect/transfers").await;
    assert_eq!(reversals["data"][0]["reversed"], 900);
    assert_eq!(
        reversals["data"][0]["reversals"].as_array().unwrap().len(),
        2
    );
}

#[tokio::test]
async fn the_schedule_is_said_in_words_and_changed() {
    let mut platform = platform().await;
    let form = platform.page(SCHEDULE).await;
    assert!(form.contains("Every day."), "{form}");
    assert!(form.contains("value=\"daily\" checked"), "{form}");
    let weekly = [
        ("interval", "weekly"),
        ("weekly_payout_days", "monday"),
        ("weekly_payout_days", "friday"),
        ("monthly_payout_days", "1"),
        ("delay_days", "7"),
    ];
    let set = platform.post(SCHEDULE, &weekly).await;
    set.assert_leads_to("/payouts?done=schedule");
    let balance = platform.page("/payouts/balance").await;
    let words = "Every week on Monday and Friday. Payments become available after 7 days.";
    assert!(balance.contains(words), "{balance}");
    let stored = platform.api.get("/v1/connect/payout-schedule").await;
    assert_eq!(stored["weekly_payout_days"], json!(["monday", "friday"]));
    let form = platform.page(SCHEDULE).await;
    assert!(form.contains("value=\"friday\" checked"), "{form}");

    let refused = platform.post(SCHEDULE, &[("interval", "weekly")]).await;
    refused.assert_refused(422, "Choose at least one day.");
    let by_stripe = Fault::Refused("Such a delay is not allowed.".to_owned());
    platform.fail("POST /v1/balance_settings", by_stripe.clone(), 1);
    platform.fail("POST /v1/accounts/{id}", by_stripe, 1);
    let refused = platform.post(SCHEDULE, &[("interval", "daily")]).await;
    refused.assert_refused(422, "Such a delay is not allowed.");
    platform.fail("GET /v1/balance_settings", Fault::Status(503), 1);
    let form = platform.page(SCHEDULE).await;
    assert!(form.contains("The schedule is not known now."), "{form}");
}

#[tokio::test]
async fn another_site_moves_no_money() {
    let mut platform = platform().await;
    platform.fund(8_000, "usd");
    let made = platform.transfer("t", 1_000).await;
    let reverse = format!(
        "/payouts/transfers/{}/reverse",
        made["transfer_id"].as_str().unwrap()
    );
    let form = [
        ("request_key", "k"),
        ("amount", "1"),
        ("currency", "usd"),
        ("interval", "manual"),
    ];
    for path in [PAY_OUT, SCHEDULE, &reverse] {
        let elsewhere = [("sec-fetch-site", "cross-site")];
        let method = Method::POST;
        let answer = platform
            .browser
            .send(&platform.api, method, path, &elsewhere, &form)
            .await;
        assert_eq!(answer.status, 403, "{path}");
    }
    assert!(platform.payouts_made().is_empty());
    let listed = platform.api.get("/v1/connect/transfers").await;
    assert_eq!(listed["data"][0]["reversals"], json!([]));
    let schedule = platform.api.get("/v1/connect/payout-schedule").await;
    assert_eq!(schedule["interval"], "daily");
}
