//! `connect-account reconciliation`: what the last daily comparison of the ledger with Stripe found. It changes nothing.

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::Value;

use crate::client::{Ask, Error};
use crate::output::{self, plain, whole};

#[derive(Debug, Deserialize)]
struct Compared {
    ran_at: Option<DateTime<Utc>>,
    differences: Vec<Difference>,
}

#[derive(Debug, Deserialize)]
struct Difference {
    object: String,
    stripe_id: String,
    ours: Option<Movement>,
    theirs: Option<Movement>,
}

#[derive(Debug, Deserialize)]
struct Movement {
    amount: i64,
    currency: String,
    status: String,
}

pub(super) async fn run(ask: Ask) -> Result<(), Error> {
    let (client, printer) = ask.open().await?;
    let path = ["v1", "connect", "reconciliation"];
    let answer: Value = client.get(&path, &[]).await?;
    printer.print(answer, shown)
}

fn shown(compared: &Compared) -> String {
    let Some(ran_at) = compared.ran_at.map(output::instant) else {
        return "not compared with Stripe yet; a consumer does it once a day".to_owned();
    };
    if compared.differences.is_empty() {
        return format!("the ledger and Stripe agreed at {ran_at}");
    }
    let fields = [
        whole("object", |it: &Difference| plain(&it.object)),
        whole("Stripe's id", |it| plain(&it.stripe_id)),
        whole("in the ledger", |it| movement(it.ours.as_ref())),
        whole("at Stripe", |it| movement(it.theirs.as_ref())),
    ];
    let table = output::table_of(&compared.differences, &fields);
    format!(
        "{table}\ncompared at {ran_at}; nothing is corrected: find out what happened, for example in Stripe's dashboard"
    )
}

fn movement(movement: Option<&Movement>) -> String {
    match movement {
        Some(it) => {
            let money = output::money(it.amount, &it.currency);
            format!("{money}, {}", plain(&it.status))
        }
        None => "missing".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::client::requests::understood;

    fn text(compared: Value) -> String {
        shown(&understood(compared).unwrap())
    }

    #[test]
    fn a_difference_is_shown_with_both_sides() {
        let made = json!({"amount": 900, "currency": "usd", "status": "created"});
        let text = text(json!({"ran_at": "2026-11-21T06:00:00Z", "differences": [
                {"object": "transfer", "stripe_id": "tr_1", "ours": null, "theirs": made}]}));
        for part in ["transfer", "tr_1", "missing", "9.00 USD, created"] {
            assert!(text.contains(part), "{text}");
        }
        assert!(text.contains("compared at 2026-11-21T06:00:00Z"), "{text}");
    }

    #[test]
    fn agreement_and_no_comparison_are_not_the_same() {
        let agreed = text(json!({"ran_at": "2026-11-21T06:00:00Z", "differences": []}));
        assert_eq!(
            agreed,
            "the ledger and Stripe agreed at 2026-11-21T06:00:00Z"
        );
        let never = text(json!({"ran_at": null, "differences": []}));
        assert!(never.starts_with("not compared"), "{never}");
    }
}
