//! Refunds of old charges, and the incremental sync that follows: a request for each charge at most and few besides,
//! the rate kept, and no aggregate of another day written.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context as _;
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use common::clock::{Clock as _, SystemClock};
use stripe_sim::{AccountConfig, Settings, TruthQuery, TruthRow};

use crate::exact;
use crate::measure::{Measure, Run, Unit, thousands};
use crate::stage::{Servers, Stage};

const LATENCY_MS: u64 = 100;
const LOOKBACK_DAYS: u32 = 366;
const RATE_ENDPOINT: u32 = 25;
/// Requests besides one for each refunded charge.
const MOST_BESIDES: f64 = 30.0;
/// Charges younger than this are not old.
const OLD: TimeDelta = TimeDelta::days(30);
/// Of so many days one is refunded on, so that there are days that must not be touched.
const DAYS_APART: i64 = 3;
/// Minor units, less than any charge.
const REFUND: i64 = 50;

/// `changes`.
pub(super) async fn run(servers: &Servers) -> anyhow::Result<Run> {
    let account = AccountConfig {
        charges: servers.sizes.refunded_charges(),
        livemode: true,
        settings: Some(Settings::unlimited()),
        ..AccountConfig::default()
    };
    let mut stage = Stage::with_account(servers, account).await?;
    // The first sync is not what is measured, so it may be fast; the incremental one keeps Stripe's limits.
    stage.engine.set("STRIPE_RATE_LIVE", Some("10000"));
    stage.engine.set("STRIPE_RATE_ENDPOINT", Some("10000"));
    stage.start_all().await;
    let (connected, _) = stage
        .first_sync(stage.sim.first().key(), LOOKBACK_DAYS)
        .await?;
    stage.engine.terminate().await;
    stage.engine.set("STRIPE_RATE_LIVE", None);
    stage.engine.set("STRIPE_RATE_ENDPOINT", None);
    stage.sim.configure_all(|settings| {
        *settings = Settings {
            latency_ms: LATENCY_MS,
            ..Settings::stripe(true)
        };
    });
    let affected = refund(&stage, servers.sizes.refunds() as usize)?;
    let before = versions(&stage).await?;
    stage.start_all().await;
    stage.sim.reset_requests();
    let (_, seconds) = stage.incremental(&connected.connection_id).await?;
    let requests = stage.sim.requests();
    let after = versions(&stage).await?;
    let wrong = exact::differences(&stage, &connected.connection_id).await?;

    let refunds = servers.sizes.refunds();
    let rewritten: BTreeSet<NaiveDate> = after
        .iter()
        .filter(|(key, version)| before.get(*key) != Some(*version))
        .map(|((date, _), _)| *date)
        .collect();
    let needless = rewritten.difference(&affected).count();
    // Of the busier of the two endpoints: each has a limit of its own.
    let endpoints = ["GET /v1/charges", "GET /v1/charges/{id}"];
    let fetched = endpoints.map(|endpoint| requests.of(endpoint) as f64);
    let fetched = fetched[0].max(fetched[1]);
    let mut run = Run::default();
    run.measure(Measure::at_most(
        format!(
            "changes: requests of a sync after {} refunds",
            thousands(refunds as f64)
        ),
        Unit::Requests,
        requests.total as f64,
        refunds as f64 + servers.sizes.requests(MOST_BESIDES),
        "one for each refunded charge and 30 for a thousand besides; pages that show several take fewer",
    ));
    run.measure(Measure::at_most(
        "changes: requests for charges, by the second",
        Unit::PerSecond,
        fetched / seconds,
        f64::from(RATE_ENDPOINT),
        "Stripe's limit for one endpoint, over the whole job",
    ));
    run.measure(Measure::none(
        "changes: requests refused with 429",
        requests.with_status(429) as usize,
        "",
    ));
    run.measure(Measure::none(
        "changes: untouched days whose aggregates were rewritten",
        needless,
        "by the transaction that wrote each row (xmin)",
    ));
    run.measure(Measure::none(
        "changes: days and currencies that differ from the truth",
        wrong,
        "",
    ));
    run.observe("days with a refund", affected.len() as f64, Unit::Count);
    run.observe("days rewritten", rewritten.len() as f64, Unit::Count);
    run.observe("days with figures", before.len() as f64, Unit::Count);
    run.observe("wall time", seconds, Unit::Seconds);
    stage.close().await?;
    Ok(run)
}

/// Refunds a part of so many old charges, spread over every third old day; the days.
fn refund(stage: &Stage, refunds: usize) -> anyhow::Result<BTreeSet<NaiveDate>> {
    let account = stage.sim.first();
    let oldest_young = SystemClock.now() - OLD;
    let whole_day = |row: &TruthRow| -> anyhow::Result<NaiveDate> { Ok(row.date.parse()?) };
    let mut by_day: BTreeMap<NaiveDate, BTreeSet<String>> = BTreeMap::new();
    for row in account.truth_rows(&TruthQuery::default())? {
        let created = DateTime::<Utc>::from_timestamp(row.created, 0).context("an instant")?;
        let day = whole_day(&row)?;
        let third = day.signed_duration_since(NaiveDate::default()).num_days() % DAYS_APART == 0;
        if row.counted && created < oldest_young && third && row.gross - row.refunded > REFUND {
            by_day.entry(day).or_default().insert(row.charge_id);
        }
    }
    let mut affected = BTreeSet::new();
    let mut left = refunds;
    while left > 0 {
        let mut any = false;
        for (day, charges) in &mut by_day {
            let Some(charge) = charges.pop_first().filter(|_| left > 0) else {
                continue;
            };
            any = true;
            // What a row shows is its line's share; a charge that allows no such refund is passed over.
            if account.refund(&charge, Some(REFUND)).is_ok() {
                affected.insert(*day);
                left -= 1;
            }
        }
        anyhow::ensure!(
            any,
            "the account has too few old charges: {left} refunds are left"
        );
    }
    Ok(affected)
}

async fn versions(stage: &Stage) -> anyhow::Result<BTreeMap<(NaiveDate, String), String>> {
    let rows: Vec<(NaiveDate, String, String)> =
        sqlx::query_as("SELECT date, currency, xmin::TEXT FROM stripe_daily_aggregates")
            .fetch_all(stage.database.admin())
            .await?;
    let by_key = rows
        .into_iter()
        .map(|(date, currency, version)| ((date, currency), version));
    Ok(by_key.collect())
}
