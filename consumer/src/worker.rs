//! Slots that claim jobs and run them, one job a slot.
//!
//! A wake-up is a hint: a slot claims in the database, and a job that cannot be claimed is somebody
//! else's or blocked, and will be announced again. A delivery of RabbitMQ stays unacknowledged while its
//! job runs, so that a full consumer is sent nothing, but not longer than RabbitMQ tolerates.
//!
//! While a job runs, heartbeats extend its lease. A job whose lease is lost is dropped where it
//! stands; one that is called off, or interrupted by a shutdown, stops between two commits.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use common::broker::{Delivery, Wakeup};
use common::cause::Chain;
use common::db;
use common::lifecycle::Context;
use common::sync::lease::{self, Claim};
use common::sync::queries;
use common::sync::{Job, JobError, JobRef};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tokio_util::task::TaskTracker;
use tracing::{Instrument, error, info, info_span, warn};

use crate::Engine;
use crate::outcome::{self, Outcome};
use crate::sync;

/// RabbitMQ closes the channel of a delivery that is not acknowledged for half an hour.
const LONGEST_UNACKNOWLEDGED: Duration = Duration::from_mins(15);
const RETRY_PAUSE: Duration = Duration::from_secs(1);
/// A short statement that takes longer is given up: PostgreSQL is there and does not answer.
const LONGEST_STATEMENT: Duration = Duration::from_secs(10);
/// Writing a job's end is tried for this long when PostgreSQL is away; then its lease runs out.
const LONGEST_END: Duration = Duration::from_secs(10);

/// Claims and runs jobs until told to stop, then waits for the slots to give theirs back.
pub async fn work(engine: &Engine, context: &Context) {
    let slots = Arc::new(Semaphore::new(usize::from(engine.slots)));
    let running = TaskTracker::new();
    while !context.shutdown.is_cancelled() {
        let listening = listen(engine, context, &slots, &running);
        if let Some(Err(cause)) = context.shutdown.run_until_cancelled(listening).await {
            warn!(error = %Chain(&cause), "wake-ups broke off");
            context.sleep(RETRY_PAUSE).await;
        }
    }
    running.close();
    running.wait().await;
}

async fn listen(
    engine: &Engine,
    context: &Context,
    slots: &Arc<Semaphore>,
    running: &TaskTracker,
) -> Result<(), common::broker::Error> {
    let mut wakeups = engine.broker.subscribe(engine.slots).await?;
    loop {
        // A slot first, then a wake-up: what cannot be run is left to others.
        let Ok(slot) = slots.clone().acquire_owned().await else {
            return Ok(());
        };
        match wakeups.next().await? {
            Wakeup::Job(delivery) => {
                running.spawn(run_delivered(
                    engine.clone(),
                    context.clone(),
                    delivery,
                    slot,
                ));
            }
            Wakeup::Any => start_all(engine, context, slots, running, slot).await,
        }
    }
}

/// Fills the free slots with jobs that can be claimed; each slot goes on to the next one by itself.
async fn start_all(
    engine: &Engine,
    context: &Context,
    slots: &Arc<Semaphore>,
    running: &TaskTracker,
    slot: OwnedSemaphorePermit,
) {
    let mut slot = Some(slot);
    while let Some(free) = slot.take() {
        let Some(job) = claim(engine, Claim::Oldest).await else {
            return;
        };
        running.spawn(run_and_go_on(engine.clone(), context.clone(), job, free));
        slot = slots.clone().try_acquire_owned().ok();
    }
}

async fn run_and_go_on(engine: Engine, context: Context, job: Job, _slot: OwnedSemaphorePermit) {
    let mut next = Some(job);
    while let Some(job) = next.take() {
        run_claimed(&engine, &context, job).await;
        if !context.shutdown.is_cancelled() {
            next = claim(&engine, Claim::Oldest).await;
        }
    }
}

async fn run_delivered(
    engine: Engine,
    context: Context,
    delivery: Delivery,
    _slot: OwnedSemaphorePermit,
) {
    let Some(job) = claim(&engine, Claim::Job(&delivery.job)).await else {
        acknowledge(delivery).await;
        return;
    };
    let run = run_claimed(&engine, &context, job);
    tokio::pin!(run);
    let early = tokio::select! {
        () = &mut run => false,
        () = tokio::time::sleep(LONGEST_UNACKNOWLEDGED) => true,
    };
    acknowledge(delivery).await;
    if early {
        run.await;
    }
}

async fn acknowledge(delivery: Delivery) {
    if let Err(cause) = delivery.ack().await {
        // The message comes again and names a job that is done or somebody's.
        warn!(error = %Chain(&cause), "a delivery could not be acknowledged");
    }
}

async fn claim(engine: &Engine, what: Claim<'_>) -> Option<Job> {
    let lease = TimeDelta::from_std(engine.lease).unwrap_or(TimeDelta::MAX);
    let claimed = async {
        let mut conn = engine.pool.acquire().await?;
        lease::claim(&mut conn, what, &engine.owner, engine.clock.now(), lease).await
    };
    match tokio::time::timeout(LONGEST_STATEMENT, claimed).await {
        Ok(Ok(job)) => job,
        Ok(Err(cause)) => {
            warn!(error = %Chain(&cause), "no job could be claimed");
            None
        }
        Err(_) => {
            warn!("no job could be claimed: PostgreSQL does not answer");
            None
        }
    }
}

/// Why a job was interrupted from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Interruption {
    LeaseLost,
    CalledOff,
    Shutdown,
}

/// Runs a claimed job to whatever end, and writes that end down.
pub async fn run_claimed(engine: &Engine, context: &Context, job: Job) {
    let span = info_span!(
        "job",
        job.id = %job.job_ref.job_id,
        job.r#type = job.job_type.as_str(),
        job.attempt = job.attempt,
        connection.id = job.connection_id,
    );
    async {
        let started = Instant::now();
        info!("job claimed");
        let ended = tokio::select! {
            biased;
            why = interruption(engine, context, &job) => Err(why),
            result = sync::run(engine, &job) => Ok(result),
        };
        let seconds = started.elapsed().as_secs_f64();
        metrics::histogram!("stripe_sync_job_seconds", "type" => job.job_type.as_str())
            .record(seconds);
        conclude(engine, &job, ended).await;
        announce_waiting(engine, &job).await;
    }
    .instrument(span)
    .await;
}

/// Keeps the lease; returns when the job has to stop.
async fn interruption(engine: &Engine, context: &Context, job: &Job) -> Interruption {
    let fence = job.fence();
    let lease = TimeDelta::from_std(engine.lease).unwrap_or(TimeDelta::MAX);
    let mut held_until = Instant::now() + engine.lease;
    let mut called_off = job.cancel_requested;
    loop {
        if called_off {
            return Interruption::CalledOff;
        }
        if !context.sleep(engine.lease / 4).await {
            return Interruption::Shutdown;
        }
        let asked_at = Instant::now();
        let beat = async {
            let mut conn = engine.pool.acquire().await?;
            lease::heartbeat(&mut conn, &fence, engine.clock.now(), lease).await
        };
        let answer = tokio::select! {
            answer = tokio::time::timeout_at(held_until, beat) => answer,
            () = context.shutdown.cancelled() => return Interruption::Shutdown,
        };
        match answer {
            Ok(Ok(cancel_requested)) => {
                held_until = asked_at + engine.lease;
                called_off = cancel_requested;
            }
            // Without an answer the lease has run out: whatever the job writes now would be refused.
            Ok(Err(db::Error::LeaseLost)) | Err(_) => return Interruption::LeaseLost,
            Ok(Err(_)) if Instant::now() >= held_until => return Interruption::LeaseLost,
            Ok(Err(cause)) => warn!(error = %Chain(&cause), "a heartbeat failed"),
        }
    }
}

async fn conclude(
    engine: &Engine,
    job: &Job,
    ended: Result<Result<(), outcome::Error>, Interruption>,
) {
    let status = match &ended {
        Ok(Ok(())) => "completed",
        Ok(Err(_)) => "failed",
        Err(Interruption::LeaseLost) => "lease_lost",
        Err(Interruption::CalledOff) => "cancelled",
        Err(Interruption::Shutdown) => "interrupted",
    };
    metrics::counter!("stripe_sync_jobs_total", "type" => job.job_type.as_str(), "outcome" => status).increment(1);
    match ended {
        Ok(Ok(())) => info!("job completed"),
        Err(Interruption::LeaseLost) => warn!("the lease was lost; another consumer goes on"),
        Err(Interruption::CalledOff) => {
            info!("job called off");
            write_end(engine, job, End::Cancel).await;
        }
        Err(Interruption::Shutdown) => {
            info!("job given back");
            write_end(engine, job, End::GiveBack).await;
            publish(engine, std::slice::from_ref(&job.job_ref)).await;
        }
        Ok(Err(cause)) => {
            let outcome = outcome::classify(&cause, job.failures);
            error!(error = %Chain(&cause), outcome = ?outcome_name(&outcome), "job stopped");
            write_end(engine, job, End::Outcome(outcome)).await;
        }
    }
}

fn outcome_name(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Abandon => "abandon",
        Outcome::BackOff(..) => "back off",
        Outcome::Fail(_) => "fail",
        Outcome::FailConnection(_) => "fail and stop the connection",
    }
}

enum End {
    Cancel,
    GiveBack,
    Outcome(Outcome),
}

/// Writes a job's end, trying again while PostgreSQL is away; when that lasts, the lease runs out and the
/// job is claimed again, which is as good.
async fn write_end(engine: &Engine, job: &Job, end: End) {
    let give_up_at = Instant::now() + LONGEST_END;
    while Instant::now() < give_up_at {
        match tokio::time::timeout_at(give_up_at, try_write_end(engine, job, &end)).await {
            Ok(Ok(()) | Err(db::Error::LeaseLost)) => return,
            Err(_) => break,
            Ok(Err(cause)) if cause.is_transient() => tokio::time::sleep(RETRY_PAUSE).await,
            Ok(Err(cause)) => {
                error!(error = %Chain(&cause), "the end of a job could not be written");
                return;
            }
        }
    }
    warn!("the end of a job could not be written; its lease will run out");
}

async fn try_write_end(engine: &Engine, job: &Job, end: &End) -> Result<(), db::Error> {
    let now = engine.clock.now();
    let fence = job.fence();
    let organization = &job.job_ref.organization_id;
    let mut tx = db::tenant_transaction(&engine.pool, organization).await?;
    match end {
        End::Cancel => lease::end_cancelled(&mut tx, &fence, now).await?,
        End::GiveBack => lease::release(&mut tx, &fence, now, None).await?,
        End::Outcome(Outcome::Abandon) => {}
        End::Outcome(Outcome::BackOff(wait, error)) => {
            let until = now + TimeDelta::from_std(*wait).unwrap_or(TimeDelta::MAX);
            lease::release(&mut tx, &fence, until, Some(error)).await?;
        }
        End::Outcome(Outcome::Fail(error)) => lease::fail(&mut tx, &fence, error, now).await?,
        End::Outcome(Outcome::FailConnection(error)) => {
            // The connection before the job, as every other writer locks them.
            stop_connection(&mut tx, job, error, now).await?;
            lease::fail(&mut tx, &fence, error, now).await?;
        }
    }
    tx.commit().await?;
    Ok(())
}

async fn stop_connection(
    tx: &mut sqlx::PgConnection,
    job: &Job,
    error: &JobError,
    now: chrono::DateTime<chrono::Utc>,
) -> Result<(), db::Error> {
    let organization = &job.job_ref.organization_id;
    let detail = match error.code.as_str() {
        "stripe_key_invalid" => {
            format!(
                "Stripe refuses the key; replace it with PUT /v1/connectors/stripe/{}/key. {}",
                job.connection_id, error.message
            )
        }
        _ => format!(
            "Grant the permission to the key in Stripe's dashboard, then start a sync. {}",
            error.message
        ),
    };
    common::connection::queries::set_problem(
        tx,
        organization,
        &job.connection_id,
        &error.code,
        &detail,
        now,
    )
    .await?;
    queries::cancel_scheduled(tx, organization, &job.connection_id, now).await
}

/// Announces the jobs that waited for this one to end.
async fn announce_waiting(engine: &Engine, job: &Job) {
    let waiting = async {
        let mut conn = engine.pool.acquire().await?;
        queries::waiting_behind(
            &mut conn,
            &job.job_ref.organization_id,
            &job.connection_id,
            &job.stripe_account_id,
        )
        .await
    };
    match tokio::time::timeout(LONGEST_STATEMENT, waiting).await {
        Ok(Ok(jobs)) if !jobs.is_empty() => publish(engine, &jobs).await,
        Ok(Ok(_)) => {}
        Ok(Err(cause)) => warn!(error = %Chain(&cause), "waiting jobs are left to the dispatcher"),
        Err(_) => warn!("waiting jobs are left to the dispatcher: PostgreSQL does not answer"),
    }
}

async fn publish(engine: &Engine, jobs: &[JobRef]) {
    if let Err(cause) = engine.broker.publish(jobs).await {
        warn!(error = %Chain(&cause), "jobs are left to the dispatcher");
    }
}
