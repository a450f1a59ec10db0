//! `explain`: why a charge counts or not, from what is stored.

use serde_json::Value;

use super::requests::understood;
use super::responses::{ChargeRow, Dispute, Explanation, Refund};
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
    if !explanation.refunds.is_empty() {
        text.extend(["\n\n", &refunds_table(&explanation.refunds)]);
    }
    if let Some(dispute) = &explanation.dispute {
        text.extend(["\n\n", &dispute_table(dispute)]);
    }
    text
}

fn refunds_table(refunds: &[Refund]) -> String {
    let cells = refunds.iter().map(|refund| {
        let counted = if refund.counted { "yes" } else { "no" };
        vec![
            output::plain(&refund.refund_id),
            refund.created_at.map(output::instant).unwrap_or_default(),
            optional(refund.status.as_deref()),
            counted.to_owned(),
            output::money(refund.amount, &refund.currency),
            optional(refund.reason.as_deref()),
        ]
    });
    let columns = [
        ("refund", Column::Whole),
        ("created", Column::Whole),
        ("status", Column::Text),
        ("counted", Column::Whole),
        ("amount", Column::Number),
        ("reason", Column::Text),
    ];
    output::table(&columns, cells)
}

fn dispute_table(dispute: &Dispute) -> String {
    let amount = dispute.amount.zip(dispute.currency.as_deref());
    let cells = vec![
        output::plain(&dispute.dispute_id),
        output::plain(&dispute.status),
        amount
            .map(|(amount, currency)| output::money(amount, currency))
            .unwrap_or_default(),
        optional(dispute.reason.as_deref()),
        dispute
            .evidence_due_at
            .map(output::instant)
            .unwrap_or_default(),
    ];
    let columns = [
        ("dispute", Column::Whole),
        ("status", Column::Text),
        ("amount", Column::Number),
        ("reason", Column::Text),
        ("evidence due", Column::Whole),
    ];
    output::table(&columns, [cells])
}

fn optional(text: Option<&str>) -> String {
    output::plain(text.unwrap_or_default())
}

/// Lines of charges, as stored.
pub(super) fn rows_table(rows: &[ChargeRow]) -> String {
    let cells = rows.iter().map(|row| {
        let counted = if row.counted { "yes" } else { "no" };
        vec![
            output::plain(&row.charge_id),
            optional(row.line_id.as_deref()),
            row.date.to_string(),
            output::plain(&row.status),
            counted.to_owned(),
            output::money(row.amount, &row.currency),
            output::money(row.net, &row.currency),
            optional(row.product_id.as_deref()),
            optional(row.description.as_deref()),
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
    fn refunds_and_the_dispute_of_a_charge_are_listed() {
        let text = shown(
            &understood(json!({
                "charge_id": "ch_1", "stored": true, "counted": true, "reason": "counted", "filter_id": null,
                "detail": "The charge counts.", "rows": [],
                "refunds": [{"refund_id": "re_1", "amount": 1_250, "currency": "usd", "status": "failed", "reason": null,
                             "created_at": "2026-11-20T10:00:00Z", "counted": false}],
                "dispute": {"dispute_id": "dp_1", "created_at": "2026-11-21T10:00:00Z", "amount": 5_000,
                            "currency": "usd", "reason": "fraudulent", "status": "needs_response",
                            "evidence_due_at": "2026-12-11T10:00:00Z"}}))
            .unwrap(),
        );
        for part in ["re_1", "2026-11-20T10:00:00Z", "failed", "no", "12.50 USD"] {
            assert!(text.contains(part), "{part}: {text}");
        }
        for part in [
            "dp_1",
            "needs_response",
            "50.00 USD",
            "fraudulent",
            "2026-12-11T10:00:00Z",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
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
