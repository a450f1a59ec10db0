//! The examples of the OpenAPI document: each is sent as it is printed, and answered with a success that the document
//! names. A reader can copy them.

use axum::body::Body;
use axum::extract::Request;
use axum::http::{Method, StatusCode};
use chrono::DateTime;
use serde_json::{Value, json};
use tests::api_only::{ApiOnly, PLATFORM_SECRET, now};

/// The key of the document's example; the simple Stripe knows its account by its last word.
const KEY: &str = "rk_test_example_1PgafTB7WZ01zgkW";
/// The signing secret of the example of a webhook.
/// The connection that connecting with it makes, and that the examples are about.
const CONNECTION: &str = "acme-stripe-acct_1PgafTB7WZ01zgkW";

/// An API with what the example of this operation is about.
async fn ready_for(operation: &str) -> ApiOnly {
    let api = ApiOnly::start().await;
    if operation == "connect_stripe_account" {
        return api;
    }
    api.connect(KEY).await;
    // The examples' ids are fixed, those that the API makes are not.
    api.execute("UPDATE sync_jobs SET job_id = '019ab3f4-5c00-7000-8000-000000000001'")
        .await;
    let rule = json!({"name": "An example", "conditions": [
        {"type": "field", "field": "currency", "operator": "equals", "value": "usd"}]});
    let filters = format!("/v1/connectors/{CONNECTION}/filters");
    api.ask(Method::POST, &filters, Some(rule))
        .await
        .expect(201);
    api.execute(
        "UPDATE connector_filter_rules SET filter_id = '019ab3f4-5c00-7000-8000-000000000002'",
    )
    .await;
    let question = json!({"name": "An example"});
    api.ask(Method::POST, "/v1/questions", Some(question))
        .await
        .expect(201);
    api.execute("UPDATE saved_questions SET question_id = '019ab3f4-5c00-7000-8000-000000000004'")
        .await;
    let webhook = format!("/v1/connectors/stripe/{CONNECTION}/webhook");
    let secret = json!({"signing_secret": PLATFORM_SECRET});
    api.ask(Method::POST, &webhook, Some(secret))
        .await
        .expect(201);
    api.execute(
        "UPDATE webhook_endpoints SET endpoint_id = 'whe_0f8fad5bd9cb469fa16570867728950e'",
    )
    .await;
    if operation.starts_with("receive_") {
        // The signature of the example is as old as that.
        let signed_at = DateTime::from_timestamp(1_700_000_000, 0).unwrap();
        api.clock.advance(signed_at - now());
    } else if operation == "create_webhook_endpoint" {
        let deleted = api.ask(Method::DELETE, &webhook, None).await;
        assert_eq!(deleted.status, StatusCode::NO_CONTENT);
    }
    api.execute(
        "INSERT INTO webhook_events (organization_id, event_id, endpoint_id, connection_id, external_event_id,
                                     event_type, received_at, payload, status)
         SELECT organization_id, '019ab3f4-5c00-7000-8000-000000000003', 'whe', connection_id, 'evt_1', 'x',
                now(), '{}', 'dead' FROM platform_connections",
    )
    .await;
    if operation == "start_comparison" {
        api.execute(
            "UPDATE platform_connections SET lookback_days = 365;
             UPDATE stripe_sync_state SET covered_from = '2026-01-01', covered_to = now(), full_synced_at = now()",
        )
        .await;
    }
    if matches!(operation, "retry_job" | "stream_job") {
        // The one needs a job that did not complete, the other one that has ended.
        api.execute("UPDATE sync_jobs SET status = 'cancelled', finished_at = created_at")
            .await;
    }
    api
}

/// The path and query of an operation, made of the examples of its parameters.
fn uri(path: &str, operation: &Value) -> String {
    let mut path = path.to_owned();
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    for parameter in operation["parameters"].as_array().into_iter().flatten() {
        let name = parameter["name"].as_str().unwrap();
        let json = &parameter["content"]["application/json"]["example"];
        let example = match (&parameter["example"], json) {
            (Value::Null, Value::Null) => continue,
            (Value::Null, json) => json.to_string(),
            (Value::String(text), _) => text.clone(),
            (other, _) => other.to_string(),
        };
        if parameter["in"] == "header" {
            continue;
        }
        if parameter["in"] == "path" {
            path = path.replace(&format!("{{{name}}}"), &example);
        } else {
            query.append_pair(name, &example);
        }
    }
    assert!(!path.contains('{'), "{path} has no example of its ids");
    format!("{path}?{}", query.finish())
}

#[tokio::test]
async fn every_example_of_the_document_is_answered_as_the_document_says() {
    let document = api::openapi();
    let mut sent = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let id = operation["operationId"].as_str().unwrap();
            let api = ready_for(id).await;
            let mut request = Request::builder()
                .method(Method::from_bytes(method.to_uppercase().as_bytes()).unwrap())
                .uri(uri(path, operation));
            if path.starts_with("/v1/") {
                let token = if path.starts_with("/v1/operator/") {
                    api.operator_token().await
                } else {
                    api.token.clone()
                };
                request = request.header("authorization", format!("Bearer {token}"));
            }
            for parameter in operation["parameters"].as_array().into_iter().flatten() {
                if parameter["in"] == "header" {
                    let [name, value] =
                        ["name", "example"].map(|key| parameter[key].as_str().unwrap());
                    request = request.header(name, value);
                }
            }
            let content = &operation["requestBody"]["content"]["application/json"];
            let body = match &content["example"] {
                Value::Null => Body::empty(),
                example => {
                    request = request.header("content-type", "application/json");
                    Body::from(example.to_string())
                }
            };
            let answer = api.send(request.body(body).unwrap()).await;
            let status = answer.status.as_u16().to_string();
            let documented = &operation["responses"][status.as_str()];
            // This API has no key of a platform; `connect_onboarding` and `billing_events` have one.
            let tag = operation["tags"][0].as_str().unwrap_or_default();
            let needs_platform = ["billing", "connect"].contains(&tag);
            let is_answered = if needs_platform {
                answer.status == StatusCode::NOT_IMPLEMENTED
            } else {
                answer.status.is_success()
            };
            assert!(
                is_answered && documented.is_object(),
                "{id}: {status} {}",
                answer.text
            );
            sent += 1;
            if answer.status == StatusCode::NO_CONTENT || needs_platform {
                continue;
            }
            let media_type = answer.header("content-type").split(';').next().unwrap();
            assert!(
                documented["content"][media_type].is_object(),
                "{id} answers {media_type}"
            );
        }
    }
    assert!(sent >= 43, "{sent} examples");
}
