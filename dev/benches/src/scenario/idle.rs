//! Connections on which nothing happened, all due at once: one request each, and all done soon.

use std::time::Duration;

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use common::clock::{Clock as _, SystemClock};
use stripe_sim::{AccountConfig, Settings, Simulator};

use super::tenants;
use crate::measure::{Measure, Run, Unit, thousands};
use crate::processor;
use crate::stage::{Servers, Stage};

const LATENCY_MS: u64 = 100;
const CHARGES_EACH: u64 = 5;
const LOOKBACK_DAYS: u32 = 366;
/// Jobs side by side in the one consumer: they mostly wait for Stripe, so an operator with so many
/// connections gives it many more than the default of 8.
const CONCURRENCY: &str = "64";
const MOST_SECONDS: f64 = 60.0;
const LOOK: Duration = Duration::from_millis(250);
const WAIT_TIMEOUT: Duration = Duration::from_mins(30);

/// `idle`.
pub(super) async fn run(servers: &Servers) -> anyhow::Result<Run> {
    let connections = servers.sizes.idle_connections();
    let first = AccountConfig {
        charges: CHARGES_EACH,
        settings: Some(Settings {
            latency_ms: LATENCY_MS,
            ..Settings::stripe(false)
        }),
        ..AccountConfig::default()
    };
    let simulator = Simulator::builder()
        .account(first)
        .idle_accounts(connections as usize, CHARGES_EACH);
    let mut stage = Stage::with_simulator(servers, simulator).await?;
    stage.engine.set("CONSUMER_CONCURRENCY", Some(CONCURRENCY));
    for program in ["api", "consumer"] {
        stage.engine.start(program);
    }
    let (connected, _) = stage
        .first_sync(stage.sim.first().key(), LOOKBACK_DAYS)
        .await?;
    stage.engine.terminate().await;
    let accounts = stage.sim.accounts();
    tenants::copy_to(&stage, &connected.connection_id, &accounts[1..]).await?;

    let postgres_before = processor::of_postgres(stage.database.admin()).await;
    stage.sim.reset_requests();
    let due = SystemClock.now();
    sqlx::query(
        "UPDATE platform_connections SET next_sync_at = $1 WHERE organization_id <> 'acme'",
    )
    .bind(due)
    .execute(stage.database.admin())
    .await?;
    for program in ["scheduler", "consumer"] {
        stage.engine.start(program);
    }
    let ended = all_ended(&stage, connections).await?;
    let seconds = (ended - due).as_seconds_f64();
    let postgres_seconds = processor::of_postgres(stage.database.admin()).await - postgres_before;
    let requests = stage.sim.requests();
    let mut of_account = std::collections::BTreeMap::<&str, u64>::new();
    for count in &requests.counts {
        *of_account.entry(&count.account).or_default() += count.count;
    }
    let not_one = accounts[1..]
        .iter()
        .filter(|account| of_account.get(account.id()) != Some(&1));
    let not_one = not_one.count();

    let mut run = Run::default();
    run.measure(Measure::at_most(
        format!(
            "idle: {} connections synced after becoming due",
            thousands(connections as f64)
        ),
        Unit::Seconds,
        seconds,
        servers.sizes.seconds(MOST_SECONDS),
        format!("one consumer with CONSUMER_CONCURRENCY={CONCURRENCY}"),
    ));
    run.measure(Measure::none(
        "idle: connections that cost more or less than one request",
        not_one,
        "",
    ));
    run.observe("connections", connections as f64 / seconds, Unit::PerSecond);
    run.observe(
        "PostgreSQL's processor time",
        postgres_seconds,
        Unit::Seconds,
    );
    let consumer = stage.engine.program("consumer");
    run.observe(
        "consumer's processor time",
        consumer.processor_seconds(),
        Unit::Seconds,
    );
    run.observe(
        "consumer's peak memory",
        consumer.peak_memory() as f64 / 1024.0,
        Unit::MiB,
    );
    stage.close().await?;
    Ok(run)
}

/// When the last of the incremental jobs ended, all of which must complete.
async fn all_ended(stage: &Stage, connections: u64) -> anyhow::Result<DateTime<Utc>> {
    let looked = async {
        loop {
            let (completed, unlucky, last): (i64, i64, Option<DateTime<Utc>>) = sqlx::query_as(
                "SELECT COUNT(*) FILTER (WHERE status = 'completed'),
                        COUNT(*) FILTER (WHERE status IN ('failed', 'cancelled')), MAX(finished_at)
                 FROM sync_jobs WHERE organization_id <> 'acme'",
            )
            .fetch_one(stage.database.admin())
            .await?;
            anyhow::ensure!(unlucky == 0, "{unlucky} jobs failed");
            if completed as u64 >= connections {
                return last.context("a job that ended");
            }
            tokio::time::sleep(LOOK).await;
        }
    };
    tokio::time::timeout(WAIT_TIMEOUT, looked)
        .await
        .context("not all connections were synced")?
}
