//! Objects of billing have the fields of their fixtures, in both shapes.

use crate::billing::{Shop, VISA, get, get_older};
use crate::connect::{id, made};
use crate::shapes::{fixture, same_shape};

#[tokio::test]
async fn objects_of_billing_have_their_fixtures_fields() {
    let shop = Shop::open().await;
    let sim = &shop.sim;
    let (customer, subscription) = shop.subscriber().await;
    shop.billing().save_portal_settings();
    let form = [("customer", customer.as_str())];
    let session = made(sim, "/v1/billing_portal/sessions", &form).await;
    same_shape(&session, &fixture("billing_portal_session"), "portal");
    let intent = made(sim, "/v1/setup_intents", &form).await;
    same_shape(&intent, &fixture("setup_intent"), "setup intent");
    let session = id(&shop.session(&customer, &[]).await);
    shop.pay(&session, VISA);
    let truth = shop.truth(&subscription);
    let invoice = truth.latest_invoice.expect("it has one");
    let method = shop.billing().truth().customers[0].payment_methods[0].clone();
    let price = &shop.monthly;
    let product = get(sim, &format!("/v1/prices/{price}")).await["product"].clone();
    let product = product.as_str().expect("an id").to_owned();
    for (path, name) in [
        (format!("customers/{customer}"), "customer"),
        (format!("payment_methods/{method}"), "payment_method"),
        (format!("prices/{price}"), "price"),
        (format!("products/{product}"), "product"),
        (format!("checkout/sessions/{session}"), "checkout_session"),
        (format!("subscriptions/{subscription}"), "subscription"),
        (format!("invoices/{invoice}"), "invoice"),
    ] {
        let object = get(sim, &format!("/v1/{path}")).await;
        same_shape(&object, &fixture(name), name);
    }
    for (path, name) in [
        (
            format!("checkout/sessions/{session}/line_items"),
            "checkout_line_item",
        ),
        (
            format!("subscription_items?subscription={subscription}"),
            "subscription_item",
        ),
        (format!("invoices/{invoice}/lines"), "invoice_line_item"),
    ] {
        let list = get(sim, &format!("/v1/{path}")).await;
        same_shape(&list["data"][0], &fixture(name), name);
    }
    let expanded = get(sim, &format!("/v1/invoices/{invoice}?expand[]=payments")).await;
    let payment = &expanded["payments"]["data"][0];
    same_shape(payment, &fixture("invoice_payment"), "invoice payment");
}

#[tokio::test]
async fn older_versions_have_their_fixtures_fields() {
    let shop = Shop::open().await;
    let (_, subscription) = shop.subscriber().await;
    let invoice = shop
        .truth(&subscription)
        .latest_invoice
        .expect("it has one");
    for (path, name) in [
        (format!("subscriptions/{subscription}"), "subscription"),
        (format!("invoices/{invoice}"), "invoice"),
        (format!("prices/{}", shop.monthly), "price"),
    ] {
        let object = get_older(&shop.sim, &format!("/v1/{path}")).await;
        same_shape(&object, &fixture(&format!("acacia/{name}")), name);
    }
}
