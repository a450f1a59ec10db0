//! Whether a connection's figures are the simulator's truth, by day and currency.
//!
//! A speed of wrong figures is worth nothing, so the long scenarios check them. Fails when the API does not
//! answer as documented. Deliberately absent: every other grouping, which tests compare.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context as _;
use serde_json::Value;
use stripe_sim::{Truth, TruthQuery};

use crate::stage::Stage;

/// `charges, units, gross, refunded, net`
pub(crate) type Figures = [i64; 5];

/// The figures of a group or a total of the API.
pub(crate) fn figures_of(group: &Value) -> Figures {
    ["charges", "units", "gross", "refunded", "net"]
        .map(|name| group[name].as_i64().unwrap_or(i64::MIN))
}

/// The same of the truth; none where nothing counts, which the API leaves out.
pub(crate) fn true_figures(truth: &stripe_sim::Figures) -> Option<Figures> {
    let charges = truth.charges as i64;
    (charges > 0).then_some([
        charges,
        truth.units_by_lines,
        truth.gross,
        truth.refunded,
        truth.net,
    ])
}

/// The truth about all that a connection covers.
pub(crate) async fn truth(stage: &Stage, connection_id: &str) -> anyhow::Result<Truth> {
    let path = format!("/v1/connectors/{connection_id}/sync-status");
    let status = stage.engine.get(&path).await;
    let from: chrono::DateTime<chrono::Utc> = status["covered"]["from"]
        .as_str()
        .context("something is covered")?
        .parse()?;
    let account = stage.sim.first();
    let query = TruthQuery {
        from: Some(from.timestamp()),
        ..TruthQuery::default()
    };
    Ok(tokio::task::spawn_blocking(move || account.truth(&query)).await??)
}

/// Days and currencies of which a figure is not the truth.
pub(crate) async fn differences(stage: &Stage, connection_id: &str) -> anyhow::Result<usize> {
    let truth = truth(stage, connection_id).await?;
    let mut expected = BTreeMap::new();
    for (day, currencies) in &truth.days {
        for (currency, figures) in currencies {
            if let Some(figures) = true_figures(figures) {
                expected.insert((day.clone(), currency.clone()), figures);
            }
        }
    }
    anyhow::ensure!(!expected.is_empty(), "there is nothing to compare");
    let mut found = BTreeMap::new();
    let mut cursor = String::new();
    loop {
        let path = format!(
            "/v1/analytics/stripe?connection_id={connection_id}&group_by=day&limit=1000{cursor}"
        );
        let page = stage.engine.get(&path).await;
        for group in page["groups"].as_array().context("groups")? {
            let key = group["key"].as_str().context("a day")?.to_owned();
            let currency = group["currency"].as_str().context("a currency")?.to_owned();
            found.insert((key, currency), figures_of(group));
        }
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    let keys: BTreeSet<_> = expected.keys().chain(found.keys()).collect();
    let differing = keys
        .into_iter()
        .filter(|key| expected.get(key) != found.get(key));
    Ok(differing.count())
}
