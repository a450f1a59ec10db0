//! Saying once that something does not work, rarely that it still does not, and once that it works again.
//!
//! Whoever tries again every few seconds would otherwise fill the log with one line a try. Each failure is
//! still logged, at `debug`. Absent on purpose: any decision about what to do meanwhile.

use std::error::Error;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tracing::{debug, info, warn};

use crate::error_chain::ErrorChain;

/// How often it is said again that something still does not work.
const REMIND_EVERY: Duration = Duration::from_mins(10);

/// What is known of something that may fail for a while.
#[derive(Debug)]
pub struct Outage {
    what: &'static str,
    since: Mutex<Option<Since>>,
}

#[derive(Debug, Clone, Copy)]
struct Since {
    began: Instant,
    said: Instant,
}

impl Outage {
    /// Of something that works so far; `what` begins each line about it, "claiming jobs" for one.
    pub const fn new(what: &'static str) -> Self {
        Self {
            what,
            since: Mutex::new(None),
        }
    }

    pub fn failed(&self, cause: &(dyn Error + 'static)) {
        let (what, error, now) = (self.what, ErrorChain(cause), Instant::now());
        let mut since = self.since.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *since {
            None => {
                *since = Some(Since {
                    began: now,
                    said: now,
                });
                warn!(%error, "{what}: failed; trying again until it works");
            }
            Some(since) if now - since.said >= REMIND_EVERY => {
                since.said = now;
                let for_secs = (now - since.began).as_secs();
                warn!(%error, for_secs, "{what}: still failing");
            }
            Some(_) => debug!(%error, "{what}: failed"),
        }
    }

    pub fn worked(&self) {
        let mut since = self.since.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(since) = since.take() {
            let after_secs = since.began.elapsed().as_secs();
            info!(after_secs, "{}: works again", self.what);
        }
    }
}
