//! Disputes, kept for the status that rows show. A dispute changes no figure.
//!
//! Nothing here can fail. Deliberately absent: the disputed amount, its reason and its evidence.

pub mod queries;

use chrono::{DateTime, Utc};

/// A dispute as Stripe shows it now, as far as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dispute {
    /// `dp_…` or `du_…`
    pub dispute_id: String,
    pub charge_id: String,
    /// To the second.
    pub created_at: DateTime<Utc>,
    /// `needs_response`, `won`, `lost`, …, or a later invention.
    pub status: String,
}
