//! Limits of plans, where they are met: refused with what the plan allows and what lifts it, whoever asks at the same moment. Having
//! less than before pauses, and having more again goes on.

use chrono::{TimeDelta, Utc};
use common::clock::{Clock as _, SystemClock};
use common::connection::settings::{self, Changes};
use common::connection::{ConnectionServices, lookup};
use common::connector::Connectors;
use common::db::{self, Pool, Role};
use common::plan_limit::{InForce, Limits, Plans, apply};
use common::tenant::OrganizationId;
use futures::future::join_all;
use platform::billing::plan::Plans as SoldPlans;
use reqwest::Method;
use serde_json::{Value, json};
use stripe::StripeConnector;
use stripe_sim::{AccountConfig, NewCharge, NewPrice, NewProduct};
use tests::billing_shop::Shop;
use tests::captured_log::listen_to_everything;
use tests::webhooks::{DELIVERY_TIMEOUT, all_applied, count, endpoint_path, receive};
use tests::world::{Answer, World, unlimited_account};

const SMALL: Limits = Limits {
    connections: Some(1),
    lookback_days: Some(20),
    min_sync_interval_minutes: Some(60),
    webhooks: Some(false),
};

/// One free plan with every limit, one without any, and one in between that is cheaper than that.
fn plans() -> SoldPlans {
    let plans = json!({"plans": [
        {"plan": "free", "name": "Free", "limits": SMALL},
        {"plan": "scale", "name": "Scale", "prices": [{"interval": "month", "lookup_key": "scale"}]},
        {"plan": "pro", "name": "Pro", "prices": [{"interval": "month", "lookup_key": "pro"}],
         "limits": {"connections": 2, "lookback_days": 365, "min_sync_interval_minutes": 5, "webhooks": true}}]});
    SoldPlans::parse(&plans.to_string()).unwrap()
}

/// An account of its own.
fn account(seed: usize) -> AccountConfig {
    AccountConfig {
        seed: seed as u64,
        ..unlimited_account(0)
    }
}

/// A world that sells them, with as many accounts to connect.
async fn selling(accounts: usize) -> World {
    let mut world = World::builder().selling(plans());
    for seed in 1..=accounts {
        world = world.account(account(seed));
    }
    let world = world.start().await;
    let billing = world.account().billing();
    for (plan, amount) in [("pro", 900), ("scale", 4_900)] {
        let product = billing.create_product(&NewProduct {
            name: plan.to_owned(),
            ..NewProduct::default()
        });
        let price = NewPrice {
            lookup_key: Some(plan.to_owned()),
            ..NewPrice::monthly(&product, amount)
        };
        billing.create_price(&price).unwrap();
    }
    // Has the prices read.
    world.get("/v1/billing/plans").await;
    world
}

/// Connects an account of the simulator's.
async fn connect(world: &World, account: usize, more: Value) -> Answer {
    let mut body =
        json!({"organization_id": "acme", "api_key": world.sim.accounts()[account].key()});
    let more = more.as_object().unwrap().clone();
    body.as_object_mut().unwrap().extend(more);
    world
        .ask(Method::POST, "/v1/connectors/stripe/connect", Some(body))
        .await
}

fn id(world: &World, account: usize) -> String {
    let accounts = world.sim.accounts();
    common::connection::connection_id(&world.first, "stripe", accounts[account].id())
}

async fn connection(world: &World, account: usize) -> Value {
    world
        .get(&format!("/v1/connectors/{}", id(world, account)))
        .await
}

async fn change(world: &World, account: usize, changes: Value) -> Answer {
    let path = format!("/v1/connectors/{}", id(world, account));
    world.ask(Method::PATCH, &path, Some(changes)).await
}

/// The plan that is in force from now on.
async fn set_plan(world: &World, plan: &str, limits: Limits) {
    let in_force = InForce {
        plan,
        limits,
        is_subscribed: true,
    };
    let pool = world.database.pool(Role::Consumer);
    let mut tx = db::tenant_transaction(&pool, &world.first).await.unwrap();
    let now = SystemClock.now();
    apply(&mut tx, &world.first, in_force, now).await.unwrap();
    db::commit(tx).await.unwrap();
}

async fn set_sold_plan(world: &World, plan: &str) {
    let limits = plans().find(plan).unwrap().limits;
    set_plan(world, plan, limits).await;
}

/// Which connections are paused, by account.
async fn paused(world: &World, accounts: usize) -> Vec<bool> {
    let mut paused = Vec::new();
    for account in 0..accounts {
        let connection = connection(world, account).await;
        paused.push(connection["paused"].as_bool().unwrap());
    }
    paused
}

/// What the plan does to a connection, by the limits that are named.
fn limited_by(connection: &Value) -> Vec<&str> {
    let warnings = connection["warnings"].as_array().unwrap().iter();
    let of_plan = warnings.filter(|warning| warning["code"] == "plan_limit");
    let limits = of_plan.map(|warning| warning["resource"].as_str().unwrap());
    limits.collect()
}

#[tokio::test]
async fn each_limit_is_refused_with_what_the_plan_allows_and_the_cheapest_that_lifts_it() {
    let world = selling(3).await;
    let refused = |answer: Answer, limit: &str, value: Value, requested: Value, plan: Value| {
        let problem = answer.problem(402, "plan_limit");
        assert_eq!(problem["limit"], limit, "{problem:#}");
        assert_eq!(problem["value"], value, "{problem:#}");
        assert_eq!(problem["requested"], requested, "{problem:#}");
        assert!(problem.as_object().unwrap().contains_key("plan"));
        assert_eq!(problem["plan"], plan, "{problem:#}");
    };
    let long = connect(&world, 0, json!({"lookback_days": 21})).await;
    refused(long, "lookback_days", json!(20), json!(21), json!("pro"));
    let longest = connect(&world, 0, json!({"lookback_days": 400})).await;
    refused(
        longest,
        "lookback_days",
        json!(20),
        json!(400),
        json!("scale"),
    );
    connect(&world, 0, json!({"lookback_days": 20}))
        .await
        .expect(201);
    let second = connect(&world, 1, json!({})).await;
    refused(second, "connections", json!(1), json!(2), json!("pro"));
    let often = change(&world, 0, json!({"sync_interval_minutes": 59})).await;
    refused(
        often,
        "min_sync_interval_minutes",
        json!(60),
        json!(59),
        json!("pro"),
    );
    let at_limit = json!({"sync_interval_minutes": 61, "name": "Shop"});
    change(&world, 0, at_limit).await.expect(200);
    let path = endpoint_path(&world);
    let webhook = world.ask(Method::POST, &path, None).await;
    refused(webhook, "webhooks", json!(false), json!(true), json!("pro"));
    let path = format!("/v1/connectors/stripe/{}/sync", id(&world, 0));
    let body = json!({"lookback_days": 30});
    let further_back = world.ask(Method::POST, &path, Some(body)).await;
    refused(
        further_back,
        "lookback_days",
        json!(20),
        json!(30),
        json!("pro"),
    );

    set_sold_plan(&world, "pro").await;
    connect(&world, 1, json!({})).await.expect(201);
    let third = connect(&world, 2, json!({})).await;
    refused(third, "connections", json!(2), json!(3), json!("scale"));
    world
        .ask(Method::POST, &endpoint_path(&world), None)
        .await
        .expect(201);
    change(&world, 0, json!({"sync_interval_minutes": 5}))
        .await
        .expect(200);
    // A plan that is sold no more counts as the free one.
    set_plan(&world, "gone", Limits::default()).await;
    connect(&world, 2, json!({}))
        .await
        .problem(402, "plan_limit");
}

#[tokio::test]
async fn a_default_above_a_limit_is_clamped_silently() {
    let world = selling(1).await;
    connect(&world, 0, json!({})).await.expect(201);
    let connection = connection(&world, 0).await;
    assert_eq!(connection["lookback_days"], 20);
    assert_eq!(connection["sync_interval_minutes"], 60);
    assert!(limited_by(&connection).is_empty(), "{connection:#}");
}

#[tokio::test]
async fn of_simultaneous_connects_at_the_limit_one_is_made() {
    let world = selling(6).await;
    let answers = join_all((0..6).map(|account| connect(&world, account, json!({})))).await;
    let mut statuses: Vec<u16> = answers.iter().map(|it| it.status.as_u16()).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 402, 402, 402, 402, 402]);
}

#[tokio::test]
async fn what_a_smaller_plan_does_not_allow_is_paused_newest_first_and_comes_back() {
    let mut world = selling(4).await;
    world.organization("other").await;
    set_plan(&world, "scale", Limits::default()).await;
    for account in 0..4 {
        connect(&world, account, json!({})).await.expect(201);
    }
    let foreign = world.sim.accounts()[0].key().to_owned();
    let body = json!({"organization_id": "other", "api_key": foreign});
    let token = world.token_of("other");
    let path = "/v1/connectors/stripe/connect";
    let other = world.ask_as(token, Method::POST, path, Some(body)).await;
    let other = other.expect(201)["connection_id"]
        .as_str()
        .unwrap()
        .to_owned();
    change(&world, 1, json!({"paused": true})).await.expect(200);

    set_sold_plan(&world, "pro").await;
    assert_eq!(paused(&world, 4).await, [false, true, false, true]);
    assert!(
        limited_by(&connection(&world, 1).await).is_empty(),
        "its owner paused it"
    );
    let newest = world
        .eventually("the running sync to finish", async || {
            let newest = connection(&world, 3).await;
            (newest["status"] == "paused").then_some(newest)
        })
        .await;
    assert_eq!(limited_by(&newest), ["connections"]);
    // Done again, it changes nothing.
    set_sold_plan(&world, "pro").await;
    set_sold_plan(&world, "free").await;
    assert_eq!(paused(&world, 4).await, [false, true, true, true]);
    let token = world.token_of("other");
    let path = format!("/v1/connectors/{other}");
    let other = world
        .ask_as(token, Method::GET, &path, None)
        .await
        .expect(200);
    assert_eq!(
        other["paused"], false,
        "another organization has its own plan"
    );

    for account in 1..4 {
        change(&world, account, json!({"paused": false}))
            .await
            .problem(402, "plan_limit");
        let path = format!("/v1/connectors/stripe/{}/sync", id(&world, account));
        let sync = world.ask(Method::POST, &path, None).await;
        sync.problem(402, "plan_limit");
    }
    world
        .execute("UPDATE platform_connections SET next_sync_at = now()")
        .await;
    let due = scheduler::tick(&world.scheduler()).await.unwrap().due;
    assert_eq!(due, 2, "the one that goes on, and the other organization's");
    // Its owner may choose another one instead.
    change(&world, 0, json!({"paused": true})).await.expect(200);
    change(&world, 2, json!({"paused": false}))
        .await
        .expect(200);
    set_sold_plan(&world, "free").await;
    assert_eq!(paused(&world, 4).await, [true, true, false, true]);
    // What is disconnected makes room.
    let path = format!("/v1/connectors/{}", id(&world, 2));
    world.ask(Method::DELETE, &path, None).await.expect(202);
    assert_eq!(connection(&world, 3).await["paused"], false);

    set_plan(&world, "scale", Limits::default()).await;
    assert_eq!(connection(&world, 3).await["paused"], false);
    assert_eq!(
        paused(&world, 2).await,
        [true, true],
        "their owner paused them"
    );
    change(&world, 0, json!({"paused": false}))
        .await
        .expect(200);
}

#[tokio::test]
async fn of_simultaneous_resumes_at_the_limit_one_goes_on() {
    let world = selling(4).await;
    set_plan(&world, "scale", Limits::default()).await;
    for account in 0..4 {
        connect(&world, account, json!({})).await.expect(201);
        change(&world, account, json!({"paused": true}))
            .await
            .expect(200);
    }
    set_sold_plan(&world, "free").await;
    let resumed = join_all((0..4).map(|it| change(&world, it, json!({"paused": false})))).await;
    let mut statuses: Vec<u16> = resumed.iter().map(|it| it.status.as_u16()).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 402, 402, 402]);
}

#[tokio::test]
async fn too_short_intervals_are_slowed_down_with_a_reason_and_restored() {
    let world = selling(2).await;
    set_plan(&world, "scale", Limits::default()).await;
    for account in 0..2 {
        connect(&world, account, json!({})).await.expect(201);
    }
    change(&world, 0, json!({"sync_interval_minutes": 5}))
        .await
        .expect(200);
    change(&world, 1, json!({"sync_interval_minutes": 90}))
        .await
        .expect(200);
    let slow = Limits {
        min_sync_interval_minutes: Some(60),
        ..Limits::default()
    };
    set_plan(&world, "slow", slow).await;
    let lengthened = connection(&world, 0).await;
    assert_eq!(lengthened["sync_interval_minutes"], 60);
    assert_eq!(limited_by(&lengthened), ["min_sync_interval_minutes"]);
    let unchanged = connection(&world, 1).await;
    assert_eq!(unchanged["sync_interval_minutes"], 90);
    assert!(limited_by(&unchanged).is_empty());
    // Other settings change with the interval as it is shown.
    change(
        &world,
        0,
        json!({"name": "Shop", "sync_interval_minutes": 60}),
    )
    .await
    .expect(200);
    let every_two_hours = Limits {
        min_sync_interval_minutes: Some(120),
        ..Limits::default()
    };
    set_plan(&world, "slower", every_two_hours).await;
    assert_eq!(connection(&world, 1).await["sync_interval_minutes"], 120);
    set_plan(&world, "scale", Limits::default()).await;
    let restored = connection(&world, 0).await;
    assert_eq!(restored["sync_interval_minutes"], 5);
    assert!(limited_by(&restored).is_empty());
    let next = restored["next_sync_at"].as_str().unwrap();
    let next: chrono::DateTime<Utc> = next.parse().unwrap();
    assert!(next - SystemClock.now() <= TimeDelta::minutes(5));
    assert_eq!(connection(&world, 1).await["sync_interval_minutes"], 90);
}

#[tokio::test]
async fn events_under_a_plan_without_webhooks_are_accepted_and_applied_with_the_next_poll() {
    let world = selling(1).await;
    set_plan(&world, "scale", Limits::default()).await;
    let connected = world.connect().await;
    world.job_completed(&connected["job_id"]).await;
    let sender = receive(&world).await;
    let without = Limits {
        webhooks: Some(false),
        ..Limits::default()
    };
    set_plan(&world, "without", without).await;
    assert_eq!(limited_by(&connection(&world, 0).await), ["webhooks"]);
    let new_charge = || {
        let account = world.account();
        account.create_charge(&NewCharge::of(500, "usd")).unwrap()
    };
    new_charge();
    // Each delivery is answered 2xx, or this would fail.
    sender.wait_until_idle(DELIVERY_TIMEOUT).await.unwrap();
    assert!(count(&world, "pending").await > 0);
    let jobs: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM sync_jobs WHERE job_type = 'webhook'")
        .fetch_one(world.database.admin())
        .await
        .unwrap();
    assert_eq!(jobs, 0);
    let sync = world.sync(json!({"job_type": "incremental"})).await;
    world.job_completed(&sync["job_id"]).await;
    assert_eq!(count(&world, "pending").await, 0);
    world.assert_exact().await;
    let next: chrono::DateTime<Utc> =
        sqlx::query_scalar("SELECT next_sync_at FROM platform_connections")
            .fetch_one(world.database.admin())
            .await
            .unwrap();
    assert!(
        next - SystemClock.now() <= TimeDelta::minutes(15),
        "it is polled as if it had no webhooks"
    );

    set_plan(&world, "scale", Limits::default()).await;
    new_charge();
    sender.wait_until_idle(DELIVERY_TIMEOUT).await.unwrap();
    all_applied(&world).await;
    world.assert_exact().await;
}

#[tokio::test]
async fn without_a_platform_key_nothing_is_limited() {
    let world = World::builder()
        .account(account(1))
        .account(account(2))
        .start()
        .await;
    set_plan(&world, "free", SMALL).await;
    for account in 0..2 {
        connect(&world, account, json!({"lookback_days": 3650}))
            .await
            .expect(201);
        change(&world, account, json!({"sync_interval_minutes": 1}))
            .await
            .expect(200);
    }
    world
        .ask(Method::POST, &endpoint_path(&world), None)
        .await
        .expect(201);
}

/// How many statements a change of settings takes, and what becomes of it.
async fn statements(
    shop: &Shop,
    pool: &Pool,
    plans: Plans<'_>,
    minutes: i32,
) -> (usize, Result<(), lookup::Error>) {
    let services = ConnectionServices {
        pool,
        connectors: Connectors::new(&[&StripeConnector]),
        plans,
        now: shop.clock.now(),
    };
    let changes = Changes {
        sync_interval_minutes: Some(minutes),
        ..Changes::default()
    };
    let (log, guard) = listen_to_everything();
    let done = settings::change(services, &shop.organization, "acme-stripe-acct_1", changes).await;
    drop(guard);
    let log = log.take();
    let statements = log.lines().filter(|line| line.contains("sqlx::query"));
    (statements.count(), done.map(|_| ()))
}

#[tokio::test]
async fn checking_a_limit_costs_no_statement_and_is_never_out_of_date() {
    let shop = Shop::selling(plans()).await;
    let sql = "INSERT INTO platform_connections (organization_id, connection_id, connector, external_account_id, livemode, timezone,
                                                 lookback_days, sync_interval_minutes, created_at, next_sync_at, scheduled_job_type)
               VALUES ('acme', 'acme-stripe-acct_1', 'stripe', 'acct_1', false, 'UTC', 20, 60, now(), now(), 'full')";
    sqlx::raw_sql(sql)
        .execute(shop.database.admin())
        .await
        .unwrap();
    // Another connection would begin with statements of its own.
    let one_connection = db::connect(&shop.database.url(), Role::Api, 1).unwrap();
    // The first call prepares its statements.
    for minutes in [70, 71] {
        statements(&shop, &one_connection, Plans(None), minutes)
            .await
            .1
            .unwrap();
    }
    let (unlimited, done) = statements(&shop, &one_connection, Plans(None), 72).await;
    done.unwrap();
    assert!(unlimited > 3, "{unlimited}");
    let sold = Plans(Some(&shop.api));
    let (limited, done) = statements(&shop, &one_connection, sold, 73).await;
    done.unwrap();
    assert_eq!(limited, unlimited);
    // Whoever bills is another program; what it stores counts at once.
    let other = OrganizationId::new("acme").unwrap();
    let limits = plans().find("pro").unwrap().limits;
    for (plan, limits, allowed) in [
        ("pro", limits, true),
        ("free", SMALL, false),
        ("pro", limits, true),
    ] {
        let in_force = InForce {
            plan,
            limits,
            is_subscribed: true,
        };
        let pool = &shop.consumer.pool;
        let mut tx = db::tenant_transaction(pool, &other).await.unwrap();
        apply(&mut tx, &other, in_force, shop.clock.now())
            .await
            .unwrap();
        db::commit(tx).await.unwrap();
        let (_, done) =
            statements(&shop, &one_connection, sold, if allowed { 10 } else { 9 }).await;
        assert_eq!(done.is_ok(), allowed, "{plan}: {done:?}");
    }
}
