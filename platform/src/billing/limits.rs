//! What is sold, as [`common::plan_limit`] asks for it.
//!
//! Which plan is the cheapest is decided by the prices that were last read, by what a year costs; while none were, by the order of
//! the setting. Nothing here fails: where PostgreSQL does, the order of the setting counts as well.

use async_trait::async_trait;
use common::filter::RuleDraft;
use common::plan_limit::{Limit, Limits, SoldPlans};

use super::Billing;
use super::plan::{Interval, Plan};
use super::price::{self, Prices};

impl Billing {
    fn plan_or_free(&self, plan: Option<&str>) -> &Plan {
        let found = plan.and_then(|plan| self.plans.find(plan));
        found.unwrap_or(self.plans.free())
    }
}

#[async_trait]
impl SoldPlans for Billing {
    fn limits(&self, plan: Option<&str>) -> Limits {
        self.plan_or_free(plan).limits
    }

    fn seeded_rules(&self, plan: Option<&str>) -> &[RuleDraft] {
        &self.plan_or_free(plan).seed.rules
    }

    async fn cheapest_allowing(&self, limit: Limit, requested: i64) -> Option<String> {
        let prices = price::stored(self).await.ok().flatten();
        let prices = prices.map(|(prices, _)| prices);
        let plans = self.plans.all().iter();
        let mut allowing = plans.filter(|plan| plan.limits.allow(limit, requested));
        let cheapest = match prices {
            None => allowing.next(),
            Some(prices) => allowing
                .filter_map(|plan| Some((yearly(plan, &prices)?, plan)))
                .min_by_key(|(amount, _)| *amount)
                .map(|(_, plan)| plan),
        };
        cheapest.map(|plan| plan.id.clone())
    }
}

/// What a year of a plan costs at least, in minor units; none where it cannot be subscribed to.
fn yearly(plan: &Plan, prices: &Prices) -> Option<i64> {
    if plan.is_free() {
        return Some(0);
    }
    let amounts = Interval::ALL.into_iter().filter_map(|interval| {
        let amount = prices.of(plan, interval)?.amount?;
        Some(interval.yearly(amount))
    });
    amounts.min()
}
