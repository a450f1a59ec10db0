//! Laws of sums over generated rows: groups add up to totals, stretches of days to the whole, and the values of
//! a metadata key are ranked.

use std::collections::{BTreeMap, BTreeSet};

use chrono::NaiveDate;
use common::db::{self, Role};
use common::tenant::OrganizationId;
use serde_json::{Value, json};
use stripe::analytics::refresh::{Locked, refresh_days};
use stripe::charge::queries;
use tests::api_only::ApiOnly;
use tests::random::Random;

const ID: &str = "acme-stripe-acct_Alpha";

#[derive(Debug)]
struct Row {
    charge: String,
    line_no: i32,
    date: NaiveDate,
    currency: &'static str,
    status: &'static str,
    gross: i64,
    refunded: i64,
    units: i64,
    customer: Option<&'static str>,
    product: Option<&'static str>,
    metadata: Value,
}

impl Row {
    fn counted(&self) -> bool {
        self.status == "succeeded"
    }
}

fn day(number: u32) -> NaiveDate {
    NaiveDate::from_ymd_opt(2026, 2, 20).expect("a day") + chrono::Days::new(number.into())
}

async fn store(api: &ApiOnly, rows: &[Row]) {
    api.connect("rk_test_full_Alpha").await;
    for row in rows {
        sqlx::query(
            "INSERT INTO stripe_revenue_data (organization_id, connection_id, charge_id, line_no, created_at, date,
                 currency, status, captured, livemode, charge_amount, amount, gross, refunded, units, customer_id,
                 product_id, price_id, disputed, charge_metadata, product_metadata, price_metadata,
                 customer_metadata)
             VALUES ('acme', $1, $2, $3, $4::DATE + TIME '10:00' AT TIME ZONE 'UTC', $4, $5, $6, TRUE, FALSE, $7,
                 $7, $7, $8, $9, $10, $11, replace($11, 'prod', 'price'), FALSE, $12, '{}', '{}', '{}')",
        )
        .bind(ID)
        .bind(&row.charge)
        .bind(row.line_no)
        .bind(row.date)
        .bind(row.currency)
        .bind(row.status)
        .bind(row.gross)
        .bind(row.refunded)
        .bind(row.units)
        .bind(row.customer)
        .bind(row.product)
        .bind(&row.metadata)
        .execute(api.database.admin())
        .await
        .expect("the row is stored");
    }
    api.execute(
        "INSERT INTO stripe_stale_days SELECT DISTINCT organization_id, connection_id, date FROM stripe_revenue_data",
    )
    .await;
}

fn drawn_rows(draws: &mut Random) -> Vec<Row> {
    let mut rows = Vec::new();
    for number in 0..120 {
        let date = day(draws.below(40) as u32);
        let currency = draws.pick(&["usd", "eur", "jpy"]);
        let status = draws.pick(&["succeeded", "succeeded", "succeeded", "failed"]);
        let customer = *draws.pick(&[None, Some("cus_1"), Some("cus_2")]);
        let tier = *draws.pick(&[None, Some("gold"), Some("free")]);
        for line_no in 0..=draws.below(4) as i32 {
            let gross = draws.below(100_000) as i64 - 2_000;
            rows.push(Row {
                charge: format!("ch_{number}"),
                line_no,
                date,
                currency,
                status,
                gross,
                refunded: draws.below(gross.max(1) as usize) as i64,
                units: draws.below(5) as i64,
                customer,
                product: *draws.pick(&[None, Some("prod_1"), Some("prod_2"), Some("prod_3")]),
                metadata: tier.map_or_else(|| json!({}), |tier| json!({"tier": tier})),
            });
        }
    }
    rows
}

/// Charges, units, gross, refunded and net by currency.
type Sums = BTreeMap<String, [i64; 5]>;

fn sums_of_rows(rows: &[Row], days: &std::ops::RangeInclusive<NaiveDate>) -> Sums {
    let mut charges: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let mut sums = Sums::new();
    for row in rows {
        if !row.counted() || !days.contains(&row.date) {
            continue;
        }
        charges.entry(row.currency).or_default().insert(&row.charge);
        let sum = sums.entry(row.currency.to_owned()).or_default();
        let net = row.gross - row.refunded;
        for (place, more) in [0, row.units, row.gross, row.refunded, net]
            .into_iter()
            .enumerate()
        {
            sum[place] += more;
        }
        sum[0] = charges[row.currency].len() as i64;
    }
    sums
}

fn sums_of_answer(groups: &Value) -> Sums {
    let mut sums = Sums::new();
    for group in groups.as_array().expect("a list") {
        let currency = group["currency"].as_str().expect("a text").to_owned();
        let sum = sums.entry(currency).or_default();
        for (place, name) in ["charges", "units", "gross", "refunded", "net"]
            .into_iter()
            .enumerate()
        {
            sum[place] += group[name].as_i64().expect("a number");
        }
    }
    sums
}

#[tokio::test]
async fn groups_of_generated_rows_sum_to_the_totals_for_any_stretch_of_days() {
    let mut draws = Random::of_variable("SUMS_SEED", 17);
    for _ in 0..3 {
        let api = ApiOnly::start().await;
        let rows = drawn_rows(&mut draws);
        store(&api, &rows).await;
        let ends = [draws.below(40) as u32, draws.below(40) as u32];
        let some = day(ends[0].min(ends[1]))..=day(ends[0].max(ends[1]));
        for days in [day(0)..=day(40), some] {
            let expected = sums_of_rows(&rows, &days);
            for (by, whole_charges) in [
                ("day", true),
                ("week", true),
                ("month", true),
                ("currency", true),
                ("customer", true),
                ("metadata:charge.tier", true),
                ("product", false),
                ("price", false),
            ] {
                let path = format!(
                    "/v1/analytics/stripe?connection_id={ID}&group_by={by}&limit=1000&date_from={}&date_to={}",
                    days.start(),
                    days.end()
                );
                let report = api.get(&path).await;
                assert_eq!(sums_of_answer(&report["totals"]), expected, "{by} {days:?}");
                let mut groups = sums_of_answer(&report["groups"]);
                if !whole_charges {
                    for (currency, sums) in &mut groups {
                        assert!(sums[0] >= expected[currency][0], "in each of its groups");
                        sums[0] = expected[currency][0];
                    }
                }
                assert_eq!(groups, expected, "{by} {days:?}");
                for group in report["groups"].as_array().unwrap() {
                    assert!(group["charges"].as_i64().unwrap() > 0, "nothing is empty");
                }
            }
        }
    }
}

#[tokio::test]
async fn a_day_being_changed_is_not_aggregated_early() {
    let api = ApiOnly::start().await;
    let row = |gross: i64| Row {
        charge: "ch_1".to_owned(),
        line_no: 0,
        date: day(0),
        currency: "usd",
        status: "succeeded",
        gross,
        refunded: 0,
        units: 1,
        customer: None,
        product: None,
        metadata: json!({}),
    };
    // The day is stale from here on, and noted as such.
    store(&api, &[row(100)]).await;
    let acme = OrganizationId::new("acme").unwrap();
    let pool = api.database.pool(Role::Consumer);
    let mut writer = db::tenant_transaction(&pool, &acme).await.unwrap();
    queries::mark_stale(&mut writer, &acme, ID, &[day(0), day(0)])
        .await
        .unwrap();
    let mut adder = db::tenant_transaction(&pool, &acme).await.unwrap();
    let refreshed = refresh_days(&mut adder, &acme, ID, 10, None, Locked::Skip)
        .await
        .unwrap();
    assert_eq!(
        refreshed.days, 0,
        "what the writer changes cannot be seen yet"
    );
    adder.commit().await.unwrap();
    writer.commit().await.unwrap();
    let mut adder = db::tenant_transaction(&pool, &acme).await.unwrap();
    let refreshed = refresh_days(&mut adder, &acme, ID, 10, None, Locked::Skip)
        .await
        .unwrap();
    assert_eq!(refreshed.days, 1);
    adder.commit().await.unwrap();
}

#[tokio::test]
async fn top_values_are_the_ten_highest_net_values() {
    let api = ApiOnly::start().await;
    let rows: Vec<Row> = (1..=1_001)
        .map(|number| Row {
            charge: format!("ch_{number}"),
            line_no: 0,
            date: day(0),
            currency: "usd",
            status: "succeeded",
            gross: number,
            refunded: 0,
            units: 1,
            customer: None,
            product: None,
            metadata: json!({
                "id": number.to_string(),
                "cart": (number % 1_000).to_string(),
                "shelf": (number % 12).to_string(),
            }),
        })
        .collect();
    store(&api, &rows).await;
    let acme = OrganizationId::new("acme").unwrap();
    let pool = api.database.pool(Role::Consumer);
    let mut tx = db::tenant_transaction(&pool, &acme).await.unwrap();
    let refreshed = refresh_days(&mut tx, &acme, ID, 10, None, Locked::Wait)
        .await
        .unwrap();
    assert_eq!((refreshed.days, refreshed.charges), (1, 1_001));
    tx.commit().await.unwrap();
    let path = format!("/v1/analytics/stripe/daily-aggregates?connection_id={ID}");
    let data = api.get(&path).await["data"].clone();
    let top = data[0]["top_metadata_values"].as_object().unwrap();
    let keys: Vec<&str> = top.keys().map(String::as_str).collect();
    assert_eq!(keys, ["charge.cart", "charge.shelf"], "an id is no slice");
    assert_eq!(
        top["charge.cart"][0],
        json!({"value": "1", "revenue": 1_002, "charges": 2})
    );
    let mut shelves: Vec<(i64, String, i64)> = (0..12)
        .map(|shelf| {
            let of_shelf = (1..=1_001).filter(|number| number % 12 == shelf);
            (
                of_shelf.clone().sum(),
                shelf.to_string(),
                of_shelf.count() as i64,
            )
        })
        .collect();
    shelves.sort_by(|one, other| (-one.0, &one.1).cmp(&(-other.0, &other.1)));
    let expected: Vec<Value> = shelves
        .iter()
        .take(10)
        .map(|(revenue, value, charges)| json!({"value": value, "revenue": revenue, "charges": charges}))
        .collect();
    assert_eq!(top["charge.shelf"], Value::from(expected));
}
