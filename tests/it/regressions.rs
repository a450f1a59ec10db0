//! Faults that were found and repaired, each named after what a user would have seen.

use std::time::Duration;

use common::clock::{Clock as _, SystemClock, new_id};
use common::db::{self, Role};
use common::job::claim::{self, Claim};
use common::job::enqueue::{self, NewJob};
use common::job::{JobId, Trigger};
use common::tenant::OrganizationId;
use reqwest::Method;
use serde_json::json;
use stripe::sync::JobType;
use stripe_sim::{Fault, FaultRule, KeyState, MetadataChange, NewCharge};
use tests::world::{World, unlimited_account};
use tokio::time::Instant;

fn set(key: &str, value: &str) -> MetadataChange {
    [(key.to_owned(), Some(value.to_owned()))].into()
}

async fn totals(world: &World) -> serde_json::Value {
    let id = world.connection_id();
    world
        .get(&format!("/v1/analytics/stripe?connection_id={id}"))
        .await["totals"]
        .clone()
}

/// A rule on customer metadata must follow the customer's metadata.
#[tokio::test]
async fn rules_follow_customer_metadata() {
    let world = World::builder().account(unlimited_account(0)).start().await;
    let account = world.account();
    let customer = account.create_customer(&set("vip", "no"));
    let of_customer = NewCharge {
        customer: Some(customer.clone()),
        ..NewCharge::of(5_000, "usd")
    };
    // Without an event, as for one made before the engine came.
    account.quietly().create_charge(&of_customer).unwrap();
    let connected = world.connect().await;
    world.job_completed(&connected["job_id"]).await;
    let rule = json!({
        "name": "only vip", "action": "include", "operator": "AND",
        "conditions": [{"type": "metadata", "metadata_source": "customer", "metadata_key": "vip",
                        "operator": "equals", "value": "yes"}],
    });
    let path = format!("/v1/connectors/{}/filters", world.connection_id());
    let created = world.ask(Method::POST, &path, Some(rule)).await.expect(201);
    world.job_completed(&created["job_id"]).await;
    assert_eq!(totals(&world).await, json!([]));
    account
        .set_customer_metadata(&customer, &set("vip", "yes"))
        .unwrap();
    world.sync(json!({})).await;
    let incremental = totals(&world).await;
    world.sync(json!({"job_type": "full"})).await;
    let full = totals(&world).await;
    assert_eq!(full[0]["net"], 5_000, "a fresh full sync counts it");
    assert_eq!(
        incremental, full,
        "what is stored is what a full sync would store"
    );
}

/// A row whose date changes while a redate waits must leave no trace on its old day.
#[tokio::test]
async fn a_redated_row_leaves_its_old_day() {
    let mut world = World::builder().account(unlimited_account(0)).start().await;
    let account = world.account();
    // 02:00 UTC some days ago is the day before in New York; alone on its day.
    let at = (SystemClock.now().timestamp() / 86_400 - 5) * 86_400 + 7_200;
    let charge = account
        .create_charge(&NewCharge {
            created: Some(at),
            ..NewCharge::of(5_000, "usd")
        })
        .unwrap();
    let connected = world.connect().await;
    world.job_completed(&connected["job_id"]).await;
    world.assert_exact().await;
    world.stop_consumers().await;
    account.refund(&charge, Some(1_000)).unwrap();
    let id = world.connection_id();
    let sync = format!("/v1/connectors/stripe/{id}/sync");
    let sync = world
        .ask(Method::POST, &sync, Some(json!({})))
        .await
        .expect(202);
    let patch = json!({"timezone": "America/New_York"});
    let redate = world
        .ask(Method::PATCH, &format!("/v1/connectors/{id}"), Some(patch))
        .await
        .expect(200);
    world.start_consumer();
    world.job_completed(&sync["job_id"]).await;
    world.job_completed(&redate["job_id"]).await;
    world.assert_exact().await;
}

/// A change that counts on a pending job must not lose it to a consumer that claims it meanwhile.
#[tokio::test]
async fn a_pending_job_that_serves_a_change_is_not_begun_before_the_change_commits() {
    let world = World::with_charges(10).consumers(0).start().await;
    let connected = world.connect().await;
    let organization = OrganizationId::new("acme").unwrap();
    let id = world.connection_id();
    sqlx::query("UPDATE sync_jobs SET status = 'completed'")
        .execute(world.database.admin())
        .await
        .unwrap();
    let now = SystemClock.now();
    let account = world.account().id().to_owned();
    let refilter = || NewJob {
        job_id: JobId(new_id(now)),
        connection_id: &id,
        external_account_id: &account,
        kind: JobType::Refilter.kind(),
        trigger: Trigger::Filters,
        payload: None,
        reuse_running: false,
    };
    let api = world.database.pool(Role::Api);
    let mut first = db::tenant_transaction(&api, &organization).await.unwrap();
    let job = enqueue::enqueue(&mut first, &organization, &refilter(), now)
        .await
        .unwrap();
    first.commit().await.unwrap();
    // A second rule: its transaction learns that the pending job serves it, and has not committed.
    let mut second = db::tenant_transaction(&api, &organization).await.unwrap();
    let same = enqueue::enqueue(&mut second, &organization, &refilter(), now)
        .await
        .unwrap();
    assert_eq!((same.job_id, same.created), (job.job_id, false));
    // A consumer comes along.
    let consumers = world.database.pool(Role::Consumer);
    let mut conn = consumers.acquire().await.unwrap();
    let holds = chrono::TimeDelta::seconds(30);
    let claimed = claim::claim(&mut conn, Claim::Oldest, "c", now, holds)
        .await
        .unwrap();
    assert!(
        claimed.is_none(),
        "it would read the rules without the second one"
    );
    second.commit().await.unwrap();
    drop(connected);
}

/// Calling off a job that backs off, and deleting its connection, must not wait for the back-off.
#[tokio::test]
async fn a_job_in_backoff_is_cancelled_at_once() {
    let world = World::with_charges(10).start().await;
    let connected = world.connect().await;
    world.job_completed(&connected["job_id"]).await;
    world
        .account()
        .configure(|settings| settings.fault_500_percent = 100.0);
    let id = world.connection_id();
    let sync = format!("/v1/connectors/stripe/{id}/sync");
    let job = world
        .ask(Method::POST, &sync, Some(json!({})))
        .await
        .expect(202);
    let path = format!("/v1/sync-jobs/{}", job["job_id"].as_str().unwrap());
    world
        .eventually("the fourth failure", async || {
            let failures: i32 = sqlx::query_scalar("SELECT MAX(failures) FROM sync_jobs")
                .fetch_one(world.database.admin())
                .await
                .unwrap();
            (failures >= 5).then_some(())
        })
        .await;
    let asked = Instant::now();
    world
        .ask(Method::POST, &format!("{path}/cancel"), None)
        .await
        .expect(200);
    world.job_end(&job["job_id"]).await;
    let took = asked.elapsed();
    assert!(took < Duration::from_secs(10), "took {took:?}");
}

/// A key that may read more than the one before must bring what was missing.
#[tokio::test]
async fn a_key_with_more_permissions_adds_missing_data() {
    let world = World::with_charges(300).start().await;
    let account = world.account();
    account.set_key(
        "rk_live_narrow",
        Some(&["rak_charge_read", "rak_event_read"]),
        KeyState::Active,
    );
    account.set_key(
        "rk_test_narrow",
        Some(&["rak_charge_read", "rak_event_read"]),
        KeyState::Active,
    );
    let narrow = if account.livemode() {
        "rk_live_narrow"
    } else {
        "rk_test_narrow"
    };
    let connected = world
        .connect_with(json!({"api_key": narrow}))
        .await
        .expect(201);
    world.job_completed(&connected["job_id"]).await;
    let path = format!("/v1/connectors/stripe/{}/key", world.connection_id());
    let body = json!({"api_key": account.key()});
    let replaced = world.ask(Method::PUT, &path, Some(body)).await.expect(200);
    world.job_completed(&replaced["job_id"]).await;
    world.assert_exact().await;
}

/// A customer that changes between two pages of one commit must not leave two versions in the rows.
#[tokio::test]
async fn a_customer_that_changes_between_two_pages_is_the_same_on_all_rows() {
    for seed in 1..6 {
        changes_between_two_pages(seed).await;
    }
}

async fn changes_between_two_pages(seed: u64) {
    let account = stripe_sim::AccountConfig {
        seed,
        ..unlimited_account(0)
    };
    let world = World::builder().account(account).start().await;
    let account = world.account();
    let customer = account.create_customer(&set("plan", "old"));
    let now = SystemClock.now().timestamp();
    for number in 0..500 {
        account
            .quietly()
            .create_charge(&NewCharge {
                // The first page, which is committed alone, does not have the customer.
                customer: (number >= 150).then(|| customer.clone()),
                created: Some(now - 400_000 - number * 60),
                ..NewCharge::of(1_000, "usd")
            })
            .unwrap();
    }
    account.configure(|settings| settings.latency_ms = 400);
    let connected = {
        // The writer waits at the job's row, as it would for a slow disk, so that pages pile up.
        let connected = world.connect().await;
        let mut lock = world.database.admin().begin().await.unwrap();
        let job = connected["job_id"].as_str().unwrap().to_owned();
        world
            .eventually("the claim", async || {
                let running: bool = sqlx::query_scalar(
                    "SELECT EXISTS (SELECT FROM sync_jobs WHERE status = 'running' AND checkpoint IS NOT NULL)",
                )
                .fetch_one(world.database.admin())
                .await
                .unwrap();
                running.then_some(())
            })
            .await;
        sqlx::query("SELECT 1 FROM sync_jobs WHERE job_id = $1::UUID FOR UPDATE")
            .bind(&job)
            .execute(&mut *lock)
            .await
            .unwrap();
        world.sim.reset_requests();
        let pages = async |pages: u64| {
            world
                .eventually("pages", async || {
                    (world.sim.requests().of("GET /v1/charges") >= pages).then_some(())
                })
                .await;
        };
        pages(2).await;
        tokio::time::sleep(Duration::from_millis(450)).await;
        account
            .set_customer_metadata(&customer, &set("plan", "new"))
            .unwrap();
        pages(5).await;
        tokio::time::sleep(Duration::from_millis(700)).await;
        lock.commit().await.unwrap();
        connected
    };
    account.configure(|settings| settings.latency_ms = 0);
    world.job_completed(&connected["job_id"]).await;
    world.sync(json!({})).await;
    let plans: Vec<(String, i64)> = sqlx::query_as(
        "SELECT customer_metadata ->> 'plan', COUNT(*) FROM stripe_revenue_data
         WHERE customer_id IS NOT NULL GROUP BY 1 ORDER BY 1",
    )
    .fetch_all(world.database.admin())
    .await
    .unwrap();
    assert_eq!(plans, [("new".to_owned(), 350)], "seed {seed}");
}

/// A charge that Stripe no longer lists goes with the next full job.
#[tokio::test]
async fn an_unlisted_charge_is_removed_by_the_next_full_job() {
    // Without a lag nothing is too new to be sure that it is gone.
    let world = World::with_charges(50)
        .event_lag(Duration::ZERO)
        .start()
        .await;
    let charge = world
        .account()
        .create_charge(&NewCharge::of(7_700, "usd"))
        .unwrap();
    let connected = world.connect().await;
    world.job_completed(&connected["job_id"]).await;
    world.account().unlist_charge(&charge).unwrap();
    // What Stripe's present second holds may not be listed yet, and is spared.
    let created = world.sim.now();
    world
        .eventually("the next second", async || {
            (world.sim.now() > created + 1).then_some(())
        })
        .await;
    world.sync(json!({"job_type": "full"})).await;
    world.assert_exact().await;
}

/// An optional permission that is taken away later costs what it costs, and does not stop the sync.
#[tokio::test]
async fn losing_an_optional_permission_does_not_stop_the_connection() {
    let world = World::with_charges(100).start().await;
    let account = world.account();
    let connected = world.connect().await;
    world.job_completed(&connected["job_id"]).await;
    let key = account.key().to_owned();
    account.set_key(
        &key,
        Some(&["rak_charge_read", "rak_event_read"]),
        KeyState::Active,
    );
    let customer = account.create_customer(&set("plan", "a"));
    account
        .set_customer_metadata(&customer, &set("plan", "b"))
        .unwrap();
    let path = format!("/v1/connectors/stripe/{}/sync", world.connection_id());
    let answer = world
        .ask(Method::POST, &path, Some(json!({})))
        .await
        .expect(202);
    let job = world.job_end(&answer["job_id"]).await;
    assert_eq!(job["status"], "completed", "{job:#}");
}

/// Retry-After is obeyed, however long.
#[tokio::test]
async fn retry_after_is_obeyed() {
    let world = World::with_charges(10).start().await;
    let connected = world.connect().await;
    world.job_completed(&connected["job_id"]).await;
    world.account().add_fault(FaultRule {
        endpoint: Some("GET /v1/events".to_owned()),
        fault: Fault::RateLimited("global-rate".to_owned()),
        after: 0,
        times: 1,
        retry_after: Some(40),
    });
    let started = Instant::now();
    world.sync(json!({})).await;
    assert!(
        started.elapsed() >= Duration::from_secs(40),
        "{:?}",
        started.elapsed()
    );
}

/// A cursor that nobody was given is refused, whatever it holds.
#[tokio::test]
async fn a_cursor_beyond_postgresqls_calendar_is_refused() {
    use base64::Engine as _;
    let world = World::with_charges(5).start().await;
    let connected = world.connect().await;
    world.job_completed(&connected["job_id"]).await;
    let id = world.connection_id();
    let cursor = |json: &str| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(json);
    for path in [
        format!(
            "/v1/connectors/{id}/jobs?cursor={}",
            cursor(
                r#"["jobs",["-200000-01-01T00:00:00Z","019ab000-0000-7000-8000-000000000001"]]"#
            )
        ),
        format!(
            "/v1/analytics/stripe/charges?connection_id={id}&cursor={}",
            cursor(
                r#"["charges",{"created_at":"-200000-01-01T00:00:00Z","charge_id":"x","line_no":0}]"#
            )
        ),
    ] {
        let answer = world.ask(Method::GET, &path, None).await.expect(422);
        assert_eq!(answer["code"], "cursor_invalid");
    }
}

/// A consumer asked to stop, stops, though PostgreSQL does not answer.
#[tokio::test]
async fn a_consumer_stops_though_postgresql_does_not_answer() {
    let mut world = World::with_charges(3_000)
        .lease(Duration::from_secs(2))
        .start()
        .await;
    world
        .account()
        .configure(|settings| settings.latency_ms = 200);
    world.connect().await;
    world
        .eventually("the job to run", async || {
            let seen: Option<i64> = sqlx::query_scalar("SELECT MAX(charges_seen) FROM sync_jobs")
                .fetch_one(world.database.admin())
                .await
                .unwrap();
            (seen > Some(0)).then_some(())
        })
        .await;
    let mut lock = world.database.admin().begin().await.unwrap();
    sqlx::query("LOCK TABLE sync_jobs IN ACCESS EXCLUSIVE MODE")
        .execute(&mut *lock)
        .await
        .unwrap();
    // Until the lease has run out.
    world.stripe_seconds_pass(3).await;
    let mut stopping = tokio::spawn(async move {
        world.stop_consumers().await;
        world
    });
    let stopped = tokio::time::timeout(Duration::from_secs(24), &mut stopping)
        .await
        .is_ok();
    drop(lock);
    if !stopped {
        drop(stopping.await);
    }
    assert!(stopped, "still not stopped after 24 s");
}

/// Which version of each day's aggregates is stored.
async fn versions_of_days(world: &World) -> Vec<(String, String, String)> {
    sqlx::query_as(
        "SELECT date::TEXT, currency, xmin::TEXT FROM stripe_daily_aggregates ORDER BY date, currency",
    )
    .fetch_all(world.database.admin())
    .await
    .unwrap()
}

#[tokio::test]
async fn a_changed_rule_refreshes_only_affected_days() {
    let world = World::with_charges(400).start().await;
    let marked = world
        .account()
        .create_charge(&NewCharge {
            metadata: [("marked".to_owned(), "yes".to_owned())].into(),
            ..NewCharge::of(7_700, "chf")
        })
        .unwrap();
    let connected = world.connect().await;
    world.job_completed(&connected["job_id"]).await;
    let before = versions_of_days(&world).await;
    let id = world.connection_id();
    let rule = json!({
        "name": "not the marked", "action": "exclude",
        "conditions": [{"type": "metadata", "metadata_source": "charge", "metadata_key": "marked",
                        "operator": "exists"}],
    });
    let path = format!("/v1/connectors/{id}/filters");
    let created = world.ask(Method::POST, &path, Some(rule)).await.expect(201);
    world.job_completed(&created["job_id"]).await;
    let explained = world
        .get(&format!("/v1/connectors/{id}/charges/{marked}/explain"))
        .await;
    assert_eq!(explained["reason"], "excluded");
    let after = versions_of_days(&world).await;
    let changed: Vec<_> = after
        .iter()
        .filter(|day| !before.contains(day))
        .map(|(_, currency, _)| currency.as_str())
        .collect();
    assert_eq!(changed, ["chf"], "the only aggregates that were rewritten");
    assert_eq!(before.len(), after.len());
}
