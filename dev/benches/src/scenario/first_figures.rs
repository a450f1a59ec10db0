//! How soon after connecting today's revenue is exact, while the rest of the history is still being read.
//!
//! Quantities sold are reported as well and have no limit: a charge of today may pay an invoice of two months ago,
//! which is read when its page comes.
//!
//! Days are those of a time zone where the last hour of the day has begun, so that today has as many charges whenever
//! this runs.

use std::time::Duration;

use anyhow::Context as _;
use chrono::{DateTime, Timelike as _, Utc};
use common::clock::{Clock as _, SystemClock};
use reqwest::Method;
use serde_json::{Value, json};
use stripe_sim::{AccountConfig, Settings, TruthQuery};
use tokio::time::Instant;

use crate::exact::{Figures, figures_of, true_figures};
use crate::measure::{Measure, Run, Unit};
use crate::stage::{Servers, Stage};
use std::collections::BTreeMap;

const LATENCY_MS: u64 = 300;
const DAYS: u32 = 365;
const LOOKBACK_DAYS: u32 = 366;
/// The limit does not shrink with the account: the newest pages are as many requests away.
const MOST_SECONDS: f64 = 3.0;
/// How long invoices and sessions reach back before the range, as docs/figures-in-detail.md says.
const LINES_REACH_BACK_SECONDS: i64 = 35 * 86_400;
const DAY_SECONDS: i64 = 86_400;
const HOUR_SECONDS: i64 = 3_600;
const LOOK: Duration = Duration::from_millis(20);
/// Long after the limit, where the figure is still reported.
const WAIT_TIMEOUT: Duration = Duration::from_mins(5);

type Totals = BTreeMap<String, Figures>;

/// `first-figures`.
pub(super) async fn run(servers: &Servers) -> anyhow::Result<Run> {
    let account = AccountConfig {
        charges: servers.sizes.middle_charges(),
        days: DAYS,
        livemode: true,
        settings: Some(Settings {
            latency_ms: LATENCY_MS,
            ..Settings::stripe(true)
        }),
        ..AccountConfig::default()
    };
    let mut stage = Stage::with_account(servers, account).await?;
    stage.start_all().await;
    let now = SystemClock.now();
    let ahead_of_utc = hours_to_the_last_hour(now);
    let local = now.timestamp() + ahead_of_utc * HOUR_SECONDS;
    let midnight = local - local.rem_euclid(DAY_SECONDS);
    let truth = truth_of_today(&stage, midnight - ahead_of_utc * HOUR_SECONDS)?;
    anyhow::ensure!(!truth.is_empty(), "nothing counts today");
    let date = DateTime::<Utc>::from_timestamp(midnight, 0)
        .context("today is beyond the calendar")?
        .date_naive();

    let began = Instant::now();
    // These zones are named by what has to be added to reach UTC.
    let timezone = format!("Etc/GMT{:+}", -ahead_of_utc);
    let connected = stage
        .connect_in(&timezone, stage.sim.first().key(), LOOKBACK_DAYS)
        .await?;
    let answered = began.elapsed().as_secs_f64();
    let path = format!(
        "/v1/analytics/stripe?connection_id={}&date_from={date}",
        connected.connection_id
    );
    let mut first = None;
    let mut money = None;
    let mut ended = None;
    let job_id = connected.job_id.as_str().unwrap_or_default();
    let job_path = format!("/v1/sync-jobs/{job_id}");
    let looked = async {
        loop {
            let totals = totals_of(&stage.engine.get(&path).await);
            let elapsed = began.elapsed().as_secs_f64();
            if !totals.is_empty() {
                first.get_or_insert(elapsed);
            }
            if but_units(&totals) == but_units(&truth) {
                money.get_or_insert(elapsed);
            }
            if ended.is_none() && money.is_some() {
                let job = stage.engine.get(&job_path).await;
                ended = Some(usize::from(job["status"] != "running"));
            }
            if totals == truth {
                return elapsed;
            }
            tokio::time::sleep(LOOK).await;
        }
    };
    let exact = tokio::time::timeout(WAIT_TIMEOUT, looked)
        .await
        .unwrap_or(f64::INFINITY);

    let mut run = Run::default();
    run.measure(Measure::at_most(
        "first-figures: from asking to connect until today's charges and revenue are exact",
        Unit::Seconds,
        money.unwrap_or(f64::INFINITY),
        MOST_SECONDS,
        "the same limit whatever the size of the account",
    ));
    run.measure(Measure::none(
        "first-figures: syncs that had ended by then",
        ended.unwrap_or(1),
        "the figures are to be there long before the sync ends",
    ));
    run.observe("connecting was answered", answered, Unit::Seconds);
    run.observe(
        "first figures at all",
        first.unwrap_or(f64::INFINITY),
        Unit::Seconds,
    );
    run.observe("quantities exact as well", exact, Unit::Seconds);
    let cancel = format!("{job_path}/cancel");
    stage
        .engine
        .ask(Method::POST, &cancel, Some(json!({})))
        .await;
    stage.close().await?;
    Ok(run)
}

/// By how many hours a time zone is ahead of UTC in which it is past 23 o'clock: -12 to 11.
fn hours_to_the_last_hour(now: DateTime<Utc>) -> i64 {
    let hours = 23 - i64::from(now.hour());
    if hours > 11 { hours - 24 } else { hours }
}

fn truth_of_today(stage: &Stage, today: i64) -> anyhow::Result<Totals> {
    let covered_from = today - i64::from(LOOKBACK_DAYS) * DAY_SECONDS;
    let truth = stage.sim.first().truth(&TruthQuery {
        from: Some(today),
        purchases_from: Some(covered_from - LINES_REACH_BACK_SECONDS),
        ..TruthQuery::default()
    })?;
    let counted = truth.totals.iter().filter_map(|(currency, figures)| {
        true_figures(figures).map(|figures| (currency.clone(), figures))
    });
    Ok(counted.collect())
}

fn totals_of(answer: &Value) -> Totals {
    let totals = answer["totals"].as_array().into_iter().flatten();
    totals
        .map(|total| {
            let currency = total["currency"].as_str().unwrap_or_default().to_owned();
            (currency, figures_of(total))
        })
        .collect()
}

/// Units depend on invoices and sessions, money does not.
fn but_units(totals: &Totals) -> Totals {
    let without = totals.iter().map(|(currency, figures)| {
        let mut figures = *figures;
        figures[1] = 0;
        (currency.clone(), figures)
    });
    without.collect()
}
