//! Claiming jobs for the slots of a process, one job a slot.
//!
//! A wake-up is a hint: a slot claims in the database, and a job that cannot be claimed is somebody
//! else's or blocked, and will be announced again. A delivery of RabbitMQ stays unacknowledged while its
//! job runs, so that a full consumer is sent nothing, but not longer than RabbitMQ tolerates, nor when the
//! job has given up its slot.
//!
//! Backfills have a lane of their own in the database, from which one task claims the
//! oldest whenever their share of the slots has room; that a backfill was delivered only wakes this task. So no
//! message has to be kept, or sent back, for a job whose turn has not come.
//!
//! Every job is in PostgreSQL, so a consumer that nobody wakes still works: when RabbitMQ delivers nothing for
//! [`Engine::quiet`], or its subscription is down, the consumer looks into the database by itself.

use std::time::Duration;

use chrono::TimeDelta;
use common::broker::{Delivery, LinkState, Wakeup};
use common::db;
use common::error_chain::ErrorChain;
use common::job::claim::{self, Claim};
use common::job::{Job, Lane};
use common::lifecycle::Context;
use tokio::sync::Notify;
use tokio::time::Instant;
use tracing::{info, warn};

use crate::Engine;
use crate::forwarding;
use crate::platform;
use crate::running;
use crate::slots::{JobSlot, SlotPermit, Slots};

/// RabbitMQ closes the channel of a delivery that is not acknowledged for half an hour.
const MAX_UNACKNOWLEDGED: Duration = Duration::from_mins(15);
pub(crate) const RETRY_PAUSE: Duration = Duration::from_secs(1);
/// A short statement that takes longer is given up: PostgreSQL is there and does not answer.
pub(crate) const STATEMENT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long an answer of PostgreSQL is still waited for when the process is asked to stop.
const GRACE: Duration = Duration::from_secs(1);
/// How often a consumer whose subscription is down looks for jobs by itself.
const POLL_INTERVAL: Duration = Duration::from_secs(3);

/// Claims and runs jobs until asked to stop, then waits for the slots to give theirs back.
pub async fn work(engine: &Engine, context: &Context) {
    let slots = Slots::new(engine.slots);
    let heard = Notify::new();
    tokio::join!(
        Box::pin(claim_lane(engine, context, &slots, Lane::Backfill)),
        Box::pin(claim_lane(engine, context, &slots, Lane::Interactive)),
        Box::pin(keep_listening(engine, context, &slots, &heard)),
        Box::pin(poll_when_quiet(engine, context, &slots, &heard)),
        Box::pin(forwarding::forward(engine, context)),
        Box::pin(platform::work(engine, context)),
    );
    slots.running.close();
    slots.running.wait().await;
}

async fn keep_listening(engine: &Engine, context: &Context, slots: &Slots, heard: &Notify) {
    while !context.shutdown.is_cancelled() {
        let listening = listen(engine, context, slots, heard);
        if let Some(Err(cause)) = context.shutdown.run_until_cancelled(listening).await {
            warn!(error = %ErrorChain(&cause), "wake-ups broke off");
            context.sleep(RETRY_PAUSE).await;
        }
    }
}

/// Looks for jobs when nothing was heard for too long. Without RabbitMQ the subscription itself does so.
async fn poll_when_quiet(engine: &Engine, context: &Context, slots: &Slots, heard: &Notify) {
    if engine.broker.receiving() == LinkState::NotConfigured {
        return;
    }
    let mut polls_often = false;
    let mut last = Instant::now();
    loop {
        tokio::select! {
            () = heard.notified() => last = Instant::now(),
            slept = context.sleep(RETRY_PAUSE) => if !slept { return },
        }
        let receives = engine.broker.receiving() == LinkState::Up;
        if receives == polls_often {
            polls_often = !receives;
            let looking = if polls_often { 1.0 } else { 0.0 };
            metrics::gauge!("stripe_sync_consumer_polling").set(looking);
            if polls_often {
                let every_secs = POLL_INTERVAL.as_secs();
                info!(
                    every_secs,
                    "RabbitMQ wakes nobody: looking for jobs in PostgreSQL"
                );
            } else {
                info!("RabbitMQ wakes this consumer");
            }
        }
        let poll_interval = if polls_often {
            POLL_INTERVAL
        } else {
            engine.quiet
        };
        if last.elapsed() >= poll_interval {
            last = Instant::now();
            slots.wake_both_lanes();
        }
    }
}

async fn listen(
    engine: &Engine,
    context: &Context,
    slots: &Slots,
    heard: &Notify,
) -> Result<(), common::broker::Error> {
    let mut wakeups = engine.broker.subscribe(engine.slots).await?;
    // Backfills whose messages another consumer dropped, and then ended.
    slots.backfill_wake.notify_one();
    loop {
        let wakeup = wakeups.next().await?;
        heard.notify_one();
        match wakeup {
            Wakeup::Job(delivery) => {
                let Ok(slot) = slots.all.clone().acquire_owned().await else {
                    return Ok(());
                };
                let delivered = run_delivered(
                    engine.clone(),
                    context.clone(),
                    slots.clone(),
                    delivery,
                    SlotPermit::interactive(slot),
                );
                slots.running.spawn(delivered);
            }
            Wakeup::Any => slots.wake_both_lanes(),
        }
    }
}

/// Whenever woken, fills slots with jobs of one lane until none of it can be claimed. Not stopped in
/// the middle of a claim, so that no job is claimed and then forgotten.
async fn claim_lane(engine: &Engine, context: &Context, slots: &Slots, lane: Lane) {
    let woken = match lane {
        Lane::Backfill => &slots.backfill_wake,
        Lane::Interactive => &slots.interactive_wake,
    };
    let stop = &context.shutdown;
    while stop.run_until_cancelled(woken.notified()).await.is_some() {
        // A slot first, then a job: what cannot be run is left to others.
        while let Some(Some(held)) = stop.run_until_cancelled(slots.hold(lane)).await {
            let claimed = claim(engine, slots, Claim::OldestInLane(lane));
            let Some(Some(job)) = within_grace(context, claimed).await else {
                break;
            };
            let (engine, context, slots) = (engine.clone(), context.clone(), slots.clone());
            slots.running.clone().spawn(async move {
                let slot = JobSlot::new(&slots, held);
                Box::pin(running::run(&engine, &context, job, Some(&slot))).await;
            });
        }
    }
}

/// None when asked to stop, and the answer does not come within a moment of that. What is claimed nevertheless
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

async fn run_delivered(
    engine: Engine,
    context: Context,
    slots: Slots,
    delivery: Delivery,
    held: SlotPermit,
) {
    let Some(job) = claim(&engine, &slots, Claim::Job(&delivery.job)).await else {
        // A backfill, for all that is known.
        slots.backfill_wake.notify_one();
        acknowledge(delivery).await;
        return;
    };
    let slot = JobSlot::new(&slots, held);
    let run = running::run(&engine, &context, job, Some(&slot));
    tokio::pin!(run);
    let early = tokio::select! {
        () = &mut run => false,
        () = tokio::time::sleep(MAX_UNACKNOWLEDGED) => true,
        () = slot.released() => true,
    };
    acknowledge(delivery).await;
    if early {
        run.await;
    }
}

async fn acknowledge(delivery: Delivery) {
    if let Err(cause) = delivery.ack().await {
        // The message comes again and names a job that is done or somebody's.
        warn!(error = %ErrorChain(&cause), "a delivery could not be acknowledged");
    }
}

async fn claim(engine: &Engine, slots: &Slots, what: Claim<'_>) -> Option<Job> {
    let lease = TimeDelta::from_std(engine.lease).unwrap_or(TimeDelta::MAX);
    let claimed = async {
        let mut conn = engine.services.pool.acquire().await?;
        claim::claim(
            &mut conn,
            what,
            &engine.owner,
            engine.services.clock.now(),
            lease,
        )
        .await
    };
    match tokio::time::timeout(STATEMENT_TIMEOUT, claimed).await {
        Ok(Ok(job)) => {
            slots.claiming.worked();
            job
        }
        Ok(Err(cause)) => {
            slots.claiming.failed(&cause);
            None
        }
        Err(_) => {
            slots
                .claiming
                .failed(&db::Error::Unavailable(sqlx::Error::PoolTimedOut));
            None
        }
    }
}
