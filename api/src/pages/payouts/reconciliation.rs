//! What the last reconciliation of the ledger with Stripe found, in words: where both disagree, or only when they were compared.

use chrono_tz::Tz;
use common::money::Currency;
use platform::ledger::reconciliation::{Difference, Movement, Reconciliation};
use platform::ledger::{EntryKind, NOT_MADE};

use super::ZONE;
use crate::pages::format::LocaleFormat;
use crate::pages::moment::Moment;

#[derive(Debug)]
pub(super) struct ReconciliationPart {
    /// None before the first one.
    pub(super) ran: Option<Moment>,
    pub(super) differences: Vec<DifferenceRow>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct DifferenceRow {
    pub(super) said: String,
    pub(super) stripe_id: String,
}

impl ReconciliationPart {
    pub(super) fn of(last: &Reconciliation, locale: &LocaleFormat) -> Self {
        let zone: Tz = ZONE;
        let differences = last.differences.iter();
        Self {
            ran: last.ran_at.map(|at| Moment::new(at, locale, zone)),
            differences: differences.map(|it| row(it, locale)).collect(),
        }
    }
}

fn row(difference: &Difference, locale: &LocaleFormat) -> DifferenceRow {
    let object = difference.object;
    let money =
        |movement: &Movement| locale.minor(movement.amount, &Currency::new(&movement.currency));
    let described = |movement: &Movement| format!("{}, {}", money(movement), state(movement));
    let name = name(object);
    let said = match (&difference.ours, &difference.theirs) {
        (Some(ours), None) => {
            format!(
                "A {name} of {} is known here, and Stripe has none.",
                money(ours)
            )
        }
        (None, Some(theirs)) => {
            format!(
                "Stripe has a {name} of {} that was not made here.",
                money(theirs)
            )
        }
        (Some(ours), Some(theirs)) => format!(
            "A {name} differs. Here: {}. At Stripe: {}.",
            described(ours),
            described(theirs)
        ),
        (None, None) => format!("A {name} differs."),
    };
    DifferenceRow {
        said,
        stripe_id: difference.external_id.clone(),
    }
}

fn name(object: EntryKind) -> &'static str {
    match object {
        EntryKind::Transfer => "transfer",
        EntryKind::Reversal => "reversal",
        EntryKind::Payout => "payout",
    }
}

/// The state of a movement, in words.
fn state(movement: &Movement) -> String {
    match movement.status.as_str() {
        "created" => "made".to_owned(),
        NOT_MADE => "not made".to_owned(),
        "canceled" => "cancelled".to_owned(),
        "in_transit" => "on its way".to_owned(),
        "pending" => "not sent yet".to_owned(),
        other => other.replace('_', " "),
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderMap;

    use super::*;

    fn movement(status: &str) -> Movement {
        Movement {
            amount: 900,
            currency: "usd".to_owned(),
            status: status.to_owned(),
        }
    }

    #[test]
    fn a_difference_says_what_each_side_has() {
        let locale = LocaleFormat::of_reader(&HeaderMap::new());
        let said = |object, ours, theirs| {
            let difference = Difference {
                object,
                external_id: "x_1".to_owned(),
                ours,
                theirs,
            };
            row(&difference, &locale).said.replace('\u{a0}', " ")
        };
        assert_eq!(
            said(EntryKind::Transfer, Some(movement("created")), None),
            "A transfer of 9.00 USD is known here, and Stripe has none."
        );
        assert_eq!(
            said(EntryKind::Reversal, None, Some(movement("created"))),
            "Stripe has a reversal of 9.00 USD that was not made here."
        );
        let (ours, theirs) = (movement(NOT_MADE), movement("in_transit"));
        assert_eq!(
            said(EntryKind::Payout, Some(ours), Some(theirs)),
            "A payout differs. Here: 9.00 USD, not made. At Stripe: 9.00 USD, on its way."
        );
    }
}
