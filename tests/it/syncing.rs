//! What a sync brings equals what Stripe has: by day, currency, metadata key, in total and in state.

use chrono::Utc;
use common::clock::{Clock as _, SystemClock};
use reqwest::Method;
use serde_json::json;
use stripe_sim::{Fault, FaultRule, MetadataChange, NewCharge, TimeSource};
use tests::world::{World, unlimited_account};

#[tokio::test]
async fn a_full_sync_equals_stripe_to_the_cent() {
    let world = World::with_charges(3_000).start().await;
    let connected = world.connect().await;
    let job = world.job_completed(&connected["job_id"]).await;
    assert_eq!(job["job_type"], "full");
    assert_eq!(job["progress"]["percent"], 100.0);
    assert_eq!(job["progress"]["remaining_ranges"], json!([]));
    world.assert_exact().await;
}

#[tokio::test]
async fn a_full_sync_through_rabbitmq_equals_stripe_to_the_cent() {
    let world = World::with_charges(1_000).rabbitmq().start().await;
    let connected = world.connect().await;
    world.job_completed(&connected["job_id"]).await;
    world.assert_exact().await;
}

#[tokio::test]
async fn days_are_those_of_the_connections_time_zone() {
    let world = World::with_charges(1_500).start().await;
    let connected = world
        .connect_with(json!({"timezone": "America/New_York"}))
        .await
        .expect(201);
    world.job_completed(&connected["job_id"]).await;
    world.assert_exact().await;
}

#[tokio::test]
async fn a_time_zone_change_redates_rows_without_requests() {
    let world = World::with_charges(1_000).start().await;
    let connected = world.connect().await;
    world.job_completed(&connected["job_id"]).await;
    world.sim.reset_requests();
    let path = format!("/v1/connectors/{}", world.connection_id());
    let body = json!({"timezone": "Australia/Lord_Howe"});
    let patched = world
        .ask(Method::PATCH, &path, Some(body))
        .await
        .expect(200);
    world.job_completed(&patched["job_id"]).await;
    assert_eq!(world.sim.requests().total, 0);
    world.assert_exact().await;
}

#[tokio::test]
async fn a_page_is_fetched_once_and_enrichment_costs_no_request_per_charge() {
    // One page after another fills such a rate, so nothing is split.
    let rate = std::num::NonZeroU32::new(5).unwrap();
    let world = World::with_charges(1_000).rate(rate).start().await;
    let connected = world.connect().await;
    world.job_completed(&connected["job_id"]).await;
    // One of them is the probe's.
    assert_eq!(world.sim.requests().of("GET /v1/charges"), 11);
    assert_eq!(world.sim.requests().of("GET /v1/customers/{id}"), 0);
}

#[tokio::test]
async fn a_big_account_is_read_by_several_ranges_at_hardly_more_requests() {
    const CHARGES: u64 = 6_000;
    // An answer takes 20 requests' time, so that one page after another would use a twentieth of the rate.
    let rate = std::num::NonZeroU32::new(200).unwrap();
    let world = World::with_charges(CHARGES).rate(rate).start().await;
    world
        .account()
        .configure(|settings| settings.latency_ms = 100);
    let connected = world.connect().await;
    world.job_completed(&connected["job_id"]).await;
    let requests = world.sim.requests();
    let pages = requests.of("GET /v1/charges") - 1;
    let fewest = CHARGES / 100;
    assert!(
        pages * 100 <= fewest * 130,
        "{pages} pages, {fewest} needed"
    );
    assert!(requests.peak_in_flight >= 10, "{requests:#?}");
    world.assert_exact().await;
}

#[tokio::test]
async fn an_idle_connection_costs_exactly_one_request_a_run() {
    let world = World::with_charges(300).start().await;
    let connected = world.connect().await;
    world.job_completed(&connected["job_id"]).await;
    for _ in 0..3 {
        world.sim.reset_requests();
        let job = world.sync(json!({})).await;
        assert_eq!(job["job_type"], "incremental");
        assert_eq!(job["progress"]["requests"], 1);
        assert_eq!(world.sim.requests().total, 1);
    }
    world.assert_exact().await;
}

#[tokio::test]
async fn changes_of_every_kind_arrive_with_the_next_incremental_job() {
    let world = World::with_charges(1_000).start().await;
    let connected = world.connect().await;
    world.job_completed(&connected["job_id"]).await;
    for round in 0..4 {
        world.account().churn(60, round);
        let job = world.sync(json!({})).await;
        assert_eq!(job["job_type"], "incremental");
        world.assert_exact().await;
    }
}

#[tokio::test]
async fn the_same_event_is_applied_once_and_late_ones_are_not_missed() {
    let world = World::with_charges(200).start().await;
    let connected = world.connect().await;
    world.job_completed(&connected["job_id"]).await;
    let account = world.account();
    let charge = account.create_charge(&NewCharge::of(5_000, "usd")).unwrap();
    world.sync(json!({})).await;
    world.assert_exact().await;
    // The events stand within the lag, so they are listed again, and known.
    world.sim.reset_requests();
    world.sync(json!({})).await;
    assert_eq!(world.sim.requests().total, 1, "nothing is read twice");
    // An event that becomes visible only after a later one was read.
    account.configure(|settings| settings.event_lag_seconds = 20);
    account.refund(&charge, Some(1_500)).unwrap();
    world.sync(json!({})).await;
    world.sim.advance(30);
    world.sync(json!({})).await;
    world.assert_exact().await;
}

#[tokio::test]
async fn many_new_charges_are_listed_not_fetched_one_by_one() {
    let world = World::with_charges(100).start().await;
    let connected = world.connect().await;
    world.job_completed(&connected["job_id"]).await;
    for amount in 0..150 {
        world
            .account()
            .create_charge(&NewCharge::of(1_000 + amount, "eur"))
            .unwrap();
    }
    world.sim.reset_requests();
    world.sync(json!({})).await;
    let requests = world.sim.requests();
    assert_eq!(requests.of("GET /v1/charges/{id}"), 0);
    assert!(requests.of("GET /v1/charges") <= 3, "{requests:?}");
    world.assert_exact().await;
}

#[tokio::test]
async fn charges_that_lists_do_not_show_yet_are_not_lost() {
    let world = World::with_charges(100).start().await;
    let account = world.account();
    account.configure(|settings| settings.visibility_lag_seconds = 10);
    for amount in 0..5 {
        account
            .create_charge(&NewCharge::of(2_000 + amount, "usd"))
            .unwrap();
    }
    let connected = world.connect().await;
    world.job_completed(&connected["job_id"]).await;
    world.sync(json!({})).await;
    world.assert_exact().await;
}

#[tokio::test]
async fn updates_made_while_the_first_backfill_runs_are_seen() {
    let world = World::with_charges(3_000).start().await;
    world
        .account()
        .configure(|settings| settings.latency_ms = 20);
    let connected = world.connect().await;
    let path = format!("/v1/sync-jobs/{}", connected["job_id"].as_str().unwrap());
    for round in 0..10 {
        world.account().churn(20, 100 + round);
        world
            .eventually("the job to move on", async || {
                let job = world.get(&path).await;
                let seen = job["progress"]["charges_seen"].as_i64().unwrap();
                (seen >= 250 * round as i64 || job["status"] == "completed").then_some(())
            })
            .await;
    }
    world.job_completed(&connected["job_id"]).await;
    world.sync(json!({})).await;
    world.assert_exact().await;
}

#[tokio::test]
async fn every_kind_of_fault_loses_no_charge() {
    let world = World::with_charges(1_500).start().await;
    let connected = {
        let connected = world.connect().await;
        world.account().configure(|settings| {
            settings.fault_500_percent = 5.0;
            settings.fault_429_percent = 5.0;
            settings.fault_reset_percent = 5.0;
            settings.fault_truncate_percent = 5.0;
        });
        connected
    };
    world.job_completed(&connected["job_id"]).await;
    world.account().churn(40, 7);
    world.sync(json!({})).await;
    world.assert_exact().await;
}

#[tokio::test]
async fn one_429_neither_ends_the_sync_nor_drops_a_page() {
    let world = World::with_charges(1_000).start().await;
    let connected = world.connect().await;
    world.account().add_fault(FaultRule {
        endpoint: Some("GET /v1/charges".to_owned()),
        fault: Fault::RateLimited("endpoint-rate".to_owned()),
        after: 2,
        times: 1,
        retry_after: None,
    });
    let job = world.job_completed(&connected["job_id"]).await;
    assert_eq!(job["progress"]["charges_seen"], 1_000);
    world.assert_exact().await;
}

#[tokio::test]
async fn a_revoked_key_stops_the_connection_until_a_person_acts() {
    let world = World::with_charges(100).start().await;
    let connected = world.connect().await;
    world.job_completed(&connected["job_id"]).await;
    let account = world.account();
    let key = account.key().to_owned();
    account.set_key(&key, None, stripe_sim::KeyState::Revoked);
    let id = world.connection_id();
    let answer = world
        .ask(
            Method::POST,
            &format!("/v1/connectors/stripe/{id}/sync"),
            Some(json!({})),
        )
        .await
        .expect(202);
    let job = world.job_end(&answer["job_id"]).await;
    assert_eq!(job["status"], "failed", "{job:#}");
    assert_eq!(job["error"]["code"], "stripe_key_invalid");
    let status = world.get(&format!("/v1/connectors/{id}/sync-status")).await;
    assert_eq!(status["status"], "error");
    assert_eq!(status["problem"]["code"], "stripe_key_invalid");
    // The schedule leaves it alone.
    overdue(&world).await;
    scheduler::tick(&world.scheduler()).await.unwrap();
    let jobs = world.get(&format!("/v1/connectors/{id}/jobs")).await;
    assert_eq!(jobs["data"].as_array().unwrap().len(), 2);
    // A sync by hand tries once, and clears the problem when it works.
    account.set_key(&key, None, stripe_sim::KeyState::Active);
    world.sync(json!({})).await;
    let status = world.get(&format!("/v1/connectors/{id}/sync-status")).await;
    assert_eq!(status["problem"], json!(null));
}

async fn overdue(world: &World) {
    sqlx::query("UPDATE platform_connections SET next_sync_at = now() - INTERVAL '1 year'")
        .execute(world.database.admin())
        .await
        .unwrap();
}

#[tokio::test]
async fn the_schedule_syncs_what_is_due() {
    let world = World::with_charges(200).start().await;
    let connected = world.connect().await;
    world.job_completed(&connected["job_id"]).await;
    let charge = world
        .account()
        .create_charge(&NewCharge::of(4_200, "usd"))
        .unwrap();
    overdue(&world).await;
    scheduler::tick(&world.scheduler()).await.unwrap();
    let path = format!("/v1/connectors/{}/jobs", world.connection_id());
    let job = world
        .eventually("a scheduled job", async || {
            let jobs = world.get(&path).await;
            let job = jobs["data"][0].clone();
            (job["trigger"] == "schedule").then_some(job)
        })
        .await;
    world.job_completed(&job["job_id"]).await;
    let explained = world
        .get(&format!(
            "/v1/connectors/{}/charges/{charge}/explain",
            world.connection_id()
        ))
        .await;
    assert_eq!(explained["reason"], "counted");
    world.assert_exact().await;
}

#[tokio::test]
async fn two_organizations_may_connect_the_same_account_and_agree() {
    let mut world = World::with_charges(400).start().await;
    world.organization("globex").await;
    let first = world.connect().await;
    let body = json!({
        "organization_id": "globex", "api_key": world.account().key(), "lookback_days": 120,
    });
    let globex = world.token_of("globex").to_owned();
    let second = world
        .ask_as(
            &globex,
            Method::POST,
            "/v1/connectors/stripe/connect",
            Some(body),
        )
        .await
        .expect(201);
    world.job_completed(&first["job_id"]).await;
    let path = format!("/v1/sync-jobs/{}", second["job_id"].as_str().unwrap());
    world
        .eventually("the second organization's job", async || {
            let job = world
                .ask_as(&globex, Method::GET, &path, None)
                .await
                .expect(200);
            (job["status"] == "completed").then_some(())
        })
        .await;
    world.assert_exact().await;
    let totals = |id: String| format!("/v1/analytics/stripe?connection_id={id}&group_by=currency");
    let ours = world.get(&totals(world.connection_id())).await;
    let theirs = format!("globex-stripe-{}", world.account().id());
    let theirs = world
        .ask_as(&globex, Method::GET, &totals(theirs), None)
        .await
        .expect(200);
    assert_eq!(ours["totals"], theirs["totals"]);
}

#[tokio::test]
async fn a_rule_is_applied_to_stored_rows_without_asking_stripe_and_undone_again() {
    let world = World::with_charges(600).start().await;
    let connected = world.connect().await;
    world.job_completed(&connected["job_id"]).await;
    let id = world.connection_id();
    let totals = format!("/v1/analytics/stripe?connection_id={id}&group_by=metadata:charge.tier");
    let before = world.get(&totals).await;
    world.sim.reset_requests();
    let rule = json!({
        "name": "only pro", "action": "include", "operator": "AND",
        "conditions": [{"type": "metadata", "metadata_source": "charge", "metadata_key": "tier",
                        "operator": "equals", "value": "pro"}],
    });
    let path = format!("/v1/connectors/{id}/filters");
    let created = world.ask(Method::POST, &path, Some(rule)).await.expect(201);
    world.job_completed(&created["job_id"]).await;
    assert_eq!(world.sim.requests().total, 0, "no word to Stripe");
    let only_pro = world.get(&totals).await;
    let keys: Vec<_> = only_pro["groups"]
        .as_array()
        .unwrap()
        .iter()
        .map(|g| g["key"].clone())
        .collect();
    assert!(
        !keys.is_empty() && keys.iter().all(|key| key == "pro"),
        "{keys:?}"
    );
    // New charges obey the rule as well.
    let tier = |value: &str| NewCharge {
        metadata: [("tier".to_owned(), value.to_owned())].into(),
        ..NewCharge::of(9_900, "usd")
    };
    world.account().create_charge(&tier("free")).unwrap();
    world.account().create_charge(&tier("pro")).unwrap();
    world.sync(json!({})).await;
    let synced = world.get(&totals).await;
    assert!(
        synced["groups"]
            .as_array()
            .unwrap()
            .iter()
            .all(|group| group["key"] == "pro")
    );
    let filter_id = created["filter_id"].as_str().unwrap();
    let deleted = world
        .ask(Method::DELETE, &format!("{path}/{filter_id}"), None)
        .await;
    assert!(deleted.status.is_success(), "{:#}", deleted.body);
    world.job_completed(&deleted.body["job_id"]).await;
    world.assert_exact().await;
    assert_ne!(before, only_pro);
}

#[tokio::test]
async fn a_deleted_connection_leaves_nothing_behind_but_its_job() {
    let world = World::with_charges(300).start().await;
    let connected = world.connect().await;
    world.job_completed(&connected["job_id"]).await;
    let path = format!("/v1/connectors/{}", world.connection_id());
    let deleted = world.ask(Method::DELETE, &path, None).await.expect(202);
    world.ask(Method::GET, &path, None).await.expect(404);
    world.job_completed(&deleted["job_id"]).await;
    for table in [
        "platform_connections",
        "connection_credentials",
        "stripe_revenue_data",
        "stripe_daily_aggregates",
        "stripe_aggregate_versions",
        "stripe_daily_rollups",
        "stripe_omitted_value_hashes",
        "stripe_stale_days",
        "stripe_referenced_objects",
        "stripe_refunds",
        "stripe_restatements",
        "stripe_disputes",
        "stripe_compared_days",
        "stripe_metadata_keys",
        "stripe_sync_state",
    ] {
        let count: i64 =
            sqlx::query_scalar(sqlx::AssertSqlSafe(format!("SELECT COUNT(*) FROM {table}")))
                .fetch_one(world.database.admin())
                .await
                .unwrap();
        assert_eq!(count, 0, "{table}");
    }
    world.connect().await;
}

#[tokio::test]
async fn the_metadata_catalogue_is_right_after_updates_and_deletions() {
    let world = World::with_charges(300).start().await;
    let connected = world.connect().await;
    world.job_completed(&connected["job_id"]).await;
    let account = world.account();
    let charge = account.create_charge(&NewCharge::of(100, "usd")).unwrap();
    let set = |key: &str, value: &str| -> MetadataChange {
        [(key.to_owned(), Some(value.to_owned()))].into()
    };
    account
        .set_charge_metadata(&charge, &set("only_here", "seen"))
        .unwrap();
    world.sync(json!({})).await;
    let path = format!(
        "/v1/connectors/{}/filters/discover?object_type=charge&limit=1000",
        world.connection_id()
    );
    let find = |found: &serde_json::Value| {
        found["data"]
            .as_array()
            .unwrap()
            .iter()
            .find(|key| key["key_path"] == "only_here")
            .cloned()
    };
    let entry = find(&world.get(&path).await).expect("the key is catalogued");
    assert_eq!(entry["occurrences"], 1);
    assert_eq!(entry["sample_values"], json!(["seen"]));
    account
        .set_charge_metadata(&charge, &set("only_here", ""))
        .unwrap();
    world.sync(json!({})).await;
    assert_eq!(find(&world.get(&path).await), None);
}

#[tokio::test]
async fn an_account_without_charges_is_covered_all_the_same() {
    let world = World::builder().account(unlimited_account(0)).start().await;
    let before = SystemClock.now();
    let connected = world.connect().await;
    world.job_completed(&connected["job_id"]).await;
    let status = world
        .get(&format!(
            "/v1/connectors/{}/sync-status",
            world.connection_id()
        ))
        .await;
    let from: chrono::DateTime<Utc> = status["covered"]["from"].as_str().unwrap().parse().unwrap();
    assert!(from < before);
    assert_eq!(status["state"]["charges_synced"], 0);
    assert_eq!(status["state"]["last_charge_id"], json!(null));
}

#[tokio::test]
async fn a_clock_ahead_of_stripes_loses_no_event() {
    let behind = SystemClock.now().timestamp() - 120;
    let world = World::with_charges(20)
        .stripe_time(TimeSource::RunningFrom(behind))
        .start()
        .await;
    let connected = world.connect().await;
    world.job_completed(&connected["job_id"]).await;
    world
        .account()
        .create_charge(&NewCharge::of(4_400, "usd"))
        .unwrap();
    world.sync(json!({})).await;
    world
        .account()
        .create_charge(&NewCharge::of(4_500, "usd"))
        .unwrap();
    world.sync(json!({})).await;
    world.assert_exact().await;
}
