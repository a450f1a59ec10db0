//! The schema of conditions as callers write them.
//!
//! Which values an operator takes depends on the operator and the field, so a condition is one of many objects, each
//! with the operators that take the same values. `common::filter` decides what is accepted; this says the same to
//! callers. A regular expression and a `JSONPath` are texts with a format that no schema can state in full.

use serde_json::{Map, Value, json};

pub(super) const CONDITION: &str = "FilterConditionRequest";
pub(super) const PREDICATE: &str = "FilterPredicateRequest";
const KEY: &str = "MetadataKey";
const SCALAR: &str = "FilterScalarRequest";
const NUMBER: &str = "FilterNumber";

/// The largest number that a condition compares with.
const MAX_NUMBER: f64 = 1e300;
/// No U+0000, which PostgreSQL's text does not have.
pub(super) const TEXT: &str = r"^[^\u0000]*$";

const EQUALITY: &[&str] = &["equals", "not_equals"];
const PARTS: &[&str] = &["contains", "not_contains", "starts_with", "ends_with"];
const ANY_TEXT: &[&str] = &[
    "equals",
    "not_equals",
    "contains",
    "not_contains",
    "starts_with",
    "ends_with",
];
const LISTS: &[&str] = &["in", "not_in"];
const PRESENCE: &[&str] = &["exists", "not_exists"];
const ORDERS: &[&str] = &["gt", "gte", "lt", "lte"];

pub(super) fn reference(schema: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{schema}") })
}

/// The schemas of this module by name.
pub(super) fn schemas() -> Vec<(&'static str, Value)> {
    vec![
        (CONDITION, condition()),
        (PREDICATE, predicate()),
        (KEY, key()),
        (SCALAR, scalar()),
        (NUMBER, number()),
    ]
}

fn predicate() -> Value {
    json!({
        "type": "object",
        "description": "Conditions and how they are combined.",
        "required": ["conditions"],
        "properties": {
            "operator": {"oneOf": [{"type": "null"}, {
                "$ref": "#/components/schemas/FilterCombination",
                "description": "How the conditions are combined; `AND` by default.",
            }]},
            "conditions": {
                "type": "array", "description": "Conditions.", "items": reference(CONDITION),
                "minItems": 1, "maxItems": 50,
            },
        },
        "additionalProperties": false,
    })
}

fn key() -> Value {
    json!({
        "description": "Metadata key, dotted path into a JSON value, or JSONPath (RFC 9535) that starts with `$`.",
        "anyOf": [
            {"type": "string", "minLength": 1, "maxLength": 500,
             "pattern": r"^([^.$\u0000][^.\u0000]*)?(\.[^.\u0000]*){0,31}$"},
            {"type": "string", "maxLength": 500, "format": "json-path", "pattern": r"^\$"},
        ],
        "example": "tier",
    })
}

fn scalar() -> Value {
    json!({
        "description": "Value to compare with. A number or boolean is compared by its JSON text.",
        "anyOf": [
            {"type": "string", "maxLength": 500, "pattern": TEXT},
            {"type": "number", "minimum": -MAX_NUMBER, "maximum": MAX_NUMBER},
            {"type": "boolean"},
        ],
    })
}

fn number() -> Value {
    json!({
        "description": "Number to compare with.",
        "anyOf": [
            {"type": "number", "minimum": -MAX_NUMBER, "maximum": MAX_NUMBER},
            {"type": "string", "maxLength": 500,
             "pattern": r"^-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]{1,3})?$"},
        ],
    })
}

/// A value of a text that a pattern describes.
fn text(pattern: &str) -> Value {
    json!({"type": "string", "pattern": pattern})
}

fn list(items: &Value) -> Value {
    json!({"type": "array", "items": items, "maxItems": 1000})
}

fn condition() -> Value {
    let pattern = json!({"type": "string", "format": "regex", "maxLength": 500,
        "pattern": TEXT,
        "description": "Regular expression in the syntax of Rust's `regex` crate, unanchored."});
    let mut alternatives = Vec::new();
    for (operators, value) in [
        (ANY_TEXT, reference(SCALAR)),
        (LISTS, list(&reference(SCALAR))),
        (ORDERS, reference(NUMBER)),
        (&["regex"], pattern.clone()),
        (PRESENCE, Value::Null),
    ] {
        alternatives.push(on_metadata(operators, value));
    }
    let every = json!({ "$ref": "#/components/schemas/FilterField" });
    let texts = &[
        "status",
        "description",
        "customer_id",
        "product_id",
        "price_id",
        "payment_method",
        "source_transfer",
        "dispute_status",
    ];
    let flags = &["livemode", "disputed"];
    let numbers = &[
        "amount",
        "description",
        "customer_id",
        "product_id",
        "price_id",
    ];
    let integer = json!({"anyOf": [
        {"type": "integer", "minimum": -999_999_999_999_999_i64, "maximum": 999_999_999_999_999_i64},
        text("^-?[0-9]{1,18}$"),
    ]});
    let digits = json!({"anyOf": [
        {"type": "integer", "minimum": 0, "maximum": 999_999_999_999_999_i64},
        text("^[0-9]{1,18}$"),
    ]});
    let flag = json!({"anyOf": [
        {"type": "boolean"},
        text("^([Tt][Rr][Uu][Ee]|[Ff][Aa][Ll][Ss][Ee])$"),
    ]});
    let currency = text("^[A-Za-z]{3}$");
    let country = text("^[A-Za-z]{2}$");
    for (fields, operators, value) in [
        (one_of(texts), ANY_TEXT, reference(SCALAR)),
        (one_of(texts), LISTS, list(&reference(SCALAR))),
        (one_of(&["amount"]), EQUALITY, integer.clone()),
        (one_of(&["amount"]), PARTS, digits),
        (one_of(&["amount"]), LISTS, list(&integer)),
        (one_of(numbers), ORDERS, reference(NUMBER)),
        (one_of(&["currency"]), EQUALITY, currency.clone()),
        (one_of(&["currency"]), PARTS, text("^[A-Za-z]{1,3}$")),
        (one_of(&["currency"]), LISTS, list(&currency)),
        (one_of(&["country"]), EQUALITY, country.clone()),
        (one_of(&["country"]), PARTS, text("^[A-Za-z]{1,2}$")),
        (one_of(&["country"]), LISTS, list(&country)),
        (one_of(flags), ANY_TEXT, flag.clone()),
        (one_of(flags), LISTS, list(&flag)),
        (every.clone(), &["regex"][..], pattern),
        (every, PRESENCE, Value::Null),
    ] {
        alternatives.push(on_field(fields, operators, value));
    }
    json!({
        "description": "A condition. Which values are allowed depends on the operator and the field.",
        "anyOf": alternatives,
    })
}

fn one_of(names: &[&str]) -> Value {
    json!({"type": "string", "enum": names})
}

fn on_metadata(operators: &[&str], value: Value) -> Value {
    let subject = [
        ("type", json!({"type": "string", "enum": ["metadata"]})),
        ("metadata_source", reference("MetadataSource")),
        ("metadata_key", reference(KEY)),
    ];
    alternative(subject, operators, value)
}

fn on_field(fields: Value, operators: &[&str], value: Value) -> Value {
    let subject = [
        ("type", json!({"type": "string", "enum": ["field"]})),
        ("field", fields),
    ];
    alternative(subject, operators, value)
}

/// An object with all of these members and no other; a null value is of operators that take none.
fn alternative<const N: usize>(
    subject: [(&str, Value); N],
    operators: &[&str],
    value: Value,
) -> Value {
    let mut properties: Map<String, Value> = subject
        .into_iter()
        .map(|(name, schema)| (name.to_owned(), schema))
        .collect();
    properties.insert("operator".to_owned(), one_of(operators));
    if !value.is_null() {
        properties.insert("value".to_owned(), value);
    }
    let required: Vec<&String> = properties.keys().collect();
    json!({
        "type": "object",
        "required": required,
        "properties": properties,
        "additionalProperties": false,
    })
}
