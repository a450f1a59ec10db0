//! What the plan of an organization allows: the one place where limits are checked, and where what exceeds them is paused.
//!
//! The plan in force stands in the row of the organization, written by whoever bills. Use cases read it with what they lock
//! anyway, so a check costs no statement of its own and is never out of date; there is no cache. What a plan allows is asked of
//! [`SoldPlans`], which a program has only where something is sold: without it nothing is limited.
//!
//! A check fails with [`PlanLimit`], and then nothing is stored. Having less than before breaks nothing: connections are paused,
//! the newest first, polled less often, and their webhooks wait for the next poll, all until the plan allows it again ([`apply`]).
//! Deliberately absent: who subscribes to what, and prices.

pub(crate) mod queries;

use std::fmt::Debug;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::connection::{Connection, Warning, lookup};
use crate::db::{self, PgConnection, Pool};
use crate::filter::RuleDraft;
use crate::id::OrganizationId;
use crate::named;

named! {
    /// Something of which a plan may allow so much and no more.
    Limit {
        /// Accounts that may be connected.
        Connections = "connections",
        /// How far back a sync may reach.
        LookbackDays = "lookback_days",
        /// How often an account may be polled.
        MinSyncIntervalMinutes = "min_sync_interval_minutes",
        /// Whether webhooks may be received: 0 for no, 1 for yes.
        Webhooks = "webhooks",
    }
}

/// What a plan allows. A limit that is absent is none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
#[schema(as = PlanLimits)]
pub struct Limits {
    /// Accounts that may be connected.
    pub connections: Option<u32>,
    /// How far back a first sync may reach.
    pub lookback_days: Option<u32>,
    /// How often an account may be synced at most.
    pub min_sync_interval_minutes: Option<u32>,
    /// Whether webhooks may be received; none allows them.
    pub webhooks: Option<bool>,
}

impl Limits {
    /// The value of a limit; none allows everything.
    pub fn of(&self, limit: Limit) -> Option<i64> {
        match limit {
            Limit::Connections => self.connections.map(i64::from),
            Limit::LookbackDays => self.lookback_days.map(i64::from),
            Limit::MinSyncIntervalMinutes => self.min_sync_interval_minutes.map(i64::from),
            Limit::Webhooks => self.webhooks.filter(|allowed| !allowed).map(i64::from),
        }
    }

    /// Whether so much is allowed.
    pub fn allow(&self, limit: Limit, requested: i64) -> bool {
        self.of(limit).is_none_or(|value| match limit {
            Limit::MinSyncIntervalMinutes => requested >= value,
            Limit::Connections | Limit::LookbackDays | Limit::Webhooks => requested <= value,
        })
    }

    pub(crate) fn check(&self, limit: Limit, requested: i64) -> Result<(), PlanLimit> {
        match self.of(limit) {
            Some(value) if !self.allow(limit, requested) => Err(PlanLimit {
                limit,
                value,
                requested,
                plan: None,
            }),
            _ => Ok(()),
        }
    }

    /// Days of history: what was asked for, or as many of the default as are allowed.
    pub(crate) fn lookback_days(&self, asked: Option<i32>, default: i32) -> Result<i32, PlanLimit> {
        match asked {
            Some(days) => self.check(Limit::LookbackDays, days.into()).map(|()| days),
            None => Ok(self.clamped_lookback_days(default)),
        }
    }

    /// So many days of history, or as many as are allowed.
    pub fn clamped_lookback_days(&self, days: i32) -> i32 {
        let allowed = self.of(Limit::LookbackDays);
        let allowed = allowed.and_then(|days| i32::try_from(days).ok());
        allowed.map_or(days, |allowed| days.min(allowed))
    }

    /// Minutes between two polls where nothing is asked for.
    pub(crate) fn default_interval(&self, default: i32) -> i32 {
        let least = self.of(Limit::MinSyncIntervalMinutes);
        let least = least.and_then(|minutes| i32::try_from(minutes).ok());
        least.map_or(default, |least| default.max(least))
    }
}

/// More was asked for than the plan in force allows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the plan in force does not allow this ({limit})", limit = .limit.as_str())]
pub struct PlanLimit {
    pub limit: Limit,
    /// What the plan allows.
    pub value: i64,
    pub requested: i64,
    /// The cheapest plan that allows it; none where no plan does, and until `Plans::with_plan` has looked.
    pub plan: Option<String>,
}

/// The plans that are sold, as far as they concern connections.
#[async_trait]
pub trait SoldPlans: Debug + Send + Sync {
    /// What a plan allows. The free one counts where no plan is named, or one that is sold no more.
    fn limits(&self, plan: Option<&str>) -> Limits;

    /// The rules that a connection is given when it is made under a plan.
    fn seeded_rules(&self, plan: Option<&str>) -> &[RuleDraft];

    /// The cheapest plan that allows so much; none where no plan does.
    async fn cheapest_allowing(&self, limit: Limit, requested: i64) -> Option<String>;
}

/// What is sold, where anything is.
#[derive(Debug, Clone, Copy, Default)]
pub struct Plans<'a>(pub Option<&'a dyn SoldPlans>);

impl Plans<'_> {
    /// What an organization may do that has this plan.
    pub(crate) fn limits(self, plan: Option<&str>) -> Limits {
        self.0
            .map_or_else(Limits::default, |plans| plans.limits(plan))
    }

    /// What an organization may do now. Nothing is read where nothing is sold.
    pub async fn limits_of(
        self,
        pool: &Pool,
        organization: &OrganizationId,
    ) -> Result<Limits, db::Error> {
        if self.0.is_none() {
            return Ok(Limits::default());
        }
        let mut tx = db::tenant_transaction(pool, organization).await?;
        let plan = queries::plan(&mut tx, organization).await?;
        db::commit(tx).await?;
        Ok(self.limits(plan.as_deref()))
    }

    /// The rules that come with this plan.
    pub(crate) fn seeded_rules(&self, plan: Option<&str>) -> &[RuleDraft] {
        self.0.map_or(&[], |plans| plans.seeded_rules(plan))
    }

    /// The refusal with the plan that would lift it. Call it once the transaction is undone: it reads elsewhere.
    pub(crate) async fn with_plan(self, refusal: PlanLimit) -> PlanLimit {
        let plan = match self.0 {
            Some(plans) => {
                let (limit, requested) = (refusal.limit, refusal.requested);
                plans.cheapest_allowing(limit, requested).await
            }
            None => None,
        };
        PlanLimit { plan, ..refusal }
    }

    /// The same for what became of a use case.
    pub async fn explain<T>(self, done: Result<T, lookup::Error>) -> Result<T, lookup::Error> {
        match done {
            Err(lookup::Error::PlanLimit(refusal)) => Err(self.with_plan(refusal).await.into()),
            done => done,
        }
    }

    /// Whether a connection may be synced more often than before.
    pub(crate) fn check_interval(
        self,
        connection: &Connection,
        minutes: Option<i32>,
    ) -> Result<(), PlanLimit> {
        let changed = minutes.filter(|minutes| *minutes != connection.sync_interval_minutes);
        let Some(minutes) = changed else {
            return Ok(());
        };
        let limits = self.limits(connection.under_plan.plan.as_deref());
        limits.check(Limit::MinSyncIntervalMinutes, minutes.into())
    }

    /// Whether the history of a connection may reach further back.
    pub(crate) fn check_lookback(
        self,
        connection: &Connection,
        days: i32,
    ) -> Result<(), PlanLimit> {
        let limits = self.limits(connection.under_plan.plan.as_deref());
        limits.check(Limit::LookbackDays, days.into())
    }

    /// Whether webhooks may be received for a connection.
    pub(crate) fn check_webhooks(self, connection: &Connection) -> Result<(), PlanLimit> {
        let limits = self.limits(connection.under_plan.plan.as_deref());
        limits.check(Limit::Webhooks, 1)
    }

    /// Whether a connection that is paused may be synced: not while as many others are as the plan allows.
    pub async fn check_paused(
        self,
        conn: &mut PgConnection,
        connection: &Connection,
    ) -> Result<(), lookup::Error> {
        let limits = self.limits(connection.under_plan.plan.as_deref());
        if !connection.paused || limits.connections.is_none() {
            return Ok(());
        }
        let synced = queries::count_synced(conn, &connection.organization_id).await?;
        Ok(limits.check(Limit::Connections, synced + 1)?)
    }
}

/// What the organization's plan does to a connection.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UnderPlan {
    /// The plan in force when the connection was read; none where whoever bills never stored one.
    pub plan: Option<String>,
    /// Whether the plan, and not its owner, pauses it.
    pub paused: bool,
    /// The interval that its owner set, where the plan allows no interval so short.
    pub wanted_interval_minutes: Option<i32>,
    /// Whether its webhooks wait for the next poll, since the plan has none.
    pub webhooks_paused: bool,
}

impl UnderPlan {
    /// What people are shown of it.
    pub fn warnings(&self, sync_interval_minutes: i32) -> Vec<Warning> {
        let mut warnings = Vec::new();
        let mut warn = |resource: Limit, detail: String| {
            warnings.push(Warning {
                code: Warning::PLAN_LIMIT.to_owned(),
                resource: resource.as_str().to_owned(),
                detail,
                count: None,
                since: None,
            });
        };
        if self.paused {
            let detail = "The plan pauses this connection, since it allows fewer than there are. What is stored stays, and syncing goes \
                          on by itself with a plan that allows more.";
            warn(Limit::Connections, detail.to_owned());
        }
        if let Some(wanted) = self.wanted_interval_minutes {
            let detail = format!(
                "The plan allows a sync every {sync_interval_minutes} minutes. The interval of {wanted} minutes counts again with a \
                 plan that allows it."
            );
            warn(Limit::MinSyncIntervalMinutes, detail);
        }
        if self.webhooks_paused {
            let detail = "The plan has no webhooks. Events are accepted, and applied with the next scheduled sync.";
            warn(Limit::Webhooks, detail.to_owned());
        }
        warnings
    }
}

/// A plan that is in force.
#[derive(Debug, Clone, Copy)]
pub struct InForce<'a> {
    pub plan: &'a str,
    pub limits: Limits,
    /// Whether it is subscribed to. While none ever was, nothing is taken away, so nothing is paused.
    pub is_subscribed: bool,
}

/// Stores which plan is in force, and pauses what it does not allow, or goes on with what it allows again. Nobody connects or
/// resumes an account until the transaction ends. Done again, it changes nothing.
pub async fn apply(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    in_force: InForce<'_>,
    now: DateTime<Utc>,
) -> Result<(), db::Error> {
    let InForce {
        plan,
        limits,
        is_subscribed,
    } = in_force;
    let before = queries::lock_plan(conn, organization).await?;
    if before.is_none() && !is_subscribed {
        return Ok(());
    }
    if before.as_deref() != Some(plan) {
        queries::set_plan(conn, organization, plan).await?;
    }
    queries::pause_connections(conn, organization, limits.of(Limit::Connections)).await?;
    let least = limits.min_sync_interval_minutes;
    let least = least.and_then(|minutes| i32::try_from(minutes).ok());
    queries::limit_intervals(conn, organization, least.unwrap_or(1), now).await?;
    let paused = limits.webhooks == Some(false);
    queries::pause_webhooks(conn, organization, paused, now).await
}

/// Goes on with connections that the plan pauses, as far as there is room. The caller has locked the plan.
pub(crate) async fn fill_room(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    limits: Limits,
) -> Result<(), db::Error> {
    match limits.of(Limit::Connections) {
        Some(allowed) => queries::fill_room(conn, organization, allowed).await,
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> Limits {
        Limits {
            connections: Some(1),
            lookback_days: Some(20),
            min_sync_interval_minutes: Some(60),
            webhooks: Some(false),
        }
    }

    #[test]
    fn a_limit_allows_what_it_says_and_an_absent_one_everything() {
        for (limit, within, beyond) in [
            (Limit::Connections, 1, 2),
            (Limit::LookbackDays, 20, 21),
            (Limit::MinSyncIntervalMinutes, 60, 59),
            (Limit::Webhooks, 0, 1),
        ] {
            assert!(limits().allow(limit, within), "{limit:?}");
            assert!(!limits().allow(limit, beyond), "{limit:?}");
            assert!(Limits::default().allow(limit, beyond), "{limit:?}");
        }
        let with_webhooks = Limits {
            webhooks: Some(true),
            ..limits()
        };
        assert!(with_webhooks.allow(Limit::Webhooks, 1));
    }

    #[test]
    fn a_default_above_a_limit_is_clamped_and_what_was_asked_for_refused() {
        assert_eq!(limits().lookback_days(None, 30), Ok(20));
        assert_eq!(limits().lookback_days(Some(20), 30), Ok(20));
        assert!(limits().lookback_days(Some(21), 30).is_err());
        assert_eq!(Limits::default().lookback_days(Some(3650), 30), Ok(3650));
        assert_eq!(limits().default_interval(15), 60);
        assert_eq!(Limits::default().default_interval(15), 15);
    }
}
