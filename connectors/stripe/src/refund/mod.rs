//! Refunds of charges, kept to be shown one by one. Figures are not made of them, but of the charge's own sums.
//!
//! Nothing here can fail. Deliberately absent: refunds of charges that are not stored.

pub mod queries;

use chrono::{DateTime, Utc};
use common::money::Currency;
use serde::Serialize;
use utoipa::ToSchema;

/// A refund as its charge listed it when the charge was last read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Refund {
    /// Stripe refund id.
    pub refund_id: String,
    /// Amount in the currency's minor unit.
    pub amount: i64,
    /// Lower-case ISO 4217 code.
    #[schema(value_type = String)]
    pub currency: Currency,
    /// Status of the refund: `pending`, `requires_action`, `succeeded`, `failed` or `canceled`.
    pub status: Option<String>,
    /// Why the charge was refunded, such as `requested_by_customer`; null when no reason was given.
    pub reason: Option<String>,
    /// When the refund was created.
    pub created_at: Option<DateTime<Utc>>,
    /// Whether the refund counts toward the charge's refunded amount: it did not fail, was not canceled, and is not the
    /// release of an uncaptured authorization.
    pub counted: bool,
}
