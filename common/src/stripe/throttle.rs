//! The request budget of one Stripe account: all endpoints a second, one endpoint a second, and
//! requests in flight.
//!
//! One process spends it, since a Stripe account has one running job at a time (a unique index holds
//! that), so nothing needs to be shared between processes. A 429 names the budget to lower: × 0.8, and
//! back by a tenth of the limit every 30 seconds. The customer's own checkout draws on the same limits,
//! hence `rate_share`.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::LimitReason;

const LOWERED: f64 = 0.8;
const LEAST_FACTOR: f64 = 0.05;
const RECOVERY_STEP: f64 = 0.1;
const RECOVERY_EVERY: Duration = Duration::from_secs(30);
const LEAST_IN_FLIGHT: usize = 1;

/// How hard one account may be asked.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    /// Requests a second over all endpoints.
    pub global_per_second: f64,
    /// Requests a second at one endpoint.
    pub endpoint_per_second: f64,
    /// Requests in flight.
    pub in_flight: usize,
}

struct Budget {
    per_second: f64,
    factor: f64,
    limiter: Arc<DefaultDirectRateLimiter>,
    changed_at: Instant,
}

impl Budget {
    fn new(per_second: f64) -> Self {
        Self {
            per_second,
            factor: 1.0,
            limiter: limiter(per_second),
            changed_at: Instant::now(),
        }
    }

    /// The limiter to wait at, after whatever recovery is due.
    fn current(&mut self) -> Arc<DefaultDirectRateLimiter> {
        let steps = self.changed_at.elapsed().as_secs() / RECOVERY_EVERY.as_secs();
        if self.factor < 1.0 && steps > 0 {
            self.set((self.factor + RECOVERY_STEP * steps as f64).min(1.0));
        }
        self.limiter.clone()
    }

    fn lower(&mut self) {
        self.set((self.factor * LOWERED).max(LEAST_FACTOR));
    }

    fn set(&mut self, factor: f64) {
        self.factor = factor;
        self.changed_at = Instant::now();
        self.limiter = limiter(self.per_second * factor);
    }
}

/// A limiter that lets a tenth of a second's worth through at once, so that evenly spaced requests reach
/// the full rate without a burst that trips Stripe's own bucket.
fn limiter(per_second: f64) -> Arc<DefaultDirectRateLimiter> {
    let rate = per_second.max(0.01);
    let burst = NonZeroU32::new((rate / 10.0).ceil() as u32).unwrap_or(NonZeroU32::MIN);
    let quota = Quota::with_period(Duration::from_secs_f64(1.0 / rate))
        .unwrap_or_else(|| Quota::per_second(NonZeroU32::MIN))
        .allow_burst(burst);
    Arc::new(RateLimiter::direct(quota))
}

struct State {
    global: Budget,
    endpoints: HashMap<String, Budget>,
    /// Permits kept back after a concurrency 429, given back one by one.
    withheld: Vec<OwnedSemaphorePermit>,
    withheld_at: Instant,
}

/// The budget of one account. Cheap to share.
pub struct Throttle {
    limits: Limits,
    in_flight: Arc<Semaphore>,
    state: Mutex<State>,
}

impl std::fmt::Debug for Throttle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Throttle")
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

impl Throttle {
    /// A full budget.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            in_flight: Arc::new(Semaphore::new(limits.in_flight.max(LEAST_IN_FLIGHT))),
            state: Mutex::new(State {
                global: Budget::new(limits.global_per_second),
                endpoints: HashMap::new(),
                withheld: Vec::new(),
                withheld_at: Instant::now(),
            }),
        }
    }

    /// Requests a second that one endpoint may get, when nothing has lowered it.
    pub(super) fn endpoint_rate(&self) -> f64 {
        self.limits
            .endpoint_per_second
            .min(self.limits.global_per_second)
    }

    /// Requests that may be in flight.
    pub(super) fn in_flight_at_most(&self) -> usize {
        self.limits.in_flight.max(LEAST_IN_FLIGHT)
    }

    /// Waits until a request to `endpoint` (a path without ids) may go. The permit is held while the
    /// request is in flight.
    pub async fn acquire(&self, endpoint: &str) -> Option<OwnedSemaphorePermit> {
        let (endpoint_limiter, global_limiter) = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            if !state.withheld.is_empty() && state.withheld_at.elapsed() >= RECOVERY_EVERY {
                state.withheld.pop();
                state.withheld_at = Instant::now();
            }
            let endpoint_rate = self.limits.endpoint_per_second;
            let endpoint = state
                .endpoints
                .entry(endpoint.to_owned())
                .or_insert_with(|| Budget::new(endpoint_rate))
                .current();
            (endpoint, state.global.current())
        };
        endpoint_limiter.until_ready().await;
        global_limiter.until_ready().await;
        // Last, so that what waits for one endpoint's rate keeps no permit from the others. The semaphore is
        // never closed, so there is always a permit in the end.
        self.in_flight.clone().acquire_owned().await.ok()
    }

    /// Lowers the budget that a 429 named. One without a reason is no limiter's and lowers nothing.
    pub fn limited(&self, endpoint: &str, reason: &LimitReason) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match reason {
            LimitReason::GlobalRate => state.global.lower(),
            LimitReason::EndpointRate | LimitReason::Other(_) => {
                if let Some(budget) = state.endpoints.get_mut(endpoint) {
                    budget.lower();
                }
            }
            LimitReason::GlobalConcurrency | LimitReason::EndpointConcurrency => {
                let usable = self.limits.in_flight.saturating_sub(state.withheld.len());
                let keep = ((usable as f64) * (1.0 - LOWERED)).ceil() as usize;
                for _ in 0..keep.min(usable.saturating_sub(LEAST_IN_FLIGHT)) {
                    state
                        .withheld
                        .extend(self.in_flight.clone().try_acquire_owned());
                }
                state.withheld_at = Instant::now();
            }
            LimitReason::None => {}
        }
    }

    /// The share of the global and of an endpoint's rate that is in use now.
    #[cfg(test)]
    fn factors(&self, endpoint: &str) -> (f64, f64) {
        let state = self.state.lock().unwrap();
        (
            state.global.factor,
            state
                .endpoints
                .get(endpoint)
                .map_or(1.0, |budget| budget.factor),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> Limits {
        Limits {
            global_per_second: 100.0,
            endpoint_per_second: 25.0,
            in_flight: 4,
        }
    }

    #[tokio::test]
    async fn a_429_lowers_the_budget_it_names_and_no_other() {
        let throttle = Throttle::new(limits());
        drop(throttle.acquire("/v1/charges").await);
        throttle.limited("/v1/charges", &LimitReason::EndpointRate);
        assert_eq!(throttle.factors("/v1/charges"), (1.0, 0.8));
        throttle.limited("/v1/charges", &LimitReason::GlobalRate);
        assert_eq!(throttle.factors("/v1/charges"), (0.8, 0.8));
        throttle.limited("/v1/charges", &LimitReason::None);
        assert_eq!(throttle.factors("/v1/charges"), (0.8, 0.8));
        assert_eq!(throttle.factors("/v1/events"), (0.8, 1.0));
    }

    #[tokio::test]
    async fn a_lowered_budget_recovers_by_a_tenth_every_half_minute() {
        let throttle = Throttle::new(limits());
        drop(throttle.acquire("/v1/charges").await);
        for _ in 0..3 {
            throttle.limited("/v1/charges", &LimitReason::EndpointRate);
        }
        {
            let mut state = throttle.state.lock().unwrap();
            let budget = state.endpoints.get_mut("/v1/charges").unwrap();
            budget.changed_at = budget.changed_at.checked_sub(RECOVERY_EVERY * 2).unwrap();
            budget.current();
        }
        let (_, factor) = throttle.factors("/v1/charges");
        assert!((factor - (0.8_f64.powi(3) + 0.2)).abs() < 1e-9, "{factor}");
    }

    #[tokio::test]
    async fn a_concurrency_429_never_stops_everything() {
        let throttle = Throttle::new(limits());
        for _ in 0..20 {
            throttle.limited("/v1/charges", &LimitReason::GlobalConcurrency);
        }
        assert_eq!(throttle.in_flight.available_permits(), LEAST_IN_FLIGHT);
    }
}
