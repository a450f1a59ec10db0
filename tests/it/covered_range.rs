//! Which charges are stored, on which day they stand, and what the state says: time zones and their changes of
//! clocks, the covered range as it widens and moves, and purchases that become too old.

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use common::clock::{Clock as _, SystemClock};
use common::connection::covered_from;
use reqwest::Method;
use serde_json::{Value, json};
use stripe_sim::{MetadataChange, NewCharge, NewLine};
use tests::world::{World, unlimited_account};

async fn empty() -> World {
    World::builder().account(unlimited_account(0)).start().await
}

async fn connect(world: &World, extra: Value) {
    let connected = world.connect_with(extra).await.expect(201);
    world.job_completed(&connected["job_id"]).await;
}

fn at(created: i64) -> NewCharge {
    NewCharge {
        created: Some(created),
        ..NewCharge::of(1_000, "usd")
    }
}

async fn status(world: &World) -> Value {
    let id = world.connection_id();
    world.get(&format!("/v1/connectors/{id}/sync-status")).await
}

async fn begin(world: &World) -> DateTime<Utc> {
    let status = status(world).await;
    let from = status["covered"]["from"]
        .as_str()
        .expect("something is covered");
    from.parse().expect("an instant")
}

async fn explain(world: &World, charge: &str) -> Value {
    let id = world.connection_id();
    let path = format!("/v1/connectors/{id}/charges/{charge}/explain");
    world.get(&path).await
}

async fn stored(world: &World, charge: &str) -> bool {
    explain(world, charge).await["stored"] == true
}

async fn set_timezone(world: &World, timezone: &str) {
    let path = format!("/v1/connectors/{}", world.connection_id());
    let body = json!({"timezone": timezone});
    let changed = world
        .ask(Method::PATCH, &path, Some(body))
        .await
        .expect(200);
    world.job_completed(&changed["job_id"]).await;
}

/// Instants around changes of clocks, and the days on which a zone has them.
const DAYS: [(&str, &[(&str, &str)]); 4] = [
    // A day of 23 hours and one of 25.
    (
        "America/New_York",
        &[
            ("2024-03-10T04:59:59Z", "2024-03-09"),
            ("2024-03-10T05:00:00Z", "2024-03-10"),
            ("2024-03-11T03:59:59Z", "2024-03-10"),
            ("2024-03-11T04:00:00Z", "2024-03-11"),
            ("2024-11-03T04:00:00Z", "2024-11-03"),
            ("2024-11-04T04:59:59Z", "2024-11-03"),
            ("2024-11-04T05:00:00Z", "2024-11-04"),
        ],
    ),
    // Midnight goes back to 23:00 in April, and does not exist in September.
    (
        "America/Santiago",
        &[
            ("2024-04-07T02:59:59Z", "2024-04-06"),
            ("2024-04-07T03:00:00Z", "2024-04-06"),
            ("2024-04-07T04:00:00Z", "2024-04-07"),
            ("2024-09-08T03:59:59Z", "2024-09-07"),
            ("2024-09-08T04:00:00Z", "2024-09-08"),
        ],
    ),
    (
        "Asia/Beirut",
        &[
            ("2024-03-30T21:59:59Z", "2024-03-30"),
            ("2024-03-30T22:00:00Z", "2024-03-31"),
            ("2024-10-26T21:00:00Z", "2024-10-26"),
            ("2024-10-26T22:00:00Z", "2024-10-27"),
        ],
    ),
    // 14 hours ahead until the last change of clocks in 2021, then 13.
    (
        "Pacific/Apia",
        &[
            ("2021-04-03T09:59:59Z", "2021-04-03"),
            ("2021-04-03T10:00:00Z", "2021-04-04"),
            ("2021-04-04T10:59:59Z", "2021-04-04"),
            ("2021-04-04T11:00:00Z", "2021-04-05"),
        ],
    ),
];

#[tokio::test]
async fn dates_are_local_across_clock_changes() {
    let world = empty().await;
    let instants = DAYS.iter().flat_map(|(_, instants)| instants.iter());
    for (instant, _) in instants {
        let created: DateTime<Utc> = instant.parse().unwrap();
        let charge = at(created.timestamp());
        world.account().quietly().create_charge(&charge).unwrap();
    }
    connect(&world, json!({"lookback_days": 3650})).await;
    let id = world.connection_id();
    let list = format!("/v1/analytics/stripe/charges?connection_id={id}");
    for (zone, instants) in DAYS {
        set_timezone(&world, zone).await;
        let rows = world.all(&list, "data").await;
        for (instant, day) in instants {
            let row = rows.iter().find(|row| row["created_at"] == *instant);
            assert_eq!(row.expect(instant)["date"], *day, "{instant} in {zone}");
        }
        world.assert_exact().await;
    }
    set_timezone(&world, "America/New_York").await;
    // A Sunday belongs to the week of the Monday before.
    let around = "date_from=2024-03-09&date_to=2024-03-11";
    for (by, expected) in [
        ("week", json!([["2024-03-04", 3], ["2024-03-11", 1]])),
        ("month", json!([["2024-03", 4]])),
        (
            "day",
            json!([["2024-03-09", 1], ["2024-03-10", 2], ["2024-03-11", 1]]),
        ),
    ] {
        let path = format!("/v1/analytics/stripe?connection_id={id}&group_by={by}&{around}");
        let report = world.get(&path).await;
        let groups = report["groups"].as_array().unwrap().iter();
        let found: Vec<Value> = groups.map(|g| json!([g["key"], g["charges"]])).collect();
        assert_eq!(Value::from(found), expected, "{by}");
    }
    world.sync(json!({"job_type": "full"})).await;
    world.assert_exact().await;
}

/// The zones in which the covered range begins first and last now.
fn zones() -> [String; 2] {
    let now = SystemClock.now();
    let mut zones: Vec<String> = (-14..=12).map(|west| format!("Etc/GMT{west:+}")).collect();
    zones.sort_by_key(|zone| covered_from(now, zone.parse::<Tz>().unwrap(), 10));
    [zones[0].clone(), zones[zones.len() - 1].clone()]
}

#[tokio::test]
async fn a_time_zone_change_moves_the_covered_range_and_drops_old_purchases() {
    let [early, late] = zones();
    let world = empty().await;
    let customer = world.account().create_customer(&MetadataChange::new());
    connect(&world, json!({"lookback_days": 10, "timezone": early})).await;
    let first = begin(&world).await;
    let created_at = world
        .get(&format!("/v1/connectors/{}", world.connection_id()))
        .await;
    let created_at = created_at["created_at"].as_str().unwrap().parse().unwrap();
    let last = covered_from(created_at, late.parse().unwrap(), 10);
    let quiet = world.account().quietly();
    let charge = |instant: DateTime<Utc>| quiet.create_charge(&at(instant.timestamp())).unwrap();
    let second = TimeDelta::seconds(1);
    let never = charge(first - second);
    let dropped = [charge(first), charge(last - second)];
    let kept = charge(last);
    for refunded in [&dropped[1], &kept] {
        quiet.refund(refunded, Some(100)).unwrap();
    }
    let line = |amount| NewLine {
        amount: Some(amount),
        ..NewLine::default()
    };
    let of_old = NewCharge {
        customer: Some(customer),
        invoice_lines: vec![line(400), line(600)],
        invoice_created: Some((first - TimeDelta::days(35)).timestamp()),
        ..at((last + second).timestamp())
    };
    let of_old = quiet.create_charge(&of_old).unwrap();
    let lines = async || {
        explain(&world, &of_old).await["rows"]
            .as_array()
            .unwrap()
            .len()
    };
    world.sync(json!({"job_type": "full"})).await;
    assert!(!stored(&world, &never).await);
    assert!(stored(&world, &dropped[0]).await && stored(&world, &dropped[1]).await);
    assert_eq!(lines().await, 2);
    world.assert_exact().await;

    set_timezone(&world, &late).await;
    assert_eq!(begin(&world).await, last);
    assert!(!stored(&world, &dropped[0]).await && !stored(&world, &dropped[1]).await);
    assert!(stored(&world, &kept).await);
    assert_eq!(lines().await, 1);
    world.assert_exact().await;

    // What is to be covered again is read by the next sync, and only then covered.
    set_timezone(&world, &early).await;
    assert_eq!(begin(&world).await, last);
    let job = world.sync(json!({})).await;
    assert_eq!(job["job_type"], "full");
    assert_eq!(begin(&world).await, first);
    assert!(stored(&world, &dropped[0]).await);
    assert_eq!(lines().await, 2);
    world.assert_exact().await;
}

#[tokio::test]
async fn a_larger_lookback_widens_the_range_and_a_smaller_one_does_not_narrow_it() {
    let world = empty().await;
    let now = SystemClock.now().timestamp();
    let quiet = world.account().quietly();
    let [recent, older, oldest] =
        [3, 20, 60].map(|days| quiet.create_charge(&at(now - days * 86_400)).unwrap());
    connect(&world, json!({"lookback_days": 5})).await;
    assert!(stored(&world, &recent).await && !stored(&world, &older).await);
    world.assert_exact().await;
    let narrow = begin(&world).await;
    let job = world.sync(json!({"lookback_days": 30})).await;
    assert_eq!(job["job_type"], "full");
    let wide = begin(&world).await;
    assert_eq!(wide, narrow - TimeDelta::days(25));
    assert!(stored(&world, &older).await);
    let job = world.sync(json!({"lookback_days": 4})).await;
    assert_eq!(job["job_type"], "incremental");
    assert_eq!(begin(&world).await, wide);
    assert!(stored(&world, &older).await);
    // One from before is noted and not stored, however often it changes, and never asked for.
    let note = |value: &str| MetadataChange::from([("note".to_owned(), Some(value.to_owned()))]);
    for round in ["one", "two"] {
        let account = world.account();
        account.set_charge_metadata(&oldest, &note(round)).unwrap();
        account.refund(&oldest, Some(10)).unwrap();
        world.sim.reset_requests();
        world.sync(json!({})).await;
        assert!(!stored(&world, &oldest).await);
        let noted: Vec<String> =
            sqlx::query_scalar("SELECT charge_id FROM stripe_out_of_range_charges")
                .fetch_all(world.database.admin())
                .await
                .unwrap();
        assert_eq!(noted, std::slice::from_ref(&oldest));
        assert_eq!(world.sim.requests().of("GET /v1/charges/{id}"), 0);
        world.assert_exact().await;
    }
}

#[tokio::test]
async fn nothing_is_covered_until_something_was_read_and_the_newest_charge_is_that_of_the_greatest_id()
 {
    let mut world = World::builder()
        .account(unlimited_account(0))
        .consumers(0)
        .start()
        .await;
    let now = SystemClock.now().timestamp();
    let quiet = world.account().quietly();
    // Of two in one second the greater id is the newest.
    let mut newest = [0, 0, 30].map(|age| quiet.create_charge(&at(now - 60 - age)).unwrap());
    newest[..2].sort();
    let connected = world.connect().await;
    let before = status(&world).await;
    assert_eq!(before["covered"], Value::Null);
    assert_eq!(before["state"]["charges_synced"], 0);
    world.start_consumer();
    world.job_completed(&connected["job_id"]).await;
    let first = status(&world).await;
    assert_ne!(first["covered"], Value::Null);
    assert_eq!(first["state"]["last_charge_id"], json!(newest[1]));
    let later = world.account().create_charge(&at(now - 20)).unwrap();
    world.sync(json!({})).await;
    let second = status(&world).await;
    assert_eq!(second["state"]["last_charge_id"], json!(later));
    world.assert_exact().await;
}

#[tokio::test]
async fn the_state_counts_excluded_charges_and_leaves_out_their_revenue() {
    let world = World::with_charges(200).start().await;
    connect(&world, json!({})).await;
    let before = status(&world).await["state"].clone();
    let id = world.connection_id();
    let rule = json!({"name": "not euros", "action": "exclude", "conditions": [
        {"type": "field", "field": "currency", "operator": "equals", "value": "eur"}]});
    let path = format!("/v1/connectors/{id}/filters");
    let made = world.ask(Method::POST, &path, Some(rule)).await.expect(201);
    world.job_completed(&made["job_id"]).await;
    let after = status(&world).await["state"].clone();
    assert_eq!(after["charges_synced"], before["charges_synced"]);
    assert_eq!(after["last_charge_id"], before["last_charge_id"]);
    assert!(before["total_revenue_synced"]["eur"].as_i64().unwrap() > 0);
    let totals = world
        .get(&format!("/v1/analytics/stripe?connection_id={id}"))
        .await;
    let totals = totals["totals"].as_array().unwrap().iter();
    let totals: serde_json::Map<String, Value> = totals
        .map(|total| {
            let currency = total["currency"].as_str().unwrap().to_owned();
            (currency, total["net"].clone())
        })
        .collect();
    assert_eq!(after["total_revenue_synced"], Value::Object(totals));
    assert_eq!(after["total_revenue_synced"].get("eur"), None);
}
