//! A charge and the revenue rows it is stored as: what counts, how much, and on which day.
//!
//! Everything a figure means is decided in [`Charge::figures`]; the database only adds up. Pure: the
//! same charge gives the same rows, whichever job read it. One row is one charge line; until a charge's
//! invoice or checkout lines are known it has one line, which is the charge itself.

pub mod queries;

use chrono::{DateTime, NaiveDate, Utc};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::filter::{RowView, RuleSet};
use crate::money::Currency;

/// Metadata as stored.
pub type Metadata = Map<String, Value>;

/// Stripe's word for a charge that went through.
pub const SUCCEEDED: &str = "succeeded";

/// A charge as Stripe shows it now, as far as it is kept.
#[derive(Debug, Clone, PartialEq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "they are Stripe's, and independent of each other"
)]
pub struct Charge {
    /// `ch_…` or `py_…`
    pub charge_id: String,
    /// To the second.
    pub created_at: DateTime<Utc>,
    /// Of all its amounts.
    pub currency: Currency,
    /// `succeeded`, `pending`, `failed`, or a later invention.
    pub status: String,
    /// Whether it was captured.
    pub captured: bool,
    /// Whether real money moved.
    pub livemode: bool,
    /// What was asked for, minor units.
    pub amount: i64,
    /// What was captured, minor units.
    pub amount_captured: i64,
    /// What Stripe calls refunded, minor units; of a partial capture it may hold the released rest.
    pub amount_refunded: i64,
    /// Whether the charge's refund list holds the rest that a partial capture released.
    pub release_in_refunds: bool,
    /// Who paid.
    pub customer_id: Option<String>,
    /// The customer's present metadata; empty when deleted, unknown or none.
    pub customer_metadata: Metadata,
    /// When the customer was read with the charge, whether it is deleted.
    pub customer_deleted: Option<bool>,
    /// `pi_…`
    pub payment_intent_id: Option<String>,
    /// `in_…`
    pub invoice_id: Option<String>,
    /// Free text.
    pub description: Option<String>,
    /// The card's country, else the billing address's.
    pub country: Option<String>,
    /// `card`, `sepa_debit`, …
    pub payment_method: Option<String>,
    /// Whether it was ever disputed.
    pub disputed: bool,
    /// Present metadata.
    pub metadata: Metadata,
}

/// What a charge adds to revenue before rules, minor units.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Figures {
    /// What was captured.
    pub gross: i64,
    /// What went back; never more than gross.
    pub refunded: i64,
}

impl Charge {
    /// Whether the charge counts when no rule excludes it.
    pub fn eligible(&self) -> bool {
        self.status == SUCCEEDED && self.captured
    }

    /// What the charge adds to revenue before rules.
    ///
    /// After a partial capture Stripe may report the released rest as a refund; it never was money. A
    /// hold that was never captured, or lapsed, adds nothing, though Stripe marks the latter refunded.
    pub fn figures(&self) -> Figures {
        if !self.eligible() {
            return Figures::default();
        }
        let gross = self.amount_captured;
        let partly_captured = 0 < gross && gross < self.amount;
        let refunded = if partly_captured && self.release_in_refunds {
            (self.amount_refunded - (self.amount - gross)).max(0)
        } else {
            self.amount_refunded
        };
        Figures {
            gross,
            refunded: refunded.min(gross),
        }
    }

    /// The rows of the charge, dated `date`, and kept out by `rules` where they say so.
    pub fn rows(&self, date: NaiveDate, rules: &RuleSet) -> Vec<RevenueRow> {
        let figures = self.figures();
        let mut row = RevenueRow {
            charge: self.clone(),
            line_no: 0,
            line_id: None,
            date,
            amount: self.amount,
            gross: figures.gross,
            refunded: figures.refunded,
            units: 1,
            product_id: None,
            price_id: None,
            checkout_session_id: None,
            dispute_status: None,
            product_metadata: Metadata::new(),
            price_metadata: Metadata::new(),
            excluded_by: None,
        };
        row.excluded_by = rules.decide(&[row.view()]);
        vec![row]
    }
}

/// One charge line as stored.
#[derive(Debug, Clone, PartialEq)]
pub struct RevenueRow {
    /// The charge it is a line of.
    pub charge: Charge,
    /// 0 is the first or only line.
    pub line_no: i32,
    /// The invoice's or checkout session's id of the line.
    pub line_id: Option<String>,
    /// In the connection's time zone.
    pub date: NaiveDate,
    /// The line's share of the charge's amount, minor units.
    pub amount: i64,
    /// The line's share of what was captured, minor units.
    pub gross: i64,
    /// The line's share of what went back, minor units.
    pub refunded: i64,
    /// The line's quantity.
    pub units: i64,
    /// `prod_…`
    pub product_id: Option<String>,
    /// `price_…`
    pub price_id: Option<String>,
    /// `cs_…`
    pub checkout_session_id: Option<String>,
    /// Of the newest dispute.
    pub dispute_status: Option<String>,
    /// The product's present metadata.
    pub product_metadata: Metadata,
    /// The price's present metadata.
    pub price_metadata: Metadata,
    /// The rule that keeps the charge out.
    pub excluded_by: Option<Uuid>,
}

impl RevenueRow {
    /// What rules see of the row.
    pub fn view(&self) -> RowView<'_> {
        RowView {
            amount: self.charge.amount,
            currency: self.charge.currency.as_str(),
            status: &self.charge.status,
            description: self.charge.description.as_deref(),
            customer_id: self.charge.customer_id.as_deref(),
            product_id: self.product_id.as_deref(),
            price_id: self.price_id.as_deref(),
            country: self.charge.country.as_deref(),
            payment_method: self.charge.payment_method.as_deref(),
            livemode: self.charge.livemode,
            charge_metadata: &self.charge.metadata,
            product_metadata: &self.product_metadata,
            price_metadata: &self.price_metadata,
            customer_metadata: &self.charge.customer_metadata,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn charge() -> Charge {
        Charge {
            charge_id: "ch_1".into(),
            created_at: DateTime::UNIX_EPOCH,
            currency: Currency::new("usd"),
            status: SUCCEEDED.into(),
            captured: true,
            livemode: true,
            amount: 1000,
            amount_captured: 1000,
            amount_refunded: 0,
            release_in_refunds: false,
            customer_id: None,
            customer_metadata: Metadata::new(),
            customer_deleted: None,
            payment_intent_id: None,
            invoice_id: None,
            description: None,
            country: None,
            payment_method: None,
            disputed: false,
            metadata: Metadata::new(),
        }
    }

    #[test]
    fn figures_are_what_the_page_on_meaning_says() {
        let check = |name: &str, charge: Charge, gross: i64, refunded: i64| {
            assert_eq!(charge.figures(), Figures { gross, refunded }, "{name}");
        };
        check("captured", charge(), 1000, 0);
        check(
            "refunded in part",
            Charge {
                amount_refunded: 250,
                ..charge()
            },
            1000,
            250,
        );
        check(
            "failed",
            Charge {
                status: "failed".into(),
                ..charge()
            },
            0,
            0,
        );
        check(
            "pending",
            Charge {
                status: "pending".into(),
                ..charge()
            },
            0,
            0,
        );
        let hold = Charge {
            captured: false,
            amount_captured: 0,
            ..charge()
        };
        check("uncaptured hold", hold.clone(), 0, 0);
        check(
            "lapsed hold, marked refunded",
            Charge {
                amount_refunded: 1000,
                ..hold
            },
            0,
            0,
        );
        let partly = Charge {
            amount_captured: 600,
            ..charge()
        };
        check("partial capture", partly.clone(), 600, 0);
        let released = Charge {
            amount_refunded: 400,
            release_in_refunds: true,
            ..partly.clone()
        };
        check("the released rest is no refund", released.clone(), 600, 0);
        check(
            "and a refund on top is",
            Charge {
                amount_refunded: 500,
                ..released
            },
            600,
            100,
        );
        check(
            "a refund where the rest is not reported",
            Charge {
                amount_refunded: 100,
                ..partly.clone()
            },
            600,
            100,
        );
        check(
            "never more than gross",
            Charge {
                amount_refunded: 900,
                ..partly
            },
            600,
            600,
        );
    }
}
