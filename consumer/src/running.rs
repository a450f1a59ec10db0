//! One claimed job, from its claim to its end.
//!
//! While a job runs, heartbeats extend its lease and read what may have changed meanwhile: whether a person called
//! it off, and which share of Stripe's limits it may use. A job whose lease is lost is dropped where it
//! stands; one that is cancelled, or interrupted by a shutdown, stops between two commits.

use std::pin::pin;
use std::time::Duration;

use chrono::TimeDelta;
use common::connection;
use common::db;
use common::error_chain::ErrorChain;
use common::job::Budget;
use common::job::lease;
use common::job::{Failure, Job, Lane};
use common::lifecycle::Context;
use tokio::time::Instant;
use tracing::{Instrument, info, info_span, warn};

use crate::slots::{JobSlot, NoRoom};
use crate::{Engine, job_end};

/// A heartbeat comes four times a lease, and at least this often: people wait for what it reads.
const MAX_HEARTBEAT_INTERVAL: Duration = Duration::from_secs(5);

/// Why a job was interrupted from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Interruption {
    LeaseLost,
    Cancelled,
    Shutdown,
    /// The job mostly waits, and can neither keep its slot nor go on without one.
    NoRoom,
}

/// Runs a claimed job to whatever end, and writes that end down.
pub async fn run_claimed(engine: &Engine, context: &Context, job: Job) {
    Box::pin(run(engine, context, job, None)).await;
}

/// The same with one of a process's slots; without one there is nothing to give up, and no share to keep to.
pub(crate) async fn run(engine: &Engine, context: &Context, mut job: Job, slot: Option<&JobSlot>) {
    let span = info_span!(
        "job",
        job.id = %job.job_ref.job_id,
        job.r#type = job.kind,
        job.attempt = job.attempt,
        connection.id = job.connection_id,
    );
    async {
        let started = Instant::now();
        info!("job claimed");
        let ended = handle(engine, context, &mut job, slot).await;
        let seconds = started.elapsed().as_secs_f64();
        metrics::histogram!("stripe_sync_job_seconds", "type" => job.kind.clone()).record(seconds);
        job_end::finish_job(engine, &job, ended).await;
        job_end::wake_blocked_jobs(engine, &job).await;
    }
    .instrument(span)
    .await;
}

/// Has a job's handler do its work, until it ends or is interrupted.
///
/// A job that turns out to be of another kind is one from then on, up to its end. It goes on where that kind's share of
/// slots has room, and else waits for its turn.
async fn handle(
    engine: &Engine,
    context: &Context,
    job: &mut Job,
    slot: Option<&JobSlot>,
) -> Result<Result<(), Failure>, Interruption> {
    let budget = Budget::new();
    let claimed = job.clone();
    // One for all kinds: a heartbeat goes on where it was. It is dropped before the job's end is written, which waits for
    // the transaction of a heartbeat.
    let mut interrupted = pin!(async {
        tokio::select! {
            biased;
            why = interruption(engine, context, &claimed, &budget) => why,
            NoRoom = follow(slot, &budget) => Interruption::NoRoom,
        }
    });
    loop {
        let Some(registered) = engine.registry.find(&job.kind) else {
            return Ok(Err(Failure::NoHandler));
        };
        let result = tokio::select! {
            biased;
            why = &mut interrupted => return Err(why),
            result = registered.handler.run(&engine.services, job, &budget) => result,
        };
        let Err(Failure::KindChanged(kind)) = result else {
            return Ok(result);
        };
        kind.name.clone_into(&mut job.kind);
        let has_room =
            |slot: &JobSlot| kind.lane != Lane::Backfill || slot.acquire_backfill_permit();
        if !slot.is_none_or(has_room) {
            return Ok(result);
        }
    }
}

async fn follow(slot: Option<&JobSlot>, budget: &Budget) -> NoRoom {
    match slot {
        Some(slot) => slot.follow(budget).await,
        None => std::future::pending().await,
    }
}

/// Keeps the lease; returns when the job has to stop.
async fn interruption(
    engine: &Engine,
    context: &Context,
    job: &Job,
    budget: &Budget,
) -> Interruption {
    let mut held_until = Instant::now() + engine.lease;
    let mut cancel_seen = job.cancel_requested;
    loop {
        if cancel_seen {
            return Interruption::Cancelled;
        }
        if !context
            .sleep((engine.lease / 4).min(MAX_HEARTBEAT_INTERVAL))
            .await
        {
            return Interruption::Shutdown;
        }
        let asked_at = Instant::now();
        let answer = tokio::select! {
            answer = tokio::time::timeout_at(held_until, beat(engine, job)) => answer,
            () = context.shutdown.cancelled() => return Interruption::Shutdown,
        };
        match answer {
            Ok(Ok((cancel_requested, rate_share))) => {
                held_until = asked_at + engine.lease;
                cancel_seen = cancel_requested;
                // None of a connection that is being deleted: the job is cancelled.
                if let Some(share) = rate_share {
                    budget.set_share(share);
                }
            }
            // Without an answer the lease has run out: whatever the job writes now would be refused.
            Ok(Err(db::Error::LeaseLost)) | Err(_) => return Interruption::LeaseLost,
            Ok(Err(_)) if Instant::now() >= held_until => return Interruption::LeaseLost,
            Ok(Err(cause)) => warn!(error = %ErrorChain(&cause), "a heartbeat failed"),
        }
    }
}

/// Extends the lease; whether a person called the job off, and the connection's present share of Stripe's limits.
async fn beat(engine: &Engine, job: &Job) -> Result<(bool, Option<f64>), db::Error> {
    let lease = TimeDelta::from_std(engine.lease).unwrap_or(TimeDelta::MAX);
    let organization = &job.job_ref.organization_id;
    let mut tx = db::tenant_transaction(&engine.services.pool, organization).await?;
    let cancel_requested =
        lease::heartbeat(&mut tx, &job.fence(), engine.services.clock.now(), lease).await?;
    let share = connection::queries::rate_share(&mut tx, organization, &job.connection_id).await?;
    tx.commit().await?;
    Ok((cancel_requested, share))
}
