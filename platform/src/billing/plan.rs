//! What the platform sells: plans, what each costs by the vendor's price, and what it allows.
//!
//! Plans are a setting, and are checked when a program starts. A plan names its prices by lookup keys; amounts are the vendor's
//! alone. One plan has no prices: the free one, which is in force where nothing is subscribed to. Fails as [`InvalidPlans`]
//! says. Deliberately absent: who has which plan.

mod seed;

use std::collections::BTreeSet;

use common::filter::RuleDraft;
use common::named;
pub use common::plan_limit::Limits;
use common::saved_question::Draft;
use serde::Deserialize;

use self::seed::WrittenSeed;

/// What is sold when nothing else is set.
const BUILT_IN: &str = include_str!("plans.json");
/// Bytes of a plan's id at most.
const MAX_ID_BYTES: usize = 40;
/// Days of a trial at most, as at Stripe.
const MAX_TRIAL_DAYS: u32 = 730;
/// Minutes between two syncs at most.
const MAX_INTERVAL_MINUTES: u32 = 1440;

named! {
    /// How often a plan is paid.
    Interval {
        Month = "month",
        Year = "year",
    }
}

impl Interval {
    pub fn months(self) -> u32 {
        match self {
            Self::Month => 1,
            Self::Year => 12,
        }
    }

    /// What a year costs if each interval costs this, to compare prices; minor units.
    pub fn yearly(self, amount: i64) -> i64 {
        amount.saturating_mul(i64::from(Self::Year.months() / self.months()))
    }
}

/// What an organization that subscribes to a plan begins with.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Seed {
    /// Rules that each connection is given when it is made.
    pub rules: Vec<RuleDraft>,
    /// Questions that are saved once.
    pub questions: Vec<Draft>,
}

/// A price of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlanPrice {
    pub interval: Interval,
    /// Names the price at the vendor.
    pub lookup_key: String,
}

/// A plan.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    #[serde(rename = "plan")]
    pub id: String,
    pub name: String,
    #[serde(default)]
    pub description: String,
    /// None for the free plan; one for each interval at most.
    #[serde(default)]
    pub prices: Vec<PlanPrice>,
    pub trial_days: Option<u32>,
    /// What people are shown.
    #[serde(default)]
    pub features: Vec<String>,
    #[serde(default)]
    pub limits: Limits,
    #[serde(skip)]
    pub seed: Seed,
    /// The same as it is written.
    #[serde(default, rename = "seed")]
    written_seed: WrittenSeed,
}

impl Plan {
    pub fn is_free(&self) -> bool {
        self.prices.is_empty()
    }

    /// The price for paying this often.
    pub fn price(&self, interval: Interval) -> Option<&PlanPrice> {
        self.prices.iter().find(|price| price.interval == interval)
    }
}

/// Why a text is no list of plans.
#[derive(Debug, thiserror::Error)]
pub enum InvalidPlans {
    #[error("they are not JSON of the form that is described in docs/billing.md: {0}")]
    Unreadable(#[from] serde_json::Error),
    #[error("{0}")]
    Wrong(String),
}

fn wrong(text: impl Into<String>) -> InvalidPlans {
    InvalidPlans::Wrong(text.into())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    plans: Vec<Plan>,
}

/// All plans, of which one is free.
#[derive(Debug, Clone, PartialEq)]
pub struct Plans {
    plans: Vec<Plan>,
    /// Its index.
    free: usize,
}

impl Plans {
    /// The plans that are built in, as an example.
    ///
    /// # Errors
    /// [`InvalidPlans`]; a test proves that there is nothing wrong with them.
    pub fn built_in() -> Result<Self, InvalidPlans> {
        Self::parse(BUILT_IN)
    }

    /// Reads the text of the setting.
    ///
    /// # Errors
    /// [`InvalidPlans`].
    pub fn parse(text: &str) -> Result<Self, InvalidPlans> {
        let Document { mut plans } = serde_json::from_str(text)?;
        let mut ids = BTreeSet::new();
        let mut keys = BTreeSet::new();
        for plan in &mut plans {
            plan.seed = seed::read(&plan.id, &plan.written_seed)?;
        }
        for plan in &plans {
            check(plan)?;
            if !ids.insert(&plan.id) {
                return Err(wrong(format!("there are two plans `{}`", plan.id)));
            }
            for PlanPrice { lookup_key, .. } in &plan.prices {
                if !keys.insert(lookup_key) {
                    let twice = format!("the lookup key `{lookup_key}` stands there twice");
                    return Err(wrong(twice));
                }
            }
        }
        let mut free = plans.iter().enumerate().filter(|(_, plan)| plan.is_free());
        match (free.next(), free.next()) {
            (Some((index, _)), None) => Ok(Self { free: index, plans }),
            _ => Err(wrong("one plan has to have no prices: the free one")),
        }
    }

    /// All of them, in the order of the setting.
    pub fn all(&self) -> &[Plan] {
        &self.plans
    }

    /// The plan in force where nothing is subscribed to.
    pub fn free(&self) -> &Plan {
        &self.plans[self.free]
    }

    pub fn find(&self, id: &str) -> Option<&Plan> {
        self.plans.iter().find(|plan| plan.id == id)
    }

    /// The plan of a price, and how often it is paid.
    pub fn of_price(&self, lookup_key: &str) -> Option<(&Plan, Interval)> {
        self.plans.iter().find_map(|plan| {
            let mut prices = plan.prices.iter();
            let price = prices.find(|price| price.lookup_key == lookup_key)?;
            Some((plan, price.interval))
        })
    }

    /// Every lookup key of every plan.
    pub fn lookup_keys(&self) -> Vec<&str> {
        let prices = self.plans.iter().flat_map(|plan| &plan.prices);
        prices.map(|price| price.lookup_key.as_str()).collect()
    }
}

fn check(plan: &Plan) -> Result<(), InvalidPlans> {
    let id = &plan.id;
    let is_id = (1..=MAX_ID_BYTES).contains(&id.len())
        && id.bytes().all(|byte| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-".contains(&byte)
        });
    if !is_id {
        return Err(wrong(format!(
            "`{id}` is no id of a plan: up to {MAX_ID_BYTES} of a-z, 0-9, - and _"
        )));
    }
    if plan.name.trim().is_empty() {
        return Err(wrong(format!("the plan `{id}` has no name")));
    }
    if plan
        .trial_days
        .is_some_and(|days| days == 0 || days > MAX_TRIAL_DAYS || plan.is_free())
    {
        return Err(wrong(format!(
            "`trial_days` of the plan `{id}` must be 1 to {MAX_TRIAL_DAYS}, and absent for the free plan"
        )));
    }
    let intervals: BTreeSet<_> = plan.prices.iter().map(|it| it.interval.as_str()).collect();
    if intervals.len() != plan.prices.len() {
        return Err(wrong(format!(
            "the plan `{id}` has two prices for the same interval"
        )));
    }
    for (name, value, longest) in [
        ("lookback_days", plan.limits.lookback_days, u32::MAX),
        (
            "min_sync_interval_minutes",
            plan.limits.min_sync_interval_minutes,
            MAX_INTERVAL_MINUTES,
        ),
    ] {
        if value.is_some_and(|value| value == 0 || value > longest) {
            return Err(wrong(format!(
                "`limits.{name}` of the plan `{id}` cannot be {}",
                value.unwrap_or_default()
            )));
        }
    }
    if plan.prices.iter().any(|price| price.lookup_key.is_empty()) {
        return Err(wrong(format!(
            "a price of the plan `{id}` has no lookup key"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn parse(plans: &Value) -> Result<Plans, String> {
        Plans::parse(&json!({ "plans": plans }).to_string()).map_err(|cause| cause.to_string())
    }

    #[test]
    fn the_built_in_plans_are_right() {
        let plans = Plans::built_in().unwrap();
        assert!(plans.free().is_free());
        assert!(!plans.lookup_keys().is_empty());
    }

    #[test]
    fn a_plan_is_found_by_its_id_and_by_the_lookup_key_of_its_price() {
        let plans = parse(&json!([
            {"plan": "free", "name": "Free", "limits": {"connections": 1, "lookback_days": null}},
            {"plan": "pro", "name": "Pro", "trial_days": 14, "prices": [
                {"interval": "month", "lookup_key": "pro_month"}, {"interval": "year", "lookup_key": "pro_year"}]}
        ]))
        .unwrap();
        assert_eq!(plans.free().id, "free");
        assert_eq!(plans.free().limits.connections, Some(1));
        assert_eq!(plans.free().limits.lookback_days, None);
        let (plan, interval) = plans.of_price("pro_year").unwrap();
        assert_eq!((plan.id.as_str(), interval), ("pro", Interval::Year));
        assert!(plans.of_price("pro_week").is_none());
        let price = plans.find("pro").unwrap().price(Interval::Month).unwrap();
        assert_eq!(price.lookup_key, "pro_month");
    }

    #[test]
    fn what_is_wrong_is_said() {
        let free = json!({"plan": "free", "name": "Free"});
        let pro = |key: &str| json!({"plan": key, "name": "Pro", "prices": [{"interval": "month", "lookup_key": "pro"}]});
        for (plans, said) in [
            (json!([]), "one plan has to have no prices"),
            (json!([pro("a")]), "one plan has to have no prices"),
            (json!([free, free]), "two plans `free`"),
            (
                json!([free, pro("a"), pro("b")]),
                "`pro` stands there twice",
            ),
            (json!([free, pro("A b")]), "`A b` is no id"),
            (json!([{"plan": "free", "name": " "}]), "no name"),
            (
                json!([{"plan": "free", "name": "Free", "trial_days": 3}]),
                "`trial_days`",
            ),
            (
                json!([{"plan": "free", "name": "Free", "limits": {"conections": 3}}]),
                "conections",
            ),
            (
                json!([{"plan": "free", "name": "Free", "limits": {"min_sync_interval_minutes": 1441}}]),
                "`limits.min_sync_interval_minutes`",
            ),
            (
                json!([{"plan": "free", "name": "Free", "seed": {"rules": [{"name": "x"}]}}]),
                "`seed/rules/0/conditions` of the plan `free`",
            ),
            (
                json!([{"plan": "free", "name": "Free", "seed": {"rules": [
                    {"name": "x", "conditions": [{"field": "status", "operator": "regex", "value": "("}]}]}}]),
                "`seed/rules/0/conditions/0",
            ),
            (
                json!([{"plan": "free", "name": "Free", "seed": {"questions": [{"name": "x"}, {"name": " "}]}}]),
                "`seed/questions/1/name` of the plan `free`",
            ),
            (
                json!([{"plan": "free", "name": "Free", "seed": {"questions": [{"name": "x", "page": "rules"}]}}]),
                "`seed/questions/0/page`",
            ),
            (
                json!([{"plan": "free", "name": "Free", "seed": {"questions": [{"name": "x", "shared": true}]}}]),
                "`seed/questions/0/shared`",
            ),
        ] {
            let error = parse(&plans).unwrap_err();
            assert!(error.contains(said), "{said}: {error}");
        }
    }
}
