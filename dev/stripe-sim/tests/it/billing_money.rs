//! Invoices, refunds of what was paid, the portal's settings, and keys under which each is done once.

use reqwest::Method;
use serde_json::{Value, json};
use stripe_sim::{ApiVersion, Fault, FaultRule, WebhookEndpoint, WebhookFault, WebhookFaultRule};

use crate::billing::{Shop, VISA, get, get_older};
use crate::client::{Answer, http, send};
use crate::connect::{id, made, post, refused};
use crate::receiver::Receiver;
use crate::webhooks::LONG;

#[tokio::test]
async fn invoices_are_listed_by_customer_and_subscription() {
    let shop = Shop::open().await;
    let (customer, subscription) = shop.subscriber().await;
    shop.sim.advance(32 * 86_400);
    for query in [
        format!("customer={customer}"),
        format!("subscription={subscription}&status=paid"),
    ] {
        let list = get(&shop.sim, &format!("/v1/invoices?{query}")).await;
        let invoices = list["data"].as_array().expect("a list");
        assert_eq!(invoices.len(), 2, "{query}");
        let parent = &invoices[0]["parent"]["subscription_details"];
        assert_eq!(parent["subscription"], json!(subscription));
        let url = invoices[0]["hosted_invoice_url"].as_str();
        assert!(url.is_some_and(|it| it.starts_with("https://invoice.stripe.com/")));
    }
    let others = get(&shop.sim, "/v1/invoices").await;
    assert_eq!(others["data"], json!([]));
    let invoice = shop
        .truth(&subscription)
        .latest_invoice
        .expect("it has one");
    let lines = get(&shop.sim, &format!("/v1/invoices/{invoice}/lines")).await;
    let price = &lines["data"][0]["pricing"]["price_details"]["price"];
    assert_eq!(price, &json!(shop.monthly));
    let path = format!("/v1/invoices/{invoice}?expand[]=payment_intent&expand[]=charge");
    let older = get_older(&shop.sim, &path).await;
    assert_eq!(older["payment_intent"]["amount"], 2_000);
    assert_eq!(older["charge"]["status"], "succeeded");
}

#[tokio::test]
async fn a_path_that_leads_to_nothing_cannot_be_expanded() {
    let shop = Shop::open().await;
    let (_, subscription) = shop.subscriber().await;
    for path in ["nothing", "latest_invoice.charge", "a.b.c.d.e"] {
        let url = format!("/v1/subscriptions/{subscription}?expand[]={path}");
        let answer = crate::connect::get(&shop.sim, &url).await;
        assert_eq!(answer.status, 400, "{path}: {}", answer.body);
    }
}

#[tokio::test]
async fn a_payment_is_refunded_in_parts_and_no_further() {
    let shop = Shop::open().await;
    let (_, subscription) = shop.subscriber().await;
    let charge = shop.billing().truth().invoices[0].charges[0].clone();
    let read = get(&shop.sim, &format!("/v1/charges/{charge}")).await;
    let intent = read["payment_intent"].as_str().expect("an id");
    let payments = format!(
        "/v1/invoice_payments?payment[type]=payment_intent&payment[payment_intent]={intent}"
    );
    let invoice = &get(&shop.sim, &payments).await["data"][0]["invoice"];
    assert_eq!(invoice, &json!(shop.truth(&subscription).latest_invoice));
    let part = [
        ("payment_intent", intent),
        ("amount", "500"),
        ("reason", "duplicate"),
    ];
    let refund = made(&shop.sim, "/v1/refunds", &part).await;
    assert_eq!(
        (&refund["amount"], &refund["status"]),
        (&json!(500), &json!("succeeded"))
    );
    let over = [("charge", charge.as_str()), ("amount", "1501")];
    assert_eq!(post(&shop.sim, "/v1/refunds", &over).await.status, 400);
    made(&shop.sim, "/v1/refunds", &[("charge", &charge)]).await;
    let again = post(&shop.sim, "/v1/refunds", &[("charge", &charge)]).await;
    refused(&again, 400, "charge_already_refunded");
    let truth = shop.truth(&subscription);
    assert_eq!((truth.paid, truth.refunded), (2_000, 2_000));
    assert_eq!(shop.billing().truth().refunded["usd"], 2_000);
}

#[tokio::test]
async fn the_portal_needs_a_configuration() {
    let shop = Shop::open().await;
    let customer = shop.stranger();
    let form = [
        ("customer", customer.as_str()),
        ("return_url", "http://example.com"),
    ];
    let path = "/v1/billing_portal/sessions";
    let answer = post(&shop.sim, path, &form).await;
    let message = answer.error()["message"].as_str().expect("a message");
    assert!(
        message.starts_with("No configuration provided and your test mode"),
        "{message}"
    );
    let features = [
        ("features[invoice_history][enabled]", "true"),
        ("features[subscription_cancel][enabled]", "true"),
        (
            "features[subscription_update][default_allowed_updates][]",
            "price",
        ),
        ("metadata[made_by]", "test"),
    ];
    let configurations = "/v1/billing_portal/configurations";
    let made_one = made(&shop.sim, configurations, &features).await;
    assert_eq!(
        made_one["features"]["invoice_history"],
        json!({ "enabled": true })
    );
    let updates = &made_one["features"]["subscription_update"]["default_allowed_updates"];
    assert_eq!(updates, &json!(["price"]));
    assert_eq!(post(&shop.sim, path, &form).await.status, 400);
    let configuration = id(&made_one);
    let named = [form[0], form[1], ("configuration", configuration.as_str())];
    let session = made(&shop.sim, path, &named).await;
    assert_eq!(session["configuration"], json!(configuration));
    let saved = shop.billing().save_portal_settings();
    assert_eq!(
        made(&shop.sim, path, &form).await["configuration"],
        json!(saved)
    );
    let listed = get(&shop.sim, &format!("{configurations}?is_default=true")).await;
    assert_eq!(listed["data"][0]["id"], json!(saved));
}

#[tokio::test]
async fn the_first_configuration_may_be_the_default() {
    let shop = Shop::open().await;
    shop.billing()
        .switch(|it| it.first_configuration_is_default = true);
    let features = [("features[invoice_history][enabled]", "true")];
    made(&shop.sim, "/v1/billing_portal/configurations", &features).await;
    let customer = shop.stranger();
    made(
        &shop.sim,
        "/v1/billing_portal/sessions",
        &[("customer", &customer)],
    )
    .await;
}

async fn subscribe(shop: &Shop, customer: &str, key: &str) -> reqwest::Result<Answer> {
    let form = [
        ("customer", customer),
        ("items[0][price]", shop.monthly.as_str()),
    ];
    let call = (Method::POST, "/v1/subscriptions");
    let headers = [("idempotency-key", key)];
    send(&shop.sim, shop.sim.first().key(), call, &form, &headers).await
}

#[tokio::test]
async fn a_subscription_under_one_key_is_made_once_whatever_goes_wrong() {
    let shop = Shop::open().await;
    let customer = shop.customer(VISA);
    for (fault, made) in [
        (Fault::Lost, 1),
        (Fault::FailedAfter(500), 2),
        (Fault::FailedBefore(500), 2),
    ] {
        let key = format!("{fault:?}");
        shop.sim.first().add_fault(FaultRule {
            endpoint: Some("POST /v1/subscriptions".to_owned()),
            fault,
            after: 0,
            times: 1,
            retry_after: None,
        });
        let first = subscribe(&shop, &customer, &key).await;
        assert!(
            first.is_err() || first.is_ok_and(|it| it.status == 500),
            "{key}"
        );
        let again = subscribe(&shop, &customer, &key).await.expect("an answer");
        assert_eq!(again.header("idempotent-replayed"), Some("true"), "{key}");
        assert_eq!(shop.billing().truth().subscriptions, made, "{key}");
    }
}

#[tokio::test]
async fn a_declined_card_is_kept_under_its_key_and_a_wrong_parameter_is_not() {
    let shop = Shop::open().await;
    let customer = shop.stranger();
    for _ in 0..2 {
        let answer = subscribe(&shop, &customer, "none")
            .await
            .expect("an answer");
        refused(&answer, 400, "resource_missing");
    }
    shop.billing().set_card(&customer, VISA).expect("a card");
    let kept = subscribe(&shop, &customer, "none")
        .await
        .expect("an answer");
    assert_eq!(
        (kept.status, kept.header("idempotent-replayed")),
        (400, Some("true"))
    );
    let unknown = subscribe(&shop, "cus_1", "wrong").await.expect("an answer");
    assert_eq!(
        (unknown.status, unknown.header("idempotent-replayed")),
        (400, None)
    );
    let right = subscribe(&shop, &customer, "wrong")
        .await
        .expect("an answer");
    assert_eq!(right.status, 200);
}

#[tokio::test]
async fn events_have_the_shape_of_their_endpoint_and_meet_its_faults() {
    let shop = Shop::open().await;
    let (newer, older) = (Receiver::start().await, Receiver::start().await);
    let doubled = WebhookFaultRule {
        events: Some("customer.subscription.*".to_owned()),
        ..WebhookFaultRule::always(WebhookFault::Duplicate)
    };
    let endpoint = |receiver: &Receiver, version| WebhookEndpoint {
        api_version: Some(version),
        faults: vec![doubled.clone()],
        ..WebhookEndpoint::at(receiver.url.clone())
    };
    let account = shop.sim.first();
    let endpoints = [
        account.add_webhook_endpoint(endpoint(&newer, ApiVersion::Dahlia)),
        account.add_webhook_endpoint(endpoint(&older, ApiVersion::Acacia)),
    ];
    let (_, subscription) = shop.subscriber().await;
    for endpoint in endpoints {
        endpoint
            .expect("an endpoint")
            .wait_until_idle(LONG)
            .await
            .expect("all of it");
    }
    let created = |receiver: &Receiver| -> Vec<Value> {
        let all = receiver.arrivals();
        let events = all.iter().map(super::receiver::Arrival::event);
        events
            .filter(|it| it["type"] == "customer.subscription.created")
            .collect()
    };
    let end = shop.truth(&subscription).current_period_end;
    let (newer, older) = (created(&newer), created(&older));
    assert_eq!((newer.len(), older.len()), (2, 2));
    let object = &newer[0]["data"]["object"];
    assert_eq!(object["items"]["data"][0]["current_period_end"], end);
    assert_eq!(object["status"], "incomplete");
    assert_eq!(older[0]["data"]["object"]["current_period_end"], end);
}

async fn control(shop: &Shop, path: &str, body: &Value) -> (u16, Value) {
    let url = format!("{}/_sim/billing{path}", shop.sim.base_url);
    let sent = http().post(url).body(body.to_string()).send().await;
    let response = sent.expect("the simulator answers");
    let status = response.status().as_u16();
    (status, response.json().await.expect("the answer is JSON"))
}

#[tokio::test]
async fn controls_are_there_over_http() {
    let shop = Shop::open().await;
    let done = |(status, body): (u16, Value)| {
        assert_eq!(status, 200, "{body}");
        body
    };
    let product = done(control(&shop, "/products", &json!({ "name": "Team" })).await);
    let price = json!({ "product": product["id"], "amount": 900, "currency": "eur" });
    let price = done(control(&shop, "/prices", &price).await);
    let customer = json!({ "email": "a@example.com" });
    let customer = done(control(&shop, "/customers", &customer).await);
    let path = format!("/customers/{}/card", id(&customer));
    done(control(&shop, &path, &json!({ "card": VISA })).await);
    let new = json!({ "customer": customer["id"], "price": price["id"], "quantity": 2 });
    let subscription = done(control(&shop, "/subscriptions", &new).await);
    assert_eq!(shop.truth(&id(&subscription)).paid, 1_800);
    done(control(&shop, "/switches", &json!({ "debit_days": 9 })).await);
    assert_eq!(shop.billing().switches().debit_days, 9);
    let wrong = control(&shop, "/switches", &json!({ "nothing": 9 })).await;
    assert_eq!(wrong.0, 400);
    let missing = control(&shop, "/checkout/cs_test_1/pay", &json!({})).await;
    assert_eq!(missing.0, 404);
    let truth = http()
        .get(format!("{}/_sim/billing", shop.sim.base_url))
        .send()
        .await;
    let truth: Value = truth.expect("an answer").json().await.expect("JSON");
    assert_eq!(truth["paid"]["eur"], 1_800);
}
