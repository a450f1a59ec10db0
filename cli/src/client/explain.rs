//! `explain`: why a charge counts or not, from what is stored.

use serde_json::Value;

use super::answers::{ChargeRow, Explanation};
use super::requests::understood;
use super::{Error, Target, print_json, words};
use crate::output::{self, Column};

/// Show why a charge counts or does not
#[derive(Debug, clap::Args)]
pub struct Explain {
    /// Stripe's id of the charge, such as `ch_…`
    #[arg(value_name = "CHARGE")]
    charge_id: String,
    #[command(flatten)]
    target: Target,
}

impl Explain {
    /// Runs the command.
    pub async fn run(self) -> Result<(), Error> {
        let json = self.target.json;
        let (client, connection) = self.target.open().await?;
        let path = [
            "v1",
            "connectors",
            &connection,
            "charges",
            &self.charge_id,
            "explain",
        ];
        let answer: Value = client.get(&path, &[]).await?;
        if json {
            return print_json(&answer);
        }
        Ok(output::print(&shown(&understood(answer)?))?)
    }
}

fn shown(explanation: &Explanation) -> String {
    let Explanation {
        charge_id, reason, ..
    } = explanation;
    let counts = if explanation.counted {
        "counts"
    } else {
        "does not count"
    };
    let mut text = format!(
        "{} {counts}: {} ({reason})",
        output::plain(charge_id),
        words::text_or(&explanation.detail, "see --json")
    );
    if let Some(rule) = &explanation.filter_id {
        text.extend(["\n`stripe-sync rules show ", rule, "` shows the rule."]);
    }
    text += match reason.as_str() {
        "parked" => "\n`stripe-sync parked` shows it.",
        "outside_range" => "\n`stripe-sync sync --lookback-days DAYS` extends the covered range.",
        _ => "",
    };
    if !explanation.rows.is_empty() {
        text.extend(["\n\n", &rows_table(&explanation.rows)]);
    }
    text
}

/// Lines of charges, as stored.
pub(super) fn rows_table(rows: &[ChargeRow]) -> String {
    let cells = rows.iter().map(|row| {
        let counted = if row.counted { "yes" } else { "no" };
        vec![
            output::plain(&row.charge_id),
            output::plain(row.line_id.as_deref().unwrap_or_default()),
            row.date.to_string(),
            output::plain(&row.status),
            counted.to_owned(),
            output::money(row.amount, &row.currency),
            output::money(row.net, &row.currency),
            output::plain(row.product_id.as_deref().unwrap_or_default()),
            output::plain(row.description.as_deref().unwrap_or_default()),
        ]
    });
    let columns = [
        ("charge", Column::Whole),
        ("line", Column::Text),
        ("date", Column::Whole),
        ("status", Column::Text),
        ("counted", Column::Whole),
        ("amount", Column::Number),
        ("net", Column::Number),
        ("product", Column::Text),
        ("description", Column::Text),
    ];
    output::table(&columns, cells)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_excluded_charge_names_its_rule_and_shows_its_lines() {
        let text = shown(
            &understood(json!({
                "charge_id": "ch_1", "stored": true, "counted": false, "reason": "excluded",
                "filter_id": "019ab000-0000-7000-8000-000000000001",
                "detail": "The rule `no tests` keeps the charge out.",
                "rows": [{"charge_id": "ch_1", "line_id": null, "date": "2026-11-20", "currency": "usd",
                          "status": "succeeded", "counted": false, "amount": 123_456, "net": 0}]}))
            .unwrap(),
        );
        assert!(
            text.starts_with(
                "ch_1 does not count: The rule `no tests` keeps the charge out. (excluded)\n"
            ),
            "{text}"
        );
        assert!(text.contains("rules show 019ab000"), "{text}");
        assert!(text.contains("1,234.56 USD"), "{text}");
    }

    #[test]
    fn an_out_of_range_charge_names_the_command_that_covers_it() {
        let text = shown(
            &understood(
                json!({"charge_id": "ch_2", "stored": false, "counted": false,
                "reason": "outside_range", "filter_id": null, "rows": [],
                "detail": "It is older; a larger `lookback_days` covers it."}),
            )
            .unwrap(),
        );
        assert!(
            text.contains("`stripe-sync sync --lookback-days DAYS`"),
            "{text}"
        );
    }
}
