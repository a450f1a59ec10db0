//! Publishing the wake-ups of committed jobs.
//!
//! A lost wake-up costs time only: the scheduler dispatches again whatever nobody claimed. So a broker that is slow
//! to take one is waited for briefly and then left to it, and one that refuses it is logged and no error.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tracing::debug;

use super::Broker;
use crate::error_chain::ErrorChain;
use crate::job::JobRef;
use crate::unit_of_work::Publisher;

/// How long a caller waits for the broker to take its messages.
const PUBLISH_TIMEOUT: Duration = Duration::from_secs(1);

#[async_trait]
impl Publisher for Arc<dyn Broker> {
    async fn publish_committed(&self, jobs: Vec<JobRef>) {
        let broker = Self::clone(self);
        let published = tokio::spawn(async move {
            if let Err(cause) = broker.publish(&jobs).await {
                debug!(?jobs, error = %ErrorChain(&cause), "jobs were not published");
            }
        });
        // It goes on unwatched when it takes longer, and a panic in it is nothing to the caller.
        let _ = tokio::time::timeout(PUBLISH_TIMEOUT, published).await;
    }
}
