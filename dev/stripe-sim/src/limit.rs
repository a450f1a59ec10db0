//! Rate limits: a bucket of one second's requests for the account and one for each endpoint.
//!
//! A refused request takes nothing from any bucket. The limits may change while buckets are in
//! use, which is why they are not `governor`'s. Deliberately absent: limits on single objects.

use std::collections::HashMap;
use tokio::time::Instant;

#[derive(Debug)]
struct Bucket {
    tokens: f64,
    filled: Instant,
}

impl Bucket {
    fn refill(&mut self, rate: u32, now: Instant) {
        let gained = now.duration_since(self.filled).as_secs_f64() * f64::from(rate);
        self.tokens = (self.tokens + gained).min(f64::from(rate));
        self.filled = now;
    }
}

#[derive(Debug, Default)]
pub(crate) struct Limiter {
    global: Option<Bucket>,
    endpoints: HashMap<&'static str, Bucket>,
}

impl Limiter {
    /// Lets a request pass, or names the limit that it is over. Rates are per second; 0 is none.
    pub(crate) fn check(
        &mut self,
        endpoint: &'static str,
        global: u32,
        of_endpoint: u32,
        now: Instant,
    ) -> Result<(), &'static str> {
        let full = |rate: u32| Bucket {
            tokens: f64::from(rate),
            filled: now,
        };
        // A limit of none has no bucket, so that one which is set later begins full.
        let mut whole = (global > 0).then(|| self.global.get_or_insert_with(|| full(global)));
        let mut part = (of_endpoint > 0).then(|| {
            let bucket = self.endpoints.entry(endpoint);
            bucket.or_insert_with(|| full(of_endpoint))
        });
        let buckets = [
            (&mut whole, global, "global-rate"),
            (&mut part, of_endpoint, "endpoint-rate"),
        ];
        for (bucket, rate, reason) in buckets {
            if let Some(bucket) = bucket {
                bucket.refill(rate, now);
                if bucket.tokens < 1.0 {
                    return Err(reason);
                }
            }
        }
        for bucket in [whole, part].into_iter().flatten() {
            bucket.tokens -= 1.0;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn the_reason_names_the_limit() {
        let mut limiter = Limiter::default();
        let now = Instant::now();
        let mut check =
            |endpoint, after| limiter.check(endpoint, 4, 3, now + Duration::from_millis(after));
        for _ in 0..3 {
            assert_eq!(check("a", 0), Ok(()));
        }
        assert_eq!(check("a", 0), Err("endpoint-rate"));
        assert_eq!(check("b", 0), Ok(()));
        assert_eq!(check("b", 0), Err("global-rate"));
        assert_eq!(check("a", 400), Ok(()));
    }

    #[test]
    fn a_limit_that_is_set_on_a_busy_account_refuses_nothing_within_it() {
        let mut limiter = Limiter::default();
        let now = Instant::now();
        assert!((0..1_000).all(|_| limiter.check("a", 0, 0, now).is_ok()));
        assert!((0..3).all(|_| limiter.check("a", 3, 3, now).is_ok()));
        assert_eq!(limiter.check("a", 3, 3, now), Err("global-rate"));
    }

    #[test]
    fn zero_is_no_limit() {
        let mut limiter = Limiter::default();
        let now = Instant::now();
        assert!((0..1_000).all(|_| limiter.check("a", 0, 0, now).is_ok()));
    }
}
