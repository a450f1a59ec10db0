//! Figures next to those of an earlier period, and refunds by either of their days: over generated rows, worked out here by other
//! code than the engine's.

use std::collections::{BTreeMap, BTreeSet};

use axum::http::Method;
use chrono::{Datelike as _, Days, Months, NaiveDate};
use common::db::{self, Role};
use common::tenant::OrganizationId;
use serde_json::{Value, json};
use stripe::analytics::refresh::{Locked, refresh_days};
use tests::api_only::ApiOnly;
use tests::random::Random;

const ID: &str = "acme-stripe-acct_Alpha";
const REPORT: &str = "/v1/analytics/stripe?connection_id=acme-stripe-acct_Alpha";

#[derive(Debug, Clone)]
struct Line {
    charge: usize,
    number: i32,
    date: NaiveDate,
    currency: &'static str,
    counted: bool,
    gross: i64,
    /// What went back by the day it did, and what no refund explains.
    refunds: [(NaiveDate, i64); 2],
    unexplained: i64,
    product: Option<&'static str>,
    tier: Option<&'static str>,
}

impl Line {
    fn refunded(&self) -> i64 {
        self.refunds.iter().map(|(_, amount)| amount).sum::<i64>() + self.unexplained
    }

    /// What is refunded on which day.
    fn refunded_on(&self, by_event: bool) -> Vec<(NaiveDate, i64)> {
        if by_event {
            let unexplained = (self.date, self.unexplained);
            self.refunds.iter().copied().chain([unexplained]).collect()
        } else {
            vec![(self.date, self.refunded())]
        }
    }
}

fn day(text: &str) -> NaiveDate {
    text.parse().expect("a day")
}

fn drawn_lines(draws: &mut Random) -> Vec<Line> {
    let mut lines = Vec::new();
    for charge in 0..400 {
        let date = day("2024-01-01") + Days::new(draws.below(900) as u64);
        let refund_days = [(); 2].map(|()| date + Days::new(draws.below(60) as u64));
        let currency = draws.pick(&["usd", "usd", "eur"]);
        let counted = draws.below(8) > 0;
        let tier = *draws.pick(&[None, Some("gold"), Some("free")]);
        let refunded = draws.below(3) == 0;
        for number in 0..=draws.below(2) as i32 {
            let mut amount = || if refunded { draws.below(300) as i64 } else { 0 };
            let refunds = refund_days.map(|day| (day, amount()));
            let unexplained = amount();
            lines.push(Line {
                charge,
                number,
                date,
                currency,
                counted,
                gross: draws.below(100_000) as i64,
                refunds,
                unexplained,
                product: *draws.pick(&[None, Some("prod_1"), Some("prod_2"), Some("prod_3")]),
                tier,
            });
        }
    }
    lines
}

async fn store(api: &ApiOnly, lines: &[Line]) {
    for line in lines {
        let metadata = line
            .tier
            .map_or_else(|| json!({}), |tier| json!({"tier": tier}));
        sqlx::query(
            "INSERT INTO stripe_revenue_data (organization_id, connection_id, charge_id, line_no, created_at, date,
                 currency, status, captured, livemode, charge_amount, amount, gross, refunded, units, product_id,
                 disputed, charge_metadata, product_metadata, price_metadata, customer_metadata)
             VALUES ('acme', $1, $2, $3, $4::DATE + TIME '10:00' AT TIME ZONE 'UTC', $4, $5, $6, TRUE, FALSE,
                 $7, $7, $7, $8, 1, $9, FALSE, $10, '{}', '{}', '{}')",
        )
        .bind(ID)
        .bind(format!("ch_{}", line.charge))
        .bind(line.number)
        .bind(line.date)
        .bind(line.currency)
        .bind(if line.counted { "succeeded" } else { "failed" })
        .bind(line.gross)
        .bind(line.refunded())
        .bind(line.product)
        .bind(metadata)
        .execute(api.database.admin())
        .await
        .expect("the row is stored");
    }
    let mut shares: BTreeMap<(usize, usize), (NaiveDate, Vec<i64>)> = BTreeMap::new();
    for line in lines {
        for (number, (date, amount)) in line.refunds.iter().enumerate() {
            let of_refund = shares
                .entry((line.charge, number))
                .or_insert((*date, Vec::new()));
            of_refund.1.push(*amount);
        }
    }
    for ((charge, number), (date, shares)) in shares {
        let amount: i64 = shares.iter().sum();
        if amount == 0 {
            continue;
        }
        sqlx::query(
            "INSERT INTO stripe_refunds (organization_id, connection_id, charge_id, refund_id, amount, currency, created_at,
                 counted, date, line_shares)
             VALUES ('acme', $1, $2, $3, $4, 'usd', $5::DATE + TIME '10:00' AT TIME ZONE 'UTC', TRUE,
                 $5, $6)",
        )
        .bind(ID)
        .bind(format!("ch_{charge}"))
        .bind(format!("re_{number}"))
        .bind(amount)
        .bind(date)
        .bind(shares)
        .execute(api.database.admin())
        .await
        .expect("the refund is stored");
    }
    api.execute(
        "INSERT INTO stripe_stale_days SELECT DISTINCT organization_id, connection_id, date FROM stripe_revenue_data;
         UPDATE stripe_sync_state SET covered_from = '2023-01-01T00:00:00Z', covered_to = '2026-12-01T00:00:00Z',
             full_synced_at = '2026-12-01T00:00:00Z'",
    )
    .await;
    // Some days are answered from sums, others from rows.
    let acme = OrganizationId::new("acme").unwrap();
    let pool = api.database.pool(Role::Consumer);
    let mut tx = db::tenant_transaction(&pool, &acme).await.unwrap();
    refresh_days(&mut tx, &acme, ID, 200, None, Locked::Wait)
        .await
        .unwrap();
    tx.commit().await.unwrap();
}

/// Charges, gross, refunded.
type Sums = [i64; 3];
/// What the rows of a group have in common, and their currency.
type Key = (Option<String>, String);
type Groups = BTreeMap<Key, Sums>;

/// The day of the asked period next to which an earlier one stands.
#[derive(Clone, Copy)]
enum Shown {
    Days(u64),
    Months(u32),
}

fn key_of(by: &str, line: &Line, day: NaiveDate) -> Option<String> {
    match by {
        "day" => Some(day.to_string()),
        "week" => {
            let monday = day - Days::new(day.weekday().num_days_from_monday().into());
            Some(monday.to_string())
        }
        "month" => Some(day.format("%Y-%m").to_string()),
        "currency" => Some(line.currency.to_owned()),
        "product" => line.product.map(str::to_owned),
        _ => line.tier.map(str::to_owned),
    }
}

/// The groups of some days, dated by `shown`.
fn sums(
    lines: &[Line],
    by: &str,
    by_event: bool,
    days: (NaiveDate, NaiveDate),
    shown: impl Fn(NaiveDate) -> NaiveDate,
) -> Groups {
    let mut groups = Groups::new();
    let mut charges = BTreeSet::new();
    let is_meant = |day: NaiveDate| days.0 <= day && day <= days.1;
    for line in lines.iter().filter(|line| line.counted) {
        let key = |day| (key_of(by, line, shown(day)), line.currency.to_owned());
        if is_meant(line.date) {
            let is_new = charges.insert((key(line.date), line.charge));
            let sums = groups.entry(key(line.date)).or_default();
            sums[0] += i64::from(is_new);
            sums[1] += line.gross;
        }
        for (day, amount) in line.refunded_on(by_event) {
            if is_meant(day) && amount != 0 {
                groups.entry(key(day)).or_default()[2] += amount;
            }
        }
    }
    groups
}

fn figures(of: &Value) -> Sums {
    ["charges", "gross", "refunded"].map(|name| of[name].as_i64().expect(name))
}

fn net([_, gross, refunded]: Sums) -> i64 {
    gross - refunded
}

/// All pages of a report, a few groups each.
async fn pages(api: &ApiOnly, path: &str) -> (Value, Vec<Value>) {
    let mut groups = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = api.get(&format!("{path}&limit=37{cursor}")).await;
        groups.extend(page["groups"].as_array().expect("groups").iter().cloned());
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return (page, groups),
        }
    }
}

fn added(groups: &Groups) -> BTreeMap<String, [i64; 2]> {
    let mut totals: BTreeMap<String, [i64; 2]> = BTreeMap::new();
    for ((_, currency), [_, gross, refunded]) in groups {
        let total = totals.entry(currency.clone()).or_default();
        total[0] += gross;
        total[1] += refunded;
    }
    totals
}

/// A comparison, the days asked for, the earlier ones, and how these are shown.
type Range = (
    &'static str,
    (&'static str, &'static str),
    (&'static str, &'static str),
    Shown,
);

const RANGES: [Range; 6] = [
    (
        "previous_period",
        ("2026-01-05", "2026-02-10"),
        ("2025-11-29", "2026-01-04"),
        Shown::Days(37),
    ),
    (
        "previous_period",
        ("2025-02-01", "2025-02-28"),
        ("2025-01-01", "2025-01-31"),
        Shown::Months(1),
    ),
    (
        "previous_period",
        ("2025-03-01", "2025-03-12"),
        ("2025-02-01", "2025-02-12"),
        Shown::Months(1),
    ),
    (
        "previous_period",
        ("2025-07-01", "2025-12-31"),
        ("2025-01-01", "2025-06-30"),
        Shown::Months(6),
    ),
    (
        "previous_year",
        ("2025-02-01", "2025-02-28"),
        ("2024-02-01", "2024-02-29"),
        Shown::Months(12),
    ),
    (
        "previous_year",
        ("2025-01-15", "2026-01-14"),
        ("2024-01-15", "2025-01-14"),
        Shown::Months(12),
    ),
];

#[tokio::test]
async fn groups_of_generated_rows_stand_next_to_those_of_the_earlier_period() {
    let mut draws = Random::of_variable("SUMS_SEED", 23);
    let api = ApiOnly::start().await;
    api.connect("rk_test_full_Alpha").await;
    let lines = drawn_lines(&mut draws);
    store(&api, &lines).await;
    for range in RANGES {
        for by in [
            "day",
            "week",
            "month",
            "currency",
            "product",
            "metadata:charge.tier",
        ] {
            for by_event in [false, true] {
                assert_compared(&api, &lines, range, by, by_event).await;
            }
        }
    }
}

async fn assert_compared(api: &ApiOnly, lines: &[Line], range: Range, by: &str, by_event: bool) {
    let (compare, asked, earlier, shown) = range;
    let [asked, earlier] = [asked, earlier].map(|(from, to)| (day(from), day(to)));
    let dated_by = if by_event { "event" } else { "charge" };
    let path = format!(
        "{REPORT}&group_by={by}&date_from={}&date_to={}&dated_by={dated_by}&compare={compare}",
        asked.0, asked.1
    );
    let (last, found) = pages(api, &path).await;
    assert_eq!(
        last["comparison"],
        json!({"compare": compare, "date_from": earlier.0, "date_to": earlier.1, "complete": true})
    );
    let now = sums(lines, by, by_event, asked, |day| day);
    let before = sums(lines, by, by_event, earlier, |day| match shown {
        Shown::Days(days) => day + Days::new(days),
        Shown::Months(months) => day + Months::new(months),
    });
    let of = |groups: &Groups, key: &Key| groups.get(key).copied().unwrap_or_default();
    let mut expected: Vec<Key> = now.keys().chain(before.keys()).cloned().collect();
    if ["day", "week", "month"].contains(&by) {
        expected.sort();
    } else {
        expected.sort_by_key(|key| {
            let no_value = key.0.is_none();
            (-net(of(&now, key)), no_value, key.clone())
        });
    }
    expected.dedup();
    let listed: Vec<Key> = found
        .iter()
        .map(|group| {
            let key = group["key"].as_str().map(str::to_owned);
            let currency = group["currency"].as_str().expect("a currency");
            (key, currency.to_owned())
        })
        .collect();
    assert_eq!(listed, expected, "{path}");
    for (key, group) in expected.iter().zip(&found) {
        let (now, before) = (of(&now, key), of(&before, key));
        assert_eq!(figures(group), now, "{path} {key:?}");
        assert_eq!(figures(&group["previous"]), before, "{path} {key:?}");
        let more = [0, 1, 2].map(|at| now[at] - before[at]);
        assert_eq!(figures(&group["difference"]), more, "{path} {key:?}");
        assert_eq!(group["difference"]["net"], net(now) - net(before));
    }
    let (now, before) = (added(&now), added(&before));
    for total in last["totals"].as_array().expect("totals") {
        let currency = total["currency"].as_str().expect("a currency");
        for (of, expected) in [(total, &now), (&total["previous"], &before)] {
            let [_, gross, refunded] = figures(of);
            let expected = expected.get(currency).copied().unwrap_or_default();
            assert_eq!([gross, refunded], expected, "{path} {currency}");
        }
    }
}

#[tokio::test]
async fn refunds_sum_to_the_same_over_all_days_whichever_day_they_are_read_by() {
    let mut draws = Random::of_variable("SUMS_SEED", 29);
    let api = ApiOnly::start().await;
    api.connect("rk_test_full_Alpha").await;
    let lines = drawn_lines(&mut draws);
    store(&api, &lines).await;
    let only_gold = "&metadata.charge.tier=gold";
    for filter in ["", only_gold, "&field.product_id=prod_1", "&currency=eur"] {
        for by in ["currency", "product", "country", "metadata:charge.tier"] {
            let path = format!("{REPORT}&group_by={by}{filter}");
            let by_charge = api.get(&path).await;
            let by_event = api.get(&format!("{path}&dated_by=event")).await;
            assert_eq!(by_charge["totals"], by_event["totals"], "{path}");
            assert_eq!(by_charge["groups"], by_event["groups"], "{path}");
        }
        let path = format!("{REPORT}&group_by=day&dated_by=event{filter}");
        let (last, days) = pages(&api, &path).await;
        let of = |groups: &[Value], name: &str| -> i64 {
            groups.iter().map(|it| it[name].as_i64().expect(name)).sum()
        };
        let totals = last["totals"].as_array().expect("totals");
        for name in ["charges", "gross", "refunded", "net"] {
            assert_eq!(of(&days, name), of(totals, name), "{name}{filter}");
        }
    }
    let all = sums(
        &lines,
        "day",
        true,
        (NaiveDate::MIN, NaiveDate::MAX),
        |day| day,
    );
    let (_, days) = pages(&api, &format!("{REPORT}&group_by=day&dated_by=event")).await;
    let found: Groups = days
        .iter()
        .map(|group| {
            let text = |name: &str| group[name].as_str().expect(name).to_owned();
            ((Some(text("key")), text("currency")), figures(group))
        })
        .collect();
    assert_eq!(found, all);
}

/// What was sold before the covered range is not known, and must not look like growth from nothing.
#[tokio::test]
async fn what_is_not_covered_of_an_earlier_period_is_absent() {
    let mut draws = Random::of_variable("SUMS_SEED", 31);
    let api = ApiOnly::start().await;
    api.connect("rk_test_full_Alpha").await;
    store(&api, &drawn_lines(&mut draws)).await;
    api.execute("UPDATE stripe_sync_state SET covered_from = '2025-02-10T00:00:00Z'")
        .await;
    let asked = "&date_from=2025-03-01&date_to=2025-03-31&compare=previous_period";
    for by in ["product", "currency", "day", "week"] {
        let report = api
            .get(&format!("{REPORT}{asked}&group_by={by}&limit=1000"))
            .await;
        assert_eq!(report["comparison"]["complete"], false, "{by}");
        for total in report["totals"].as_array().expect("totals") {
            assert!(total.get("previous").is_none() && total.get("difference").is_none());
        }
        for group in report["groups"].as_array().expect("groups") {
            let key = group["key"].as_str().unwrap_or_default();
            // 10 March, a Monday, stands next to 10 February.
            let known = ["day", "week"].contains(&by) && key >= "2025-03-10";
            assert_eq!(group.get("previous").is_some(), known, "{by} {key}");
            assert_eq!(group.get("difference").is_some(), known, "{by} {key}");
        }
    }
    let without = api.get(&format!("{REPORT}&group_by=product")).await;
    assert!(without.get("comparison").is_none());
    assert!(without["groups"][0].get("previous").is_none());
}

#[tokio::test]
async fn a_comparison_needs_both_ends_of_a_period() {
    let api = ApiOnly::start().await;
    api.connect("rk_test_full_Alpha").await;
    for (query, named) in [
        ("&compare=previous_year", vec!["date_from", "date_to"]),
        (
            "&compare=previous_year&date_from=2026-01-01",
            vec!["date_to"],
        ),
        (
            "&compare=before&date_from=2026-01-01&date_to=2026-01-31",
            vec!["compare"],
        ),
        ("&dated_by=refund", vec!["dated_by"]),
    ] {
        let answer = api
            .ask(Method::GET, &format!("{REPORT}{query}"), None)
            .await;
        let problem = answer.problem(422, "invalid_request");
        let errors = problem["errors"].as_array().expect("errors").iter();
        let found: Vec<&str> = errors
            .map(|error| error["parameter"].as_str().expect("a name"))
            .collect();
        assert_eq!(found, named, "{query}");
    }
    let asked = "&compare=previous_year&date_from=0001-01-01&date_to=9999-12-31";
    api.get(&format!("{REPORT}{asked}&group_by=month")).await;
    let rows = REPORT.replace("stripe?", "stripe/charges?");
    api.get(&format!("{rows}{asked}&dated_by=event")).await;
}
