//! How a subscription stands, in the vendor's words and in ours, and whether it gives access.
//!
//! Nothing here fails or asks anybody.

use chrono::{DateTime, TimeDelta, Utc};
use common::named;

/// How long a subscription whose payment failed still gives access.
const GRACE: TimeDelta = TimeDelta::days(7);

named! {
    /// How a subscription stands at the vendor.
    SubscriptionStatus {
        /// The first payment is still to come.
        Incomplete = "incomplete",
        /// The first payment never came.
        IncompleteExpired = "incomplete_expired",
        Trialing = "trialing",
        Active = "active",
        /// A payment failed and is tried again.
        PastDue = "past_due",
        /// Payments are tried no more.
        Unpaid = "unpaid",
        /// A trial ended without a way to pay.
        Paused = "paused",
        Canceled = "canceled",
    }
}

impl SubscriptionStatus {
    /// Whether it is over for good.
    pub fn is_over(self) -> bool {
        matches!(self, Self::Canceled | Self::IncompleteExpired)
    }

    /// Whether there is something to change or cancel, rather than to subscribe to.
    pub fn is_live(self) -> bool {
        !self.is_over() && self != Self::Incomplete
    }

    /// Whether it gives access. `failing_since` is when the oldest invoice was made whose payment failed.
    pub fn gives_access(self, failing_since: Option<DateTime<Utc>>, now: DateTime<Utc>) -> bool {
        match self {
            Self::Active | Self::Trialing => true,
            Self::PastDue => failing_since.is_none_or(|since| now < grace_end(since)),
            Self::Incomplete
            | Self::IncompleteExpired
            | Self::Unpaid
            | Self::Paused
            | Self::Canceled => false,
        }
    }
}

/// Until when a subscription gives access whose payment began to fail then.
pub fn grace_end(failing_since: DateTime<Utc>) -> DateTime<Utc> {
    failing_since + GRACE
}

named! {
    /// How an organization's subscription stands: `none`, there never was one; `incomplete`, the first payment is still to come;
    /// `trialing`; `active`; `past_due`, a payment failed and is tried again; `unpaid`, it is tried no more; `paused`, a trial
    /// ended without a way to pay; `canceled`.
    StandingStatus {
        None = "none",
        Incomplete = "incomplete",
        Trialing = "trialing",
        Active = "active",
        PastDue = "past_due",
        Unpaid = "unpaid",
        Paused = "paused",
        Canceled = "canceled",
    }
}

impl From<SubscriptionStatus> for StandingStatus {
    fn from(status: SubscriptionStatus) -> Self {
        match status {
            SubscriptionStatus::Incomplete => Self::Incomplete,
            // It never began.
            SubscriptionStatus::IncompleteExpired => Self::None,
            SubscriptionStatus::Trialing => Self::Trialing,
            SubscriptionStatus::Active => Self::Active,
            SubscriptionStatus::PastDue => Self::PastDue,
            SubscriptionStatus::Unpaid => Self::Unpaid,
            SubscriptionStatus::Paused => Self::Paused,
            SubscriptionStatus::Canceled => Self::Canceled,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_payment_leaves_access_for_a_week() {
        let since = DateTime::UNIX_EPOCH;
        let access = |days| {
            SubscriptionStatus::PastDue.gives_access(Some(since), since + TimeDelta::days(days))
        };
        assert!(access(0) && access(6));
        assert!(!access(7));
    }

    #[test]
    fn only_what_is_paid_or_tried_gives_access() {
        let now = DateTime::UNIX_EPOCH;
        for (status, access, live) in [
            (SubscriptionStatus::Trialing, true, true),
            (SubscriptionStatus::Active, true, true),
            (SubscriptionStatus::PastDue, true, true),
            (SubscriptionStatus::Incomplete, false, false),
            (SubscriptionStatus::IncompleteExpired, false, false),
            (SubscriptionStatus::Unpaid, false, true),
            (SubscriptionStatus::Paused, false, true),
            (SubscriptionStatus::Canceled, false, false),
        ] {
            assert_eq!(status.gives_access(None, now), access, "{status:?}");
            assert_eq!(status.is_live(), live, "{status:?}");
        }
    }
}
