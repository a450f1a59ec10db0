//! Disputes, kept for the status that rows show, and to be shown with their charges. A dispute changes no figure.
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
}
