//! `daily`: the stored daily aggregates, for dashboards that are fed from scripts.
//!
//! The table shows figures; `--json` has what the engine stores besides, net by product and by metadata
//! value. Absent on purpose: totals, which `revenue` has and which would have to be added up here.

use serde_json::Value;

use super::requests::understood;
use super::responses::Day;
use super::{Error, Target, completeness, print_json};
use crate::arguments::{DateRange, pairs};
use crate::output::{self, Column};

/// Show precomputed revenue by day and currency; may lag behind `revenue --by day` while a job runs
///
/// `--json` also contains net revenue by product and by metadata value.
#[derive(Debug, clap::Args)]
pub struct Daily {
    #[command(flatten)]
    dates: DateRange,
    #[command(flatten)]
    target: Target,
}

impl Daily {
    /// Runs the command.
    pub async fn run(self) -> Result<(), Error> {
        let dates = self.dates.query().map_err(Error::Usage)?;
        let (client, connection, printer) = self.target.open().await?;
        let mut query = pairs(&dates);
        query.push(("connection_id", &connection));
        let path = ["v1", "analytics", "stripe", "daily-aggregates"];
        let mut answer: Value = client.get(&path, &query).await?;
        if printer.json {
            return print_json(&answer);
        }
        let missing =
            completeness::missing(&client, &connection, answer.get("completeness")).await?;
        let days: Vec<Day> = understood(answer["data"].take())?;
        let mut text = as_table(&days);
        for line in missing {
            text.extend(["\n", &line]);
        }
        Ok(output::print(&text)?)
    }
}

fn as_table(days: &[Day]) -> String {
    let rows = days.iter().map(|day| {
        let money = |minor| output::money(minor, &day.currency);
        let cells = vec![
            day.date.to_string(),
            output::thousands(day.charges),
            output::thousands(day.total_units),
            money(day.gross),
            money(day.refunded),
            money(day.total_revenue),
        ];
        (day.currency.clone(), cells)
    });
    let columns = [
        ("date", Column::Whole),
        ("charges", Column::Number),
        ("units", Column::Number),
        ("gross", Column::Number),
        ("refunded", Column::Number),
        ("net", Column::Number),
    ];
    output::table(&columns, output::sections(rows))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn days_stand_by_currency() {
        let day = |date: &str, currency: &str| {
            json!({"date": date, "currency": currency, "total_revenue": 123_456, "gross": 123_556,
                   "refunded": 100, "charges": 2, "total_units": 3, "revenue_by_product": {},
                   "top_metadata_values": {}})
        };
        let answer = json!([
            day("2026-11-20", "eur"),
            day("2026-11-20", "usd"),
            day("2026-11-21", "eur")
        ]);
        let text = as_table(&understood::<Vec<Day>>(answer).unwrap());
        let order: Vec<&str> = text
            .lines()
            .filter_map(|line| line.rsplit(' ').nth(1).filter(|word| word.len() == 3))
            .collect();
        assert_eq!(order, ["net", "EUR", "EUR", "USD"], "{text}");
        assert!(text.contains("1,234.56 EUR"), "{text}");
    }
}
