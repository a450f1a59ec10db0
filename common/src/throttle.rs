//! The request budget of one account at a vendor: all endpoints a second, one endpoint a second, and
//! requests in flight.
//!
//! One process spends it, since an account has one running job at a time (a unique index holds
//! that), so nothing needs to be shared between processes. A 429 names the budget to lower: × 0.8, and
//! back by a tenth of the limit every 30 seconds. The customer's own checkout draws on the same limits,
//! hence the share of them that may be used (`rate_share`). It may change at any time: requests that wait
//! then wait by the new rate.
//!
//! Whoever runs a job wants to know when its budget is so small that it mostly waits: [`Throttle::slow`]. Then the job
//! may go on without a slot of its process, at that pace and no faster: [`Throttle::set_without_slot`].

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::Instant;

const BACKOFF_FACTOR: f64 = 0.8;
const MIN_FACTOR: f64 = 0.05;
const RECOVERY_STEP: f64 = 0.1;
const RECOVERY_INTERVAL: Duration = Duration::from_secs(30);
const MIN_IN_FLIGHT: usize = 1;
/// Below this many requests a second a budget is slow: an answer takes a few tenths of a second, so
/// whoever waits longer than a second for the next request is idle most of the time.
const SLOW_BELOW: f64 = 1.0;
/// From this many on it is no longer slow. Apart from [`SLOW_BELOW`], so that a budget that recovers step by
/// step does not change sides with each of them.
const FAST_FROM: f64 = 2.0;

/// Which budget a vendor says was overspent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LimitReason {
    /// All endpoints together.
    GlobalRate,
    /// Requests in flight over all endpoints.
    GlobalConcurrency,
    /// One endpoint.
    EndpointRate,
    /// Requests in flight at one endpoint.
    EndpointConcurrency,
    /// A rule of one resource, or one that is not known here.
    Other(String),
    /// No limiter: a lock timeout for one.
    None,
}

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
    /// When nothing has lowered it.
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

    /// The factor after whatever recovery is due.
    fn recovered(&self) -> f64 {
        let steps = self.changed_at.elapsed().as_secs() / RECOVERY_INTERVAL.as_secs();
        (self.factor + RECOVERY_STEP * steps as f64).min(1.0)
    }

    /// Requests a second at present.
    fn rate(&self) -> f64 {
        self.per_second * self.recovered()
    }

    /// The limiter to wait at, after whatever recovery is due.
    fn current(&mut self) -> Arc<DefaultDirectRateLimiter> {
        let recovered = self.recovered();
        if recovered > self.factor {
            self.set(recovered);
        }
        self.limiter.clone()
    }

    fn set_per_second(&mut self, per_second: f64) {
        self.per_second = per_second;
        self.limiter = limiter(per_second * self.factor);
    }

    fn lower(&mut self) {
        self.set((self.factor * BACKOFF_FACTOR).max(MIN_FACTOR));
    }

    fn set(&mut self, factor: f64) {
        self.factor = factor;
        self.changed_at = Instant::now();
        self.limiter = limiter(self.per_second * factor);
    }
}

/// A limiter that lets a tenth of a second's worth through at once, so that evenly spaced requests reach
/// the full rate without a burst that trips the vendor's own bucket.
fn limiter(per_second: f64) -> Arc<DefaultDirectRateLimiter> {
    let rate = per_second.max(0.01);
    let burst = NonZeroU32::new((rate / 10.0).ceil() as u32).unwrap_or(NonZeroU32::MIN);
    let quota = Quota::with_period(Duration::from_secs_f64(1.0 / rate))
        .unwrap_or_else(|| Quota::per_second(NonZeroU32::MIN))
        .allow_burst(burst);
    Arc::new(RateLimiter::direct(quota))
}

struct State {
    share: f64,
    /// Requests that wait long for another reason than a limiter.
    long_waits: usize,
    /// Whoever spends the budget holds no slot.
    without_slot: bool,
    /// Nothing more is asked.
    is_spent: bool,
    global: Budget,
    endpoints: HashMap<String, Budget>,
    /// Permits kept back after a concurrency 429, given back one by one.
    withheld: Vec<OwnedSemaphorePermit>,
    withheld_at: Instant,
}

impl State {
    /// Requests a second where the fewest are allowed.
    fn min_rate(&self) -> f64 {
        let endpoints = self.endpoints.values().map(Budget::rate);
        endpoints.fold(self.global.rate(), f64::min)
    }
}

/// The budget of one account. Cheap to share.
pub struct Throttle {
    limits: Limits,
    in_flight: Arc<Semaphore>,
    state: Mutex<State>,
    /// Counts the changes of the share, for those who wait at a limiter of before.
    changes: watch::Sender<u64>,
    slow: watch::Sender<bool>,
    may_go_on: watch::Sender<bool>,
}

impl std::fmt::Debug for Throttle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Throttle")
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

impl Throttle {
    /// A full budget of an account with these limits, of which `share` (above 0, to 1) may be used.
    pub fn new(limits: Limits, share: f64) -> Self {
        let throttle = Self {
            limits,
            in_flight: Arc::new(Semaphore::new(limits.in_flight.max(MIN_IN_FLIGHT))),
            state: Mutex::new(State {
                share,
                long_waits: 0,
                without_slot: false,
                is_spent: false,
                global: Budget::new(limits.global_per_second * share),
                endpoints: HashMap::new(),
                withheld: Vec::new(),
                withheld_at: Instant::now(),
            }),
            changes: watch::Sender::new(0),
            slow: watch::Sender::new(false),
            may_go_on: watch::Sender::new(true),
        };
        throttle.publish_slowness(&throttle.state());
        throttle
    }

    /// Changes the share of the limits that may be used; what 429s have lowered stays lowered.
    pub fn set_share(&self, share: f64) {
        let mut state = self.state();
        #[expect(clippy::float_cmp, reason = "the same stored number, or another one")]
        if state.share == share {
            return;
        }
        state.share = share;
        state
            .global
            .set_per_second(self.limits.global_per_second * share);
        let endpoint_rate = self.limits.endpoint_per_second * share;
        for budget in state.endpoints.values_mut() {
            budget.set_per_second(endpoint_rate);
        }
        self.publish_slowness(&state);
        drop(state);
        self.changes.send_modify(|changes| *changes += 1);
    }

    /// Counts as slow until the answer is dropped: a request waits because the vendor asks it to, or because it
    /// does not work.
    pub fn begin_long_wait(&self) -> LongWait<'_> {
        let mut state = self.state();
        state.long_waits += 1;
        self.publish_slowness(&state);
        LongWait(self)
    }

    /// Whether the budget is less than a request a second, or there is a long wait, so that whoever spends it
    /// mostly waits.
    pub fn slow(&self) -> watch::Receiver<bool> {
        self.slow.subscribe()
    }

    /// Whether whoever spends the budget has given its slot up. Without one, a request goes only while the rate is
    /// slow, and while none waits long: else all whose wait ends at the same time would work at once.
    pub fn set_without_slot(&self, without_slot: bool) {
        let mut state = self.state();
        state.without_slot = without_slot;
        self.publish_slowness(&state);
    }

    /// Nothing more is asked, so that from now on no wait makes the budget slow.
    pub fn set_spent(&self) {
        let mut state = self.state();
        state.is_spent = true;
        self.publish_slowness(&state);
    }

    /// Waits until whoever spends the budget holds a slot, or needs none.
    pub async fn may_go_on(&self) {
        // The sender lives as long as `self`.
        let _ = self.may_go_on.subscribe().wait_for(|may| *may).await;
    }

    fn publish_slowness(&self, state: &State) {
        let endpoint_rate = self.limits.endpoint_per_second * state.share;
        let rate = state.min_rate().min(endpoint_rate);
        let slow = *self.slow.borrow();
        let bound = if slow { FAST_FROM } else { SLOW_BELOW };
        let rate_is_slow = rate < bound && !state.is_spent;
        let waits_long = state.long_waits > 0 && !state.is_spent;
        let set = |value: bool| {
            move |present: &mut bool| {
                let differs = *present != value;
                *present = value;
                differs
            }
        };
        // The pace is read once this has changed, and by then both must be right.
        let may_go_on = !state.without_slot || (rate_is_slow && !waits_long);
        self.may_go_on.send_if_modified(set(may_go_on));
        self.slow.send_if_modified(set(rate_is_slow || waits_long));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Requests a second that one endpoint may get, when nothing has lowered it.
    pub fn endpoint_rate(&self) -> f64 {
        let limits = self.limits;
        limits.endpoint_per_second.min(limits.global_per_second) * self.state().share
    }

    /// Requests that may be in flight.
    pub fn max_in_flight(&self) -> usize {
        self.limits.in_flight.max(MIN_IN_FLIGHT)
    }

    /// Waits until a request to `endpoint` (a path without ids) may go. The permit is held while the
    /// request is in flight.
    pub async fn acquire(&self, endpoint: &str) -> Option<OwnedSemaphorePermit> {
        loop {
            // Before the limiters are taken, so that no change between the two goes unnoticed.
            let mut changes = self.changes.subscribe();
            let (endpoint_limiter, global_limiter) = self.limiters(endpoint);
            let ready = async {
                endpoint_limiter.until_ready().await;
                global_limiter.until_ready().await;
            };
            tokio::select! {
                () = ready => break,
                // What was waited for is no longer the rate; an error would mean that this value is gone.
                _ = changes.changed() => {}
            }
        }
        // Last, so that what waits for one endpoint's rate keeps no permit from the others. The semaphore is
        // never closed, so there is always a permit in the end.
        let permit = self.in_flight.clone().acquire_owned().await.ok();
        self.may_go_on().await;
        permit
    }

    fn limiters(
        &self,
        endpoint: &str,
    ) -> (Arc<DefaultDirectRateLimiter>, Arc<DefaultDirectRateLimiter>) {
        let mut state = self.state();
        if !state.withheld.is_empty() && state.withheld_at.elapsed() >= RECOVERY_INTERVAL {
            state.withheld.pop();
            state.withheld_at = Instant::now();
        }
        let endpoint_rate = self.limits.endpoint_per_second * state.share;
        let endpoint = state
            .endpoints
            .entry(endpoint.to_owned())
            .or_insert_with(|| Budget::new(endpoint_rate))
            .current();
        let global = state.global.current();
        self.publish_slowness(&state);
        (endpoint, global)
    }

    /// Lowers the budget that a 429 named. One without a reason is no limiter's and lowers nothing.
    pub fn limited(&self, endpoint: &str, reason: &LimitReason) {
        let mut state = self.state();
        match reason {
            LimitReason::GlobalRate => state.global.lower(),
            LimitReason::EndpointRate | LimitReason::Other(_) => {
                if let Some(budget) = state.endpoints.get_mut(endpoint) {
                    budget.lower();
                }
            }
            LimitReason::GlobalConcurrency | LimitReason::EndpointConcurrency => {
                let usable = self.limits.in_flight.saturating_sub(state.withheld.len());
                let keep = ((usable as f64) * (1.0 - BACKOFF_FACTOR)).ceil() as usize;
                for _ in 0..keep.min(usable.saturating_sub(MIN_IN_FLIGHT)) {
                    state
                        .withheld
                        .extend(self.in_flight.clone().try_acquire_owned());
                }
                state.withheld_at = Instant::now();
            }
            LimitReason::None => {}
        }
        self.publish_slowness(&state);
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

/// A long wait of a request.
#[derive(Debug)]
pub struct LongWait<'a>(&'a Throttle);

impl Drop for LongWait<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.long_waits = state.long_waits.saturating_sub(1);
        self.0.publish_slowness(&state);
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
        let throttle = Throttle::new(limits(), 1.0);
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
        let throttle = Throttle::new(limits(), 1.0);
        drop(throttle.acquire("/v1/charges").await);
        for _ in 0..3 {
            throttle.limited("/v1/charges", &LimitReason::EndpointRate);
        }
        {
            let mut state = throttle.state.lock().unwrap();
            let budget = state.endpoints.get_mut("/v1/charges").unwrap();
            budget.changed_at = budget
                .changed_at
                .checked_sub(RECOVERY_INTERVAL * 2)
                .unwrap();
            budget.current();
        }
        let (_, factor) = throttle.factors("/v1/charges");
        assert!((factor - (0.8_f64.powi(3) + 0.2)).abs() < 1e-9, "{factor}");
    }

    #[tokio::test]
    async fn a_concurrency_429_never_stops_everything() {
        let throttle = Throttle::new(limits(), 1.0);
        for _ in 0..20 {
            throttle.limited("/v1/charges", &LimitReason::GlobalConcurrency);
        }
        assert_eq!(throttle.in_flight.available_permits(), MIN_IN_FLIGHT);
    }

    #[tokio::test]
    async fn a_request_that_waits_goes_by_the_share_that_is_set_meanwhile() {
        let throttle = Arc::new(Throttle::new(limits(), 0.0001));
        drop(throttle.acquire("/v1/charges").await);
        let waiting = tokio::spawn({
            let throttle = Arc::clone(&throttle);
            async move { drop(throttle.acquire("/v1/charges").await) }
        });
        tokio::task::yield_now().await;
        throttle.set_share(1.0);
        let ended = tokio::time::timeout(Duration::from_secs(10), waiting).await;
        ended.expect("not after 100 s and more").unwrap();
    }

    #[tokio::test]
    async fn a_budget_of_less_than_a_request_a_second_is_slow() {
        let slow = |share: f64| *Throttle::new(limits(), share).slow().borrow();
        assert!(slow(0.01), "a request in four seconds");
        assert!(!slow(0.04));
        let throttle = Throttle::new(limits(), 0.05);
        drop(throttle.acquire("/v1/charges").await);
        assert!(!*throttle.slow().borrow());
        for _ in 0..5 {
            throttle.limited("/v1/charges", &LimitReason::EndpointRate);
        }
        assert!(*throttle.slow().borrow(), "lowered by 429s");
        let waits = throttle.begin_long_wait();
        throttle.set_share(1.0);
        assert!(*throttle.slow().borrow(), "the vendor asks to wait");
        drop(waits);
        assert!(!*throttle.slow().borrow());
        throttle.set_share(1.0);
        assert!(!*throttle.slow().borrow());
    }

    #[tokio::test]
    async fn without_a_slot_nothing_goes_but_at_a_slow_rate() {
        let throttle = Throttle::new(limits(), 0.01);
        let goes = || *throttle.may_go_on.borrow();
        throttle.set_without_slot(true);
        assert!(goes(), "a request in four seconds");
        let waits = throttle.begin_long_wait();
        assert!(!goes(), "the vendor asks to wait");
        drop(waits);
        assert!(goes());
        throttle.set_share(1.0);
        assert!(!goes(), "25 requests a second");
        throttle.set_without_slot(false);
        assert!(goes());
        throttle.set_share(0.01);
        throttle.set_spent();
        assert!(!*throttle.slow().borrow(), "nothing is waited for");
        throttle.set_without_slot(true);
        assert!(!goes());
    }
}
