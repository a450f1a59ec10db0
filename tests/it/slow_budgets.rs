//! Connections that may hardly ask Stripe anything: they keep nobody waiting, go on, and follow their setting.

use std::num::NonZeroU32;

use common::connection::connection_id;
use common::tenant::OrganizationId;
use reqwest::Method;
use serde_json::{Value, json};
use stripe_sim::{AccountHandle, Fault, FaultRule};
use tests::world::{World, WorldBuilder, unlimited_account};

/// More than a consumer of a [`World`] has slots.
const SLOW: usize = 5;

fn id_of(account: &AccountHandle) -> String {
    connection_id(&OrganizationId::new("acme").unwrap(), account.id())
}

/// Slow accounts of so many charges and a small one, at Stripe's rate for one endpoint.
fn accounts(mut builder: WorldBuilder, charges: u64) -> WorldBuilder {
    for seed in 0..=SLOW as u64 {
        let mut account = unlimited_account(if seed == SLOW as u64 { 5 } else { charges });
        account.seed = seed + 1;
        account.key = Some(format!("sk_test_slow_{seed}"));
        builder = builder.account(account);
    }
    builder.rate(NonZeroU32::new(25).unwrap())
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
async fn first_syncs_without_budget_give_their_slots_back_and_follow_the_setting() {
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
async fn incremental_jobs_without_budget_give_their_slots_back() {
    incremental_jobs_do_not_keep_others_waiting(World::builder()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn incremental_jobs_without_budget_give_their_slots_back_through_rabbitmq() {
    incremental_jobs_do_not_keep_others_waiting(World::builder().rabbitmq()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_that_stripe_asks_to_wait_give_their_slots_back() {
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
