//! The scheduler: writes the jobs of connections that are due, sends messages about jobs that nobody took up, and deletes
//! old webhook events and jobs.
//!
//! Both are passes over the whole database that decide by what they find, so a pass that was missed,
//! doubled or cut short is made good by the next one, and any number of schedulers may run. It never
//! calls Stripe, never decrypts, and holds nothing in memory that matters.
//!
//! What fails: while PostgreSQL is away passes fail and are tried again; while the broker is away
//! jobs are written and wait. Neither ends the program.

mod config;
mod dispatch;
mod event_retries;
mod retention;
mod tick;

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use common::broker::{self, Broker};
use common::clock::SharedClock;
use common::connector::Connectors;
use common::db::{self, Role};
use common::error_chain::ErrorChain;
use common::job::JobRef;
use common::lifecycle::{self, Context, Health};
use common::outage::Outage;
use stripe::StripeConnector;
use tokio::sync::Notify;
use tokio_cron_scheduler::{Job, JobScheduler, JobSchedulerError};
use tracing::{debug, info, warn};

pub use config::{Args, Config, InvalidSchedule, RetentionArgs, Schedule, ScheduleArgs};
pub use dispatch::dispatch;
pub use retention::{Deleted, delete_old};
pub use tick::{Ticked, tick};

/// Two passes at once, and one for health.
const POOL_CONNECTIONS: u32 = 4;

/// How often undispatched jobs are looked for. With [`dispatch::REDISPATCH_AFTER`] a lost message is made
/// good within 20 s, and a lost consumer within its lease and 5 s.
const DISPATCH_INTERVAL: Duration = Duration::from_secs(5);

/// Bounds of the pause before a failed tick is tried again, rather than left to the schedule.
const RETRY_PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(10));

#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database's URL was not understood.
    #[error("the database cannot be used")]
    Database(#[source] db::Error),
    /// The broker's URL was not understood.
    #[error("the broker cannot be used")]
    Broker(#[source] broker::Error),
    /// The health server did not start.
    #[error("the health server did not start")]
    Ops(#[source] lifecycle::Error),
    /// The schedule could not be run.
    #[error("the schedule could not be run")]
    Schedule(#[source] JobSchedulerError),
}

#[derive(Debug, Clone)]
pub struct Scheduler {
    pub pool: db::Pool,
    pub broker: Arc<dyn Broker>,
    pub clock: SharedClock,
    /// Whose kinds of jobs the schedule makes.
    pub connectors: Connectors,
    /// How long webhook events are kept that need nothing more.
    pub webhook_retention: TimeDelta,
}

impl Scheduler {
    /// Sends messages about jobs. A failure is left to the next [`dispatch`].
    async fn publish(&self, jobs: &[JobRef]) {
        if let Err(cause) = self.broker.publish(jobs).await {
            metrics::counter!("stripe_sync_publish_failures_total").increment(1);
            debug!(error = %ErrorChain(&cause), jobs = jobs.len(), "jobs wait for the next dispatch");
        }
    }
}

/// Runs until asked to stop.
///
/// # Errors
/// Only at the start, when a setting cannot be used.
pub async fn run(config: Config, context: Context) -> Result<(), Error> {
    let url = &config.database.database_url;
    let pool = db::connect(url, Role::Scheduler, POOL_CONNECTIONS).map_err(Error::Database)?;
    let amqp_url = config.broker.amqp_url.as_ref();
    let broker =
        broker::connect(amqp_url, &config.broker.queue_prefix, &pool).map_err(Error::Broker)?;
    let health = Health::of_publisher(&pool, Role::Scheduler, Arc::clone(&broker));
    let _ops = match config.ops_bind {
        Some(bind) => Some(
            lifecycle::serve_ops(bind, health.clone())
                .await
                .map_err(Error::Ops)?,
        ),
        None => None,
    };
    if !lifecycle::wait_until_migrated(&pool, Role::Scheduler, &context).await {
        return Ok(());
    }
    let scheduler = Scheduler {
        pool,
        broker,
        clock: Arc::clone(&context.clock),
        connectors: Connectors::new(&[&StripeConnector]),
        webhook_retention: config.webhook_retention,
    };
    let due = Arc::new(Notify::new());
    // What became due while no scheduler ran does not wait for the schedule.
    due.notify_one();
    let mut cron = start_cron(&config.sync_schedule, &due)
        .await
        .map_err(Error::Schedule)?;
    info!(schedule = config.sync_schedule.as_str(), "scheduling");
    health.begin();
    tokio::join!(
        tick_when_due(&scheduler, &due, &context),
        keep_dispatching(&scheduler, &context)
    );
    if let Err(cause) = cron.shutdown().await {
        warn!(error = %cause, "the schedule did not stop");
    }
    Ok(())
}

async fn start_cron(
    schedule: &Schedule,
    due: &Arc<Notify>,
) -> Result<JobScheduler, JobSchedulerError> {
    let cron = JobScheduler::new().await?;
    let due = Arc::clone(due);
    // The schedule only rings; a tick that takes longer than the schedule's step is not overtaken.
    cron.add(Job::new(schedule.as_str(), move |_, _| due.notify_one())?)
        .await?;
    cron.start().await?;
    Ok(cron)
}

async fn tick_when_due(scheduler: &Scheduler, due: &Notify, context: &Context) {
    let outage = Outage::new("the tick");
    while context
        .shutdown
        .run_until_cancelled(due.notified())
        .await
        .is_some()
    {
        let mut pause = RETRY_PAUSE.0;
        while let Err(cause) = tick_and_tidy(scheduler).await {
            outage.failed(&cause);
            if !context.sleep(pause).await {
                return;
            }
            pause = (pause * 2).min(RETRY_PAUSE.1);
        }
        outage.worked();
    }
}

async fn tick_and_tidy(scheduler: &Scheduler) -> Result<(), db::Error> {
    tick(scheduler).await?;
    delete_old(scheduler).await?;
    Ok(())
}

async fn keep_dispatching(scheduler: &Scheduler, context: &Context) {
    let outage = Outage::new("the dispatch");
    while context.sleep(DISPATCH_INTERVAL).await {
        match dispatch(scheduler).await {
            Ok(_) => outage.worked(),
            Err(cause) => outage.failed(&cause),
        }
    }
}
