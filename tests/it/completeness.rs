//! Every report says how far its figures reach, as of the moment that it shows.

use chrono::{DateTime, TimeDelta, Utc};
use common::clock::{Clock as _, SystemClock};
use reqwest::Method;
use serde_json::{Value, json};
use stripe_sim::NewCharge;
use tests::api_only::ApiOnly;
use tests::world::{World, unlimited_account};

fn instant(value: &Value) -> DateTime<Utc> {
    value
        .as_str()
        .expect("an instant")
        .parse()
        .expect("an instant")
}

/// What every report says of itself: they must say the same.
async fn completeness(world: &World) -> Value {
    let id = world.connection_id();
    let mut said = Vec::new();
    for path in [
        format!("/v1/analytics/stripe?connection_id={id}"),
        format!("/v1/analytics/stripe?connection_id={id}&group_by=day"),
        format!("/v1/analytics/stripe/charges?connection_id={id}"),
        format!("/v1/analytics/stripe/daily-aggregates?connection_id={id}"),
        // The second answer is that which was kept.
        format!("/v1/analytics/stripe/daily-aggregates?connection_id={id}"),
    ] {
        said.push(world.get(&path).await["completeness"].clone());
    }
    assert!(said.iter().all(|one| *one == said[0]), "{said:#?}");
    let path = format!("/v1/connectors/{id}/sync-status");
    let covered = world.get(&path).await["covered"].clone();
    assert_eq!(said[0]["covered"], covered);
    assert_eq!(said[0]["as_of"], covered["to"]);
    said.swap_remove(0)
}

#[tokio::test]
async fn the_covered_range_ends_when_stripe_was_last_read_though_nothing_was_charged() {
    let world = World::builder().account(unlimited_account(0)).start().await;
    let old = (SystemClock.now() - TimeDelta::days(3)).timestamp();
    let charge = NewCharge {
        created: Some(old),
        ..NewCharge::of(700, "usd")
    };
    world.account().quietly().create_charge(&charge).unwrap();
    // Stripe's clock counts in seconds.
    let before = SystemClock.now() - TimeDelta::seconds(1);
    let connected = world.connect().await;
    world.job_completed(&connected["job_id"]).await;
    let first = completeness(&world).await;
    assert_eq!(first["complete"], true);
    assert_eq!(first["parked_objects"], 0);
    let first = instant(&first["as_of"]);
    assert!(first >= before && first <= SystemClock.now(), "{first}");
    let days = format!(
        "/v1/analytics/stripe/daily-aggregates?connection_id={}",
        world.connection_id()
    );
    let data = world.get(&days).await["data"].clone();
    let before = SystemClock.now() - TimeDelta::seconds(1);
    let job = world.sync(json!({})).await;
    assert_eq!(job["job_type"], "incremental");
    let second = instant(&completeness(&world).await["as_of"]);
    assert!(second >= before && second <= SystemClock.now(), "{second}");
    // The aggregates were not written, and the answer is not that of before all the same.
    assert_eq!(world.get(&days).await["data"], data);
    // Jobs that do not read Stripe leave it where it is.
    let rule = json!({"name": "n", "conditions": [
        {"type": "field", "field": "currency", "operator": "equals", "value": "eur"}]});
    let path = format!("/v1/connectors/{}/filters", world.connection_id());
    let made = world.ask(Method::POST, &path, Some(rule)).await.expect(201);
    world.job_completed(&made["job_id"]).await;
    assert_eq!(instant(&completeness(&world).await["as_of"]), second);
}

#[tokio::test]
async fn reports_are_incomplete_until_the_whole_history_is_read() {
    let mut world = World::builder()
        .account(unlimited_account(40))
        .consumers(0)
        .start()
        .await;
    let connected = world
        .connect_with(json!({"lookback_days": 10}))
        .await
        .expect(201);
    let nothing = json!({"complete": false, "covered": null, "as_of": null, "parked_objects": 0});
    assert_eq!(completeness(&world).await, nothing);
    world.start_consumer();
    world.job_completed(&connected["job_id"]).await;
    let narrow = completeness(&world).await;
    assert_eq!(narrow["complete"], true);
    // As soon as more is asked for, and as long as it is read.
    world.stop_consumers().await;
    let path = format!("/v1/connectors/stripe/{}/sync", world.connection_id());
    let wider = json!({"lookback_days": 60});
    let wider = world
        .ask(Method::POST, &path, Some(wider))
        .await
        .expect(202);
    let between = completeness(&world).await;
    assert_eq!(between["complete"], false);
    assert_eq!(between["covered"], narrow["covered"]);
    world.start_consumer();
    world.job_completed(&wider["job_id"]).await;
    let wide = completeness(&world).await;
    assert_eq!(wide["complete"], true);
    assert_eq!(
        instant(&wide["covered"]["from"]),
        instant(&narrow["covered"]["from"]) - TimeDelta::days(50)
    );
    // Reading again what was read leaves nothing out meanwhile.
    world.stop_consumers().await;
    let again = world
        .ask(Method::POST, &path, Some(json!({"job_type": "full"})))
        .await;
    again.expect(202);
    assert_eq!(completeness(&world).await, wide);
}

#[tokio::test]
async fn reports_count_the_objects_that_could_not_be_read() {
    let world = World::builder().account(unlimited_account(5)).start().await;
    let charge = NewCharge::of(900, "usd");
    let charge = world.account().quietly().create_charge(&charge).unwrap();
    let odd = json!({"amount": "a lot"});
    world.account().patch_answers(&charge, Some(odd));
    let connected = world.connect().await;
    world.job_completed(&connected["job_id"]).await;
    let said = completeness(&world).await;
    assert_eq!(
        (&said["complete"], &said["parked_objects"]),
        (&json!(true), &json!(1))
    );
    world.account().patch_answers(&charge, None);
    world.sync(json!({"job_type": "full"})).await;
    assert_eq!(completeness(&world).await["parked_objects"], 0);
}

#[tokio::test]
async fn kept_days_are_answered_with_what_is_known_of_them_now() {
    let api = ApiOnly::start().await;
    api.connect("rk_test_full_Alpha").await;
    let days = "/v1/analytics/stripe/daily-aggregates?connection_id=acme-stripe-acct_Alpha";
    api.execute(
        "INSERT INTO stripe_daily_aggregates VALUES
             ('acme', 'acme-stripe-acct_Alpha', '2026-03-01', 'usd', 1, 1, 1, 100, 0, '{}', '{}')",
    )
    .await;
    let before = api.get(days).await;
    assert_eq!(before["completeness"]["complete"], false);
    api.execute(
        "UPDATE stripe_sync_state SET full_synced_at = now(), covered_from = '2020-01-01', covered_to = '2026-03-02'",
    )
    .await;
    let after = api.get(days).await;
    assert_eq!(
        after["completeness"],
        json!({"complete": true, "covered": {"from": "2020-01-01T00:00:00Z", "to": "2026-03-02T00:00:00Z"},
            "as_of": "2026-03-02T00:00:00Z", "parked_objects": 0})
    );
    assert_eq!(after["data"], before["data"]);
    api.execute(
        "INSERT INTO stripe_parked_objects (organization_id, connection_id, resource, object_id, raw, detail, parked_at)
         VALUES ('acme', 'acme-stripe-acct_Alpha', 'charges', 'ch_1', '{}', 'odd', now())",
    )
    .await;
    assert_eq!(api.get(days).await["completeness"]["parked_objects"], 1);
    // CSV has no room for it but in a header.
    let request = axum::extract::Request::get(
        "/v1/analytics/stripe/charges?connection_id=acme-stripe-acct_Alpha",
    )
    .header("accept", "text/csv")
    .header("authorization", format!("Bearer {}", api.token))
    .body(axum::body::Body::empty())
    .unwrap();
    let csv = api.send(request).await;
    let said: Value = serde_json::from_str(csv.header("stripe-sync-completeness")).unwrap();
    assert_eq!(said["parked_objects"], 1);
}
