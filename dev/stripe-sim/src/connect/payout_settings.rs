//! When and how a connected account is paid out: what `settings.payouts` of the account and its
//! balance settings show.
//!
//! Values that Stripe refuses are a [`StripeError`]. Deliberately absent: the start of the day.

use std::collections::BTreeMap;

use crate::error::StripeError;
use crate::parameters::Parameters;

const WEEKDAYS: [&str; 5] = ["monday", "tuesday", "wednesday", "thursday", "friday"];
const LONGEST_DELAY: i64 = 31;
const SHORTEST_DELAY: i64 = 2;

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Interval {
    Manual,
    Daily,
    Weekly,
    Monthly,
}

impl Interval {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Manual => "manual",
            Self::Daily => "daily",
            Self::Weekly => "weekly",
            Self::Monthly => "monthly",
        }
    }

    fn parse(param: &str, name: &str) -> Result<Self, StripeError> {
        let all = [Self::Manual, Self::Daily, Self::Weekly, Self::Monthly];
        let found = all.into_iter().find(|it| it.name() == name);
        found.ok_or_else(|| {
            let message =
                format!("Invalid {param}: must be one of manual, daily, weekly, or monthly");
            StripeError::invalid(param, message)
        })
    }
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct PayoutSettings {
    pub(crate) interval: Interval,
    /// Where a platform chose them; Stripe's shortest otherwise.
    pub(crate) delay_days: Option<i64>,
    pub(crate) weekly: Vec<String>,
    pub(crate) monthly: Vec<i64>,
    /// Minor units that stay, by currency.
    pub(crate) minimum_balance: BTreeMap<String, i64>,
    pub(crate) statement_descriptor: Option<String>,
    pub(crate) debit_negative_balances: bool,
}

impl Default for PayoutSettings {
    fn default() -> Self {
        Self {
            interval: Interval::Daily,
            delay_days: None,
            weekly: Vec::new(),
            monthly: Vec::new(),
            minimum_balance: BTreeMap::new(),
            statement_descriptor: None,
            debit_negative_balances: true,
        }
    }
}

impl PayoutSettings {
    pub(crate) fn delay(&self) -> i64 {
        self.delay_days.unwrap_or(SHORTEST_DELAY)
    }

    /// Changes what `settings[payouts]` of an account says.
    pub(crate) fn take_of_account(
        &mut self,
        parameters: &mut Parameters,
    ) -> Result<(), StripeError> {
        let schedule = "settings[payouts][schedule]";
        let delay = parameters.take(&format!("{schedule}[delay_days]"));
        self.take_delay(&format!("{schedule}[delay_days]"), delay)?;
        if let Some(day) = parameters.take(&format!("{schedule}[weekly_anchor]")) {
            self.weekly = vec![day];
        }
        let anchor = format!("{schedule}[monthly_anchor]");
        if let Some(day) = parameters.take_integer(&anchor)? {
            self.monthly = vec![day];
        }
        self.take_schedule(schedule, parameters)?;
        if let Some(text) = parameters.take("settings[payouts][statement_descriptor]") {
            self.statement_descriptor = Some(text);
        }
        let debit = parameters.take_flag("settings[payouts][debit_negative_balances]")?;
        self.debit_negative_balances = debit.unwrap_or(self.debit_negative_balances);
        Ok(())
    }

    /// Changes what balance settings say.
    pub(crate) fn take_of_balance(
        &mut self,
        parameters: &mut Parameters,
    ) -> Result<(), StripeError> {
        self.take_schedule("payments[payouts][schedule]", parameters)?;
        let minimum = "payments[payouts][minimum_balance_by_currency]";
        for (currency, amount) in parameters.take_map(minimum) {
            if amount.is_empty() {
                self.minimum_balance.remove(&currency);
                continue;
            }
            let param = format!("{minimum}[{currency}]");
            let wrong = |_| StripeError::invalid_integer(&param, &amount);
            let amount = amount.parse().map_err(wrong)?;
            self.minimum_balance.insert(currency, amount);
        }
        if let Some(text) = parameters.take("payments[payouts][statement_descriptor]") {
            self.statement_descriptor = Some(text);
        }
        let debit = parameters.take_flag("payments[debit_negative_balances]")?;
        self.debit_negative_balances = debit.unwrap_or(self.debit_negative_balances);
        let delay = "payments[settlement_timing][delay_days_override]";
        match parameters.take_given(delay) {
            Some(empty) if empty.is_empty() => self.delay_days = None,
            given => self.take_delay(delay, given)?,
        }
        Ok(())
    }

    fn take_delay(&mut self, param: &str, given: Option<String>) -> Result<(), StripeError> {
        let Some(text) = given else { return Ok(()) };
        if text == "minimum" {
            self.delay_days = None;
            return Ok(());
        }
        let days: i64 = text
            .parse()
            .map_err(|_| StripeError::invalid_integer(param, &text))?;
        if !(0..=LONGEST_DELAY).contains(&days) {
            let message = format!("Invalid {param}: must be between 0 and {LONGEST_DELAY}");
            return Err(StripeError::invalid(param, message));
        }
        self.delay_days = Some(days);
        Ok(())
    }

    fn take_schedule(
        &mut self,
        prefix: &str,
        parameters: &mut Parameters,
    ) -> Result<(), StripeError> {
        let param = format!("{prefix}[interval]");
        if let Some(name) = parameters.take(&param) {
            self.interval = Interval::parse(&param, &name)?;
        }
        let weekly = parameters.take_all(&format!("{prefix}[weekly_payout_days]"));
        if !weekly.is_empty() {
            self.weekly = weekly;
        }
        let param = format!("{prefix}[monthly_payout_days]");
        let monthly = parameters.take_all(&param);
        if !monthly.is_empty() {
            let days = monthly.iter().map(|day| {
                day.parse()
                    .map_err(|_| StripeError::invalid_integer(&param, day))
            });
            self.monthly = days.collect::<Result<_, _>>()?;
        }
        self.check_days(prefix)
    }

    /// Keeps the days that the interval has, and refuses those that no schedule can have.
    fn check_days(&mut self, prefix: &str) -> Result<(), StripeError> {
        if self.interval != Interval::Weekly {
            self.weekly.clear();
        }
        if self.interval != Interval::Monthly {
            self.monthly.clear();
        }
        let param = format!("{prefix}[weekly_payout_days]");
        if self.interval == Interval::Weekly && self.weekly.is_empty() {
            return Err(StripeError::missing(&param));
        }
        if !self
            .weekly
            .iter()
            .all(|day| WEEKDAYS.contains(&day.as_str()))
        {
            let message = format!("Invalid {param}: must be from monday to friday");
            return Err(StripeError::invalid(&param, message));
        }
        let param = format!("{prefix}[monthly_payout_days]");
        if self.interval == Interval::Monthly && self.monthly.is_empty() {
            return Err(StripeError::missing(&param));
        }
        if !self.monthly.iter().all(|day| (1..=31).contains(day)) {
            let message = format!("Invalid {param}: must be from 1 to 31");
            return Err(StripeError::invalid(&param, message));
        }
        Ok(())
    }
}
