//! Deletes what webhooks leave behind: old events that were processed or ignored, what was measured of them, and the jobs that
//! applied them, of which a busy account makes many a minute. Pending and dead events stay, and so do jobs that failed.
//! Browser sessions and sign-in links go once they have expired, and restatements after a year.
//!
//! Batches of their own transactions, so that nothing waits for a deletion; several schedulers delete side by side. The
//! next pass deletes what a failed one left.

use chrono::TimeDelta;
use common::connector::Connector;
use common::db;
use common::job;
use common::session;
use common::webhook;
use stripe::restatement;
use tracing::info;

use crate::Scheduler;

/// Rows that one transaction deletes.
const BATCH: i64 = 5_000;
/// How long a completed webhook job is kept: its events say for longer what came of them.
const JOB_RETENTION: TimeDelta = TimeDelta::days(1);

/// How long an event waits for a connection that was deleted while it was received.
const ORPHAN_RETENTION: TimeDelta = TimeDelta::hours(1);

/// What a pass deleted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Deleted {
    pub events: u64,
    pub jobs: u64,
    /// Browser sessions and sign-in links.
    pub sign_ins: u64,
    pub restatements: u64,
}

/// Deletes what is older than it is kept.
///
/// # Errors
/// When PostgreSQL fails. Batches committed before stay.
pub async fn delete_old(scheduler: &Scheduler) -> Result<Deleted, db::Error> {
    let now = scheduler.clock.now();
    let kinds = scheduler.connectors.iter().map(Connector::kinds);
    let kinds: Vec<String> = kinds
        .filter_map(|kinds| Some(kinds.webhook?.name.to_owned()))
        .collect();
    let mut deleted = Deleted::default();
    let mut conn = scheduler.pool.acquire().await?;
    deleted.events += webhook::queries::delete_orphaned(&mut conn, now - ORPHAN_RETENTION).await?;
    loop {
        let before = now - scheduler.webhook_retention;
        let batch = webhook::queries::delete_done(&mut conn, before, BATCH).await?;
        deleted.events += batch;
        if batch < BATCH.unsigned_abs() {
            break;
        }
    }
    let measured_before = now - scheduler.webhook_retention;
    webhook::queries::statistics::delete_measurements(&mut conn, measured_before).await?;
    loop {
        let before = now - JOB_RETENTION;
        let batch = job::queries::delete_completed(&mut conn, &kinds, before, BATCH).await?;
        deleted.jobs += batch;
        if batch < BATCH.unsigned_abs() {
            break;
        }
    }
    loop {
        let before = now - restatement::RETENTION;
        let batch = restatement::queries::delete_old(&mut conn, before, BATCH).await?;
        deleted.restatements += batch;
        if batch < BATCH.unsigned_abs() {
            break;
        }
    }
    let idle_since = now - session::MAX_IDLE;
    deleted.sign_ins = session::queries::delete_expired(&mut conn, now, idle_since).await?;
    if deleted != Deleted::default() {
        let Deleted {
            events,
            jobs,
            sign_ins,
            restatements,
        } = deleted;
        info!(
            events,
            jobs,
            sign_ins,
            restatements,
            "deleted old webhook events, jobs and restatements, and expired sessions"
        );
    }
    Ok(deleted)
}
