//! `connect-account schedule show` and `set`: when Stripe pays the account out by itself. Stripe has the schedule; it is not
//! stored here.

use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::arguments;
use crate::client::requests::understood;
use crate::client::{Error, Server, print_json};
use crate::output;

const INTERVALS: [&str; 4] = ["manual", "daily", "weekly", "monthly"];
const WEEKDAYS: [&str; 5] = ["monday", "tuesday", "wednesday", "thursday", "friday"];
const PATH: [&str; 3] = ["v1", "connect", "payout-schedule"];

/// Show or set when Stripe pays the account out by itself
#[derive(Debug, clap::Subcommand)]
pub enum Schedule {
    /// Show the schedule that Stripe has
    Show(Show),
    /// Set another schedule
    Set(Set),
}

/// How to show it.
#[derive(Debug, clap::Args)]
pub struct Show {
    /// Print the engine's response as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: Server,
}

/// What to set.
#[derive(Debug, clap::Args)]
pub struct Set {
    /// How often; manual pays out only when asked to, by `connect-account pay-out`
    #[arg(long, value_name = "INTERVAL", value_parser = arguments::one_of::<String>(&INTERVALS))]
    interval: String,
    /// With weekly: the days, such as monday,friday
    #[arg(long, value_name = "DAYS", value_delimiter = ',', value_parser = arguments::one_of::<String>(&WEEKDAYS))]
    weekly_payout_days: Vec<String>,
    /// With monthly: the days of the month, such as 1,15; where a month is shorter, its last one
    #[arg(long, value_name = "DAYS", value_delimiter = ',', value_parser = arguments::whole_number(1..=31))]
    monthly_payout_days: Vec<u32>,
    /// How many days a payment waits before it is paid out, 0 to 31 [default: as it is]
    #[arg(long, value_name = "DAYS", value_parser = arguments::whole_number(0..=31))]
    delay_days: Option<u32>,
    /// Print the engine's response as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: Server,
}

#[derive(Debug, Serialize)]
struct Asked<'a> {
    interval: &'a str,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    weekly_payout_days: &'a [String],
    #[serde(skip_serializing_if = "<[u32]>::is_empty")]
    monthly_payout_days: &'a [u32],
    #[serde(skip_serializing_if = "Option::is_none")]
    delay_days: Option<u32>,
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
        let (answer, json) = match self {
            Self::Show(command) => (command.ask().await?, command.json),
            Self::Set(command) => (command.ask().await?, command.json),
        };
        if json {
            return print_json(&answer);
        }
        Ok(output::print(&shown(&understood(answer)?))?)
    }
}

impl Show {
    async fn ask(&self) -> Result<Value, Error> {
        let client = self.server.clone().client().await?;
        client.get(&PATH, &[]).await
    }
}

impl Set {
    async fn ask(&self) -> Result<Value, Error> {
        let client = self.server.clone().client().await?;
        let asked = Asked {
            interval: &self.interval,
            weekly_payout_days: &self.weekly_payout_days,
            monthly_payout_days: &self.monthly_payout_days,
            delay_days: self.delay_days,
        };
        let (_, answer) = client.call(Method::PUT, &PATH, Some(&asked)).await?;
        Ok(answer)
    }
}

fn shown(schedule: &Kept) -> String {
    let mut lines = Vec::new();
    let weekly = schedule
        .weekly_payout_days
        .iter()
        .map(|day| output::plain(day));
    let monthly = schedule.monthly_payout_days.iter().map(i32::to_string);
    let days: Vec<String> = weekly.chain(monthly).collect();
    if !days.is_empty() {
        lines.push(("on", days.join(", ")));
    }
    if let Some(delay) = schedule.delay_days {
        let waits = format!("waits {}", output::count(delay, "day"));
        lines.push(("a payment", waits));
    }
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
