//! What is measured of received webhooks, for their statistics: counted in memory, and added to what is stored every few
//! seconds, so that no event waits for it.
//!
//! A program that is killed loses what it measured since; nothing else depends on it. While PostgreSQL is away,
//! what was measured is kept and added later.

use std::collections::HashMap;
use std::mem;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use common::clock::SharedClock;
use common::db::{self, Pool};
use common::error_chain::ErrorChain;
use common::tenant::OrganizationId;
use common::webhook::queries::statistics::{Measurement, add_measurements};
use common::webhook::statistics::{Measure, bucket_of, hour_of};
use tracing::debug;

const WRITE_INTERVAL: Duration = Duration::from_secs(2);
/// Rows of one statement.
const BATCH: usize = 5_000;

type Counts = HashMap<(OrganizationId, DateTime<Utc>, Measure, i32), i64>;

#[derive(Debug, Clone)]
pub(super) struct Measurements {
    counts: Arc<std::sync::Mutex<Counts>>,
    clock: SharedClock,
}

impl Measurements {
    /// Begins the task that writes, which ends with the last handle to it.
    pub(super) fn begin(pool: Pool, clock: SharedClock) -> Self {
        let counts = Arc::new(std::sync::Mutex::default());
        let unwritten = Arc::downgrade(&counts);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(WRITE_INTERVAL).await;
                let Some(counts) = unwritten.upgrade() else {
                    return;
                };
                if let Err(cause) = write(&pool, &counts).await {
                    debug!(error = %ErrorChain(&cause), "measurements of webhooks wait to be stored");
                }
            }
        });
        Self { counts, clock }
    }

    pub(super) fn count(&self, organization: &OrganizationId, measure: Measure) {
        self.add(organization, measure, 0);
    }

    pub(super) fn record(&self, organization: &OrganizationId, measure: Measure, took: Duration) {
        self.add(organization, measure, bucket_of(took));
    }

    fn add(&self, organization: &OrganizationId, measure: Measure, bucket: i32) {
        let hour = hour_of(self.clock.now());
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        *counts
            .entry((organization.clone(), hour, measure, bucket))
            .or_default() += 1;
    }
}

async fn write(pool: &Pool, counts: &std::sync::Mutex<Counts>) -> Result<(), db::Error> {
    let taken = mem::take(&mut *counts.lock().unwrap_or_else(PoisonError::into_inner));
    let taken =
        taken.into_iter().map(
            |((organization_id, hour, measure, bucket), count)| Measurement {
                organization_id,
                hour,
                measure,
                bucket,
                count,
            },
        );
    let mut taken: Vec<Measurement> = taken.collect();
    while !taken.is_empty() {
        let batch = taken.split_off(taken.len().saturating_sub(BATCH));
        let written = async {
            let mut conn = pool.acquire().await?;
            add_measurements(&mut conn, &batch).await
        };
        if let Err(cause) = written.await {
            taken.extend(batch);
            put_back(counts, taken);
            return Err(cause);
        }
    }
    Ok(())
}

fn put_back(counts: &std::sync::Mutex<Counts>, measurements: Vec<Measurement>) {
    let mut counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
    for row in measurements {
        *counts
            .entry((row.organization_id, row.hour, row.measure, row.bucket))
            .or_default() += row.count;
    }
}
