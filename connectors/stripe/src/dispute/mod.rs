//! Disputes, kept for the status that rows show, for what they took and cost, and to be shown with their charges. A dispute
//! lowers no figure.
//!
//! Nothing here can fail. Deliberately absent: the evidence, but for when it is due.

pub mod queries;

use chrono::{DateTime, Utc};
use common::money::Currency;
use serde::Serialize;
use utoipa::ToSchema;

/// A dispute as last read from Stripe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Dispute {
    /// Stripe dispute id.
    pub dispute_id: String,
    #[serde(skip)]
    pub charge_id: String,
    /// When the dispute was created.
    pub created_at: DateTime<Utc>,
    /// Disputed amount in the minor unit of `currency`; null until the dispute is read again after an upgrade.
    pub amount: Option<i64>,
    /// Lower-case ISO 4217 code, which may differ from the charge's.
    #[schema(value_type = Option<String>)]
    pub currency: Option<Currency>,
    /// Reason that the cardholder gave, such as `fraudulent`.
    pub reason: Option<String>,
    /// Status of the dispute: `needs_response`, `under_review`, `won`, `lost`, …
    pub status: String,
    /// Deadline for submitting evidence; null if none can be submitted.
    pub evidence_due_at: Option<DateTime<Utc>>,
    /// What Stripe charged for the dispute less what it gave back, in the minor unit of `fee_currency`; null if nothing was
    /// charged yet, or is not known.
    pub fee: Option<i64>,
    /// Lower-case ISO 4217 code of the account's balance, which may differ from the charge's.
    #[schema(value_type = Option<String>)]
    pub fee_currency: Option<Currency>,
}

/// What rows are made of a dispute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DisputeOfCharge {
    pub status: String,
    /// Minor units.
    pub amount: Option<i64>,
    pub currency: Option<Currency>,
    /// Minor units.
    pub fee: Option<i64>,
    pub fee_currency: Option<Currency>,
}

impl DisputeOfCharge {
    /// What it took of a charge of this currency, minor units. A dispute that was won gave it back; an inquiry took nothing,
    /// nor did a dispute that was prevented (docs.stripe.com/disputes/how-disputes-work).
    pub fn taken(&self, of: &Currency) -> i64 {
        let took = !matches!(self.status.as_str(), "won" | "prevented")
            && !self.status.starts_with("warning_");
        let amount = self.amount.filter(|_| self.currency.as_ref() == Some(of));
        amount.filter(|_| took).unwrap_or(0)
    }

    /// What it cost, minor units, where that is known in this currency.
    pub fn cost(&self, of: &Currency) -> Option<i64> {
        self.fee.filter(|_| self.fee_currency.as_ref() == Some(of))
    }
}
