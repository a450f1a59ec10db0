//! Subscriptions: how they begin, what can be changed of them, and how they end.

use serde_json::json;
use stripe_sim::NewSubscription;

use crate::billing::{DAY, Shop, VISA, delete, events_after, get, get_older, seen};
use crate::connect::{id, made, post, refused};

#[tokio::test]
async fn a_subscription_is_paid_when_it_is_made() {
    let shop = Shop::open().await;
    let (customer, subscription) = shop.subscriber().await;
    let path = format!("/v1/subscriptions/{subscription}");
    let read = get(
        &shop.sim,
        &format!("{path}?expand[]=latest_invoice.payments"),
    )
    .await;
    let invoice = &read["latest_invoice"];
    assert_eq!(
        (&invoice["status"], &invoice["billing_reason"]),
        (&json!("paid"), &json!("subscription_create"))
    );
    let intent = &invoice["payments"]["data"][0]["payment"]["payment_intent"];
    let intent = get(
        &shop.sim,
        &format!("/v1/payment_intents/{}", intent.as_str().expect("an id")),
    )
    .await;
    assert_eq!(
        (&intent["amount"], &intent["customer"]),
        (&json!(2_000), &json!(customer))
    );
    let charges = get(&shop.sim, "/v1/charges?expand[]=data.customer").await;
    assert_eq!(charges["data"][0]["customer"]["id"], json!(customer));
    assert_eq!(charges["data"][0]["amount"], 2_000);
}

#[tokio::test]
async fn the_period_stands_on_the_item_or_in_older_versions_on_the_subscription() {
    let shop = Shop::open().await;
    let (_, subscription) = shop.subscriber().await;
    let path = format!("/v1/subscriptions/{subscription}");
    let end = shop.truth(&subscription).current_period_end;
    let newer = get(&shop.sim, &path).await;
    assert_eq!(newer["items"]["data"][0]["current_period_end"], end);
    assert!(newer.get("current_period_end").is_none());
    let older = get_older(&shop.sim, &path).await;
    assert_eq!(older["current_period_end"], end);
    assert!(
        older["items"]["data"][0]
            .get("current_period_end")
            .is_none()
    );
    assert!(older.get("billing_mode").is_none());
}

#[tokio::test]
async fn without_a_payment_method_nothing_is_made() {
    let shop = Shop::open().await;
    let customer = shop.stranger();
    let form = [
        ("customer", customer.as_str()),
        ("items[0][price]", shop.monthly.as_str()),
    ];
    let answer = post(&shop.sim, "/v1/subscriptions", &form).await;
    refused(&answer, 400, "resource_missing");
    let message = answer.error()["message"].as_str().expect("a message");
    assert!(
        message.starts_with("This customer has no attached payment source"),
        "{message}"
    );
    assert_eq!(shop.billing().truth().subscriptions, 0);
}

#[tokio::test]
async fn an_incomplete_subscription_expires_unless_it_is_paid() {
    let shop = Shop::open().await;
    for pays in [true, false] {
        let (customer, subscription) = shop
            .subscribed("pm_card_chargeCustomerFail", &shop.monthly)
            .await;
        let truth = shop.truth(&subscription);
        assert_eq!(truth.status, "incomplete");
        let invoice = truth.latest_invoice.expect("it has one");
        let path = format!("/v1/invoices/{invoice}/pay");
        refused(&post(&shop.sim, &path, &[]).await, 402, "card_declined");
        let change = [("items[0][price]", shop.basic.as_str())];
        let update = format!("/v1/subscriptions/{subscription}");
        assert_eq!(post(&shop.sim, &update, &change).await.status, 400);
        if pays {
            shop.billing().set_card(&customer, VISA).expect("a card");
            assert_eq!(made(&shop.sim, &path, &[]).await["status"], "paid");
        }
        shop.sim.advance(DAY);
        let status = shop.truth(&subscription).status;
        assert_eq!(status, if pays { "active" } else { "incomplete_expired" });
        let invoice = get(&shop.sim, &format!("/v1/invoices/{invoice}")).await;
        assert_eq!(invoice["status"], if pays { "paid" } else { "void" });
    }
}

#[tokio::test]
async fn payment_behaviors_differ() {
    let shop = Shop::open().await;
    let customer = shop.customer("pm_card_chargeCustomerFail");
    let form = |behavior: &'static str| {
        [
            ("customer", customer.clone()),
            ("items[0][price]", shop.monthly.clone()),
            ("payment_behavior", behavior.to_owned()),
            ("expand[]", "latest_invoice.confirmation_secret".to_owned()),
        ]
    };
    let error = form("error_if_incomplete");
    let error: Vec<_> = error
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    let answer = post(&shop.sim, "/v1/subscriptions", &error).await;
    refused(&answer, 402, "card_declined");
    assert_eq!(shop.billing().truth().subscriptions, 0);
    let waits = form("default_incomplete");
    let waits: Vec<_> = waits
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    let made = made(&shop.sim, "/v1/subscriptions", &waits).await;
    assert_eq!(made["status"], "incomplete");
    let invoice = &made["latest_invoice"];
    assert_eq!(
        (&invoice["status"], &invoice["attempted"]),
        (&json!("open"), &json!(false))
    );
    let secret = invoice["confirmation_secret"]["client_secret"].as_str();
    assert!(secret.is_some_and(|it| it.contains("_secret_")));
}

#[tokio::test]
async fn an_invoice_waits_for_authentication() {
    let shop = Shop::open().await;
    let before = seen(&shop.sim).await;
    let (_, subscription) = shop
        .subscribed("pm_card_authenticationRequired", &shop.monthly)
        .await;
    let events = events_after(&shop.sim, &before).await;
    assert!(events.contains(&"invoice.payment_action_required".to_owned()));
    let truth = shop.truth(&subscription);
    assert_eq!(truth.status, "incomplete");
    let invoice = truth.latest_invoice.expect("it has one");
    shop.billing()
        .authenticate_invoice(&invoice, true)
        .expect("it waits");
    assert_eq!(shop.truth(&subscription).status, "active");
    assert!(shop.billing().authenticate_invoice(&invoice, true).is_err());
}

#[tokio::test]
async fn cancelling_at_the_periods_end_is_undone_or_happens() {
    let shop = Shop::open().await;
    let (_, subscription) = shop.subscriber().await;
    let end = shop.truth(&subscription).current_period_end;
    let ends = shop
        .update(&subscription, &[("cancel_at_period_end", "true")])
        .await;
    assert_eq!(
        (&ends["cancel_at"], &ends["status"]),
        (&json!(end), &json!("active"))
    );
    assert_eq!(ends["canceled_at"], json!(shop.sim.now()));
    let stays = shop
        .update(&subscription, &[("cancel_at_period_end", "false")])
        .await;
    assert_eq!(
        (&stays["cancel_at"], &stays["canceled_at"]),
        (&json!(null), &json!(null))
    );
    shop.update(&subscription, &[("cancel_at_period_end", "true")])
        .await;
    let before = seen(&shop.sim).await;
    shop.sim.advance(32 * DAY);
    let truth = shop.truth(&subscription);
    assert_eq!(
        (truth.status.as_str(), truth.ended_at),
        ("canceled", Some(end))
    );
    assert_eq!(
        events_after(&shop.sim, &before).await,
        ["customer.subscription.deleted"]
    );
    assert_eq!(truth.paid, 2_000);
}

#[tokio::test]
async fn cancelling_may_be_said_by_a_date_alone() {
    let shop = Shop::open().await;
    shop.billing().switch(|it| it.cancel_as_date = true);
    let (_, subscription) = shop.subscriber().await;
    let ends = shop
        .update(&subscription, &[("cancel_at_period_end", "true")])
        .await;
    assert_eq!(ends["cancel_at_period_end"], false);
    assert_eq!(
        ends["cancel_at"],
        json!(shop.truth(&subscription).current_period_end)
    );
    shop.sim.advance(32 * DAY);
    assert_eq!(shop.truth(&subscription).status, "canceled");
}

#[tokio::test]
async fn a_date_of_cancellation_is_kept() {
    let shop = Shop::open().await;
    let (_, subscription) = shop.subscriber().await;
    let at = (shop.sim.now() + 10 * DAY).to_string();
    shop.update(&subscription, &[("cancel_at", &at)]).await;
    shop.sim.advance(9 * DAY);
    assert_eq!(shop.truth(&subscription).status, "active");
    shop.sim.advance(DAY);
    assert_eq!(shop.truth(&subscription).status, "canceled");
}

#[tokio::test]
async fn a_deleted_subscription_is_canceled_and_listed_when_asked_for() {
    let shop = Shop::open().await;
    let (customer, subscription) = shop.subscriber().await;
    let path = format!("/v1/subscriptions/{subscription}");
    let answer = delete(&shop.sim, &path).await;
    assert_eq!(answer.body["status"], "canceled");
    assert_eq!(
        answer.body["cancellation_details"]["reason"],
        "cancellation_requested"
    );
    refused(&delete(&shop.sim, &path).await, 404, "resource_missing");
    assert_eq!(get(&shop.sim, &path).await["status"], "canceled");
    let list = format!("/v1/subscriptions?customer={customer}");
    assert_eq!(get(&shop.sim, &list).await["data"], json!([]));
    for status in ["all", "canceled", "ended"] {
        let listed = get(&shop.sim, &format!("{list}&status={status}")).await;
        assert_eq!(listed["data"][0]["id"], json!(subscription), "{status}");
    }
}

#[tokio::test]
async fn one_made_in_the_dashboard_is_like_any_other() {
    let shop = Shop::open().await;
    let customer = shop.customer(VISA);
    let new = NewSubscription {
        customer: customer.clone(),
        price: shop.monthly.clone(),
        quantity: 3,
        trial_days: Some(10),
        ..NewSubscription::default()
    };
    let subscription = shop
        .billing()
        .create_subscription(&new)
        .expect("it is made");
    let list = get(&shop.sim, &format!("/v1/subscriptions?customer={customer}")).await;
    assert_eq!(list["data"][0]["id"], json!(subscription));
    let truth = shop.truth(&subscription);
    assert_eq!(
        (truth.status.as_str(), truth.items[0].quantity),
        ("trialing", 3)
    );
    shop.billing()
        .cancel_subscription(&subscription)
        .expect("it is there");
    assert_eq!(shop.truth(&subscription).status, "canceled");
}

#[tokio::test]
async fn metadata_and_the_method_change_without_an_invoice() {
    let shop = Shop::open().await;
    let (customer, subscription) = shop.subscriber().await;
    let path = "/v1/payment_methods/pm_card_mastercard/attach";
    let method = id(&made(&shop.sim, path, &[("customer", &customer)]).await);
    let form = [
        ("metadata[seats]", "3"),
        ("default_payment_method", method.as_str()),
    ];
    let updated = shop.update(&subscription, &form).await;
    assert_eq!(updated["metadata"], json!({ "seats": "3" }));
    assert_eq!(updated["default_payment_method"], json!(method));
    assert_eq!(shop.billing().truth().invoices.len(), 1);
    let before = seen(&shop.sim).await;
    shop.update(&subscription, &form).await;
    assert_eq!(events_after(&shop.sim, &before).await, Vec::<String>::new());
}
