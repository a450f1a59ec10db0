//! The first sync of a small account, against the fewest requests that read all of it.
//!
//! The fewest are counted by reading every list of the account: one request for each hundred objects, one for
//! a list that is empty, and one for each object of which Stripe inlines only a part of a list.

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use serde_json::Value;
use stripe_sim::{AccountConfig, Settings};

use crate::measure::{Measure, Run, Unit, thousands};
use crate::stage::{Servers, Stage};

const LATENCY_MS: u64 = 300;
const LOOKBACK_DAYS: u32 = 366;
/// How long before the range invoices and sessions count, as docs/figures-in-detail.md says.
const LINES_REACH_BACK_SECONDS: i64 = 35 * 86_400;
const PAGE: usize = 100;

/// A list, what the engine lets Stripe inline in it, and where its objects hold lists of their own.
struct List {
    path: &'static str,
    expand: &'static [&'static str],
    inlined: &'static [&'static str],
    reach: Reach,
}

/// From when on the objects of a list count.
enum Reach {
    Range,
    Lines,
    Always,
}

const LISTS: [List; 6] = [
    List {
        path: "/v1/charges",
        expand: &["data.refunds"],
        inlined: &["refunds"],
        reach: Reach::Range,
    },
    List {
        path: "/v1/invoices",
        expand: &["data.payments"],
        inlined: &["lines", "payments"],
        reach: Reach::Lines,
    },
    List {
        path: "/v1/checkout/sessions",
        expand: &["data.line_items"],
        inlined: &["line_items"],
        reach: Reach::Lines,
    },
    List {
        path: "/v1/products",
        expand: &[],
        inlined: &[],
        reach: Reach::Always,
    },
    List {
        path: "/v1/prices",
        expand: &[],
        inlined: &[],
        reach: Reach::Always,
    },
    List {
        path: "/v1/disputes",
        expand: &[],
        inlined: &[],
        reach: Reach::Range,
    },
];

/// `small`.
pub(super) async fn run(servers: &Servers) -> anyhow::Result<Run> {
    let charges = servers.sizes.small_charges();
    let account = AccountConfig {
        charges,
        livemode: true,
        settings: Some(Settings::unlimited()),
        ..AccountConfig::default()
    };
    let mut stage = Stage::with_account(servers, account).await?;
    stage.start_all().await;
    stage.sim.configure_all(|settings| {
        *settings = Settings {
            latency_ms: LATENCY_MS,
            ..Settings::stripe(true)
        };
    });
    let key = stage.sim.first().key().to_owned();
    let (connected, wall) = stage.first_sync(&key, LOOKBACK_DAYS).await?;
    let requests = stage.sim.requests();
    stage
        .sim
        .configure_all(|settings| *settings = Settings::unlimited());
    let path = format!("/v1/connectors/{}/sync-status", connected.connection_id);
    let status = stage.engine.get(&path).await;
    let from: DateTime<Utc> = status["covered"]["from"]
        .as_str()
        .context("covered")?
        .parse()?;
    let fewest = fewest_requests(&stage, &key, from).await?;
    let mut run = Run::default();
    run.measure(Measure::of_floor(
        format!("small: requests of the first sync of {} charges", thousands(charges as f64)),
        Unit::Requests,
        requests.total as f64,
        (fewest as f64, 1.3),
        "floor: a request for each hundred objects of each list, and one for each list that is inlined in part",
    ));
    run.observe("wall time", wall, Unit::Seconds);
    for path in LISTS.map(|list| list.path) {
        let asked = requests.of(&format!("GET {path}"));
        run.observe(format!("requests for {path}"), asked as f64, Unit::Requests);
    }
    stage.close().await?;
    Ok(run)
}

async fn fewest_requests(stage: &Stage, key: &str, from: DateTime<Utc>) -> anyhow::Result<usize> {
    let http = reqwest::Client::builder().build()?;
    let mut fewest = 0;
    for list in &LISTS {
        let from = match list.reach {
            Reach::Range => from.timestamp(),
            Reach::Lines => from.timestamp() - LINES_REACH_BACK_SECONDS,
            Reach::Always => 0,
        };
        let (mut objects, mut cut_off) = (0, 0);
        let mut after: Option<String> = None;
        loop {
            let mut query = vec![
                ("limit", PAGE.to_string()),
                ("created[gte]", from.to_string()),
            ];
            query.extend(
                list.expand
                    .iter()
                    .map(|field| ("expand[]", (*field).to_owned())),
            );
            query.extend(after.take().map(|id| ("starting_after", id)));
            let request = http.get(format!("{}{}", stage.sim.base_url, list.path));
            let page: Value = request
                .bearer_auth(key)
                .query(&query)
                .send()
                .await?
                .error_for_status()?
                .json()
                .await?;
            let data = page["data"].as_array().context("a list")?;
            objects += data.len();
            let in_part = |object: &&Value| {
                let mut lists = list.inlined.iter().map(|name| &object[*name]);
                lists.any(|inlined| inlined["has_more"] == true)
            };
            cut_off += data.iter().filter(in_part).count();
            let last = data.last().and_then(|object| object["id"].as_str());
            match last.filter(|_| page["has_more"] == true) {
                Some(id) => after = Some(id.to_owned()),
                None => break,
            }
        }
        fewest += objects.div_ceil(PAGE).max(1) + cut_off;
    }
    Ok(fewest)
}
