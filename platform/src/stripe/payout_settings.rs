//! When a connected account is paid out: its balance settings, and the settings of the account where Stripe does not let the
//! platform have those (`docs.stripe.com/api/balance_settings`, `docs.stripe.com/api/accounts`).

use serde::Deserialize;

use super::StripeClient;
use super::client::form;
use crate::gateway::GatewayError;
use crate::idempotency::IdempotencyKey;
use crate::ledger::payout_schedule::{PayoutInterval, PayoutSchedule, PayoutWeekday};

const BALANCE_SETTINGS: &str = "/v1/balance_settings";

#[derive(Deserialize)]
struct BalanceSettings {
    payments: Payments,
}

#[derive(Deserialize)]
struct Payments {
    payouts: PayoutSettings,
    settlement_timing: Option<SettlementTiming>,
}

#[derive(Deserialize)]
struct SettlementTiming {
    delay_days: Option<i32>,
}

#[derive(Deserialize)]
struct AccountObject {
    settings: AccountSettings,
}

#[derive(Deserialize)]
struct AccountSettings {
    payouts: PayoutSettings,
}

#[derive(Deserialize)]
struct PayoutSettings {
    schedule: ScheduleObject,
}

#[derive(Deserialize)]
struct ScheduleObject {
    interval: PayoutInterval,
    weekly_payout_days: Option<Vec<String>>,
    monthly_payout_days: Option<Vec<i32>>,
    /// One day, as older versions have it.
    weekly_anchor: Option<String>,
    monthly_anchor: Option<i32>,
    delay_days: Option<i32>,
}

impl From<ScheduleObject> for PayoutSchedule {
    fn from(schedule: ScheduleObject) -> Self {
        let weekly = schedule.weekly_payout_days.filter(|days| !days.is_empty());
        let weekly = weekly.unwrap_or_else(|| schedule.weekly_anchor.into_iter().collect());
        let monthly = schedule.monthly_payout_days.filter(|days| !days.is_empty());
        let monthly = monthly.unwrap_or_else(|| schedule.monthly_anchor.into_iter().collect());
        let applies = |interval| schedule.interval == interval;
        let days = weekly.iter().filter_map(|day| day.parse().ok());
        let days: Vec<PayoutWeekday> = days.collect();
        Self {
            interval: schedule.interval,
            // The other interval's are kept by Stripe and mean nothing meanwhile.
            weekly_payout_days: if applies(PayoutInterval::Weekly) {
                days
            } else {
                Vec::new()
            },
            monthly_payout_days: if applies(PayoutInterval::Monthly) {
                monthly
            } else {
                Vec::new()
            },
            delay_days: schedule.delay_days,
        }
    }
}

impl From<BalanceSettings> for PayoutSchedule {
    fn from(settings: BalanceSettings) -> Self {
        let timing = settings.payments.settlement_timing;
        Self {
            delay_days: timing.and_then(|timing| timing.delay_days),
            ..settings.payments.payouts.schedule.into()
        }
    }
}

/// The fields of a schedule below the field that holds it, and where the days of delay are.
fn schedule_form(schedule: &PayoutSchedule, below: &str, delay_field: &str) -> String {
    let mut fields = vec![(
        format!("{below}[interval]"),
        schedule.interval.as_str().to_owned(),
    )];
    for day in &schedule.weekly_payout_days {
        fields.push((
            format!("{below}[weekly_payout_days][]"),
            day.as_str().to_owned(),
        ));
    }
    for day in &schedule.monthly_payout_days {
        fields.push((format!("{below}[monthly_payout_days][]"), day.to_string()));
    }
    if let Some(days) = schedule.delay_days {
        fields.push((delay_field.to_owned(), days.to_string()));
    }
    form(
        fields
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str())),
    )
}

impl StripeClient {
    pub(super) async fn read_schedule(
        &self,
        account_id: &str,
    ) -> Result<PayoutSchedule, GatewayError> {
        let account = self.for_account(account_id);
        let answer = account.get::<BalanceSettings>(BALANCE_SETTINGS, &[]).await;
        match answer.map_err(GatewayError::from) {
            Ok(settings) => Ok(settings.into()),
            Err(GatewayError::Refused { .. }) => {
                let account: AccountObject = self.get(&account_path(account_id), &[]).await?;
                Ok(account.settings.payouts.schedule.into())
            }
            Err(other) => Err(other),
        }
    }

    /// What Stripe refuses as balance settings it is asked for once more as settings of the account: the schedule may be wrong, and
    /// then it is refused again.
    pub(super) async fn write_schedule(
        &self,
        account_id: &str,
        schedule: &PayoutSchedule,
        key: &IdempotencyKey,
    ) -> Result<PayoutSchedule, GatewayError> {
        let account = self.for_account(account_id);
        let delay = "payments[settlement_timing][delay_days_override]";
        let request = schedule_form(schedule, "payments[payouts][schedule]", delay);
        let answer = account
            .post::<BalanceSettings>(BALANCE_SETTINGS, request, &key.step("balance"))
            .await;
        match answer.map_err(GatewayError::from) {
            Ok(settings) => Ok(settings.into()),
            Err(GatewayError::Refused { .. }) => {
                let delay = "settings[payouts][schedule][delay_days]";
                let request = schedule_form(schedule, "settings[payouts][schedule]", delay);
                let path = account_path(account_id);
                let key = key.step("account");
                let account: AccountObject = self.post(&path, request, &key).await?;
                Ok(account.settings.payouts.schedule.into())
            }
            Err(other) => Err(other),
        }
    }
}

fn account_path(account_id: &str) -> String {
    format!("/v1/accounts/{account_id}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn days_that_the_interval_does_not_have_are_left_out() {
        let schedule = json!({
            "interval": "weekly", "weekly_payout_days": ["monday", "friday"], "monthly_payout_days": [1]
        });
        let settings = json!({"payments": {
            "payouts": {"schedule": schedule}, "settlement_timing": {"delay_days": 7}
        }});
        let read: PayoutSchedule = serde_json::from_value::<BalanceSettings>(settings)
            .unwrap()
            .into();
        assert_eq!(
            read.weekly_payout_days,
            [PayoutWeekday::Monday, PayoutWeekday::Friday]
        );
        assert!(read.monthly_payout_days.is_empty());
        assert_eq!(read.delay_days, Some(7));
        let older = json!({"interval": "monthly", "monthly_anchor": 31, "delay_days": 2});
        let read: PayoutSchedule = serde_json::from_value::<ScheduleObject>(older)
            .unwrap()
            .into();
        assert_eq!(
            (read.monthly_payout_days, read.delay_days),
            (vec![31], Some(2))
        );
    }

    #[test]
    fn a_schedule_is_written_below_the_field_that_holds_it() {
        let schedule = PayoutSchedule {
            interval: PayoutInterval::Monthly,
            weekly_payout_days: Vec::new(),
            monthly_payout_days: vec![1, 15],
            delay_days: Some(3),
        };
        let form = schedule_form(&schedule, "s", "delay");
        let expected = "s%5Binterval%5D=monthly&s%5Bmonthly_payout_days%5D%5B%5D=1\
                        &s%5Bmonthly_payout_days%5D%5B%5D=15&delay=3";
        assert_eq!(form, expected);
    }
}
