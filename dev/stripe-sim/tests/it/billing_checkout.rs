//! Checkout sessions: what completing, leaving and expiring one does.

use serde_json::json;
use stripe_sim::CheckoutStep;

use crate::billing::{DAY, Shop, VISA, events_after, get, get_older, seen};
use crate::connect::{id, made, post, refused};

#[tokio::test]
async fn a_paid_session_makes_a_subscription() {
    let shop = Shop::open().await;
    let customer = shop.stranger();
    let more = [
        ("client_reference_id", "org_1"),
        ("metadata[plan]", "pro"),
        ("subscription_data[metadata][organization]", "org_1"),
    ];
    let session = shop.session(&customer, &more).await;
    assert_eq!(
        (&session["status"], &session["payment_status"]),
        (&json!("open"), &json!("unpaid"))
    );
    let url = session["url"].as_str().expect("an address");
    assert!(url.starts_with(&shop.sim.base_url), "{url}");
    assert_eq!(shop.pay(&id(&session), VISA), CheckoutStep::Completed);

    let path = format!("/v1/checkout/sessions/{}", id(&session));
    let expand = "expand[]=subscription&expand[]=line_items&expand[]=invoice";
    let done = get(&shop.sim, &format!("{path}?{expand}")).await;
    assert_eq!(
        (&done["status"], &done["payment_status"]),
        (&json!("complete"), &json!("paid"))
    );
    assert_eq!(done["url"], json!(null));
    assert_eq!(done["client_reference_id"], "org_1");
    assert_eq!(done["subscription"]["status"], "active");
    assert_eq!(
        done["subscription"]["metadata"],
        json!({ "organization": "org_1" })
    );
    assert_eq!(
        done["line_items"]["data"][0]["price"]["id"],
        json!(shop.monthly)
    );
    assert_eq!(done["invoice"]["amount_paid"], 2_000);
    let truth = shop.billing().truth();
    let truth = truth.customer(&customer).expect("it is known");
    assert_eq!((truth.live().len(), truth.live()[0].paid), (1, 2_000));
    assert!(truth.live()[0].default_payment_method.is_some());
}

#[tokio::test]
async fn the_events_of_a_paid_session_come_in_stripes_order() {
    let shop = Shop::open().await;
    let customer = shop.stranger();
    let session = shop.session(&customer, &[]).await;
    let before = seen(&shop.sim).await;
    shop.pay(&id(&session), VISA);
    let events = events_after(&shop.sim, &before).await;
    let wanted = [
        "payment_method.attached",
        "customer.updated",
        "customer.subscription.created",
        "invoice.created",
        "invoice.finalized",
        "charge.succeeded",
        "payment_intent.succeeded",
        "invoice.updated",
        "invoice.paid",
        "invoice.payment_succeeded",
        "invoice_payment.paid",
        "customer.subscription.updated",
        "checkout.session.completed",
    ];
    assert_eq!(events, wanted);
}

#[tokio::test]
async fn a_session_without_a_customer_makes_one() {
    let shop = Shop::open().await;
    let form = [
        ("mode", "subscription"),
        ("customer_email", "new@example.com"),
        ("line_items[0][price]", shop.monthly.as_str()),
        ("line_items[0][quantity]", "2"),
        ("success_url", "http://example.com/done"),
    ];
    let session = made(&shop.sim, "/v1/checkout/sessions", &form).await;
    assert_eq!(
        (&session["customer"], &session["amount_total"]),
        (&json!(null), &json!(4_000))
    );
    shop.pay(&id(&session), VISA);
    let truth = shop.billing().truth();
    assert_eq!(truth.customers[0].email.as_deref(), Some("new@example.com"));
    assert_eq!(truth.customers[0].live()[0].items[0].quantity, 2);
}

#[tokio::test]
async fn a_trial_takes_a_card_and_no_payment() {
    let shop = Shop::open().await;
    let customer = shop.stranger();
    let more = [("subscription_data[trial_period_days]", "14")];
    let session = shop.session(&customer, &more).await;
    shop.pay(&id(&session), VISA);
    let truth = shop.billing().truth();
    assert_eq!(truth.sessions[0].payment_status, "no_payment_required");
    let subscription = truth.customers[0].live()[0];
    assert_eq!(
        (subscription.status.as_str(), subscription.paid),
        ("trialing", 0)
    );
    let end = shop.sim.now() + 14 * DAY;
    assert_eq!(
        (subscription.trial_end, subscription.current_period_end),
        (Some(end), end)
    );
    let charges = get(&shop.sim, "/v1/charges").await;
    assert_eq!(charges["data"], json!([]));
}

#[tokio::test]
async fn a_declined_card_leaves_the_session_open() {
    let shop = Shop::open().await;
    let customer = shop.stranger();
    let session = shop.session(&customer, &[]).await;
    for card in ["pm_card_chargeDeclined", "pm_card_chargeCustomerFail"] {
        assert_eq!(shop.pay(&id(&session), card), CheckoutStep::Declined);
    }
    assert_eq!(shop.billing().truth().subscriptions, 0);
    assert_eq!(shop.pay(&id(&session), VISA), CheckoutStep::Completed);
}

#[tokio::test]
async fn three_d_secure_is_passed_or_failed() {
    let shop = Shop::open().await;
    let customer = shop.stranger();
    let session = id(&shop.session(&customer, &[]).await);
    let billing = shop.billing();
    let card = "pm_card_authenticationRequired";
    assert_eq!(shop.pay(&session, card), CheckoutStep::Authentication);
    let failed = billing.authenticate_checkout(&session, false);
    assert_eq!(failed.expect("it waits"), CheckoutStep::Declined);
    assert_eq!(shop.pay(&session, card), CheckoutStep::Authentication);
    let passed = billing.authenticate_checkout(&session, true);
    assert_eq!(passed.expect("it waits"), CheckoutStep::Completed);
    assert_eq!(billing.truth().sessions[0].payment_status, "paid");
}

#[tokio::test]
async fn a_bank_debit_completes_unpaid_and_is_settled_days_later() {
    for success in [true, false] {
        let shop = Shop::open().await;
        shop.billing().switch(|it| it.debit_succeeds = success);
        let customer = shop.stranger();
        let session = shop.session(&customer, &[]).await;
        shop.pay(&id(&session), "pm_usBankAccount");
        let truth = shop.billing().truth();
        let first = &truth.sessions[0];
        assert_eq!(
            (first.status.as_str(), first.payment_status.as_str()),
            ("complete", "unpaid")
        );
        assert_eq!(truth.customers[0].live()[0].status, "active");
        let before = seen(&shop.sim).await;
        shop.sim.advance(3 * DAY);
        assert_eq!(events_after(&shop.sim, &before).await, Vec::<String>::new());
        shop.sim.advance(DAY);
        let events = events_after(&shop.sim, &before).await;
        let (name, status, paid) = if success {
            ("checkout.session.async_payment_succeeded", "active", "paid")
        } else {
            (
                "checkout.session.async_payment_failed",
                "past_due",
                "unpaid",
            )
        };
        assert_eq!(events.last().map(String::as_str), Some(name));
        let truth = shop.billing().truth();
        assert_eq!(truth.sessions[0].payment_status, paid);
        assert_eq!(truth.customers[0].live()[0].status, status);
    }
}

#[tokio::test]
async fn a_debit_need_not_activate_a_subscription() {
    let shop = Shop::open().await;
    shop.billing().switch(|it| it.debit_activates = false);
    let customer = shop.stranger();
    let session = id(&shop.session(&customer, &[]).await);
    shop.pay(&session, "pm_usBankAccount");
    let status = || {
        shop.billing().truth().customers[0].subscriptions[0]
            .status
            .clone()
    };
    assert_eq!(status(), "incomplete");
    shop.billing()
        .settle_checkout(&session, true)
        .expect("it is pending");
    assert_eq!(status(), "active");
}

#[tokio::test]
async fn sessions_expire_by_the_clock_or_by_a_call_and_once() {
    let shop = Shop::open().await;
    let customer = shop.stranger();
    let (one, other) = (
        shop.session(&customer, &[]).await,
        shop.session(&customer, &[]).await,
    );
    let expire =
        |session: &serde_json::Value| format!("/v1/checkout/sessions/{}/expire", id(session));
    let expired = made(&shop.sim, &expire(&one), &[]).await;
    assert_eq!(
        (&expired["status"], &expired["url"]),
        (&json!("expired"), &json!(null))
    );
    let again = post(&shop.sim, &expire(&one), &[]).await;
    let message = again.error()["message"].as_str().expect("a message");
    assert!(message.contains("has a status of `expired`"), "{message}");
    let before = seen(&shop.sim).await;
    shop.sim.advance(DAY);
    assert_eq!(
        events_after(&shop.sim, &before).await,
        ["checkout.session.expired"]
    );
    let open = format!("/v1/checkout/sessions?customer={customer}&status=open");
    assert_eq!(get(&shop.sim, &open).await["data"], json!([]));
    let expired = get(&shop.sim, "/v1/checkout/sessions?status=expired").await;
    assert_eq!(expired["data"].as_array().map(Vec::len), Some(2));
    let all = get(
        &shop.sim,
        &format!("/v1/checkout/sessions?customer={customer}"),
    )
    .await;
    assert_eq!(all["data"][0]["id"], other["id"]);
}

#[tokio::test]
async fn two_open_sessions_of_one_customer_can_both_be_paid() {
    let shop = Shop::open().await;
    let customer = shop.stranger();
    let (one, other) = (
        shop.session(&customer, &[]).await,
        shop.session(&customer, &[]).await,
    );
    for session in [one, other] {
        assert_eq!(shop.pay(&id(&session), VISA), CheckoutStep::Completed);
    }
    assert_eq!(shop.billing().truth().customers[0].live().len(), 2);
}

#[tokio::test]
async fn a_setup_session_saves_a_card() {
    let shop = Shop::open().await;
    let customer = shop.stranger();
    let form = [
        ("mode", "setup"),
        ("currency", "usd"),
        ("customer", customer.as_str()),
        ("success_url", "http://example.com/done"),
        ("setup_intent_data[metadata][organization]", "org_1"),
    ];
    let session = made(&shop.sim, "/v1/checkout/sessions", &form).await;
    shop.pay(&id(&session), VISA);
    let path = format!(
        "/v1/checkout/sessions/{}?expand[]=setup_intent.payment_method",
        id(&session)
    );
    let done = get(&shop.sim, &path).await;
    let intent = &done["setup_intent"];
    assert_eq!(
        (&intent["status"], &intent["metadata"]["organization"]),
        (&json!("succeeded"), &json!("org_1"))
    );
    assert_eq!(intent["payment_method"]["customer"], json!(customer));
}

#[tokio::test]
async fn what_a_session_cannot_be_is_refused() {
    let shop = Shop::open().await;
    let customer = shop.stranger();
    let valid = [
        ("mode", "subscription"),
        ("customer", customer.as_str()),
        ("line_items[0][price]", shop.monthly.as_str()),
        ("line_items[0][quantity]", "1"),
        ("success_url", "http://example.com/done"),
    ];
    let without = |name: &str| -> Vec<_> { valid.into_iter().filter(|it| it.0 != name).collect() };
    let with = |more: (&'static str, &'static str)| {
        let mut form = valid.to_vec();
        form.push(more);
        form
    };
    let path = "/v1/checkout/sessions";
    refused(
        &post(&shop.sim, path, &without("success_url")).await,
        400,
        "parameter_missing",
    );
    refused(
        &post(&shop.sim, path, &without("mode")).await,
        400,
        "parameter_missing",
    );
    refused(
        &post(&shop.sim, path, &with(("customer_email", "a@b.c"))).await,
        400,
        "parameters_exclusive",
    );
    refused(
        &post(&shop.sim, path, &with(("surprise", "1"))).await,
        400,
        "parameter_unknown",
    );
    for more in [
        ("subscription_data[trial_period_days]", "0"),
        ("expires_at", "1790000060"),
    ] {
        let answer = post(&shop.sim, path, &with(more)).await;
        assert_eq!(
            (answer.status, answer.error()["param"].as_str()),
            (400, Some(more.0))
        );
    }
    assert_eq!(shop.billing().truth().sessions.len(), 0);
}

#[tokio::test]
async fn a_deleted_customer_has_no_sessions() {
    let shop = Shop::open().await;
    let gone = shop.stranger();
    shop.billing().delete_customer(&gone).expect("it is there");
    let form = [
        ("mode", "subscription"),
        ("customer", gone.as_str()),
        ("line_items[0][price]", shop.monthly.as_str()),
        ("line_items[0][quantity]", "1"),
        ("success_url", "http://example.com/done"),
    ];
    let answer = post(&shop.sim, "/v1/checkout/sessions", &form).await;
    refused(&answer, 400, "resource_missing");
    assert_eq!(answer.error()["param"], "customer");
}

#[tokio::test]
async fn older_versions_call_the_hosted_page_hosted() {
    let shop = Shop::open().await;
    let customer = shop.stranger();
    let session = shop.session(&customer, &[]).await;
    assert_eq!(session["ui_mode"], "hosted_page");
    let path = format!("/v1/checkout/sessions/{}", id(&session));
    assert_eq!(get_older(&shop.sim, &path).await["ui_mode"], "hosted");
}
