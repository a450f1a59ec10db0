//! What the clock does: renewals, trials that end, and attempts to charge again.

use serde_json::json;
use stripe_sim::{AfterRetries, WebhookEndpoint};

use crate::billing::{DAY, Shop, VISA, events_after, get, seen};
use crate::connect::{id, made, post, refused};
use crate::receiver::Receiver;
use crate::webhooks::LONG;

const HOUR: i64 = 3_600;

async fn trial(shop: &Shop, customer: &str, missing: &str) -> String {
    let form = [
        ("customer", customer),
        ("items[0][price]", shop.monthly.as_str()),
        ("trial_period_days", "7"),
        (
            "trial_settings[end_behavior][missing_payment_method]",
            missing,
        ),
    ];
    id(&made(&shop.sim, "/v1/subscriptions", &form).await)
}

#[tokio::test]
async fn a_renewal_is_announced_drafted_and_paid() {
    let shop = Shop::open().await;
    let (_, subscription) = shop.subscriber().await;
    let end = shop.truth(&subscription).current_period_end;
    let before = seen(&shop.sim).await;
    shop.sim.advance(end - shop.sim.now() - 7 * DAY);
    assert_eq!(events_after(&shop.sim, &before).await, ["invoice.upcoming"]);
    let before = seen(&shop.sim).await;
    shop.sim.advance(7 * DAY);
    let renewed = ["invoice.created", "customer.subscription.updated"];
    assert_eq!(events_after(&shop.sim, &before).await, renewed);
    let truth = shop.truth(&subscription);
    assert_eq!(truth.current_period_start, end);
    let invoice = format!("/v1/invoices/{}", truth.latest_invoice.expect("it has one"));
    let draft = get(&shop.sim, &invoice).await;
    assert_eq!(
        (&draft["status"], &draft["billing_reason"]),
        (&json!("draft"), &json!("subscription_cycle"))
    );
    assert_eq!(draft["automatically_finalizes_at"], json!(end + HOUR));
    let before = seen(&shop.sim).await;
    shop.sim.advance(HOUR);
    let paid = get(&shop.sim, &invoice).await;
    assert_eq!(
        (&paid["status"], &paid["status_transitions"]["paid_at"]),
        (&json!("paid"), &json!(end + HOUR))
    );
    let tail = [
        "invoice.finalized",
        "charge.succeeded",
        "payment_intent.succeeded",
        "invoice.updated",
        "invoice.paid",
        "invoice.payment_succeeded",
        "invoice_payment.paid",
    ];
    assert_eq!(events_after(&shop.sim, &before).await, tail);
}

#[tokio::test]
async fn many_periods_pass_in_order() {
    let shop = Shop::open().await;
    let (_, subscription) = shop.subscriber().await;
    shop.sim.advance(367 * DAY);
    let truth = shop.truth(&subscription);
    assert_eq!((truth.status.as_str(), truth.paid), ("active", 13 * 2_000));
    let charges = get(&shop.sim, "/v1/charges?limit=100").await;
    let created: Vec<_> = charges["data"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|it| it["created"].as_i64())
        .collect();
    assert_eq!(created.len(), 13);
    assert!(created.is_sorted_by(|one, other| one > other));
}

#[tokio::test]
async fn a_draft_waits_until_its_event_was_delivered() {
    let shop = Shop::open().await;
    let (_, subscription) = shop.subscriber().await;
    let receiver = Receiver::start().await;
    let added = shop
        .sim
        .first()
        .add_webhook_endpoint(WebhookEndpoint::at(receiver.url.clone()));
    let endpoint = added.expect("an endpoint");
    let end = shop.truth(&subscription).current_period_end;
    shop.sim.advance(end - shop.sim.now() + 2 * HOUR);
    let paid = || shop.truth(&subscription).paid;
    assert_eq!(paid(), 2_000);
    endpoint
        .wait_until_delivered(LONG)
        .await
        .expect("all of it");
    shop.sim.advance(HOUR - 1);
    assert_eq!(paid(), 2_000);
    shop.sim.advance(1);
    assert_eq!(paid(), 4_000);
}

#[tokio::test]
async fn a_receiver_that_fails_delays_a_renewal_by_three_days() {
    let shop = Shop::open().await;
    let (_, subscription) = shop.subscriber().await;
    let receiver = Receiver::answering(|_| 500).await;
    let added = shop
        .sim
        .first()
        .add_webhook_endpoint(WebhookEndpoint::at(receiver.url.clone()));
    added.expect("an endpoint");
    let end = shop.truth(&subscription).current_period_end;
    shop.sim.advance(end - shop.sim.now());
    shop.sim.advance(3 * DAY - 1);
    assert_eq!(shop.truth(&subscription).paid, 2_000);
    shop.sim.advance(1);
    assert_eq!(shop.truth(&subscription).paid, 4_000);
}

#[tokio::test]
async fn a_failed_renewal_is_tried_again_until_a_card_pays() {
    let shop = Shop::open().await;
    let (customer, subscription) = shop.subscriber().await;
    let failing = shop
        .billing()
        .set_card(&customer, "pm_card_chargeCustomerFail");
    failing.expect("it can be attached");
    let end = shop.truth(&subscription).current_period_end;
    let before = seen(&shop.sim).await;
    shop.sim.advance(end - shop.sim.now() + HOUR);
    let events = events_after(&shop.sim, &before).await;
    let failed = [
        "invoice.finalized",
        "charge.failed",
        "payment_intent.payment_failed",
        "invoice.payment_failed",
        "customer.updated",
        "customer.subscription.updated",
    ];
    assert_eq!(events[events.len() - failed.len()..], failed);
    let truth = shop.truth(&subscription);
    assert_eq!(truth.status, "past_due");
    let path = format!("/v1/invoices/{}", truth.latest_invoice.expect("it has one"));
    let invoice = get(&shop.sim, &path).await;
    assert_eq!(invoice["attempt_count"], 1);
    assert_eq!(
        invoice["next_payment_attempt"],
        json!(shop.sim.now() + 3 * DAY)
    );
    let read = get(&shop.sim, &format!("/v1/customers/{customer}")).await;
    assert_eq!(read["delinquent"], true);
    shop.sim.advance(3 * DAY);
    assert_eq!(get(&shop.sim, &path).await["attempt_count"], 2);
    shop.billing().set_card(&customer, VISA).expect("a card");
    let before = seen(&shop.sim).await;
    shop.sim.advance(5 * DAY);
    let events = events_after(&shop.sim, &before).await;
    assert_eq!(
        events.last().map(String::as_str),
        Some("customer.subscription.updated")
    );
    let truth = shop.truth(&subscription);
    assert_eq!((truth.status.as_str(), truth.paid), ("active", 4_000));
}

#[tokio::test]
async fn after_the_last_attempt_a_subscription_ends_or_stays() {
    for (after, status) in [
        (AfterRetries::Canceled, "canceled"),
        (AfterRetries::Unpaid, "unpaid"),
        (AfterRetries::PastDue, "past_due"),
    ] {
        let shop = Shop::open().await;
        shop.billing().switch(|it| it.after_retries = after);
        let (customer, subscription) = shop.subscriber().await;
        let failing = shop
            .billing()
            .set_card(&customer, "pm_card_chargeCustomerFail");
        failing.expect("it can be attached");
        let end = shop.truth(&subscription).current_period_end;
        shop.sim.advance(end - shop.sim.now() + 16 * DAY);
        assert_eq!(shop.truth(&subscription).status, status);
        let attempts = shop.billing().truth().invoices[1].attempts;
        assert_eq!(attempts, 4);
        if status == "canceled" {
            let path = format!("/v1/subscriptions/{subscription}");
            let read = get(&shop.sim, &path).await;
            assert_eq!(read["cancellation_details"]["reason"], "payment_failed");
        }
    }
}

#[tokio::test]
async fn a_trial_is_announced_and_then_paid_for() {
    let shop = Shop::open().await;
    let customer = shop.customer(VISA);
    let subscription = trial(&shop, &customer, "create_invoice").await;
    let before = seen(&shop.sim).await;
    shop.sim.advance(4 * DAY);
    let events = events_after(&shop.sim, &before).await;
    assert!(
        events.contains(&"customer.subscription.trial_will_end".to_owned()),
        "{events:?}"
    );
    shop.sim.advance(3 * DAY + HOUR);
    let truth = shop.truth(&subscription);
    assert_eq!((truth.status.as_str(), truth.paid), ("active", 2_000));
}

#[tokio::test]
async fn a_trial_without_a_card_ends_as_it_was_asked_for() {
    let shop = Shop::open().await;
    for (missing, status) in [
        ("create_invoice", "past_due"),
        ("cancel", "canceled"),
        ("pause", "paused"),
    ] {
        let customer = shop.stranger();
        let subscription = trial(&shop, &customer, missing).await;
        shop.sim.advance(7 * DAY + HOUR);
        assert_eq!(shop.truth(&subscription).status, status, "{missing}");
    }
}

#[tokio::test]
async fn a_paused_subscription_is_resumed_by_paying() {
    let shop = Shop::open().await;
    let customer = shop.stranger();
    let subscription = trial(&shop, &customer, "pause").await;
    let resume = format!("/v1/subscriptions/{subscription}/resume");
    assert_eq!(post(&shop.sim, &resume, &[]).await.status, 400);
    shop.sim.advance(8 * DAY);
    shop.billing().set_card(&customer, VISA).expect("a card");
    let resumed = made(&shop.sim, &resume, &[]).await;
    assert_eq!(resumed["status"], "active");
    let truth = shop.truth(&subscription);
    assert_eq!(
        (truth.current_period_start, truth.paid),
        (shop.sim.now(), 2_000)
    );
}

#[tokio::test]
async fn a_trial_is_ended_early_or_extended() {
    let shop = Shop::open().await;
    let customer = shop.customer(VISA);
    let subscription = trial(&shop, &customer, "cancel").await;
    let later = (shop.sim.now() + 30 * DAY).to_string();
    let extended = shop.update(&subscription, &[("trial_end", &later)]).await;
    assert_eq!(extended["trial_end"].to_string(), later);
    let before = shop.truth(&subscription);
    assert_eq!((before.status.as_str(), before.paid), ("trialing", 0));
    shop.update(&subscription, &[("trial_end", "now")]).await;
    let truth = shop.truth(&subscription);
    assert_eq!((truth.status.as_str(), truth.paid), ("active", 2_000));
    assert_eq!(truth.current_period_start, shop.sim.now());
}

#[tokio::test]
async fn a_schedule_changes_the_price_with_the_next_period() {
    let shop = Shop::open().await;
    let (_, subscription) = shop.subscriber().await;
    let schedule = [("from_subscription", subscription.as_str())];
    let schedule = made(&shop.sim, "/v1/subscription_schedules", &schedule).await;
    assert_eq!(
        schedule["phases"][0]["items"][0]["price"],
        json!(shop.monthly)
    );
    let path = format!("/v1/subscription_schedules/{}", id(&schedule));
    let end = shop.truth(&subscription).current_period_end;
    let (start, until) = (
        schedule["phases"][0]["start_date"].to_string(),
        end.to_string(),
    );
    let form = [
        ("end_behavior", "release"),
        ("phases[0][items][0][price]", shop.monthly.as_str()),
        ("phases[0][start_date]", start.as_str()),
        ("phases[0][end_date]", until.as_str()),
        ("phases[1][items][0][price]", shop.basic.as_str()),
        ("phases[1][iterations]", "1"),
    ];
    made(&shop.sim, &path, &form).await;
    let cancel = [("cancel_at_period_end", "true")];
    let direct = post(
        &shop.sim,
        &format!("/v1/subscriptions/{subscription}"),
        &cancel,
    )
    .await;
    assert_eq!(direct.status, 400, "{}", direct.body);
    shop.sim.advance(end - shop.sim.now() + HOUR);
    let truth = shop.truth(&subscription);
    assert_eq!(
        (truth.items[0].price.as_str(), truth.paid),
        (shop.basic.as_str(), 3_000)
    );
    assert!(truth.schedule.is_some());
    shop.sim.advance(31 * DAY);
    let truth = shop.truth(&subscription);
    assert_eq!((truth.schedule, truth.paid), (None, 4_000));
    assert_eq!(get(&shop.sim, &path).await["status"], "released");
    assert_eq!(
        post(&shop.sim, &format!("{path}/release"), &[])
            .await
            .status,
        400
    );
}

#[tokio::test]
async fn a_released_schedule_changes_nothing_more() {
    let shop = Shop::open().await;
    let (_, subscription) = shop.subscriber().await;
    let form = [("from_subscription", subscription.as_str())];
    let schedule = made(&shop.sim, "/v1/subscription_schedules", &form).await;
    assert_eq!(
        post(&shop.sim, "/v1/subscription_schedules", &form)
            .await
            .status,
        400
    );
    let path = format!("/v1/subscription_schedules/{}/release", id(&schedule));
    let released = made(&shop.sim, &path, &[]).await;
    assert_eq!(released["released_subscription"], json!(subscription));
    assert_eq!(shop.truth(&subscription).schedule, None);
    shop.update(&subscription, &[("cancel_at_period_end", "true")])
        .await;
}

#[tokio::test]
async fn a_schedule_that_ends_by_cancelling_cancels() {
    let shop = Shop::open().await;
    let (_, subscription) = shop.subscriber().await;
    let form = [("from_subscription", subscription.as_str())];
    let schedule = made(&shop.sim, "/v1/subscription_schedules", &form).await;
    let path = format!("/v1/subscription_schedules/{}", id(&schedule));
    made(&shop.sim, &path, &[("end_behavior", "cancel")]).await;
    shop.sim.advance(32 * DAY);
    assert_eq!(shop.truth(&subscription).status, "canceled");
    let missing = made(&shop.sim, "/v1/customers", &[]).await;
    let unknown = [("from_subscription", missing["id"].as_str().expect("an id"))];
    refused(
        &post(&shop.sim, "/v1/subscription_schedules", &unknown).await,
        400,
        "resource_missing",
    );
}
