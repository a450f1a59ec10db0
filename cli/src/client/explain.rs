//! `explain`: why a charge counts or not, from what is stored.

use serde_json::Value;

use super::responses::{ChargeRow, Dispute, Explanation, Refund};
use super::{Error, Target, words};
use crate::output::{
    self, money, number, optional, optional_instant, plain, text, whole, yes_or_no,
};

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
        let (client, connection, printer) = self.target.open().await?;
        let path = [
            "v1",
            "connectors",
            &connection,
            "charges",
            &self.charge_id,
            "explain",
        ];
        let answer: Value = client.get(&path, &[]).await?;
        printer.print(answer, shown)
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
    let fields = [
        whole("refund", |it: &Refund| plain(&it.refund_id)),
        whole("created", |it| optional_instant(it.created_at)),
        text("status", |it| optional(it.status.as_deref())),
        whole("counted", |it| yes_or_no(it.counted)),
        number("amount", |it| money(it.amount, &it.currency)),
        text("reason", |it| optional(it.reason.as_deref())),
    ];
    output::table_of(refunds, &fields)
}

fn dispute_table(dispute: &Dispute) -> String {
    let fields = [
        whole("dispute", |it: &Dispute| plain(&it.dispute_id)),
        text("status", |it| plain(&it.status)),
        number("amount", |it| {
            let amount = it.amount.zip(it.currency.as_deref());
            let amount = amount.map(|(amount, currency)| money(amount, currency));
            amount.unwrap_or_default()
        }),
        text("reason", |it| optional(it.reason.as_deref())),
        whole("evidence due", |it| optional_instant(it.evidence_due_at)),
    ];
    output::table_of(std::slice::from_ref(dispute), &fields)
}

/// Lines of charges, as stored.
pub(super) fn rows_table(rows: &[ChargeRow]) -> String {
    let fields = [
        whole("charge", |it: &ChargeRow| plain(&it.charge_id)),
        text("line", |it| optional(it.line_id.as_deref())),
        whole("date", |it| it.date.to_string()),
        text("status", |it| plain(&it.status)),
        whole("counted", |it| yes_or_no(it.counted)),
        number("amount", |it| money(it.amount, &it.currency)),
        number("net", |it| money(it.net, &it.currency)),
        text("product", |it| optional(it.product_id.as_deref())),
        text("description", |it| optional(it.description.as_deref())),
    ];
    output::table_of(rows, &fields)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::requests::understood;
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
