//! Customers, the cards that are attached to them, and setup intents.

use serde_json::json;

use crate::billing::{Shop, VISA, delete, get, get_older};
use crate::connect::{ask, id, made, post, refused};

#[tokio::test]
async fn a_customer_is_made_changed_listed_and_deleted() {
    let shop = Shop::open().await;
    let form = [
        ("email", "jenny@example.com"),
        ("name", "Jenny Rosen"),
        ("metadata[organization]", "org_1"),
        ("metadata[plan]", "pro"),
    ];
    let customer = id(&made(&shop.sim, "/v1/customers", &form).await);
    let path = format!("/v1/customers/{customer}");
    made(&shop.sim, &path, &[("metadata[plan]", ""), ("name", "")]).await;
    let read = get(&shop.sim, &path).await;
    assert_eq!(read["metadata"], json!({ "organization": "org_1" }));
    assert_eq!(
        (&read["name"], &read["email"]),
        (&json!(null), &json!("jenny@example.com"))
    );
    let named = get(&shop.sim, "/v1/customers?email=jenny@example.com").await;
    assert_eq!(named["data"][0]["id"], json!(customer));
    let other = get(&shop.sim, "/v1/customers?email=Jenny@example.com").await;
    assert_eq!(other["data"], json!([]));

    assert_eq!(delete(&shop.sim, &path).await.body["deleted"], true);
    let stub = json!({ "deleted": true, "id": customer, "object": "customer" });
    assert_eq!(get(&shop.sim, &path).await, stub);
    refused(
        &post(&shop.sim, &path, &[("name", "x")]).await,
        404,
        "resource_missing",
    );
}

#[tokio::test]
async fn lists_lead_from_new_customers_to_those_of_the_books() {
    let shop = Shop::open().await;
    for _ in 0..3 {
        shop.stranger();
    }
    let all = crate::client::walk(&shop.sim, "/v1/customers", 2).await;
    let mut ids: Vec<_> = all.iter().map(id).collect();
    let count = ids.len();
    assert!(count > 3, "the books have one as well");
    ids.dedup();
    assert_eq!(ids.len(), count);
}

#[tokio::test]
async fn deleting_a_customer_cancels_its_subscriptions() {
    let shop = Shop::open().await;
    let (customer, subscription) = shop.subscriber().await;
    delete(&shop.sim, &format!("/v1/customers/{customer}")).await;
    assert_eq!(shop.truth(&subscription).status, "canceled");
}

#[tokio::test]
async fn cards_are_attached_detached_and_recognized() {
    let shop = Shop::open().await;
    let (one, other) = (shop.stranger(), shop.stranger());
    let attach = |customer: &str, card: &str| {
        let path = format!("/v1/payment_methods/{card}/attach");
        let customer = customer.to_owned();
        let sim = &shop.sim;
        async move { post(sim, &path, &[("customer", &customer)]).await }
    };
    let first = attach(&one, VISA).await.body;
    let second = attach(&other, VISA).await.body;
    assert_ne!(first["id"], second["id"]);
    assert_eq!(first["card"]["fingerprint"], second["card"]["fingerprint"]);
    let declined = attach(&one, "pm_card_chargeDeclined").await;
    refused(&declined, 402, "card_declined");
    assert_eq!(declined.error()["decline_code"], "generic_decline");
    assert_eq!(declined.error()["type"], "card_error");
    assert_eq!(attach(&one, "pm_card_chargeCustomerFail").await.status, 200);
    let taken = attach(&other, first["id"].as_str().expect("an id")).await;
    assert_eq!(taken.status, 400);

    let path = format!("/v1/customers/{one}");
    let default = [(
        "invoice_settings[default_payment_method]",
        first["id"].as_str().expect("an id"),
    )];
    let updated = made(&shop.sim, &path, &default).await;
    assert_eq!(
        updated["invoice_settings"]["default_payment_method"],
        first["id"]
    );
    let foreign = post(&shop.sim, &format!("/v1/customers/{other}"), &default).await;
    assert_eq!(foreign.status, 400);
    let cards = get(&shop.sim, &format!("{path}/payment_methods?type=card")).await;
    assert_eq!(cards["data"].as_array().expect("a list").len(), 2);

    let detach = format!("/v1/payment_methods/{}/detach", id(&first));
    assert_eq!(made(&shop.sim, &detach, &[]).await["customer"], json!(null));
    let expanded = format!("{path}?expand[]=invoice_settings.default_payment_method");
    let read = get(&shop.sim, &expanded).await;
    assert_eq!(
        read["invoice_settings"]["default_payment_method"],
        json!(null)
    );
}

#[tokio::test]
async fn a_setup_intent_attaches_its_card_and_makes_it_no_default() {
    let shop = Shop::open().await;
    let customer = shop.stranger();
    let intent = made(&shop.sim, "/v1/setup_intents", &[("customer", &customer)]).await;
    assert_eq!(intent["status"], "requires_payment_method");
    let secret = intent["client_secret"].as_str().expect("a secret");
    assert!(secret.starts_with(&format!("{}_secret_", id(&intent))));
    let billing = shop.billing();
    let confirm = |card: &str| billing.confirm_setup_intent(&id(&intent), card);
    assert_eq!(
        confirm("pm_card_chargeDeclined").expect("it is open"),
        "requires_payment_method"
    );
    let path = format!("/v1/setup_intents/{}", id(&intent));
    assert_eq!(
        get(&shop.sim, &path).await["last_setup_error"]["code"],
        "card_declined"
    );
    assert_eq!(confirm(VISA).expect("it is open"), "succeeded");
    let truth = shop.billing().truth();
    let truth = truth.customer(&customer).expect("it is known");
    assert_eq!(
        (truth.payment_methods.len(), &truth.default_payment_method),
        (1, &None)
    );
    refused(
        &post(&shop.sim, &format!("{path}/cancel"), &[]).await,
        400,
        "setup_intent_unexpected_state",
    );
}

#[tokio::test]
async fn a_setup_intent_waits_for_authentication() {
    let shop = Shop::open().await;
    let customer = shop.stranger();
    let form = [
        ("customer", customer.as_str()),
        ("payment_method", "pm_card_threeDSecure2Required"),
        ("confirm", "true"),
    ];
    let billing = shop.billing();
    let intent = made(&shop.sim, "/v1/setup_intents", &form).await;
    assert_eq!(intent["status"], "requires_action");
    assert_eq!(intent["next_action"]["type"], "use_stripe_sdk");
    let failed = billing.authenticate_setup_intent(&id(&intent), false);
    assert_eq!(failed.expect("it waits"), "requires_payment_method");
    let again = made(&shop.sim, "/v1/setup_intents", &form).await;
    let passed = billing.authenticate_setup_intent(&id(&again), true);
    assert_eq!(passed.expect("it waits"), "succeeded");
}

#[tokio::test]
async fn older_versions_read_the_same_customer() {
    let shop = Shop::open().await;
    let customer = shop.customer(VISA);
    let path = format!("/v1/customers/{customer}");
    assert_eq!(get_older(&shop.sim, &path).await["id"], json!(customer));
}

#[tokio::test]
async fn each_account_has_customers_of_its_own() {
    let shop = Shop::open().await;
    let account = crate::connect::onboarded(&shop.sim).await;
    let call = (reqwest::Method::POST, "/v1/customers");
    let theirs = ask(
        &shop.sim,
        call,
        Some(&account),
        &[("email", "a@example.com")],
    )
    .await;
    let path = format!("/v1/customers/{}", id(&theirs.body));
    let call = |method| (method, path.as_str());
    let read = ask(&shop.sim, call(reqwest::Method::GET), Some(&account), &[]).await;
    assert_eq!(read.body["email"], "a@example.com");
    let foreign = ask(&shop.sim, call(reqwest::Method::GET), None, &[]).await;
    refused(&foreign, 404, "resource_missing");
    assert_eq!(shop.billing().truth().customers.len(), 0);
}

#[tokio::test]
async fn a_deleted_customer_is_a_stub_on_its_charges() {
    let shop = Shop::open().await;
    let (customer, _) = shop.subscriber().await;
    delete(&shop.sim, &format!("/v1/customers/{customer}")).await;
    let charges = get(&shop.sim, "/v1/charges?expand[]=data.customer").await;
    assert_eq!(charges["data"][0]["customer"]["deleted"], true);
}
