//! Connections that may hardly ask Stripe anything: they keep nobody waiting, go on, and follow their setting.

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use common::connection::connection_id;
use common::fail_point::{FailPoint, FailPoints};
use common::tenant::OrganizationId;
use reqwest::Method;
use serde_json::{Value, json};
use stripe_sim::{AccountHandle, Fault, FaultRule};
use tests::world::{World, WorldBuilder, unlimited_account};
use tokio::sync::watch;

/// More than a consumer of a [`World`] has slots.
const SLOW: usize = 5;

fn id_of(account: &AccountHandle) -> String {
    connection_id(
        &OrganizationId::new("acme").unwrap(),
        "stripe",
        account.id(),
    )
}

/// [`SLOW`] accounts of so many charges and a small one, at Stripe's rate for one endpoint.
fn accounts(builder: WorldBuilder, charges: u64) -> WorldBuilder {
    slow_accounts(builder, SLOW, charges, 25)
}

/// So many accounts of so many charges and a small one, at a rate of requests a second.
fn slow_accounts(mut builder: WorldBuilder, slow: usize, charges: u64, rate: u32) -> WorldBuilder {
    for seed in 0..=slow as u64 {
        let mut account = unlimited_account(if seed == slow as u64 { 5 } else { charges });
        account.seed = seed + 1;
        account.key = Some(format!("sk_test_slow_{seed}"));
        builder = builder.account(account);
    }
    builder.rate(NonZeroU32::new(rate).unwrap())
}

async fn connect(world: &World, account: &AccountHandle) -> Value {
    let body = json!({
        "organization_id": "acme", "api_key": account.key(), "lookback_days": 120,
    });
    let path = "/v1/connectors/stripe/connect";
    let answer = world.ask(Method::POST, path, Some(body)).await.expect(201);
    answer["job_id"].clone()
}

async fn set_share(world: &World, account: &AccountHandle, share: f64) {
    let path = format!("/v1/connectors/{}", id_of(account));
    let body = json!({"rate_share": share});
    world
        .ask(Method::PATCH, &path, Some(body))
        .await
        .expect(200);
}

async fn sync(world: &World, account: &AccountHandle) -> Value {
    let path = format!("/v1/connectors/stripe/{}/sync", id_of(account));
    let answer = world.ask(Method::POST, &path, Some(json!({}))).await;
    answer.expect(202)["job_id"].clone()
}

async fn job(world: &World, job_id: &Value) -> Value {
    let path = format!("/v1/sync-jobs/{}", job_id.as_str().unwrap());
    world.get(&path).await
}

/// Waits until every one of these jobs runs and has asked Stripe something.
async fn until_all_run(world: &World, jobs: &[Value]) {
    world
        .eventually("all slow jobs to run at the same time", async || {
            let mut running = 0;
            for id in jobs {
                running += usize::from(job(world, id).await["status"] == "running");
            }
            (running == jobs.len()).then_some(())
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn throttled_first_syncs_release_their_slots_and_follow_the_setting() {
    let mut world = accounts(World::builder().consumers(0), 3_000).start().await;
    let all = world.sim.accounts();
    let (slow, small) = all.split_at(SLOW);
    let mut jobs = Vec::new();
    for account in slow {
        jobs.push(connect(&world, account).await);
        set_share(&world, account, 0.01).await;
    }
    let last_in_line = connect(&world, &small[0]).await;
    world.start_consumer();
    world.job_completed(&last_in_line).await;
    until_all_run(&world, &jobs).await;
    for id in &jobs {
        let job = job(&world, id).await;
        assert_eq!((&job["attempt"], &job["error"]), (&json!(1), &Value::Null));
    }

    // Two requests and more: it goes on.
    world
        .eventually("a slow job to go on", async || {
            let progress = &job(&world, &jobs[0]).await["progress"];
            (progress["requests"].as_i64() >= Some(2)).then_some(())
        })
        .await;
    let asked_at = tokio::time::Instant::now();
    set_share(&world, &slow[0], 1.0).await;
    let completed = world.job_completed(&jobs[0]).await;
    assert_eq!(completed["attempt"], 1, "it was never given up");
    // At the former rate it would have taken three minutes more.
    assert!(
        asked_at.elapsed().as_secs() < 60,
        "{:?}",
        asked_at.elapsed()
    );
    world.assert_exact().await;
}

async fn incremental_jobs_do_not_keep_others_waiting(builder: WorldBuilder) {
    let world = accounts(builder, 200).start().await;
    let all = world.sim.accounts();
    let (slow, small) = all.split_at(SLOW);
    for account in &all {
        let job = connect(&world, account).await;
        world.job_completed(&job).await;
    }
    let mut jobs = Vec::new();
    for account in slow {
        account.churn(100, 7);
        set_share(&world, account, 0.01).await;
    }
    for account in slow {
        jobs.push(sync(&world, account).await);
    }
    let last_in_line = sync(&world, &small[0]).await;
    world.job_completed(&last_in_line).await;
    until_all_run(&world, &jobs).await;
    set_share(&world, &slow[0], 1.0).await;
    let completed = world.job_completed(&jobs[0]).await;
    assert_eq!(completed["attempt"], 1);
    world.assert_exact().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn throttled_incremental_jobs_release_their_slots() {
    incremental_jobs_do_not_keep_others_waiting(World::builder()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn throttled_incremental_jobs_release_their_slots_through_rabbitmq() {
    incremental_jobs_do_not_keep_others_waiting(World::builder().rabbitmq()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_waiting_for_retry_after_release_their_slots() {
    let mut world = accounts(World::builder().consumers(0), 5).start().await;
    let all = world.sim.accounts();
    let (asked_to_wait, small) = all.split_at(SLOW);
    let mut jobs = Vec::new();
    for account in asked_to_wait {
        jobs.push(connect(&world, account).await);
        account.add_fault(FaultRule {
            endpoint: Some("GET /v1/charges".to_owned()),
            fault: Fault::RateLimited("endpoint-rate".to_owned()),
            after: 0,
            times: 1_000,
            retry_after: Some(500),
        });
    }
    let last_in_line = connect(&world, &small[0]).await;
    world.start_consumer();
    world.job_completed(&last_in_line).await;
    until_all_run(&world, &jobs).await;
}

/// Holds every job that has heard from Stripe, while it is shut.
#[derive(Debug)]
struct Gate(watch::Sender<bool>);

#[async_trait]
impl FailPoints for Gate {
    async fn reached(&self, point: FailPoint) {
        if point == FailPoint::Answered {
            let mut is_open = self.0.subscribe();
            let _ = is_open.wait_for(|is_open| *is_open).await;
        }
    }
}

/// The accounts that asked Stripe something since the counts of requests were last reset.
fn asking(world: &World) -> BTreeSet<String> {
    let counts = world.sim.requests().counts;
    counts.into_iter().map(|count| count.account).collect()
}

/// Waits until all running jobs have noted that they are alive, and what their connection's share is, since now.
async fn all_beat(world: &World, lease: Duration) {
    let now: chrono::DateTime<chrono::Utc> = sqlx::query_scalar("SELECT clock_timestamp()")
        .fetch_one(world.database.admin())
        .await
        .unwrap();
    world
        .eventually("a heartbeat of every job", async || {
            let silent: i64 = sqlx::query_scalar(
                "SELECT COUNT(*) FROM sync_jobs WHERE status = 'running' AND lease_expires_at <= $1",
            )
            .bind(now + lease)
            .fetch_one(world.database.admin())
            .await
            .unwrap();
            (silent == 0).then_some(())
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_jobs_that_turn_fast_at_once_wait_for_slots() {
    const SLOTS: u16 = 2;
    const JOBS: usize = 6;
    let lease = Duration::from_secs(10);
    let builder = World::builder().consumers(0).slots(SLOTS).lease(lease);
    // A slow job asks every 33 seconds.
    let mut world = slow_accounts(builder, JOBS, 5, 3).start().await;
    let all = world.sim.accounts();
    let mut jobs = Vec::new();
    for account in &all[..JOBS] {
        jobs.push(connect(&world, account).await);
        set_share(&world, account, 0.01).await;
    }
    world.sim.reset_requests();
    let gate = Arc::new(Gate(watch::Sender::new(true)));
    world.start_consumer_with(Arc::clone(&gate) as _);
    world
        .eventually("every job to have asked once", async || {
            (asking(&world).len() == JOBS).then_some(())
        })
        .await;
    until_all_run(&world, &jobs).await;
    gate.0.send_replace(false);
    world.sim.reset_requests();
    sqlx::query("UPDATE platform_connections SET rate_share = 1")
        .execute(world.database.admin())
        .await
        .unwrap();
    world
        .eventually("a job to go on", async || {
            (!asking(&world).is_empty()).then_some(())
        })
        .await;
    all_beat(&world, lease).await;
    all_beat(&world, lease).await;
    let working = asking(&world).len();
    assert!(
        working <= usize::from(SLOTS),
        "{working} jobs work at the same time"
    );
    gate.0.send_replace(true);
    for id in &jobs {
        let job = world.job_completed(id).await;
        assert_eq!(job["attempt"], 1, "it was never given up");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn however_many_slow_jobs_there_are_they_hold_no_slot() {
    // A consumer of one slot keeps sixteen.
    const JOBS: usize = 18;
    let builder = World::builder().consumers(0).slots(1);
    let mut world = slow_accounts(builder, JOBS, 1_000, 25).start().await;
    let all = world.sim.accounts();
    for account in &all[..JOBS] {
        connect(&world, account).await;
        set_share(&world, account, 0.01).await;
    }
    let last_in_line = connect(&world, &all[JOBS]).await;
    world.start_consumer();
    world.job_completed(&last_in_line).await;
    world
        .eventually("sixteen held and two given back", async || {
            let counts: (i64, i64, i64) = sqlx::query_as(
                "SELECT COUNT(*) FILTER (WHERE lease_owner IS NOT NULL),
                COUNT(*) FILTER (WHERE lease_owner IS NULL AND lease_expires_at > NOW()
                                 AND error_code = 'stripe_unavailable'), SUM(failures)::BIGINT
         FROM sync_jobs WHERE status = 'running'",
            )
            .fetch_one(world.database.admin())
            .await
            .unwrap();
            (counts == (16, 2, 0)).then_some(())
        })
        .await;
}
