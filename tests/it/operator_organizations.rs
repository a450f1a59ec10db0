//! What operators see of organizations, and what the platform keeps of their transfers.

use axum::http::Method;
use common::tenant::TokenRole;
use serde_json::{Value, json};
use tests::api_only::ApiOnly;

const LIST: &str = "/v1/operator/organizations";

#[tokio::test]
async fn operators_list_organizations_page_by_page() {
    let api = ApiOnly::start().await;
    api.token("globex", TokenRole::Admin).await;
    api.token("initech", TokenRole::Admin).await;
    let operator = api.operator_token().await;
    let mut found = Vec::new();
    let mut path = format!("{LIST}?limit=2");
    loop {
        let page = api
            .ask_as(&operator, Method::GET, &path, None)
            .await
            .expect(200);
        let ids = page["data"].as_array().unwrap().iter();
        found.extend(ids.map(|it| it["organization_id"].as_str().unwrap().to_owned()));
        match page["next_cursor"].as_str() {
            Some(cursor) => path = format!("{LIST}?limit=2&cursor={cursor}"),
            None => break,
        }
    }
    assert_eq!(found, ["acme", "globex", "initech"]);
}

#[tokio::test]
async fn only_an_operator_sets_an_organizations_fee() {
    let api = ApiOnly::start().await;
    let operator = api.operator_token().await;
    let acme = format!("{LIST}/acme");
    let set = async |token: &str, percent: Value| {
        let body = json!({"platform_fee_percent": percent});
        api.ask_as(token, Method::PATCH, &acme, Some(body)).await
    };
    for (percent, shown) in [
        (json!(12.5), json!(12.5)),
        (json!(0), json!(0.0)),
        (json!(0.01), json!(0.01)),
        (Value::Null, Value::Null),
    ] {
        let changed = set(&operator, percent).await.expect(200);
        assert_eq!(changed["platform_fee_percent"], shown);
        let listed = api
            .ask_as(&operator, Method::GET, LIST, None)
            .await
            .expect(200);
        assert_eq!(listed["data"][0]["platform_fee_percent"], shown);
    }
    for percent in [json!(100.01), json!(-1), json!("10"), json!(1.234)] {
        let refused = set(&operator, percent).await;
        let problem = refused.problem(422, "invalid_request");
        assert_eq!(problem["errors"][0]["pointer"], "/platform_fee_percent");
    }
    set(&api.token, json!(1)).await.problem(403, "forbidden");
    let unknown = format!("{LIST}/nobody");
    let body = Some(json!({"platform_fee_percent": 1}));
    let answer = api.ask_as(&operator, Method::PATCH, &unknown, body).await;
    answer.problem(404, "not_found");
}
