//! Figures from stored daily rollups are those of the rows: for every value of every key, while days are fresh,
//! stale, or both, and for keys that have no rollups.
//!
//! The expectation is worked out by SQL of this file over the rows alone.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use common::db::{self, Role};
use common::tenant::OrganizationId;
use serde_json::{Map, Value, json};
use sqlx::AssertSqlSafe;
use stripe::analytics::refresh::{Locked, refresh_days};
use tests::api_only::ApiOnly;
use tests::random::Random;

const ID: &str = "acme-stripe-acct_Alpha";
const SOURCES: [&str; 4] = ["charge", "product", "price", "customer"];
const DAYS: usize = 20;

fn day(number: usize) -> NaiveDate {
    NaiveDate::from_ymd_opt(2026, 2, 20).expect("a day") + chrono::Days::new(number as u64)
}

/// Values that are easily taken for something else.
fn odd_values() -> Vec<Value> {
    vec![
        json!("gold"),
        json!("Gold"),
        json!(""),
        json!(" gold "),
        json!("1"),
        json!("1.0"),
        json!("1e0"),
        json!("true"),
        json!("null"),
        json!(r#"{"a": 1}"#),
        json!(r#"{"a":1}"#),
        json!("żółć 😀"),
        json!("quote\" back\\slash\nline"),
        json!("x".repeat(500)),
        json!("長".repeat(500)),
        json!(1),
        json!(true),
        Value::Null,
        json!({"a": [1, null]}),
    ]
}

fn drawn_metadata(draws: &mut Random, odd: &[Value]) -> Value {
    let mut metadata = Map::new();
    for key in ["tier", "a.b", "Key with spaces", "$x"] {
        if draws.below(3) > 0 {
            metadata.insert(key.to_owned(), draws.pick(odd).clone());
        }
    }
    Value::Object(metadata)
}

/// Stores charges of one to three lines that differ in product and price.
async fn store(api: &ApiOnly, draws: &mut Random, charges: usize) {
    let odd = odd_values();
    let objects: Vec<Value> = (0..6).map(|_| drawn_metadata(draws, &odd)).collect();
    for number in 0..charges {
        let date = day(draws.below(DAYS));
        let currency = *draws.pick(&["usd", "usd", "eur", "jpy"]);
        let status = *draws.pick(&["succeeded", "succeeded", "succeeded", "failed"]);
        let excluded = draws.below(6) == 0;
        let customer = draws.below(objects.len());
        let mut metadata = drawn_metadata(draws, &odd);
        metadata["order"] = json!(format!("ord_{number}"));
        // On some days only, so that a dotted path is answered from sums on the others.
        if date < day(DAYS / 3) && draws.below(3) == 0 {
            metadata["a"] = json!(*draws.pick(&["gold", r#"{"b": "gold"}"#, r#"{"b": "deep"}"#]));
        }
        for line_no in 0..=draws.below(3) as i32 {
            let product = draws.below(objects.len());
            let gross = draws.below(10_000) as i64 - 200;
            sqlx::query(
                "INSERT INTO stripe_revenue_data (organization_id, connection_id, charge_id, line_no, created_at,
                     date, currency, status, captured, livemode, charge_amount, amount, gross, refunded, units,
                     customer_id, product_id, price_id, disputed, charge_metadata, product_metadata,
                     price_metadata, customer_metadata, excluded_by)
                 VALUES ('acme', $1, $2, $3, $4::DATE + TIME '10:00' AT TIME ZONE 'UTC', $4, $5, $6, TRUE, FALSE, $7,
                     $7, $7, $8, $9, $10, $11, $11, FALSE, $12, $13, $14, $15,
                     CASE WHEN $16 THEN '019ab000-0000-7000-8000-000000000001'::UUID END)",
            )
            .bind(ID)
            .bind(format!("ch_{number}"))
            .bind(line_no)
            .bind(date)
            .bind(currency)
            .bind(status)
            .bind(gross)
            .bind(draws.below(100) as i64)
            .bind(draws.below(4) as i64)
            .bind(format!("cus_{customer}"))
            .bind(format!("prod_{product}"))
            .bind(&metadata)
            .bind(&objects[product])
            .bind(&objects[(product + 1) % objects.len()])
            .bind(&objects[customer])
            .bind(excluded)
            .execute(api.database.admin())
            .await
            .expect("the row is stored");
        }
    }
}

async fn mark_stale(api: &ApiOnly, condition: &str) {
    let sql = format!(
        "INSERT INTO stripe_stale_days SELECT DISTINCT organization_id, connection_id, date
         FROM stripe_revenue_data WHERE {condition} ON CONFLICT DO NOTHING"
    );
    sqlx::query(AssertSqlSafe(sql))
        .execute(api.database.admin())
        .await
        .expect("days are marked");
}

async fn refresh(api: &ApiOnly) {
    let pool = api.database.pool(Role::Consumer);
    let acme = OrganizationId::new("acme").unwrap();
    loop {
        let mut tx = db::tenant_transaction(&pool, &acme).await.unwrap();
        let refreshed = refresh_days(&mut tx, &acme, ID, 7, None, Locked::Wait)
            .await
            .unwrap();
        tx.commit().await.unwrap();
        if refreshed.days == 0 {
            return;
        }
    }
}

type Figures = BTreeMap<(Option<String>, String), [i64; 5]>;

/// The counted rows that a condition selects, in groups, by SQL.
async fn rows_say(api: &ApiOnly, key: &str, condition: &str, value: &str) -> Figures {
    let sql = format!(
        "SELECT {key}, currency, COUNT(DISTINCT charge_id), SUM(units)::BIGINT, SUM(gross)::BIGINT,
                SUM(refunded)::BIGINT
         FROM stripe_revenue_data WHERE counted AND {condition} AND ($1 <> '-' OR TRUE) GROUP BY 1, 2"
    );
    let rows: Vec<(Option<String>, String, i64, i64, i64, i64)> =
        sqlx::query_as(AssertSqlSafe(sql))
            .bind(value)
            .fetch_all(api.database.admin())
            .await
            .expect("the rows are read");
    rows.into_iter()
        .map(|(key, currency, charges, units, gross, refunded)| {
            let figures = [charges, units, gross, refunded, gross - refunded];
            ((key, currency), figures)
        })
        .collect()
}

fn reported(groups: &Value) -> Figures {
    let mut reported = Figures::new();
    for group in groups.as_array().expect("a list") {
        let key = group["key"].as_str().map(str::to_owned);
        let currency = group["currency"].as_str().expect("a text").to_owned();
        let figures = ["charges", "units", "gross", "refunded", "net"]
            .map(|name| group[name].as_i64().expect("a number"));
        assert!(
            reported.insert((key, currency), figures).is_none(),
            "{group}"
        );
    }
    reported
}

fn query(parameters: &[(&str, &str)]) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query
        .append_pair("connection_id", ID)
        .append_pair("limit", "1000");
    query.extend_pairs(parameters);
    format!("/v1/analytics/stripe?{}", query.finish())
}

/// Values of all keys that a source has, as text, `most` of them, drawn from all.
async fn values(api: &ApiOnly, source: &str, most: i64) -> Vec<(String, String)> {
    let sql = format!(
        "SELECT key, value FROM stripe_revenue_data, jsonb_each_text({source}_metadata)
         WHERE value IS NOT NULL AND length(value) <= 500 GROUP BY key, value
         ORDER BY md5(key || value) LIMIT {most}"
    );
    sqlx::query_as(AssertSqlSafe(sql))
        .fetch_all(api.database.admin())
        .await
        .expect("the values are read")
}

const PERIODS: [(&str, &str); 5] = [
    ("", "NULL::TEXT"),
    ("day", "to_char(date, 'YYYY-MM-DD')"),
    (
        "week",
        "to_char(date_trunc('week', date::TIMESTAMP), 'YYYY-MM-DD')",
    ),
    ("month", "to_char(date, 'YYYY-MM')"),
    ("currency", "currency"),
];

/// What a key of a source finds, by SQL.
fn text_of(source: &str, key: &str) -> String {
    let metadata = format!("{source}_metadata");
    if key == "a.b" {
        return format!(
            "CASE WHEN {metadata} ? 'a.b' THEN {metadata} ->> 'a.b'
                  WHEN {metadata} ? 'a' THEN metadata_text(metadata_parse_json({metadata} -> 'a') -> 'b') END"
        );
    }
    format!("{metadata} ->> '{key}'")
}

/// Compares every answer that stored sums may give with the rows.
async fn assert_the_rows_agree(api: &ApiOnly, state: &str) {
    let (from, to) = (day(3).to_string(), day(DAYS - 4).to_string());
    let within = format!("date BETWEEN '{from}' AND '{to}'");
    for (range, dates) in [
        (vec![], "TRUE"),
        (vec![("date_from", &*from), ("date_to", &*to)], &*within),
    ] {
        for (by, key) in PERIODS {
            let mut parameters = range.clone();
            if !by.is_empty() {
                parameters.push(("group_by", by));
            }
            let answer = api.get(&query(&parameters)).await;
            assert_agrees(api, &answer, (by, key), dates, "", state).await;
        }
        for source in SOURCES {
            for key in ["tier", "Key with spaces", "order", "a.b", "nowhere"] {
                let by = format!("metadata:{source}.{key}");
                let mut parameters = range.clone();
                parameters.push(("group_by", &by));
                let answer = api.get(&query(&parameters)).await;
                let key = text_of(source, key);
                assert_agrees(api, &answer, (&by, &key), dates, "", state).await;
            }
            let mut asked = values(api, source, 60).await;
            asked.push(("a.b".to_owned(), "deep".to_owned()));
            for (key, value) in asked {
                if key.starts_with('$') {
                    continue;
                }
                let (by, expression) = PERIODS[value.len() % PERIODS.len()];
                let name = format!("metadata.{source}.{key}");
                let mut parameters = range.clone();
                parameters.push((&name, &value));
                if !by.is_empty() {
                    parameters.push(("group_by", by));
                }
                let answer = api.get(&query(&parameters)).await;
                let condition = format!("{dates} AND {} = $1", text_of(source, &key));
                assert_agrees(api, &answer, (by, expression), &condition, &value, state).await;
            }
        }
    }
}

async fn assert_agrees(
    api: &ApiOnly,
    answer: &Value,
    (by, key): (&str, &str),
    condition: &str,
    value: &str,
    state: &str,
) {
    let totals = rows_say(api, "NULL::TEXT", condition, value).await;
    let what = format!("{state}: {by} where {condition}, {value:?}");
    assert_eq!(reported(&answer["totals"]), totals, "totals, {what}");
    if !by.is_empty() {
        let groups = rows_say(api, key, condition, value).await;
        assert_eq!(reported(&answer["groups"]), groups, "groups, {what}");
    }
}

#[tokio::test]
async fn rollups_and_rows_agree_for_stale_and_fresh_days() {
    let mut draws = Random::of_variable("STORED_SUMS_SEED", 23);
    let api = ApiOnly::start().await;
    api.connect("rk_test_full_Alpha").await;
    store(&api, &mut draws, 300).await;
    mark_stale(&api, "TRUE").await;
    assert_the_rows_agree(&api, "all stale").await;
    refresh(&api).await;
    assert_the_rows_agree(&api, "all fresh").await;
    // As a sync in its middle: some days' rows have changed, and are stale.
    let change = "hashtext(charge_id) % 3 = 0 AND date < '2026-03-02'";
    mark_stale(&api, change).await;
    let sql = format!(
        "UPDATE stripe_revenue_data SET gross = gross + 7, charge_metadata = charge_metadata || '{{\"tier\": \"new\"}}'
         WHERE {change}"
    );
    sqlx::query(AssertSqlSafe(sql))
        .execute(api.database.admin())
        .await
        .unwrap();
    assert_the_rows_agree(&api, "some stale").await;
    refresh(&api).await;
    assert_the_rows_agree(&api, "fresh again").await;
}

#[tokio::test]
async fn high_cardinality_keys_are_read_from_rows() {
    let api = ApiOnly::start().await;
    api.connect("rk_test_full_Alpha").await;
    // On one day 1,001 carts in pairs of charges, and an id each; on another few of all.
    api.execute(
        "INSERT INTO stripe_revenue_data (organization_id, connection_id, charge_id, line_no, created_at, date, currency,
             status, captured, livemode, charge_amount, amount, gross, refunded, units, disputed, charge_metadata,
             product_metadata, price_metadata, customer_metadata)
         SELECT 'acme', 'acme-stripe-acct_Alpha', 'ch_' || n, 0, d + TIME '10:00' AT TIME ZONE 'UTC', d, 'usd', 'succeeded',
             TRUE, FALSE, n, n, n, 0, 1, FALSE,
             jsonb_build_object('id', n::TEXT, 'cart', (n % 1001)::TEXT, 'shelf.no', (n % 7)::TEXT)
                 || CASE WHEN n % 2 = 0 THEN jsonb_build_object('box', format('{\"no\": \"%s\"}', n))
                         ELSE jsonb_build_object('box.no', (n % 7)::TEXT) END,
             '{}', '{}', '{}'
         FROM (SELECT n, DATE '2026-02-20' + (n > 2002)::INT AS d FROM generate_series(1, 2020) AS n) AS charge",
    )
    .await;
    mark_stale(&api, "TRUE").await;
    refresh(&api).await;
    assert_eq!(
        api.count("SELECT COUNT(*) FROM stripe_daily_aggregates WHERE date = '2026-02-20' AND high_cardinality_keys = '{charge.box,charge.cart,charge.id}'").await,
        1
    );
    assert_eq!(
        api.count("SELECT SUM(cardinality(value_hashes)) FROM stripe_omitted_value_hashes WHERE date = '2026-02-20'").await,
        1_001 + 1_001 + 2_002
    );
    assert_eq!(
        api.count(
            "SELECT COUNT(DISTINCT key_path) FROM stripe_daily_rollups WHERE date = '2026-02-20'"
        )
        .await,
        2
    );
    for (key, value) in [
        ("id", "7"),
        ("id", "2010"),
        ("cart", "3"),
        ("cart", "5"),
        ("shelf.no", "5"),
    ] {
        let name = format!("metadata.charge.{key}");
        let answer = api
            .get(&query(&[(&name, value), ("group_by", "day")]))
            .await;
        let condition = format!("charge_metadata ->> '{key}' = $1");
        let by = ("day", "to_char(date, 'YYYY-MM-DD')");
        assert_agrees(&api, &answer, by, &condition, value, key).await;
    }
    // A dotted path may lead into the value of a key that is left out.
    let answer = api.get(&query(&[("metadata.charge.box.no", "4")])).await;
    let condition =
        "COALESCE(charge_metadata ->> 'box.no', (charge_metadata ->> 'box')::JSONB ->> 'no') = $1";
    let whole = ("", "NULL::TEXT");
    assert_agrees(&api, &answer, whole, condition, "4", "into a value").await;
    let of_keys = rows_say(&api, "NULL::TEXT", "charge_metadata ->> 'box.no' = $1", "4").await;
    assert_ne!(reported(&answer["totals"]), of_keys, "both ways are taken");
    // Days without the value are not read: what is changed behind the back of their hashes is not noticed.
    api.execute(
        "UPDATE stripe_revenue_data SET charge_metadata = '{\"id\": \"2010\"}' WHERE charge_id = 'ch_9'",
    )
    .await;
    let answer = api.get(&query(&[("metadata.charge.id", "2010")])).await;
    assert_eq!(answer["totals"][0]["charges"], 1);
    // Days of before there were hashes are.
    api.execute("DELETE FROM stripe_omitted_value_hashes").await;
    let answer = api.get(&query(&[("metadata.charge.id", "2010")])).await;
    assert_eq!(answer["totals"][0]["charges"], 2);
    // And that fresh days of kept keys are not read from rows, though the path has a dot: a change that only the
    // rollups have is returned.
    api.execute("UPDATE stripe_daily_rollups SET gross = gross + 1000000 WHERE date = '2026-02-20' AND value = '5'")
        .await;
    let answer = api.get(&query(&[("metadata.charge.shelf.no", "5")])).await;
    let of_rows = rows_say(
        &api,
        "NULL::TEXT",
        "charge_metadata ->> 'shelf.no' = '5'",
        "",
    )
    .await;
    let [[_, _, gross, _, _]] = of_rows.into_values().collect::<Vec<_>>()[..] else {
        panic!("one currency")
    };
    assert_eq!(answer["totals"][0]["gross"], gross + 1_000_000);
}
