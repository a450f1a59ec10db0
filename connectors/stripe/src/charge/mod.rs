//! A charge and the revenue rows it is stored as: what counts, how much, and on which day.
//!
//! Everything a figure means is decided in [`Figures::of`]; the database only adds up. Pure: the same
//! charge with the same inputs ([`RowInputs`]) gives the same rows, whichever job read it. One row is one
//! charge line; a charge whose invoice or checkout session is not known has one line, which is the charge
//! itself.

pub mod out_of_range;
pub mod queries;
mod rows;
pub mod upsert;

use chrono::{DateTime, Utc};
use common::money::Currency;
use serde_json::{Map, Value};

use crate::refund::Refund;

pub use rows::{RevenueRow, RowInputs};

pub type Metadata = Map<String, Value>;

/// Stripe's word for a charge that went through.
pub const SUCCEEDED: &str = "succeeded";

/// A charge as Stripe shows it now, as far as it is kept.
#[derive(Debug, Clone, PartialEq)]
pub struct Charge {
    /// `ch_…` or `py_…`
    pub charge_id: String,
    /// To the second.
    pub created_at: DateTime<Utc>,
    pub currency: Currency,
    /// `succeeded`, `pending`, `failed`, or a later invention.
    pub status: String,
    pub captured: bool,
    /// Whether real money moved.
    pub livemode: bool,
    /// What was asked for, minor units.
    pub amount: i64,
    /// What it adds to revenue before rules.
    pub figures: Figures,
    pub customer_id: Option<String>,
    /// The customer's present metadata; empty when deleted, unknown or none.
    pub customer_metadata: Metadata,
    /// When the customer was read with the charge, whether it is deleted.
    pub customer_deleted: Option<bool>,
    /// The customer's name, when it was read with the charge. It goes into no row.
    pub customer_name: Option<String>,
    /// `pi_…`
    pub payment_intent_id: Option<String>,
    /// The invoice that the charge itself names, as versions up to 2025-02-24.acacia show it.
    pub named_invoice_id: Option<String>,
    pub description: Option<String>,
    /// The payment method's country, else the billing address's.
    pub country: Option<String>,
    /// `card`, `sepa_debit`, …
    pub payment_method: Option<String>,
    /// `tr_…`: the charge is a mirrored payment, which a platform's transfer made in this account.
    pub source_transfer: Option<String>,
    pub disputed: bool,
    pub metadata: Metadata,
    /// All its refunds, when they were read with the charge. They go into no row.
    pub refunds: Option<Vec<Refund>>,
}

/// What a charge adds to revenue before rules, minor units.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Figures {
    pub gross: i64,
    /// What went back; never more than gross.
    pub refunded: i64,
}

/// What Stripe says of a charge's money, minor units.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Amounts {
    pub amount: i64,
    pub captured: i64,
    /// What Stripe calls refunded; after a partial capture the released rest is usually part of it.
    pub refunded: i64,
    /// Whether the rest that a partial capture released is part of `refunded`: the charge's refunds show it, or they
    /// may not be read.
    pub release_in_refunded: bool,
}

impl Charge {
    /// Whether something was captured though Stripe does not call it captured: more may be, or the rest has lapsed.
    pub fn is_partly_captured(&self) -> bool {
        !self.captured && self.figures.gross > 0
    }
}

impl Figures {
    /// What a charge adds to revenue before rules.
    ///
    /// What was captured counts at once, whether or not more of the hold may be captured. After a partial capture Stripe reports the released rest as refunded; it never was money. A hold that was
    /// never captured, or lapsed, adds nothing, though Stripe marks the latter refunded.
    pub fn of(status: &str, captured: bool, amounts: Amounts) -> Self {
        if status != SUCCEEDED || !(captured || amounts.captured > 0) {
            return Self::default();
        }
        let gross = amounts.captured;
        let partly_captured = 0 < gross && gross < amounts.amount;
        let refunded = if partly_captured && amounts.release_in_refunded {
            (amounts.refunded - (amounts.amount - gross)).max(0)
        } else {
            amounts.refunded
        };
        Self {
            gross,
            refunded: refunded.min(gross),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_follow_the_documented_definition() {
        let whole = Amounts {
            amount: 1000,
            captured: 1000,
            ..Amounts::default()
        };
        let check =
            |name: &str, status: &str, captured: bool, amounts: Amounts, expected: (i64, i64)| {
                let (gross, refunded) = expected;
                assert_eq!(
                    Figures::of(status, captured, amounts),
                    Figures { gross, refunded },
                    "{name}"
                );
            };
        let counted = |name: &str, amounts: Amounts, expected: (i64, i64)| {
            check(name, SUCCEEDED, true, amounts, expected);
        };
        let refunded = |refunded: i64, amounts: Amounts| Amounts {
            refunded,
            ..amounts
        };
        counted("captured", whole, (1000, 0));
        counted("refunded in part", refunded(250, whole), (1000, 250));
        check("failed", "failed", true, whole, (0, 0));
        check("pending", "pending", true, whole, (0, 0));
        check("a status never seen", "floating", true, whole, (0, 0));
        let hold = Amounts {
            captured: 0,
            ..whole
        };
        check("uncaptured hold", SUCCEEDED, false, hold, (0, 0));
        let lapsed = refunded(1000, hold);
        check(
            "lapsed hold, marked refunded",
            SUCCEEDED,
            false,
            lapsed,
            (0, 0),
        );
        let partly = Amounts {
            captured: 600,
            ..whole
        };
        counted("partial capture", partly, (600, 0));
        let released = Amounts {
            refunded: 400,
            release_in_refunded: true,
            ..partly
        };
        counted("the released rest is no refund", released, (600, 0));
        counted(
            "and a refund on top is",
            refunded(500, released),
            (600, 100),
        );
        counted(
            "a refund where the rest is not reported",
            refunded(100, partly),
            (600, 100),
        );
        let confirmed = Amounts {
            amount: 20_675,
            captured: 20_300,
            refunded: 375,
            release_in_refunded: true,
        };
        counted("as a real account shows it", confirmed, (20_300, 0));
        counted("never more than gross", refunded(900, partly), (600, 600));
        check(
            "between two captures",
            SUCCEEDED,
            false,
            refunded(100, partly),
            (600, 100),
        );
        check(
            "captured in part, the rest lapsed",
            SUCCEEDED,
            false,
            released,
            (600, 0),
        );
    }
}
