//! Slots that claim jobs and run them, one job a slot.
//!
//! A wake-up is a hint: a slot claims in the database, and a job that cannot be claimed is somebody
//! else's or blocked, and will be announced again. A delivery of RabbitMQ stays unacknowledged while its
//! job runs, so that a full consumer is sent nothing, but not longer than RabbitMQ tolerates.
//!
//! A full job lasts minutes or hours, everything else moments, so full jobs hold a share of the slots at
//! most ([`full_share`]). They stand in a line of their own in the database, from which one task claims the
//! oldest whenever the share has room; that a full job was delivered only wakes this task. So no message
//! has to be kept, or sent back, for a job whose turn has not come.
//!
//! While a job runs, heartbeats extend its lease. A job whose lease is lost is dropped where it
//! stands; one that is called off, or interrupted by a shutdown, stops between two commits.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use common::broker::{Delivery, Wakeup};
use common::cause::Chain;
use common::credential;
use common::db;
use common::lifecycle::Context;
use common::sync::lease::{self, Claim};
use common::sync::queries;
use common::sync::{Job, JobError, JobRef, JobType, Line};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
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
/// How long an answer of PostgreSQL is still waited for when the process is told to stop.
const GRACE: Duration = Duration::from_secs(1);
/// Writing a job's end is tried for this long when PostgreSQL is away; then its lease runs out.
const LONGEST_END: Duration = Duration::from_secs(10);

/// How many of so many slots full jobs may hold at the same time: three quarters, and all but one at most
/// where there is more than one.
pub fn full_share(slots: u16) -> u16 {
    slots.saturating_sub((slots / 4).max(1)).max(1)
}

/// The slots of a process, and who wants one.
#[derive(Debug, Clone)]
struct Slots {
    /// In the order in which they are asked for, so that neither line waits for the other to be empty.
    all: Arc<Semaphore>,
    /// Those that full jobs may hold.
    full: Arc<Semaphore>,
    /// There may be a full job to claim.
    full_waits: Arc<Notify>,
    /// There may be another job to claim.
    short_waits: Arc<Notify>,
    running: TaskTracker,
}

impl Slots {
    fn new(slots: u16) -> Self {
        Self {
            all: Arc::new(Semaphore::new(usize::from(slots))),
            full: Arc::new(Semaphore::new(usize::from(full_share(slots)))),
            full_waits: Arc::default(),
            short_waits: Arc::default(),
            running: TaskTracker::new(),
        }
    }
}

/// What a job holds while it runs.
#[derive(Debug)]
struct Held {
    _slot: OwnedSemaphorePermit,
    _of_share: Option<OwnedSemaphorePermit>,
}

/// Claims and runs jobs until told to stop, then waits for the slots to give theirs back.
pub async fn work(engine: &Engine, context: &Context) {
    let slots = Slots::new(engine.slots);
    tokio::join!(
        Box::pin(claim_in_line(engine, context, &slots, Line::Full)),
        Box::pin(claim_in_line(engine, context, &slots, Line::Short)),
        Box::pin(keep_listening(engine, context, &slots)),
    );
    slots.running.close();
    slots.running.wait().await;
}

async fn keep_listening(engine: &Engine, context: &Context, slots: &Slots) {
    while !context.shutdown.is_cancelled() {
        let listening = listen(engine, context, slots);
        if let Some(Err(cause)) = context.shutdown.run_until_cancelled(listening).await {
            warn!(error = %Chain(&cause), "wake-ups broke off");
            context.sleep(RETRY_PAUSE).await;
        }
    }
}

async fn listen(
    engine: &Engine,
    context: &Context,
    slots: &Slots,
) -> Result<(), common::broker::Error> {
    let mut wakeups = engine.broker.subscribe(engine.slots).await?;
    // Full jobs whose messages another consumer dropped, and then ended.
    slots.full_waits.notify_one();
    loop {
        match wakeups.next().await? {
            Wakeup::Job(delivery) => {
                let Ok(slot) = slots.all.clone().acquire_owned().await else {
                    return Ok(());
                };
                let delivered = run_delivered(
                    engine.clone(),
                    context.clone(),
                    slots.clone(),
                    delivery,
                    slot,
                );
                slots.running.spawn(delivered);
            }
            Wakeup::Any => {
                slots.full_waits.notify_one();
                slots.short_waits.notify_one();
            }
        }
    }
}

/// Whenever woken, fills slots with jobs of one line until none of it can be claimed. Not stopped in
/// the middle of a claim, so that no job is claimed and then forgotten.
async fn claim_in_line(engine: &Engine, context: &Context, slots: &Slots, line: Line) {
    let woken = match line {
        Line::Full => &slots.full_waits,
        Line::Short => &slots.short_waits,
    };
    let stop = &context.shutdown;
    while stop.run_until_cancelled(woken.notified()).await.is_some() {
        // A slot first, then a job: what cannot be run is left to others.
        while let Some(Some(held)) = stop.run_until_cancelled(hold(slots, line)).await {
            let claimed = claim(engine, Claim::OldestOf(line));
            let Some(Some(job)) = within_grace(context, claimed).await else {
                break;
            };
            let (engine, context, slots) = (engine.clone(), context.clone(), slots.clone());
            slots.running.clone().spawn(async move {
                run_in(&engine, &context, job, Some(&slots)).await;
                drop(held);
            });
        }
    }
}

/// None when told to stop, and the answer does not come within a moment of that. What is claimed nevertheless
/// is left to its lease.
async fn within_grace<T>(context: &Context, answer: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        biased;
        answer = answer => Some(answer),
        () = async {
            context.shutdown.cancelled().await;
            tokio::time::sleep(GRACE).await;
        } => None,
    }
}

/// Waits for a slot, and before that for room in the share of full jobs where it is one.
async fn hold(slots: &Slots, line: Line) -> Option<Held> {
    let of_share = match line {
        Line::Full => Some(slots.full.clone().acquire_owned().await.ok()?),
        Line::Short => None,
    };
    Some(Held {
        _slot: slots.all.clone().acquire_owned().await.ok()?,
        _of_share: of_share,
    })
}

async fn run_delivered(
    engine: Engine,
    context: Context,
    slots: Slots,
    delivery: Delivery,
    _slot: OwnedSemaphorePermit,
) {
    let Some(job) = claim(&engine, Claim::Job(&delivery.job)).await else {
        // A full job, for all that is known.
        slots.full_waits.notify_one();
        acknowledge(delivery).await;
        return;
    };
    let run = run_in(&engine, &context, job, Some(&slots));
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
    run_in(engine, context, job, None).await;
}

/// The same in a process's slots; without them there is no share to keep to.
async fn run_in(engine: &Engine, context: &Context, job: Job, slots: Option<&Slots>) {
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
            result = sync_job(engine, &job, slots) => Ok(result),
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

/// Does a job's work. An incremental job that turns out to need a full one goes on as such where the share of
/// full jobs has room, and else waits for its turn among them.
async fn sync_job(engine: &Engine, job: &Job, slots: Option<&Slots>) -> Result<(), outcome::Error> {
    let result = sync::run(engine, job).await;
    let Err(outcome::Error::Widened) = result else {
        return result;
    };
    let _of_share = match slots.map(|slots| slots.full.clone().try_acquire_owned()) {
        Some(Err(_)) => return result,
        Some(Ok(of_share)) => Some(of_share),
        None => None,
    };
    let full = Job {
        job_type: JobType::Full,
        ..job.clone()
    };
    sync::run(engine, &full).await
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
        Ok(Err(outcome::Error::Widened)) => "widened",
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
        Err(Interruption::Shutdown) | Ok(Err(outcome::Error::Widened)) => {
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
        credential::UNREADABLE => format!(
            "The stored key cannot be read: {}. A key given with PUT /v1/connectors/stripe/{}/key works at once; where \
             the engine lacks an encryption key, the connection goes on by itself once a consumer starts with it.",
            error.message, job.connection_id
        ),
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
        queries::waiting_behind(&mut conn, &job.stripe_account_id).await
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
