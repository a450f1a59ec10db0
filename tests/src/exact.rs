//! The comparison of every figure with the simulator's truth.

use std::collections::BTreeMap;

use serde_json::Value;
use stripe_sim::TruthQuery;

use crate::world::World;

type Figures = [i64; 5];

fn figures(group: &Value) -> Figures {
    ["charges", "units", "gross", "refunded", "net"]
        .map(|name| group[name].as_i64().expect("a number"))
}

fn truth_figures(truth: &stripe_sim::Figures) -> Option<Figures> {
    let charges = truth.charges as i64;
    (charges > 0).then_some([charges, charges, truth.gross, truth.refunded, truth.net])
}

async fn groups(world: &World, by: &str) -> BTreeMap<(Option<String>, String), Figures> {
    let id = world.connection_id();
    let mut found = BTreeMap::new();
    let mut cursor = String::new();
    loop {
        let page = world
            .get(&format!(
                "/v1/analytics/stripe?connection_id={id}&group_by={by}&limit=1000{cursor}"
            ))
            .await;
        for group in page["groups"].as_array().expect("groups") {
            let key = group["key"].as_str().map(str::to_owned);
            let currency = group["currency"].as_str().expect("a currency").to_owned();
            assert!(
                found.insert((key, currency), figures(group)).is_none(),
                "a group came twice"
            );
        }
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return found,
        }
    }
}

pub(crate) async fn assert_exact(world: &World) {
    let connection = world
        .get(&format!("/v1/connectors/{}", world.connection_id()))
        .await;
    let status = world
        .get(&format!(
            "/v1/connectors/{}/sync-status",
            world.connection_id()
        ))
        .await;
    let from = status["covered"]["from"]
        .as_str()
        .expect("something is covered");
    let from: chrono::DateTime<chrono::Utc> = from.parse().expect("an instant");
    let dimensions = ["charge.tier", "charge.campaign", "customer.plan"];
    let truth = world
        .account()
        .truth(&TruthQuery {
            from: Some(from.timestamp()),
            timezone: connection["timezone"].as_str().map(str::to_owned),
            metadata: dimensions.map(str::to_owned).to_vec(),
            ..TruthQuery::default()
        })
        .expect("the truth");

    let mut days = BTreeMap::new();
    for (day, currencies) in &truth.days {
        for (currency, figures) in currencies {
            if let Some(figures) = truth_figures(figures) {
                days.insert((Some(day.clone()), currency.clone()), figures);
            }
        }
    }
    assert_eq!(groups(world, "day").await, days, "by day");
    for dimension in dimensions {
        let expected: BTreeMap<_, _> = truth.groups[dimension]
            .iter()
            .filter_map(|group| {
                let key = (group.key.clone(), group.currency.clone());
                truth_figures(&group.figures).map(|figures| (key, figures))
            })
            .collect();
        assert_eq!(
            groups(world, &format!("metadata:{dimension}")).await,
            expected,
            "by {dimension}"
        );
    }
    assert_state(&truth, &status["state"]);
    assert_aggregates(world, &truth).await;
}

fn assert_state(truth: &stripe_sim::Truth, state: &Value) {
    assert_eq!(
        state["charges_synced"], truth.charges_stored,
        "charges synced"
    );
    assert_eq!(
        state["last_charge_id"].as_str(),
        truth.newest_charge.as_deref(),
        "newest charge"
    );
    let totals: BTreeMap<&str, i64> = truth
        .totals
        .iter()
        .filter(|(_, figures)| figures.charges > 0)
        .map(|(currency, figures)| (currency.as_str(), figures.net))
        .collect();
    assert_eq!(
        state["total_revenue_synced"],
        serde_json::json!(totals),
        "total revenue"
    );
}

async fn assert_aggregates(world: &World, truth: &stripe_sim::Truth) {
    let path = format!(
        "/v1/analytics/stripe/daily-aggregates?connection_id={}",
        world.connection_id()
    );
    let body = world.get(&path).await;
    let mut found = BTreeMap::new();
    for day in body["data"].as_array().expect("data") {
        let key = (
            day["date"].as_str().expect("a date").to_owned(),
            day["currency"].as_str().expect("a currency").to_owned(),
        );
        let net = day["total_revenue"].as_i64().expect("a number");
        let by_product: i64 = day["revenue_by_product"]
            .as_object()
            .expect("products")
            .values()
            .map(|net| net.as_i64().expect("a number"))
            .sum();
        assert_eq!(by_product, net, "products sum to the day: {day:#}");
        found.insert(key, [day["charges"].as_i64().expect("a number"), net]);
    }
    let mut expected = BTreeMap::new();
    for (day, currencies) in &truth.days {
        for (currency, figures) in currencies.iter().filter(|(_, figures)| figures.charges > 0) {
            expected.insert(
                (day.clone(), currency.clone()),
                [figures.charges as i64, figures.net],
            );
        }
    }
    assert_eq!(found, expected, "daily aggregates");
}
