//! Values of flags that clap cannot check by itself.
//!
//! Every refusal is a phrase that reads on after the flag's name and says what would be right. The
//! words of the libraries that do the parsing ("invalid digit found in string") never reach a person.

use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use chrono::{DateTime, Days, NaiveDate, NaiveTime, SecondsFormat, Utc};
use clap::builder::{PossibleValuesParser, TypedValueParser};
use common::connection::{MAX_LOOKBACK_DAYS, MIN_RATE_SHARE};
use common::job::JobStatus;
use common::tenant::OrganizationId;
use uuid::Uuid;

/// The largest amount of money that moves at once, in minor units: Stripe's limit of twelve digits.
const MAX_AMOUNT: i64 = 999_999_999_999;

/// Whether a deletion is already confirmed.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct Confirmation {
    /// Do not ask for confirmation
    #[arg(long)]
    pub(crate) yes: bool,
}

/// What jobs are chosen by.
#[derive(Debug, clap::Args)]
pub(crate) struct JobSelection {
    /// Only this organization's; with a token, fail unless the token belongs to it
    #[arg(long = "org", value_name = "ID")]
    pub(crate) organization: Option<OrganizationId>,
    /// Only this connection's
    #[arg(long, value_name = "ID")]
    pub(crate) connection: Option<String>,
    /// Only jobs with this status
    #[arg(long, value_name = "STATUS", value_parser = one_of::<JobStatus>(&JOB_STATUSES))]
    pub(crate) status: Option<JobStatus>,
    /// The maximum number, 1 to 10000
    #[arg(long, value_name = "N", default_value = "50", value_parser = whole_number(1..=10_000))]
    pub(crate) limit: u32,
}

pub(crate) const JOB_STATUSES: [&str; 5] =
    ["pending", "running", "completed", "failed", "cancelled"];

/// Parameters of a request, as they are sent.
pub(crate) fn pairs<'a>(query: &'a [(&'static str, String)]) -> Vec<(&'static str, &'a str)> {
    let pairs = query.iter();
    pairs.map(|(name, text)| (*name, text.as_str())).collect()
}

/// Days of a report.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct DateRange {
    /// The first day, in the connection's time zone
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = date)]
    from: Option<NaiveDate>,
    /// The last day, inclusive
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = date)]
    to: Option<NaiveDate>,
}

impl DateRange {
    /// Its parameters of a request; refused where it ends before it begins.
    pub(crate) fn query(self) -> Result<Vec<(&'static str, String)>, String> {
        if self.from.zip(self.to).is_some_and(|(from, to)| from > to) {
            return Err("--to must not be before --from".to_owned());
        }
        let dates = [("date_from", self.from), ("date_to", self.to)];
        let given = dates
            .into_iter()
            .filter_map(|(name, date)| Some((name, date?.to_string())));
        Ok(given.collect())
    }
}

/// When events were received.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct Received {
    /// Only those received on this day (UTC) or later; or at this time or later, such as 2026-03-08T06:15:00Z
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = start_time)]
    from: Option<DateTime<Utc>>,
    /// Only those received on this day (UTC) or earlier; or before this time
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = end_time)]
    to: Option<DateTime<Utc>>,
}

impl Received {
    /// Its parameters of a request, of these names; refused where it ends before it begins.
    pub(crate) fn query(
        self,
        [from, to]: [&'static str; 2],
    ) -> Result<Vec<(&'static str, String)>, String> {
        if self.from.zip(self.to).is_some_and(|(from, to)| from > to) {
            return Err("--to must not be before --from".to_owned());
        }
        let times = [(from, self.from), (to, self.to)];
        let written = |at: DateTime<Utc>| at.to_rfc3339_opts(SecondsFormat::AutoSi, true);
        let given = times
            .into_iter()
            .filter_map(|(name, at)| Some((name, written(at?))));
        Ok(given.collect())
    }
}

/// A time, or the beginning of a day.
fn start_time(text: &str) -> Result<DateTime<Utc>, String> {
    let day = date(text).ok();
    let start = day.map(|day| day.and_time(NaiveTime::MIN).and_utc());
    let time = || Some(DateTime::parse_from_rfc3339(text).ok()?.to_utc());
    start.or_else(time).ok_or_else(|| {
        "must be a date like 2026-03-08, or a time like 2026-03-08T06:15:00Z".to_owned()
    })
}

/// A time, or the end of a day.
fn end_time(text: &str) -> Result<DateTime<Utc>, String> {
    let start = start_time(text)?;
    let next_day = date(text)
        .ok()
        .and_then(|_| start.checked_add_days(Days::new(1)));
    Ok(next_day.unwrap_or(start))
}

/// A whole number within a range.
pub(crate) fn whole_number(
    range: RangeInclusive<u32>,
) -> impl Fn(&str) -> Result<u32, String> + Clone + Send + Sync + 'static {
    move |text| {
        let number = text.trim().parse().ok();
        number
            .filter(|number| range.contains(number))
            .ok_or_else(|| {
                let (min, max) = (range.start(), range.end());
                format!("must be a whole number from {min} to {max}")
            })
    }
}

/// Days of history that a connection may cover.
pub(crate) fn lookback_days(text: &str) -> Result<u32, String> {
    whole_number(1..=MAX_LOOKBACK_DAYS.unsigned_abs())(text)
}

/// A day, as `YYYY-MM-DD`.
pub(crate) fn date(text: &str) -> Result<NaiveDate, String> {
    let shape = |(at, byte): (usize, u8)| match at {
        4 | 7 => byte == b'-',
        _ => byte.is_ascii_digit(),
    };
    let shaped = text.len() == 10 && text.bytes().enumerate().all(shape);
    let parsed = shaped.then(|| text.parse().ok()).flatten();
    parsed.ok_or_else(|| "must be a date like 2026-03-08".to_owned())
}

/// A length of time, as `90d` or `12h`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text)
        .map_err(|_| "must be a length of time like 90d, 12h or 30m".to_owned())
}

/// A share of Stripe's rate limits.
pub(crate) fn share(text: &str) -> Result<f64, String> {
    let share = text.trim().parse().ok();
    share
        .filter(|share| (MIN_RATE_SHARE..=1.0).contains(share))
        .ok_or_else(|| format!("must be a number from {MIN_RATE_SHARE} to 1, like 0.5"))
}

/// The id of a job.
pub(crate) fn job_id(text: &str) -> Result<Uuid, String> {
    Uuid::parse_str(text.trim())
        .map_err(|_| "must be the id of a job; `stripe-sync jobs list` shows them".to_owned())
}

/// The id of an event.
pub(crate) fn event_id(text: &str) -> Result<Uuid, String> {
    Uuid::parse_str(text.trim()).map_err(|_| {
        "must be the id of an event; `stripe-sync webhooks list` shows them".to_owned()
    })
}

/// The id of a transfer.
pub(crate) fn transfer_id(text: &str) -> Result<Uuid, String> {
    Uuid::parse_str(text.trim()).map_err(|_| {
        "must be the id of a transfer; `stripe-sync connect-account transfers` shows them"
            .to_owned()
    })
}

/// An amount of money that moves, in minor units.
pub(crate) fn amount(text: &str) -> Result<i64, String> {
    let amount = text.trim().parse().ok();
    amount
        .filter(|amount| (1..=MAX_AMOUNT).contains(amount))
        .ok_or_else(|| {
            format!(
                "must be a whole number of minor units from 1 to {MAX_AMOUNT}, such as 1050 for 10.50 USD"
            )
        })
}

/// A currency, in lower case as the engine names it.
pub(crate) fn currency(text: &str) -> Result<String, String> {
    let shaped = text.len() == 3 && text.bytes().all(|letter| letter.is_ascii_alphabetic());
    shaped
        .then(|| text.to_ascii_lowercase())
        .ok_or_else(|| "must be a currency's three letters, such as usd".to_owned())
}

/// One of several names; a wrong one is answered with the right ones.
pub(crate) fn one_of<T>(names: &'static [&'static str]) -> impl TypedValueParser<Value = T>
where
    T: FromStr + Clone + Send + Sync + 'static,
    T::Err: Into<Box<dyn std::error::Error + Send + Sync + 'static>>,
{
    PossibleValuesParser::new(names).try_map(|name| name.parse::<T>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_outside_their_range_are_refused_in_words() {
        let limit = whole_number(1..=10_000);
        assert_eq!(
            (limit("1"), limit("10000"), limit(" 7 ")),
            (Ok(1), Ok(10_000), Ok(7))
        );
        let refusal = "must be a whole number from 1 to 10000";
        for text in [
            "",
            "0",
            "-1",
            "10001",
            "99999999999999999999",
            "1.5",
            "many",
        ] {
            assert_eq!(limit(text), Err(refusal.to_owned()), "{text}");
        }
        assert!(lookback_days("3650").is_ok() && lookback_days("3651").is_err());
    }

    #[test]
    fn dates_are_written_one_way() {
        assert_eq!(
            date("2026-03-08"),
            Ok(NaiveDate::from_ymd_opt(2026, 3, 8).unwrap())
        );
        for text in [
            "1.1.2026",
            "2026-3-8",
            "2026-02-30",
            "+2026-01-1",
            "today",
            "",
        ] {
            assert_eq!(
                date(text),
                Err("must be a date like 2026-03-08".to_owned()),
                "{text}"
            );
        }
    }

    #[test]
    fn a_day_is_received_from_its_beginning_to_its_end() {
        let day = Received {
            from: start_time("2026-03-08").ok(),
            to: end_time("2026-03-08").ok(),
        };
        let query = |from: &str, to: &str| {
            Ok(vec![
                ("received_from", from.to_owned()),
                ("received_to", to.to_owned()),
            ])
        };
        assert_eq!(
            day.query(["received_from", "received_to"]),
            query("2026-03-08T00:00:00Z", "2026-03-09T00:00:00Z")
        );
        let time = "2026-03-08T07:15:00+01:00";
        let instant = Received {
            from: start_time(time).ok(),
            to: end_time(time).ok(),
        };
        assert_eq!(
            instant.query(["received_from", "received_to"]),
            query("2026-03-08T06:15:00Z", "2026-03-08T06:15:00Z")
        );
        let backwards = Received {
            from: day.to,
            to: day.from,
        };
        assert!(
            backwards
                .query(["from", "to"])
                .unwrap_err()
                .starts_with("--to must not")
        );
        for text in ["yesterday", "2026-02-30", "2026-03-08T06:15:00", ""] {
            assert!(
                end_time(text).unwrap_err().starts_with("must be a date"),
                "{text}"
            );
        }
    }

    #[test]
    fn shares_and_durations_are_refused_in_words() {
        assert_eq!(share("0.5"), Ok(0.5));
        for text in ["0", "1.01", "NaN", "half"] {
            assert!(share(text).unwrap_err().starts_with("must be"), "{text}");
        }
        assert_eq!(duration("90d"), Ok(Duration::from_hours(24 * 90)));
        assert!(duration("soon").unwrap_err().starts_with("must be"));
        assert!(job_id("7").unwrap_err().contains("jobs list"));
        assert!(event_id("7").unwrap_err().contains("webhooks list"));
        assert!(
            transfer_id("7")
                .unwrap_err()
                .contains("connect-account transfers")
        );
    }

    #[test]
    fn money_is_given_in_minor_units_and_its_currency_in_three_letters() {
        assert_eq!(amount("1050"), Ok(1050));
        assert_eq!(amount("999999999999"), Ok(999_999_999_999));
        for text in ["10.50", "0", "-1", "1,050", "1000000000000", "$5", ""] {
            assert!(
                amount(text).unwrap_err().contains("1050 for 10.50 USD"),
                "{text}"
            );
        }
        assert_eq!(currency("USD"), Ok("usd".to_owned()));
        for text in ["us", "dollars", "us1", ""] {
            assert!(currency(text).unwrap_err().starts_with("must be"), "{text}");
        }
    }
}
