//! `connect-account schedule show` and `set`: when Stripe pays the account out by itself. Stripe has the schedule; it is not
//! stored here.

use reqwest::Method;
use serde::{Deserialize, Serialize};

use crate::arguments;
use crate::client::{Ask, Error};
use crate::output;

const INTERVALS: [&str; 4] = ["manual", "daily", "weekly", "monthly"];
const WEEKDAYS: [&str; 5] = ["monday", "tuesday", "wednesday", "thursday", "friday"];
const PATH: [&str; 3] = ["v1", "connect", "payout-schedule"];

/// Show or set when Stripe pays the account out by itself
#[derive(Debug, clap::Subcommand)]
pub enum Schedule {
    /// Show the schedule that Stripe has
    Show(Ask),
    /// Set another schedule
    Set(Set),
}

/// What to set, which is also what the engine is asked.
#[derive(Debug, clap::Args, Serialize)]
pub struct Set {
    /// How often; manual pays out only when asked to, by `connect-account pay-out`
    #[arg(long, value_name = "INTERVAL", value_parser = arguments::one_of::<String>(&INTERVALS))]
    interval: String,
    /// With weekly: the days, such as monday,friday
    #[arg(long, value_name = "DAYS", value_delimiter = ',', value_parser = arguments::one_of::<String>(&WEEKDAYS))]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    weekly_payout_days: Vec<String>,
    /// With monthly: the days of the month, such as 1,15; where a month is shorter, its last one
    #[arg(long, value_name = "DAYS", value_delimiter = ',', value_parser = arguments::whole_number(1..=31))]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    monthly_payout_days: Vec<u32>,
    /// How many days a payment waits before it is paid out, 0 to 31 [default: as it is]
    #[arg(long, value_name = "DAYS", value_parser = arguments::whole_number(0..=31))]
    #[serde(skip_serializing_if = "Option::is_none")]
    delay_days: Option<u32>,
    #[command(flatten)]
    #[serde(skip)]
    ask: Ask,
}

#[derive(Debug, Deserialize)]
struct Kept {
    interval: String,
    #[serde(default)]
    weekly_payout_days: Vec<String>,
    #[serde(default)]
    monthly_payout_days: Vec<i32>,
    delay_days: Option<i64>,
}

impl Schedule {
    pub(super) async fn run(self) -> Result<(), Error> {
        match self {
            Self::Show(ask) => {
                let (client, printer) = ask.open().await?;
                printer.print(client.get(&PATH, &[]).await?, shown)
            }
            Self::Set(command) => {
                let (client, printer) = command.ask.clone().open().await?;
                let (_, answer) = client.call(Method::PUT, &PATH, Some(&command)).await?;
                printer.print(answer, shown)
            }
        }
    }
}

fn shown(schedule: &Kept) -> String {
    let weekly = schedule
        .weekly_payout_days
        .iter()
        .map(|day| output::plain(day));
    let monthly = schedule.monthly_payout_days.iter().map(i32::to_string);
    let days: Vec<String> = weekly.chain(monthly).collect();
    let waits = |delay| format!("waits {}", output::count(delay, "day"));
    let lines = output::known([
        ("on", (!days.is_empty()).then(|| days.join(", "))),
        ("a payment", schedule.delay_days.map(waits)),
    ]);
    let heading = match schedule.interval.as_str() {
        "manual" => {
            "paid out only when asked to, by `stripe-sync connect-account pay-out`".to_owned()
        }
        interval => format!("paid out by Stripe: {}", output::plain(interval)),
    };
    output::listed(&heading, &lines)
}

#[cfg(test)]
mod tests {
    use platform::ledger::payout_schedule::{PayoutInterval, PayoutWeekday};
    use serde_json::json;

    use super::*;
    use crate::client::requests::understood;

    #[test]
    fn intervals_and_days_are_those_of_the_engine() {
        assert_eq!(INTERVALS, PayoutInterval::ALL.map(PayoutInterval::as_str));
        assert_eq!(WEEKDAYS, PayoutWeekday::ALL.map(PayoutWeekday::as_str));
    }

    #[test]
    fn a_schedule_is_shown_with_its_days() {
        let text = |schedule| shown(&understood(schedule).unwrap());
        let weekly = json!({"interval": "weekly", "weekly_payout_days": ["monday", "friday"], "monthly_payout_days": [],
                            "delay_days": 2});
        assert_eq!(
            text(weekly),
            "paid out by Stripe: weekly\n  on         monday, friday\n  a payment  waits 2 days"
        );
        let monthly =
            json!({"interval": "monthly", "monthly_payout_days": [1, 15], "delay_days": null});
        assert_eq!(text(monthly), "paid out by Stripe: monthly\n  on  1, 15");
        let manual = text(json!({"interval": "manual", "delay_days": null}));
        assert!(manual.contains("pay-out`"), "{manual}");
    }
}
