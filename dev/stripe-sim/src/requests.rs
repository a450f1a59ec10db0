//! Counts requests by account, endpoint and status, so that a test or a benchmark can say what a
//! sync cost.
//!
//! Nothing here can fail. Deliberately absent: the requests themselves.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

/// How often one endpoint of one account answered with one status.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct RequestCount {
    /// `acct_…`; empty for requests whose key leads to no account.
    pub account: String,
    /// The template, such as `GET /v1/charges/{id}`; the path as given for unknown ones.
    pub endpoint: String,
    /// The HTTP status; 0 when the connection was reset.
    pub status: u16,
    pub count: u64,
}

/// What was asked for since the start or the last reset.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct RequestReport {
    pub total: u64,
    /// The most requests of one account that were answered at the same time.
    pub peak_in_flight: u32,
    /// The most requests that came within one second, counted from the first.
    pub peak_per_second: u64,
    /// By account, endpoint and status, in that order.
    pub counts: Vec<RequestCount>,
    /// The endpoints that were asked to change something without an idempotency key.
    #[serde(default)]
    pub keyless: BTreeSet<String>,
}

impl RequestReport {
    /// Requests to `endpoint` (a template such as `GET /v1/charges`), whatever their status.
    pub fn of(&self, endpoint: &str) -> u64 {
        self.counts
            .iter()
            .filter(|it| it.endpoint == endpoint)
            .map(|it| it.count)
            .sum()
    }

    /// Requests answered with `status`.
    pub fn with_status(&self, status: u16) -> u64 {
        self.counts
            .iter()
            .filter(|it| it.status == status)
            .map(|it| it.count)
            .sum()
    }
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    counts: BTreeMap<(String, String, u16), u64>,
    keyless: BTreeSet<String>,
    peak_in_flight: u32,
    started: Option<Instant>,
    second: u64,
    in_second: u64,
    peak_per_second: u64,
}

impl Counters {
    pub(crate) fn count(&mut self, account: &str, endpoint: &str, status: u16, in_flight: u32) {
        self.peak_in_flight = self.peak_in_flight.max(in_flight);
        let started = self.started.get_or_insert_with(Instant::now);
        let second = started.elapsed().as_secs();
        if second != self.second {
            (self.second, self.in_second) = (second, 0);
        }
        self.in_second += 1;
        self.peak_per_second = self.peak_per_second.max(self.in_second);
        *self
            .counts
            .entry((account.to_owned(), endpoint.to_owned(), status))
            .or_default() += 1;
    }

    /// A request that changes something came without an idempotency key.
    pub(crate) fn note_keyless(&mut self, endpoint: &str) {
        self.keyless.insert(endpoint.to_owned());
    }

    pub(crate) fn report(&self) -> RequestReport {
        RequestReport {
            total: self.counts.values().sum(),
            peak_in_flight: self.peak_in_flight,
            peak_per_second: self.peak_per_second,
            counts: self
                .counts
                .iter()
                .map(|((account, endpoint, status), &count)| RequestCount {
                    account: account.clone(),
                    endpoint: endpoint.clone(),
                    status: *status,
                    count,
                })
                .collect(),
            keyless: self.keyless.clone(),
        }
    }
}
