//! What money means: holds, refunds, partial captures, disputes, currencies; what a preview shows, and
//! what the catalogue of keys knows.

use std::collections::BTreeMap;

use reqwest::Method;
use serde_json::{Value, json};
use stripe_sim::{
    AccountConfig, AccountHandle, ApiVersion, KeyState, MetadataChange, NewCharge, NewLine,
};
use tests::random::number_from;
use tests::world::{World, unlimited_account};

async fn empty() -> World {
    World::builder().account(unlimited_account(0)).start().await
}

async fn connect(world: &World) {
    let connected = world.connect().await;
    world.job_completed(&connected["job_id"]).await;
}

async fn rows(world: &World, charge: &str) -> Vec<Value> {
    let id = world.connection_id();
    let path = format!("/v1/connectors/{id}/charges/{charge}/explain");
    world.get(&path).await["rows"]
        .as_array()
        .expect("rows")
        .clone()
}

/// Gross and refunded of a charge of one row.
async fn money(world: &World, charge: &str) -> (i64, i64) {
    let rows = rows(world, charge).await;
    let [row] = &rows[..] else {
        panic!("{charge} has {} rows", rows.len());
    };
    let number = |name: &str| row[name].as_i64().expect(name);
    assert_eq!(number("net"), number("gross") - number("refunded"));
    (number("gross"), number("refunded"))
}

fn hold(amount: i64) -> NewCharge {
    NewCharge {
        captured: false,
        ..NewCharge::of(amount, "usd")
    }
}

#[tokio::test]
async fn a_dispute_won_or_lost_changes_no_figure_and_is_shown() {
    let world = empty().await;
    let account = world.account();
    let charges = ["won", "lost"].map(|end| {
        let charge = account.create_charge(&NewCharge::of(1_000, "usd")).unwrap();
        account.dispute(&charge).unwrap();
        (charge, end)
    });
    connect(&world).await;
    let shown = async |charge: &str| {
        let row = rows(&world, charge).await.remove(0);
        (row["disputed"].clone(), row["dispute_status"].clone())
    };
    for (charge, end) in &charges {
        assert_eq!(money(&world, charge).await, (1_000, 0));
        assert_eq!(shown(charge).await, (json!(true), json!("needs_response")));
        account.close_dispute(charge, end).unwrap();
    }
    world.sync(json!({})).await;
    for (charge, end) in &charges {
        assert_eq!(money(&world, charge).await, (1_000, 0));
        assert_eq!(shown(charge).await, (json!(true), json!(end)));
    }
    world.assert_exact().await;
}

#[tokio::test]
async fn a_hold_counts_once_it_is_captured_on_the_day_it_was_made() {
    let world = empty().await;
    let account = world.account();
    let made = world.sim.now() - 5 * 86_400;
    let [lapsed, late, partly, open] = [0, 1, 2, 3].map(|_| {
        let new = NewCharge {
            created: Some(made),
            ..hold(1_000)
        };
        account.create_charge(&new).unwrap()
    });
    connect(&world).await;
    for charge in [&lapsed, &late, &partly, &open] {
        assert_eq!(money(&world, charge).await, (0, 0));
    }
    account.expire(&lapsed).unwrap();
    account.capture(&late, None).unwrap();
    account.capture(&partly, Some(300)).unwrap();
    world.sync(json!({})).await;
    for (charge, figures, counted) in [
        (&lapsed, (0, 0), false),
        (&late, (1_000, 0), true),
        (&partly, (300, 0), true),
        (&open, (0, 0), false),
    ] {
        assert_eq!(money(&world, charge).await, figures);
        let row = rows(&world, charge).await.remove(0);
        assert_eq!(row["counted"], counted);
        let day = chrono::DateTime::from_timestamp(made, 0).unwrap();
        assert_eq!(row["date"], day.date_naive().to_string());
    }
    world.assert_exact().await;
}

#[tokio::test]
async fn a_refund_lowers_revenue_on_its_charges_day_and_one_that_fails_raises_it_again() {
    let world = empty().await;
    let account = world.account();
    let made = world.sim.now() - 20 * 86_400;
    let charge = NewCharge {
        created: Some(made),
        ..NewCharge::of(1_000, "usd")
    };
    let charge = account.create_charge(&charge).unwrap();
    connect(&world).await;
    let path = format!(
        "/v1/analytics/stripe?connection_id={}&group_by=day",
        world.connection_id()
    );
    let refund = account.refund(&charge, Some(400)).unwrap();
    account.refund_pending(&charge, Some(100)).unwrap();
    world.sync(json!({})).await;
    assert_eq!(money(&world, &charge).await, (1_000, 500));
    let days = world.get(&path).await["groups"].clone();
    assert_eq!(days.as_array().unwrap().len(), 1, "{days:#}");
    assert_eq!(days[0]["net"], 500);
    account.fail_refund(&refund).unwrap();
    world.sync(json!({})).await;
    assert_eq!(money(&world, &charge).await, (1_000, 100));
    account.refund(&charge, None).unwrap();
    world.sync(json!({})).await;
    assert_eq!(money(&world, &charge).await, (1_000, 1_000));
    world.assert_exact().await;
}

/// Partly captured charges, 600 of 1000, with what of each was really refunded.
fn partly_captured(account: &AccountHandle) -> Vec<(&'static str, String, i64)> {
    let create = || {
        let new = NewCharge {
            amount_captured: Some(600),
            ..NewCharge::of(1_000, "usd")
        };
        account.create_charge(&new).unwrap()
    };
    let mut made = Vec::new();
    for (name, refunds) in [
        ("untouched", vec![]),
        ("refunded in part", vec![100]),
        ("refunded by as much as was released", vec![400]),
        ("the same, and more", vec![400, 50]),
        ("the same in two parts", vec![150, 250]),
        ("refunded in full", vec![600]),
        ("by little, more often than is inlined", vec![10; 12]),
        ("by much, more often than is inlined", vec![45; 12]),
    ] {
        let charge = create();
        for refund in &refunds {
            account.refund(&charge, Some(*refund)).unwrap();
        }
        made.push((name, charge, refunds.iter().sum()));
    }
    let pending = create();
    account.refund_pending(&pending, Some(400)).unwrap();
    made.push(("by as much, on its way", pending, 400));
    let failed = create();
    let refund = account.refund(&failed, Some(400)).unwrap();
    account.fail_refund(&refund).unwrap();
    made.push(("by as much, failed", failed, 0));
    let late = account.create_charge(&hold(1_000)).unwrap();
    account.capture(&late, Some(600)).unwrap();
    account.refund(&late, Some(400)).unwrap();
    made.push(("captured late, refunded by as much", late, 400));
    made
}

#[tokio::test]
async fn a_partial_capture_release_is_no_refund_but_an_equal_refund_is() {
    for partial_capture_refund in [true, false] {
        let world = World::builder()
            .account(AccountConfig {
                partial_capture_refund,
                ..unlimited_account(0)
            })
            .start()
            .await;
        let mut charges = partly_captured(&world.account().quietly());
        connect(&world).await;
        let of_events = partly_captured(&world.account());
        world.sync(json!({})).await;
        charges.extend(of_events);
        for (name, charge, refunded) in &charges {
            let expected = (600, *refunded);
            let found = money(&world, charge).await;
            assert_eq!(
                found, expected,
                "{name}, reported: {partial_capture_refund}"
            );
        }
        world.assert_exact().await;
    }
}

/// 20,675 authorized and 20,300 captured: Stripe calls the 375 that were released refunded.
#[tokio::test]
async fn a_partial_capture_release_is_no_refund_without_refund_permission() {
    let world = empty().await;
    let account = world.account();
    let partly = NewCharge {
        amount_captured: Some(20_300),
        ..NewCharge::of(20_675, "usd")
    };
    let untouched = account.create_charge(&partly).unwrap();
    let refunded = account.create_charge(&partly).unwrap();
    account.refund(&refunded, Some(300)).unwrap();
    let in_full = account.create_charge(&partly).unwrap();
    account.refund(&in_full, Some(20_300)).unwrap();
    let key = "rk_test_without_refunds";
    let permissions = ["rak_charge_read", "rak_event_read", "rak_customer_read"];
    account.set_key(key, Some(&permissions), KeyState::Active);
    let connected = world
        .connect_with(json!({"api_key": key}))
        .await
        .expect(201);
    world.job_completed(&connected["job_id"]).await;
    assert_eq!(money(&world, &untouched).await, (20_300, 0));
    assert_eq!(money(&world, &refunded).await, (20_300, 300));
    assert_eq!(money(&world, &in_full).await, (20_300, 20_300));
    let late = account.create_charge(&hold(20_675)).unwrap();
    account.capture(&late, Some(20_300)).unwrap();
    world.sync(json!({})).await;
    assert_eq!(money(&world, &late).await, (20_300, 0));
    world.assert_exact().await;
}

#[tokio::test]
async fn amounts_pass_unchanged_in_minor_units_and_currencies_are_never_added() {
    let world = empty().await;
    let account = world.account();
    let customer = account.create_customer(&MetadataChange::new());
    let amounts = [
        ("bhd", 5_010),
        ("huf", 17_545),
        // Stripe takes twelve digits; ten times as much is stored all the same, and more is parked.
        ("idr", 999_999_999_999),
        ("isk", 500),
        ("jpy", 500),
        ("kwd", 12_340),
        ("twd", 80_045),
        ("ugx", 500),
        ("usd", 500),
        ("vnd", 10_000_000_000_000),
    ];
    let line = |amount| NewLine {
        amount: Some(amount),
        ..NewLine::default()
    };
    for (currency, amount) in amounts {
        let new = NewCharge {
            customer: Some(customer.clone()),
            invoice_lines: vec![line(1), line(1), line(1)],
            ..NewCharge::of(amount, currency)
        };
        let charge = account.create_charge(&new).unwrap();
        account.refund(&charge, Some(2)).unwrap();
    }
    connect(&world).await;
    let id = world.connection_id();
    let path = format!("/v1/analytics/stripe?connection_id={id}&group_by=month");
    let report = world.get(&path).await;
    for part in ["totals", "groups"] {
        let found: Vec<Value> = report[part]
            .as_array()
            .unwrap()
            .iter()
            .map(|g| json!([g["currency"], g["gross"], g["refunded"], g["net"]]))
            .collect();
        let expected: Vec<Value> = amounts
            .iter()
            .map(|(currency, amount)| json!([currency, amount, 2, amount - 2]))
            .collect();
        assert_eq!(found, expected, "{part}");
    }
    world.assert_exact().await;
}

#[tokio::test]
async fn a_preview_shows_ten_rows_of_charges_that_would_count() {
    let world = empty().await;
    let account = world.account();
    for amount in 1..=12 {
        account
            .create_charge(&NewCharge::of(amount, "usd"))
            .unwrap();
    }
    account.create_charge(&hold(1)).unwrap();
    connect(&world).await;
    let path = format!("/v1/connectors/{}/filters/preview", world.connection_id());
    for (below, matched, revenue) in [(100, 12, json!({"usd": 78})), (1, 0, json!({}))] {
        let rule = json!({"conditions": [
            {"type": "field", "field": "amount", "operator": "lt", "value": below}]});
        let preview = world.ask(Method::POST, &path, Some(rule)).await.expect(200);
        assert_eq!(preview["total_charges"], 12);
        assert_eq!(preview["matched_charges"], matched);
        assert_eq!(preview["matched_revenue"], revenue);
        let sample = preview["sample"].as_array().unwrap();
        assert_eq!(sample.len(), matched.min(10));
        assert!(sample.iter().all(|row| row["counted"] == true));
    }
}

#[tokio::test]
async fn keys_are_catalogued_with_nested_paths_types_and_bounded_redacted_samples() {
    let world = empty().await;
    let account = world.account();
    let now = world.sim.now();
    let metadata = |number: i64| -> BTreeMap<String, String> {
        let mut metadata = BTreeMap::from([
            ("number".to_owned(), number.to_string()),
            (
                "order".to_owned(),
                format!(r#"{{"id": {number}, "items": [{{"sku": "S{number}"}}]}}"#),
            ),
            ("mail".to_owned(), format!("person{number}@example.com")),
        ]);
        if number % 4 == 0 {
            let value = if number == 0 { "7" } else { "seven" };
            metadata.insert("rare".to_owned(), value.to_owned());
        }
        metadata
    };
    let charges: Vec<String> = (0..12)
        .map(|number| {
            let new = NewCharge {
                created: Some(now - number * 100),
                metadata: metadata(number),
                ..NewCharge::of(100, "usd")
            };
            account.create_charge(&new).unwrap()
        })
        .collect();
    connect(&world).await;
    let path = format!(
        "/v1/connectors/{}/filters/discover?object_type=charge",
        world.connection_id()
    );
    let keys = async || -> BTreeMap<String, Value> {
        let keys = world.all(&path, "data").await;
        keys.into_iter()
            .map(|key| (key["key_path"].as_str().unwrap().to_owned(), key))
            .collect()
    };
    let found = keys().await;
    let types: Vec<String> = found
        .iter()
        .map(|(path, key)| {
            let value_type = key["value_type"].as_str().unwrap();
            format!("{path} {value_type} {}", key["occurrences"])
        })
        .collect();
    assert_eq!(
        types,
        [
            "mail string 12",
            "number number 12",
            "order json 12",
            "order.id number 12",
            "order.items json 12",
            "order.items[] json 12",
            "order.items[].sku string 12",
            "rare mixed 3",
        ]
    );
    assert_eq!(found["rare"]["coverage"], 0.25);
    for key in found.values() {
        assert!(
            key["sample_values"].as_array().unwrap().len() <= 10,
            "{key:#}"
        );
        assert!(!key.to_string().contains("@example.com"), "{key:#}");
    }
    let seen = |key: &Value, name: &str| {
        let instant: chrono::DateTime<chrono::Utc> = key[name].as_str().unwrap().parse().unwrap();
        instant.timestamp()
    };
    let rare = &found["rare"];
    assert_eq!(
        (seen(rare, "first_seen"), seen(rare, "last_seen")),
        (now - 800, now)
    );
    // The only charge where it was a number loses the key.
    let without = MetadataChange::from([("rare".to_owned(), None)]);
    account.set_charge_metadata(&charges[0], &without).unwrap();
    world.sync(json!({})).await;
    let rare = &keys().await["rare"];
    assert_eq!(rare["value_type"], "string");
    assert_eq!(rare["sample_values"], json!(["seven"]));
    assert_eq!(
        (seen(rare, "first_seen"), seen(rare, "last_seen")),
        (now - 800, now - 400)
    );
    world.assert_exact().await;
}

#[tokio::test]
async fn accounts_of_every_kind_are_exact_before_and_after_changes() {
    let kinds = [
        // Behind something that sets the version itself, charges name invoices and those name one payment.
        AccountConfig {
            always: Some(ApiVersion::Acacia),
            ..unlimited_account(300)
        },
        AccountConfig {
            seed: number_from("KINDS_SEED", 5),
            partial_capture_refund: false,
            long_invoice_percent: 100,
            livemode: true,
            ..unlimited_account(300)
        },
    ];
    for kind in kinds {
        let name = format!("{:?}, seed {}", kind.always, kind.seed);
        println!("{name}");
        let world = World::builder().account(kind).start().await;
        connect(&world).await;
        world.assert_exact().await;
        for round in 0..3 {
            world.account().churn(60, round);
            world.sync(json!({})).await;
            world.assert_exact().await;
        }
    }
}
