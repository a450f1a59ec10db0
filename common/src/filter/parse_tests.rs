//! What is refused in a rule, with the place and the reason.

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
fn what_is_not_given_has_defaults() {
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
fn every_problem_is_reported_at_its_place() {
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
        ("in", json!(vec!["a"; 1001])),
    ] {
        assert_eq!(
            pointers(&with(operator, &value)),
            ["/conditions/0/value"],
            "{operator}"
        );
    }
    let items = json!(["a", null, "x".repeat(501)]);
    assert_eq!(
        pointers(&with("in", &items)),
        ["/conditions/0/value/1", "/conditions/0/value/2"]
    );
    assert!(RuleDraft::parse(&with("in", &json!(vec!["é".repeat(500); 1000]))).is_ok());
}

#[test]
fn a_pattern_that_postgres_cannot_run_has_its_own_code() {
    let unsupported = ("/conditions/0/value".to_owned(), REGEX_UNSUPPORTED);
    assert_eq!(problems(&with("regex", &json!("\\x00"))), [unsupported]);
    let broken = ("/conditions/0/value".to_owned(), INVALID_REQUEST);
    assert_eq!(problems(&with("regex", &json!("a("))), [broken]);
}
