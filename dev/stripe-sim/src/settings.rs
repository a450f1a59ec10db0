//! What can be set for an account, at the start and while it runs.
//!
//! Values are taken as they are: a rate of 0 is no limit, a percentage over 100 is always. Nothing
//! here can fail. Deliberately absent: what decides the generated objects, which cannot change.

use serde::{Deserialize, Serialize};

/// How an account answers. A `POST /_sim/config` changes the fields that it names.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Milliseconds before an answer.
    pub latency_ms: u64,
    /// Up to so many milliseconds more, drawn for each request.
    pub latency_jitter_ms: u64,
    /// Requests a second over all endpoints; 0 is no limit.
    pub rate_global: u32,
    /// Requests a second for each endpoint; 0 is no limit.
    pub rate_endpoint: u32,
    /// Other limits for single endpoints, by template such as `GET /v1/charges`.
    pub rate_of_endpoint: std::collections::BTreeMap<String, u32>,
    /// Whether a restricted key is refused what it expands without being allowed to read it;
    /// otherwise a key that may read an object may expand whatever hangs on it.
    pub strict_expand: bool,
    /// Requests answered at the same time; 0 is no limit.
    pub concurrency: u32,
    /// Seconds after `created` at which an object appears in lists.
    pub visibility_lag_seconds: i64,
    /// Seconds after `created` at which an event appears in lists.
    pub event_lag_seconds: i64,
    /// Of 100 requests, how many fail with a 500.
    pub fault_500_percent: f64,
    /// Of 100 requests, how many are refused as over the rate.
    pub fault_429_percent: f64,
    /// Of 100 requests, how many have their connection reset.
    pub fault_reset_percent: f64,
    /// Of 100 requests, how many get half of their answer.
    pub fault_truncate_percent: f64,
    /// Of 100 requests that write, how many are executed and have their connection reset.
    pub fault_lost_percent: f64,
    /// Of 100 requests that write, how many are executed and fail with a 500, which their key keeps.
    pub fault_failed_after_percent: f64,
    /// Of 100 requests that write, how many are not executed and fail with a 500, which their key keeps.
    pub fault_failed_before_percent: f64,
    /// Of 100 events, how many are made twice, under two ids.
    pub event_duplicate_percent: f64,
    /// Of 100 events, how many are never made.
    pub event_lost_percent: f64,
    /// Seconds by which an event's `created` may be later than the change, drawn for each.
    pub event_disorder_seconds: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self::unlimited()
    }
}

impl Settings {
    /// No limits, no latency, no faults.
    pub fn unlimited() -> Self {
        Self {
            latency_ms: 0,
            latency_jitter_ms: 0,
            rate_global: 0,
            rate_endpoint: 0,
            rate_of_endpoint: std::collections::BTreeMap::new(),
            strict_expand: false,
            concurrency: 0,
            visibility_lag_seconds: 0,
            event_lag_seconds: 0,
            fault_500_percent: 0.0,
            fault_429_percent: 0.0,
            fault_reset_percent: 0.0,
            fault_truncate_percent: 0.0,
            fault_lost_percent: 0.0,
            fault_failed_after_percent: 0.0,
            fault_failed_before_percent: 0.0,
            event_duplicate_percent: 0.0,
            event_lost_percent: 0.0,
            event_disorder_seconds: 0,
        }
    }

    /// Stripe's documented limits: 100 requests a second in live mode and 25 otherwise, and 25 for
    /// each endpoint.
    pub fn stripe(livemode: bool) -> Self {
        Self {
            rate_global: if livemode { 100 } else { 25 },
            rate_endpoint: 25,
            ..Self::unlimited()
        }
    }
}
