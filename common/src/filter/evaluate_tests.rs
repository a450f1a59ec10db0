//! What rules answer in memory, condition by condition.

use chrono::DateTime;
use serde_json::json;

use super::*;
use crate::filter::{Action, Predicate, Rule};

struct Row {
    charge: Map<String, Value>,
    product: Map<String, Value>,
    none: Map<String, Value>,
}

fn object(value: &Value) -> Map<String, Value> {
    value.as_object().expect("metadata is an object").clone()
}

fn row(charge: &Value, product: &Value) -> Row {
    Row {
        charge: object(charge),
        product: object(product),
        none: Map::new(),
    }
}

impl Row {
    fn view(&self) -> RowView<'_> {
        RowView {
            amount: 1999,
            currency: "usd",
            status: "succeeded",
            description: Some("Größe 10"),
            customer_id: None,
            product_id: Some("prod_1"),
            price_id: None,
            country: Some("DE"),
            payment_method: Some("card"),
            livemode: false,
            source_transfer: Some("tr_1"),
            disputed: true,
            dispute_status: Some("lost"),
            charge_metadata: &self.charge,
            product_metadata: &self.product,
            price_metadata: &self.none,
            customer_metadata: &self.none,
            invoice_metadata: &self.charge,
            invoice_line_metadata: &self.product,
            subscription_metadata: &self.none,
            checkout_session_metadata: &self.none,
            payment_intent_metadata: &self.none,
        }
    }
}

fn predicate(conditions: &Value) -> Predicate {
    Predicate::parse(&json!({"conditions": conditions})).expect("the conditions are right")
}

fn holds(condition: &Value) -> bool {
    let row = row(
        &json!({"tier": "gold", "seats": "10", "cart": r#"[{"n": 1}, {"n": 20}]"#, "": "x"}),
        &json!({"line": "pro"}),
    );
    let compiled = CompiledPredicate::new(&predicate(&json!([condition]))).expect("it compiles");
    evaluate(&compiled, &row.view())
}

fn on_charge(key: &str, operator: &str, value: &Value) -> bool {
    holds(
        &json!({"type": "metadata", "metadata_source": "charge", "metadata_key": key,
        "operator": operator, "value": value}),
    )
}

fn on_field(field: &str, operator: &str, value: &Value) -> bool {
    holds(&json!({"type": "field", "field": field, "operator": operator, "value": value}))
}

#[test]
fn operators_compare_text_and_numbers() {
    assert!(on_charge("tier", "equals", &json!("gold")));
    assert!(!on_charge("tier", "equals", &json!("Gold")));
    assert!(on_charge("seats", "equals", &json!(10)));
    assert!(!on_charge("seats", "equals", &json!("10.0")));
    assert!(on_charge("seats", "gt", &json!("9")));
    assert!(on_charge("seats", "gte", &json!("1e1")));
    assert!(on_charge("seats", "lt", &json!(10.5)));
    assert!(!on_charge("tier", "gt", &json!(0)) && !on_charge("tier", "lte", &json!(0)));
    assert!(on_charge("tier", "in", &json!(["silver", "gold"])));
    assert!(!on_charge("tier", "in", &json!([])) && on_charge("tier", "not_in", &json!([])));
    assert!(
        on_charge("tier", "starts_with", &json!("go"))
            && on_charge("tier", "ends_with", &json!(""))
    );
    assert!(
        on_charge("tier", "regex", &json!("^g.+d$")) && !on_charge("tier", "regex", &json!("^old"))
    );
}

#[test]
fn missing_values_satisfy_only_negative_operators() {
    for operator in [
        "equals",
        "contains",
        "starts_with",
        "ends_with",
        "gt",
        "gte",
        "lt",
        "lte",
        "regex",
    ] {
        assert!(!on_charge("none", operator, &json!("1")), "{operator}");
    }
    assert!(!on_charge("none", "in", &json!(["1"])) && on_charge("none", "not_in", &json!(["1"])));
    assert!(
        on_charge("none", "not_equals", &json!("1"))
            && on_charge("none", "not_contains", &json!("1"))
    );
    assert!(
        on_charge("none", "not_exists", &json!(null)) && !on_charge("none", "exists", &json!(null))
    );
}

#[test]
fn multiple_results_need_any_or_all_to_match() {
    assert!(on_charge("$.cart[*].n", "gt", &json!(10)));
    assert!(on_charge("$.cart[*].n", "equals", &json!(1)));
    assert!(!on_charge("$.cart[*].n", "not_equals", &json!(1)));
    assert!(on_charge("$.cart[*].n", "not_in", &json!([2, 3])));
    assert!(on_charge("cart.1.n", "equals", &json!("20")));
}

#[test]
fn fields_are_text() {
    assert!(on_field("amount", "equals", &json!(1999)) && on_field("amount", "lt", &json!(2000)));
    assert!(
        on_field("livemode", "equals", &json!(false))
            && on_field("country", "equals", &json!("DE"))
    );
    assert!(on_field("description", "contains", &json!("öß")));
    assert!(on_field("customer_id", "not_exists", &json!(null)));
    assert!(on_field("payment_method", "regex", &json!("(?i)^CARD$")));
    assert!(on_field("source_transfer", "equals", &json!("tr_1")));
    assert!(on_field("disputed", "equals", &json!(true)));
    assert!(on_field("disputed", "not_equals", &json!("FALSE")));
    assert!(on_field(
        "dispute_status",
        "in",
        &json!(["lost", "under_review"])
    ));
}

#[test]
fn currency_country_and_livemode_take_any_case() {
    for (field, operator, value) in [
        ("currency", "equals", json!("USD")),
        ("currency", "in", json!(["EUR", "Usd"])),
        ("currency", "starts_with", json!("US")),
        ("currency", "ends_with", json!("D")),
        ("currency", "contains", json!("S")),
        ("currency", "regex", json!("^(EUR|USD)$")),
        ("country", "equals", json!("de")),
        ("country", "regex", json!("^d")),
        ("livemode", "equals", json!("FALSE")),
    ] {
        assert!(on_field(field, operator, &value), "{field} {operator}");
    }
    assert!(!on_field("currency", "not_equals", &json!("USD")));
    assert!(!on_field("country", "not_in", &json!(["de"])));
    // An amount may be spelled as any JSON number.
    assert!(
        on_field("amount", "equals", &json!(1999.0)) && on_field("amount", "in", &json!(["01999"]))
    );
    assert!(
        on_field("amount", "contains", &json!("99"))
            && !on_field("amount", "contains", &json!("099"))
    );
    // Others do not.
    assert!(!on_field("status", "equals", &json!("SUCCEEDED")));
    let view = row(&json!({}), &json!({}));
    let billing_address = RowView {
        country: Some("de"),
        ..view.view()
    };
    let condition =
        json!([{"type": "field", "field": "country", "operator": "equals", "value": "DE"}]);
    let compiled = CompiledPredicate::new(&predicate(&condition)).expect("it compiles");
    assert!(evaluate(&compiled, &billing_address));
}

fn rule(id: u128, action: Action, seconds: i64, active: bool, condition: &Value) -> Rule {
    let predicate = predicate(&json!([condition]));
    Rule {
        filter_id: Uuid::from_u128(id),
        name: id.to_string(),
        action,
        operator: predicate.operator,
        conditions: predicate.conditions,
        active,
        created_at: DateTime::from_timestamp(seconds, 0).expect("the instant is in range"),
    }
}

#[test]
fn a_charge_is_kept_or_excluded_whole() {
    let line = |value: &str| {
        json!({"type": "metadata", "metadata_source": "product", "metadata_key": "line",
            "operator": "equals", "value": value})
    };
    let rows = [
        row(&json!({}), &json!({"line": "pro"})),
        row(&json!({}), &json!({"line": "addon"})),
    ];
    let decide = |rules: &[Rule]| {
        let views: Vec<RowView<'_>> = rows.iter().map(Row::view).collect();
        RuleSet::new(rules)
            .expect("the rules compile")
            .decide(&views)
            .map(|id| id.as_u128())
    };
    let include = |id, seconds, value: &str| rule(id, Action::Include, seconds, true, &line(value));
    let exclude = |id, seconds, value: &str| rule(id, Action::Exclude, seconds, true, &line(value));
    assert_eq!(decide(&[]), None);
    assert_eq!(decide(&[include(1, 1, "addon")]), None);
    assert_eq!(decide(&[include(1, 1, "basic")]), Some(1));
    assert_eq!(
        decide(&[include(2, 2, "basic"), include(1, 3, "free")]),
        Some(2)
    );
    assert_eq!(
        decide(&[include(1, 1, "basic"), include(2, 2, "pro")]),
        None
    );
    assert_eq!(
        decide(&[include(1, 1, "pro"), exclude(2, 2, "addon")]),
        Some(2)
    );
    assert_eq!(
        decide(&[
            exclude(3, 5, "pro"),
            exclude(2, 5, "addon"),
            exclude(1, 9, "pro")
        ]),
        Some(2)
    );
    assert_eq!(
        decide(&[rule(1, Action::Exclude, 1, false, &line("pro"))]),
        None
    );
}
