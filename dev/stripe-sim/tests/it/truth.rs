//! The truth against a walk of the lists, figured by this file's own small code.

use std::collections::BTreeMap;

use serde_json::Value;
use stripe_sim::{AccountConfig, Figures, TruthQuery};

use crate::client::{NOW, config, start, walk};

fn number(charge: &Value, field: &str) -> i64 {
    charge[field].as_i64().expect("a number")
}

/// Figures by currency as the meaning of the figures says, from what the API shows.
fn figures(charges: &[Value], release_is_refund: bool) -> BTreeMap<String, Figures> {
    let mut totals = BTreeMap::<String, Figures>::new();
    for charge in charges {
        let (amount, gross) = (number(charge, "amount"), number(charge, "amount_captured"));
        let captured = charge["captured"] == true;
        if charge["status"] != "succeeded" || !(captured || gross > 0) {
            continue;
        }
        let mut refunded = number(charge, "amount_refunded");
        // Of a hold that goes on, nothing was released.
        if captured && gross > 0 && gross < amount && release_is_refund {
            refunded = (refunded - (amount - gross)).max(0);
        }
        let refunded = refunded.min(gross);
        let figures = totals
            .entry(charge["currency"].as_str().expect("a code").to_owned())
            .or_default();
        figures.charges += 1;
        figures.units += 1;
        figures.gross += gross;
        figures.refunded += refunded;
        figures.net += gross - refunded;
    }
    totals
}

#[tokio::test]
async fn totals_are_those_of_a_walk_after_many_changes() {
    for partial_capture_refund in [true, false] {
        let config = AccountConfig {
            partial_capture_refund,
            ..config(1_200)
        };
        let sim = start(config).await;
        let report = sim.first().churn(400, 9);
        assert!(report.made.len() > 10, "{report:?}");
        for (from, to) in [(None, None), (Some(NOW - 2_000_000), Some(NOW - 900_000))] {
            let query = TruthQuery {
                from,
                to,
                ..TruthQuery::default()
            };
            let truth = sim.first().truth(&query).expect("UTC is a time zone");
            let window = match (from, to) {
                (Some(from), Some(to)) => format!("?created[gte]={from}&created[lt]={to}"),
                _ => String::new(),
            };
            let charges = walk(&sim, &format!("/v1/charges{window}"), 100).await;
            assert_eq!(truth.charges_stored, charges.len() as u64);
            let ours: BTreeMap<_, _> = truth
                .totals
                .iter()
                .map(|(code, figures)| {
                    (
                        code.clone(),
                        Figures {
                            units_by_lines: 0,
                            unit_trillionths: 0,
                            disputed_amount: 0,
                            dispute_fee: 0,
                            ..*figures
                        },
                    )
                })
                .collect();
            assert_eq!(ours, figures(&charges, partial_capture_refund));
            let newest = charges
                .iter()
                .map(|it| (number(it, "created"), it["id"].as_str().unwrap().to_owned()))
                .max();
            assert_eq!(newest.map(|(_, id)| id), truth.newest_charge);
        }
    }
}

#[tokio::test]
async fn days_and_groups_sum_to_the_totals() {
    let sim = start(config(1_200)).await;
    let dimensions = [
        "charge.tier",
        "customer.plan",
        "product.slug",
        "product",
        "charge.order.id",
    ];
    let query = TruthQuery {
        timezone: Some("America/New_York".to_owned()),
        metadata: dimensions.iter().map(|&name| name.to_owned()).collect(),
        ..TruthQuery::default()
    };
    let truth = sim
        .first()
        .truth(&query)
        .expect("a time zone and dimensions");
    for (currency, totals) in &truth.totals {
        let of_days = truth.days.values().filter_map(|day| day.get(currency));
        assert_eq!(of_days.map(|it| it.net).sum::<i64>(), totals.net);
        for dimension in dimensions {
            let groups = || {
                truth.groups[dimension]
                    .iter()
                    .filter(|it| it.currency == *currency)
            };
            assert_eq!(
                groups().map(|it| it.figures.gross).sum::<i64>(),
                totals.gross
            );
            assert_eq!(
                groups().map(|it| it.figures.refunded).sum::<i64>(),
                totals.refunded
            );
            let units = groups().map(|it| it.figures.units_by_lines).sum::<i64>();
            assert_eq!(units, totals.units_by_lines, "{dimension}");
        }
        let tiers = truth.groups["charge.tier"]
            .iter()
            .filter(|it| it.currency == *currency);
        assert_eq!(
            tiers.map(|it| it.figures.charges).sum::<u64>(),
            totals.charges
        );
    }
    assert!(truth.rows > truth.charges_stored);
    assert_eq!(truth.objects["charge"], 1_200);
    let wrong = TruthQuery {
        metadata: vec!["nothing".to_owned()],
        ..TruthQuery::default()
    };
    assert!(sim.first().truth(&wrong).is_err());
}

#[tokio::test]
async fn metadata_keys_are_those_of_a_walk() {
    let sim = start(config(500)).await;
    let truth = sim
        .first()
        .truth(&TruthQuery::default())
        .expect("no questions");
    let mut keys = BTreeMap::<String, u64>::new();
    for charge in walk(&sim, "/v1/charges", 100).await {
        for key in charge["metadata"].as_object().expect("metadata").keys() {
            *keys.entry(key.clone()).or_default() += 1;
        }
    }
    assert_eq!(truth.metadata_keys["charge"], keys);
    assert!(keys.contains_key("order.id") && keys.contains_key("utm"));
}
