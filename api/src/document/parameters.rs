//! Parameters that many calls take: their bounds, and the example that documentation shows and a test sends.
//!
//! The readers in `input` and in the handlers decide what is accepted; this says the same to callers. A parameter of
//! another name keeps the schema of its handler.

use common::filter::MetadataSource;
use serde_json::{Value, json};
use stripe::analytics::RefundsBy;
use stripe::analytics::earlier_period::EarlierPeriod;

use super::conditions::{PREDICATE, TEXT, reference};
use crate::revenue_query::MAX_PREDICATES;
use crate::routes::parked;

/// Replaces the schema of a parameter that is known by its name, and adds its example.
pub(super) fn refine(parameter: &mut Value) {
    let name = parameter["name"].as_str().unwrap_or_default();
    let (Some(known), Some(parameter)) = (known(name), parameter.as_object_mut()) else {
        return;
    };
    parameter.remove("schema");
    if let Value::Object(members) = known {
        parameter.extend(members);
    }
}

fn known(name: &str) -> Option<Value> {
    Some(match name {
        "id" | "connection_id" => text("acme-stripe-acct_1PgafTB7WZ01zgkW"),
        "job_id" => formatted("uuid", "019ab3f4-5c00-7000-8000-000000000001"),
        "question_id" => formatted("uuid", "019ab3f4-5c00-7000-8000-000000000004"),
        "filter_id" => formatted("uuid", "019ab3f4-5c00-7000-8000-000000000002"),
        "transfer_id" => formatted("uuid", "019ab3f4-5c00-7000-8000-000000000005"),
        "Idempotency-Key" => json!({
            "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
            "example": "order-1042",
        }),
        "event_id" => formatted("uuid", "019ab3f4-5c00-7000-8000-000000000003"),
        "endpoint_id" => text("whe_0f8fad5bd9cb469fa16570867728950e"),
        "organization_id" => text("_platform"),
        "org" => text("acme"),
        "type" => text("charge.refunded"),
        "account" => text("acct_1PgafTB7WZ01zgkW"),
        "received_from" => formatted("date-time", "2026-03-01T00:00:00Z"),
        "received_to" | "restated_since" => formatted("date-time", "2026-04-01T00:00:00Z"),
        "charge_id" => text("ch_3PgafTB7WZ01zgkW0Zq1Xy2W"),
        "limit" => json!({
            "schema": {"type": "integer", "minimum": 1, "maximum": 1000},
            "example": 100,
        }),
        // Only a previous answer has an example that is accepted.
        "cursor" => json!({
            "schema": {"type": "string", "minLength": 1, "maxLength": 4096, "pattern": "^[A-Za-z0-9_-]+$"},
        }),
        "date_from" => formatted("date", "2026-03-01"),
        "date_to" => formatted("date", "2026-03-31"),
        "currency" => json!({
            "schema": {"type": "string", "pattern": "^[A-Za-z]{3}$"},
            "example": "usd",
        }),
        "object_type" => json!({
            "schema": reference("MetadataSource"),
            "example": "charge",
        }),
        "resource" => choice(&parked::RESOURCES, "charges"),
        "group_by" => json!({
            "schema": group_by(),
            "example": "metadata:charge.tier",
        }),
        "compare" => choice(
            &EarlierPeriod::NAMES.map(|(name, _)| name),
            "previous_period",
        ),
        "dated_by" => choice(&RefundsBy::NAMES.map(|(name, _)| name), "event"),
        "filter" => json!({
            "content": {"application/json": {
                "schema": {"anyOf": [
                    reference(PREDICATE),
                    {"type": "array", "items": reference(PREDICATE), "minItems": 1, "maxItems": MAX_PREDICATES},
                ]},
                "example": {"operator": "OR", "conditions": [
                    {"type": "field", "field": "country", "operator": "in", "value": ["DE", "AT", "CH"]},
                    {"type": "metadata", "metadata_source": "customer", "metadata_key": "plan",
                     "operator": "starts_with", "value": "pro"},
                ]},
            }},
        }),
        _ => return None,
    })
}

fn text(example: &str) -> Value {
    json!({"schema": {"type": "string", "minLength": 1, "pattern": TEXT}, "example": example})
}

fn formatted(format: &str, example: &str) -> Value {
    json!({"schema": {"type": "string", "format": format}, "example": example})
}

fn choice(names: &[&str], example: &str) -> Value {
    json!({"schema": {"type": "string", "enum": names}, "example": example})
}

fn group_by() -> Value {
    let sources = MetadataSource::ALL.map(MetadataSource::as_str).join("|");
    json!({"anyOf": [
        {"type": "string", "enum": ["day", "week", "month", "currency", "product", "price", "customer",
                                    "country"]},
        {"type": "string", "description": "A metadata key.",
         "pattern":
            format!(r"^metadata:({sources})\.(?=[^\u0000]{{1,500}}$)(?!\$)[^.\u0000]*(\.[^.\u0000]*){{0,31}}$")},
        {"type": "string", "description": "A JSONPath.", "format": "metadata-json-path",
         "pattern": format!(r"^metadata:({sources})\.\$")},
    ]})
}
