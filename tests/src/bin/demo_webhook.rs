//! `demo-webhook`: a refund at the simulator, and how long it takes into the engine's figures by a webhook.
//!
//! A step of `make demo`. `demo-webhook SIMULATOR_URL add ENDPOINT_URL` has the simulator send its events to an address of
//! the engine and prints the signing secret; `demo-webhook SIMULATOR_URL refund`, after the secret is stored, makes the
//! refund and waits for it; `demo-webhook SIMULATOR_URL live` then makes a change every few seconds until the simulator is
//! gone, so that the pages move while one looks. `STRIPE_SYNC_URL` and `STRIPE_SYNC_TOKEN` are read from the environment. It fails when the
//! refund is not in the figures, or not every event applied, within a minute.
//!
//! Deliberately absent: a comparison with the truth, which `demo-check` makes afterwards.

use std::time::Duration;

use anyhow::Context as _;
use reqwest::{Client, RequestBuilder};
use serde_json::{Value, json};
use tokio::time::Instant;

/// Minor units of the refund, and its currency.
const REFUND: i64 = 1200;
const CURRENCY: &str = "usd";
/// How long anything may take.
const WAIT: Duration = Duration::from_mins(1);
/// Between two looks at the figures: fewer than a token may have in a second, and a fair measure.
const PAUSE: Duration = Duration::from_millis(20);
/// Between two changes of a lively account.
const BETWEEN_CHANGES: Duration = Duration::from_secs(3);

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    common::lifecycle::prepare_process();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let demo = Demo::from_environment(arguments.first().copied().unwrap_or_default())?;
    match arguments[..] {
        [_, "add", url] => {
            println!("{}", demo.add_endpoint(url).await?);
            Ok(())
        }
        [_, "refund"] => demo.refund().await,
        [_, "live"] => demo.live().await,
        _ => anyhow::bail!("usage: demo-webhook SIMULATOR_URL add ENDPOINT_URL | refund | live"),
    }
}

struct Demo {
    client: Client,
    simulator: String,
    engine: String,
    token: String,
}

impl Demo {
    fn from_environment(simulator: &str) -> anyhow::Result<Self> {
        let variable =
            |name: &str| std::env::var(name).with_context(|| format!("{name} is not set"));
        let base = |url: &str| url.trim_end_matches('/').to_owned();
        Ok(Self {
            client: Client::builder().timeout(WAIT).build()?,
            simulator: base(simulator),
            engine: base(&variable("STRIPE_SYNC_URL")?),
            token: variable("STRIPE_SYNC_TOKEN")?,
        })
    }

    /// The signing secret of the simulator's new endpoint.
    async fn add_endpoint(&self, url: &str) -> anyhow::Result<String> {
        let added = self
            .change("webhook_endpoints", &json!({ "url": url }))
            .await?;
        Ok(text(&added["secret"])?.to_owned())
    }

    async fn refund(&self) -> anyhow::Result<()> {
        let connections = self.ask("/v1/connectors").await?;
        let id = text(&connections["data"][0]["connection_id"])?;
        let before = self.refunded(id).await?;
        let started = self.make_refund(id).await?;
        until(async || Ok(self.refunded(id).await? == before + REFUND))
            .await
            .context("the refund is not in the figures")?;
        let milliseconds = started.elapsed().as_millis();
        let (whole, cents) = (REFUND / 100, REFUND % 100);
        let currency = CURRENCY.to_uppercase();
        println!(
            "webhook: a refund of {whole}.{cents:02} {currency} was in the figures after {milliseconds} ms"
        );
        // One refund makes several events; the figures are compared once none of them is being applied.
        until(async || self.is_idle(id).await)
            .await
            .context("not every event was applied")
    }

    /// Charges, refunds and other changes, until the simulator no longer answers.
    async fn live(&self) -> anyhow::Result<()> {
        for seed in 1_u64.. {
            let change = json!({"operations": 1, "seed": seed});
            if self.change("churn", &change).await.is_err() {
                break;
            }
            tokio::time::sleep(BETWEEN_CHANGES).await;
        }
        Ok(())
    }

    /// Refunds a charge that counts and has enough left; when that was asked for.
    async fn make_refund(&self, connection: &str) -> anyhow::Result<Instant> {
        let path = format!("/v1/analytics/stripe/charges?connection_id={connection}&limit=1000");
        let rows = self.ask(&path).await?;
        let rows = rows["data"].as_array().context("a list of charges")?;
        let enough = rows.iter().filter(|row| {
            row["currency"] == CURRENCY
                && row["counted"] == true
                && row["net"].as_i64() > Some(REFUND)
        });
        for row in enough {
            let path = format!("charges/{}/refund", text(&row["charge_id"])?);
            let asked = Instant::now();
            // The simulator refuses a refund where Stripe does, such as of a disputed charge.
            if self
                .change(&path, &json!({ "amount": REFUND }))
                .await
                .is_ok()
            {
                return Ok(asked);
            }
        }
        anyhow::bail!("no charge can be refunded")
    }

    /// What the engine has as refunded.
    async fn refunded(&self, connection: &str) -> anyhow::Result<i64> {
        let path =
            format!("/v1/analytics/stripe?connection_id={connection}&group_by=currency&limit=1");
        let report = self.ask(&path).await?;
        let totals = report["totals"].as_array().context("totals")?;
        let total = totals.iter().find(|total| total["currency"] == CURRENCY);
        total
            .and_then(|total| total["refunded"].as_i64())
            .with_context(|| format!("no charge in {CURRENCY} is stored"))
    }

    /// Whether no event waits and no job runs.
    async fn is_idle(&self, connection: &str) -> anyhow::Result<bool> {
        let stats = self.ask("/v1/webhooks/stats").await?;
        let path = format!("/v1/connectors/{connection}/jobs?limit=1");
        let jobs = self.ask(&path).await?;
        Ok(stats["queue_depth"] == 0 && !jobs["data"][0]["finished_at"].is_null())
    }

    async fn ask(&self, path: &str) -> anyhow::Result<Value> {
        let request = self.client.get(format!("{}{path}", self.engine));
        answer(request.bearer_auth(&self.token)).await
    }

    async fn change(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        let url = format!("{}/_sim/{path}", self.simulator);
        answer(self.client.post(url).json(body)).await
    }
}

async fn answer(request: RequestBuilder) -> anyhow::Result<Value> {
    let response = request.send().await?;
    let (status, url) = (response.status(), response.url().clone());
    let body = response.text().await?;
    anyhow::ensure!(status.is_success(), "{url} answers {status}: {body}");
    serde_json::from_str(&body)
        .with_context(|| format!("{url} answers something else: {body:.300}"))
}

fn text(value: &Value) -> anyhow::Result<&str> {
    value
        .as_str()
        .context("an answer has no text where one is expected")
}

/// Asks until it is so.
async fn until(mut is_so: impl AsyncFnMut() -> anyhow::Result<bool>) -> anyhow::Result<()> {
    let asking = async {
        while !is_so().await? {
            tokio::time::sleep(PAUSE).await;
        }
        anyhow::Ok(())
    };
    tokio::time::timeout(WAIT, asking)
        .await
        .context("a minute has passed")?
}
