//! Connections that are due at once: a job for each in PostgreSQL and a message for each, confirmed by
//! RabbitMQ, from the start of one scheduler. No consumer runs.

use std::time::Duration;

use anyhow::Context as _;
use stripe_sim::AccountConfig;
use tokio::time::Instant;

use crate::measure::{Measure, Run, Unit, thousands};
use crate::processor;
use crate::stage::{Queue, Servers, Stage};

const MOST_SECONDS: f64 = 30.0;
const LOOK: Duration = Duration::from_millis(100);
const WAIT_TIMEOUT: Duration = Duration::from_mins(15);

/// `tick`.
pub(super) async fn run(servers: &Servers) -> anyhow::Result<Run> {
    let connections = servers.sizes.due_connections();
    let mut stage = Stage::with_account(servers, AccountConfig::default()).await?;
    make_due(&stage, connections).await?;
    let postgres_before = processor::of_postgres(stage.database.admin()).await;
    let began = Instant::now();
    stage.engine.start("scheduler");
    let waiting = tokio::time::timeout(WAIT_TIMEOUT, all_waiting(servers, connections))
        .await
        .context("not all messages arrived")??;
    let seconds = began.elapsed().as_secs_f64();
    let processor_seconds = stage.engine.program("scheduler").processor_seconds();
    let postgres_seconds = processor::of_postgres(stage.database.admin()).await - postgres_before;
    let jobs: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM sync_jobs WHERE status = 'pending'")
        .fetch_one(stage.database.admin())
        .await?;

    let mut run = Run::default();
    run.measure(Measure::at_most(
        format!(
            "tick: {} due connections to as many jobs and confirmed messages",
            thousands(connections as f64)
        ),
        Unit::Seconds,
        seconds,
        servers.sizes.seconds(MOST_SECONDS),
        "from the start of the scheduler's process",
    ));
    run.measure(Measure::none(
        "tick: jobs too many or too few",
        (jobs as u64).abs_diff(connections) as usize,
        "",
    ));
    run.measure(Measure::none(
        "tick: messages too many or too few",
        waiting.abs_diff(connections) as usize,
        "",
    ));
    run.observe("jobs", connections as f64 / seconds, Unit::PerSecond);
    run.observe(
        "scheduler's processor time",
        processor_seconds,
        Unit::Seconds,
    );
    run.observe(
        "PostgreSQL's processor time",
        postgres_seconds,
        Unit::Seconds,
    );
    stage.close().await?;
    Ok(run)
}

/// Messages in the queue once there are as many as jobs.
async fn all_waiting(servers: &Servers, connections: u64) -> anyhow::Result<u64> {
    let mut queue = Queue::open(servers).await?;
    loop {
        match queue.waiting().await {
            Some(waiting) if waiting >= connections => return Ok(waiting),
            Some(_) => {}
            None => queue = Queue::open(servers).await?,
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Connections of as many organizations that have synced before.
async fn make_due(stage: &Stage, connections: u64) -> anyhow::Result<()> {
    let pool = stage.database.admin();
    for statement in [
        "INSERT INTO organizations (organization_id, name, created_at)
         SELECT 'tenant-' || n, 'Tenant ' || n, now() FROM generate_series(1, $1) AS n",
        "INSERT INTO platform_connections (organization_id, connection_id, connector, external_account_id,
                                           livemode, timezone, lookback_days, created_at, next_sync_at,
                                           scheduled_job_type)
         SELECT 'tenant-' || n, 'tenant-' || n || '-stripe-acct_' || n, 'stripe', 'acct_' || n, TRUE,
                'UTC', 365, now() - INTERVAL '30 days', now() - n * INTERVAL '1 millisecond',
                'incremental'
         FROM generate_series(1, $1) AS n",
        "INSERT INTO stripe_sync_state (organization_id, connection_id, covered_from, covered_to,
                                        full_synced_at, events_cursor)
         SELECT 'tenant-' || n, 'tenant-' || n || '-stripe-acct_' || n, now() - INTERVAL '395 days', now(),
                now() - INTERVAL '1 day', now() - INTERVAL '15 minutes'
         FROM generate_series(1, $1) AS n",
    ] {
        sqlx::query(statement).bind(connections as i64).execute(pool).await?;
    }
    sqlx::query("VACUUM ANALYZE").execute(pool).await?;
    stage.settle().await
}
