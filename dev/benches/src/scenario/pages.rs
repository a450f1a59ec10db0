//! The two pages that are opened most, over one large connection: how long each takes, against the calls of the REST API
//! that answer the same, made in the same order and at the same time.
//!
//! Both ask for the last thirty days, as they do for whoever has chosen nothing.

use anyhow::Context as _;
use chrono::TimeDelta;
use common::clock::{Clock as _, SystemClock};
use futures::future::try_join_all;
use reqwest::{StatusCode, header, redirect};
use serde_json::Value;

use super::analytics::{Asker, milliseconds};
use crate::measure::{Measure, Pair, Run, Unit, median};

/// By how much a page may take longer than its calls.
const CALLS_FACTOR: f64 = 1.3;
/// Days that a page shows of itself.
const DAYS: i64 = 30;

pub(super) async fn run(asker: &Asker<'_>, id: &str, run: &mut Run) -> anyhow::Result<()> {
    let browser = Browser::sign_in(asker).await?;
    let keys = format!("/v1/connectors/{id}/filters/discover?limit=500");
    let key = first_key(&asker.get(&keys).await?)?;
    let today = SystemClock.now().date_naive();
    let (from, before) = (
        today - TimeDelta::days(DAYS - 1),
        today - TimeDelta::days(DAYS),
    );
    let report =
        |days: &str, more: &str| format!("/v1/analytics/stripe?connection_id={id}&{days}{more}");
    let days = format!("date_from={from}&date_to={today}");
    let days_before = format!(
        "date_from={}&date_to={before}",
        from - TimeDelta::days(DAYS)
    );
    let by_day = report(&days, "&group_by=day&limit=1000");
    let answer: Value = serde_json::from_slice(&asker.get(&by_day).await?)?;
    let totals = answer["totals"].as_array().context("totals")?;
    let most = totals.iter().max_by_key(|total| total["charges"].as_i64());
    let currency = most.and_then(|total| total["currency"].as_str());
    let currency = format!("&currency={}", currency.context("a currency")?);
    let list = |group: &str| report(&days, &format!("{currency}&group_by={group}&limit=6"));
    let then = [
        report(&days_before, &currency),
        list("product"),
        list(&format!("metadata:{key}")),
        list("country"),
    ];
    let all_connections = "/v1/connectors?limit=1000";
    let overview_calls = async || {
        for path in [all_connections, &keys, &by_day] {
            asker.get(path).await?;
        }
        try_join_all(then.iter().map(|path| asker.get(path))).await?;
        anyhow::Ok(())
    };
    let groups = report(&days, &format!("&group_by=metadata:{key}&limit=50"));
    let explore_calls = async || {
        for path in [all_connections, &keys, &groups] {
            asker.get(path).await?;
        }
        anyhow::Ok(())
    };
    let query = format!("?connection_id={id}");
    let overview = browser
        .page(asker, &format!("/{query}"), overview_calls)
        .await?;
    let explore = browser
        .page(asker, &format!("/explore{query}"), explore_calls)
        .await?;
    for (name, pairs) in [("overview", overview), ("Explore", explore)] {
        let took = pairs.iter().map(|pair| pair.figure);
        run.observe(format!("the page {name}"), median(took), Unit::Milliseconds);
        run.measure(Measure::of_floors(
            format!("pages: {name} of a large connection"),
            Unit::Milliseconds,
            &pairs,
            CALLS_FACTOR,
            "floor: the calls of the REST API that answer the same, in the same order and at the same time",
        ));
    }
    Ok(())
}

/// Somebody who is signed in.
struct Browser {
    http: reqwest::Client,
    cookie: String,
}

impl Browser {
    async fn sign_in(asker: &Asker<'_>) -> anyhow::Result<Self> {
        let http = reqwest::Client::builder().no_gzip();
        let http = http.redirect(redirect::Policy::none()).build()?;
        let engine = &asker.stage.engine;
        let url = format!("{}/sign-in", engine.api_url);
        let request = http.post(url).header("sec-fetch-site", "same-origin");
        let request = request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        // Tokens have no character that a form would escape.
        let request = request.body(format!("token={}", engine.token));
        let answer = request.send().await?;
        anyhow::ensure!(
            answer.status() == StatusCode::SEE_OTHER,
            "signing in was answered with {}",
            answer.status()
        );
        let cookie = answer.headers().get(header::SET_COOKIE);
        let cookie = cookie.context("a cookie")?.to_str()?;
        let (cookie, _) = cookie.split_once(';').context("a cookie's attributes")?;
        Ok(Self {
            http,
            cookie: cookie.to_owned(),
        })
    }

    /// How long these calls and this page take, in turn.
    async fn page(
        &self,
        asker: &Asker<'_>,
        path: &str,
        calls: impl AsyncFn() -> anyhow::Result<()>,
    ) -> anyhow::Result<Vec<Pair>> {
        let url = format!("{}{path}", asker.stage.engine.api_url);
        let open = async || {
            let request = self.http.get(&url).header(header::COOKIE, &self.cookie);
            let answer = request.send().await?;
            anyhow::ensure!(
                answer.status() == StatusCode::OK,
                "{path} was answered with {}",
                answer.status()
            );
            answer.bytes().await?;
            Ok(())
        };
        let calls = async || milliseconds(calls()).await;
        let open = async || milliseconds(open()).await;
        asker.pairs(calls, open).await
    }
}

/// The metadata key that pages choose: the most common one of charges.
fn first_key(answer: &[u8]) -> anyhow::Result<String> {
    let keys: Value = serde_json::from_slice(answer)?;
    let keys = keys["data"].as_array().context("keys")?.iter();
    let of_charges = keys.filter(|key| key["object_type"] == "charge");
    let most = of_charges.max_by_key(|key| key["occurrences"].as_i64());
    let path = most.and_then(|key| key["key_path"].as_str());
    Ok(format!("charge.{}", path.context("a key of charges")?))
}
