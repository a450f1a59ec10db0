//! The request budget of a running job, shared by those that spend it and those that watch it.
//!
//! It begins with the first request to the vendor and lasts as long as the claim, however often the job begins again
//! within it. The share of the account's limits follows the connection's setting, which each heartbeat reads.
//! Jobs that ask it nothing never have one.

use std::sync::Arc;

use tokio::sync::watch;

use crate::throttle::Throttle;

/// A job's budget, once it has one.
#[derive(Debug)]
pub struct Budget(watch::Sender<Option<Arc<Throttle>>>);

impl Default for Budget {
    fn default() -> Self {
        Self::new()
    }
}

impl Budget {
    pub fn new() -> Self {
        Self(watch::Sender::new(None))
    }

    /// The budget; the first call makes it, later ones change its share.
    pub fn throttle(&self, share: f64, make: impl FnOnce() -> Throttle) -> Arc<Throttle> {
        let present = self.0.borrow().clone();
        if let Some(throttle) = present {
            throttle.set_share(share);
            return throttle;
        }
        let throttle = Arc::new(make());
        self.0.send_replace(Some(Arc::clone(&throttle)));
        throttle
    }

    /// Changes the share of the limits that may be used.
    pub fn set_share(&self, share: f64) {
        if let Some(throttle) = self.0.borrow().as_deref() {
            throttle.set_share(share);
        }
    }

    /// Returns when the budget is so small that the job mostly waits for it.
    pub async fn wait_until_slow(&self) {
        self.until(true).await;
    }

    /// Returns when it is not.
    pub async fn wait_until_fast(&self) {
        self.until(false).await;
    }

    /// See [`Throttle::set_without_slot`].
    pub fn set_without_slot(&self, without_slot: bool) {
        if let Some(throttle) = self.0.borrow().as_deref() {
            throttle.set_without_slot(without_slot);
        }
    }

    /// See [`Throttle::set_spent`].
    pub fn set_spent(&self) {
        if let Some(throttle) = self.0.borrow().as_deref() {
            throttle.set_spent();
        }
    }

    /// Waits until the job holds a slot, or needs none for what it does next.
    pub async fn may_go_on(&self) {
        let present = self.0.borrow().clone();
        if let Some(throttle) = present {
            throttle.may_go_on().await;
        }
    }

    async fn until(&self, wanted: bool) {
        let mut present = self.0.subscribe();
        let slow = match present.wait_for(Option::is_some).await {
            Ok(present) => present.as_deref().map(Throttle::slow),
            // The sender lives as long as `self`.
            Err(_) => None,
        };
        let Some(mut slow) = slow else {
            return std::future::pending().await;
        };
        if slow.wait_for(|slow| *slow == wanted).await.is_err() {
            // Its sender lives as long as the budget holds it.
            std::future::pending::<()>().await;
        }
    }
}
