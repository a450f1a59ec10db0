//! Stripe's kinds of jobs.

use common::job::{Cancel, Exclusive, JobKind, Lane, RetryPolicy};
use common::named;

named! {
    /// What a job does: `full` reads the whole covered range; `incremental` reads what changed since the last sync;
    /// `refilter` applies the rules to stored charges; `redate` recomputes dates after a change of the time zone; `delete`
    /// removes a deleted connection's data; `webhook` applies the events received by webhook; `compare` reads what changed, and
    /// then the days that it is about again.
    JobType {
        /// Reads the whole covered range from Stripe.
        Full = "full",
        /// Reads what changed since the last job.
        Incremental = "incremental",
        /// Applies the rules to stored rows, without requests to Stripe.
        Refilter = "refilter",
        /// Recomputes the dates of stored rows after a change of time zone.
        Redate = "redate",
        /// Removes a connection and all its data.
        Delete = "delete",
        /// Applies the events received by webhook.
        Webhook = "webhook",
        /// Compares some days with Stripe, after it has read what changed since the last job.
        Compare = "compare",
    }
}

impl JobType {
    /// What the queue has to know of such jobs.
    pub const fn kind(self) -> JobKind {
        // A full job does an incremental one's work as well. Both read from Stripe, whose rate limit is the account's.
        let (lane, exclusive, included_in): (_, _, &[_]) = match self {
            // Either reads for as long as Stripe's rate makes it last.
            Self::Full | Self::Compare => (Lane::Backfill, Exclusive::PerAccount, &[]),
            Self::Incremental => (Lane::Interactive, Exclusive::PerAccount, &["full"]),
            // Always a job of its own: it sends no request where another one has applied all events.
            Self::Webhook => (Lane::Interactive, Exclusive::PerAccount, &[]),
            Self::Refilter | Self::Redate | Self::Delete => {
                (Lane::Interactive, Exclusive::PerConnection, &[])
            }
        };
        JobKind {
            name: self.as_str(),
            lane,
            exclusive,
            included_in,
            retry: match self {
                Self::Webhook => RetryPolicy::WEBHOOK,
                _ => RetryPolicy::STANDARD,
            },
            cancel: match self {
                Self::Full | Self::Incremental | Self::Webhook | Self::Compare => Cancel::Allowed,
                Self::Refilter | Self::Redate => Cancel::AppliesSetting,
                Self::Delete => Cancel::Removes,
            },
        }
    }

    /// The work that a job of this type does, as warnings name it: either type of sync makes up for a failure
    /// of the other.
    pub fn work(self) -> &'static str {
        match self {
            Self::Full | Self::Incremental | Self::Compare => "sync",
            Self::Refilter | Self::Redate | Self::Delete | Self::Webhook => self.as_str(),
        }
    }
}
