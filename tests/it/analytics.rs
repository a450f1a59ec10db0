//! Figures from stored rows: totals and groups add up, pages are the whole, rows are listed and exported,
//! and aggregates follow them.

use axum::body::Body;
use axum::extract::Request;
use axum::http::Method;
use common::db::{self, Role};
use common::tenant::OrganizationId;
use serde_json::{Value, json};
use stripe::analytics::refresh::{Locked, refresh_days};
use tests::api_only::ApiOnly;

const ID: &str = "acme-stripe-acct_Alpha";

/// Rows of two days, two currencies, one charge of two lines, and three that do not count.
async fn figures() -> ApiOnly {
    let api = ApiOnly::start().await;
    api.connect("rk_test_full_Alpha").await;
    api.execute(
        "INSERT INTO stripe_revenue_data (organization_id, connection_id, charge_id, line_no, line_id, created_at,
             date, currency, status, captured, livemode, charge_amount, amount, gross, refunded, units, customer_id,
             product_id, price_id, description, country, disputed, charge_metadata, product_metadata,
             price_metadata, customer_metadata, excluded_by)
         SELECT 'acme', 'acme-stripe-acct_Alpha', charge_id, line_no, line_id, (date || 'T10:00:00Z')::TIMESTAMPTZ,
             date::DATE, currency, status, captured, FALSE, amount, amount, gross, refunded, units, customer_id,
             product_id, price_id, description, 'DE', FALSE, charge_metadata::JSONB, '{}', '{}',
             '{\"plan\": \"pro\"}', excluded_by::UUID
         FROM (VALUES
             ('ch_1', 0, 'il_1', '2026-03-08', 'usd', 'succeeded', TRUE, 700, 700, 70, 2, 'cus_1', 'prod_a', 'price_a', 'two lines', '{\"tier\": \"gold\", \"order\": \"{\\\"id\\\": 7}\"}', NULL),
             ('ch_1', 1, 'il_2', '2026-03-08', 'usd', 'succeeded', TRUE, 300, 300, 30, 1, 'cus_1', 'prod_b', 'price_b', 'two lines', '{\"tier\": \"gold\", \"order\": \"{\\\"id\\\": 7}\"}', NULL),
             ('ch_2', 0, NULL, '2026-03-08', 'eur', 'succeeded', TRUE, 500, 500, 0, 1, 'cus_2', NULL, NULL, '=1+1', '{\"tier\": \"silver\"}', NULL),
             ('ch_3', 0, NULL, '2026-03-10', 'usd', 'succeeded', TRUE, 200, 200, 0, 1, NULL, NULL, NULL, NULL, '{}', NULL),
             ('ch_4', 0, NULL, '2026-04-01', 'usd', 'failed', FALSE, 900, 0, 0, 1, 'cus_1', NULL, NULL, NULL, '{\"tier\": \"gold\"}', NULL),
             ('ch_5', 0, NULL, '2026-04-01', 'usd', 'succeeded', FALSE, 900, 0, 0, 1, 'cus_1', NULL, NULL, NULL, '{}', NULL),
             ('ch_6', 0, NULL, '2026-04-01', 'usd', 'succeeded', TRUE, 800, 800, 0, 1, 'cus_1', NULL, NULL, NULL, '{\"tier\": \"gold\"}', '019ab000-0000-7000-8000-000000000001')
         ) AS v (charge_id, line_no, line_id, date, currency, status, captured, amount, gross, refunded, units,
                 customer_id, product_id, price_id, description, charge_metadata, excluded_by);
         INSERT INTO stripe_stale_days SELECT DISTINCT organization_id, connection_id, date FROM stripe_revenue_data;
         UPDATE stripe_sync_state SET covered_from = '2026-01-01T00:00:00Z', covered_to = '2026-04-02T00:00:00Z'",
    )
    .await;
    api
}

fn short(groups: &Value) -> Vec<String> {
    groups
        .as_array()
        .expect("a list")
        .iter()
        .map(|g| {
            let key = g["key"].as_str().unwrap_or("-");
            format!(
                "{key} {} {}/{} {}-{}={}",
                g["currency"].as_str().expect("a text"),
                g["charges"],
                g["units"],
                g["gross"],
                g["refunded"],
                g["net"]
            )
        })
        .collect()
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "most of it is the table")]
async fn figures_add_up_however_they_are_grouped() {
    let api = figures().await;
    let base = format!("/v1/analytics/stripe?connection_id={ID}");
    let whole = api.get(&base).await;
    assert_eq!(whole["groups"], json!([]));
    assert_eq!(
        whole["totals"],
        json!([
            {"currency": "eur", "charges": 1, "units": 1, "units_decimal": "1", "gross": 500, "refunded": 0,
             "net": 500, "disputed_amount": 0, "dispute_fee": 0},
            {"currency": "usd", "charges": 2, "units": 4, "units_decimal": "4", "gross": 1200, "refunded": 100,
             "net": 1100, "disputed_amount": 0, "dispute_fee": 0},
        ])
    );
    for (by, expected) in [
        (
            "day",
            vec![
                "2026-03-08 eur 1/1 500-0=500",
                "2026-03-08 usd 1/3 1000-100=900",
                "2026-03-10 usd 1/1 200-0=200",
            ],
        ),
        (
            "week",
            vec![
                "2026-03-02 eur 1/1 500-0=500",
                "2026-03-02 usd 1/3 1000-100=900",
                "2026-03-09 usd 1/1 200-0=200",
            ],
        ),
        (
            "month",
            vec!["2026-03 eur 1/1 500-0=500", "2026-03 usd 2/4 1200-100=1100"],
        ),
        (
            "currency",
            vec!["usd usd 2/4 1200-100=1100", "eur eur 1/1 500-0=500"],
        ),
        (
            "product",
            vec![
                "prod_a usd 1/2 700-70=630",
                "- eur 1/1 500-0=500",
                "prod_b usd 1/1 300-30=270",
                "- usd 1/1 200-0=200",
            ],
        ),
        (
            "price",
            vec![
                "price_a usd 1/2 700-70=630",
                "- eur 1/1 500-0=500",
                "price_b usd 1/1 300-30=270",
                "- usd 1/1 200-0=200",
            ],
        ),
        (
            "customer",
            vec![
                "cus_1 usd 1/3 1000-100=900",
                "cus_2 eur 1/1 500-0=500",
                "- usd 1/1 200-0=200",
            ],
        ),
        (
            "metadata:charge.tier",
            vec![
                "gold usd 1/3 1000-100=900",
                "silver eur 1/1 500-0=500",
                "- usd 1/1 200-0=200",
            ],
        ),
        (
            "metadata:charge.order.id",
            vec![
                "7 usd 1/3 1000-100=900",
                "- eur 1/1 500-0=500",
                "- usd 1/1 200-0=200",
            ],
        ),
        (
            "metadata:customer.plan",
            vec!["pro usd 2/4 1200-100=1100", "pro eur 1/1 500-0=500"],
        ),
    ] {
        let report = api.get(&format!("{base}&group_by={by}")).await;
        assert_eq!(short(&report["groups"]), expected, "{by}");
        assert_eq!(report["totals"], whole["totals"], "{by}");
        // Page by page they are the same.
        let mut paged = Vec::new();
        let mut cursor = String::new();
        loop {
            let page = api
                .get(&format!("{base}&group_by={by}&limit=1{cursor}"))
                .await;
            assert_eq!(page["totals"], whole["totals"], "totals are not paged");
            paged.extend(short(&page["groups"]));
            let Some(next) = page["next_cursor"].as_str() else {
                break;
            };
            cursor = format!("&cursor={next}");
        }
        assert_eq!(paged, expected, "{by} by pages");
    }
}

#[tokio::test]
async fn figures_are_narrowed_by_days_and_filters() {
    let api = figures().await;
    let base = format!("/v1/analytics/stripe?connection_id={ID}");
    let totals = async |query: &str| {
        let report = api.get(&format!("{base}{query}")).await;
        short(&report["totals"])
    };
    assert_eq!(
        totals("&date_from=2026-03-09").await,
        ["- usd 1/1 200-0=200"]
    );
    assert_eq!(
        totals("&date_to=2026-03-08&date_from=2026-03-08")
            .await
            .len(),
        2,
        "both ends belong to it"
    );
    assert_eq!(
        totals("&metadata.charge.tier=gold").await,
        ["- usd 1/3 1000-100=900"]
    );
    assert!(
        totals("&metadata.charge.tier=gold&metadata.customer.plan=free")
            .await
            .is_empty()
    );
    let product = r#"{"conditions":[{"type":"field","field":"product_id","operator":"equals","value":"prod_b"}]}"#;
    let encoded: String = url::form_urlencoded::byte_serialize(product.as_bytes()).collect();
    assert_eq!(
        totals(&format!("&filter={encoded}")).await,
        ["- usd 1/1 300-30=270"],
        "matching rows only"
    );
}

#[tokio::test]
async fn rows_are_listed_newest_first_and_exported() {
    let api = figures().await;
    let base = format!("/v1/analytics/stripe/charges?connection_id={ID}");
    let mut found = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = api.get(&format!("{base}&limit=2{cursor}")).await;
        for row in page["data"].as_array().unwrap() {
            found.push(format!(
                "{} {} {}",
                row["charge_id"].as_str().unwrap(),
                row["amount"],
                row["net"]
            ));
        }
        let Some(next) = page["next_cursor"].as_str() else {
            break;
        };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(
        found,
        [
            "ch_6 800 0",
            "ch_5 900 0",
            "ch_4 900 0",
            "ch_3 200 200",
            "ch_2 500 500",
            "ch_1 700 630",
            "ch_1 300 270"
        ]
    );
    let request = Request::get(format!("{base}&date_to=2026-03-08&limit=1"))
        .header("authorization", format!("Bearer {}", api.token))
        .header("accept", "text/csv")
        .body(Body::empty())
        .unwrap();
    let csv = api.send(request).await;
    assert!(csv.header("content-type").starts_with("text/csv"));
    let lines: Vec<&str> = csv.text.split("\r\n").collect();
    assert_eq!(
        lines.len(),
        5,
        "headings, three rows and the end: {}",
        csv.text
    );
    assert!(lines[0].starts_with("charge_id,line_id,created_at,date,currency,"));
    assert!(
        lines[1].starts_with("ch_2,,2026-03-08T10:00:00Z,2026-03-08,eur,succeeded,true,true,,500,")
    );
    assert!(lines[1].contains(",'=1+1,"), "{}", lines[1]);
}

#[tokio::test]
async fn charges_are_explained_from_what_is_stored() {
    let api = figures().await;
    let rule = json!({"name": "not DE", "action": "exclude", "conditions": [
        {"type": "field", "field": "country", "operator": "equals", "value": "DE"}
    ]});
    let path = format!("/v1/connectors/{ID}/filters");
    let made = api.ask(Method::POST, &path, Some(rule)).await.expect(201);
    api.execute(
        "UPDATE stripe_revenue_data SET excluded_by = (SELECT filter_id FROM connector_filter_rules) WHERE charge_id = 'ch_6'",
    )
    .await;
    for (charge, reason, rows) in [
        ("ch_1", "counted", 2),
        ("ch_4", "not_succeeded", 1),
        ("ch_5", "not_captured", 1),
        ("ch_6", "excluded", 1),
        ("ch_9", "never_seen", 0),
    ] {
        let reported = api
            .get(&format!("/v1/connectors/{ID}/charges/{charge}/explain"))
            .await;
        assert_eq!(reported["reason"], reason, "{reported:#}");
        assert_eq!(reported["rows"].as_array().unwrap().len(), rows);
        assert_eq!(reported["counted"], reason == "counted");
        assert_eq!(reported["stored"], rows > 0);
        let detail = reported["detail"].as_str().unwrap();
        match reason {
            "excluded" => {
                assert_eq!(reported["filter_id"], made["filter_id"]);
                assert!(detail.contains("not DE"), "{detail}");
            }
            "never_seen" => assert!(detail.contains("2026-01-01T00:00:00Z"), "{detail}"),
            _ => assert_eq!(reported["filter_id"], Value::Null),
        }
    }
}

#[tokio::test]
async fn a_preview_looks_past_the_rules() {
    let api = figures().await;
    let path = format!("/v1/connectors/{ID}/filters/preview");
    let body = json!({"conditions": [
        {"type": "metadata", "metadata_source": "charge", "metadata_key": "tier", "operator": "equals", "value": "gold"}
    ]});
    let preview = api.ask(Method::POST, &path, Some(body)).await.expect(200);
    assert_eq!(
        (&preview["matched_charges"], &preview["total_charges"]),
        (&json!(2), &json!(4))
    );
    assert_eq!(preview["matched_revenue"], json!({"usd": 1700}));
    assert_eq!(preview["sample"].as_array().unwrap().len(), 3);
    assert_eq!(preview["sample"][0]["charge_id"], "ch_6");
}

#[tokio::test]
async fn aggregates_are_the_rows_and_follow_them() {
    let api = figures().await;
    let pool = api.database.pool(Role::Consumer);
    let acme = OrganizationId::new("acme").unwrap();
    let refresh = async || {
        let mut taken = Vec::new();
        loop {
            let mut tx = db::tenant_transaction(&pool, &acme).await.unwrap();
            let refreshed = refresh_days(&mut tx, &acme, ID, 2, None, Locked::Wait)
                .await
                .unwrap();
            tx.commit().await.unwrap();
            taken.push((refreshed.days, refreshed.charges));
            if refreshed.days == 0 {
                return taken;
            }
        }
    };
    assert_eq!(refresh().await, [(2, 3), (1, 3), (0, 0)]);
    let path = format!("/v1/analytics/stripe/daily-aggregates?connection_id={ID}");
    let data = api.get(&path).await["data"].clone();
    assert_eq!(
        data,
        json!([
            {"date": "2026-03-08", "currency": "eur", "total_revenue": 500, "gross": 500, "refunded": 0, "charges": 1,
             "total_units": 1, "total_units_decimal": "1", "revenue_by_product": {"none": 500},
             "top_metadata_values": {
                 "charge.tier": [{"value": "silver", "revenue": 500, "charges": 1}],
                 "customer.plan": [{"value": "pro", "revenue": 500, "charges": 1}]}},
            {"date": "2026-03-08", "currency": "usd", "total_revenue": 900, "gross": 1000, "refunded": 100, "charges": 1,
             "total_units": 3, "total_units_decimal": "3", "revenue_by_product": {"prod_a": 630, "prod_b": 270},
             "top_metadata_values": {
                 "charge.order": [{"value": "{\"id\": 7}", "revenue": 900, "charges": 1}],
                 "charge.tier": [{"value": "gold", "revenue": 900, "charges": 1}],
                 "customer.plan": [{"value": "pro", "revenue": 900, "charges": 1}]}},
            {"date": "2026-03-10", "currency": "usd", "total_revenue": 200, "gross": 200, "refunded": 0, "charges": 1,
             "total_units": 1, "total_units_decimal": "1", "revenue_by_product": {"none": 200},
             "top_metadata_values": {"customer.plan": [{"value": "pro", "revenue": 200, "charges": 1}]}},
        ])
    );
    assert_eq!(
        api.count("SELECT charges_stored FROM stripe_daily_aggregates WHERE date = '2026-04-01'")
            .await,
        3,
        "a day without anything counted knows what is stored"
    );
    assert_eq!(api.get(&path).await["data"], data, "asked again");
    // Nothing is rewritten that did not change; a currency that went, goes.
    api.execute(
        "CREATE TABLE versions AS SELECT date, currency, xmin::TEXT AS version FROM stripe_daily_aggregates;
         DELETE FROM stripe_revenue_data WHERE charge_id = 'ch_2';
         INSERT INTO stripe_stale_days SELECT DISTINCT organization_id, connection_id, date FROM stripe_daily_aggregates",
    )
    .await;
    refresh().await;
    assert_eq!(
        api.count("SELECT COUNT(*) FROM stripe_daily_aggregates")
            .await,
        3
    );
    assert_eq!(
        api.count(
            "SELECT COUNT(*) FROM versions JOIN stripe_daily_aggregates AS a USING (date, currency) WHERE a.xmin::TEXT = version"
        )
        .await,
        3
    );
    let data: Vec<_> = data.as_array().unwrap().iter().collect();
    let left = api.get(&path).await["data"].clone();
    let left: Vec<_> = left.as_array().unwrap().iter().collect();
    assert_eq!(
        left,
        data[1..],
        "an answer that is kept is not given any more"
    );
}
