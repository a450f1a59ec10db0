//! The simulator's clock: real time, or running from a chosen instant, or standing still, and
//! moved forward by hand in every case.
//!
//! Nothing here can fail. Deliberately absent: going backwards.

use std::sync::atomic::{AtomicI64, Ordering};

use chrono::{DateTime, Utc};
use tokio::time::Instant;

/// Where the simulator's time comes from.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum TimeSource {
    #[default]
    System,
    /// Starts at this Unix time, in seconds, and runs on.
    RunningFrom(i64),
    /// Stands at this Unix time, in seconds, until it is advanced.
    Frozen(i64),
}

#[derive(Debug)]
pub(crate) struct Clock {
    origin: i64,
    started: Option<Instant>,
    advanced: AtomicI64,
}

impl Clock {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place that reads the clock"
    )]
    pub(crate) fn new(source: TimeSource) -> Self {
        let (origin, started) = match source {
            TimeSource::System => (chrono::Utc::now().timestamp(), Some(Instant::now())),
            TimeSource::RunningFrom(origin) => (origin, Some(Instant::now())),
            TimeSource::Frozen(origin) => (origin, None),
        };
        Self {
            origin,
            started,
            advanced: AtomicI64::new(0),
        }
    }

    /// The system's time, by which delays are measured across processes whatever the simulator's
    /// time is.
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place that reads the clock"
    )]
    pub(crate) fn of_the_system() -> DateTime<Utc> {
        Utc::now()
    }

    /// Unix seconds.
    pub(crate) fn now(&self) -> i64 {
        let elapsed = self
            .started
            .map_or(0, |started| started.elapsed().as_secs() as i64);
        self.origin + elapsed + self.advanced.load(Ordering::Relaxed)
    }

    /// The instant at which the simulator began, in Unix seconds.
    pub(crate) const fn origin(&self) -> i64 {
        self.origin
    }

    /// Moves time forward by `seconds`; a negative number is taken as 0.
    pub(crate) fn advance(&self, seconds: i64) {
        self.advanced.fetch_add(seconds.max(0), Ordering::Relaxed);
    }
}
