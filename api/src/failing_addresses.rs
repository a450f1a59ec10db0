//! Addresses that keep failing to prove who they are, by the signature of a webhook or by signing in: the only ones that are
//! ever limited as addresses.
//!
//! The limit comes after verification, so an address that also sends what is right, such as a proxy in front, loses
//! nothing. Counted in this process alone.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use moka::sync::Cache;

use crate::client_address::ClientAddress;

/// Failures of an address within [`WINDOW`] after which it has to wait.
const MAX_FAILURES: u32 = 20;
const WINDOW: Duration = Duration::from_mins(1);
const MAX_ADDRESSES: u64 = 10_000;

/// That an address has failed too often.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooManyFailures {
    /// Seconds after which it may try again.
    pub(crate) retry_after_secs: u64,
}

#[derive(Debug, Clone)]
pub(crate) struct FailingAddresses(Cache<IpAddr, Arc<AtomicU32>>);

impl FailingAddresses {
    pub(crate) fn new() -> Self {
        let cache = Cache::builder()
            .max_capacity(MAX_ADDRESSES)
            .time_to_live(WINDOW);
        Self(cache.build())
    }

    /// Counts a failure.
    ///
    /// # Errors
    /// When there were too many.
    pub(crate) fn count(&self, address: ClientAddress) -> Result<(), TooManyFailures> {
        let failures = self.0.get_with(address.network(), Arc::default);
        if failures.fetch_add(1, Ordering::Relaxed) < MAX_FAILURES {
            return Ok(());
        }
        Err(TooManyFailures {
            retry_after_secs: WINDOW.as_secs(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_waits_after_twenty_failures_and_no_other_does() {
        let failing = FailingAddresses::new();
        let address = |text: &str| ClientAddress::from(text.parse::<IpAddr>().unwrap());
        for _ in 0..MAX_FAILURES {
            assert!(failing.count(address("192.0.2.1")).is_ok());
        }
        assert!(failing.count(address("192.0.2.1")).is_err());
        assert!(failing.count(address("192.0.2.2")).is_ok());
    }
}
