//! Lists over HTTP: order, cursors, windows, filters, expansions, and the same answer each time.

use std::collections::HashSet;

use serde_json::Value;
use stripe_sim::NewCharge;

use crate::client::{NOW, config, example, get, start, walk};

fn ids(objects: &[Value]) -> Vec<&str> {
    objects
        .iter()
        .map(|object| object["id"].as_str().expect("an id"))
        .collect()
}

#[tokio::test]
async fn a_walk_meets_every_charge_once_newest_first() {
    let sim = start(config(1_000)).await;
    for number in 0..30 {
        let new = NewCharge {
            created: Some(NOW - 500_000),
            ..NewCharge::of(number + 1, "eur")
        };
        sim.first().create_charge(&new).expect("it can be made");
    }
    let all = walk(&sim, "/v1/charges", 100).await;
    assert_eq!(all.len(), 1_030);
    assert_eq!(ids(&all).into_iter().collect::<HashSet<_>>().len(), 1_030);
    let created: Vec<i64> = all
        .iter()
        .map(|it| it["created"].as_i64().expect("created"))
        .collect();
    assert!(created.is_sorted_by(|one, other| one >= other));
    let mut seconds = std::collections::HashMap::<i64, usize>::new();
    for second in &created {
        *seconds.entry(*second).or_default() += 1;
    }
    assert!(
        seconds.values().any(|&count| count > 100),
        "a page's worth in one second"
    );
    assert_eq!(ids(&walk(&sim, "/v1/charges", 17).await), ids(&all));

    let middle = &all[500];
    let id = middle["id"].as_str().expect("an id");
    let newer = get(&sim, &format!("/v1/charges?limit=5&ending_before={id}"))
        .await
        .body;
    assert_eq!(newer["data"].as_array().expect("data")[..], all[495..500]);
    assert_eq!(newer["has_more"], true);

    let (from, to) = (created[800], created[200]);
    let window = format!("/v1/charges?created[gte]={from}&created[lt]={to}");
    let inside: Vec<&Value> = all
        .iter()
        .filter(|it| (from..to).contains(&it["created"].as_i64().unwrap()))
        .collect();
    assert_eq!(
        walk(&sim, &window, 100).await.iter().collect::<Vec<_>>(),
        inside
    );
}

#[tokio::test]
async fn the_same_seed_gives_the_same_bytes_and_another_does_not() {
    let (one, same) = (start(config(400)).await, start(config(400)).await);
    let other = start(stripe_sim::AccountConfig {
        seed: 5,
        ..config(400)
    })
    .await;
    for path in [
        "/v1/charges?limit=100",
        "/v1/invoices?limit=100",
        "/v1/refunds?limit=100",
    ] {
        let body = get(&one, path).await.body;
        assert_eq!(body, get(&same, path).await.body);
        assert_ne!(body, get(&other, path).await.body);
    }
}

#[tokio::test]
async fn expansions_put_objects_in_the_place_of_ids() {
    let sim = start(config(600)).await;
    let plain = walk(&sim, "/v1/charges", 100).await;
    let whole = walk(
        &sim,
        "/v1/charges?expand[]=data.customer&expand[]=data.refunds",
        100,
    )
    .await;
    let mut deleted = 0;
    for (plain, whole) in plain.iter().zip(&whole) {
        let customer = &whole["customer"];
        match plain["customer"].as_str() {
            None => assert!(customer.is_null()),
            Some(id) => assert_eq!(customer["id"], id),
        }
        deleted += usize::from(customer["deleted"] == true);
        let refunds = whole["refunds"]["data"]
            .as_array()
            .expect("refunds are included");
        let sum: i64 = refunds
            .iter()
            .filter(|refund| refund["status"] == "succeeded")
            .map(|refund| refund["amount"].as_i64().unwrap())
            .sum();
        assert_eq!(whole["amount_refunded"], sum);
    }
    assert!(deleted > 0);
    let invoices = get(&sim, "/v1/invoices?limit=50&expand[]=data.payments")
        .await
        .body;
    let payments: usize = invoices["data"]
        .as_array()
        .expect("data")
        .iter()
        .map(|invoice| {
            invoice["payments"]["data"]
                .as_array()
                .expect("payments")
                .len()
        })
        .sum();
    assert!(payments > 40);
    let sessions = get(&sim, "/v1/checkout/sessions?expand[]=data.line_items")
        .await
        .body;
    assert!(sessions["data"][0]["line_items"]["data"][0]["price"]["product"].is_string());
}

#[tokio::test]
async fn long_invoices_have_more_lines_than_they_show() {
    let config = stripe_sim::AccountConfig {
        long_invoice_percent: 10,
        ..config(600)
    };
    let sim = start(config).await;
    let invoices = walk(&sim, "/v1/invoices", 100).await;
    let long: Vec<_> = invoices
        .iter()
        .filter(|it| it["lines"]["has_more"] == true)
        .collect();
    assert!(long.len() > 3);
    for invoice in long {
        let path = format!("/v1/invoices/{}/lines", invoice["id"].as_str().unwrap());
        let lines = walk(&sim, &path, 100).await;
        assert!(lines.len() > 10);
        assert_eq!(
            lines[..10],
            invoice["lines"]["data"].as_array().unwrap()[..]
        );
        assert_eq!(walk(&sim, &path, 4).await, lines);
    }
}

#[tokio::test]
async fn filters_agree_with_a_walk() {
    let sim = start(config(800)).await;
    let charges = walk(&sim, "/v1/charges", 100).await;
    let refunded = charges
        .iter()
        .find(|it| it["amount_refunded"] != 0)
        .expect("a refund");
    let id = refunded["id"].as_str().unwrap();
    let refunds = walk(&sim, "/v1/refunds", 100).await;
    let ours: Vec<_> = refunds
        .iter()
        .filter(|it| it["charge"] == id)
        .cloned()
        .collect();
    assert!(!ours.is_empty());
    assert_eq!(
        walk(&sim, &format!("/v1/refunds?charge={id}"), 10).await,
        ours
    );
    assert_eq!(
        walk(&sim, &format!("/v1/charges/{id}/refunds"), 10).await,
        ours
    );

    let payments = walk(&sim, "/v1/invoice_payments", 100).await;
    let intent = payments[7]["payment"]["payment_intent"].as_str().unwrap();
    let path = format!(
        "/v1/invoice_payments?payment[type]=payment_intent&payment[payment_intent]={intent}"
    );
    assert_eq!(walk(&sim, &path, 10).await, payments[7..8]);

    let sessions = walk(&sim, "/v1/checkout/sessions", 100).await;
    let paid = sessions
        .iter()
        .find(|it| it["payment_intent"].is_string())
        .unwrap();
    let intent = paid["payment_intent"].as_str().unwrap();
    let path = format!("/v1/checkout/sessions?payment_intent={intent}");
    assert_eq!(walk(&sim, &path, 10).await, std::slice::from_ref(paid));

    let customer = example(&sim, "customer");
    let ours: Vec<_> = charges
        .iter()
        .filter(|it| it["customer"] == *customer)
        .cloned()
        .collect();
    assert_eq!(
        walk(&sim, &format!("/v1/charges?customer={customer}"), 10).await,
        ours
    );
    let archived = walk(&sim, "/v1/products?active=false", 100).await;
    assert!(!archived.is_empty() && archived.iter().all(|it| it["active"] == false));
}

#[tokio::test]
async fn objects_are_hidden_from_lists_until_the_lag_is_over() {
    let sim = start(config(100)).await;
    let account = sim.first();
    account.configure(|settings| settings.visibility_lag_seconds = 5);
    let id = account
        .create_charge(&NewCharge::of(100, "usd"))
        .expect("it can be made");
    let newest = || async { get(&sim, "/v1/charges?limit=1").await.body["data"][0]["id"].clone() };
    assert_ne!(newest().await, *id);
    assert_eq!(get(&sim, &format!("/v1/charges/{id}")).await.status, 200);
    sim.advance(5);
    assert_eq!(newest().await, *id);
}

#[tokio::test]
async fn the_share_of_long_invoices_is_what_was_asked_for() {
    for (percent, at_least, at_most) in [(0, 0, 0), (2, 1, 4), (10, 6, 15), (100, 100, 100)] {
        let config = stripe_sim::AccountConfig {
            long_invoice_percent: percent,
            ..config(1_600)
        };
        let sim = start(config).await;
        let invoices = walk(&sim, "/v1/invoices", 100).await;
        let more = |invoice: &&serde_json::Value| invoice["lines"]["has_more"] == true;
        let long = invoices.iter().filter(more).count() * 100 / invoices.len();
        assert!((at_least..=at_most).contains(&long), "{percent}: {long}");
        let single = |invoice: &&serde_json::Value| {
            invoice["lines"]["data"]
                .as_array()
                .is_some_and(|it| it.len() == 1)
        };
        let single = invoices.iter().filter(single).count() * 100 / invoices.len();
        assert!(
            percent == 100 || (45..=62).contains(&single),
            "{percent}: {single}"
        );
    }
}
