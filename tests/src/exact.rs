//! The comparison of every figure with the simulator's truth: rows, groups, aggregates, catalogue, state.
//!
//! The truth tells rows; what they add up to is worked out here, by other code than the engine's.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use stripe_sim::{TruthQuery, TruthRow};

use crate::world::World;

/// Charges, units, gross, refunded, net, what disputes took and cost; and the units exactly.
type Figures = ([i64; 7], String);

const NUMBERS: [&str; 7] = [
    "charges",
    "units",
    "gross",
    "refunded",
    "net",
    "disputed_amount",
    "dispute_fee",
];

/// Asserts that two tables are the same, and shows no more than where they differ.
fn assert_same<K: Ord + Debug, V: PartialEq + Debug>(
    what: &str,
    found: &BTreeMap<K, V>,
    truth: &BTreeMap<K, V>,
) {
    let keys: BTreeSet<&K> = found.keys().chain(truth.keys()).collect();
    let differences: Vec<String> = keys
        .into_iter()
        .filter(|key| found.get(key) != truth.get(key))
        .map(|key| {
            let (found, truth) = (found.get(key), truth.get(key));
            format!("{key:?}:\n  found {found:?}\n  truth {truth:?}")
        })
        .collect();
    assert!(
        differences.is_empty(),
        "{what}: {} differences\n{}",
        differences.len(),
        differences.join("\n")
    );
}

fn figures(group: &Value) -> Figures {
    let whole = NUMBERS.map(|name| group[name].as_i64().expect(name));
    let units = group["units_decimal"].as_str().expect("text");
    (whole, units.to_owned())
}

/// Trillionths of one unit.
const ONE_UNIT: i128 = 1_000_000_000_000;

/// The whole number next to so many trillionths, halves away from zero, and these as text.
fn units(trillionths: i128) -> (i64, String) {
    let (size, sign) = (trillionths.abs(), if trillionths < 0 { "-" } else { "" });
    let mut rounded = size / ONE_UNIT;
    if size % ONE_UNIT * 2 >= ONE_UNIT {
        rounded += 1;
    }
    let rounded = i64::try_from(rounded * trillionths.signum()).expect("few units");
    let text = format!("{sign}{}.{:012}", size / ONE_UNIT, size % ONE_UNIT);
    let text = text.trim_end_matches('0').trim_end_matches('.');
    (rounded, text.to_owned())
}

fn truth_figures(truth: &stripe_sim::Figures) -> Option<Figures> {
    let charges = truth.charges as i64;
    let (units, units_decimal) = units(truth.unit_trillionths);
    let whole = [
        charges,
        units,
        truth.gross,
        truth.refunded,
        truth.net,
        truth.disputed_amount,
        truth.dispute_fee,
    ];
    (charges > 0).then_some((whole, units_decimal))
}

async fn groups(world: &World, by: &str) -> BTreeMap<(Option<String>, String), Figures> {
    let id = world.connection_id();
    let mut found = BTreeMap::new();
    let mut cursor = String::new();
    loop {
        let page = world
            .get(&format!(
                "/v1/analytics/stripe?connection_id={id}&group_by={by}&limit=1000{cursor}"
            ))
            .await;
        for group in page["groups"].as_array().expect("groups") {
            let key = group["key"].as_str().map(str::to_owned);
            let currency = group["currency"].as_str().expect("a currency").to_owned();
            assert!(
                found.insert((key, currency), figures(group)).is_none(),
                "a group came twice"
            );
        }
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return found,
        }
    }
}

/// The groups that every comparison is made by.
const DIMENSIONS: [&str; 7] = [
    "charge.tier",
    "charge.campaign",
    "customer.plan",
    "product.category",
    "product",
    "price",
    "customer",
];

/// Asserts that stored refunds belong to stored charges and sum to what was refunded of them.
async fn assert_refunds_are_exact(world: &World) {
    let differing: Vec<(String, i64, Option<i64>)> = sqlx::query_as(
        "SELECT refund.charge_id, COALESCE(SUM(refund.amount) FILTER (WHERE refund.counted), 0)::BIGINT AS sum,
             (SELECT SUM(row.refunded)::BIGINT FROM stripe_revenue_data AS row
              WHERE row.organization_id = refund.organization_id AND row.connection_id = refund.connection_id
                AND row.charge_id = refund.charge_id) AS refunded
         FROM stripe_refunds AS refund GROUP BY organization_id, connection_id, charge_id",
    )
    .fetch_all(world.database.admin())
    .await
    .expect("PostgreSQL answers");
    let differing: Vec<_> = differing
        .iter()
        .filter(|(_, sum, refunded)| Some(*sum) != *refunded)
        .collect();
    assert!(differing.is_empty(), "refunds: {differing:?}");
}

pub(crate) async fn assert_exact(world: &World) {
    assert_refunds_are_exact(world).await;
    let id = world.connection_id();
    let connection = world.get(&format!("/v1/connectors/{id}")).await;
    let status = world.get(&format!("/v1/connectors/{id}/sync-status")).await;
    let from = status["covered"]["from"]
        .as_str()
        .expect("something is covered");
    let from: DateTime<Utc> = from.parse().expect("an instant");
    let query = TruthQuery {
        from: Some(from.timestamp()),
        timezone: connection["timezone"].as_str().map(str::to_owned),
        metadata: DIMENSIONS.map(str::to_owned).to_vec(),
        ..TruthQuery::default()
    };
    let truth = world.account().truth(&query).expect("the truth");
    let rows = world.account().truth_rows(&query).expect("the truth");

    let mut days = BTreeMap::new();
    for (day, currencies) in &truth.days {
        for (currency, figures) in currencies {
            if let Some(figures) = truth_figures(figures) {
                days.insert((Some(day.clone()), currency.clone()), figures);
            }
        }
    }
    assert_same("by day", &groups(world, "day").await, &days);
    for dimension in DIMENSIONS {
        let expected: BTreeMap<_, _> = truth.groups[dimension]
            .iter()
            .filter_map(|group| {
                let key = (group.key.clone(), group.currency.clone());
                truth_figures(&group.figures).map(|figures| (key, figures))
            })
            .collect();
        let by = if dimension.contains('.') {
            format!("metadata:{dimension}")
        } else {
            dimension.to_owned()
        };
        assert_same(&by, &groups(world, &by).await, &expected);
    }
    let mut rows = rows;
    if connection["payment_intent_metadata"] != true {
        for row in &mut rows {
            row.payment_intent_metadata.clear();
        }
    }
    assert_grouped_by_metadata(world, &rows).await;
    assert_filtered(world, &rows).await;
    let permissions = connection["permissions"].as_array().expect("permissions");
    let refused = |it: &Value| it["resource"] == "refunds" && it["granted"] == false;
    if !permissions.iter().any(refused) {
        assert_refunds_by_day(world, &rows).await;
    }
    assert_rows(world, &rows).await;
    assert_state(&truth, &status["state"]);
    assert_aggregates(world, &rows).await;
    assert_catalogue(world, &rows).await;
}

/// The metadata of each object that a row shows.
fn metadata_of(row: &TruthRow) -> [(&'static str, &BTreeMap<String, String>); 9] {
    [
        ("charge", &row.charge_metadata),
        ("product", &row.product_metadata),
        ("price", &row.price_metadata),
        ("customer", &row.customer_metadata),
        ("invoice", &row.invoice_metadata),
        ("invoice_line", &row.invoice_line_metadata),
        ("subscription", &row.subscription_metadata),
        ("checkout_session", &row.checkout_session_metadata),
        ("payment_intent", &row.payment_intent_metadata),
    ]
}

/// Compares the groups by each plain key of what is not on the charge, which are made of rows; by one key where it has none.
async fn assert_grouped_by_metadata(world: &World, rows: &[TruthRow]) {
    let plain = |key: &&String| !key.contains('.') && !key.starts_with('$');
    for (at, source) in [
        (4, "invoice"),
        (5, "invoice_line"),
        (6, "subscription"),
        (7, "checkout_session"),
        (8, "payment_intent"),
    ] {
        let keys = rows.iter().flat_map(|row| metadata_of(row)[at].1.keys());
        let mut keys: BTreeSet<&str> = keys.filter(plain).map(String::as_str).collect();
        keys.insert("plan");
        for key in keys.into_iter().take(3) {
            let mut groups_of: BTreeMap<GroupKey, (BTreeSet<&str>, Sums)> = BTreeMap::new();
            for row in rows.iter().filter(|row| row.counted) {
                let value = metadata_of(row)[at].1.get(key).cloned();
                let group = groups_of.entry((value, row.currency.clone())).or_default();
                group.0.insert(&row.charge_id);
                group.1.add(row);
            }
            let expected: BTreeMap<_, _> = groups_of
                .into_iter()
                .map(|(key, (charges, sums))| (key, sums.figures(charges.len())))
                .collect();
            let by = format!("metadata:{source}.{key}");
            assert_same(&by, &groups(world, &by).await, &expected);
        }
    }
}

/// A value, and the currency.
type GroupKey = (Option<String>, String);

/// What rows add up to.
#[derive(Default)]
struct Sums {
    trillionths: i128,
    /// Gross, refunded, what disputes took and cost.
    amounts: [i64; 4],
}

impl Sums {
    fn add(&mut self, row: &TruthRow) {
        self.trillionths += row.unit_trillionths;
        let [gross, refunded, taken, fee] = &mut self.amounts;
        *gross += row.gross;
        *refunded += row.refunded;
        *taken += row.disputed_amount;
        *fee += row.dispute_fee;
    }

    fn figures(&self, charges: usize) -> Figures {
        let (units, units_decimal) = units(self.trillionths);
        let [gross, refunded, taken, fee] = self.amounts;
        let net = gross - refunded;
        let charges = charges as i64;
        let figures = [charges, units, gross, refunded, net, taken, fee];
        (figures, units_decimal)
    }
}

/// Values of each key that filters are compared for.
const VALUES_OF_A_KEY: usize = 3;

/// Compares the days of what has a metadata value, for some values of each plain key.
async fn assert_filtered(world: &World, rows: &[TruthRow]) {
    type Days = BTreeMap<GroupKey, (BTreeSet<String>, Sums)>;
    let mut values: BTreeMap<(String, String), Days> = BTreeMap::new();
    for row in rows.iter().filter(|row| row.counted) {
        for (source, metadata) in metadata_of(row) {
            for (key, value) in metadata {
                if key.contains('.') || key.starts_with('$') || value.chars().count() > 500 {
                    continue;
                }
                let days = values
                    .entry((format!("{source}.{key}"), value.clone()))
                    .or_default();
                let day = (Some(row.date.clone()), row.currency.clone());
                let (charges, sums) = days.entry(day).or_default();
                charges.insert(row.charge_id.clone());
                sums.add(row);
            }
        }
    }
    let mut compared: BTreeMap<String, usize> = BTreeMap::new();
    for ((key, value), days) in values {
        let count = compared.entry(key.clone()).or_default();
        *count += 1;
        if *count > VALUES_OF_A_KEY {
            continue;
        }
        let value: String = url::form_urlencoded::byte_serialize(value.as_bytes()).collect();
        let name: String = url::form_urlencoded::byte_serialize(key.as_bytes()).collect();
        let expected = days
            .into_iter()
            .map(|(day, (charges, sums))| (day, sums.figures(charges.len())))
            .collect();
        let found = groups(world, &format!("day&metadata.{name}={value}")).await;
        assert_same(&format!("days of {key} = {value}"), &found, &expected);
    }
}

/// Compares the days of refunds that are dated by themselves, of all rows and of those with some values; then both readings of
/// what is grouped by no time, which are the same over all days.
async fn assert_refunds_by_day(world: &World, rows: &[TruthRow]) {
    type ValueOf<'a> = &'a (dyn Fn(&TruthRow) -> Option<String> + Sync);
    let tier = |row: &TruthRow| row.charge_metadata.get("tier").cloned();
    let product = |row: &TruthRow| row.product_id.clone();
    let dimensions: [(&str, ValueOf<'_>); 2] = [
        ("metadata.charge.tier", &tier),
        ("field.product_id", &product),
    ];
    assert_days_of_refunds(world, rows, "", &|_| true).await;
    for (parameter, value_of) in dimensions {
        let values: BTreeSet<String> = rows
            .iter()
            .filter(|row| !row.refunded_on.is_empty())
            .filter_map(value_of)
            .collect();
        for value in values.into_iter().take(VALUES_OF_A_KEY) {
            let escaped: String = url::form_urlencoded::byte_serialize(value.as_bytes()).collect();
            let has = |row: &TruthRow| value_of(row).as_ref() == Some(&value);
            assert_days_of_refunds(world, rows, &format!("&{parameter}={escaped}"), &has).await;
        }
    }
    for by in ["currency", "product", "customer", "metadata:charge.tier"] {
        let by_charge = groups(world, by).await;
        let by_event = groups(world, &format!("{by}&dated_by=event")).await;
        assert_same(&format!("refunds by {by}"), &by_event, &by_charge);
    }
}

async fn assert_days_of_refunds(
    world: &World,
    rows: &[TruthRow],
    filter: &str,
    is_meant: &(dyn Fn(&TruthRow) -> bool + Sync),
) {
    // Gross and refunded by day and currency.
    let mut expected: BTreeMap<(Option<String>, String), [i64; 2]> = BTreeMap::new();
    for row in rows.iter().filter(|row| row.counted && is_meant(row)) {
        let on = |day: &String| (Some(day.clone()), row.currency.clone());
        expected.entry(on(&row.date)).or_default()[0] += row.gross;
        for (day, refunded) in &row.refunded_on {
            expected.entry(on(day)).or_default()[1] += refunded;
        }
    }
    let found = groups(world, &format!("day&dated_by=event{filter}")).await;
    let found = found.into_iter().map(|(key, (numbers, _))| {
        let [.., gross, refunded, net, _, _] = numbers;
        assert_eq!(net, gross - refunded, "{key:?}");
        (key, [gross, refunded])
    });
    let found: BTreeMap<_, _> = found.filter(|(_, sums)| *sums != [0, 0]).collect();
    expected.retain(|_, sums| *sums != [0, 0]);
    assert_same(&format!("days of refunds{filter}"), &found, &expected);
}

/// A row as the API shows it, apart from what the truth does not know.
fn shown(row: &TruthRow) -> Value {
    let counted = |amount: i64| if row.counted { amount } else { 0 };
    let of_the_charge = ["charge", "product", "price", "customer"];
    let metadata = metadata_of(row).into_iter();
    let metadata: serde_json::Map<String, Value> = metadata
        .filter(|(source, metadata)| of_the_charge.contains(source) || !metadata.is_empty())
        .map(|(source, metadata)| (source.to_owned(), json!(metadata)))
        .collect();
    json!({
        "charge_id": row.charge_id,
        "line_id": row.line_id,
        "created_at": DateTime::from_timestamp(row.created, 0).expect("an instant"),
        "date": row.date,
        "currency": row.currency,
        "status": row.status,
        "captured": row.captured,
        "counted": row.counted,
        "amount": row.amount,
        "gross": counted(row.gross),
        "refunded": counted(row.refunded),
        "net": counted(row.gross - row.refunded),
        "units": counted(row.units),
        "units_decimal": if row.counted { row.units_decimal.as_str() } else { "0" },
        "customer_id": row.customer_id,
        "product_id": row.product_id,
        "price_id": row.price_id,
        "country": row.country,
        "payment_method": row.payment_method,
        "disputed": row.disputed,
        "dispute_status": row.dispute_status,
        "disputed_amount": counted(row.disputed_amount),
        "dispute_fee": counted(row.dispute_fee),
        "metadata": metadata,
    })
}

/// Every row, with every field that the truth knows; the lines of a charge in their order.
async fn assert_rows(world: &World, truth: &[TruthRow]) {
    let path = format!(
        "/v1/analytics/stripe/charges?connection_id={}",
        world.connection_id()
    );
    let mut found: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for mut row in world.all(&path, "data").await {
        let fields = row.as_object_mut().expect("an object");
        for unknown in [
            "excluded_by",
            "description",
            "source_transfer",
            "customer_name",
            "product_name",
            "price_name",
        ] {
            fields.remove(unknown).expect(unknown);
        }
        let charge = row["charge_id"].as_str().expect("an id").to_owned();
        found.entry(charge).or_default().push(row);
    }
    let mut expected: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for row in truth {
        let rows = expected.entry(row.charge_id.clone()).or_default();
        rows.push(shown(row));
    }
    let ids = |rows: &BTreeMap<String, Vec<Value>>| -> BTreeSet<String> {
        rows.keys().cloned().collect()
    };
    assert_eq!(ids(&found), ids(&expected), "stored charges");
    for (charge, rows) in expected {
        let instant =
            |row: &Value| -> Option<DateTime<Utc>> { row["created_at"].as_str()?.parse().ok() };
        let found: Vec<Value> = found[&charge]
            .iter()
            .cloned()
            .map(|mut row| {
                row["created_at"] = json!(instant(&row));
                row
            })
            .collect();
        assert_eq!(found, rows, "the rows of {charge}");
    }
}

fn assert_state(truth: &stripe_sim::Truth, state: &Value) {
    assert_eq!(
        state["charges_synced"], truth.charges_stored,
        "charges synced"
    );
    assert_eq!(
        state["last_charge_id"].as_str(),
        truth.newest_charge.as_deref(),
        "newest charge"
    );
    let totals: BTreeMap<&str, i64> = truth
        .totals
        .iter()
        .filter(|(_, figures)| figures.charges > 0)
        .map(|(currency, figures)| (currency.as_str(), figures.net))
        .collect();
    assert_eq!(
        state["total_revenue_synced"],
        serde_json::json!(totals),
        "total revenue"
    );
}

/// What counted rows of one day and currency add up to.
#[derive(Default)]
struct Day<'a> {
    charges: BTreeSet<&'a str>,
    unit_trillionths: i128,
    gross: i64,
    refunded: i64,
    by_product: BTreeMap<&'a str, i64>,
    by_tier: BTreeMap<&'a str, (i64, BTreeSet<&'a str>)>,
}

async fn assert_aggregates(world: &World, rows: &[TruthRow]) {
    let mut days: BTreeMap<(&str, &str), Day<'_>> = BTreeMap::new();
    for row in rows.iter().filter(|row| row.counted) {
        let day = days.entry((&row.date, &row.currency)).or_default();
        let net = row.gross - row.refunded;
        day.charges.insert(&row.charge_id);
        day.unit_trillionths += row.unit_trillionths;
        day.gross += row.gross;
        day.refunded += row.refunded;
        let product = row.product_id.as_deref().unwrap_or("none");
        *day.by_product.entry(product).or_default() += net;
        if let Some(tier) = row.charge_metadata.get("tier") {
            let (revenue, charges) = day.by_tier.entry(tier).or_default();
            *revenue += net;
            charges.insert(&row.charge_id);
        }
    }
    let expected: BTreeMap<(String, String), Value> = days
        .into_iter()
        .map(|((date, currency), day)| {
            let mut tiers: Vec<(&str, i64, usize)> = day
                .by_tier
                .iter()
                .map(|(value, (revenue, charges))| (*value, *revenue, charges.len()))
                .collect();
            tiers.sort_by_key(|&(value, revenue, _)| (-revenue, value));
            let tiers: Vec<Value> = tiers
                .into_iter()
                .take(10)
                .map(|(value, revenue, charges)| json!({"value": value, "revenue": revenue, "charges": charges}))
                .collect();
            let (total_units, total_units_decimal) = units(day.unit_trillionths);
            let shown = json!({
                "total_revenue": day.gross - day.refunded,
                "gross": day.gross,
                "refunded": day.refunded,
                "charges": day.charges.len(),
                "total_units": total_units,
                "total_units_decimal": total_units_decimal,
                "revenue_by_product": day.by_product,
                "tiers": tiers,
            });
            ((date.to_owned(), currency.to_owned()), shown)
        })
        .collect();
    let path = format!(
        "/v1/analytics/stripe/daily-aggregates?connection_id={}",
        world.connection_id()
    );
    let body = world.get(&path).await;
    let mut found = BTreeMap::new();
    for day in body["data"].as_array().expect("data") {
        let text = |name: &str| day[name].as_str().expect("text").to_owned();
        let tiers = day["top_metadata_values"].get("charge.tier");
        let shown = json!({
            "total_revenue": day["total_revenue"],
            "gross": day["gross"],
            "refunded": day["refunded"],
            "charges": day["charges"],
            "total_units": day["total_units"],
            "total_units_decimal": day["total_units_decimal"],
            "revenue_by_product": day["revenue_by_product"],
            "tiers": tiers.cloned().unwrap_or_else(|| json!([])),
        });
        found.insert((text("date"), text("currency")), shown);
    }
    assert_same("daily aggregates", &found, &expected);
}

/// A key of the catalogue: objects that have it, and the oldest and newest charge that it was seen with.
type Seen = (i64, i64, i64);

async fn assert_catalogue(world: &World, rows: &[TruthRow]) {
    /// An object's metadata, and the creation of the oldest and newest charge that refers to it.
    type Object<'a> = (&'a BTreeMap<String, String>, i64, i64);
    let mut objects: BTreeMap<(&str, &str), Object<'_>> = BTreeMap::new();
    for row in rows {
        let referred = [
            ("charge", Some(&row.charge_id), &row.charge_metadata),
            ("product", row.product_id.as_ref(), &row.product_metadata),
            ("price", row.price_id.as_ref(), &row.price_metadata),
            ("customer", row.customer_id.as_ref(), &row.customer_metadata),
            ("invoice", row.invoice_id.as_ref(), &row.invoice_metadata),
            (
                "invoice_line",
                row.line_id.as_ref().filter(|_| row.invoice_id.is_some()),
                &row.invoice_line_metadata,
            ),
            (
                "subscription",
                row.invoice_id.as_ref(),
                &row.subscription_metadata,
            ),
            (
                "checkout_session",
                row.checkout_session_id.as_ref(),
                &row.checkout_session_metadata,
            ),
            (
                "payment_intent",
                row.payment_intent_id.as_ref(),
                &row.payment_intent_metadata,
            ),
        ];
        for (object_type, id, metadata) in referred {
            let Some(id) = id else { continue };
            let object =
                objects
                    .entry((object_type, id))
                    .or_insert((metadata, row.created, row.created));
            object.1 = object.1.min(row.created);
            object.2 = object.2.max(row.created);
        }
    }
    let mut counts: BTreeMap<&str, i64> = BTreeMap::new();
    let mut expected: BTreeMap<(String, String), Seen> = BTreeMap::new();
    for ((object_type, _), (metadata, first, last)) in objects {
        *counts.entry(object_type).or_default() += 1;
        let mut paths = BTreeSet::new();
        for (key, value) in metadata {
            paths.insert(key.clone());
            if let Ok(opened) = serde_json::from_str::<Value>(value) {
                walk(key, &opened, &mut paths);
            }
        }
        for path in paths {
            let seen = expected
                .entry((object_type.to_owned(), path))
                .or_insert((0, first, last));
            *seen = (seen.0 + 1, seen.1.min(first), seen.2.max(last));
        }
    }
    let path = format!("/v1/connectors/{}/filters/discover?", world.connection_id());
    let mut found = BTreeMap::new();
    for key in world.all(&path, "data").await {
        let text = |name: &str| key[name].as_str().expect("text").to_owned();
        let second = |name: &str| -> i64 {
            let instant: DateTime<Utc> = text(name).parse().expect("an instant");
            instant.timestamp()
        };
        let occurrences = key["occurrences"].as_i64().expect("a number");
        let coverage = key["coverage"].as_f64().expect("a number");
        let all = counts[text("object_type").as_str()];
        let share = occurrences as f64 / all as f64;
        assert!((coverage - share).abs() < 1e-9, "{key:#} of {all}");
        let seen = (occurrences, second("first_seen"), second("last_seen"));
        found.insert((text("object_type"), text("key_path")), seen);
    }
    assert_same("metadata catalogue", &found, &expected);
}

/// The paths under a value; null is missing.
fn walk(path: &str, value: &Value, paths: &mut BTreeSet<String>) {
    let mut under = |path: String, value: &Value| {
        if !value.is_null() {
            walk(&path, value, paths);
            paths.insert(path);
        }
    };
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                under(format!("{path}.{name}"), member);
            }
        }
        Value::Array(items) => {
            for item in items {
                under(format!("{path}[]"), item);
            }
        }
        _ => {}
    }
}
