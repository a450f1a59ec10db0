//! Invoices that are known before or after their charge, new products and prices, and answers of a
//! shape never seen.

use serde_json::{Value, json};
use stripe_sim::{MetadataChange, NewCharge, NewLine, SimHandle, TruthQuery};

use crate::client::{NOW, config, example, get, http, start, walk};

async fn types(sim: &SimHandle) -> Vec<String> {
    let events = walk(sim, "/v1/events", 100).await;
    let kinds = events.iter().rev().map(|event| event["type"].as_str());
    kinds.map(|kind| kind.expect("a type").to_owned()).collect()
}

async fn object(sim: &SimHandle, path: &str, id: &str) -> Value {
    get(sim, &format!("/v1/{path}/{id}")).await.body
}

fn named(key: &str, value: &str) -> MetadataChange {
    MetadataChange::from([(key.to_owned(), Some(value.to_owned()))])
}

/// The charge's rows are two alike, of that invoice, product and price.
fn two_rows_of(sim: &SimHandle, charge: &str, (invoice, product, price): (&str, &str, &str)) {
    let rows = sim.first().truth_rows(&TruthQuery::default()).expect("UTC");
    let rows: Vec<_> = rows.iter().filter(|row| row.charge_id == charge).collect();
    assert_eq!(rows.len(), 2);
    for row in rows {
        assert_eq!((row.amount, row.units), (3_000, 3));
        assert_eq!(row.invoice_id.as_deref(), Some(invoice));
        assert_eq!(row.product_id.as_deref(), Some(product));
        assert_eq!(row.price_id.as_deref(), Some(price));
        assert_eq!(row.product_metadata["slug"], "new");
        assert_eq!(row.price_metadata["tier"], "new");
    }
}

#[tokio::test]
async fn an_invoice_may_be_paid_later_than_it_is_known() {
    let sim = start(config(100)).await;
    let account = sim.first();
    let product = account.create_product(&named("slug", "new"));
    let price = account
        .create_price(&product, &named("tier", "new"))
        .expect("the product is there");
    let customer = account.create_customer(&MetadataChange::new());
    let line = NewLine {
        price: Some(price.clone()),
        quantity: Some(3),
        ..NewLine::default()
    };
    let created = NOW - 86_400;
    let invoice = account
        .create_invoice(&[line.clone(), line], &customer, "usd", Some(created))
        .expect("it can be made");
    let open = object(&sim, "invoices", &invoice).await;
    assert_eq!(
        (&open["status"], &open["attempted"]),
        (&json!("open"), &json!(false))
    );
    assert_eq!(
        (&open["total"], &open["created"]),
        (&json!(6_000), &json!(created))
    );
    sim.advance(60);
    let charge = account.pay_invoice(&invoice).expect("it is open");
    assert!(account.pay_invoice(&invoice).is_err());
    let expected = [
        "product.created",
        "price.created",
        "customer.created",
        "invoice.finalized",
        "charge.succeeded",
        "invoice.paid",
        "invoice_payment.paid",
    ];
    assert_eq!(types(&sim).await, expected);
    let paid = object(&sim, "charges", &charge).await;
    assert_eq!(
        (&paid["amount"], &paid["created"]),
        (&json!(6_000), &json!(NOW + 60))
    );
    let payments = walk(&sim, &format!("/v1/invoice_payments?invoice={invoice}"), 10).await;
    assert_eq!(
        payments[0]["payment"]["payment_intent"],
        paid["payment_intent"]
    );
    assert_eq!(object(&sim, "invoices", &invoice).await["status"], "paid");
    two_rows_of(&sim, &charge, (&invoice, &product, &price));
}

#[tokio::test]
async fn a_new_product_is_listed_until_it_is_deleted() {
    let sim = start(config(50)).await;
    let account = sim.first();
    let product = account.create_product(&named("slug", "new"));
    let listed = async || {
        let all = walk(&sim, "/v1/products", 100).await;
        all.iter().any(|it| it["id"] == product.as_str())
    };
    assert!(listed().await);
    account.delete_product(&product).expect("it is there");
    assert!(!listed().await);
    assert_eq!(object(&sim, "products", &product).await["deleted"], true);
    let price = account.create_price(&product, &MetadataChange::new());
    assert!(price.is_err(), "a deleted product takes no price");
}

#[tokio::test]
async fn a_generated_open_invoice_can_be_paid() {
    let sim = start(config(600)).await;
    let open = walk(&sim, "/v1/invoices?status=open", 100).await;
    let untried = open.iter().find(|it| it["attempted"] == false);
    let id = untried.expect("some were never tried")["id"].as_str();
    let id = id.expect("an id");
    let charge = sim.first().pay_invoice(id).expect("it is open");
    assert_eq!(object(&sim, "invoices", id).await["status"], "paid");
    let rows = sim.first().truth_rows(&TruthQuery::default()).expect("UTC");
    let row = rows.iter().find(|row| row.charge_id == charge);
    assert_eq!(row.expect("it is there").invoice_id.as_deref(), Some(id));
    let all = walk(&sim, "/v1/invoices", 7).await;
    assert_eq!(all.iter().filter(|it| it["id"] == id).count(), 1);
}

#[tokio::test]
async fn an_invoice_may_be_known_later_than_its_charge() {
    let sim = start(config(800)).await;
    let account = sim.first();
    let customer = account.create_customer(&MetadataChange::new());
    let new = NewCharge {
        customer: Some(customer),
        ..NewCharge::of(900, "eur")
    };
    let made = account.create_charge(&new).expect("it can be made");
    let rows = account.truth_rows(&TruthQuery::default()).expect("UTC");
    let charges = walk(&sim, "/v1/charges", 100).await;
    let alone = rows.iter().find(|row| {
        let charge = charges.iter().find(|it| it["id"] == row.charge_id.as_str());
        let paid = charge.is_some_and(|it| it["payment_intent"].is_string());
        let alone = row.line_id.is_none() && row.customer_id.is_some();
        alone && row.counted && paid && row.charge_id != made
    });
    let generated = alone.expect("some charges stand alone").charge_id.clone();
    let lines = [100, 200].map(|amount| NewLine {
        amount: Some(amount),
        ..NewLine::default()
    });
    let quiet = types(&sim).await.len();
    for (charge, created) in [(&made, None), (&generated, Some(NOW - 70 * 86_400))] {
        let invoice = account
            .attach_invoice(charge, &lines, created)
            .expect("the charge stands alone");
        assert!(account.attach_invoice(charge, &lines, None).is_err());
        let shown = object(&sim, "invoices", &invoice).await;
        let of_charge = object(&sim, "charges", charge).await;
        let older = of_charge["created"].as_i64().expect("a number") - 5;
        assert_eq!(shown["created"], created.unwrap_or(older));
        assert_eq!(shown["status"], "paid");
        let path = format!("/v1/invoice_payments?invoice={invoice}");
        let payments = walk(&sim, &path, 10).await;
        let intent = &payments[0]["payment"]["payment_intent"];
        assert_eq!(intent, &of_charge["payment_intent"]);
        let all = walk(&sim, "/v1/invoice_payments", 100).await;
        let same = all.iter().filter(|it| it["id"] == payments[0]["id"]);
        assert_eq!(same.count(), 1);
    }
    let pair = ["invoice.paid", "invoice_payment.paid"];
    assert_eq!(types(&sim).await[quiet..], [pair, pair].concat());
    let rows = account.truth_rows(&TruthQuery::default()).expect("UTC");
    let of_made: Vec<_> = rows.iter().filter(|row| row.charge_id == made).collect();
    assert_eq!(
        of_made.iter().map(|row| row.gross).collect::<Vec<_>>(),
        [300, 600]
    );
}

#[tokio::test]
async fn answers_can_be_patched_into_shapes_never_seen() {
    let sim = start(config(200)).await;
    let account = sim.first();
    let id = example(&sim, "succeeded");
    let whole = object(&sim, "charges", &id).await;
    let list = walk(&sim, "/v1/charges", 100).await;
    account.patch_answers(
        &id,
        Some(json!({ "amount": { "value": 1 }, "created": null })),
    );
    let one = object(&sim, "charges", &id).await;
    assert_eq!(
        (&one["amount"], one.get("created")),
        (&json!({ "value": 1 }), None)
    );
    let listed = walk(&sim, "/v1/charges", 100).await;
    let differing: Vec<_> = listed.iter().filter(|it| !list.contains(it)).collect();
    assert_eq!(differing, [&one]);
    account.patch_answers(&id, None);
    assert_eq!(object(&sim, "charges", &id).await, whole);
    assert_eq!(walk(&sim, "/v1/charges", 100).await, list);
}

#[tokio::test]
async fn invoices_and_patches_can_be_controlled_over_http() {
    let sim = start(config(50)).await;
    let post = async |path: String, body: Value| -> Value {
        let url = format!("{}/_sim{path}", sim.base_url);
        let request = http().post(url).body(body.to_string());
        let response = request.send().await.expect("the simulator answers");
        assert_eq!(response.status().as_u16(), 200, "{path}");
        response.json().await.expect("JSON")
    };
    let id = |made: Value| made["id"].as_str().expect("an id").to_owned();
    let product = id(post("/products".to_owned(), json!({ "slug": "mug" })).await);
    let price = id(post(format!("/products/{product}/prices"), json!({})).await);
    let customer = id(post("/customers".to_owned(), json!({})).await);
    let lines = json!([{ "price": price, "quantity": 2 }]);
    let new = json!({ "customer": customer, "lines": lines });
    let invoice = id(post("/invoices".to_owned(), new).await);
    let charge = id(post(format!("/invoices/{invoice}/pay"), json!({})).await);
    assert_eq!(object(&sim, "charges", &charge).await["amount"], 2_000);
    let new = json!({ "customer": customer, "amount": 700 });
    let charge = id(post("/charges".to_owned(), new).await);
    let late = id(post(
        format!("/charges/{charge}/invoice"),
        json!({ "lines": lines }),
    )
    .await);
    assert_eq!(object(&sim, "invoices", &late).await["status"], "paid");
    post(format!("/patches/{late}"), json!({ "status": 7 })).await;
    assert_eq!(object(&sim, "invoices", &late).await["status"], 7);
    let url = format!("{}/_sim/patches/{late}", sim.base_url);
    http()
        .delete(url)
        .send()
        .await
        .expect("the simulator answers");
    assert_eq!(object(&sim, "invoices", &late).await["status"], "paid");
}
