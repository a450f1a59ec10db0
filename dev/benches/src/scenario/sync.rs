//! The first sync of a large account, against the time that Stripe's limits leave.

use stripe_sim::{AccountConfig, Settings};

use crate::measure::{Measure, Run, Unit, thousands};
use crate::stage::{Servers, Stage};
use crate::{exact, processor};

/// Charges on a page, the most that Stripe gives.
const PAGE: u64 = 100;
/// More than the account's history, so that a midnight in between changes nothing.
const LOOKBACK_DAYS: u32 = 366;
const MIDDLE_LATENCY_MS: u64 = 300;
const LARGE_LATENCY_MS: u64 = 120;
/// Requests a second for one endpoint: Stripe's own limit, and what an account may be raised to.
const MIDDLE_RATE: u32 = 25;
const LARGE_RATE: u32 = 100;

/// How much longer than Stripe's rate allows a sync may take. The floor is arithmetic, which a busy host does not slow down,
/// while the engine's own part (before the first page and after the last, and the last sums) takes longer on one: 3 s of 40 s on
/// two cores that did little else.
const MIDDLE_FACTOR: f64 = 1.12;
/// The same at four times the rate, where writing takes most of two cores.
const LARGE_FACTOR: f64 = 1.20;

/// What memory may be at most, MiB, and by how much it may differ between two sizes of account.
const MOST_MEMORY: f64 = 96.0;
const MEMORY_FACTOR: f64 = 1.2;

/// What one first sync came to.
struct Synced {
    wall: f64,
    pages: u64,
    requests: u64,
    refused: u64,
    /// The consumer's peak, MiB.
    memory: f64,
    consumer_seconds: f64,
    postgres_seconds: f64,
    simulator_seconds: f64,
    connection_id: String,
}

async fn synced(stage: &mut Stage) -> anyhow::Result<Synced> {
    stage.start_all().await;
    let postgres_before = processor::of_postgres(stage.database.admin()).await;
    let simulator_before = processor::of_this_process();
    let key = stage.sim.first().key().to_owned();
    let (connected, wall) = stage.first_sync(&key, LOOKBACK_DAYS).await?;
    let requests = stage.sim.requests();
    let consumer = stage.engine.program("consumer");
    Ok(Synced {
        wall,
        pages: requests.of("GET /v1/charges"),
        requests: requests.total,
        refused: requests.with_status(429),
        memory: consumer.peak_memory() as f64 / 1024.0,
        consumer_seconds: consumer.processor_seconds(),
        postgres_seconds: processor::of_postgres(stage.database.admin()).await - postgres_before,
        simulator_seconds: processor::of_this_process() - simulator_before,
        connection_id: connected.connection_id,
    })
}

fn observe(run: &mut Run, charges: u64, synced: &Synced) {
    let rate = charges as f64 / synced.wall;
    run.observe("charges", rate, Unit::PerSecond);
    run.observe(
        "requests of all kinds",
        synced.requests as f64,
        Unit::Requests,
    );
    run.observe(
        "requests refused with 429",
        synced.refused as f64,
        Unit::Requests,
    );
    run.observe(
        "consumer's processor time",
        synced.consumer_seconds,
        Unit::Seconds,
    );
    run.observe(
        "PostgreSQL's processor time",
        synced.postgres_seconds,
        Unit::Seconds,
    );
    run.observe(
        "simulator's processor time",
        synced.simulator_seconds,
        Unit::Seconds,
    );
    run.observe("consumer's peak memory", synced.memory, Unit::MiB);
}

/// `sync-100k`: everything that an account can have, at Stripe's latency and its published limits.
pub(super) async fn middle(servers: &Servers) -> anyhow::Result<Run> {
    let charges = servers.sizes.charges_at_published_rate();
    let account = AccountConfig {
        charges,
        livemode: true,
        settings: Some(Settings {
            latency_ms: MIDDLE_LATENCY_MS,
            ..Settings::stripe(true)
        }),
        ..AccountConfig::default()
    };
    let mut stage = Stage::with_account(servers, account).await?;
    let synced = synced(&mut stage).await?;
    let mut run = Run::default();
    let floor = charges as f64 / f64::from(MIDDLE_RATE * PAGE as u32);
    run.measure(Measure::of_floor(
        format!(
            "sync-100k: wall time of {} charges",
            thousands(charges as f64)
        ),
        Unit::Seconds,
        synced.wall,
        (floor, MIDDLE_FACTOR),
        "floor: charges ÷ (25 requests/s × 100 charges)",
    ));
    run.measure(Measure::of_floor(
        "sync-100k: requests for charges",
        Unit::Requests,
        synced.pages as f64,
        (charges.div_ceil(PAGE) as f64, 1.05),
        "floor: charges ÷ 100",
    ));
    let wrong = exact::differences(&stage, &synced.connection_id).await?;
    run.measure(Measure::none(
        "sync-100k: days and currencies that differ from the truth",
        wrong,
        "",
    ));
    observe(&mut run, charges, &synced);
    stage.close().await?;
    Ok(run)
}

fn account_of_charges_alone(charges: u64) -> AccountConfig {
    AccountConfig {
        charges,
        livemode: true,
        charges_only: true,
        settings: Some(Settings {
            latency_ms: LARGE_LATENCY_MS,
            rate_endpoint: LARGE_RATE,
            ..Settings::stripe(true)
        }),
        ..AccountConfig::default()
    }
}

async fn large_stage(servers: &Servers, charges: u64) -> anyhow::Result<Stage> {
    let mut stage = Stage::with_account(servers, account_of_charges_alone(charges)).await?;
    let rate = LARGE_RATE.to_string();
    stage.engine.set("STRIPE_RATE_ENDPOINT", Some(&rate));
    Ok(stage)
}

/// `sync-1m` and `memory`: as many charges as one account may have, and the consumer's memory compared with that of
/// a tenth of them.
pub(super) async fn large(servers: &Servers) -> anyhow::Result<Run> {
    let mut run = Run::default();
    let fewer = servers.sizes.middle_charges();
    let few = thousands(fewer as f64);
    let mut stage = large_stage(servers, fewer).await?;
    let smaller = synced(&mut stage).await?;
    stage.close().await?;

    let charges = servers.sizes.large_charges();
    let mut stage = large_stage(servers, charges).await?;
    let synced = synced(&mut stage).await?;
    let wrong = exact::differences(&stage, &synced.connection_id).await?;
    run.measure(Measure::of_floor(
        format!(
            "sync-1m: wall time of {} charges",
            thousands(charges as f64)
        ),
        Unit::Seconds,
        synced.wall,
        (
            charges as f64 / f64::from(LARGE_RATE * PAGE as u32),
            LARGE_FACTOR,
        ),
        "floor: charges ÷ (100 requests/s × 100 charges)",
    ));
    run.measure(Measure::none(
        "sync-1m: days and currencies that differ from the truth",
        wrong,
        "",
    ));
    run.measure(Measure::at_most(
        format!(
            "memory: the consumer's peak at {} charges",
            thousands(charges as f64)
        ),
        Unit::MiB,
        synced.memory,
        MOST_MEMORY,
        "",
    ));
    run.measure(Measure::of_floor(
        format!("memory: the same against its peak at {few}"),
        Unit::MiB,
        synced.memory,
        (smaller.memory, MEMORY_FACTOR),
        format!("floor: the peak of a fresh consumer at {few} charges"),
    ));
    observe(&mut run, charges, &synced);
    run.observe(
        format!("wall time of {few} charges"),
        smaller.wall,
        Unit::Seconds,
    );
    stage.close().await?;
    Ok(run)
}
