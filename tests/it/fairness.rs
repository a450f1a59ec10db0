//! Big accounts together with small ones: backfills that last do not keep connections waiting whose jobs take moments.

use std::time::Duration;

use common::connection::connection_id;
use common::tenant::OrganizationId;
use reqwest::Method;
use serde_json::{Value, json};
use stripe_sim::AccountHandle;
use tests::world::{World, WorldBuilder, unlimited_account};

/// Slots of a consumer of a [`World`], and those that full jobs may hold.
const SLOTS: u16 = 4;
const SHARE: i64 = 3;
/// More than there are slots.
const BIG: usize = 6;
const SMALL: usize = 3;
/// Milliseconds that an answer to a big account takes: longer than a test does.
const NEVER: u64 = 600_000;

async fn connect(world: &World, account: &AccountHandle) -> Value {
    let body = json!({
        "organization_id": "acme", "api_key": account.key(), "lookback_days": 120,
    });
    let path = "/v1/connectors/stripe/connect";
    let answer = world.ask(Method::POST, path, Some(body)).await.expect(201);
    answer["job_id"].clone()
}

async fn sync(world: &World, account: &AccountHandle) {
    let organization = OrganizationId::new("acme").unwrap();
    let id = connection_id(&organization, "stripe", account.id());
    let path = format!("/v1/connectors/stripe/{id}/sync");
    let answer = world.ask(Method::POST, &path, Some(json!({}))).await;
    world.job_completed(&answer.expect(202)["job_id"]).await;
}

/// How many full jobs are running, and how many wait.
async fn full_jobs(world: &World) -> (i64, i64) {
    sqlx::query_as(
        "SELECT COUNT(*) FILTER (WHERE status = 'running'), COUNT(*) FILTER (WHERE status = 'pending')
         FROM sync_jobs WHERE job_type = 'full'",
    )
    .fetch_one(world.database.admin())
    .await
    .unwrap()
}

async fn until_full_jobs(world: &World, wanted: (i64, i64)) {
    world
        .eventually(&format!("{wanted:?} full jobs"), async || {
            (full_jobs(world).await == wanted).then_some(())
        })
        .await;
}

/// There is no dispatcher in this world: a message about a full job that is lost stays lost.
async fn small_ones_do_not_wait(mut builder: WorldBuilder) {
    assert_eq!(i64::from(consumer::backfill_slots(SLOTS)), SHARE);
    for seed in 0..(SMALL + BIG) as u64 {
        let mut account = unlimited_account(5);
        account.seed = seed + 1;
        account.key = Some(format!("sk_test_fair_{seed}"));
        builder = builder.account(account);
    }
    // A job that is cancelled hears of it with its next heartbeat.
    let mut world = builder.lease(Duration::from_secs(2)).start().await;
    let accounts = world.sim.accounts();
    let (small, big) = accounts.split_at(SMALL);
    for account in small {
        let job = connect(&world, account).await;
        world.job_completed(&job).await;
    }
    world.stop_consumers().await;
    let mut backfills = Vec::new();
    for account in big {
        backfills.push(connect(&world, account).await);
        account.configure(|settings| settings.latency_ms = NEVER);
    }
    world.start_consumer();
    let waiting = BIG as i64 - SHARE;
    until_full_jobs(&world, (SHARE, waiting)).await;
    for _ in 0..3 {
        for account in small {
            sync(&world, account).await;
        }
    }
    assert_eq!(
        full_jobs(&world).await,
        (SHARE, waiting),
        "the small ones passed them"
    );

    // What gives up its place is followed by the next that waits.
    for (n, job) in (1..).zip(&backfills[..2]) {
        let path = format!("/v1/sync-jobs/{}/cancel", job.as_str().unwrap());
        world.ask(Method::POST, &path, None).await.expect(200);
        until_full_jobs(&world, (SHARE, waiting - n)).await;
    }
    sync(&world, &small[0]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn backfills_do_not_block_small_connections() {
    small_ones_do_not_wait(World::builder()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn backfills_do_not_block_small_connections_through_rabbitmq() {
    small_ones_do_not_wait(World::builder().rabbitmq()).await;
}

/// Connections whose incremental jobs turn out to need a full one keep to the same share.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn widened_jobs_respect_the_backfill_slots() {
    let mut builder = World::builder();
    for seed in 0..(1 + BIG) as u64 {
        let mut account = unlimited_account(5);
        account.seed = seed + 1;
        account.key = Some(format!("sk_test_fair_{seed}"));
        builder = builder.account(account);
    }
    let mut world = builder.rabbitmq().start().await;
    let accounts = world.sim.accounts();
    for account in &accounts {
        let job = connect(&world, account).await;
        world.job_completed(&job).await;
    }
    world.stop_consumers().await;
    let (small, big) = accounts.split_at(1);
    sqlx::query("UPDATE stripe_sync_state SET events_cursor = NOW() - INTERVAL '60 days' WHERE connection_id <> $1")
        .bind(connection_id(&OrganizationId::new("acme").unwrap(), "stripe", small[0].id()))
        .execute(world.database.admin())
        .await
        .unwrap();
    for account in big {
        account.configure(|settings| settings.latency_ms = NEVER);
        let organization = OrganizationId::new("acme").unwrap();
        let id = connection_id(&organization, "stripe", account.id());
        let path = format!("/v1/connectors/stripe/{id}/sync");
        let body = json!({"job_type": "incremental"});
        world.ask(Method::POST, &path, Some(body)).await.expect(202);
    }
    world.start_consumer();
    world
        .eventually("all to have become full ones", async || {
            let all: i64 = sqlx::query_scalar(
                "SELECT COUNT(*) FROM sync_jobs WHERE job_type = 'full' AND status = 'running'",
            )
            .fetch_one(world.database.admin())
            .await
            .unwrap();
            (all == BIG as i64).then_some(())
        })
        .await;
    sync(&world, &small[0]).await;
    let held: i64 = sqlx::query_scalar(
        "SELECT COUNT(*) FROM sync_jobs WHERE job_type = 'full' AND lease_owner IS NOT NULL",
    )
    .fetch_one(world.database.admin())
    .await
    .unwrap();
    assert_eq!(held, SHARE);
}
