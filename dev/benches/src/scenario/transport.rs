//! Ways to carry a page of charges: HTTP/1.1 over pooled connections or HTTP/2 over one, packed by gzip or not.
//!
//! The simulator answers at once, so that what is measured is the carrying and not Stripe; it takes part in the
//! processor time of every page, the same for each way but for packing. Between this client and that server lies no
//! network and no TLS: what a distant line adds follows from the bytes. Fails when the simulator does not answer.

use anyhow::Context as _;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use reqwest::header::ACCEPT_ENCODING;
use stripe_sim::{AccountConfig, Settings, SimHandle, Simulator};
use tokio::time::Instant;

use crate::measure::{Run, Unit};
use crate::processor;
use crate::sizes::Sizes;

const CHARGES: u64 = 20_000;
const DAYS: u32 = 200;
const SECONDS_PER_DAY: u64 = 86_400;
/// Requests under way, as many as an account may have.
const UNDER_WAY: usize = 25;

/// A way, and the client that takes it.
struct Way {
    name: &'static str,
    packed: bool,
    client: reqwest::Client,
}

fn ways() -> anyhow::Result<[Way; 4]> {
    let way = |name, http2: bool, packed: bool| {
        // As the engine's client, but for what is compared.
        let builder = reqwest::Client::builder()
            .gzip(packed)
            .pool_max_idle_per_host(UNDER_WAY);
        let client = if http2 {
            builder.http2_prior_knowledge()
        } else {
            builder.http1_only()
        };
        client.build().map(|client| Way {
            name,
            packed,
            client,
        })
    };
    Ok([
        way("HTTP/1.1, gzip", false, true)?,
        way("HTTP/2, gzip", true, true)?,
        way("HTTP/1.1, not packed", false, false)?,
        way("HTTP/2, not packed", true, false)?,
    ])
}

/// `transport`.
pub(super) async fn run(sizes: Sizes) -> anyhow::Result<Run> {
    let account = AccountConfig {
        charges: CHARGES,
        days: DAYS,
        charges_only: true,
        settings: Some(Settings::unlimited()),
        ..AccountConfig::default()
    };
    let sim = Simulator::builder().account(account).start().await?;
    let ways = ways()?;
    let urls = pages(&sim, &ways[0], sizes.transported_pages()).await?;
    let mut run = Run::default();
    for way in ways {
        // Connections are made, and pages made up, before it counts.
        fetch(&sim, &way, &urls[..UNDER_WAY.min(urls.len())]).await?;
        let (began, before) = (Instant::now(), processor::of_this_process());
        let bytes = fetch(&sim, &way, &urls).await?;
        let (wall, spent) = (
            began.elapsed().as_secs_f64(),
            processor::of_this_process() - before,
        );
        let pages = urls.len() as f64;
        run.observe(
            format!("{}: pages", way.name),
            pages / wall,
            Unit::PerSecond,
        );
        run.observe(
            format!("{}: processor time of a page, both ends", way.name),
            spent / pages * 1_000.0,
            Unit::Milliseconds,
        );
        if !way.packed {
            run.observe(
                "KiB of a page, not packed",
                bytes as f64 / pages / 1024.0,
                Unit::Count,
            );
        }
    }
    run.observe(
        "KiB of a page, packed",
        packed_bytes(&sim, &urls[0]).await? as f64 / 1024.0,
        Unit::Count,
    );
    sim.stop().await;
    Ok(run)
}

/// Addresses of pages all over the account's history.
async fn pages(sim: &SimHandle, way: &Way, count: u64) -> anyhow::Result<Vec<String>> {
    let newest = format!("{}/v1/charges?limit=1", sim.base_url);
    let request = way.client.get(newest).bearer_auth(sim.first().key());
    let answer = request.send().await?.error_for_status()?;
    let answer: serde_json::Value = answer.json().await?;
    let newest = answer["data"][0]["created"].as_u64().context("a charge")?;
    // Not the oldest tenth, where a page may be short.
    let span = u64::from(DAYS) * SECONDS_PER_DAY * 9 / 10;
    let step = span / count;
    let url = |page| {
        let before = newest - page * step;
        format!("{}/v1/charges?limit=100&created[lt]={before}", sim.base_url)
    };
    Ok((0..count).map(url).collect())
}

/// Reads these pages; their bytes, unpacked.
async fn fetch(sim: &SimHandle, way: &Way, urls: &[String]) -> anyhow::Result<usize> {
    let read = |url: &String| {
        let request = way.client.get(url).bearer_auth(sim.first().key());
        async move {
            let answer = request.send().await?.error_for_status()?;
            anyhow::Ok(answer.bytes().await?.len())
        }
    };
    stream::iter(urls.iter().map(read))
        .buffer_unordered(UNDER_WAY)
        .try_fold(0, async |sum, bytes| Ok(sum + bytes))
        .await
}

async fn packed_bytes(sim: &SimHandle, url: &str) -> anyhow::Result<usize> {
    let client = reqwest::Client::builder().no_gzip().build()?;
    let request = client.get(url).bearer_auth(sim.first().key());
    let answer = request.header(ACCEPT_ENCODING, "gzip").send().await?;
    Ok(answer.error_for_status()?.bytes().await?.len())
}
