//! What the API decides by itself: who may ask, what it refuses, and what it stores.

use axum::body::Body;
use axum::extract::Request;
use axum::http::Method;
use common::tenant::TokenRole;
use serde_json::{Value, json};
use tests::api_only::ApiOnly;

const CONNECT: &str = "/v1/connectors/stripe/connect";
const ID: &str = "acme-stripe-acct_Alpha";

fn rule(country: &str) -> Value {
    json!({"name": format!("not {country}"), "action": "exclude", "conditions": [
        {"type": "field", "field": "country", "operator": "equals", "value": country}
    ]})
}

#[tokio::test]
async fn a_token_is_needed_and_its_role_counts() {
    let api = ApiOnly::start().await;
    api.connect("rk_test_full_Alpha").await;
    let bare = Request::get("/v1/connectors").body(Body::empty()).unwrap();
    let answer = api.send(bare).await;
    answer.problem(401, "unauthenticated");
    assert_eq!(answer.header("www-authenticate"), "Bearer");
    for token in ["", "sst_wrong", &api.token.to_uppercase()] {
        api.ask_as(token, Method::GET, "/v1/nothing", None)
            .await
            .problem(401, "unauthenticated");
    }
    let analyst = api.token("acme", TokenRole::Analyst).await;
    let filters = format!("/v1/connectors/{ID}/filters");
    let preview = format!("{filters}/preview");
    api.ask_as(&analyst, Method::GET, &filters, None)
        .await
        .expect(200);
    api.ask_as(&analyst, Method::POST, &preview, Some(rule("DE")))
        .await
        .expect(200);
    for (method, path) in [
        (Method::POST, filters.as_str()),
        (Method::POST, CONNECT),
        (Method::DELETE, "/v1/connectors/x"),
    ] {
        api.ask_as(&analyst, method, path, Some(rule("DE")))
            .await
            .problem(403, "forbidden");
    }
    api.execute("UPDATE api_tokens SET revoked_at = now() WHERE role = 'analyst'")
        .await;
    api.ask_as(&analyst, Method::GET, &filters, None)
        .await
        .problem(401, "unauthenticated");
    api.execute("UPDATE api_tokens SET expires_at = '2026-11-21T12:00:00Z'")
        .await;
    api.ask(Method::GET, &filters, None)
        .await
        .problem(401, "unauthenticated");
}

#[tokio::test]
async fn a_token_says_whose_it_is() {
    let api = ApiOnly::start().await;
    let token = api.get("/v1/token").await;
    assert_eq!(
        (&token["organization_id"], &token["organization_name"]),
        (&json!("acme"), &json!("acme"))
    );
    assert_eq!(
        (&token["name"], &token["role"], &token["expires_at"]),
        (&json!("test"), &json!("admin"), &Value::Null)
    );
    assert_eq!(token["token_id"].as_str().unwrap().len(), 36, "{token:#}");
    assert!(!token.to_string().contains(&api.token), "{token:#}");

    let analyst = api.token("other", TokenRole::Analyst).await;
    api.execute("UPDATE api_tokens SET expires_at = '2027-01-01T00:00:00Z' WHERE role = 'analyst'")
        .await;
    let token = api
        .ask_as(&analyst, Method::GET, "/v1/token", None)
        .await
        .expect(200);
    assert_eq!(
        (
            &token["organization_id"],
            &token["role"],
            &token["expires_at"]
        ),
        (
            &json!("other"),
            &json!("analyst"),
            &json!("2027-01-01T00:00:00Z")
        )
    );
    api.ask(Method::GET, "/v1/token?x=1", None)
        .await
        .problem(422, "invalid_request");
    api.ask_as("sst_wrong", Method::GET, "/v1/token", None)
        .await
        .problem(401, "unauthenticated");
}

#[tokio::test]
async fn request_errors_are_problem_documents() {
    let api = ApiOnly::start().await;
    api.connect("rk_test_full_Alpha").await;
    api.ask(Method::GET, "/v1/nothing", None)
        .await
        .problem(404, "not_found");
    api.ask(Method::GET, "/nothing", None)
        .await
        .problem(404, "not_found");
    api.ask(Method::GET, "/v1/sync-jobs/not-a-uuid", None)
        .await
        .problem(404, "not_found");
    api.ask(Method::GET, "/v1/connectors/a%00b", None)
        .await
        .problem(404, "not_found");
    api.ask(Method::GET, "/v1/connectors/%ff", None)
        .await
        .problem(404, "not_found");
    let wrong_method = api.ask(Method::PUT, "/v1/connectors", None).await;
    wrong_method.problem(405, "method_not_allowed");
    assert!(
        wrong_method.header("allow").contains("GET"),
        "{wrong_method:?}"
    );
    for (content_type, body, status, code) in [
        ("text/plain", "{}".to_owned(), 415, "unsupported_media_type"),
        ("application/json", "{".to_owned(), 400, "malformed_json"),
        ("application/json", "[]".to_owned(), 422, "invalid_request"),
        (
            "application/json",
            format!("\"{}\"", "x".repeat(2_000_000)),
            413,
            "too_large",
        ),
    ] {
        let request = Request::post(CONNECT)
            .header("authorization", format!("Bearer {}", api.token))
            .header("content-type", content_type)
            .body(Body::from(body))
            .unwrap();
        api.send(request).await.problem(status, code);
    }
    for (path, parameter) in [
        ("/v1/connectors?limit=0", "limit"),
        ("/v1/connectors?limit=1001", "limit"),
        ("/v1/connectors?colour=red", "colour"),
        ("/v1/analytics/stripe", "connection_id"),
    ] {
        let problem = api
            .ask(Method::GET, path, None)
            .await
            .problem(422, "invalid_request");
        assert_eq!(problem["errors"][0]["parameter"], parameter, "{path}");
    }
    for path in [
        "/v1/connectors?cursor=x".to_owned(),
        format!("/v1/connectors/{ID}/jobs?cursor=WyJjb25uZWN0aW9ucyIsIngiXQ"),
    ] {
        api.ask(Method::GET, &path, None)
            .await
            .problem(422, "cursor_invalid");
    }
    let regex = json!({"name": "r", "conditions": [
        {"type": "field", "field": "country", "operator": "regex", "value": "("}
    ]});
    let filters = format!("/v1/connectors/{ID}/filters");
    let problem = api
        .ask(Method::POST, &filters, Some(regex))
        .await
        .problem(422, "invalid_request");
    assert_eq!(problem["errors"][0]["pointer"], "/conditions/0/value");
}

#[tokio::test]
async fn lists_are_paged_by_key() {
    let api = ApiOnly::start().await;
    for account in ["C", "A", "E", "B", "D"] {
        api.connect(&format!("rk_test_full_{account}")).await;
    }
    let mut found = Vec::new();
    let mut path = "/v1/connectors?limit=2".to_owned();
    loop {
        let page = api.get(&path).await;
        let data = page["data"].as_array().unwrap();
        assert!((1..=2).contains(&data.len()));
        found.extend(
            data.iter()
                .map(|c| c["stripe_account_id"].as_str().unwrap().to_owned()),
        );
        let Some(cursor) = page["next_cursor"].as_str() else {
            break;
        };
        path = format!("/v1/connectors?limit=2&cursor={cursor}");
    }
    assert_eq!(found, ["acct_A", "acct_B", "acct_C", "acct_D", "acct_E"]);
}

#[tokio::test]
async fn rule_changes_start_jobs() {
    let api = ApiOnly::start().await;
    api.connect("rk_test_full_Alpha").await;
    let filters = format!("/v1/connectors/{ID}/filters");
    let made = api
        .ask(Method::POST, &filters, Some(rule("DE")))
        .await
        .expect(201);
    assert_eq!(
        (&made["operator"], &made["is_active"]),
        (&json!("AND"), &json!(true))
    );
    let job = api
        .get(&format!(
            "/v1/sync-jobs/{}",
            made["job_id"].as_str().unwrap()
        ))
        .await;
    assert_eq!(
        (&job["job_type"], &job["trigger"]),
        (&json!("refilter"), &json!("filters"))
    );
    let one = format!("{filters}/{}", made["filter_id"].as_str().unwrap());
    assert_eq!(api.get(&one).await["conditions"], made["conditions"]);
    let renamed = api
        .ask(Method::PATCH, &one, Some(json!({"name": "other"})))
        .await
        .expect(200);
    assert_eq!(
        (&renamed["name"], &renamed["job_id"]),
        (&json!("other"), &Value::Null)
    );
    let stopped = api
        .ask(Method::PATCH, &one, Some(json!({"is_active": false})))
        .await
        .expect(200);
    assert!(stopped["job_id"].is_string());
    assert_eq!(api.get(&filters).await["data"].as_array().unwrap().len(), 1);
    api.ask(Method::DELETE, &one, None).await.expect(200);
    api.ask(Method::GET, &one, None)
        .await
        .problem(404, "not_found");
    for _ in 0..50 {
        api.ask(Method::POST, &filters, Some(rule("FR")))
            .await
            .expect(201);
    }
    api.ask(Method::POST, &filters, Some(rule("FR")))
        .await
        .problem(422, "invalid_request");
}

#[tokio::test]
async fn a_rate_limited_token_gets_retry_after() {
    let one = std::num::NonZeroU32::MIN;
    let api = ApiOnly::start_with_rate(api::TokenRate {
        per_second: one,
        burst: one,
    })
    .await;
    api.ask(Method::GET, "/v1/connectors", None)
        .await
        .expect(200);
    let answer = api.ask(Method::GET, "/v1/connectors", None).await;
    answer.problem(429, "rate_limited");
    assert!(answer.header("retry-after").parse::<u64>().unwrap() >= 1);
}

#[tokio::test]
async fn health_and_documents_need_no_token() {
    let api = ApiOnly::start().await;
    let get = async |path: &str| {
        api.send(Request::get(path).body(Body::empty()).unwrap())
            .await
    };
    let alive = get("/healthz").await.expect(200);
    assert_eq!(
        (&alive["status"], &alive["name"]),
        (&json!("ok"), &json!("stripe-sync"))
    );
    let ready = get("/readyz").await.expect(200);
    assert_eq!(ready["status"], "ok");
    assert_eq!(ready["dependencies"]["migrations"], "ok");
    assert_eq!(
        get("/openapi.json").await.expect(200)["info"]["title"],
        "stripe-sync"
    );
    assert!(get("/metrics").await.status.is_success());
    assert!(get("/docs/").await.text.contains("swagger"));
}

#[tokio::test]
async fn methods_and_paths_that_a_client_makes_up_do_not_grow_the_metrics() {
    let api = ApiOnly::start().await;
    for n in 0..500 {
        let method = Method::from_bytes(format!("MADEUP{n}").as_bytes()).unwrap();
        for path in ["/v1/connectors", "/healthz", &format!("/madeup{n}")] {
            let request = Request::builder().method(&method).uri(path);
            api.send(request.body(Body::empty()).unwrap()).await;
        }
    }
    let metrics = common::telemetry::render();
    assert!(metrics.contains("method=\"other\""));
    let made_up = metrics
        .lines()
        .find(|line| line.to_lowercase().contains("madeup"));
    assert_eq!(made_up, None);
}

async fn fetch(api: &ApiOnly, path: &str, headers: &[(&str, &str)]) -> tests::api_only::Answer {
    let mut request = Request::get(path).header("authorization", format!("Bearer {}", api.token));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    api.send(request.body(Body::empty()).unwrap()).await
}

#[tokio::test]
async fn daily_aggregates_that_have_not_changed_are_not_sent_again() {
    const PATH: &str = "/v1/analytics/stripe/daily-aggregates?connection_id=acme-stripe-acct_Alpha";
    let api = ApiOnly::start().await;
    api.connect("rk_test_full_Alpha").await;
    let empty = fetch(&api, PATH, &[]).await;
    assert_eq!(empty.header("cache-control"), "private, no-cache");
    api.execute(
        "INSERT INTO stripe_daily_aggregates VALUES
             ('acme', 'acme-stripe-acct_Alpha', '2026-03-01', 'usd', 1, 1, 1, 100, 0, '{}', '{}')",
    )
    .await;
    let tag = empty.header("etag");
    let first = fetch(&api, PATH, &[("if-none-match", tag)]).await;
    first.expect(200);
    let kept = fetch(&api, PATH, &[]).await;
    let tag = first.header("etag");
    assert_eq!((kept.header("etag"), &kept.text), (tag, &first.text));
    assert_eq!(first.header("vary"), "authorization, accept-encoding");
    let same = fetch(&api, PATH, &[("if-none-match", tag)]).await;
    assert_eq!((same.status.as_u16(), same.text.as_str()), (304, ""));
    for name in ["etag", "vary", "cache-control"] {
        assert_eq!(same.header(name), first.header(name), "{name}");
    }
    api.execute("UPDATE stripe_daily_aggregates SET gross = 901")
        .await;
    let changed = fetch(&api, PATH, &[("if-none-match", tag)]).await;
    assert_eq!(changed.expect(200)["data"][0]["gross"], 901);
}

#[tokio::test]
async fn figures_are_not_stored_and_documents_are() {
    let api = ApiOnly::start().await;
    api.connect("rk_test_full_Alpha").await;
    for path in [
        "/v1/analytics/stripe?connection_id=acme-stripe-acct_Alpha",
        "/v1/analytics/stripe/charges?connection_id=acme-stripe-acct_Alpha",
        "/v1/connectors",
        "/v1/nothing",
        "/readyz",
        "/metrics",
    ] {
        let answer = fetch(&api, path, &[]).await;
        assert_eq!(answer.header("cache-control"), "no-store", "{path}");
    }
    for path in ["/openapi.json", "/docs/", "/docs/swagger-ui.css"] {
        let answer = fetch(&api, path, &[("accept-encoding", "identity")]).await;
        assert_eq!(answer.status, 200, "{path}");
        assert_eq!(
            answer.header("cache-control"),
            "public, max-age=300",
            "{path}"
        );
        let tag = answer.header("etag");
        let same = fetch(&api, path, &[("if-none-match", tag)]).await;
        assert_eq!(
            (same.status.as_u16(), same.text.as_str()),
            (304, ""),
            "{path}"
        );
        assert_eq!(same.header("vary"), answer.header("vary"), "{path}");
    }
    fetch(&api, "/docs/nothing", &[])
        .await
        .problem(404, "not_found");
}

#[tokio::test]
async fn responses_have_security_headers_and_the_root_leads_to_the_sign_in_page() {
    let api = ApiOnly::start().await;
    let root = fetch(&api, "/", &[]).await;
    assert_eq!(
        (root.status.as_u16(), root.header("location")),
        (303, "/sign-in?return_to=%2F")
    );
    for path in [
        "/docs",
        "/docs/",
        "/docs/swagger-ui-bundle.js",
        "/openapi.json",
        "/healthz",
        "/nothing",
        "/v1/connectors",
    ] {
        let answer = fetch(&api, path, &[]).await;
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(answer.header("referrer-policy"), "no-referrer", "{path}");
        assert_eq!(answer.header("x-frame-options"), "DENY", "{path}");
        let policy = answer.header("content-security-policy");
        assert!(policy.contains("default-src 'none'"), "{path}: {policy}");
        assert!(
            policy.contains("frame-ancestors 'none'"),
            "{path}: {policy}"
        );
    }
    let page = fetch(&api, "/docs/", &[]).await;
    assert!(
        page.header("content-security-policy")
            .contains("script-src 'self'")
    );
    // The policy allows no script or handler inside of the page.
    assert!(page.text.matches("<script").count() == page.text.matches("<script src=\"./").count());
    assert!(!page.text.contains("onload="));
}

#[tokio::test]
async fn accept_weights_choose_the_format_of_rows() {
    const PATH: &str = "/v1/analytics/stripe/charges?connection_id=acme-stripe-acct_Alpha";
    let api = ApiOnly::start().await;
    api.connect("rk_test_full_Alpha").await;
    let json = fetch(
        &api,
        PATH,
        &[("accept", "text/csv;q=0.5, application/json")],
    )
    .await;
    assert_eq!(json.header("content-type"), "application/json");
    let csv = fetch(
        &api,
        PATH,
        &[("accept", "text/csv, application/json;q=0.5")],
    )
    .await;
    assert_eq!(
        csv.header("content-type"),
        "text/csv; charset=utf-8; header=present"
    );
    assert_eq!(
        (json.header("vary"), csv.header("vary")),
        ("accept", "accept")
    );
    fetch(&api, PATH, &[("accept", "text/html")])
        .await
        .problem(406, "not_acceptable");
    let head = Request::head(PATH)
        .header("authorization", format!("Bearer {}", api.token))
        .header("accept", "text/csv");
    let head = api.send(head.body(Body::empty()).unwrap()).await;
    assert_eq!((head.status.as_u16(), head.text.as_str()), (200, ""));
}
