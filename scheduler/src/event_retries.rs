//! Webhook events that wait and have no job: makes the jobs that apply them.
//!
//! An event that could not be applied waits by itself, and not its connection's other events: so there is no job that waits
//! with it. Others came while their connection was paused, or their job was cancelled. The next pass makes good what a
//! failed one left.

use common::clock::new_id;
use common::db;
use common::job::enqueue::{Wanted, enqueue_for_events};
use common::job::{JobId, JobKind};
use common::webhook::queries::attempts;

use crate::Scheduler;

/// Connections of one transaction.
const BATCH: i64 = 1000;

/// Makes jobs for webhook events whose next attempt is due, and says how many events wait.
pub(crate) async fn enqueue(scheduler: &Scheduler) -> Result<(), db::Error> {
    let now = scheduler.clock.now();
    let connectors = || scheduler.connectors.iter();
    let kinds: Vec<JobKind> = connectors().filter_map(|it| it.kinds().webhook).collect();
    let first: Vec<JobKind> = connectors().map(|it| it.kinds().full).collect();
    let mut tx = scheduler.pool.begin().await?;
    let to_retry = attempts::to_retry(&mut tx, &kinds, &first, now, BATCH).await?;
    let mut jobs = Vec::new();
    for retry in &to_retry {
        let connector = scheduler.connectors.named(&retry.connector)?;
        let Some(kind) = connector.kinds().webhook else {
            continue;
        };
        let wanted = Wanted {
            organization: &retry.organization_id,
            connection_id: &retry.connection_id,
            job_id: JobId(new_id(now)),
        };
        jobs.extend(enqueue_for_events(&mut tx, kind, &[wanted], now).await?);
    }
    let (depth, oldest) = attempts::queue(&mut tx).await?;
    tx.commit().await?;
    metrics::gauge!("stripe_sync_webhooks_queue_depth").set(depth as f64);
    let age = oldest.map_or(0.0, |oldest| (now - oldest).as_seconds_f64().max(0.0));
    metrics::gauge!("stripe_sync_webhooks_oldest_pending_seconds").set(age);
    scheduler.publish(&jobs).await;
    Ok(())
}
