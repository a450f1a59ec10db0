//! The money that "Get paid" shows: balance, transfers, payouts and the reconciliation.

use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::http::Method;
use common::tenant::TokenRole;
use serde_json::json;
use stripe_sim::Fault;
use tests::browsed_platform::{platform, spaced};
use tests::browser::Browser;
use tokio::time::Instant;

const PAY_OUT: &str = "/payouts/pay-out";
const SCHEDULE: &str = "/payouts/schedule";

#[tokio::test]
async fn the_balance_is_asked_for_after_the_page_and_shown_by_currency() {
    let mut platform = platform().await;
    let page = platform.page("/payouts").await;
    assert!(page.contains("hx-get=\"/payouts/balance\""), "{page}");
    assert!(page.contains("href=\"/payouts/balance\""), "without script");
    assert!(page.contains("No transfers yet."), "{page}");
    assert!(page.contains("No payouts yet."), "{page}");
    assert!(!page.contains("Compared with Stripe"), "{page}");

    platform.fund(8_000, "usd");
    platform.fund(1_500, "jpy");
    let account = Some(platform.account_id.as_str());
    platform
        .connect()
        .fund(account, 2_050, "usd", true)
        .unwrap();
    let balance = spaced(&platform.page("/payouts/balance").await);
    for said in ["80.00 USD", "20.50 USD", "1,500 JPY", "Every day."] {
        assert!(balance.contains(said), "{said}: {balance}");
    }
    assert!(balance.contains("href=\"/payouts/pay-out\""), "{balance}");
    let form = platform.page(PAY_OUT).await;
    assert!(form.contains("/payouts/pay-out?amount=80.00&#38;currency=USD"));
    for currency in ["USD", "JPY"] {
        assert!(form.contains(&format!(">{currency}</option>")), "{form}");
    }
    assert!(balance.contains("id=\"balance\""), "{balance}");
    assert!(
        !balance.contains("hx-get"),
        "it is asked for once: {balance}"
    );
}

#[tokio::test]
async fn paying_out_is_not_offered_where_it_cannot_work() {
    let mut platform = platform().await;
    let offered = "href=\"/payouts/pay-out\"";
    let balance = platform.page("/payouts/balance").await;
    assert!(
        balance.contains("Nothing is available to pay out now."),
        "{balance}"
    );
    assert!(!balance.contains(offered), "{balance}");

    platform.fund(8_000, "usd");
    assert!(platform.page("/payouts/balance").await.contains(offered));
    let account_id = platform.account_id.clone();
    platform
        .connect()
        .set_payouts(&account_id, false, false)
        .unwrap();
    platform.post("/payouts/read", &[]).await;
    let balance = platform.page("/payouts/balance").await;
    assert!(balance.contains("Payouts are off"), "{balance}");
    assert!(!balance.contains(offered), "{balance}");
}

#[tokio::test]
async fn where_stripe_does_not_answer_the_rest_is_shown_and_the_balance_is_not_waited_for() {
    let mut platform = platform().await;
    platform.transfer("t", 1_000).await;
    platform.fail("GET /v1/balance", Fault::Status(503), 1);
    let balance = platform.page("/payouts/balance").await;
    assert!(balance.contains("The balance is not known now."));
    assert!(balance.contains("Every day."), "{balance}");

    platform.fail("GET /v1/balance", Fault::Slow(60_000), 1);
    let began = Instant::now();
    let balance = platform.page("/payouts/balance").await;
    assert!(began.elapsed() < Duration::from_secs(30));
    assert!(balance.contains("Stripe did not answer in time."));
    let page = spaced(&platform.page("/payouts").await);
    assert!(page.contains("9.00 USD"), "{page}");
}

#[tokio::test]
async fn transfers_are_listed_with_amount_fee_and_net_in_the_readers_locale() {
    let mut platform = platform().await;
    for number in 0..51 {
        platform.transfer(&format!("t{number}"), 123_450).await;
    }
    let page = spaced(&platform.page("/payouts").await);
    for said in [
        "1,234.50 USD",
        "123.45 USD",
        "1,111.05 USD",
        "Nov 21, 2026",
        "Completed",
        "Order &#60;t50&#62;",
    ] {
        assert!(page.contains(said), "{said}: {page}");
    }
    assert_eq!(page.matches("Order ").count(), 5, "the newest ones");
    assert!(page.contains("href=\"/payouts/transfers\""), "{page}");
    let german = [("accept-language", "de")];
    let german = platform
        .browser
        .send(&platform.api, Method::GET, "/payouts", &german, &[])
        .await;
    assert!(spaced(&german.text).contains("1.234,50 USD"));

    let list = platform.page("/payouts/transfers").await;
    assert_eq!(list.matches("Order ").count(), 50);
    assert!(!list.contains("Order &#60;t0&#62;"));
    let (_, rest) = list
        .split_once("href=\"/payouts/transfers?cursor=")
        .unwrap();
    let (cursor, _) = rest.split_once('"').unwrap();
    let older = platform
        .page(&format!("/payouts/transfers?cursor={cursor}"))
        .await;
    assert!(older.contains("Order &#60;t0&#62;"), "{older}");
    assert!(older.contains("Newest transfers"), "{older}");
    let path = format!("/payouts/list?cursor={cursor}");
    let other_list = platform.browser.get(&platform.api, &path).await;
    assert_eq!(other_list.status, 422);
}

#[tokio::test]
async fn a_failed_transfer_says_why_and_offers_no_reversal() {
    let mut platform = platform().await;
    platform
        .connect()
        .set_transfers(&platform.account_id, false)
        .unwrap();
    let body = json!({"amount": 1000, "currency": "usd"});
    let request = Request::post("/v1/connect/transfer")
        .header("authorization", format!("Bearer {}", platform.api.token))
        .header("content-type", "application/json")
        .header("idempotency-key", "t")
        .body(Body::from(body.to_string()));
    let refused = platform.api.send(request.unwrap()).await;
    refused.problem(422, "stripe_refused");
    let page = platform.page("/payouts").await;
    assert!(page.contains("Failed"), "{page}");
    assert!(
        page.contains("The account cannot receive transfers."),
        "{page}"
    );
    let listed = platform.api.get("/v1/connect/transfers").await;
    let id = listed["data"][0]["transfer_id"]
        .as_str()
        .unwrap()
        .to_owned();
    let path = format!("/payouts/transfers/{id}");
    assert!(!platform.page(&path).await.contains("/reverse"));
    let form = platform
        .browser
        .get(&platform.api, &format!("{path}/reverse"))
        .await;
    form.assert_leads_to(&path);
}

#[tokio::test]
async fn payouts_say_how_they_stand_and_why_one_failed() {
    let mut platform = platform().await;
    platform.fund(8_000, "usd");
    let made = platform.connect().run_payout_schedule();
    let connect = platform.connect();
    platform.compare().await;
    let page = spaced(&platform.page("/payouts/list").await);
    for said in ["By the schedule", "Pending", "80.00 USD", "Expected on"] {
        assert!(page.contains(said), "{said}: {page}");
    }
    connect
        .advance_payout(&made[0], "in_transit", None)
        .unwrap();
    connect
        .advance_payout(&made[0], "failed", Some("account_closed"))
        .unwrap();
    platform.compare().await;
    let page = platform.page("/payouts/list").await;
    assert!(page.contains("Failed"), "{page}");
    assert!(
        page.contains("The bank account has been closed. Give another one."),
        "{page}"
    );
}

#[tokio::test]
async fn differences_are_said_in_words_and_otherwise_only_when_both_were_compared() {
    let mut platform = platform().await;
    platform.transfer("t", 1_000).await;
    platform.compare().await;
    let page = platform.page("/payouts").await;
    assert!(page.contains("Compared with Stripe"), "{page}");
    assert!(!page.contains("Differences"), "{page}");
    platform
        .api
        .execute(
            "UPDATE ledger_entries SET external_id = 'tr_<gone>', entry_id = gen_random_uuid()",
        )
        .await;
    platform.compare().await;
    let page = spaced(&platform.page("/payouts").await);
    for said in [
        "Differences from Stripe",
        "A transfer of 9.00 USD is known here, and Stripe has none.",
        "tr_&#60;gone&#62;",
        "Stripe has a transfer of 9.00 USD that was not made here.",
    ] {
        assert!(page.contains(said), "{said}: {page}");
    }
}

#[tokio::test]
async fn an_analyst_sees_all_money_and_no_form() {
    let platform = platform().await;
    platform.fund(8_000, "usd");
    let made = platform.transfer("t", 1_000).await;
    let transfer = format!(
        "/payouts/transfers/{}",
        made["transfer_id"].as_str().unwrap()
    );
    let token = platform.api.token("acme", TokenRole::Analyst).await;
    let mut analyst = Browser::signed_in(&platform.api, &token).await;
    for (path, said) in [
        ("/payouts", "9.00\u{a0}USD"),
        ("/payouts/balance", "89.00\u{a0}USD"),
        ("/payouts/transfers", "9.00\u{a0}USD"),
        ("/payouts/list", "No payouts."),
        (&transfer, "9.00\u{a0}USD"),
    ] {
        let page = analyst.page(&platform.api, path).await;
        assert!(page.contains(said), "{path}: {page}");
        for form in ["action=\"/payouts", PAY_OUT, SCHEDULE, "/reverse"] {
            assert!(!page.contains(form), "{path}: {form}");
        }
    }
    let reverse = format!("{transfer}/reverse");
    for path in [PAY_OUT, SCHEDULE, &reverse] {
        let answer = analyst.get(&platform.api, path).await;
        assert_eq!(answer.status, 403, "{path}");
        let form = [("request_key", "k"), ("amount", "1"), ("currency", "usd")];
        let answer = analyst.post(&platform.api, path, &form).await;
        assert_eq!(answer.status, 403, "{path}");
    }
    assert!(platform.payouts_made().is_empty());
}

#[tokio::test]
async fn the_history_stays_after_disconnecting_and_is_of_one_organization() {
    let mut platform = platform().await;
    let made = platform.transfer("t", 1_000).await;
    let transfer = format!(
        "/payouts/transfers/{}",
        made["transfer_id"].as_str().unwrap()
    );
    let token = platform.api.token("globex", TokenRole::Admin).await;
    let mut other = Browser::signed_in(&platform.api, &token).await;
    let page = other.page(&platform.api, "/payouts").await;
    assert!(!page.contains("Transfers"), "{page}");
    for path in [transfer.clone(), format!("{transfer}/reverse")] {
        assert_eq!(other.get(&platform.api, &path).await.status, 404);
    }
    for path in ["/payouts/balance", PAY_OUT, SCHEDULE] {
        let none = other.get(&platform.api, path).await;
        none.assert_leads_to("/payouts");
    }

    let key = platform.key(PAY_OUT).await;
    let disconnected = platform.post("/payouts/disconnect", &[]).await;
    disconnected.assert_leads_to("/payouts");
    let page = spaced(&platform.page("/payouts").await);
    assert!(page.contains("9.00 USD"), "{page}");
    assert!(!page.contains("id=\"balance\""), "{page}");
    assert!(!page.contains(PAY_OUT), "{page}");
    let refused = platform.pay_out(&key, "1", "usd").await;
    refused.assert_refused(409, "The account is disconnected.");
}
