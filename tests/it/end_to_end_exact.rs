//! The whole of an account against the simulator's truth, whatever goes wrong on the way and whatever shape
//! its objects have; and what that costs in requests.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use common::clock::{Clock as _, SystemClock};
use serde_json::{Value, json};
use stripe_sim::{AccountConfig, AccountHandle, ApiVersion, Settings, TimeSource};
use tests::random::size;
use tests::world::World;

/// Seconds by which events are dated late, and shown late.
const DISORDER_SECONDS: u32 = 2;
/// Changes between two looks at whether the sync has ended.
const CHANGES_AT_ONCE: u64 = 5;
const PAUSE_BETWEEN_CHANGES: Duration = Duration::from_millis(80);

fn default_account(seed: u64) -> AccountConfig {
    AccountConfig {
        seed,
        settings: Some(Settings::unlimited()),
        ..AccountConfig::default()
    }
}

fn faults_of_every_kind(settings: &mut Settings) {
    settings.fault_500_percent = 5.0;
    settings.fault_429_percent = 5.0;
    settings.fault_reset_percent = 5.0;
    settings.fault_truncate_percent = 5.0;
    settings.event_duplicate_percent = 5.0;
    settings.event_disorder_seconds = DISORDER_SECONDS;
}

/// Changes the account until a job has ended.
async fn change_until(account: &AccountHandle, seed: u64, ended: &AtomicBool) {
    for round in 0.. {
        if ended.load(Ordering::Relaxed) {
            return;
        }
        account.churn(CHANGES_AT_ONCE, seed * 1_000 + round);
        tokio::time::sleep(PAUSE_BETWEEN_CHANGES).await;
    }
}

async fn changing<T>(account: &AccountHandle, seed: u64, sync: impl Future<Output = T>) -> T {
    let ended = AtomicBool::new(false);
    let sync = async {
        let result = sync.await;
        ended.store(true, Ordering::Relaxed);
        result
    };
    let (result, ()) = tokio::join!(sync, change_until(account, seed, &ended));
    result
}

/// Waits until Stripe shows the events of all changes so far.
async fn every_event_shows(world: &World) {
    world
        .stripe_seconds_pass(i64::from(DISORDER_SECONDS) + 1)
        .await;
}

/// Syncs the default account while it changes and a fifth of the requests fail; then once more.
async fn assert_exact_in_spite_of_faults(seed: u64) {
    eprintln!("TRUTH_SEED={seed}");
    let world = World::builder()
        .account(default_account(seed))
        .start()
        .await;
    let account = world.account();
    account.churn(30, seed);
    let connected = world
        .connect_with(json!({"lookback_days": 400}))
        .await
        .expect(201);
    account.configure(faults_of_every_kind);
    changing(&account, seed, world.job_completed(&connected["job_id"])).await;
    changing(&account, seed + 1, world.sync(json!({}))).await;
    every_event_shows(&world).await;
    world.sync(json!({})).await;
    world.assert_exact().await;
    // Events that are never made leave no trace but in the lists.
    account.configure(|settings| settings.event_lost_percent = 5.0);
    changing(&account, seed + 2, world.sync(json!({}))).await;
    world.sync(json!({"job_type": "full"})).await;
    world.assert_exact().await;
}

/// The seeds of one of two halves, so that two run side by side. `TRUTH_SEEDS` says how many in all.
async fn each_seed_of(half: u64) {
    for seed in (1..=size("TRUTH_SEEDS", 4, 20)).filter(|seed| seed % 2 == half) {
        assert_exact_in_spite_of_faults(seed).await;
    }
}

#[tokio::test]
async fn faults_and_changes_end_exact_in_odd_seeds() {
    each_seed_of(1).await;
}

#[tokio::test]
async fn faults_and_changes_end_exact_in_even_seeds() {
    each_seed_of(0).await;
}

/// All rows of an account whose answers have one shape, after a full and an incremental job.
async fn rows_in_shape(always: Option<ApiVersion>, now: i64) -> Vec<Value> {
    let world = World::builder()
        .account(AccountConfig {
            always,
            long_invoice_percent: 10,
            ..default_account(3)
        })
        .stripe_time(TimeSource::Frozen(now))
        .event_lag(Duration::ZERO)
        .start()
        .await;
    world.account().churn(50, 1);
    let connected = world
        .connect_with(json!({"lookback_days": 400}))
        .await
        .expect(201);
    world.job_completed(&connected["job_id"]).await;
    world.account().churn(100, 2);
    world.sync(json!({})).await;
    world.assert_exact().await;
    let path = format!(
        "/v1/analytics/stripe/charges?connection_id={}",
        world.connection_id()
    );
    world.all(&path, "data").await
}

#[tokio::test]
async fn api_version_changes_keep_every_column() {
    let now = SystemClock.now().timestamp();
    let newer = rows_in_shape(None, now).await;
    let older = rows_in_shape(Some(ApiVersion::Acacia), now).await;
    assert!(newer.iter().any(|row| row["product_id"].is_string()));
    assert_eq!(newer.len(), older.len());
    for (newer, older) in newer.iter().zip(&older) {
        assert_eq!(newer, older);
    }
}

#[tokio::test]
async fn a_full_sync_costs_at_most_3_3_requests_for_100_charges() {
    let mut world = World::builder()
        .account(default_account(1))
        .consumers(0)
        .start()
        .await;
    let connected = world
        .connect_with(json!({"lookback_days": 400}))
        .await
        .expect(201);
    world.sim.reset_requests();
    world.start_consumer();
    let job = world.job_completed(&connected["job_id"]).await;
    let requests = world.sim.requests();
    assert_eq!(job["progress"]["requests"], requests.total);
    let charges = world.account().generated_charges();
    assert_eq!(job["progress"]["charges_seen"], charges);
    let per_hundred = requests.total as f64 * 100.0 / charges as f64;
    eprintln!("{per_hundred:.2} requests for 100 charges: {requests:#?}");
    assert!(per_hundred <= 3.3, "{per_hundred:.2}: {requests:#?}");
    world.assert_exact().await;
}
