//! `restatements`: which days' figures changed after the days were synced, and why.
//!
//! One line for each change, newest first; `--json` has the sums by day and all figures besides.

use serde::Serialize;
use serde_json::{Value, json};

use super::requests::understood;
use super::responses::{Restatement, RestatementPage};
use super::{Error, Target, completeness, print_json};
use crate::arguments::{self, DateRange, pairs};
use crate::output::{self, instant, money, number, plain, text, whole};

/// Show which days' figures changed after the days were synced: by how much, when, and because of what
///
/// The dates are the days whose figures changed. `--json` also contains the sums by day.
#[derive(Debug, clap::Args)]
pub struct Restatements {
    #[command(flatten)]
    dates: DateRange,
    /// Only figures of this currency, such as usd
    #[arg(long, value_name = "CODE")]
    currency: Option<String>,
    /// The maximum number, 1 to 10000
    #[arg(long, value_name = "N", default_value = "50", value_parser = arguments::whole_number(1..=10_000))]
    limit: u32,
    #[command(flatten)]
    target: Target,
}

/// What `--json` prints.
#[derive(Debug, Default, Serialize)]
struct Found {
    data: Vec<Value>,
    days: Value,
    completeness: Value,
}

impl Restatements {
    /// Runs the command.
    pub async fn run(self) -> Result<(), Error> {
        let limit = self.limit as usize;
        let mut query = self.dates.query().map_err(Error::Usage)?;
        query.push(("limit", self.limit.min(1000).to_string()));
        query.extend(self.currency.map(|code| ("currency", code)));
        let (client, connection, printer) = self.target.open().await?;
        query.push(("connection_id", connection.clone()));
        let path = ["v1", "analytics", "stripe", "restatements"];
        let mut found = Found::default();
        let take = |page: RestatementPage| {
            found.data.extend(page.data);
            found.days = page.days;
            found.completeness = page.completeness;
            page.next_cursor.filter(|_| found.data.len() < limit)
        };
        client.pages(&path, &pairs(&query), take).await?;
        found.data.truncate(limit);
        if printer.json {
            return print_json(&json!(found));
        }
        let missing =
            completeness::missing(&client, &connection, Some(&found.completeness)).await?;
        let mut text = as_table(&understood::<Vec<Restatement>>(found.data.into())?);
        for line in missing {
            text.extend(["\n", &line]);
        }
        Ok(output::print(&text)?)
    }
}

fn as_table(restatements: &[Restatement]) -> String {
    let fields = [
        whole("day", |it: &Restatement| it.date.to_string()),
        number("charges", |it| output::thousands(it.charges)),
        number("gross", |it| money(it.gross, &it.currency)),
        number("refunded", |it| money(it.refunded, &it.currency)),
        number("net", |it| money(it.net, &it.currency)),
        whole("changed", |it| instant(it.restated_at)),
        text("because of", |it| plain(&because(it))),
    ];
    let nothing = "no figures of these days changed after the days were synced";
    output::table_or(nothing, restatements, &fields)
}

/// The object that changed, its charge, and who said so.
fn because(restatement: &Restatement) -> String {
    let objects = [&restatement.object_id, &restatement.charge_id];
    let mut parts: Vec<&str> = objects.into_iter().flatten().map(String::as_str).collect();
    parts.dedup();
    let cause = match (restatement.cause.as_str(), &restatement.event_type) {
        (_, Some(event_type)) => event_type.as_str(),
        ("event", None) => "an event",
        ("comparison", None) => "found by a comparison with Stripe",
        ("full_sync", None) => "found by a full sync",
        ("rules", None) => "changed rules",
        (other, None) => other,
    };
    parts.push(cause);
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_restatement_says_the_day_the_change_and_what_it_is_because_of() {
        let nothing = "no figures of these days changed after the days were synced";
        assert_eq!(as_table(&[]), nothing);
        let answer = json!([{"restatement_id": "x", "date": "2026-05-12", "currency": "eur",
            "restated_at": "2026-06-03T10:15:00Z", "cause": "event", "charge_id": "ch_1", "object_id": "re_1",
            "event_id": "evt_1", "event_type": "charge.refunded", "charges": 0, "units": 0, "units_decimal": "0",
            "gross": 0, "refunded": 24_000, "net": -24_000},
            {"date": "2026-05-12", "currency": "eur", "restated_at": "2026-06-04T10:15:00Z", "cause": "full_sync",
             "charge_id": "ch_2", "object_id": "ch_2", "charges": 1, "gross": 100, "refunded": 0, "net": 100}]);
        let text = as_table(&understood::<Vec<Restatement>>(answer).unwrap());
        for part in [
            "2026-05-12",
            "-240.00 EUR",
            "2026-06-03T10:15:00Z",
            "re_1, ch_1, charge.refunded",
            "ch_2, found by a full sync",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
}
