//! Stored rules applied to stored rows: re-application, previews, and the catalogue of metadata keys.

use std::collections::BTreeSet;

use chrono::{DateTime, NaiveDate, TimeZone as _, Utc};
use common::catalogue::{self, Catalogue, ObjectType};
use common::filter::{self, Action, CompiledPredicate, Predicate, Rule, RuleSet};
use common::rule::queries;
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};
use stripe::metadata;
use stripe::rule::queries::{DayDecision, day_ranges, preview, refilter};
use tests::database::TestDatabase;
use uuid::Uuid;

const ORGANIZATION: &str = "acme";
const CONNECTION: &str = "acme-stripe-acct_1";

fn at(day: u32) -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 3, day, 12, 0, 0)
        .single()
        .expect("the day is in March")
}

fn date(day: u32) -> NaiveDate {
    at(day).date_naive()
}

fn predicate(source: &str, key: &str, operator: &str, value: &Value) -> Predicate {
    Predicate::parse(
        &json!({"conditions": [{"type": "metadata", "metadata_source": source,
        "metadata_key": key, "operator": operator, "value": value}]}),
    )
    .expect("the condition is right")
}

fn rule(id: u128, action: Action, predicate: Predicate) -> Rule {
    Rule {
        filter_id: Uuid::from_u128(id),
        name: format!("rule {id}"),
        action,
        operator: predicate.operator,
        conditions: predicate.conditions,
        active: true,
        created_at: at(1),
    }
}

struct Line {
    charge: &'static str,
    number: i32,
    day: u32,
    status: &'static str,
    net: i64,
    metadata: Value,
    product: Option<(&'static str, Value)>,
}

async fn store(conn: &mut PgConnection, line: &Line) {
    let (product_id, product_metadata) = match &line.product {
        Some((id, metadata)) => (Some(*id), metadata.clone()),
        None => (None, json!({})),
    };
    sqlx::query(
        "INSERT INTO stripe_revenue_data (organization_id, connection_id, charge_id, line_no, created_at,
             date, currency, status, captured, livemode, charge_amount, amount, gross, refunded, units,
             product_id, disputed, charge_metadata, product_metadata, price_metadata, customer_metadata)
         VALUES ($1, $2, $3, $4, $5, $6, 'usd', $7, TRUE, TRUE, $8, $8, $8, 0, 1, $9, FALSE, $10, $11, '{}', '{}')",
    )
    .bind(ORGANIZATION)
    .bind(CONNECTION)
    .bind(line.charge)
    .bind(line.number)
    .bind(at(line.day))
    .bind(date(line.day))
    .bind(line.status)
    .bind(line.net)
    .bind(product_id)
    .bind(&line.metadata)
    .bind(product_metadata)
    .execute(conn)
    .await
    .expect("the row is stored");
}

fn lines() -> Vec<Line> {
    let line = |charge, number, day, status, net, metadata, product| Line {
        charge,
        number,
        day,
        status,
        net,
        metadata,
        product,
    };
    vec![
        line(
            "ch_1",
            0,
            1,
            "succeeded",
            100,
            json!({"tier": "gold"}),
            Some(("p_pro", json!({"line": "pro"}))),
        ),
        line(
            "ch_1",
            1,
            1,
            "succeeded",
            20,
            json!({"tier": "gold"}),
            Some(("p_add", json!({"line": "addon"}))),
        ),
        line(
            "ch_2",
            0,
            2,
            "succeeded",
            50,
            json!({"tier": "free", "cart": r#"{"n": 3}"#}),
            None,
        ),
        line("ch_3", 0, 3, "failed", 0, json!({"tier": "gold"}), None),
        line(
            "ch_4",
            0,
            4,
            "succeeded",
            7,
            json!({}),
            Some(("p_pro", json!({"line": "pro"}))),
        ),
    ]
}

async fn database() -> (TestDatabase, PgConnection) {
    let database = TestDatabase::create().await;
    let mut conn = database
        .admin()
        .acquire()
        .await
        .expect("the database answers")
        .detach();
    for line in lines() {
        store(&mut conn, &line).await;
    }
    (database, conn)
}

async fn excluded(conn: &mut PgConnection) -> Vec<(String, i32, u128)> {
    let rows: Vec<(String, i32, Uuid)> = sqlx::query_as(
        "SELECT charge_id, line_no, excluded_by FROM stripe_revenue_data
         WHERE excluded_by IS NOT NULL ORDER BY charge_id, line_no",
    )
    .fetch_all(conn)
    .await
    .expect("the rows are read");
    rows.into_iter()
        .map(|(charge, line, filter_id)| (charge, line, filter_id.as_u128()))
        .collect()
}

/// Applies rules to all rows as a job does, a day or so at a time; the days whose rows changed.
async fn apply(conn: &mut PgConnection, rules: &RuleSet) -> Vec<NaiveDate> {
    let mut changed = Vec::new();
    let all = day_ranges(conn, ORGANIZATION, CONNECTION, 2)
        .await
        .expect("the days are counted");
    assert!(all.len() > 1, "{all:?}");
    for days in all {
        let decisions = refilter(conn, ORGANIZATION, CONNECTION, rules, days).await;
        changed.extend(DayDecision::days(&decisions.expect("it is applied")));
    }
    changed
}

#[tokio::test]
async fn rules_keep_or_exclude_stored_charges_whole() {
    let (_database, mut conn) = database().await;
    let addon = predicate("product", "line", "equals", &json!("addon"));
    let gold = predicate("charge", "tier", "equals", &json!("gold"));
    let owned = |charge: &str, line, id| (charge.to_owned(), line, id);

    let rules =
        RuleSet::new(&[rule(1, Action::Exclude, addon.clone())]).expect("the rules compile");
    let days = apply(&mut conn, &rules).await;
    assert_eq!(days, [date(1)]);
    assert_eq!(
        excluded(&mut conn).await,
        [owned("ch_1", 0, 1), owned("ch_1", 1, 1)]
    );
    let days = apply(&mut conn, &rules).await;
    assert!(days.is_empty(), "nothing changed, so nothing was written");

    let rules = [
        rule(2, Action::Include, gold),
        rule(3, Action::Include, addon),
    ];
    let rules = RuleSet::new(&rules).expect("the rules compile");
    let days = apply(&mut conn, &rules).await;
    assert_eq!(days, [date(1), date(2), date(4)]);
    assert_eq!(
        excluded(&mut conn).await,
        [owned("ch_2", 0, 2), owned("ch_4", 0, 2)]
    );

    let days = apply(&mut conn, &RuleSet::default()).await;
    assert_eq!(days, [date(2), date(4)]);
    assert!(excluded(&mut conn).await.is_empty());
}

#[tokio::test]
async fn a_preview_ignores_the_other_rules() {
    let (_database, mut conn) = database().await;
    let all = predicate("charge", "tier", "exists", &Value::Null);
    let rules = RuleSet::new(&[rule(1, Action::Exclude, all)]).expect("the rules compile");
    apply(&mut conn, &rules).await;

    let pro = CompiledPredicate::new(&predicate("product", "line", "equals", &json!("pro")))
        .expect("the predicate compiles");
    let found = preview(&mut conn, ORGANIZATION, CONNECTION, &pro)
        .await
        .expect("it is previewed");
    assert_eq!((found.matched_charges, found.total_charges), (2, 3));
    assert_eq!(
        found.matched_revenue.into_iter().collect::<Vec<_>>(),
        [("usd".to_owned(), 127)]
    );
    let sample =
        [("ch_4", 0), ("ch_1", 0), ("ch_1", 1)].map(|(charge, line)| (charge.to_owned(), line));
    assert_eq!(found.sample, sample);

    let none = CompiledPredicate::new(&predicate("charge", "cart.n", "gt", &json!(3)))
        .expect("the predicate compiles");
    let found = preview(&mut conn, ORGANIZATION, CONNECTION, &none)
        .await
        .expect("it is previewed");
    assert_eq!((found.matched_charges, found.total_charges), (0, 3));
    assert!(found.matched_revenue.is_empty() && found.sample.is_empty());
}

#[tokio::test]
async fn postgres_is_asked_about_patterns_inside_a_transaction() {
    let (_database, mut conn) = database().await;
    let mut transaction = conn.begin().await.expect("a transaction begins");
    for (key, operator, value) in [
        ("tier", "regex", json!(r"(?i)^\bgold\b$")),
        ("$[?search(@, '[a-z]+')]", "exists", Value::Null),
    ] {
        let predicate = CompiledPredicate::new(&predicate("charge", key, operator, &value))
            .expect("the predicate compiles");
        let answer = filter::verify(&mut transaction, &predicate).await;
        assert_eq!(answer.expect("PostgreSQL answers"), Ok(()));
    }
    let one: i32 = sqlx::query_scalar("SELECT 1")
        .fetch_one(&mut *transaction)
        .await
        .expect("it goes on");
    assert_eq!(one, 1);
}

#[tokio::test]
async fn rules_are_stored_as_they_were_written() {
    let (_database, mut conn) = database().await;
    for statement in [
        "INSERT INTO organizations VALUES ('acme', 'Acme', now())",
        "INSERT INTO platform_connections (organization_id, connection_id, connector, external_account_id,
             livemode, timezone, lookback_days, created_at, next_sync_at, scheduled_job_type)
         VALUES ('acme', 'acme-stripe-acct_1', 'stripe', 'acct_1', TRUE, 'UTC', 30, now(), now(), 'full')",
    ] {
        sqlx::query(statement).execute(&mut conn).await.expect("the row is stored");
    }
    let mut stored = rule(
        7,
        Action::Include,
        predicate("price", "$.a[?@ > 1]", "in", &json!(["x", 1.5, true])),
    );
    queries::insert(&mut conn, ORGANIZATION, CONNECTION, &stored)
        .await
        .expect("it is stored");
    let listed = queries::list(&mut conn, ORGANIZATION, CONNECTION)
        .await
        .expect("they are listed");
    assert_eq!(listed, [stored.clone()]);
    assert_eq!(
        queries::count(&mut conn, ORGANIZATION, CONNECTION)
            .await
            .expect("they are counted"),
        1
    );

    stored.active = false;
    let changed = queries::update(&mut conn, ORGANIZATION, CONNECTION, &stored, at(9)).await;
    assert!(changed.expect("it is changed"));
    let rules = queries::active(&mut conn, ORGANIZATION, CONNECTION)
        .await
        .expect("they compile");
    assert!(rules.is_empty());
    let got = queries::get(&mut conn, ORGANIZATION, CONNECTION, stored.filter_id).await;
    assert_eq!(got.expect("it is read"), Some(stored.clone()));
    let deleted = queries::delete(&mut conn, ORGANIZATION, CONNECTION, stored.filter_id).await;
    assert!(deleted.expect("it is removed"));
    let deleted = queries::delete(&mut conn, ORGANIZATION, CONNECTION, stored.filter_id).await;
    assert!(!deleted.expect("it was removed"));
}

async fn shown(conn: &mut PgConnection) -> Vec<String> {
    metadata::queries::discover(conn, ORGANIZATION, CONNECTION, None, None, 100)
        .await
        .expect("the keys are listed")
        .into_iter()
        .map(|metadata::queries::DiscoveredKey { key, coverage }| {
            let samples: Vec<String> = key.entry.samples.into_iter().collect();
            format!(
                "{} {} {} {} {:.2} {}",
                key.object_type.as_str(),
                key.key_path,
                key.entry.value_type.as_str(),
                key.entry.occurrences,
                coverage,
                samples.join("|")
            )
        })
        .collect()
}

#[tokio::test]
async fn an_incremental_catalogue_equals_a_rebuilt_one() {
    let (_database, mut conn) = database().await;
    for line in lines().iter().filter(|line| line.number == 0) {
        let mut found = Catalogue::default();
        let metadata = line.metadata.as_object().expect("metadata is an object");
        found.add(ObjectType::Charge, metadata, at(line.day));
        let merged = catalogue::queries::merge(&mut conn, ORGANIZATION, CONNECTION, &found).await;
        merged.expect("the keys are merged");
    }
    let pieces = shown(&mut conn).await;
    metadata::queries::rebuild(
        &mut conn,
        ORGANIZATION,
        CONNECTION,
        &BTreeSet::from(ObjectType::ALL),
    )
    .await
    .expect("it is rebuilt");
    let rebuilt = shown(&mut conn).await;
    assert_eq!(
        rebuilt,
        [
            r#"charge cart json 1 0.25 {"n": 3}"#,
            "charge cart.n number 1 0.25 3",
            "charge tier string 3 0.75 free|gold",
            "product line string 2 1.00 addon|pro",
        ]
    );
    assert_eq!(pieces[..], rebuilt[..3]);

    sqlx::query("UPDATE stripe_revenue_data SET charge_metadata = '{\"tier\": \"5\"}'")
        .execute(&mut conn)
        .await
        .expect("the rows change");
    metadata::queries::rebuild(
        &mut conn,
        ORGANIZATION,
        CONNECTION,
        &BTreeSet::from(ObjectType::ALL),
    )
    .await
    .expect("it is rebuilt");
    assert_eq!(
        shown(&mut conn).await,
        [
            "charge tier number 4 1.00 5",
            "product line string 2 1.00 addon|pro"
        ]
    );
    let after = Some((ObjectType::Charge, "tier"));
    let rest =
        metadata::queries::discover(&mut conn, ORGANIZATION, CONNECTION, None, after, 100).await;
    assert_eq!(rest.expect("the keys are listed").len(), 1);
}
