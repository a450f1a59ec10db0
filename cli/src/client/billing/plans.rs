//! `billing plans`: what is sold, with Stripe's prices.

use serde::Deserialize;
use serde_json::Value;

use crate::client::{Ask, Error};
use crate::output::{self, number, plain, text, whole};

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
    pub(super) connections: Option<i64>,
    lookback_days: Option<i64>,
    min_sync_interval_minutes: Option<i64>,
    webhooks: Option<bool>,
}

impl LimitsAnswer {
    /// History, how often is synced, and webhooks.
    pub(super) fn said(&self) -> [(&'static str, String); 3] {
        [
            ("history", self.history()),
            ("synced", self.synced()),
            ("webhooks", self.webhooks()),
        ]
    }

    fn history(&self) -> String {
        match self.lookback_days {
            Some(days) => output::count(days, "day"),
            None => "all".to_owned(),
        }
    }

    fn synced(&self) -> String {
        match self.min_sync_interval_minutes {
            Some(minutes) => format!("every {} at most", output::count(minutes, "minute")),
            None => "as often as you set".to_owned(),
        }
    }

    fn webhooks(&self) -> String {
        output::yes_or_no(self.webhooks.unwrap_or(true))
    }
}

pub(super) async fn run(ask: Ask) -> Result<(), Error> {
    let (client, printer) = ask.open().await?;
    let answer: Value = client.get(&["v1", "billing", "plans"], &[]).await?;
    printer.print(answer, |plans: &PlanList| as_table(&plans.data))
}

impl PlanAnswer {
    /// The price of an interval, or nothing.
    fn price(&self, interval: &str) -> String {
        let mut prices = self.prices.iter();
        let price = prices.find(|price| price.interval == interval);
        price.map_or_else(String::new, |it| output::money(it.amount, &it.currency))
    }
}

fn as_table(plans: &[PlanAnswer]) -> String {
    let fields = [
        whole("plan", |it: &PlanAnswer| plain(&it.plan)),
        text("name", |it| plain(&it.name)),
        number("a month", |it| it.price("month")),
        number("a year", |it| it.price("year")),
        whole("trial", |it| {
            let trial = it.trial_days.map(|days| output::count(days, "day"));
            trial.unwrap_or_default()
        }),
        number("accounts", |it| {
            let accounts = it.limits.connections;
            accounts.map_or_else(|| "any number".to_owned(), output::thousands)
        }),
        whole("history", |it| it.limits.history()),
        text("synced", |it| it.limits.synced()),
        whole("webhooks", |it| it.limits.webhooks()),
    ];
    output::table_of(plans, &fields)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::client::requests::understood;

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
