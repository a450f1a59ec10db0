//! The `stripe-sim` program: reads its options, starts a simulator, prints where it listens, and
//! serves until it is interrupted.

use std::net::SocketAddr;

use anyhow::Context as _;
use clap::{Parser, ValueEnum};
use stripe_sim::{AccountConfig, ApiVersion, Settings, Simulator, TimeSource};
use tracing_subscriber::EnvFilter;

/// A stateful fake Stripe.
///
/// Serves the read side of the API under /v1 (account, charges, customers, products, prices,
/// invoices, invoice payments, checkout sessions, payment intents, refunds, disputes, events,
/// balance transactions) for generated accounts, and controls under /_sim that need no key:
/// refund, capture, dispute, new charges, metadata, faults, clock, counters, webhook endpoints with
/// what was delivered to them, and /_sim/truth with the exact totals that a sync must find.
/// Each account can be a Connect platform: connected accounts with an onboarding page, transfers and
/// payouts under /v1, what happens to them under /_sim/connect.
/// GET /_sim lists the accounts and their keys.
#[derive(Debug, Parser)]
#[command(version, after_help = EXAMPLES)]
struct Options {
    /// Where to listen; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:12111")]
    bind: SocketAddr,
    /// Charges of the first account
    #[arg(long, default_value_t = 2_000)]
    charges: u64,
    /// Decides every generated value
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Days before the start over which charges are spread
    #[arg(long, default_value_t = 365)]
    days: u32,
    /// Live mode instead of test mode
    #[arg(long)]
    livemode: bool,
    /// The first account's secret key [default: `sk_test_sim_1` or `sk_live_sim_1`]
    #[arg(long)]
    key: Option<String>,
    /// Idle accounts besides the first, with keys `sk_test_sim_2`, `sk_test_sim_3`, …
    #[arg(long, default_value_t = 0)]
    accounts: usize,
    /// Charges of each idle account
    #[arg(long, default_value_t = 10)]
    idle_charges: u64,
    /// Start at this Unix time, in seconds, instead of now
    #[arg(long)]
    now: Option<i64>,
    /// Milliseconds before every answer
    #[arg(long, default_value_t = 0)]
    latency_ms: u64,
    /// Up to so many milliseconds more
    #[arg(long, default_value_t = 0)]
    latency_jitter_ms: u64,
    /// Requests a second for an account, 0 for no limit [default: 100 live, 25 test]
    #[arg(long)]
    rate_global: Option<u32>,
    /// Requests a second for an endpoint, 0 for no limit [default: 25]
    #[arg(long)]
    rate_endpoint: Option<u32>,
    /// Requests answered at the same time for an account, 0 for no limit
    #[arg(long, default_value_t = 0)]
    concurrency: u32,
    /// Seconds after `created` at which lists show an object
    #[arg(long, default_value_t = 0)]
    visibility_lag_seconds: i64,
    /// Seconds after `created` at which lists show an event
    #[arg(long, default_value_t = 0)]
    event_lag_seconds: i64,
    /// Of 100 requests, how many fail with a 500
    #[arg(long, default_value_t = 0.0)]
    fault_500_percent: f64,
    /// Of 100 requests, how many are refused with a 429
    #[arg(long, default_value_t = 0.0)]
    fault_429_percent: f64,
    /// Of 100 requests, how many have their connection reset
    #[arg(long, default_value_t = 0.0)]
    fault_reset_percent: f64,
    /// Of 100 requests, how many get half of their answer
    #[arg(long, default_value_t = 0.0)]
    fault_truncate_percent: f64,
    /// Whether `amount_refunded` of a partly captured charge includes the part released
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set)]
    partial_capture_refund: bool,
    /// Of 100 invoices, how many have 11 to 14 lines, which is more than are shown inline
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(0..=100))]
    long_invoice_percent: u8,
    /// Answer in the shape of 2025-02-24.acacia where a request names no version
    #[arg(long)]
    acacia: bool,
    /// Answer in this shape whatever version a request names
    #[arg(long, value_enum)]
    always: Option<Shape>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Shape {
    Acacia,
    Dahlia,
}

impl From<Shape> for ApiVersion {
    fn from(shape: Shape) -> Self {
        match shape {
            Shape::Acacia => Self::Acacia,
            Shape::Dahlia => Self::Dahlia,
        }
    }
}

const EXAMPLES: &str = "\
Examples:
  stripe-sim --charges 1000000 --rate-global 100 --rate-endpoint 0 --livemode
  curl -s -u sk_test_sim_1: 'http://127.0.0.1:12111/v1/charges?limit=2&expand[]=data.customer'
  curl -s 'http://127.0.0.1:12111/_sim/truth?timezone=Europe/Berlin&metadata=charge.tier'
  curl -s -X POST 'http://127.0.0.1:12111/_sim/charges' -d '{\"amount\": 4200, \"currency\": \"eur\"}'
  curl -s -X POST 'http://127.0.0.1:12111/_sim/charges/ch_…/refund' -d '{\"amount\": 100}'
  curl -s -X POST 'http://127.0.0.1:12111/_sim/faults' -d '{\"fault\": \"reset\", \"times\": 3}'
  curl -s -X POST 'http://127.0.0.1:12111/_sim/webhook_endpoints' \\
    -d '{\"url\": \"http://127.0.0.1:8080/hook\", \"enabled_events\": [\"charge.*\"], \"time_scale\": 0.001}'
  curl -s -u sk_test_sim_1: 'http://127.0.0.1:12111/v1/accounts' -d type=express \\
    -d 'capabilities[transfers][requested]=true'
  curl -s -X POST 'http://127.0.0.1:12111/_sim/connect/fund' -d '{\"amount\": 5000, \"currency\": \"usd\"}'
  curl -s 'http://127.0.0.1:12111/_sim/webhook_endpoints/we_…'
  curl -s -X POST 'http://127.0.0.1:12111/_sim/webhook_endpoints/we_…/faults' \\
    -d '{\"fault\": \"duplicate\", \"percent\": 10}'";

impl Options {
    fn settings(&self) -> Settings {
        let stripe = Settings::stripe(self.livemode);
        Settings {
            latency_ms: self.latency_ms,
            latency_jitter_ms: self.latency_jitter_ms,
            rate_global: self.rate_global.unwrap_or(stripe.rate_global),
            rate_endpoint: self.rate_endpoint.unwrap_or(stripe.rate_endpoint),
            concurrency: self.concurrency,
            visibility_lag_seconds: self.visibility_lag_seconds,
            event_lag_seconds: self.event_lag_seconds,
            fault_500_percent: self.fault_500_percent,
            fault_429_percent: self.fault_429_percent,
            fault_reset_percent: self.fault_reset_percent,
            fault_truncate_percent: self.fault_truncate_percent,
            ..stripe
        }
    }

    fn account(&self) -> AccountConfig {
        AccountConfig {
            seed: self.seed,
            charges: self.charges,
            days: self.days,
            livemode: self.livemode,
            partial_capture_refund: self.partial_capture_refund,
            long_invoice_percent: self.long_invoice_percent,
            version: if self.acacia {
                ApiVersion::Acacia
            } else {
                ApiVersion::Dahlia
            },
            always: self.always.map(ApiVersion::from),
            key: self.key.clone(),
            settings: Some(self.settings()),
            ..AccountConfig::default()
        }
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
    let time = options
        .now
        .map_or(TimeSource::System, TimeSource::RunningFrom);
    let handle = Simulator::builder()
        .bind(options.bind)
        .time(time)
        .account(options.account())
        .idle_accounts(options.accounts, options.idle_charges)
        .start()
        .await
        .context("the simulator did not start")?;
    let account = handle.first();
    println!("{}", handle.base_url);
    tracing::info!(account = account.id(), key = account.key(), "serving");
    tokio::signal::ctrl_c()
        .await
        .context("cannot wait for an interrupt")?;
    handle.stop().await;
    Ok(())
}
