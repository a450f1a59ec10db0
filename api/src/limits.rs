//! What clients may take of one API process, and the count of CSV exports.
//!
//! An export holds a database connection for as long as its reader takes, so their number is bounded for the process
//! and for each token: a token whose readers stall keeps the others' exports running. What one token may ask a second
//! is counted by the layer in `auth.rs`, what connections may do by [`common::lifecycle::http`].
//!
//! Absent on purpose: counts that several API processes share. Each process has its own.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use common::lifecycle::http;
use uuid::Uuid;

const CONNECTIONS: NonZeroU32 = NonZeroU32::new(512).expect("512 is not zero");
const PER_SECOND: NonZeroU32 = NonZeroU32::new(100).expect("100 is not zero");
const EXPORTS: NonZeroU32 = NonZeroU32::new(8).expect("8 is not zero");
const EXPORTS_PER_TOKEN: NonZeroU32 = NonZeroU32::new(2).expect("2 is not zero");

/// How often one token may ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenRate {
    /// Requests a second.
    pub per_second: NonZeroU32,
    /// Requests at once.
    pub burst: NonZeroU32,
}

impl TokenRate {
    /// So many requests a second, and twice as many at once.
    pub fn per_second(per_second: NonZeroU32) -> Self {
        Self {
            per_second,
            burst: per_second.saturating_mul(NonZeroU32::MIN.saturating_add(1)),
        }
    }
}

/// What clients may take of one API process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Connections that are open at once.
    pub connections: NonZeroU32,
    /// How often one token may ask.
    pub token_rate: TokenRate,
    /// CSV exports that run at once.
    pub exports: NonZeroU32,
    /// Those of one token.
    pub exports_per_token: NonZeroU32,
    /// How long a request body may take to arrive whole.
    pub body: Duration,
    /// How long the reader of a CSV export may leave a part of it waiting.
    pub stall: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: CONNECTIONS,
            token_rate: TokenRate::per_second(PER_SECOND),
            exports: EXPORTS,
            exports_per_token: EXPORTS_PER_TOKEN,
            body: Duration::from_secs(30),
            stall: http::Limits::new(CONNECTIONS).stall,
        }
    }
}

/// The CSV exports that run, by token.
#[derive(Debug)]
pub(crate) struct Exports {
    limits: Limits,
    running: Mutex<HashMap<Uuid, u32>>,
}

/// Why no further export may begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ExportLimit {
    /// The process has as many as it may.
    Process(NonZeroU32),
    /// The token has.
    Token(NonZeroU32),
}

impl Exports {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            running: Mutex::default(),
        }
    }

    /// Begins an export of a token; it runs until what is returned is dropped.
    pub(crate) fn begin(self: &Arc<Self>, token: Uuid) -> Result<RunningExport, ExportLimit> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let Limits {
            exports,
            exports_per_token,
            ..
        } = self.limits;
        if running.get(&token).copied().unwrap_or(0) >= exports_per_token.get() {
            return Err(ExportLimit::Token(exports_per_token));
        }
        if running.values().sum::<u32>() >= exports.get() {
            return Err(ExportLimit::Process(exports));
        }
        *running.entry(token).or_default() += 1;
        Ok(RunningExport {
            exports: Arc::clone(self),
            token,
        })
    }
}

/// An export that counts against the limits.
#[derive(Debug)]
pub(crate) struct RunningExport {
    exports: Arc<Exports>,
    token: Uuid,
}

impl Drop for RunningExport {
    fn drop(&mut self) {
        let running = self.exports.running.lock();
        let mut running = running.unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = running.get_mut(&self.token) {
            *count -= 1;
            if *count == 0 {
                running.remove(&self.token);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exports_are_limited_for_each_token_and_in_all_and_leave_nothing_behind() {
        let two = NonZeroU32::new(2).unwrap();
        let exports = Arc::new(Exports::new(Limits {
            exports: NonZeroU32::new(3).unwrap(),
            exports_per_token: two,
            ..Limits::default()
        }));
        let [one, other, third] = [1, 2, 3].map(Uuid::from_u128);
        let first = exports.begin(one).unwrap();
        let _second = exports.begin(one).unwrap();
        assert_eq!(exports.begin(one).unwrap_err(), ExportLimit::Token(two));
        let _of_other = exports.begin(other).unwrap();
        assert!(matches!(exports.begin(third), Err(ExportLimit::Process(_))));
        drop(first);
        drop(exports.begin(third).unwrap());
        assert_eq!(exports.running.lock().unwrap().len(), 2);
    }
}
