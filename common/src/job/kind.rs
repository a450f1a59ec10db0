//! Kinds of jobs, as plain data: what the queue has to know of all jobs of one name. What they do is their handlers'.
//!
//! The queue never lists kinds, so a program meets jobs whose kind it does not know where a newer one runs next to it.

use std::time::Duration;

use crate::named;

/// A kind of jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JobKind {
    /// The name as stored and shown; the API and SQL call it the job's type.
    pub name: &'static str,
    pub lane: Lane,
    pub exclusive: Exclusive,
    /// Kinds whose jobs do this one's work too: none is made while such a job is pending.
    pub included_in: &'static [&'static str],
    pub retry: RetryPolicy,
    pub cancel: Cancel,
}

impl JobKind {
    /// Whether a job runs alone among those of its external account that do.
    pub fn exclusive_on_account(&self) -> bool {
        self.exclusive == Exclusive::PerAccount
    }

    /// The names of all kinds whose jobs do this one's work, its own first.
    pub fn served_by(&self) -> Vec<String> {
        let names = [self.name].into_iter().chain(self.included_in.to_vec());
        names.map(str::to_owned).collect()
    }
}

named! {
    /// The queue in which a job waits for its turn. A backfill holds its slot for as long as the other side's rate makes
    /// it last, minutes to hours; everything else is a matter of moments.
    Lane {
        /// Jobs that read a whole history.
        Backfill = "backfill",
        /// All others.
        Interactive = "interactive",
    }
}

/// What a job never runs at the same time as. Jobs of one connection always run one after the other, in order of creation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exclusive {
    /// Other jobs of its connection.
    PerConnection,
    /// Also exclusive jobs of other connections and tenants to the same external account, which has one rate limit.
    PerAccount,
}

/// Whether a person may cancel such a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cancel {
    Allowed,
    /// It applies a changed setting to stored rows: half of them would follow the old one.
    AppliesSetting,
    /// It removes a connection, whose key is gone already. It can be retried without the connection.
    Removes,
}

/// How often a failed job is tried again, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Failures in a row, without progress, after which a passing trouble is given up.
    pub transient_failures: i32,
    /// The same for what does not pass by itself.
    pub internal_failures: i32,
    /// The wait after the first failure; each further one doubles it.
    pub first_backoff: Duration,
    pub max_backoff: Duration,
}

impl RetryPolicy {
    /// Passing trouble is given up after about half an hour.
    pub const STANDARD: Self = Self {
        transient_failures: 12,
        internal_failures: 3,
        first_backoff: Duration::from_secs(2),
        max_backoff: Duration::from_mins(5),
    };

    /// Five attempts; a vendor or database that is away is none, and is waited for for three days, as long as vendors
    /// themselves try to deliver.
    pub const WEBHOOK: Self = Self {
        transient_failures: 3 * 24 * 12,
        internal_failures: 5,
        ..Self::STANDARD
    };

    /// How long to wait after a failure that followed so many in a row.
    pub fn backoff_after(&self, failures_before: i32) -> Duration {
        let doublings = failures_before.clamp(0, 16).unsigned_abs();
        self.first_backoff
            .saturating_mul(1 << doublings)
            .min(self.max_backoff)
    }
}
