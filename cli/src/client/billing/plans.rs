//! `billing plans`: what is sold, with Stripe's prices.

use serde::Deserialize;
use serde_json::Value;

use crate::client::requests::understood;
use crate::client::{Error, Server, print_json};
use crate::output::{self, Column};

/// How to show them.
#[derive(Debug, clap::Args)]
pub struct Plans {
    /// Print the engine's response as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: Server,
}

#[derive(Debug, Deserialize)]
struct PlanList {
    data: Vec<PlanAnswer>,
}

#[derive(Debug, Deserialize)]
struct PlanAnswer {
    plan: String,
    name: String,
    prices: Vec<PriceAnswer>,
    trial_days: Option<i64>,
    limits: LimitsAnswer,
}

#[derive(Debug, Deserialize)]
struct PriceAnswer {
    interval: String,
    amount: i64,
    currency: String,
}

/// What a plan allows; nothing where there is no limit.
#[derive(Debug, Default, Deserialize)]
pub(super) struct LimitsAnswer {
    #[serde(default)]
    pub(super) connections: Option<i64>,
    #[serde(default)]
    lookback_days: Option<i64>,
    #[serde(default)]
    min_sync_interval_minutes: Option<i64>,
    #[serde(default)]
    webhooks: Option<bool>,
}

impl LimitsAnswer {
    /// History, how often is synced, and webhooks.
    pub(super) fn said(&self) -> [(&'static str, String); 3] {
        let history = match self.lookback_days {
            Some(days) => output::count(days, "day"),
            None => "all".to_owned(),
        };
        let synced = match self.min_sync_interval_minutes {
            Some(minutes) => format!("every {} at most", output::count(minutes, "minute")),
            None => "as often as you set".to_owned(),
        };
        let webhooks = if self.webhooks.unwrap_or(true) {
            "yes"
        } else {
            "no"
        };
        [
            ("history", history),
            ("synced", synced),
            ("webhooks", webhooks.to_owned()),
        ]
    }
}

impl Plans {
    pub(super) async fn run(self) -> Result<(), Error> {
        let client = self.server.client().await?;
        let answer: Value = client.get(&["v1", "billing", "plans"], &[]).await?;
        if self.json {
            return print_json(&answer);
        }
        let plans: PlanList = understood(answer)?;
        Ok(output::print(&as_table(&plans.data))?)
    }
}

fn as_table(plans: &[PlanAnswer]) -> String {
    let rows = plans.iter().map(|plan| {
        let priced = |interval: &str| {
            let mut prices = plan.prices.iter();
            let price = prices.find(|price| price.interval == interval);
            price.map_or_else(String::new, |it| output::money(it.amount, &it.currency))
        };
        let trial = plan.trial_days.map(|days| output::count(days, "day"));
        let accounts = plan.limits.connections;
        let [(_, history), (_, synced), (_, webhooks)] = plan.limits.said();
        vec![
            output::plain(&plan.plan),
            output::plain(&plan.name),
            priced("month"),
            priced("year"),
            trial.unwrap_or_default(),
            accounts.map_or_else(|| "any number".to_owned(), output::thousands),
            history,
            synced,
            webhooks,
        ]
    });
    let columns = [
        ("plan", Column::Whole),
        ("name", Column::Text),
        ("a month", Column::Number),
        ("a year", Column::Number),
        ("trial", Column::Whole),
        ("accounts", Column::Number),
        ("history", Column::Whole),
        ("synced", Column::Text),
        ("webhooks", Column::Whole),
    ];
    output::table(&columns, rows)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_plan_stands_with_its_prices_and_what_it_allows() {
        let plans = json!({"data": [
            {"plan": "free", "name": "Free", "description": "", "prices": [], "trial_days": null, "features": [],
             "limits": {"connections": 1, "lookback_days": 90, "min_sync_interval_minutes": 60, "webhooks": false}},
            {"plan": "pro", "name": "Pro", "description": "", "trial_days": 14, "features": [],
             "prices": [{"interval": "month", "amount": 900, "currency": "usd"},
                        {"interval": "year", "amount": 9_000, "currency": "usd"}],
             "limits": {"connections": null, "lookback_days": null, "min_sync_interval_minutes": null, "webhooks": null}}]});
        let plans: PlanList = understood(plans).unwrap();
        let text = as_table(&plans.data);
        let row = |name: &str| text.lines().find(|line| line.contains(name)).unwrap();
        for part in ["90 days", "every 60 minutes at most", "no"] {
            assert!(row("free").contains(part), "{text}");
        }
        for part in [
            "9.00 USD",
            "90.00 USD",
            "14 days",
            "any number",
            "all",
            "yes",
        ] {
            assert!(row("pro").contains(part), "{text}");
        }
    }
}
