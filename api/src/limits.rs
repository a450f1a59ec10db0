//! What clients may take of one API process, and the count of what stays open: CSV exports and event streams.
//!
//! An export holds a database connection for as long as its reader takes, and an event stream holds a client's
//! connection for as long as a job runs, so the number of each is bounded for the process and for each token: one token
//! leaves room for the others. Streams never take more than half of the connections, so that `/healthz`, `/readyz` and
//! `/metrics`, which share them, are answered whatever the streams do. What one token may ask a second
//! is counted by the layer in `auth.rs`, what connections may do by [`common::lifecycle::http`].
//!
//! Absent on purpose: counts that several API processes share. Each process has its own.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use common::lifecycle::http;
use uuid::Uuid;

use crate::problem::ApiError;

const CONNECTIONS: NonZeroU32 = NonZeroU32::new(512).expect("512 is not zero");
const PER_SECOND: NonZeroU32 = NonZeroU32::new(100).expect("100 is not zero");
const EXPORTS: NonZeroU32 = NonZeroU32::new(8).expect("8 is not zero");
const EXPORTS_PER_TOKEN: NonZeroU32 = NonZeroU32::new(2).expect("2 is not zero");
const STREAMS: NonZeroU32 = NonZeroU32::new(256).expect("256 is not zero");
const STREAMS_PER_TOKEN: NonZeroU32 = NonZeroU32::new(16).expect("16 is not zero");
/// Seconds after which to ask again when as many are open as may be.
const BUSY_SECS: u64 = 10;

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
    /// Event streams that are open at once; half of the connections at most.
    pub streams: NonZeroU32,
    /// Those of one token.
    pub streams_per_token: NonZeroU32,
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
            streams: STREAMS,
            streams_per_token: STREAMS_PER_TOKEN,
            body: Duration::from_secs(30),
            stall: http::Limits::new(CONNECTIONS).stall,
        }
    }
}

/// What stays open for a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A CSV export.
    Export,
    /// The events of a job.
    Stream,
}

impl Kind {
    fn plural(self) -> &'static str {
        match self {
            Self::Export => "exports",
            Self::Stream => "event streams",
        }
    }
}

/// The exports, or the event streams, that are open, by token.
#[derive(Debug)]
pub(crate) struct OpenCount {
    kind: Kind,
    process: NonZeroU32,
    per_token: NonZeroU32,
    open: Mutex<HashMap<Uuid, u32>>,
}

/// Why no further one may begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Full {
    /// The process has as many as it may.
    Process,
    /// The token has.
    Token,
}

impl OpenCount {
    pub(crate) fn exports(limits: Limits) -> Self {
        Self::new(Kind::Export, limits.exports, limits.exports_per_token)
    }

    pub(crate) fn streams(limits: Limits) -> Self {
        let half = NonZeroU32::new(limits.connections.get() / 2).unwrap_or(NonZeroU32::MIN);
        let process = limits.streams.min(half);
        Self::new(Kind::Stream, process, limits.streams_per_token)
    }

    fn new(kind: Kind, process: NonZeroU32, per_token: NonZeroU32) -> Self {
        Self {
            kind,
            process,
            per_token,
            open: Mutex::default(),
        }
    }

    /// Counts one more of a token until what is returned is dropped.
    ///
    /// # Errors
    /// [`ApiError::TooManyOpen`] when as many are open as may be.
    pub(crate) fn begin(self: &Arc<Self>, token: Uuid) -> Result<Counted, ApiError> {
        self.count(token).map_err(|full| self.refused(full))
    }

    fn count(self: &Arc<Self>, token: Uuid) -> Result<Counted, Full> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.get(&token).copied().unwrap_or(0) >= self.per_token.get() {
            return Err(Full::Token);
        }
        if open.values().sum::<u32>() >= self.process.get() {
            return Err(Full::Process);
        }
        *open.entry(token).or_default() += 1;
        Ok(Counted {
            of: Arc::clone(self),
            token,
        })
    }

    fn refused(&self, full: Full) -> ApiError {
        let what = self.kind.plural();
        let (limit, detail) = match full {
            Full::Token => {
                let count = self.per_token;
                let detail = format!(
                    "This token already has {count} {what} open, the most it may have at once. Try again when one \
                     has ended."
                );
                ("token", detail)
            }
            Full::Process => {
                let count = self.process;
                let detail = format!(
                    "This server already has {count} {what} open, the most it allows at once. Try again in \
                     {BUSY_SECS} s."
                );
                ("process", detail)
            }
        };
        let (counter, title) = match self.kind {
            Kind::Export => ("api_exports_refused_total", "Too many exports"),
            Kind::Stream => ("api_streams_refused_total", "Too many event streams"),
        };
        metrics::counter!(counter, "limit" => limit).increment(1);
        ApiError::TooManyOpen {
            title,
            detail,
            retry_after_secs: BUSY_SECS,
        }
    }
}

/// One that counts against the limits.
#[derive(Debug)]
pub(crate) struct Counted {
    of: Arc<OpenCount>,
    token: Uuid,
}

impl Drop for Counted {
    fn drop(&mut self) {
        let open = self.of.open.lock();
        let mut open = open.unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(&self.token) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.token);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(process: u32, per_token: u32) -> Limits {
        let [process, per_token] = [process, per_token].map(|n| NonZeroU32::new(n).unwrap());
        Limits {
            exports: process,
            exports_per_token: per_token,
            streams: process,
            streams_per_token: per_token,
            ..Limits::default()
        }
    }

    #[test]
    fn exports_are_limited_per_token_and_per_process() {
        let exports = Arc::new(OpenCount::exports(limits(3, 2)));
        let [one, other, third] = [1, 2, 3].map(Uuid::from_u128);
        let first = exports.count(one).unwrap();
        let _second = exports.count(one).unwrap();
        assert_eq!(exports.count(one).unwrap_err(), Full::Token);
        let _of_other = exports.count(other).unwrap();
        assert_eq!(exports.count(third).unwrap_err(), Full::Process);
        drop(first);
        drop(exports.count(third).unwrap());
        assert_eq!(exports.open.lock().unwrap().len(), 2);
    }

    #[test]
    fn streams_leave_half_of_the_connections_to_other_calls() {
        let streams = |connections| {
            let limits = Limits {
                connections: NonZeroU32::new(connections).unwrap(),
                ..limits(300, 300)
            };
            OpenCount::streams(limits).process.get()
        };
        assert_eq!([512, 1000, 1].map(streams), [256, 300, 1]);
    }
}
