//! The short form of conditions: every operator, what is refused and in which words, and that what is
//! written reads back.

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn field(field: &str, operator: &str, value: &Value) -> Value {
    json!({"type": "field", "field": field, "operator": operator, "value": value})
}

fn metadata(source: &str, key: &str, operator: &str, value: &Value) -> Value {
    json!({"type": "metadata", "metadata_source": source, "metadata_key": key, "operator": operator,
           "value": value})
}

fn without_value(mut condition: Value) -> Value {
    condition.as_object_mut().unwrap().remove("value");
    condition
}

/// Checks what a text reads as, and how that is written where it is not written as it was read.
#[track_caller]
fn reads(text: &str, expected: &Value, written: Option<&str>) {
    let parsed = parse(text).unwrap_or_else(|refusal| panic!("{text}: {refusal}"));
    assert_eq!(serde_json::to_value(&parsed).unwrap(), *expected, "{text}");
    let canonical = short(&parsed);
    assert_eq!(canonical, written.unwrap_or(text), "{text}");
    assert_eq!(parse(&canonical), Ok(parsed), "{canonical}");
}

#[test]
fn operators_that_are_signs_need_no_spaces() {
    let tier = |operator, value| metadata("charge", "tier", operator, &value);
    let amount = |operator, value| field("amount", operator, &value);
    let gold = || tier("equals", json!("gold"));
    reads("charge.tier=gold", &gold(), None);
    reads(
        "metadata:charge.tier = gold",
        &gold(),
        Some("charge.tier=gold"),
    );
    reads(
        "metadata.charge.tier equals gold",
        &gold(),
        Some("charge.tier=gold"),
    );
    reads(
        "charge.tier=a=b",
        &tier("equals", json!("a=b")),
        Some("charge.tier='a=b'"),
    );
    reads(
        "charge.tier=",
        &tier("equals", json!("")),
        Some("charge.tier=''"),
    );
    reads("charge.tier!=5", &tier("not_equals", json!(5)), None);
    reads("charge.tier='5'", &tier("equals", json!("5")), None);
    reads(
        "livemode=true",
        &field("livemode", "equals", &json!(true)),
        None,
    );
    reads("amount>1000", &amount("gt", json!(1000)), None);
    reads("amount<-5", &amount("lt", json!(-5)), None);
    reads("amount lte 7", &amount("lte", json!(7)), Some("amount<=7"));
    // Numbers whose text would change stay text: metadata is compared as text.
    reads("charge.tier=007", &tier("equals", json!("007")), None);
    reads(
        "amount >= 10.50",
        &amount("gte", json!("10.50")),
        Some("amount>=10.50"),
    );
}

#[test]
fn operators_that_are_names_take_values_and_lists() {
    let country = |value| field("country", "in", &value);
    let description = |operator, value| field("description", operator, &value);
    reads("country in DE,FR", &country(json!(["DE", "FR"])), None);
    reads(
        "country in (DE , FR)",
        &country(json!(["DE", "FR"])),
        Some("country in DE,FR"),
    );
    reads("country in ()", &country(json!([])), None);
    reads(
        "description not in 'a, b',\"c\"\"d\"",
        &description("not_in", json!(["a, b", "c\"d"])),
        Some("description not_in 'a, b','c\"d'"),
    );
    let abc = description("contains", json!("abc"));
    reads(
        "description contains 'abc'",
        &abc,
        Some("description contains abc"),
    );
    reads(
        "description not_contains two words",
        &description("not_contains", json!("two words")),
        Some("description not_contains 'two words'"),
    );
    reads(
        "description starts with It's",
        &description("starts_with", json!("It's")),
        Some("description starts_with 'It''s'"),
    );
    reads(
        "description ends_with .",
        &description("ends_with", json!(".")),
        None,
    );
    reads(
        "description regex ^A",
        &description("regex", json!("^A")),
        None,
    );
}

#[test]
fn keys_may_be_anything_and_be_asked_for_alone() {
    let plan = |operator| without_value(metadata("charge", "plan", operator, &Value::Null));
    reads("charge.plan exists", &plan("exists"), None);
    reads(
        "charge.plan NOT EXISTS",
        &plan("not_exists"),
        Some("charge.plan not_exists"),
    );
    let quoted = metadata("charge", "sales rep", "not_equals", &json!("Ann"));
    reads("charge.'sales rep'!=Ann", &quoted, None);
    let quote = without_value(metadata("price", "it's", "exists", &Value::Null));
    reads(
        "price.\"it's\" exists",
        &quote,
        Some("price.'it''s' exists"),
    );
    let path = metadata("product", "$.items[*].sku", "equals", &json!("X1"));
    reads("product.$.items[*].sku=X1", &path, None);
}

#[test]
fn the_help_names_every_operator_and_field() {
    for (name, _) in OPERATORS {
        assert!(HELP.contains(name), "{name}");
    }
    for field in Field::ALL {
        assert!(HELP.contains(field.as_str()), "{}", field.as_str());
    }
    for operator in Operator::ALL {
        assert!(
            OPERATORS.iter().any(|(_, known)| *known == operator),
            "{} has no short form",
            operator.as_str()
        );
    }
}

#[test]
fn a_refusal_says_what_would_be_right() {
    for (text, words) in [
        ("", "must begin with a field (amount, currency"),
        (
            "tier=gold",
            "SOURCE one of charge, product, price, customer",
        ),
        ("order.tier=gold", "`order.tier` is neither"),
        ("charge.=gold", "must begin with"),
        (
            "charge.tier",
            "one of the operators >=, <=, !=, =, >, <, in, not_in",
        ),
        ("charge.tier like gold", "one of the operators"),
        ("charge.it's=1", "must be quoted as a whole"),
        ("amount>", "`>` needs a value"),
        ("description contains", "`contains` needs a value"),
        ("country in", "needs a list of values"),
        ("country in DE,,FR", "empty value"),
        ("country in 'DE' 'FR'", "a comma must separate"),
        ("description contains 'abc", "the quote ' is not closed"),
        (
            "description contains 'abc' def",
            "`def` follows the closing quote",
        ),
        ("charge.plan exists now", "takes no value"),
        ("description regex (", "is not a regular expression"),
        ("{oops", "is not JSON"),
        (
            r#"{"type": "field", "field": "colour", "operator": "equals", "value": 1}"#,
            "must be one of amount",
        ),
        (r#"{"conditions": []}"#, "1 to 50 conditions"),
    ] {
        let refusal = given(text).unwrap_err();
        assert!(refusal.contains(words), "{text}: {refusal}");
        assert!(!refusal.contains("/conditions"), "{text}: {refusal}");
    }
}

#[test]
fn several_flags_are_combined_and_json_is_one_of_them() {
    let take = |texts: &[&str], any| {
        let given = texts.iter().map(|text| given(text).unwrap()).collect();
        combined(given, any)
    };
    let or = r#"{"operator": "OR", "conditions": [
        {"type": "field", "field": "country", "operator": "equals", "value": "DE"},
        {"type": "field", "field": "country", "operator": "equals", "value": "FR"}]}"#;
    let one = r#"{"type": "field", "field": "country", "operator": "equals", "value": "DE"}"#;
    assert_eq!(take(&[], false).unwrap(), None);
    for (texts, any, operator, count) in [
        (vec!["amount>1", one], false, Combination::And, 2),
        (vec!["amount>1", one], true, Combination::Or, 2),
        (vec![or], false, Combination::Or, 2),
        (vec![or, "amount>1"], true, Combination::Or, 3),
    ] {
        let predicate = take(&texts, any).unwrap().unwrap();
        assert_eq!(
            (predicate.operator, predicate.conditions.len()),
            (operator, count),
            "{texts:?}"
        );
    }
    let refusal = take(&[or, "amount>1"], false).unwrap_err();
    assert!(refusal.to_string().contains("combined by OR"), "{refusal}");
}

#[test]
fn a_condition_that_cannot_be_typed_is_written_as_json() {
    let odd = metadata("charge", "a\u{1b}b\u{85}", "equals", &json!("line\nbreak"));
    let condition = checked(&odd).unwrap();
    let text = short(&condition);
    assert!(
        text.starts_with('{') && !text.contains(char::is_control),
        "{text:?}"
    );
    assert_eq!(given(&text), Ok(Given::One(Box::new(condition))));
    // A newer engine's operator.
    let newer = field("amount", "between", &json!([1, 2]));
    assert!(shown(&newer).contains("between"));
}

fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<String>().prop_map(Value::from),
        "[a-z0-9'\", ()=<>!.-]{0,12}".prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
        (any::<i32>(), 1_u32..100).prop_map(|(whole, part)| {
            serde_json::from_str(&format!("{whole}.{part:02}")).unwrap()
        }),
    ]
}

fn conditions() -> impl Strategy<Value = Condition> {
    let key = prop_oneof![
        "[a-z_.]{1,10}",
        "[a-z0-9'\", =<>!$.\\[\\]*-]{1,12}",
        any::<String>()
    ];
    let of_metadata = (prop::sample::select(&MetadataSource::ALL[..]), key).prop_map(
        |(source, key)| json!({"type": "metadata", "metadata_source": source.as_str(), "metadata_key": key}),
    );
    let of_field = prop::sample::select(&Field::ALL[..])
        .prop_map(|field| json!({"type": "field", "field": field.as_str()}));
    let operator = prop::sample::select(&Operator::ALL[..]);
    let values = (scalar(), prop::collection::vec(scalar(), 0..4));
    (prop_oneof![of_metadata, of_field], operator, values).prop_filter_map(
        "a condition that the engine would refuse",
        |(mut condition, operator, (one, many))| {
            let members = condition.as_object_mut()?;
            members.insert("operator".to_owned(), operator.as_str().into());
            if operator.takes_list() {
                members.insert("value".to_owned(), many.into());
            } else if !operator.takes_no_value() {
                members.insert("value".to_owned(), one);
            }
            checked(&condition).ok()
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn what_is_written_reads_back_as_the_same_condition(condition in conditions()) {
        let text = short(&condition);
        prop_assert!(!text.contains(char::is_control), "{:?}", text);
        prop_assert_eq!(given(&text), Ok(Given::One(Box::new(condition))), "{}", text);
    }

    #[test]
    fn the_short_form_is_used_wherever_text_has_no_control_characters(condition in conditions()) {
        let json = serde_json::to_string(&condition).unwrap();
        let text = short(&condition);
        let typeable = !json.contains("\\u") && !json.contains("\\n") && !json.contains("\\t")
            && !json.contains("\\r") && !json.contains("\\b") && !json.contains("\\f")
            && !json.contains(char::is_control);
        prop_assert!(!typeable || !text.starts_with('{'), "{}", text);
    }
}
