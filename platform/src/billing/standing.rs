//! How an organization stands: which plan is in force, and why.
//!
//! It is derived from what is stored of its subscriptions and from the plans, each time. Fails with PostgreSQL; the vendor is
//! not asked.

use chrono::{DateTime, TimeDelta, Utc};
use common::db;
use common::tenant::OrganizationId;
use serde::Serialize;
use utoipa::ToSchema;

use super::plan::{Interval, Plan, Plans};
use super::repair::{Repair, RepairKind};
use super::status::{StandingStatus, SubscriptionStatus, grace_end};
use super::subscription::{Invoice, Subscription, that_counts};
use super::{Billing, Error, Payment, PaymentMethod, queries};

/// How long before its end a trial is said to end soon: as long as at Stripe.
const TRIAL_ENDS_SOON: TimeDelta = TimeDelta::days(3);

/// What is stored of an organization, as far as it decides how it stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stored {
    pub subscriptions: Vec<Subscription>,
    pub last_invoice: Option<Invoice>,
    pub payment_method: Option<PaymentMethod>,
    /// When everything was read; none if it never was.
    pub read_at: Option<DateTime<Utc>>,
    /// What was or is to be undone.
    pub repairs: Vec<Repair>,
    /// How many accounts are connected.
    pub connections: i64,
    /// Whether a payment for a subscription is on its way.
    pub payment_pending: bool,
}

/// Something to know of, or to act on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = BillingWarning)]
pub struct Warning {
    #[schema(example = "payment_failed")]
    pub code: &'static str,
    pub message: String,
    /// What it is about: the same for as long as it is the same warning.
    #[serde(skip)]
    pub subject: String,
}

/// A change of plan that is to come.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ComingChange<'a> {
    pub plan: &'a Plan,
    pub interval: Interval,
    pub at: DateTime<Utc>,
}

/// How an organization stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Standing<'a> {
    /// The plan in force; the free one without access.
    pub plan: &'a Plan,
    pub status: StandingStatus,
    pub access: bool,
    /// The plan that is subscribed to, in force or not.
    pub subscribed: Option<(&'a Plan, Interval)>,
    pub subscription: Option<&'a Subscription>,
    pub coming_change: Option<ComingChange<'a>>,
    pub warnings: Vec<Warning>,
}

impl<'a> Standing<'a> {
    /// How an organization stands of which this is stored.
    pub fn of(plans: &'a Plans, stored: &'a Stored, now: DateTime<Utc>) -> Self {
        let counted = that_counts(&stored.subscriptions, now);
        let counted = counted.filter(|it| it.status != SubscriptionStatus::IncompleteExpired);
        let plan_of = |key: &Option<String>| plans.of_price(key.as_deref()?);
        let subscribed = counted.and_then(|it| plan_of(&it.lookup_key));
        let access = counted.is_some_and(|it| it.gives_access(now));
        let in_force = subscribed.filter(|_| access);
        let coming_change = counted.and_then(|it| {
            let (plan, interval) = plan_of(&it.scheduled_lookup_key)?;
            let at = it.scheduled_at?;
            Some(ComingChange { plan, interval, at })
        });
        Self {
            plan: in_force.map_or(plans.free(), |(plan, _)| plan),
            status: counted.map_or(StandingStatus::None, |it| it.status.into()),
            access,
            subscribed,
            subscription: counted,
            coming_change,
            warnings: warnings(stored, counted, now),
        }
    }

    /// When access ends unless a payment is made that failed.
    pub fn grace_ends(&self) -> Option<DateTime<Utc>> {
        let failing_since = self.subscription?.failing_since?;
        self.access.then(|| grace_end(failing_since))
    }

    /// The end of a trial that is near.
    pub fn trial_will_end(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let ends = self.trial_end()?;
        (ends - now <= TRIAL_ENDS_SOON).then_some(ends)
    }

    /// When it may stand otherwise, or there is something to say of it, though nothing happens at the vendor.
    pub fn changes_at(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let announced = self.trial_end().map(|ends| ends - TRIAL_ENDS_SOON);
        // A grace that has ended decides nothing any more, as when a later payment was made.
        let instants = [self.grace_ends(), announced].into_iter().flatten();
        instants.filter(|at| *at > now).min()
    }

    fn trial_end(&self) -> Option<DateTime<Utc>> {
        let subscription = self.subscription?;
        let is_trial = subscription.status == SubscriptionStatus::Trialing;
        subscription.trial_end.filter(|_| is_trial)
    }
}

fn warnings(stored: &Stored, counted: Option<&Subscription>, now: DateTime<Utc>) -> Vec<Warning> {
    let mut warnings = Vec::new();
    let mut warn = |code, subject: &str, message| {
        warnings.push(Warning {
            code,
            message,
            subject: subject.to_owned(),
        });
    };
    if let Some(since) = counted.and_then(|it| it.failing_since) {
        let until = grace_end(since).format("%Y-%m-%d");
        let ends = if grace_end(since) > now {
            "ends"
        } else {
            "ended"
        };
        let message = format!("A payment failed. Access {ends} on {until} unless it is made.");
        warn("payment_failed", &since.to_rfc3339(), message);
    }
    for repair in &stored.repairs {
        let id = &repair.subscription_id;
        let (code, message) = match repair.kind {
            RepairKind::SecondSubscription => (
                "second_subscription",
                format!(
                    "Two sessions were paid. The subscription {id} was cancelled, and what it cost is refunded."
                ),
            ),
            RepairKind::SecondTrial => (
                "second_trial",
                "The card had a trial in another organization, so this trial was ended.".to_owned(),
            ),
        };
        warn(code, id, message);
    }
    let live = |it: &&Subscription| it.status.is_live() && it.lookup_key.is_some();
    if stored.subscriptions.iter().filter(live).count() > 1 {
        let message = "There is more than one subscription. The oldest counts.".to_owned();
        warn("two_subscriptions", "", message);
    }
    let foreign = |it: &&Subscription| it.status.is_live() && it.lookup_key.is_none();
    for subscription in stored.subscriptions.iter().filter(foreign) {
        let id = &subscription.subscription_id;
        let message =
            format!("The subscription {id} has a price that is no plan's, and counts for nothing.");
        warn("unknown_price", id, message);
    }
    warnings
}

/// What is stored of an organization.
pub async fn stored(billing: &Billing, organization: &OrganizationId) -> Result<Stored, Error> {
    let mut tx = db::tenant_transaction(&billing.pool, organization).await?;
    let stored = queries::stored(&mut tx, organization).await?;
    db::commit(tx).await?;
    Ok(stored)
}

/// A page of an organization's invoices, newest first, after a position.
pub async fn invoices(
    billing: &Billing,
    organization: &OrganizationId,
    after: Option<(DateTime<Utc>, String)>,
    limit: i64,
) -> Result<Vec<Invoice>, Error> {
    let mut tx = db::tenant_transaction(&billing.pool, organization).await?;
    let after = after.as_ref().map(|(at, id)| (*at, id.as_str()));
    let invoices = queries::invoices(&mut tx, organization, after, limit).await?;
    db::commit(tx).await?;
    Ok(invoices)
}

/// A page of an organization's payments, newest first, after a position.
pub async fn payments(
    billing: &Billing,
    organization: &OrganizationId,
    after: Option<(DateTime<Utc>, String)>,
    limit: i64,
) -> Result<Vec<Payment>, Error> {
    let mut tx = db::tenant_transaction(&billing.pool, organization).await?;
    let after = after.as_ref().map(|(at, id)| (*at, id.as_str()));
    let payments = queries::payments(&mut tx, organization, after, limit).await?;
    db::commit(tx).await?;
    Ok(payments)
}

#[cfg(test)]
mod tests {
    use super::super::subscription::tests::subscription;
    use super::*;

    fn plans() -> Plans {
        let text = r#"{"plans": [{"plan": "free", "name": "Free"},
            {"plan": "pro", "name": "Pro", "prices": [{"interval": "month", "lookup_key": "pro_month"}]},
            {"plan": "max", "name": "Max", "prices": [{"interval": "year", "lookup_key": "max_year"}]}]}"#;
        Plans::parse(text).unwrap()
    }

    fn now() -> DateTime<Utc> {
        DateTime::from_timestamp(1_000_000, 0).unwrap()
    }

    fn stored(subscriptions: Vec<Subscription>) -> Stored {
        Stored {
            subscriptions,
            ..Stored::default()
        }
    }

    #[test]
    fn nothing_subscribed_to_is_the_free_plan() {
        let (plans, stored) = (plans(), stored(Vec::new()));
        let standing = Standing::of(&plans, &stored, now());
        assert_eq!(
            (standing.plan.id.as_str(), standing.status),
            ("free", StandingStatus::None)
        );
        assert!(!standing.access && standing.subscribed.is_none());
    }

    #[test]
    fn the_plan_is_in_force_while_there_is_access_and_named_without() {
        let plans = plans();
        let failing = |days| {
            stored(vec![Subscription {
                failing_since: Some(now() - TimeDelta::days(days)),
                ..subscription("sub_1", SubscriptionStatus::PastDue, 1)
            }])
        };
        let in_grace = failing(1);
        let standing = Standing::of(&plans, &in_grace, now());
        assert_eq!((standing.plan.id.as_str(), standing.access), ("pro", true));
        assert_eq!(standing.warnings[0].code, "payment_failed");
        let after = failing(8);
        let standing = Standing::of(&plans, &after, now());
        assert_eq!(
            (standing.plan.id.as_str(), standing.access),
            ("free", false)
        );
        assert_eq!(standing.subscribed.unwrap().0.id, "pro");
    }

    #[test]
    fn a_change_that_is_to_come_is_named() {
        let plans = plans();
        let stored = stored(vec![Subscription {
            scheduled_lookup_key: Some("max_year".to_owned()),
            scheduled_at: Some(now()),
            ..subscription("sub_1", SubscriptionStatus::Active, 1)
        }]);
        let change = Standing::of(&plans, &stored, now()).coming_change.unwrap();
        assert_eq!(
            (change.plan.id.as_str(), change.interval),
            ("max", Interval::Year)
        );
    }

    #[test]
    fn a_trial_is_said_to_end_in_its_last_three_days() {
        let plans = plans();
        let ends = now() + TimeDelta::days(14);
        let stored = stored(vec![Subscription {
            trial_end: Some(ends),
            ..subscription("sub_1", SubscriptionStatus::Trialing, 1)
        }]);
        let soon = ends - TimeDelta::days(3);
        let at = |now| Standing::of(&plans, &stored, now);
        assert_eq!(at(now()).trial_will_end(now()), None);
        assert_eq!(at(now()).changes_at(now()), Some(soon));
        assert_eq!(at(soon).trial_will_end(soon), Some(ends));
        assert_eq!(at(soon).changes_at(soon), None);
    }

    #[test]
    fn two_subscriptions_and_prices_of_no_plan_are_warned_of() {
        let plans = plans();
        let foreign = Subscription {
            lookup_key: None,
            ..subscription("sub_3", SubscriptionStatus::Active, 3)
        };
        let stored = stored(vec![
            subscription("sub_1", SubscriptionStatus::Active, 1),
            subscription("sub_2", SubscriptionStatus::Trialing, 2),
            foreign,
        ]);
        let warnings = Standing::of(&plans, &stored, now()).warnings;
        let codes: Vec<_> = warnings.iter().map(|warning| warning.code).collect();
        assert_eq!(codes, ["two_subscriptions", "unknown_price"]);
    }
}
