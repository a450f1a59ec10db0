//! Every served object has the fields of its fixture, no more and no fewer.

use serde_json::Value;

use crate::client::{config, example, get, get_with, start, walk};
use crate::connect::{self, ask, connect, made, onboarded, platform};

pub(crate) fn fixture(name: &str) -> Value {
    let path = format!("{}/fixtures/{name}.json", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    serde_json::from_str(&text).expect("a fixture is JSON")
}

/// Fields that are free or whose presence is a choice.
const OPEN: [&str; 9] = [
    "capabilities",
    "flexible",
    "metadata",
    "reversals",
    "refunds",
    "payments",
    "line_items",
    "previous_attributes",
    "subscription_item",
];

pub(crate) fn same_shape(ours: &Value, theirs: &Value, path: &str) {
    let (Value::Object(ours), Value::Object(theirs)) = (ours, theirs) else {
        if let (Value::Array(ours), Value::Array(theirs)) = (ours, theirs)
            && let Some(theirs) = theirs.first()
        {
            for ours in ours {
                same_shape(ours, theirs, path);
            }
        }
        return;
    };
    // Fixtures of payment methods are cards; bank debits have no fixture.
    if path.ends_with("payment_method_details") && !ours.contains_key("card") {
        return;
    }
    let keys = |map: &serde_json::Map<String, Value>| -> Vec<String> {
        map.keys()
            .filter(|key| !OPEN.contains(&key.as_str()))
            .cloned()
            .collect()
    };
    assert_eq!(keys(ours), keys(theirs), "{path}");
    for (key, theirs) in theirs {
        if let Some(ours) = ours.get(key).filter(|_| !OPEN.contains(&key.as_str())) {
            same_shape(ours, theirs, &format!("{path}.{key}"));
        }
    }
}

#[tokio::test]
async fn listed_objects_have_their_fixtures_fields() {
    let sim = start(config(600)).await;
    for (path, name) in [
        ("charges", "charge"),
        ("customers", "customer"),
        ("products", "product"),
        ("prices", "price"),
        ("invoices", "invoice"),
        ("invoice_payments", "invoice_payment"),
        ("checkout/sessions", "checkout_session"),
        ("payment_intents", "payment_intent"),
        ("refunds", "refund"),
        ("disputes", "dispute"),
        ("balance_transactions", "balance_transaction"),
    ] {
        let all = walk(&sim, &format!("/v1/{path}"), 100).await;
        assert!(!all.is_empty(), "{path}");
        let fixture = fixture(name);
        for object in &all {
            same_shape(object, &fixture, name);
        }
    }
}

#[tokio::test]
async fn single_objects_have_their_fixtures_fields() {
    let sim = start(config(600)).await;
    let invoice = example(&sim, "invoice");
    let session = example(&sim, "checkout.session");
    for (path, name) in [
        ("account".to_owned(), "account"),
        (format!("accounts/{}", sim.first().id()), "account"),
        ("balance".to_owned(), "balance"),
        (
            format!("customers/{}", example(&sim, "deleted_customer")),
            "deleted_customer",
        ),
        (
            format!("products/{}", example(&sim, "deleted_product")),
            "deleted_product",
        ),
        (format!("refunds/{}", example(&sim, "refund")), "refund"),
        (format!("disputes/{}", example(&sim, "dispute")), "dispute"),
    ] {
        let answer = get(&sim, &format!("/v1/{path}")).await;
        assert_eq!(answer.status, 200, "{path}");
        same_shape(&answer.body, &fixture(name), &path);
    }
    for (path, name) in [
        (format!("invoices/{invoice}/lines"), "invoice_line_item"),
        (
            format!("checkout/sessions/{session}/line_items"),
            "checkout_line_item",
        ),
    ] {
        for object in walk(&sim, &format!("/v1/{path}"), 3).await {
            let priced = object.get("price").is_none_or(|price| !price.is_null());
            assert!(priced, "an item of a session has a price");
            same_shape(&object, &fixture(name), name);
        }
    }
}

#[tokio::test]
async fn events_have_their_fixtures_fields() {
    let sim = start(config(600)).await;
    sim.first()
        .refund(&example(&sim, "succeeded"), Some(5))
        .expect("it can be refunded");
    let event = walk(&sim, "/v1/events?type=charge.refunded", 10)
        .await
        .remove(0);
    same_shape(&event, &fixture("event_charge_refunded"), "event");
    let id = event["id"].as_str().expect("an id");
    assert_eq!(get(&sim, &format!("/v1/events/{id}")).await.body, event);
    assert_eq!(event["data"]["previous_attributes"]["amount_refunded"], 0);
}

#[tokio::test]
async fn the_older_version_has_the_older_fields() {
    let sim = start(config(600)).await;
    let older = [("Stripe-Version", "2025-02-24.acacia")];
    let list = |path: &'static str| get_with(&sim, path, "sk_test_sim_1", &older);
    let charges = list("/v1/charges?limit=100&expand[]=data.invoice").await;
    let mut invoiced = 0;
    for charge in charges.body["data"].as_array().expect("data") {
        same_shape(charge, &fixture("acacia/charge"), "charge");
        let invoice = &charge["invoice"];
        if !invoice.is_null() {
            invoiced += 1;
            same_shape(invoice, &fixture("acacia/invoice"), "invoice");
        }
    }
    assert!(invoiced > 20);
    let prices = list("/v1/prices?limit=100").await;
    for price in prices.body["data"].as_array().expect("data") {
        same_shape(price, &fixture("acacia/price"), "price");
    }
    assert!(
        get(&sim, "/v1/charges").await.body["data"][0]
            .get("invoice")
            .is_none()
    );
}

#[tokio::test]
async fn an_account_may_answer_everything_in_one_shape() {
    let sim = start(stripe_sim::AccountConfig {
        always: Some(stripe_sim::ApiVersion::Acacia),
        ..config(600)
    })
    .await;
    let newest = [("Stripe-Version", "2026-07-29.dahlia")];
    let key = sim.first().key().to_owned();
    let ask = |path: &'static str| get_with(&sim, path, &key, &newest);
    let refused = ask("/v1/invoices?expand[]=data.payments").await;
    assert_eq!(
        (refused.status, refused.error()),
        (
            400,
            &serde_json::json!({
                "type": "invalid_request_error",
                "message": "This property cannot be expanded (payments).",
            })
        )
    );
    let unknown = ask("/v1/invoice_payments").await;
    assert_eq!(unknown.status, 404);
    let message = unknown.error()["message"].as_str().expect("a message");
    assert!(message.starts_with("Unrecognized request URL (GET: /v1/invoice_payments)"));
    let charges = ask("/v1/charges?limit=100").await;
    assert_eq!(charges.header("stripe-version"), Some("2025-02-24.acacia"));
    for charge in charges.body["data"].as_array().expect("data") {
        same_shape(charge, &fixture("acacia/charge"), "charge");
    }
    let invoices = ask("/v1/invoices?limit=100").await;
    let invoices = invoices.body["data"].as_array().expect("data").clone();
    assert!(invoices.iter().any(|invoice| invoice["charge"].is_string()));
    for invoice in &invoices {
        same_shape(invoice, &fixture("acacia/invoice"), "invoice");
        assert_eq!(
            invoice["charge"].is_null(),
            invoice["payment_intent"].is_null()
        );
        for line in invoice["lines"]["data"].as_array().expect("lines") {
            assert!(line["price"].is_null() || line["price"]["product"].is_string());
        }
    }
    sim.first()
        .refund(&example(&sim, "succeeded"), Some(5))
        .expect("it can be refunded");
    let event = ask("/v1/events?type=charge.refunded").await.body["data"][0].clone();
    assert_eq!(event["api_version"], "2025-02-24.acacia");
    assert!(event["data"]["object"].get("invoice").is_some());
}

#[tokio::test]
async fn objects_of_connect_have_their_fixtures_fields() {
    let sim = platform().await;
    let account = onboarded(&sim).await;
    let connect = connect(&sim);
    connect
        .fund(None, 1_000, "eur", false)
        .expect("it is funded");
    let form = [
        ("amount", "500"),
        ("currency", "eur"),
        ("destination", account.as_str()),
    ];
    let transfer = made(&sim, "/v1/transfers", &form).await;
    same_shape(&transfer, &fixture("transfer"), "transfer");
    let path = format!("/v1/transfers/{}/reversals", connect::id(&transfer));
    let reversal = made(&sim, &path, &[("amount", "100")]).await;
    same_shape(&reversal, &fixture("transfer_reversal"), "reversal");
    let link = [
        ("account", account.as_str()),
        ("type", "account_onboarding"),
        ("refresh_url", "https://example.com/refresh"),
        ("return_url", "https://example.com/return"),
    ];
    let link = made(&sim, "/v1/account_links", &link).await;
    same_shape(&link, &fixture("account_link"), "link");
    let session = [
        ("account", account.as_str()),
        ("components[payouts][enabled]", "true"),
    ];
    let session = made(&sim, "/v1/account_sessions", &session).await;
    same_shape(&session, &fixture("account_session"), "session");
    let path = format!("/v1/accounts/{account}");
    let shown = get(&sim, &path).await.body;
    same_shape(&shown, &fixture("account"), "account");
    let capability = get(&sim, &format!("{path}/capabilities/transfers"))
        .await
        .body;
    same_shape(&capability, &fixture("capability"), "capability");
    let form = [("amount", "200"), ("currency", "eur")];
    let call = (reqwest::Method::POST, "/v1/payouts");
    let payout = ask(&sim, call, Some(&account), &form).await.body;
    same_shape(&payout, &fixture("payout"), "payout");
    let call = (reqwest::Method::GET, "/v1/balance");
    let balance = ask(&sim, call, Some(&account), &[]).await.body;
    same_shape(&balance, &fixture("balance"), "balance");
}
