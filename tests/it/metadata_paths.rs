//! Whatever path discovery shows works wherever a metadata key is taken, and any key can be named.

use reqwest::Method;
use serde_json::{Value, json};
use stripe_sim::NewCharge;
use tests::world::{World, unlimited_account};

/// A world whose only charges have this metadata each.
async fn with_metadata(charges: &[&[(&str, &str)]]) -> World {
    let world = World::builder().account(unlimited_account(0)).start().await;
    for (amount, metadata) in (100..).zip(charges) {
        let members = metadata
            .iter()
            .map(|&(key, value)| (key.to_owned(), value.to_owned()));
        let charge = NewCharge {
            metadata: members.collect(),
            ..NewCharge::of(amount, "usd")
        };
        world.account().create_charge(&charge).unwrap();
    }
    let connected = world.connect().await;
    world.job_completed(&connected["job_id"]).await;
    world
}

fn encoded(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

fn condition(key: &str, operator: &str, value: &Value) -> Value {
    json!({"name": "n", "conditions": [{"type": "metadata", "metadata_source": "charge", "metadata_key": key,
        "operator": operator, "value": value}]})
}

async fn matched(world: &World, key: &str, operator: &str, value: Value) -> i64 {
    let path = format!("/v1/connectors/{}/filters/preview", world.connection_id());
    let rule = condition(key, operator, &value);
    let preview = world.ask(Method::POST, &path, Some(rule)).await.expect(200);
    preview["matched_charges"].as_i64().unwrap()
}

/// The groups of the charges by a key: value and number of charges, those without a value last.
async fn groups(world: &World, key: &str) -> Value {
    let path = format!(
        "/v1/analytics/stripe?connection_id={}&group_by={}",
        world.connection_id(),
        encoded(&format!("metadata:charge.{key}"))
    );
    let report = world.get(&path).await;
    let groups = report["groups"].as_array().unwrap().iter();
    groups
        .map(|group| json!([group["key"], group["charges"]]))
        .collect()
}

const ORDERS: [&[(&str, &str)]; 4] = [
    &[
        ("items", r#"[{"sku": "B"}, {"sku": "A", "n": 2}]"#),
        ("$tier", "gold"),
        ("tier", "silver"),
    ],
    &[
        ("items", r#"[{"sku": "A"}]"#),
        ("$order.id", "7"),
        ("$.tier", "literal"),
        ("tier", "bronze"),
    ],
    &[
        (
            "items",
            r#"{"0": {"sku": "C"}, "line.items": [1], "a[]": 2}"#,
        ),
        ("order.3", "x"),
        ("$", r#"{"a": 1}"#),
    ],
    &[
        ("$.not a path", r#"["é", null]"#),
        ("it's", "\"quoted\""),
        ("a[]b", r"back\slash"),
        ("items", "[]"),
    ],
];

#[tokio::test]
async fn every_path_that_discovery_shows_works_as_it_is_shown() {
    let world = with_metadata(&ORDERS).await;
    let id = world.connection_id();
    let path = format!("/v1/connectors/{id}/filters/discover?object_type=charge");
    let keys = world.all(&path, "data").await;
    let mut shown = Vec::new();
    for key in &keys {
        let path = key["key_path"].as_str().unwrap();
        shown.push(path);
        let found = matched(&world, path, "exists", Value::Null).await;
        assert_eq!(json!(found), key["occurrences"], "{path}");
        let groups = groups(&world, path).await;
        let grouped = groups
            .as_array()
            .unwrap()
            .iter()
            .filter(|group| !group[0].is_null());
        let grouped: i64 = grouped.map(|group| group[1].as_i64().unwrap()).sum();
        assert_eq!(json!(grouped), key["occurrences"], "{path}");
        for sample in key["sample_values"].as_array().unwrap() {
            let short = format!(
                "/v1/analytics/stripe?connection_id={id}&{}={}",
                encoded(&format!("metadata.charge.{path}")),
                encoded(sample.as_str().unwrap())
            );
            let totals = &world.get(&short).await["totals"];
            assert!(
                totals[0]["charges"].as_i64() >= Some(1),
                "{path} = {sample}"
            );
        }
    }
    shown.sort_unstable();
    let expected = [
        "$['$']",
        "$['$']['a']",
        "$['$.not a path']",
        "$['$.not a path'][:]",
        "$['$.tier']",
        "$['items']['0']",
        "$['items']['0']['sku']",
        "$['order.3']",
        "$order.id",
        "$tier",
        "a[]b",
        "it's",
        "items",
        "items.a[]",
        "items.line.items",
        "items.line.items[]",
        "items[]",
        "items[].n",
        "items[].sku",
        "tier",
    ];
    assert_eq!(shown, expected);
}

#[tokio::test]
async fn a_key_that_begins_with_a_dollar_sign_is_a_key_and_wins_over_a_json_path() {
    let world = with_metadata(&ORDERS).await;
    for (key, value, expected) in [
        ("$tier", "gold", 1),
        ("$order.id", "7", 1),
        // The second charge has the key, the first one what the JSONPath finds.
        ("$.tier", "literal", 1),
        ("$.tier", "bronze", 0),
        ("$.tier", "silver", 1),
        ("$", r#"{"a": 1}"#, 1),
        ("order.3", "x", 1),
        ("a[]b", r"back\slash", 1),
        ("it's", "\"quoted\"", 1),
    ] {
        let found = matched(&world, key, "equals", json!(value)).await;
        assert_eq!(found, expected, "{key} = {value}");
    }
    let id = world.connection_id();
    for broken in ["$.", "$[", "$.items[].sku"] {
        let path = format!("/v1/connectors/{id}/filters");
        let rule = condition(broken, "exists", &Value::Null);
        let refused = world.ask(Method::POST, &path, Some(rule)).await.expect(422);
        let pointer = &refused["errors"][0]["pointer"];
        assert_eq!(
            *pointer, "/conditions/0/metadata_key",
            "{broken}: {refused:#}"
        );
        let path = format!(
            "/v1/analytics/stripe?connection_id={id}&group_by={}",
            encoded(&format!("metadata:charge.{broken}"))
        );
        world.ask(Method::GET, &path, None).await.expect(422);
    }
}

#[tokio::test]
async fn multiple_results_need_any_match_or_none_if_negated() {
    let world = with_metadata(&ORDERS).await;
    let sku = "items[].sku";
    for (operator, value, expected) in [
        ("equals", json!("A"), 2),
        ("equals", json!("B"), 1),
        ("in", json!(["B", "C"]), 1),
        ("exists", Value::Null, 2),
        ("not_equals", json!("A"), 2),
        ("not_in", json!(["B"]), 3),
        ("not_contains", json!("B"), 3),
        ("not_exists", Value::Null, 2),
    ] {
        let found = matched(&world, sku, operator, value.clone()).await;
        assert_eq!(found, expected, "{operator} {value}");
    }
    // A charge stands in one group, that of its least value, so that the groups add up to the totals.
    assert_eq!(groups(&world, sku).await, json!([[null, 2], ["A", 2]]));
    assert_eq!(
        groups(&world, "$.items[*].sku").await,
        json!([["A", 2], [null, 1], ["C", 1]])
    );
    // Rules decide the same while charges are written and when they are applied to what is stored.
    let path = format!("/v1/connectors/{}/filters", world.connection_id());
    let rule = condition(sku, "equals", &json!("B"));
    let made = world.ask(Method::POST, &path, Some(rule)).await.expect(201);
    world.job_completed(&made["job_id"]).await;
    assert_eq!(groups(&world, sku).await, json!([["A", 1]]));
    let later = NewCharge {
        metadata: [("items".to_owned(), r#"[{"sku": "B"}]"#.to_owned())].into(),
        ..NewCharge::of(100, "usd")
    };
    world.account().create_charge(&later).unwrap();
    world.sync(json!({})).await;
    assert_eq!(groups(&world, sku).await, json!([["A", 1], ["B", 1]]));
}
