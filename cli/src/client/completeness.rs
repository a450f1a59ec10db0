//! Whether a report has everything: a person must not take the figures of half a history for the whole.
//!
//! Reports say how far the history was read and how many objects could not be. While something is
//! missing, the share that is read comes from the job that reads it. An engine that says nothing about
//! it is believed to have nothing to say.

use chrono_tz::Tz;
use serde::Deserialize;
use serde_json::Value;

use super::responses::{Connection, Covered, SyncStatus};
use super::{Client, Error};
use crate::output;

/// What an answer says about itself.
#[derive(Debug, Deserialize)]
struct Completeness {
    complete: bool,
    covered: Option<Covered>,
    #[serde(default)]
    parked_objects: i64,
}

/// What is missing from an answer, a line for each reason; empty when nothing is.
pub(super) async fn missing(
    client: &Client,
    connection: &str,
    completeness: Option<&Value>,
) -> Result<Vec<String>, Error> {
    let Some(completeness) = completeness.and_then(|value| Completeness::deserialize(value).ok())
    else {
        return Ok(Vec::new());
    };
    if completeness.complete {
        return Ok(completeness.lines(Tz::UTC, None));
    }
    let path = ["v1", "connectors", connection];
    let found: Connection = client.get(&path, &[]).await?;
    let path = ["v1", "connectors", connection, "sync-status"];
    let status: SyncStatus = client.get(&path, &[]).await?;
    let job = status.last_job.filter(|job| !job.status.ended());
    let percent = job.and_then(|job| job.progress.percent);
    Ok(completeness.lines(found.timezone.parse().unwrap_or(Tz::UTC), percent))
}

impl Completeness {
    fn lines(&self, timezone: Tz, percent: Option<f64>) -> Vec<String> {
        let mut lines = Vec::new();
        if !self.complete {
            let read = match &self.covered {
                Some(covered) => {
                    let day = covered.from.with_timezone(&timezone).date_naive();
                    format!("history is read back to {day}")
                }
                None => "no history is read yet".to_owned(),
            };
            let percent = percent.map(|percent| format!(", {percent:.0} %"));
            lines.push(format!("incomplete: {read}{}", percent.unwrap_or_default()));
        }
        if self.parked_objects > 0 {
            lines.push(format!(
                "incomplete: {} could not be read and may be missing; `stripe-sync parked` shows them",
                output::count(self.parked_objects, "Stripe object")
            ));
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn lines(completeness: &Value, percent: Option<f64>) -> Vec<String> {
        let zone = Tz::Europe__Berlin;
        Completeness::deserialize(completeness)
            .unwrap()
            .lines(zone, percent)
    }

    #[test]
    fn a_report_says_how_far_the_history_is_read() {
        let covered = json!({"from": "2026-09-30T22:00:00Z", "to": "2026-11-21T06:00:00Z"});
        for (answer, percent, expected) in [
            (
                json!({"complete": true, "covered": covered, "as_of": "2026-11-21T06:00:00Z", "parked_objects": 0}),
                None,
                vec![],
            ),
            (
                json!({"complete": false, "covered": covered, "parked_objects": 0}),
                Some(51.8),
                vec!["incomplete: history is read back to 2026-10-01, 52 %"],
            ),
            (
                json!({"complete": false, "covered": null}),
                None,
                vec!["incomplete: no history is read yet"],
            ),
            (
                json!({"complete": true, "covered": covered, "parked_objects": 2}),
                None,
                vec![
                    "incomplete: 2 Stripe objects could not be read and may be missing; `stripe-sync parked` shows \
                     them",
                ],
            ),
        ] {
            assert_eq!(lines(&answer, percent), expected, "{answer}");
        }
    }
}
