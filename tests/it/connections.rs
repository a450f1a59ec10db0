//! Connections through the API: what connecting, testing, settings, syncing by hand and deleting store
//! and answer, before any consumer comes in.

use axum::http::Method;
use common::tenant::TokenRole;
use serde_json::{Value, json};
use tests::api_only::ApiOnly;

const CONNECT: &str = "/v1/connectors/stripe/connect";
const ID: &str = "acme-stripe-acct_Alpha";

fn connect_body(key: &str) -> Value {
    json!({"organization_id": "acme", "api_key": key})
}

#[tokio::test]
async fn connecting_stores_everything_or_nothing() {
    let api = ApiOnly::start().await;
    for (body, status, code) in [
        (json!({}), 422, "invalid_request"),
        (
            json!({"organization_id": "other", "api_key": "rk_test_full_Alpha"}),
            403,
            "forbidden",
        ),
        (connect_body("pk_live_Alpha"), 422, "stripe_key_wrong_kind"),
        (
            connect_body("sk_org_live_Alpha"),
            422,
            "stripe_key_wrong_kind",
        ),
        (connect_body("whsec_Alpha"), 422, "stripe_key_invalid"),
        (
            connect_body("rk_test_revoked_Alpha"),
            422,
            "stripe_key_invalid",
        ),
        (
            connect_body("rk_test_down_Alpha"),
            503,
            "stripe_unreachable",
        ),
    ] {
        api.ask(Method::POST, CONNECT, Some(body))
            .await
            .problem(status, code);
    }
    let refused = api
        .ask(
            Method::POST,
            CONNECT,
            Some(connect_body("rk_test_nocharges_noevents_Alpha")),
        )
        .await;
    let detail = refused.problem(422, "stripe_permission_missing")["detail"].to_string();
    assert!(
        detail.contains("charges") && detail.contains("events"),
        "{detail}"
    );
    assert_eq!(
        api.count("SELECT COUNT(*) FROM platform_connections").await,
        0
    );
    assert_eq!(api.count("SELECT COUNT(*) FROM sync_jobs").await, 0);

    let connected = api.connect("rk_test_noinvoices_noaccount_Alpha").await;
    assert_eq!(connected["connection_id"], ID);
    assert_eq!(connected["stripe_account_id"], "acct_Alpha");
    assert_eq!(connected["livemode"], false);
    let job = api
        .get(&format!(
            "/v1/sync-jobs/{}",
            connected["job_id"].as_str().unwrap()
        ))
        .await;
    assert_eq!(
        (&job["job_type"], &job["trigger"]),
        (&json!("full"), &json!("connect"))
    );
    assert_eq!(job["status"], "pending");
    let connection = api.get(&format!("/v1/connectors/{ID}")).await;
    assert_eq!(connection["status"], "pending");
    assert_eq!(connection["timezone"], "UTC");
    assert_eq!(connection["lookback_days"], 30);
    assert_eq!(connection["next_sync_at"], "2026-11-21T12:15:00Z");
    let warned: Vec<&Value> = connection["warnings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|w| &w["resource"])
        .collect();
    assert_eq!(warned, ["invoices", "account"]);
    let sealed = api.count("SELECT COUNT(*) FROM connection_credentials WHERE position('Alpha' IN encode(sealed, 'escape')) = 0").await;
    assert_eq!(sealed, 1);

    let again = api
        .ask(
            Method::POST,
            CONNECT,
            Some(connect_body("rk_test_full_Alpha")),
        )
        .await;
    let problem = again.problem(409, "connection_exists");
    assert!(
        problem["detail"].as_str().unwrap().contains(ID),
        "{problem:#}"
    );
    // Another organization may connect the same account.
    let other = api.token("other", TokenRole::Admin).await;
    let body = json!({"organization_id": "other", "api_key": "rk_test_full_Alpha"});
    api.ask_as(&other, Method::POST, CONNECT, Some(body))
        .await
        .expect(201);
}

#[tokio::test]
async fn a_key_is_tested_and_replaced() {
    let api = ApiOnly::start().await;
    api.connect("rk_test_full_Alpha").await;
    let test = format!("/v1/connectors/stripe/{ID}/test");
    let tested = api.ask(Method::POST, &test, None).await.expect(200);
    assert_eq!(
        (&tested["ok"], &tested["problem"]),
        (&json!(true), &Value::Null)
    );
    let key = format!("/v1/connectors/stripe/{ID}/key");
    for (body, status, code) in [
        (
            json!({"api_key": "rk_test_full_Beta"}),
            422,
            "stripe_account_mismatch",
        ),
        (
            json!({"api_key": "rk_live_full_Alpha"}),
            422,
            "stripe_account_mismatch",
        ),
        (
            json!({"api_key": "rk_test_revoked_Alpha"}),
            422,
            "stripe_key_invalid",
        ),
        (
            json!({"api_key": "pk_test_Alpha"}),
            422,
            "stripe_key_wrong_kind",
        ),
        (json!({"api_key": 1}), 422, "invalid_request"),
    ] {
        api.ask(Method::PUT, &key, Some(body))
            .await
            .problem(status, code);
    }
    assert_eq!(
        api.ask(Method::POST, &test, None).await.expect(200)["ok"],
        true,
        "the old key stays"
    );
    api.execute(
        "UPDATE platform_connections SET problem_code = 'stripe_key_invalid', problem_detail = 'x', problem_since = now()",
    )
    .await;
    assert_eq!(
        api.get(&format!("/v1/connectors/{ID}")).await["status"],
        "error"
    );
    let body = json!({"api_key": "rk_test_noproducts_Alpha"});
    let replaced = api.ask(Method::PUT, &key, Some(body)).await.expect(200);
    assert_eq!(replaced["connection_id"], ID);
    assert!(replaced["job_id"].is_string());
    let connection = api.get(&format!("/v1/connectors/{ID}")).await;
    assert_eq!(connection["problem"], Value::Null);
    assert_eq!(connection["warnings"][0]["resource"], "products");
}

#[tokio::test]
async fn settings_change_and_a_time_zone_redates() {
    let api = ApiOnly::start().await;
    api.connect("rk_test_full_Alpha").await;
    let path = format!("/v1/connectors/{ID}");
    let body =
        json!({"name": "Shop", "paused": true, "rate_share": 0.5, "sync_interval_minutes": 5});
    let changed = api.ask(Method::PATCH, &path, Some(body)).await.expect(200);
    assert_eq!(changed["name"], "Shop");
    assert_eq!(changed["next_sync_at"], "2026-11-21T12:05:00Z");
    assert!(changed.get("job_id").is_none());
    let changed = api
        .ask(
            Method::PATCH,
            &path,
            Some(json!({"name": null, "timezone": "Asia/Tokyo"})),
        )
        .await;
    let changed = changed.expect(200);
    assert_eq!(
        (&changed["name"], &changed["timezone"]),
        (&Value::Null, &json!("Asia/Tokyo"))
    );
    let job = api
        .get(&format!(
            "/v1/sync-jobs/{}",
            changed["job_id"].as_str().unwrap()
        ))
        .await;
    assert_eq!(job["job_type"], "redate");
    for wrong in [
        json!({"rate_share": 0}),
        json!({"rate_share": 5e-324}),
        json!({"rate_share": 0.009_999}),
        json!({"rate_share": 1.01}),
        json!({"sync_interval_minutes": 1441}),
        json!({"timezone": "Mars"}),
        json!({"paused": "yes"}),
        json!({"lookback_days": 5}),
    ] {
        api.ask(Method::PATCH, &path, Some(wrong))
            .await
            .problem(422, "invalid_request");
    }
}

#[tokio::test]
async fn a_deleted_connection_is_gone_at_once_and_its_job_is_not() {
    let api = ApiOnly::start().await;
    api.connect("rk_test_full_Alpha").await;
    let path = format!("/v1/connectors/{ID}");
    let deleted = api.ask(Method::DELETE, &path, None).await.expect(202);
    let job = format!("/v1/sync-jobs/{}", deleted["job_id"].as_str().unwrap());
    assert_eq!(api.get(&job).await["job_type"], "delete");
    api.ask(Method::GET, &path, None)
        .await
        .problem(404, "not_found");
    api.ask(Method::DELETE, &path, None)
        .await
        .problem(404, "not_found");
    assert_eq!(api.get("/v1/connectors").await["data"], json!([]));
    assert_eq!(
        api.count("SELECT COUNT(*) FROM connection_credentials")
            .await,
        0
    );
    assert_eq!(
        api.count("SELECT COUNT(*) FROM sync_jobs WHERE status = 'cancelled'")
            .await,
        1
    );
    let again = api
        .ask(
            Method::POST,
            CONNECT,
            Some(connect_body("rk_test_full_Alpha")),
        )
        .await;
    again.problem(409, "connection_deleting");
    api.ask(Method::POST, &format!("{job}/cancel"), None)
        .await
        .problem(409, "conflict");
}

#[tokio::test]
async fn a_sync_is_started_once() {
    let api = ApiOnly::start().await;
    let connected = api.connect("rk_test_full_Alpha").await;
    let path = format!("/v1/connectors/stripe/{ID}/sync");
    for body in [
        None,
        Some(json!({"job_type": "incremental"})),
        Some(json!({"job_type": "full"})),
    ] {
        let found = api.ask(Method::POST, &path, body).await.expect(200);
        assert_eq!(
            found["job_id"], connected["job_id"],
            "the pending full job serves"
        );
    }
    api.execute(
        "UPDATE sync_jobs SET status = 'running', lease_expires_at = now();
         UPDATE stripe_sync_state SET full_synced_at = now()",
    )
    .await;
    let found = api.ask(Method::POST, &path, None).await.expect(200);
    assert_eq!(
        found["job_id"], connected["job_id"],
        "the running full job serves"
    );
    let narrower = json!({"lookback_days": 7});
    api.ask(Method::POST, &path, Some(narrower))
        .await
        .expect(200);
    let wider = api
        .ask(Method::POST, &path, Some(json!({"lookback_days": 90})))
        .await
        .expect(202);
    assert_ne!(
        wider["job_id"], connected["job_id"],
        "a running one began with the narrower range"
    );
    assert_eq!(
        api.get(&format!("/v1/connectors/{ID}")).await["lookback_days"],
        90
    );
    for wrong in [
        json!({"lookback_days": 3651}),
        json!({"lookback_days": 0}),
        json!({"job_type": "delete"}),
    ] {
        api.ask(Method::POST, &path, Some(wrong))
            .await
            .problem(422, "invalid_request");
    }
    let status = api.get(&format!("/v1/connectors/{ID}/sync-status")).await;
    assert_eq!(status["status"], "running");
    assert_eq!(status["covered"], Value::Null);
    assert_eq!(status["last_job"]["job_id"], wider["job_id"]);
}

#[tokio::test]
async fn jobs_are_cancelled_retried_and_streamed() {
    let api = ApiOnly::start().await;
    let connected = api.connect("rk_test_full_Alpha").await;
    let path = format!("/v1/sync-jobs/{}", connected["job_id"].as_str().unwrap());
    api.ask(Method::POST, &format!("{path}/retry"), None)
        .await
        .problem(409, "conflict");
    let cancelled = api
        .ask(Method::POST, &format!("{path}/cancel"), None)
        .await
        .expect(200);
    assert_eq!(cancelled["status"], "cancelled");
    api.ask(Method::POST, &format!("{path}/cancel"), None)
        .await
        .problem(409, "conflict");
    let followed = api.ask(Method::GET, &format!("{path}/events"), None).await;
    assert_eq!(followed.header("content-type"), "text/event-stream");
    let events: Vec<&str> = followed
        .text
        .split("\n\n")
        .filter(|event| !event.is_empty())
        .collect();
    let [event] = events[..] else {
        panic!("{:?}", followed.text)
    };
    assert!(event.starts_with("event: job\ndata: {"), "{event}");
    let retried = api
        .ask(Method::POST, &format!("{path}/retry"), None)
        .await
        .expect(200);
    assert_eq!(retried["status"], "pending");
    let jobs = api.get(&format!("/v1/connectors/{ID}/jobs")).await;
    assert_eq!(jobs["data"].as_array().unwrap().len(), 1);
    assert_eq!(jobs["next_cursor"], Value::Null);
}
