//! `demo-billing`: what a platform has set up at Stripe before it sells plans, and what a person does on Stripe's page.
//!
//! A step of `make demo`. `demo-billing SIMULATOR_URL sell` gives the plans that are built in their prices, before the engine starts
//! and reads them; `demo-billing SIMULATOR_URL pay SESSION` goes through a session of Checkout with a card.
//!
//! Deliberately absent: what the engine makes of it.

use std::time::Duration;

use anyhow::Context as _;
use reqwest::Client;
use serde_json::{Value, json};

/// Plan, its name at Stripe, and what it costs by the month, in US cents; a year costs ten months.
const PLANS: [(&str, &str, i64); 2] = [("pro", "Pro", 1_900), ("scale", "Scale", 9_900)];
const MONTHS_OF_A_YEAR: i64 = 10;
const WAIT: Duration = Duration::from_mins(1);

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    common::lifecycle::prepare_process();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        [simulator, "sell"] => sell(simulator).await,
        [simulator, "pay", session] => {
            let path = format!("checkout/{session}/pay");
            post(simulator, &path, &json!({})).await?;
            Ok(())
        }
        _ => anyhow::bail!("usage: demo-billing SIMULATOR_URL sell | pay SESSION"),
    }
}

async fn sell(simulator: &str) -> anyhow::Result<()> {
    for (plan, name, monthly) in PLANS {
        let product = post(simulator, "products", &json!({ "name": name })).await?;
        for (interval, amount) in [("month", monthly), ("year", monthly * MONTHS_OF_A_YEAR)] {
            let price = json!({"product": product["id"], "amount": amount, "interval": interval,
                               "lookup_key": format!("stripe_sync_{plan}_{interval}")});
            post(simulator, "prices", &price).await?;
        }
    }
    Ok(())
}

async fn post(simulator: &str, path: &str, body: &Value) -> anyhow::Result<Value> {
    let client = Client::builder().timeout(WAIT).build()?;
    let base = simulator.trim_end_matches('/');
    let request = client
        .post(format!("{base}/_sim/billing/{path}"))
        .json(body);
    let answer = request.send().await?.error_for_status();
    let answer = answer.with_context(|| format!("the simulator refuses {path}"))?;
    Ok(answer.json().await?)
}
