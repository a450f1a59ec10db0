//! The truth of rows against what the lists show, joined by this file's own small code.

use std::collections::BTreeMap;

use serde_json::Value;
use stripe_sim::{AccountConfig, MetadataChange, NewCharge, NewLine, TruthQuery, TruthRow};

use crate::client::{NOW, config, get, http, start, walk};

/// What paid for what: the purchase's id and its lines, by payment intent.
type Purchases = BTreeMap<String, (String, Vec<Value>)>;

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

fn list(value: &Value) -> Vec<Value> {
    value.as_array().cloned().unwrap_or_default()
}

fn metadata(value: &Value) -> BTreeMap<String, String> {
    serde_json::from_value(value.clone()).unwrap_or_default()
}

async fn purchases(sim: &stripe_sim::SimHandle) -> Purchases {
    let mut found = Purchases::new();
    for invoice in walk(sim, "/v1/invoices?expand[]=data.payments", 100).await {
        let id = text(&invoice["id"]).expect("an id");
        let lines = if invoice["lines"]["has_more"] == true {
            walk(sim, &format!("/v1/invoices/{id}/lines"), 100).await
        } else {
            list(&invoice["lines"]["data"])
        };
        for payment in list(&invoice["payments"]["data"]) {
            let intent = text(&payment["payment"]["payment_intent"]).expect("a payment intent");
            found.insert(intent, (id.clone(), lines.clone()));
        }
    }
    let path = "/v1/checkout/sessions?expand[]=data.line_items";
    for session in walk(sim, path, 100).await {
        if let Some(intent) = text(&session["payment_intent"]) {
            let id = text(&session["id"]).expect("an id");
            found.insert(intent, (id, list(&session["line_items"]["data"])));
        }
    }
    found
}

fn by_id(objects: Vec<Value>) -> BTreeMap<String, Value> {
    let with_id = |object: Value| (text(&object["id"]).expect("an id"), object);
    objects.into_iter().map(with_id).collect()
}

fn same_line(row: &TruthRow, (owner, lines): &(String, Vec<Value>)) {
    let line = &lines[row.line_no as usize];
    assert_eq!(row.line_id, text(&line["id"]));
    let quantity = line["quantity"].as_i64().unwrap_or(1);
    // Lines of sessions credit nothing, and have no such amount.
    let credit = line["amount"].as_i64().is_some_and(|amount| amount < 0);
    assert_eq!(row.units, if credit { -quantity } else { quantity });
    let (price, product) = if owner.starts_with("in_") {
        let details = &line["pricing"]["price_details"];
        (text(&details["price"]), text(&details["product"]))
    } else {
        (text(&line["price"]["id"]), text(&line["price"]["product"]))
    };
    assert_eq!((&row.price_id, &row.product_id), (&price, &product));
    let named = row.invoice_id.as_ref().or(row.checkout_session_id.as_ref());
    assert_eq!(named, Some(owner));
}

#[tokio::test]
async fn rows_are_those_of_a_walk_after_many_changes() {
    let sim = start(AccountConfig {
        long_invoice_percent: 10,
        ..config(900)
    })
    .await;
    sim.first().churn(300, 5);
    let query = TruthQuery {
        purchases_from: Some(0),
        ..TruthQuery::default()
    };
    let truth = sim.first().truth(&query).expect("UTC is a time zone");
    let rows = sim.first().truth_rows(&query).expect("UTC is a time zone");
    assert_eq!(rows.len() as u64, truth.rows);
    let (charges, purchases) = (
        by_id(walk(&sim, "/v1/charges", 100).await),
        purchases(&sim).await,
    );
    let products = by_id(walk(&sim, "/v1/products", 100).await);
    let prices = by_id(walk(&sim, "/v1/prices", 100).await);
    let customers = by_id(walk(&sim, "/v1/customers", 100).await);
    let of = |objects: &BTreeMap<String, Value>, id: &Option<String>| {
        let object = id.as_ref().and_then(|id| objects.get(id));
        object
            .map(|it| metadata(&it["metadata"]))
            .unwrap_or_default()
    };
    let mut sums = BTreeMap::<&str, (i64, i64, i64)>::new();
    for row in &rows {
        let charge = &charges[&row.charge_id];
        assert_eq!(row.created, charge["created"].as_i64().expect("a number"));
        assert_eq!(row.status, charge["status"]);
        assert_eq!(row.captured, charge["captured"] == true);
        let taken = row.captured || charge["amount_captured"].as_i64() > Some(0);
        assert_eq!(row.counted, taken && row.status == "succeeded");
        assert_eq!(row.disputed, charge["disputed"] == true);
        assert_eq!(row.disputed, row.dispute_status.is_some());
        assert_eq!(row.customer_id, text(&charge["customer"]));
        assert_eq!(row.charge_metadata, metadata(&charge["metadata"]));
        assert_eq!(row.customer_metadata, of(&customers, &row.customer_id));
        assert_eq!(row.product_metadata, of(&products, &row.product_id));
        assert_eq!(row.price_metadata, of(&prices, &row.price_id));
        let intent = text(&charge["payment_intent"]).unwrap_or_default();
        match purchases.get(&intent) {
            Some(purchase) => same_line(row, purchase),
            None => assert_eq!((&row.line_id, row.units), (&None, 1)),
        }
        let sum = sums.entry(&row.charge_id).or_default();
        *sum = (sum.0 + row.amount, sum.1 + row.gross, sum.2 + row.refunded);
    }
    assert_eq!(sums.len(), charges.len());
    for (id, (amount, gross, _)) in &sums {
        assert_eq!(charges[*id]["amount"], *amount);
        assert_eq!(charges[*id]["amount_captured"], *gross);
    }
    let refunded: i64 = truth.totals.values().map(|it| it.refunded).sum();
    assert_eq!(sums.values().map(|it| it.2).sum::<i64>(), refunded);
}

#[tokio::test]
async fn lines_that_come_to_nothing_give_all_to_the_largest_amount() {
    let sim = start(config(0)).await;
    let account = sim.first();
    let line = |amount, discount| NewLine {
        amount: Some(amount),
        discount,
        ..NewLine::default()
    };
    let customer = account.create_customer(&MetadataChange::new());
    let invoice = |lines| NewCharge {
        customer: Some(customer.clone()),
        amount: Some(700),
        invoice_lines: lines,
        ..NewCharge::default()
    };
    // Without discounts the second line is the largest, with them the first would be.
    let discounted = invoice(vec![line(100, 50), line(300, 300), line(-200, 0)]);
    let discounted = account.create_charge(&discounted).expect("it can be made");
    account.refund(&discounted, Some(100)).expect("some of it");
    let tied = invoice(vec![line(-50, 0), line(50, 0)]);
    let tied = account.create_charge(&tied).expect("it can be made");
    let old = NewCharge {
        invoice_created: Some(NOW - 90 * 86_400),
        ..invoice(vec![line(5, 0), line(5, 0)])
    };
    let old = account.create_charge(&old).expect("it can be made");
    let query = "from=1789990000&timezone=Asia/Tokyo";
    let url = format!("{}/_sim/truth/rows?{query}", sim.base_url);
    let answer = http().get(url).send().await.expect("the simulator answers");
    let rows: Vec<TruthRow> = answer.json().await.expect("rows");
    let shares = |id: &str| -> Vec<(i64, i64, i64)> {
        let rows = rows.iter().filter(|row| row.charge_id == id);
        rows.map(|row| (row.amount, row.gross, row.refunded))
            .collect()
    };
    assert_eq!(shares(&discounted), [(0, 0, 0), (700, 700, 100), (0, 0, 0)]);
    assert_eq!(shares(&tied), [(700, 700, 0), (0, 0, 0)]);
    assert_eq!(shares(&old), [(700, 700, 0)]);
    let of_old = rows
        .iter()
        .find(|row| row.charge_id == old)
        .expect("it is there");
    assert_eq!(
        (&of_old.invoice_id, of_old.date.as_str()),
        (&None, "2026-09-21")
    );
    assert!(rows.is_sorted_by_key(|row| (row.charge_id.clone(), row.line_no)));
    assert_eq!(
        get(&sim, "/v1/invoices").await.body["data"]
            .as_array()
            .map(Vec::len),
        Some(3)
    );
}
