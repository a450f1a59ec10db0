//! Changes of a subscription's items, their prorations and what previews say of them.

use serde_json::{Value, json};

use crate::billing::{DAY, Shop, VISA, events_after, get, get_older, seen};
use crate::connect::{id, made, post, refused};

/// Half of the period that September to October is.
const HALF: i64 = 15 * DAY;

fn amounts(invoice: &Value) -> Vec<i64> {
    let lines = invoice["lines"]["data"].as_array().expect("a list").iter();
    lines
        .map(|it| it["amount"].as_i64().expect("an amount"))
        .collect()
}

async fn preview(shop: &Shop, form: &[(&str, &str)]) -> Value {
    made(&shop.sim, "/v1/invoices/create_preview", form).await
}

#[tokio::test]
async fn prorations_wait_for_the_next_invoice() {
    let shop = Shop::open().await;
    let (_, subscription) = shop.subscribed(VISA, &shop.basic).await;
    let item = shop.item(&subscription);
    shop.sim.advance(HALF);
    let form = [
        ("items[0][id]", item.as_str()),
        ("items[0][price]", shop.monthly.as_str()),
    ];
    let before = seen(&shop.sim).await;
    shop.update(&subscription, &form).await;
    assert_eq!(
        events_after(&shop.sim, &before).await,
        ["customer.subscription.updated"]
    );
    let truth = shop.truth(&subscription);
    assert_eq!(
        (truth.items[0].price.as_str(), truth.paid),
        (shop.monthly.as_str(), 1_000)
    );
    shop.sim.advance(HALF + DAY);
    assert_eq!(shop.truth(&subscription).paid, 1_000 + 500 + 2_000);
}

#[tokio::test]
async fn a_change_is_charged_at_once_when_asked_for_and_as_its_preview_said() {
    let shop = Shop::open().await;
    let (customer, subscription) = shop.subscribed(VISA, &shop.basic).await;
    let item = shop.item(&subscription);
    shop.sim.advance(HALF);
    let now = shop.sim.now().to_string();
    let details = [
        ("customer", customer.as_str()),
        ("subscription", subscription.as_str()),
        ("subscription_details[items][0][id]", item.as_str()),
        (
            "subscription_details[items][0][price]",
            shop.monthly.as_str(),
        ),
        ("subscription_details[proration_behavior]", "always_invoice"),
        ("subscription_details[proration_date]", now.as_str()),
    ];
    let previewed = preview(&shop, &details).await;
    assert!(id(&previewed).starts_with("upcoming_in_"));
    assert_eq!(amounts(&previewed), [-500, 1_000]);
    assert_eq!(shop.truth(&subscription).items[0].price, shop.basic);
    let form = [
        ("items[0][id]", item.as_str()),
        ("items[0][price]", shop.monthly.as_str()),
        ("proration_behavior", "always_invoice"),
        ("proration_date", now.as_str()),
        ("expand[]", "latest_invoice"),
    ];
    let changed = shop.update(&subscription, &form).await;
    let invoice = &changed["latest_invoice"];
    assert_eq!(
        (&invoice["total"], &invoice["status"]),
        (&previewed["total"], &json!("paid"))
    );
    assert_eq!(invoice["billing_reason"], "subscription_update");
    let line = &invoice["lines"]["data"][0];
    assert_eq!(
        line["parent"]["subscription_item_details"]["proration"],
        true
    );
    let older = get_older(&shop.sim, &format!("/v1/invoices/{}", id(invoice))).await;
    let line = &older["lines"]["data"][0];
    assert_eq!(
        (&line["proration"], &line["price"]["id"]),
        (&json!(true), &json!(shop.basic))
    );
    assert_eq!(
        (&older["subscription"], &older["paid"]),
        (&json!(subscription), &json!(true))
    );
}

#[tokio::test]
async fn nothing_is_prorated_when_that_is_asked_for() {
    let shop = Shop::open().await;
    let (_, subscription) = shop.subscriber().await;
    let item = shop.item(&subscription);
    shop.sim.advance(HALF);
    let form = [
        ("items[0][id]", item.as_str()),
        ("items[0][quantity]", "4"),
        ("proration_behavior", "none"),
    ];
    shop.update(&subscription, &form).await;
    shop.sim.advance(HALF + DAY);
    assert_eq!(shop.truth(&subscription).paid, 2_000 + 4 * 2_000);
}

#[tokio::test]
async fn an_item_without_its_id_is_added() {
    let shop = Shop::open().await;
    let (_, subscription) = shop.subscriber().await;
    shop.update(&subscription, &[("items[0][price]", shop.basic.as_str())])
        .await;
    let truth = shop.truth(&subscription);
    assert_eq!(truth.items.len(), 2);
    let second = truth.items[1].id.clone();
    let url = format!("/v1/subscription_items?subscription={subscription}");
    assert_eq!(get(&shop.sim, &url).await["data"][1]["id"], json!(second));
    shop.update(
        &subscription,
        &[("items[0][id]", &second), ("items[0][deleted]", "true")],
    )
    .await;
    assert_eq!(shop.truth(&subscription).items.len(), 1);
    let wrong = [
        ("items[0][id]", "si_1"),
        ("items[0][price]", shop.basic.as_str()),
    ];
    let path = format!("/v1/subscriptions/{subscription}");
    refused(
        &post(&shop.sim, &path, &wrong).await,
        400,
        "resource_missing",
    );
}

#[tokio::test]
async fn a_new_price_has_a_quantity_of_one_unless_it_is_given() {
    let shop = Shop::open().await;
    let customer = shop.customer(VISA);
    let form = [
        ("customer", customer.as_str()),
        ("items[0][price]", shop.monthly.as_str()),
        ("items[0][quantity]", "5"),
    ];
    let subscription = id(&made(&shop.sim, "/v1/subscriptions", &form).await);
    let item = shop.item(&subscription);
    let change = [
        ("items[0][id]", item.as_str()),
        ("items[0][price]", shop.basic.as_str()),
    ];
    shop.update(&subscription, &change).await;
    assert_eq!(shop.truth(&subscription).items[0].quantity, 1);
}

#[tokio::test]
async fn another_interval_begins_a_period_and_is_charged_now() {
    let shop = Shop::open().await;
    let (_, subscription) = shop.subscriber().await;
    let item = shop.item(&subscription);
    shop.sim.advance(HALF);
    let form = [
        ("items[0][id]", item.as_str()),
        ("items[0][price]", shop.yearly.as_str()),
        ("expand[]", "latest_invoice"),
    ];
    let changed = shop.update(&subscription, &form).await;
    assert_eq!(amounts(&changed["latest_invoice"]), [-1_000, 20_000]);
    let truth = shop.truth(&subscription);
    assert_eq!(truth.current_period_start, shop.sim.now());
    assert_eq!(truth.current_period_end, shop.sim.now() + 365 * DAY);
    assert_eq!(truth.paid, 2_000 + 19_000);
}

#[tokio::test]
async fn a_credit_that_is_left_over_pays_the_next_invoices() {
    let shop = Shop::open().await;
    let (customer, subscription) = shop.subscribed(VISA, &shop.yearly).await;
    let item = shop.item(&subscription);
    let form = [
        ("items[0][id]", item.as_str()),
        ("items[0][price]", shop.monthly.as_str()),
        ("proration_behavior", "always_invoice"),
    ];
    shop.update(&subscription, &form).await;
    let balance = || {
        let truth = shop.billing().truth();
        truth.customer(&customer).expect("it is known").balance
    };
    assert_eq!(balance(), -18_000);
    shop.sim.advance(32 * DAY);
    assert_eq!(
        (balance(), shop.truth(&subscription).paid),
        (-16_000, 20_000)
    );
}

#[tokio::test]
async fn a_change_that_cannot_be_paid_is_refused_kept_or_past_due() {
    for (behavior, status, price_changes) in [
        ("error_if_incomplete", 402, false),
        ("pending_if_incomplete", 200, false),
        ("allow_incomplete", 200, true),
    ] {
        let shop = Shop::open().await;
        let (customer, subscription) = shop.subscribed(VISA, &shop.basic).await;
        let failing = shop
            .billing()
            .set_card(&customer, "pm_card_chargeCustomerFail");
        failing.expect("it can be attached");
        let item = shop.item(&subscription);
        let form = [
            ("items[0][id]", item.as_str()),
            ("items[0][price]", shop.monthly.as_str()),
            ("proration_behavior", "always_invoice"),
            ("payment_behavior", behavior),
        ];
        let path = format!("/v1/subscriptions/{subscription}");
        let answer = post(&shop.sim, &path, &form).await;
        assert_eq!(answer.status, status, "{behavior}: {}", answer.body);
        let truth = shop.truth(&subscription);
        assert_eq!(
            truth.items[0].price == shop.monthly,
            price_changes,
            "{behavior}"
        );
        let wanted = if price_changes { "past_due" } else { "active" };
        assert_eq!(truth.status, wanted, "{behavior}");
        if behavior == "pending_if_incomplete" {
            assert_eq!(
                answer.body["pending_update"]["subscription_items"][0]["price"]["id"],
                json!(shop.monthly)
            );
            shop.billing().set_card(&customer, VISA).expect("a card");
            let invoice = truth.latest_invoice.expect("it has one");
            made(&shop.sim, &format!("/v1/invoices/{invoice}/pay"), &[]).await;
            assert_eq!(shop.truth(&subscription).items[0].price, shop.monthly);
        }
    }
}

#[tokio::test]
async fn a_preview_of_nothing_new_is_the_next_invoice() {
    let shop = Shop::open().await;
    let (customer, subscription) = shop.subscriber().await;
    let next = preview(&shop, &[("customer", customer.as_str())]).await;
    assert_eq!(
        (amounts(&next), &next["billing_reason"]),
        (vec![2_000], &json!("upcoming"))
    );
    let end = shop.truth(&subscription).current_period_end;
    assert_eq!(next["next_payment_attempt"], json!(end));
    shop.update(&subscription, &[("cancel_at_period_end", "true")])
        .await;
    let none = post(
        &shop.sim,
        "/v1/invoices/create_preview",
        &[("customer", &customer)],
    )
    .await;
    refused(&none, 400, "invoice_upcoming_none");
    let kept = [
        ("subscription", subscription.as_str()),
        ("subscription_details[cancel_at_period_end]", "false"),
    ];
    assert_eq!(amounts(&preview(&shop, &kept).await), [2_000]);
}

#[tokio::test]
async fn a_preview_of_a_new_subscription_needs_none() {
    let shop = Shop::open().await;
    let customer = shop.stranger();
    let form = [
        ("customer", customer.as_str()),
        (
            "subscription_details[items][0][price]",
            shop.monthly.as_str(),
        ),
        ("subscription_details[items][0][quantity]", "2"),
    ];
    assert_eq!(amounts(&preview(&shop, &form).await), [4_000]);
    assert_eq!(shop.billing().truth().invoices.len(), 0);
}
