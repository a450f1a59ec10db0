//! What is refused in a rule, with the pointer and the reason.

use serde_json::json;

use super::super::REGEX_UNSUPPORTED;
use super::*;

fn problems(body: &Value) -> Vec<(String, &'static str)> {
    let found = RuleDraft::parse(body).expect_err("the rule is wrong");
    found
        .into_iter()
        .map(|invalid| (invalid.pointer, invalid.code))
        .collect()
}

fn pointers(body: &Value) -> Vec<String> {
    problems(body)
        .into_iter()
        .map(|(pointer, _)| pointer)
        .collect()
}

/// A rule of one condition on the charge's `tier`.
fn with(operator: &str, value: &Value) -> Value {
    json!({"name": "n", "conditions": [{"type": "metadata", "metadata_source": "charge",
        "metadata_key": "tier", "operator": operator, "value": value}]})
}

#[test]
fn a_rule_reads_and_writes_as_the_contract_says() {
    let conditions = json!([
        {"type": "metadata", "metadata_source": "charge", "metadata_key": "tier", "operator": "in",
         "value": ["gold", 5, true]},
        {"type": "field", "field": "amount", "operator": "gte", "value": 100},
        {"type": "field", "field": "customer_id", "operator": "not_exists"},
    ]);
    let body = json!({"name": "VIP", "action": "exclude", "operator": "OR", "conditions": conditions,
        "is_active": false});
    let draft = RuleDraft::parse(&body).expect("the rule is right");
    assert_eq!(
        (draft.action, draft.predicate.operator),
        (Action::Exclude, Combination::Or)
    );
    assert!(!draft.active);
    let written = serde_json::to_value(&draft.predicate).expect("it serializes");
    assert_eq!(written, json!({"operator": "OR", "conditions": conditions}));
}

#[test]
fn omitted_fields_have_defaults() {
    let draft = RuleDraft::parse(&with("equals", &json!("gold"))).expect("the rule is right");
    assert_eq!(
        (draft.action, draft.predicate.operator),
        (Action::Include, Combination::And)
    );
    assert!(draft.active);
    assert_eq!(RulePatch::parse(&json!({})), Ok(RulePatch::default()));
    let preview = RuleDraft::parse_preview(&json!({"conditions": [
        {"type": "field", "field": "status", "operator": "exists", "value": null}]}));
    assert!(preview.is_ok());
}

#[test]
fn all_rule_errors_are_reported_with_pointers() {
    let body = json!({"name": " ", "action": "drop", "a/b~": 1, "is_active": 1, "conditions": [
        {"type": "metadata", "metadata_source": "order", "operator": "equals", "value": {}},
        {"type": "field", "field": "amount", "operator": "like", "value": "x", "extra": 1},
        {"type": "thing"},
        7,
        {"type": "metadata", "metadata_source": "charge", "metadata_key": "$[", "operator": "regex", "value": "("},
    ]});
    assert_eq!(
        pointers(&body),
        [
            "/a~1b~0",
            "/name",
            "/action",
            "/conditions/0/metadata_source",
            "/conditions/0/metadata_key",
            "/conditions/0/value",
            "/conditions/1/extra",
            "/conditions/1/operator",
            "/conditions/2/type",
            "/conditions/3",
            "/conditions/4/metadata_key",
            "/conditions/4/value",
            "/is_active",
        ]
    );
    assert_eq!(pointers(&json!({})), ["/name", "/conditions"]);
    assert_eq!(pointers(&json!([])), [""]);
    assert_eq!(
        pointers(&json!({"name": "n", "conditions": []})),
        ["/conditions"]
    );
}

#[test]
fn values_fit_their_operator() {
    for (operator, value) in [
        ("equals", json!(["a"])),
        ("in", json!("a")),
        ("exists", json!("a")),
        ("equals", json!(null)),
        ("gt", json!([1])),
        ("equals", json!("x".repeat(501))),
        ("equals", json!("a\u{0}")),
        ("equals", json!(1.797e308)),
        ("in", json!([-1e301])),
        ("in", json!(vec!["a"; 1001])),
    ] {
        let refused = pointers(&with(operator, &value));
        assert!(
            refused.len() == 1 && refused[0].starts_with("/conditions/0/value"),
            "{operator}: {refused:?}"
        );
    }
    let items = json!(["a", null, "x".repeat(501)]);
    assert_eq!(
        pointers(&with("in", &items)),
        ["/conditions/0/value/1", "/conditions/0/value/2"]
    );
    assert!(RuleDraft::parse(&with("in", &json!(vec!["é".repeat(500); 1000]))).is_ok());
}

/// What is refused in a condition on a field: the pointer's last part and the words.
fn refusals(field: &str, operator: &str, value: &Value) -> Vec<(String, String)> {
    let body = json!({"conditions": [
        {"type": "field", "field": field, "operator": operator, "value": value}]});
    let problems = Predicate::parse(&body).err().unwrap_or_default();
    problems
        .into_iter()
        .map(|invalid| {
            let place = invalid.pointer.replace("/conditions/0/", "");
            (place, invalid.detail)
        })
        .collect()
}

#[test]
fn a_value_that_a_field_can_never_have_is_refused() {
    for (field, operator, value, place, detail) in [
        (
            "currency",
            "equals",
            json!("dollars"),
            "value",
            "must be a currency code of three letters, such as usd",
        ),
        (
            "currency",
            "not_in",
            json!(["usd", "dollars"]),
            "value/1",
            "must be a currency code of three letters, such as usd",
        ),
        (
            "currency",
            "starts_with",
            json!("$"),
            "value",
            "must be one to three letters of a currency code, such as us",
        ),
        (
            "country",
            "equals",
            json!("Germany"),
            "value",
            "must be a country code of two letters, such as DE",
        ),
        (
            "country",
            "ends_with",
            json!(""),
            "value",
            "must be one or two letters of a country code, such as D",
        ),
        (
            "livemode",
            "equals",
            json!("maybe"),
            "value",
            "must be true or false",
        ),
        (
            "livemode",
            "equals",
            json!(1),
            "value",
            "must be true or false",
        ),
        (
            "amount",
            "equals",
            json!("ten"),
            "value",
            "must be a whole number of minor units, such as 1000",
        ),
        (
            "amount",
            "in",
            json!([1, 1.5]),
            "value/1",
            "must be a whole number of minor units, such as 1000",
        ),
        (
            "amount",
            "contains",
            json!("abc"),
            "value",
            "must be digits, such as 99",
        ),
    ] {
        assert_eq!(
            refusals(field, operator, &value),
            [(place.to_owned(), detail.to_owned())],
            "{field} {operator} {value}"
        );
    }
    for (field, operator, value) in [
        ("currency", "equals", json!("USD")),
        ("currency", "contains", json!("S")),
        ("currency", "regex", json!("^(usd|eur)$")),
        ("country", "in", json!(["de", "FR"])),
        ("livemode", "equals", json!(true)),
        ("livemode", "not_equals", json!("FALSE")),
        ("amount", "equals", json!(-5)),
        ("amount", "equals", json!("1000")),
        ("amount", "in", json!([1000.0, "1e3"])),
        ("amount", "contains", json!("007")),
        ("amount", "contains", json!(7.0)),
        ("status", "equals", json!("unheard of")),
        ("description", "contains", json!("")),
    ] {
        assert_eq!(refusals(field, operator, &value), [], "{field} {operator}");
    }
}

#[test]
fn ordering_operators_need_numbers() {
    let not_a_number = [(
        "value".to_owned(),
        "must be a number, such as 99.5".to_owned(),
    )];
    for operator in ["gt", "gte", "lt", "lte"] {
        assert_eq!(refusals("amount", operator, &json!("abc")), not_a_number);
        assert_eq!(refusals("amount", operator, &json!(true)), not_a_number);
        assert_eq!(
            pointers(&with(operator, &json!("abc"))),
            ["/conditions/0/value"]
        );
        for field in [
            "currency",
            "country",
            "livemode",
            "status",
            "payment_method",
            "source_transfer",
            "disputed",
            "dispute_status",
        ] {
            let detail = format!("`{operator}` compares numbers, and `{field}` is never a number");
            assert_eq!(
                refusals(field, operator, &json!(5)),
                [("operator".to_owned(), detail)]
            );
        }
        for value in [json!(5), json!("5"), json!("-1.50e3"), json!(0.1)] {
            assert_eq!(refusals("amount", operator, &value), []);
            assert_eq!(refusals("description", operator, &value), []);
            assert!(RuleDraft::parse(&with(operator, &value)).is_ok());
        }
    }
}

#[test]
fn stored_rules_with_invalid_values_are_still_read() {
    for (field, operator, value) in [
        ("currency", "equals", json!("dollars")),
        ("currency", "gt", json!(5)),
        ("livemode", "equals", json!("maybe")),
        ("amount", "gt", json!("abc")),
    ] {
        let conditions =
            json!([{"type": "field", "field": field, "operator": operator, "value": value}]);
        let read = stored_conditions(&conditions).expect("it was accepted once");
        let predicate = Predicate {
            operator: Combination::And,
            conditions: read,
        };
        assert!(CompiledPredicate::new(&predicate).is_ok());
    }
}

#[test]
fn null_means_missing() {
    let body = json!({"name": null, "action": null, "operator": null, "conditions": null,
        "is_active": null});
    assert_eq!(RulePatch::parse(&body), Ok(RulePatch::default()));
    assert_eq!(pointers(&body), ["/name", "/conditions"]);
}

#[test]
fn a_regex_unsupported_by_postgres_has_its_own_code() {
    let unsupported = ("/conditions/0/value".to_owned(), REGEX_UNSUPPORTED);
    assert_eq!(problems(&with("regex", &json!("\\x00"))), [unsupported]);
    let syntax_error = ("/conditions/0/value".to_owned(), INVALID_REQUEST);
    assert_eq!(problems(&with("regex", &json!("a("))), [syntax_error]);
}
