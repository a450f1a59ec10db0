//! What holds for the document as a whole, and that the committed one is the one that is served.

use std::collections::BTreeSet;

use serde_json::{Value, json};

fn document() -> Value {
    crate::openapi()
}

/// Every operation of the document as `(method, path, operation)`.
fn operations(document: &Value) -> Vec<(String, String, Value)> {
    let paths = document["paths"].as_object().unwrap();
    paths
        .iter()
        .flat_map(|(path, item)| {
            let operations = item.as_object().unwrap().iter();
            operations.map(|(method, operation)| (method.clone(), path.clone(), operation.clone()))
        })
        .collect()
}

#[test]
fn the_committed_document_is_the_one_that_is_served() {
    let committed = include_str!("../../openapi.json");
    assert!(
        committed == crate::openapi_text(),
        "api/openapi.json is not up to date: run `make openapi` and commit the result"
    );
}

/// What anyone may read: a page of prices is shown before anybody signs in.
const WITHOUT_TOKEN: [&str; 1] = ["/v1/billing/plans"];

#[test]
fn every_operation_under_v1_needs_a_token_and_documents_its_problems() {
    let document = document();
    assert_eq!(document["security"], json!([{"token": []}]));
    for (method, path, operation) in operations(&document) {
        let call = format!("{method} {path}");
        if !path.starts_with("/v1/") || WITHOUT_TOKEN.contains(&path.as_str()) {
            assert_eq!(operation["security"], json!([{}]), "{call} needs no token");
            continue;
        }
        assert!(operation["security"].is_null(), "{call} needs the token");
        for status in ["401", "403", "404", "422", "429", "500", "503"] {
            let problem = &operation["responses"][status]["content"]["application/problem+json"];
            assert!(problem.is_object(), "{call} {status}");
        }
    }
}

#[test]
fn every_operation_has_an_id_of_its_own_a_summary_and_described_responses() {
    let document = document();
    let mut ids = BTreeSet::new();
    for (method, path, operation) in operations(&document) {
        let call = format!("{method} {path}");
        let id = operation["operationId"].as_str().expect(&call).to_owned();
        assert!(
            ids.insert(id.clone()),
            "the operation id {id} is used twice"
        );
        assert!(operation["summary"].is_string(), "{call} has no summary");
        for (status, response) in operation["responses"].as_object().unwrap() {
            let description = response["description"].as_str().unwrap_or_default();
            assert!(
                !description.is_empty(),
                "{call} {status} has no description"
            );
        }
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            let name = &parameter["name"];
            assert!(parameter["description"].is_string(), "{call} {name}");
            assert!(
                parameter["required"] == false || parameter["example"].is_string(),
                "{call} has no example of {name}"
            );
        }
        let content = &operation["requestBody"]["content"]["application/json"];
        assert_eq!(
            operation["requestBody"].is_object(),
            content["example"].is_object(),
            "{call} has no example of its body"
        );
    }
    assert!(ids.len() >= 28, "{} operations", ids.len());
}

#[test]
fn request_bodies_refuse_unknown_members() {
    let document = document();
    for (method, path, operation) in operations(&document) {
        let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
        let Some(reference) = schema["$ref"].as_str() else {
            assert!(operation["requestBody"].is_null(), "{method} {path}");
            continue;
        };
        let schema = document.pointer(&reference[1..]).expect(reference);
        assert_eq!(schema["additionalProperties"], false, "{method} {path}");
    }
}

#[test]
fn every_reference_resolves_and_every_schema_is_used() {
    fn visit(value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(members) => {
                if let Some(reference) = members.get("$ref").and_then(Value::as_str) {
                    found.insert(reference.to_owned());
                }
                members.values().for_each(|value| visit(value, found));
            }
            Value::Array(items) => items.iter().for_each(|value| visit(value, found)),
            _ => {}
        }
    }
    let document = document();
    let mut found = BTreeSet::new();
    visit(&document, &mut found);
    for reference in &found {
        let pointer = reference.trim_start_matches('#');
        assert!(document.pointer(pointer).is_some(), "{reference}");
    }
    for name in document["components"]["schemas"]
        .as_object()
        .unwrap()
        .keys()
    {
        let reference = format!("#/components/schemas/{name}");
        assert!(found.contains(&reference), "{name} is not used");
    }
}

#[test]
fn csv_columns_are_the_members_of_a_charge_line_without_names() {
    // Names are looked up by page, and CSV is streamed.
    let names = ["customer_name", "product_name", "price_name"];
    let document = document();
    let row = &document["components"]["schemas"]["ChargeRow"]["properties"];
    let members: BTreeSet<&str> = row
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .filter(|member| !names.contains(member))
        .collect();
    let columns: BTreeSet<&str> = crate::routes::export::HEADINGS.into_iter().collect();
    assert_eq!(members, columns);
}
