//! When an account is paid out without being asked: the schedule that the vendor has, which is never stored here.
//!
//! Fails when a schedule makes no sense, which is found before the vendor is asked, and as the vendor does.

use common::db;
use common::named;
use common::tenant::OrganizationId;
use serde::Serialize;
use utoipa::ToSchema;

use super::destination::{Use, receiver};
use super::{Error, Ledger};
use crate::account;
use crate::idempotency::{IdempotencyKey, answered};

named! {
    /// How often an account is paid out: `manual`, only when asked to; `daily`; `weekly`; `monthly`.
    PayoutInterval {
        Manual = "manual",
        Daily = "daily",
        Weekly = "weekly",
        Monthly = "monthly",
    }
}

named! {
    /// A business day.
    PayoutWeekday {
        Monday = "monday",
        Tuesday = "tuesday",
        Wednesday = "wednesday",
        Thursday = "thursday",
        Friday = "friday",
    }
}

/// The most days that money can be held back.
pub const MAX_DELAY_DAYS: i32 = 31;

/// When an account is paid out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct PayoutSchedule {
    pub interval: PayoutInterval,
    /// With `weekly`: days of the week.
    pub weekly_payout_days: Vec<PayoutWeekday>,
    /// With `monthly`: days of the month; in a shorter month, its last day.
    #[schema(example = json!([1, 15]))]
    pub monthly_payout_days: Vec<i32>,
    /// How many days a payment waits before it is paid out; null where Stripe does not say.
    #[schema(example = 2)]
    pub delay_days: Option<i32>,
}

/// A part of a schedule that makes no sense.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The name of the member.
    pub member: &'static str,
    pub detail: &'static str,
}

impl PayoutSchedule {
    /// What is wrong with it: days belong to the interval that has them, and there must be some.
    pub fn problems(&self) -> Vec<Problem> {
        let (weekly, monthly) = (&self.weekly_payout_days, &self.monthly_payout_days);
        let days = [
            (
                "weekly_payout_days",
                PayoutInterval::Weekly,
                weekly.is_empty(),
                has_twins(weekly),
            ),
            (
                "monthly_payout_days",
                PayoutInterval::Monthly,
                monthly.is_empty(),
                has_twins(monthly),
            ),
        ];
        let mut problems = Vec::new();
        let mut refuse = |member, detail| problems.push(Problem { member, detail });
        for (member, interval, empty, twins) in days {
            let applies = self.interval == interval;
            match (applies, empty) {
                (true, true) => refuse(member, "must name at least one day with this interval"),
                (false, false) => refuse(member, "must not be given with this interval"),
                _ if twins => refuse(member, "must name each day once"),
                _ => {}
            }
        }
        if !monthly.iter().all(|day| (1..=31).contains(day)) {
            refuse("monthly_payout_days", "must be days from 1 to 31");
        }
        let delay = self.delay_days.unwrap_or_default();
        if !(0..=MAX_DELAY_DAYS).contains(&delay) {
            refuse("delay_days", "must be from 0 to 31");
        }
        problems
    }
}

fn has_twins<T: PartialEq>(days: &[T]) -> bool {
    let seen_before = |(index, day)| days[..index].contains(day);
    days.iter().enumerate().any(seen_before)
}

/// The schedule as the vendor has it now.
///
/// # Errors
/// [`Error::AccountNotReady`] without an account, [`Error::AccountDisconnected`], [`Error::Gateway`].
pub async fn get(ledger: &Ledger, organization: &OrganizationId) -> Result<PayoutSchedule, Error> {
    let (account_id, _) = account(ledger, organization).await?;
    Ok(ledger.gateway.payout_schedule(&account_id).await?)
}

/// Sets a schedule without [`problems`](PayoutSchedule::problems), and returns it as the vendor has it then.
///
/// # Errors
/// As [`get`].
pub async fn set(
    ledger: &Ledger,
    organization: &OrganizationId,
    schedule: &PayoutSchedule,
) -> Result<PayoutSchedule, Error> {
    let (account_id, key) = account(ledger, organization).await?;
    let gateway = &ledger.gateway;
    let set = || gateway.set_payout_schedule(&account_id, schedule, &key);
    Ok(answered(set).await?)
}

/// The vendor's id of the account, and a key for one request about it.
async fn account(
    ledger: &Ledger,
    organization: &OrganizationId,
) -> Result<(String, IdempotencyKey), Error> {
    let mut tx = db::tenant_transaction(&ledger.pool, organization).await?;
    let account_id = receiver(&mut tx, organization, Use::Reading).await?;
    let account = account::queries::latest(&mut tx, organization).await?;
    db::commit(tx).await?;
    let account = account.ok_or(Error::NotFound)?;
    Ok((account_id, IdempotencyKey::once(account.creation_id)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(
        interval: PayoutInterval,
        weekly: &[PayoutWeekday],
        monthly: &[i32],
    ) -> Vec<&'static str> {
        let schedule = PayoutSchedule {
            interval,
            weekly_payout_days: weekly.to_vec(),
            monthly_payout_days: monthly.to_vec(),
            delay_days: None,
        };
        let problems = schedule.problems().into_iter();
        problems.map(|problem| problem.member).collect()
    }

    #[test]
    fn days_are_given_with_the_interval_that_has_them() {
        use PayoutInterval::{Daily, Manual, Monthly, Weekly};
        let friday = [PayoutWeekday::Friday];
        assert!(problems(Manual, &[], &[]).is_empty());
        assert!(problems(Daily, &[], &[]).is_empty());
        assert!(problems(Weekly, &friday, &[]).is_empty());
        assert!(problems(Monthly, &[], &[1, 31]).is_empty());
        assert_eq!(problems(Weekly, &[], &[]), ["weekly_payout_days"]);
        assert_eq!(problems(Monthly, &[], &[]), ["monthly_payout_days"]);
        assert_eq!(problems(Daily, &friday, &[]), ["weekly_payout_days"]);
        assert_eq!(problems(Monthly, &[], &[32]), ["monthly_payout_days"]);
        assert_eq!(problems(Monthly, &[], &[1, 1]), ["monthly_payout_days"]);
        let both = problems(Manual, &friday, &[0]);
        assert_eq!(
            both,
            [
                "weekly_payout_days",
                "monthly_payout_days",
                "monthly_payout_days"
            ]
        );
    }
}
