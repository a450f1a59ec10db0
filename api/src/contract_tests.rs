//! The OpenAPI document against the published contract: every call with its statuses, parameters and
//! members, and no call besides.

use serde_json::{Value, json};

/// Method, path, statuses of success, members of the answer, query parameters, members of the body.
type Call = (
    &'static str,
    &'static str,
    &'static [&'static str],
    &'static [&'static str],
    &'static [&'static str],
    &'static [&'static str],
);

const CONNECTED: &[&str] = &[
    "connection_id",
    "stripe_account_id",
    "livemode",
    "job_id",
    "permissions",
];
const CONNECTION: &[&str] = &[
    "connection_id",
    "organization_id",
    "name",
    "stripe_account_id",
    "livemode",
    "timezone",
    "lookback_days",
    "paused",
    "status",
    "sync_interval_minutes",
    "rate_share",
    "permissions",
    "problem",
    "warnings",
    "created_at",
    "next_sync_at",
    "job_id",
];
const JOB: &[&str] = &[
    "job_id",
    "connection_id",
    "status",
    "job_type",
    "trigger",
    "attempt",
    "created_at",
    "started_at",
    "finished_at",
    "progress",
    "error",
];
const FILTER: &[&str] = &[
    "filter_id",
    "name",
    "action",
    "operator",
    "conditions",
    "is_active",
    "created_at",
    "job_id",
];
const RULE: &[&str] = &["name", "action", "operator", "conditions", "is_active"];
const LIST: &[&str] = &["data", "next_cursor"];
const PAGE: &[&str] = &["limit", "cursor"];
const FIGURES: &[&str] = &[
    "connection_id",
    "date_from",
    "date_to",
    "group_by",
    "filter",
    "limit",
    "cursor",
];
const NONE: &[&str] = &[];

const CALLS: &[Call] = &[
    (
        "get",
        "/v1/token",
        &["200"],
        &[
            "token_id",
            "name",
            "organization_id",
            "organization_name",
            "role",
            "expires_at",
        ],
        NONE,
        NONE,
    ),
    (
        "post",
        "/v1/connectors/stripe/connect",
        &["201"],
        CONNECTED,
        NONE,
        &[
            "organization_id",
            "api_key",
            "lookback_days",
            "timezone",
            "name",
        ],
    ),
    (
        "post",
        "/v1/connectors/stripe/{id}/test",
        &["200"],
        &[
            "ok",
            "stripe_account_id",
            "livemode",
            "permissions",
            "checked_at",
            "problem",
        ],
        NONE,
        NONE,
    ),
    (
        "put",
        "/v1/connectors/stripe/{id}/key",
        &["200"],
        CONNECTED,
        NONE,
        &["api_key"],
    ),
    (
        "post",
        "/v1/connectors/stripe/{id}/sync",
        &["200", "202"],
        &["job_id"],
        NONE,
        &["job_type", "lookback_days"],
    ),
    ("get", "/v1/connectors", &["200"], LIST, PAGE, NONE),
    (
        "get",
        "/v1/connectors/{id}",
        &["200"],
        CONNECTION,
        NONE,
        NONE,
    ),
    (
        "patch",
        "/v1/connectors/{id}",
        &["200"],
        CONNECTION,
        NONE,
        &[
            "name",
            "paused",
            "sync_interval_minutes",
            "timezone",
            "rate_share",
        ],
    ),
    (
        "delete",
        "/v1/connectors/{id}",
        &["202"],
        &["job_id"],
        NONE,
        NONE,
    ),
    (
        "get",
        "/v1/connectors/{id}/sync-status",
        &["200"],
        &[
            "connection_id",
            "status",
            "problem",
            "warnings",
            "next_sync_at",
            "last_job",
            "state",
            "covered",
        ],
        NONE,
        NONE,
    ),
    (
        "get",
        "/v1/connectors/{id}/jobs",
        &["200"],
        LIST,
        PAGE,
        NONE,
    ),
    ("get", "/v1/sync-jobs/{job_id}", &["200"], JOB, NONE, NONE),
    (
        "post",
        "/v1/sync-jobs/{job_id}/cancel",
        &["200"],
        JOB,
        NONE,
        NONE,
    ),
    (
        "post",
        "/v1/sync-jobs/{job_id}/retry",
        &["200"],
        JOB,
        NONE,
        NONE,
    ),
    (
        "get",
        "/v1/sync-jobs/{job_id}/events",
        &["200"],
        JOB,
        NONE,
        NONE,
    ),
    (
        "post",
        "/v1/connectors/{id}/filters",
        &["201"],
        FILTER,
        NONE,
        RULE,
    ),
    (
        "get",
        "/v1/connectors/{id}/filters",
        &["200"],
        LIST,
        PAGE,
        NONE,
    ),
    (
        "get",
        "/v1/connectors/{id}/filters/{filter_id}",
        &["200"],
        FILTER,
        NONE,
        NONE,
    ),
    (
        "patch",
        "/v1/connectors/{id}/filters/{filter_id}",
        &["200"],
        FILTER,
        NONE,
        RULE,
    ),
    (
        "delete",
        "/v1/connectors/{id}/filters/{filter_id}",
        &["200"],
        FILTER,
        NONE,
        NONE,
    ),
    (
        "post",
        "/v1/connectors/{id}/filters/preview",
        &["200"],
        &[
            "matched_charges",
            "total_charges",
            "matched_revenue",
            "sample",
        ],
        NONE,
        RULE,
    ),
    (
        "get",
        "/v1/connectors/{id}/filters/discover",
        &["200"],
        LIST,
        &["object_type", "limit", "cursor"],
        NONE,
    ),
    (
        "get",
        "/v1/connectors/{id}/charges/{charge_id}/explain",
        &["200"],
        &[
            "charge_id",
            "stored",
            "counted",
            "reason",
            "filter_id",
            "detail",
            "rows",
        ],
        NONE,
        NONE,
    ),
    (
        "get",
        "/v1/analytics/stripe",
        &["200"],
        &["totals", "groups", "next_cursor"],
        FIGURES,
        NONE,
    ),
    (
        "get",
        "/v1/analytics/stripe/daily-aggregates",
        &["200"],
        &["data"],
        &["connection_id", "date_from", "date_to"],
        NONE,
    ),
    (
        "get",
        "/v1/analytics/stripe/charges",
        &["200"],
        LIST,
        FIGURES,
        NONE,
    ),
    ("get", "/healthz", &["200"], NONE, NONE, NONE),
    (
        "get",
        "/readyz",
        &["200", "503"],
        &["status", "dependencies"],
        NONE,
        NONE,
    ),
    ("get", "/metrics", &["200"], NONE, NONE, NONE),
];

fn document() -> Value {
    serde_json::to_value(crate::openapi()).unwrap()
}

/// Follows references, and through what may be null to what it is otherwise.
fn resolve<'a>(document: &'a Value, mut schema: &'a Value) -> &'a Value {
    loop {
        let alternative = schema["oneOf"]
            .as_array()
            .and_then(|any| any.iter().find(|one| one["type"] != "null"));
        if let Some(reference) = schema["$ref"].as_str() {
            schema = document
                .pointer(reference.trim_start_matches('#'))
                .expect("a reference leads somewhere");
        } else if let Some(alternative) = alternative {
            schema = alternative;
        } else {
            return schema;
        }
    }
}

fn members(document: &Value, content: &Value) -> Vec<String> {
    let Some(schema) = content.as_object().and_then(|types| types.values().next()) else {
        return Vec::new();
    };
    let mut names: Vec<String> = resolve(document, &schema["schema"])["properties"]
        .as_object()
        .map(|properties| properties.keys().cloned().collect())
        .unwrap_or_default();
    names.sort();
    names
}

fn sorted(names: &[&str]) -> Vec<String> {
    let mut names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    names.sort();
    names
}

#[test]
fn the_document_has_every_call_of_the_contract() {
    let document = document();
    for (method, path, successes, answer, parameters, body) in CALLS {
        let call = format!("{method} {path}");
        let operation = &document["paths"][path][method];
        assert!(operation.is_object(), "{call} is missing");
        let responses = operation["responses"].as_object().unwrap();
        let found: Vec<&str> = responses
            .iter()
            .filter(|(_, response)| response["content"]["application/problem+json"].is_null())
            .map(|(status, _)| status.as_str())
            .collect();
        assert_eq!(found, *successes, "statuses of {call}");
        for status in *successes {
            let content = &responses[*status]["content"];
            assert_eq!(
                members(&document, content),
                sorted(answer),
                "answer of {call}"
            );
        }
        let query: Vec<&str> = operation["parameters"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|parameter| parameter["in"] == "query")
            .map(|parameter| parameter["name"].as_str().unwrap())
            .collect();
        assert_eq!(query, *parameters, "parameters of {call}");
        let content = &operation["requestBody"]["content"];
        assert_eq!(members(&document, content), sorted(body), "body of {call}");
    }
}

#[test]
fn the_document_has_no_call_besides() {
    for (path, item) in document()["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys() {
            let known = CALLS.iter().any(|call| call.0 == method && call.1 == path);
            assert!(known, "{method} {path} is not in the contract");
        }
    }
}

#[test]
fn rows_and_groups_have_the_members_of_the_contract() {
    let document = document();
    let schema = |name: &str| {
        let found = &document["components"]["schemas"][name];
        assert!(found.is_object(), "{name} is missing");
        let mut names: Vec<String> = found["properties"]
            .as_object()
            .unwrap()
            .keys()
            .cloned()
            .collect();
        names.sort();
        names
    };
    let figures = ["currency", "charges", "units", "gross", "refunded", "net"];
    assert_eq!(schema("Totals"), sorted(&figures));
    assert_eq!(schema("Group"), sorted(&[&figures[..], &["key"]].concat()));
    assert_eq!(
        schema("ChargeRow"),
        sorted(&crate::routes::export::HEADINGS)
    );
    for (name, members) in [
        (
            "RowMetadata",
            &["charge", "product", "price", "customer"][..],
        ),
        (
            "DailyAggregate",
            &[
                "date",
                "currency",
                "total_revenue",
                "gross",
                "refunded",
                "charges",
                "total_units",
                "revenue_by_product",
                "top_metadata_values",
            ],
        ),
        ("TopValue", &["value", "revenue", "charges"]),
        (
            "ProgressBody",
            &[
                "charges_seen",
                "rows_written",
                "requests",
                "covered",
                "remaining_ranges",
                "percent",
                "eta_seconds",
            ],
        ),
        ("JobError", &["code", "message"]),
        (
            "StateBody",
            &[
                "last_charge_id",
                "next_sync_from",
                "charges_synced",
                "total_revenue_synced",
            ],
        ),
        ("Permission", &["resource", "granted", "needed_for", "hint"]),
        ("Warning", &["code", "resource", "detail", "count"]),
    ] {
        assert_eq!(schema(name), sorted(members), "{name}");
    }
}

#[test]
fn every_call_under_v1_needs_a_token_and_tells_its_problems() {
    let document = document();
    assert_eq!(document["security"], json!([{"token": []}]));
    for (method, path, ..) in CALLS {
        let operation = &document["paths"][path][method];
        if path.starts_with("/v1/") {
            assert!(operation["security"].is_null(), "{path} inherits the token");
            for status in ["401", "403", "404", "422", "429", "500", "503"] {
                let problem =
                    &operation["responses"][status]["content"]["application/problem+json"];
                assert!(problem.is_object(), "{method} {path} {status}");
            }
        } else {
            assert_eq!(operation["security"], json!([{}]), "{path} needs no token");
        }
    }
}
