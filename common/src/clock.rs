//! The one place where the time of day and randomness enter, so that tests can choose both.
//!
//! Nothing here fails. Monotonic time for timeouts is tokio's and not part of this: it decides how
//! long to wait, never what is stored.

use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};
use uuid::{ContextV7, Timestamp, Uuid};

/// Tells the time of day in UTC.
pub trait Clock: Send + Sync + std::fmt::Debug {
    /// The present instant, to the microsecond, which is what PostgreSQL keeps.
    fn now(&self) -> DateTime<Utc>;
}

/// A clock that many owners read.
pub type SharedClock = Arc<dyn Clock>;

#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that reads the machine's clock"
    )]
    fn now(&self) -> DateTime<Utc> {
        let now = Utc::now();
        DateTime::from_timestamp_micros(now.timestamp_micros()).unwrap_or(now)
    }
}

/// A clock that stands still until it is moved.
#[derive(Debug, Clone)]
pub struct TestClock(Arc<Mutex<DateTime<Utc>>>);

impl TestClock {
    /// A clock that shows `now`.
    pub fn at(now: DateTime<Utc>) -> Self {
        Self(Arc::new(Mutex::new(now)))
    }

    /// Moves the clock on by `by`.
    pub fn advance(&self, by: TimeDelta) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) += by;
    }
}

impl Clock for TestClock {
    fn now(&self) -> DateTime<Utc> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counts the ids of one instant, so that they sort in the order in which they were made.
static ID_ORDER: Mutex<ContextV7> = Mutex::new(ContextV7::new());

/// A new id (UUID version 7) that sorts by `now`, and within one instant after those made before it.
pub fn new_id(now: DateTime<Utc>) -> Uuid {
    let seconds = u64::try_from(now.timestamp()).unwrap_or(0);
    Uuid::new_v7(Timestamp::from_unix(
        &ID_ORDER,
        seconds,
        now.timestamp_subsec_nanos(),
    ))
}

/// Random bytes from the operating system, for keys, nonces and tokens.
///
/// # Panics
/// When the operating system has no randomness to give; going on without would be unsafe.
#[expect(
    clippy::disallowed_methods,
    reason = "the one place that draws secret randomness"
)]
pub fn random_bytes<const N: usize>() -> [u8; N] {
    rand::random()
}

/// A random number from 0 to 1, to spread what would otherwise happen at once.
pub fn random_fraction() -> f64 {
    f64::from(u32::from_be_bytes(random_bytes())) / f64::from(u32::MAX)
}
