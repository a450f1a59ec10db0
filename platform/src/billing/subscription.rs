//! A subscription as it is stored, and which of several counts.
//!
//! Nothing here fails or asks anybody.

use chrono::{DateTime, Utc};
use common::money::Currency;
use serde::Serialize;
use utoipa::ToSchema;

use super::InvoiceStatus;
use super::status::SubscriptionStatus;

/// A subscription as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    pub subscription_id: String,
    /// Whether it was made by a checkout of ours.
    pub is_ours: bool,
    pub status: SubscriptionStatus,
    /// The item that is a plan's.
    pub item_id: Option<String>,
    pub price_id: Option<String>,
    /// Of the price, as a plan names it; none where no plan does.
    pub lookup_key: Option<String>,
    pub seats: i64,
    pub current_period_start: Option<DateTime<Utc>>,
    pub current_period_end: Option<DateTime<Utc>>,
    pub trial_end: Option<DateTime<Utc>>,
    /// When it ends by a cancellation that is pending.
    pub cancel_at: Option<DateTime<Utc>>,
    pub created_at: DateTime<Utc>,
    pub schedule_id: Option<String>,
    /// Of the price to which it changes later.
    pub scheduled_lookup_key: Option<String>,
    pub scheduled_seats: Option<i64>,
    pub scheduled_at: Option<DateTime<Utc>>,
    /// When the oldest invoice was made whose payment failed.
    pub failing_since: Option<DateTime<Utc>>,
}

impl Subscription {
    pub fn gives_access(&self, now: DateTime<Utc>) -> bool {
        self.status.gives_access(self.failing_since, now)
    }

    /// The less, the more it counts.
    fn rank(&self, now: DateTime<Utc>) -> (u8, i64) {
        let age = self.created_at.timestamp_micros();
        if self.gives_access(now) {
            (0, age)
        } else if self.status.is_live() {
            (1, age)
        } else if self.status == SubscriptionStatus::Incomplete {
            (2, -age)
        } else {
            (3, -age)
        }
    }
}

/// The subscription that counts: the oldest that gives access, or is live; otherwise the newest. One that never began counts for
/// nothing.
pub fn that_counts(subscriptions: &[Subscription], now: DateTime<Utc>) -> Option<&Subscription> {
    let began = |it: &&Subscription| it.status != SubscriptionStatus::IncompleteExpired;
    let of_plans = subscriptions.iter().filter(|it| it.lookup_key.is_some());
    of_plans
        .filter(began)
        .min_by_key(|subscription| subscription.rank(now))
}

/// Invoice of the organization.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Invoice {
    #[schema(example = "in_1PgafTB7WZ01zgkWx2y3z4A5")]
    pub invoice_id: String,
    pub number: Option<String>,
    pub status: InvoiceStatus,
    #[schema(value_type = String, example = "usd")]
    pub currency: Currency,
    /// In minor units.
    pub amount_due: i64,
    pub amount_paid: i64,
    pub amount_remaining: i64,
    /// When Stripe tries its payment next.
    pub next_attempt_at: Option<DateTime<Utc>>,
    pub created_at: DateTime<Utc>,
    pub paid_at: Option<DateTime<Utc>>,
    /// Stripe's page on which it is shown and paid.
    pub hosted_url: Option<String>,
    pub pdf_url: Option<String>,
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(crate) fn subscription(id: &str, status: SubscriptionStatus, created: i64) -> Subscription {
        Subscription {
            subscription_id: id.to_owned(),
            is_ours: true,
            status,
            item_id: None,
            price_id: None,
            lookup_key: Some("pro_month".to_owned()),
            seats: 1,
            current_period_start: None,
            current_period_end: None,
            trial_end: None,
            cancel_at: None,
            created_at: DateTime::from_timestamp(created, 0).unwrap(),
            schedule_id: None,
            scheduled_lookup_key: None,
            scheduled_seats: None,
            scheduled_at: None,
            failing_since: None,
        }
    }

    #[test]
    fn the_oldest_that_gives_access_counts_and_else_the_newest() {
        use SubscriptionStatus::{Active, Canceled, Incomplete, IncompleteExpired, Unpaid};
        let counts = |all: &[(SubscriptionStatus, i64)]| {
            let all: Vec<Subscription> = all
                .iter()
                .enumerate()
                .map(|(index, (status, created))| {
                    subscription(&index.to_string(), *status, *created)
                })
                .collect();
            that_counts(&all, DateTime::UNIX_EPOCH).map(|it| it.subscription_id.clone())
        };
        assert_eq!(counts(&[]), None);
        assert_eq!(counts(&[(Active, 2), (Active, 1)]).unwrap(), "1");
        assert_eq!(counts(&[(Unpaid, 1), (Active, 2)]).unwrap(), "1");
        assert_eq!(
            counts(&[(Canceled, 1), (Incomplete, 2), (Unpaid, 3)]).unwrap(),
            "2"
        );
        assert_eq!(
            counts(&[(Canceled, 1), (IncompleteExpired, 2)]).unwrap(),
            "0"
        );
        assert_eq!(counts(&[(IncompleteExpired, 2)]), None);
    }

    #[test]
    fn what_is_no_plans_does_not_count() {
        let foreign = Subscription {
            lookup_key: None,
            ..subscription("a", SubscriptionStatus::Active, 1)
        };
        assert_eq!(that_counts(&[foreign], DateTime::UNIX_EPOCH), None);
    }
}
