//! `completeness` and `compare`: whether everything that Stripe lists of a day is here, and comparing days with Stripe.
//!
//! A connection may have ten years of days, so the table has those of the last month unless others are asked for. What a
//! comparison costs is printed before it is started, and `--estimate` starts nothing.

use chrono::{DateTime, NaiveDate, Utc};
use reqwest::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use super::requests::understood;
use super::responses::Started;
use super::{Client, Error, Target, follow, print_json};
use crate::arguments::{self, DateRange, pairs};
use crate::output::{self, number, optional_instant, whole};

/// Days that are shown where none are asked for.
const DAYS: usize = 31;

/// Show by day whether everything that Stripe lists is stored, when the day was last compared, and how much differed
#[derive(Debug, clap::Args)]
pub struct Completeness {
    #[command(flatten)]
    dates: DateRange,
    #[command(flatten)]
    target: Target,
}

/// Compare days with Stripe: list them again, correct what differs, and note the days as compared
#[derive(Debug, clap::Args)]
pub struct Compare {
    /// The first day, in the connection's time zone
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = arguments::date)]
    from: NaiveDate,
    /// The last day, inclusive
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = arguments::date)]
    to: NaiveDate,
    /// Print how many requests to Stripe it takes, roughly, and start nothing
    #[arg(long, conflicts_with = "follow")]
    estimate: bool,
    /// Watch the job until it ends
    #[arg(long, conflicts_with = "json")]
    follow: bool,
    #[command(flatten)]
    target: Target,
}

#[derive(Debug, Deserialize)]
struct Days {
    estimated_requests: i64,
    #[serde(default)]
    undated_parked_objects: i64,
    data: Vec<Day>,
}

#[derive(Debug, Deserialize)]
struct Day {
    date: NaiveDate,
    complete: bool,
    reason: Option<String>,
    compared_at: Option<DateTime<Utc>>,
    objects_differed: Option<i64>,
    #[serde(default)]
    parked_objects: i64,
}

async fn read(
    client: &Client,
    connection: &str,
    dates: &[(&'static str, String)],
) -> Result<Value, Error> {
    let path = ["v1", "connectors", connection, "completeness"];
    client.get(&path, &pairs(dates)).await
}

impl Completeness {
    /// Runs the command.
    pub async fn run(self) -> Result<(), Error> {
        let dates = self.dates.query().map_err(Error::Usage)?;
        let (client, connection, printer) = self.target.open().await?;
        let answer = read(&client, &connection, &dates).await?;
        let all = dates.iter().any(|(name, _)| *name == "date_from");
        printer.print(answer, |days| as_table(days, all))
    }
}

impl Compare {
    /// Runs the command.
    pub async fn run(self) -> Result<(), Error> {
        if self.from > self.to {
            return Err(Error::Usage("--to must not be before --from".to_owned()));
        }
        let (client, connection, printer) = self.target.open().await?;
        let dates = [("date_from", self.from), ("date_to", self.to)];
        let dates = dates.map(|(name, date)| (name, date.to_string()));
        let days: Days = understood(read(&client, &connection, &dates).await?)?;
        let requests = days.estimated_requests;
        if self.estimate {
            return if printer.json {
                print_json(&json!({"estimated_requests": requests}))
            } else {
                Ok(output::print(&estimate(requests))?)
            };
        }
        let path = ["v1", "connectors", &connection, "comparisons"];
        let request = json!({"date_from": self.from, "date_to": self.to});
        let (status, started): (_, Started) =
            client.call(Method::POST, &path, Some(&request)).await?;
        let made = status == StatusCode::ACCEPTED;
        if printer.json {
            return print_json(&json!({
                "job_id": started.job_id, "started": made, "estimated_requests": requests}));
        }
        let line = if made {
            format!("started job {}, {}", started.job_id, estimate(requests))
        } else {
            format!("job {} already compares these days", started.job_id)
        };
        output::print(&line)?;
        follow::follow_if(self.follow, &client, &started.job_id).await
    }
}

fn estimate(requests: i64) -> String {
    format!("about {}", output::count(requests, "request"))
}

fn as_table(days: &Days, all: bool) -> String {
    let total = days.data.len();
    let hidden = if all { 0 } else { total.saturating_sub(DAYS) };
    let fields = [
        whole("date", |it: &Day| it.date.to_string()),
        whole("state", state),
        whole("compared", |it| optional_instant(it.compared_at)),
        number("differed", |it| {
            it.objects_differed
                .map(output::thousands)
                .unwrap_or_default()
        }),
    ];
    let complete = days.data.iter().filter(|day| day.complete).count();
    let mut summary = format!("{complete} of {total} days are complete");
    if hidden > 0 {
        let earlier = output::count(hidden as i64, "earlier day");
        summary = format!("{summary}; {earlier} not shown, --from shows them");
    }
    let mut lines = vec![output::table_of(&days.data[hidden..], &fields), summary];
    if days.undated_parked_objects > 0 {
        let objects = output::count(days.undated_parked_objects, "Stripe object");
        lines.push(format!(
            "{objects} could not be read and may be of any day; `stripe-sync parked` shows them"
        ));
    }
    lines.join("\n")
}

fn state(day: &Day) -> String {
    match day.reason.as_deref() {
        None => "complete".to_owned(),
        Some("not_over") => "not over".to_owned(),
        Some("not_compared") => "not compared".to_owned(),
        Some("objects_parked") => match day.parked_objects {
            0 => "objects parked".to_owned(),
            count => format!("{} parked", output::count(count, "object")),
        },
        Some(other) => output::plain(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_stand_with_their_state_and_the_newest_alone_unless_asked_for() {
        let mut data = vec![
            json!({"date": "2026-10-01", "complete": true, "reason": null,
                   "compared_at": "2026-10-09T00:01:00Z", "objects_differed": 1200, "parked_objects": 0}),
        ];
        data.extend((2..32).map(|day| {
            json!({"date": format!("2026-10-{day:02}"), "complete": false,
                         "reason": "not_compared", "parked_objects": 0})
        }));
        data.push(
            json!({"date": "2026-11-01", "complete": false, "reason": "objects_parked",
                         "compared_at": "2026-11-02T00:01:00Z", "parked_objects": 2}),
        );
        let answer = json!({"estimated_requests": 7, "undated_parked_objects": 1, "data": data});
        let days: Days = understood(answer).unwrap();
        let text = as_table(&days, false);
        for part in [
            "not compared",
            "2 objects parked",
            "1 of 32 days are complete; 1 earlier day",
            "1 Stripe object could not be read",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(!text.contains("2026-10-01"), "{text}");
        let text = as_table(&days, true);
        assert!(
            text.contains("2026-10-09T00:01:00Z") && text.contains("1,200"),
            "{text}"
        );
        assert!(!text.contains("earlier day"), "{text}");
    }
}
