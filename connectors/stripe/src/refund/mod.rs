//! Refunds of charges, kept to be shown one by one and to date what was refunded. How much was refunded is not made of them,
//! but of the charge's own sums.
//!
//! Nothing here can fail. Deliberately absent: refunds of charges that are not stored.

pub mod queries;

use chrono::{DateTime, NaiveDate, Utc};
use common::money::Currency;
use serde::Serialize;
use utoipa::ToSchema;

use crate::purchase::{PurchaseLine, allocate};

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

/// A refund with what figures need of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatedRefund<'a> {
    pub refund: &'a Refund,
    /// The day it was made; none where it does not count, and where its day is not known.
    pub date: Option<NaiveDate>,
    /// What each line of the charge has of it, minor units; none where the date is.
    pub line_shares: Option<Vec<i64>>,
}

/// Dates the refunds of a charge by `day_of`, and splits them over its lines, of which `refunded` went back in all.
///
/// The sums so far are split, and a refund has what its sum has more than the one before. So the shares of a line sum to what
/// went back of it, and a later refund changes none of an earlier one. What of `refunded` no dated refund explains comes
/// first, and is in no share; beyond `refunded` there are none.
pub fn date_refunds<'a>(
    refunded: i64,
    refunds: &'a [Refund],
    lines: &[PurchaseLine],
    day_of: impl Fn(DateTime<Utc>) -> NaiveDate,
) -> Vec<DatedRefund<'a>> {
    let split = |total: i64| match lines {
        [] => vec![total],
        lines => allocate(total, lines),
    };
    let mut by_time: Vec<(Option<DateTime<Utc>>, &Refund)> = refunds
        .iter()
        .map(|refund| (refund.created_at.filter(|_| refund.counted), refund))
        .collect();
    by_time.sort_by_key(|(made_at, refund)| (*made_at, &refund.refund_id));
    let dated = by_time.iter().filter(|(made_at, _)| made_at.is_some());
    let explained = dated.fold(0_i64, |sum, (_, refund)| sum.saturating_add(refund.amount));
    let mut reached = refunded.saturating_sub(explained).max(0);
    let mut before = split(reached);
    let date = |(made_at, refund): (Option<DateTime<Utc>>, &'a Refund)| {
        let line_shares = made_at.map(|_| {
            reached = reached.saturating_add(refund.amount).min(refunded);
            let now = split(reached);
            let pairs = now.iter().zip(&before);
            let shares = pairs
                .map(|(now, before)| now.saturating_sub(*before))
                .collect();
            before = now;
            shares
        });
        DatedRefund {
            refund,
            date: made_at.map(&day_of),
            line_shares,
        }
    };
    by_time.into_iter().map(date).collect()
}

#[cfg(test)]
#[path = "dating_tests.rs"]
mod tests;
