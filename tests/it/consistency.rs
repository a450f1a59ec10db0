//! The invariant that what is stored is what a fresh full sync would store now, where it was once broken: at the
//! edges of the daily listing, after jobs that were given up, and by objects that change their mind.

use std::sync::Arc;

use common::clock::{Clock as _, SystemClock};
use common::fail_point::{FailPoint, FailPoints};
use reqwest::Method;
use serde_json::{Value, json};
use stripe_sim::{Fault, FaultRule, NewCharge, NewLine, TimeSource};
use tests::world::{World, unlimited_account};

const DAY: i64 = 86_400;

fn now() -> i64 {
    SystemClock.now().timestamp()
}

/// Makes the next job the first of a day.
async fn let_a_day_begin(world: &World) {
    sqlx::query("UPDATE stripe_sync_state SET reconciled_on = reconciled_on - 1")
        .execute(world.database.admin())
        .await
        .unwrap();
}

async fn rows_of(world: &World, charge: &str) -> Vec<Value> {
    let id = world.connection_id();
    let path = format!("/v1/analytics/stripe/charges?connection_id={id}");
    let all = world.all(&path, "data").await;
    all.into_iter()
        .filter(|row| row["charge_id"] == charge)
        .collect()
}

/// The rows of a charge as a connection shows them that was made just now.
async fn rows_of_a_fresh_sync(world: &mut World, charge: &str) -> Vec<Value> {
    world.organization("fresh").await;
    let token = world.token_of("fresh").to_owned();
    let body = json!({
        "organization_id": "fresh", "api_key": world.account().key(), "lookback_days": 120,
    });
    let path = "/v1/connectors/stripe/connect";
    let connected = world.ask_as(&token, Method::POST, path, Some(body)).await;
    let connected = connected.expect(201);
    let job = format!("/v1/sync-jobs/{}", connected["job_id"].as_str().unwrap());
    world
        .eventually("a fresh full sync", async || {
            let job = world
                .ask_as(&token, Method::GET, &job, None)
                .await
                .expect(200);
            (job["status"] == "completed").then_some(())
        })
        .await;
    let id = connected["connection_id"].as_str().unwrap();
    let path = format!("/v1/analytics/stripe/charges?connection_id={id}&limit=1000");
    let page = world
        .ask_as(&token, Method::GET, &path, None)
        .await
        .expect(200);
    let rows = page["data"].as_array().unwrap().iter().cloned();
    rows.filter(|row| row["charge_id"] == charge).collect()
}

fn of_invoice(world: &World) -> NewCharge {
    let customer = world.account().create_customer(&[].into());
    let line = |amount| NewLine {
        amount: Some(amount),
        ..NewLine::default()
    };
    NewCharge {
        customer: Some(customer),
        invoice_lines: vec![line(700), line(300)],
        created: Some(now() - 2 * DAY),
        ..NewCharge::default()
    }
}

/// The daily recheck lists up to the second of `now - lag` and must not sweep into that second. Stripe's
/// clock is ahead, as it is for the engine whenever Stripe's first answer is made in the second after the
/// one in which the job began.
#[tokio::test]
async fn recheck_keeps_the_charges_of_its_last_second() {
    let world = World::builder()
        .account(unlimited_account(0))
        .stripe_time(TimeSource::RunningFrom(now() + 3))
        .start()
        .await;
    let account = world.account().quietly();
    for second in 40..75 {
        let new = NewCharge {
            created: Some(now() - second),
            ..NewCharge::of(1_000, "usd")
        };
        account.create_charge(&new).unwrap();
    }
    let connected = world.connect().await;
    world.job_completed(&connected["job_id"]).await;
    world.assert_exact().await;
    let_a_day_begin(&world).await;
    world.sync(json!({})).await;
    world.assert_exact().await;
}

/// A payment that is detached from its invoice takes the lines with it.
#[tokio::test]
async fn an_unpaid_invoice_gives_no_lines() {
    let mut world = World::builder().account(unlimited_account(0)).start().await;
    let account = world.account();
    let charge = account.create_charge(&of_invoice(&world)).unwrap();
    let connected = world.connect().await;
    world.job_completed(&connected["job_id"]).await;
    world.assert_exact().await;
    let rows = rows_of(&world, &charge).await;
    assert_eq!(rows.len(), 2, "{rows:#?}");
    let invoice = purchase_id(&world).await;
    let none = json!({"payments": {"object": "list", "data": [], "has_more": false}});
    account.patch_answers(&invoice, Some(none));
    account.inject_event(
        "invoice_payment.detached",
        &json!({"object": "invoice_payment", "id": "inpay_1", "invoice": invoice}),
        None,
    );
    world.sync(json!({})).await;
    let incremental = rows_of(&world, &charge).await;
    world.sync(json!({"job_type": "full"})).await;
    let full = rows_of(&world, &charge).await;
    let fresh = rows_of_a_fresh_sync(&mut world, &charge).await;
    assert_eq!(fresh.len(), 1, "{fresh:#?}");
    assert_eq!(full, fresh, "after a further full job");
    assert_eq!(incremental, fresh, "after an incremental job");
}

async fn purchase_id(world: &World) -> String {
    sqlx::query_scalar("SELECT purchase_id FROM stripe_purchases LIMIT 1")
        .fetch_one(world.database.admin())
        .await
        .unwrap()
}

/// A dispute of an older charge that Stripe made no event for is listed by the daily recheck, and shown.
#[tokio::test]
async fn recheck_finds_a_dispute_without_an_event() {
    let world = World::builder()
        .account(unlimited_account(0))
        .event_lag(std::time::Duration::ZERO)
        .start()
        .await;
    let account = world.account().quietly();
    let new = NewCharge {
        created: Some(now() - 20 * DAY),
        ..NewCharge::of(1_000, "usd")
    };
    let charge = account.create_charge(&new).unwrap();
    let connected = world.connect().await;
    world.job_completed(&connected["job_id"]).await;
    account.dispute(&charge).unwrap();
    // So that the recheck's range holds it.
    world.stripe_seconds_pass(2).await;
    let_a_day_begin(&world).await;
    world.sync(json!({})).await;
    let listed: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM stripe_disputes")
        .fetch_one(world.database.admin())
        .await
        .unwrap();
    assert_eq!(listed, 1, "the recheck read the dispute");
    world.assert_exact().await;
}

/// A refund of a partial capture that events showed is no row that was repaired.
#[tokio::test]
async fn recheck_does_not_repair_partial_captures_every_day() {
    let world = World::builder()
        .account(unlimited_account(0))
        .event_lag(std::time::Duration::ZERO)
        .start()
        .await;
    let account = world.account();
    let new = NewCharge {
        created: Some(now() - 20 * DAY),
        amount_captured: Some(600),
        ..NewCharge::of(1_000, "usd")
    };
    let charge = account.create_charge(&new).unwrap();
    account.refund(&charge, Some(100)).unwrap();
    world.stripe_seconds_pass(2).await;
    let connected = world.connect().await;
    world.job_completed(&connected["job_id"]).await;
    world.assert_exact().await;
    let_a_day_begin(&world).await;
    world.sync(json!({})).await;
    let repaired: i64 = sqlx::query_scalar("SELECT rows_repaired FROM stripe_sync_state")
        .fetch_one(world.database.admin())
        .await
        .unwrap();
    assert_eq!(repaired, 0);
}

/// An invoice that was parked and is gone, or paid by nothing, is no longer counted as parked.
#[tokio::test]
async fn a_parked_invoice_is_released_once_readable() {
    let world = World::builder().account(unlimited_account(0)).start().await;
    let account = world.account();
    let charge = account.create_charge(&of_invoice(&world)).unwrap();
    let connected = world.connect().await;
    world.job_completed(&connected["job_id"]).await;
    assert_eq!(rows_of(&world, &charge).await.len(), 2);
    let invoice = purchase_id(&world).await;
    let tell = || {
        let object = json!({"object": "invoice", "id": invoice});
        account.inject_event("invoice.updated", &object, None);
    };
    let parked = async || -> i64 {
        sqlx::query_scalar("SELECT COUNT(*) FROM stripe_parked_objects")
            .fetch_one(world.database.admin())
            .await
            .unwrap()
    };
    account.patch_answers(&invoice, Some(json!({"lines": {"data": "odd"}})));
    tell();
    world.sync(json!({})).await;
    assert_eq!(parked().await, 1);
    let none = json!({"payments": {"object": "list", "data": [], "has_more": false}});
    account.patch_answers(&invoice, Some(none));
    tell();
    world.sync(json!({})).await;
    assert_eq!(parked().await, 0);
}

/// Leaves the newest full job as one that read everything and failed before its end, as it does when
/// PostgreSQL stays away.
async fn let_the_newest_full_job_have_failed(
    world: &World,
    full_synced_at: chrono::DateTime<chrono::Utc>,
) {
    sqlx::query(
        "UPDATE sync_jobs SET status = 'failed', error_code = 'internal', error_message = 'x'
         WHERE job_id = (SELECT job_id FROM sync_jobs WHERE job_type = 'full' ORDER BY created_at DESC LIMIT 1)",
    )
    .execute(world.database.admin())
    .await
    .unwrap();
    sqlx::query("UPDATE stripe_sync_state SET full_synced_at = $1")
        .bind(full_synced_at)
        .execute(world.database.admin())
        .await
        .unwrap();
}

async fn full_synced_at(world: &World) -> chrono::DateTime<chrono::Utc> {
    sqlx::query_scalar("SELECT full_synced_at FROM stripe_sync_state")
        .fetch_one(world.database.admin())
        .await
        .unwrap()
}

/// A full job after one that failed is still a full job: what Stripe no longer lists goes.
#[tokio::test]
async fn a_full_job_after_a_failed_one_lists_everything() {
    let world = World::builder().account(unlimited_account(0)).start().await;
    let account = world.account();
    let new = NewCharge {
        created: Some(now() - 20 * DAY),
        ..NewCharge::of(1_000, "usd")
    };
    let charge = account.create_charge(&new).unwrap();
    let connected = world.connect().await;
    world.job_completed(&connected["job_id"]).await;
    let synced_at = full_synced_at(&world).await;
    world.sync(json!({"job_type": "full"})).await;
    let_the_newest_full_job_have_failed(&world, synced_at).await;
    // Incremental jobs go on, and a charge goes.
    world.sync(json!({})).await;
    account.unlist_charge(&charge).unwrap();
    world.sync(json!({"job_type": "full"})).await;
    assert_eq!(rows_of(&world, &charge).await, Vec::<Value>::new());
}

/// A plan from before a change of time zones speaks of rows that the change has removed.
#[tokio::test]
async fn a_plan_is_not_resumed_after_its_rows_were_removed() {
    let world = World::builder().account(unlimited_account(0)).start().await;
    let account = world.account().quietly();
    let new = NewCharge {
        created: Some((now() / DAY - 120) * DAY + 3_600),
        ..NewCharge::of(1_000, "usd")
    };
    account.create_charge(&new).unwrap();
    let connected = world.connect().await;
    world.job_completed(&connected["job_id"]).await;
    world.assert_exact().await;
    let synced_at = full_synced_at(&world).await;
    world.sync(json!({"job_type": "full"})).await;
    let_the_newest_full_job_have_failed(&world, synced_at).await;
    let path = format!("/v1/connectors/{}", world.connection_id());
    for timezone in ["America/New_York", "UTC"] {
        let zone = json!({"timezone": timezone});
        world
            .ask(Method::PATCH, &path, Some(zone))
            .await
            .expect(200);
        world
            .eventually("the redate", async || {
                let open: i64 = sqlx::query_scalar(
                    "SELECT COUNT(*) FROM sync_jobs WHERE status IN ('pending', 'running')",
                )
                .fetch_one(world.database.admin())
                .await
                .unwrap();
                (open == 0).then_some(())
            })
            .await;
    }
    world.sync(json!({})).await;
    world.sync(json!({})).await;
    world.assert_exact().await;
}

/// The permission that a job finds missing with an old key says nothing of the key that replaced it.
#[tokio::test]
async fn a_job_that_lost_its_lease_changes_no_permissions() {
    let mut world = World::builder()
        .account(unlimited_account(3))
        .lease(std::time::Duration::from_secs(2))
        .start()
        .await;
    let connected = world.connect().await;
    world.job_completed(&connected["job_id"]).await;
    world.stop_consumers().await;
    let id = world.connection_id();
    // A job whose answer comes late: a 403 for a product that an event names.
    let account = world.account();
    account.create_product(&[].into());
    account.add_fault(FaultRule {
        endpoint: Some("GET /v1/products/{id}".to_owned()),
        fault: Fault::Forbidden,
        after: 0,
        times: 1,
        retry_after: None,
    });
    let path = format!("/v1/connectors/stripe/{id}/sync");
    let body = json!({});
    let job = world.ask(Method::POST, &path, Some(body)).await.expect(202);
    // As another consumer that took the job over and ended it: the attempt of the first is stale.
    let taken = Arc::new(TakenOver {
        admin: world.database.admin().clone(),
    });
    world.start_consumer_with(taken);
    world.job_end(&job["job_id"]).await;
    // Stopping waits for the consumer that lost the job.
    world.stop_consumers().await;
    let warnings = world.get(&format!("/v1/connectors/{id}")).await["warnings"].clone();
    assert_eq!(warnings, json!([]), "a stale attempt wrote");
}

#[derive(Debug)]
struct TakenOver {
    admin: sqlx::PgPool,
}

#[async_trait::async_trait]
impl FailPoints for TakenOver {
    async fn reached(&self, point: FailPoint) {
        if matches!(point, FailPoint::Answered) {
            sqlx::query("UPDATE sync_jobs SET attempt = attempt + 1, status = 'completed', finished_at = started_at, lease_owner = NULL, lease_expires_at = NULL WHERE status = 'running'")
                .execute(&self.admin)
                .await
                .unwrap();
        }
    }
}
