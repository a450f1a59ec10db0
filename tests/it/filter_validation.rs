//! Mistakes in rules and filters whose answer would look like a fact: they are refused, or noted with the answer.

use axum::http::Method;
use serde_json::{Value, json};
use tests::api_only::ApiOnly;

const ID: &str = "acme-stripe-acct_Alpha";

fn on_field(field: &str, operator: &str, value: &str) -> Value {
    json!({"type": "field", "field": field, "operator": operator, "value": value})
}

#[tokio::test]
async fn a_condition_that_can_never_hold_is_refused_with_its_place() {
    let api = ApiOnly::start().await;
    api.connect("rk_test_full_Alpha").await;
    for (condition, pointer) in [
        (
            on_field("currency", "equals", "dollars"),
            "/conditions/0/value",
        ),
        (
            on_field("livemode", "equals", "maybe"),
            "/conditions/0/value",
        ),
        (on_field("amount", "gt", "abc"), "/conditions/0/value"),
        (on_field("currency", "gt", "5"), "/conditions/0/operator"),
        (
            json!({"type": "metadata", "metadata_source": "charge", "metadata_key": "tier",
                "operator": "gt", "value": "abc"}),
            "/conditions/0/value",
        ),
    ] {
        let rule = json!({"name": "r", "conditions": [condition]});
        for path in [
            format!("/v1/connectors/{ID}/filters"),
            format!("/v1/connectors/{ID}/filters/preview"),
        ] {
            let problem = api
                .ask(Method::POST, &path, Some(rule.clone()))
                .await
                .problem(422, "invalid_request");
            assert_eq!(problem["errors"][0]["pointer"], pointer, "{condition}");
        }
        let filter = json!({"conditions": [condition]}).to_string();
        let filter: String = url::form_urlencoded::byte_serialize(filter.as_bytes()).collect();
        let path = format!("/v1/analytics/stripe?connection_id={ID}&filter={filter}");
        let problem = api
            .ask(Method::GET, &path, None)
            .await
            .problem(422, "invalid_request");
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{condition}");
        assert_eq!(problem["errors"][0]["parameter"], "filter", "{condition}");
    }
}

#[tokio::test]
async fn rules_stored_by_an_earlier_version_are_still_read() {
    let api = ApiOnly::start().await;
    api.connect("rk_test_full_Alpha").await;
    let filters = format!("/v1/connectors/{ID}/filters");
    let rule = json!({"name": "r", "conditions": [on_field("currency", "equals", "usd")]});
    let made = api
        .ask(Method::POST, &filters, Some(rule))
        .await
        .expect(201);
    api.execute(
        r#"UPDATE connector_filter_rules SET conditions =
           '[{"type": "field", "field": "currency", "operator": "equals", "value": "dollars"}]'"#,
    )
    .await;
    let one = format!("{filters}/{}", made["filter_id"].as_str().unwrap());
    assert_eq!(api.get(&one).await["conditions"][0]["value"], "dollars");
    api.ask(Method::PATCH, &one, Some(json!({"name": "renamed"})))
        .await
        .expect(200);
}

#[tokio::test]
async fn currency_and_country_are_found_in_any_case() {
    let api = ApiOnly::start().await;
    api.connect("rk_test_full_Alpha").await;
    api.execute(
        "INSERT INTO stripe_revenue_data (organization_id, connection_id, charge_id, line_no, created_at, date,
             currency, status, captured, livemode, charge_amount, amount, gross, refunded, units, country, disputed,
             charge_metadata, product_metadata, price_metadata, customer_metadata)
         SELECT 'acme', 'acme-stripe-acct_Alpha', 'ch_' || country, 0, '2026-03-08T10:00:00Z', '2026-03-08', 'usd',
             'succeeded', TRUE, FALSE, 100, 100, 100, 0, 1, country, FALSE, '{}', '{}', '{}', '{}'
         FROM unnest(ARRAY['DE', 'de', 'FR']) AS country",
    )
    .await;
    for (condition, matched) in [
        (on_field("currency", "equals", "USD"), 3),
        (on_field("currency", "equals", "EUR"), 0),
        (on_field("country", "equals", "dE"), 2),
        (on_field("country", "starts_with", "f"), 1),
        (on_field("livemode", "equals", "FALSE"), 3),
    ] {
        let path = format!("/v1/connectors/{ID}/filters/preview");
        let preview = api
            .ask(
                Method::POST,
                &path,
                Some(json!({"conditions": [condition]})),
            )
            .await
            .expect(200);
        assert_eq!(preview["matched_charges"], matched, "{condition}");
    }
}

#[tokio::test]
async fn an_unknown_metadata_key_adds_a_note() {
    let api = ApiOnly::start().await;
    api.connect("rk_test_full_Alpha").await;
    api.execute(
        "INSERT INTO stripe_metadata_keys (organization_id, connection_id, object_type, key_path, value_type,
             occurrences, sample_values, first_seen, last_seen)
         SELECT 'acme', 'acme-stripe-acct_Alpha', 'charge', key_path, 'string', 1, '[]', now(), now()
         FROM unnest(ARRAY['tier', 'cart', 'cart[].sku']) AS key_path",
    )
    .await;
    let detail =
        "No stored charge of this connection has the metadata key `teir`. Did you mean `tier`?";
    let report = format!("/v1/analytics/stripe?connection_id={ID}");
    let rows = format!("/v1/analytics/stripe/charges?connection_id={ID}");
    for list in [&report, &rows] {
        let noted = api
            .get(&format!(
                "{list}&metadata.charge.teir=gold&group_by=metadata:charge.teir"
            ))
            .await;
        assert_eq!(
            noted["notes"],
            json!([
                {"code": "unknown_metadata_key", "parameter": "group_by", "detail": detail},
                {"code": "unknown_metadata_key", "parameter": "metadata.charge.teir", "detail": detail},
            ])
        );
        let known = api
            .get(&format!(
                "{list}&metadata.charge.tier=gold&group_by=metadata:charge.cart.0.sku"
            ))
            .await;
        assert_eq!(known["notes"], json!([]));
    }
    let condition = |key: &str| {
        json!({"name": "r", "conditions": [on_field("currency", "equals", "usd"),
            {"type": "metadata", "metadata_source": "charge", "metadata_key": key, "operator": "exists"}]})
    };
    let note = json!([{"code": "unknown_metadata_key", "pointer": "/conditions/1/metadata_key", "detail": detail}]);
    let filters = format!("/v1/connectors/{ID}/filters");
    let preview = format!("{filters}/preview");
    for (path, status) in [(&preview, 200), (&filters, 201)] {
        let answer = api
            .ask(Method::POST, path, Some(condition("teir")))
            .await
            .expect(status);
        assert_eq!(answer["notes"], note);
    }
    let known = api
        .ask(Method::POST, &preview, Some(condition("$.teir")))
        .await
        .expect(200);
    // A JSONPath is not looked up.
    assert_eq!(known["notes"], json!([]));
}
