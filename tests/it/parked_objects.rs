//! Objects of a shape that nobody knows: kept aside as they came, counted, and taken in when they can be
//! read, while everything else goes on.

use reqwest::Method;
use serde_json::{Value, json};
use stripe_sim::{MetadataChange, NewCharge, NewLine};
use tests::world::{World, unlimited_account};

fn set(key: &str, value: &str) -> MetadataChange {
    [(key.to_owned(), Some(value.to_owned()))].into()
}

/// List and count of what is parked, as the connection and its status tell it.
async fn parked(world: &World) -> Vec<(String, i64)> {
    let id = world.connection_id();
    let connection = world.get(&format!("/v1/connectors/{id}")).await;
    let status = world.get(&format!("/v1/connectors/{id}/sync-status")).await;
    let listed = world.get("/v1/connectors").await;
    assert_eq!(connection["warnings"], status["warnings"]);
    assert_eq!(connection["warnings"], listed["data"][0]["warnings"]);
    let warnings = status["warnings"].as_array().unwrap().iter();
    warnings
        .filter(|warning| warning["code"] == "objects_parked")
        .map(|warning| {
            let list = warning["resource"].as_str().unwrap().to_owned();
            (list, warning["count"].as_i64().unwrap())
        })
        .collect()
}

async fn raw(world: &World, object: &str) -> String {
    sqlx::query_scalar("SELECT raw FROM stripe_parked_objects WHERE object_id = $1")
        .bind(object)
        .fetch_one(world.database.admin())
        .await
        .unwrap()
}

async fn rows(world: &World, charge: &str) -> Value {
    let id = world.connection_id();
    let path = format!("/v1/connectors/{id}/charges/{charge}/explain");
    world.get(&path).await["rows"].clone()
}

/// A charge with an invoice of one line, and what they hang on.
struct Sale {
    product: String,
    price: String,
    charge: String,
    invoice: String,
}

fn sale(world: &World) -> Sale {
    let account = world.account();
    let account = account.quietly();
    let product = account.create_product(&set("category", "books"));
    let price = account.create_price(&product, &set("size", "l")).unwrap();
    let customer = account.create_customer(&set("plan", "pro"));
    let new = NewCharge {
        customer: Some(customer),
        ..NewCharge::of(1_000, "usd")
    };
    let charge = account.create_charge(&new).unwrap();
    let line = NewLine {
        price: Some(price.clone()),
        quantity: Some(1),
        ..NewLine::default()
    };
    let invoice = account.attach_invoice(&charge, &[line], None).unwrap();
    Sale {
        product,
        price,
        charge,
        invoice,
    }
}

fn odd() -> [Option<Value>; 4] {
    [
        Some(json!({"metadata": "none of your business"})),
        Some(json!({"metadata": 5})),
        Some(json!({"amount": "a lot"})),
        Some(json!({"created": "long ago", "lines": 7})),
    ]
}

fn patch(world: &World, sale: &Sale, patches: [Option<Value>; 4]) {
    let ids = [&sale.product, &sale.price, &sale.charge, &sale.invoice];
    for (id, patch) in ids.into_iter().zip(patches) {
        world.account().patch_answers(id, patch);
    }
}

fn all_four() -> Vec<(String, i64)> {
    ["charges", "invoices", "prices", "products"]
        .map(|list| (list.to_owned(), 1))
        .to_vec()
}

#[tokio::test]
async fn an_object_that_cannot_be_read_is_parked_and_the_rest_is_synced() {
    let world = World::with_charges(250).start().await;
    let sale = sale(&world);
    patch(&world, &sale, odd());
    let connected = world.connect().await;
    let job = world.job_completed(&connected["job_id"]).await;
    assert_eq!(job["progress"]["charges_seen"], 250);
    assert_eq!(parked(&world).await, all_four());
    assert!(raw(&world, &sale.charge).await.contains("a lot"));
    assert_eq!(rows(&world, &sale.charge).await, json!([]));
    // A full job that still cannot read them keeps them; one that can lets them go.
    world.sync(json!({"job_type": "full"})).await;
    assert_eq!(parked(&world).await, all_four());
    patch(&world, &sale, [const { None }; 4]);
    world.sync(json!({"job_type": "full"})).await;
    assert_eq!(parked(&world).await, []);
    world.assert_exact().await;
}

#[tokio::test]
async fn a_stored_object_that_becomes_unreadable_keeps_its_last_rows_until_an_event_makes_it_readable()
 {
    let world = World::with_charges(100).start().await;
    let sale = sale(&world);
    let connected = world.connect().await;
    world.job_completed(&connected["job_id"]).await;
    let before = rows(&world, &sale.charge).await;
    assert_eq!(before[0]["product_id"], json!(sale.product));
    patch(&world, &sale, odd());
    let touch = |value: &str| {
        let account = world.account();
        let change = set("touched", value);
        account
            .set_product_metadata(&sale.product, &change)
            .unwrap();
        account.set_price_metadata(&sale.price, &change).unwrap();
        account.set_charge_metadata(&sale.charge, &change).unwrap();
        let invoice = json!({"id": sale.invoice, "object": "invoice"});
        account.inject_event("invoice.updated", &invoice, None);
    };
    touch("once");
    let job = world.sync(json!({})).await;
    assert_eq!(job["job_type"], "incremental");
    assert_eq!(parked(&world).await, all_four());
    assert_eq!(rows(&world, &sale.charge).await, before);
    world.sync(json!({"job_type": "full"})).await;
    assert_eq!(rows(&world, &sale.charge).await, before);
    patch(&world, &sale, [const { None }; 4]);
    touch("twice");
    let job = world.sync(json!({})).await;
    assert_eq!(job["job_type"], "incremental");
    assert_eq!(parked(&world).await, []);
    world.assert_exact().await;
}

#[tokio::test]
async fn a_readable_unpaid_invoice_is_released() {
    let world = World::builder()
        .account(unlimited_account(20))
        .start()
        .await;
    let account = world.account();
    let connected = world.connect().await;
    world.job_completed(&connected["job_id"]).await;
    let customer = account.create_customer(&set("plan", "pro"));
    let line = NewLine {
        amount: Some(1_000),
        ..NewLine::default()
    };
    let invoice = account
        .create_invoice(&[line], &customer, "usd", None)
        .unwrap();
    account.patch_answers(&invoice, Some(json!({"lines": 7})));
    world.sync(json!({})).await;
    assert_eq!(parked(&world).await, [("invoices".to_owned(), 1)]);
    account.patch_answers(&invoice, None);
    let named = json!({"id": invoice, "object": "invoice"});
    account.inject_event("invoice.updated", &named, None);
    world.sync(json!({})).await;
    assert_eq!(parked(&world).await, []);
    world.assert_exact().await;
}

#[tokio::test]
async fn an_event_that_cannot_be_read_is_parked_and_applied_when_it_can() {
    let world = World::with_charges(50).start().await;
    let connected = world.connect().await;
    world.job_completed(&connected["job_id"]).await;
    let account = world.account();
    let charge = account
        .quietly()
        .create_charge(&NewCharge::of(700, "usd"))
        .unwrap();
    let named = json!({"id": charge, "object": "charge", "created": world.sim.now()});
    let event = account.inject_event("charge.succeeded", &named, None);
    account.patch_answers(&event, Some(json!({"data": 3})));
    account.create_charge(&NewCharge::of(800, "usd")).unwrap();
    world.sync(json!({})).await;
    assert_eq!(parked(&world).await, [("events".to_owned(), 1)]);
    assert_eq!(rows(&world, &charge).await, json!([]));
    account.patch_answers(&event, None);
    world.sync(json!({})).await;
    assert_eq!(parked(&world).await, []);
    world.assert_exact().await;
}

#[tokio::test]
async fn an_event_without_an_id_fails_the_job() {
    let world = World::with_charges(20).start().await;
    let connected = world.connect().await;
    world.job_completed(&connected["job_id"]).await;
    let account = world.account();
    let named = json!({"id": "ch_1", "object": "charge"});
    let event = account.inject_event("charge.succeeded", &named, None);
    account.patch_answers(&event, Some(json!({"id": null})));
    let path = format!("/v1/connectors/stripe/{}/sync", world.connection_id());
    let answer = world.ask(Method::POST, &path, None).await.expect(202);
    let job = world.job_end(&answer["job_id"]).await;
    assert_eq!(job["status"], "failed", "{job:#}");
    assert_eq!(job["error"]["code"], "internal");
    let message = job["error"]["message"].as_str().unwrap();
    assert!(message.contains("one of its events"), "{message}");
    account.patch_answers(&event, None);
    world.sync(json!({})).await;
    world.assert_exact().await;
}

#[tokio::test]
async fn an_odd_event_that_names_its_object_is_applied_once_and_parks_nothing() {
    let world = World::with_charges(50).start().await;
    let connected = world.connect().await;
    world.job_completed(&connected["job_id"]).await;
    let account = world.account();
    let charge = account
        .quietly()
        .create_charge(&NewCharge::of(700, "usd"))
        .unwrap();
    let named = json!({"id": charge, "object": "charge", "created": world.sim.now()});
    let event = account.inject_event("charge.succeeded", &named, None);
    account.patch_answers(&event, Some(json!({"type": 5})));
    world.sync(json!({})).await;
    assert_eq!(parked(&world).await, []);
    assert_eq!(rows(&world, &charge).await.as_array().unwrap().len(), 1);
    world.sim.reset_requests();
    world.sync(json!({})).await;
    assert_eq!(world.sim.requests().total, 1, "the events");
    world.assert_exact().await;
}

#[tokio::test]
async fn a_parked_customer_is_released_once_a_charge_shows_it_readable() {
    let world = World::with_charges(20).start().await;
    let account = world.account();
    let customer = account.create_customer(&set("plan", "pro"));
    let charge = || {
        let new = NewCharge {
            customer: Some(customer.clone()),
            ..NewCharge::of(900, "usd")
        };
        account.create_charge(&new).unwrap()
    };
    charge();
    let connected = world.connect().await;
    world.job_completed(&connected["job_id"]).await;
    account.patch_answers(&customer, Some(json!({"metadata": 5})));
    account
        .set_customer_metadata(&customer, &set("plan", "team"))
        .unwrap();
    world.sync(json!({})).await;
    assert_eq!(parked(&world).await, [("customers".to_owned(), 1)]);
    account.patch_answers(&customer, None);
    charge();
    world.sync(json!({})).await;
    assert_eq!(parked(&world).await, []);
    world.assert_exact().await;
}
