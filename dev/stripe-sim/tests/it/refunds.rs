//! Charges of more refunds than they show: the release of a partial capture is the oldest of them.

use serde_json::{Value, json};
use stripe_sim::{AccountConfig, MetadataChange, NewCharge, SimHandle, TruthQuery};

use crate::client::{config, get, start, walk};

/// A charge of 1000, of which 800 were captured and twelve times 10 given back.
fn refunded(sim: &SimHandle) -> (String, String) {
    let account = sim.first();
    let customer = account.create_customer(&MetadataChange::new());
    let new = NewCharge {
        amount_captured: Some(800),
        customer: Some(customer.clone()),
        ..NewCharge::of(1_000, "usd")
    };
    let charge = account.create_charge(&new).expect("it can be made");
    for _ in 0..12 {
        sim.advance(1);
        account.refund(&charge, Some(10)).expect("some is left");
    }
    (charge, customer)
}

fn amounts(refunds: &[Value]) -> Vec<i64> {
    let amounts = refunds.iter().map(|it| it["amount"].as_i64());
    amounts.map(|it| it.expect("an amount")).collect()
}

#[tokio::test]
async fn the_release_is_only_in_the_list_when_there_are_many_refunds() {
    let sim = start(config(100)).await;
    let (charge, customer) = refunded(&sim);
    let shown = get(&sim, &format!("/v1/charges/{charge}?expand[]=refunds")).await;
    let sublist = &shown.body["refunds"];
    let inline = sublist["data"].as_array().expect("a list").clone();
    assert_eq!(shown.body["amount_refunded"], 320);
    assert_eq!(
        (amounts(&inline), &sublist["has_more"]),
        (vec![10; 10], &json!(true))
    );
    let path = format!("/v1/refunds?charge={charge}");
    for limit in [100, 5] {
        let all = walk(&sim, &path, limit).await;
        assert_eq!(amounts(&all), [vec![10; 12], vec![200]].concat());
        assert_eq!(all[..10], inline);
    }
    let url = sublist["url"].as_str().expect("a path");
    assert_eq!(walk(&sim, url, 5).await.len(), 13);
    for expand in ["data.charge", "data.charge.customer", "data.charge.refunds"] {
        let all = walk(&sim, &format!("{path}&expand[]={expand}"), 100).await;
        for refund in &all {
            let of = &refund["charge"];
            assert_eq!(of["id"], charge.as_str());
            let whole = expand == "data.charge.customer";
            let owner = if whole {
                &of["customer"]["id"]
            } else {
                &of["customer"]
            };
            assert_eq!(owner, customer.as_str(), "{expand}");
            assert_eq!(of.get("refunds").is_some(), expand == "data.charge.refunds");
        }
    }
    let rows = sim.first().truth_rows(&TruthQuery::default()).expect("UTC");
    let row = rows.iter().find(|row| row.charge_id == charge);
    let row = row.expect("it is there");
    assert_eq!((row.amount, row.gross, row.refunded), (1_000, 800, 120));
}

#[tokio::test]
async fn an_account_without_releases_has_none_in_the_list() {
    let sim = start(AccountConfig {
        partial_capture_refund: false,
        ..config(100)
    })
    .await;
    let (charge, _) = refunded(&sim);
    let all = walk(&sim, &format!("/v1/refunds?charge={charge}"), 100).await;
    assert_eq!(amounts(&all), [10; 12]);
}
