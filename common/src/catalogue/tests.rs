//! The catalogue is the same however its objects are split, and shows no secrets.

use chrono::TimeZone;
use proptest::prelude::*;
use serde_json::json;

use super::*;

fn at(seconds: i64) -> DateTime<Utc> {
    Utc.timestamp_opt(seconds, 0)
        .single()
        .expect("the instant is in range")
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(members) => members,
        other => panic!("not an object: {other}"),
    }
}

fn summary(catalogue: &Catalogue) -> Vec<String> {
    catalogue
        .entries()
        .map(|(object_type, path, entry)| {
            let samples: Vec<&str> = entry.samples.iter().map(String::as_str).collect();
            format!(
                "{} {path} {} {} {}",
                object_type.as_str(),
                entry.value_type.as_str(),
                entry.occurrences,
                samples.join("|")
            )
        })
        .collect()
}

#[test]
fn keys_lead_into_json_text() {
    let mut catalogue = Catalogue::default();
    let metadata = json!({
        "tier": "gold", "seats": "12.50", "trial": "true",
        "cart": r#"{"items": [{"sku": "A", "n": 1}, {"sku": "7", "n": null}], "x": {}}"#,
    });
    catalogue.add(ObjectType::Charge, &object(metadata), at(10));
    catalogue.add(
        ObjectType::Charge,
        &object(json!({"tier": "1", "cart": "none"})),
        at(5),
    );
    assert_eq!(
        summary(&catalogue),
        [
            r#"charge cart mixed 2 none|{"items": [{"sku": "A", "n": 1}, {"sku": "7", "n": null}], "x": {}}"#,
            r#"charge cart.items json 1 [{"n":1,"sku":"A"},{"n":null,"sku":"7"}]"#,
            r#"charge cart.items[] json 1 {"n":1,"sku":"A"}|{"n":null,"sku":"7"}"#,
            "charge cart.items[].n number 1 1",
            "charge cart.items[].sku mixed 1 7|A",
            "charge cart.x json 1 {}",
            "charge seats number 1 12.50",
            "charge tier mixed 2 1|gold",
            "charge trial boolean 1 true",
        ]
    );
    let tier = catalogue
        .get(ObjectType::Charge, "tier")
        .expect("the key is there");
    assert_eq!((tier.first_seen, tier.last_seen), (at(5), at(10)));
}

#[test]
fn depth_keys_and_samples_are_bounded() {
    let mut catalogue = Catalogue::default();
    let deep = format!("{}1{}", "[".repeat(20), "]".repeat(20));
    catalogue.add(ObjectType::Price, &object(json!({"deep": deep})), at(0));
    assert_eq!(catalogue.entries().count(), key_path::MAX_DEPTH + 1);
    for number in 0..MAX_KEYS + 10 {
        let key = format!("k{number:04}");
        let mut metadata = Map::new();
        metadata.insert(key, "v".into());
        metadata.insert("a".to_owned(), format!("{number:04}").into());
        catalogue.add(ObjectType::Charge, &metadata, at(0));
    }
    let charges: Vec<&str> = catalogue
        .entries()
        .filter(|(object_type, ..)| *object_type == ObjectType::Charge)
        .map(|(_, path, _)| path)
        .collect();
    assert_eq!(charges.len(), MAX_KEYS);
    assert_eq!(charges.last(), Some(&"k0498"));
    let a = catalogue
        .get(ObjectType::Charge, "a")
        .expect("the key is there");
    assert_eq!(a.occurrences, (MAX_KEYS + 10) as i64);
    assert_eq!(a.samples.len(), MAX_SAMPLES);
    assert_eq!(a.samples.last().map(String::as_str), Some("0009"));
}

proptest! {
    #[test]
    fn the_catalogue_does_not_depend_on_batching(
        objects in proptest::collection::vec(
            (0..4_usize, proptest::collection::btree_map("[a-c]{1,2}", "[a-c1-3{}\":,]{0,6}|\\{\"a\":[1-3]\\}", 0..4), 0..50_i64),
            0..40,
        ),
        splits in proptest::collection::vec(0..5_usize, 40),
        reversed in any::<bool>(),
    ) {
        let mut whole = Catalogue::default();
        let mut parts = vec![Catalogue::default(); 5];
        for ((object_type, metadata, second), part) in objects.into_iter().zip(splits) {
            let object_type = ObjectType::ALL[object_type];
            let metadata = metadata.into_iter().map(|(key, value)| (key, value.into())).collect();
            whole.add(object_type, &metadata, at(second));
            parts[part].add(object_type, &metadata, at(second));
        }
        if reversed {
            parts.reverse();
        }
        let merged = parts.into_iter().fold(Catalogue::default(), |mut merged, part| {
            merged.merge(part);
            merged
        });
        let none: Vec<String> = Vec::new();
        prop_assert_eq!(summary(&merged), summary(&whole));
        prop_assert!(merged == whole || summary(&whole) == none);
    }
}
