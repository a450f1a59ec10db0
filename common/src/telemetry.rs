//! Logs and metrics of a process: one subscriber and one recorder, however many programs run in it.
//!
//! Logs go to standard error, so that a command's answer stays alone on standard output. Metrics are
//! kept in memory and read by [`render`]. Both are installed once and later calls change nothing,
//! because `stripe-sync up` runs three programs in one process and tests run many. Absent on purpose:
//! pushing either of them anywhere, which is the work of what scrapes and collects.

use std::io::IsTerminal as _;
use std::sync::OnceLock;
use std::time::Duration;

use metrics_exporter_prometheus::{BuildError, PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _};

use crate::config::{LogConfig, LogFormat};

/// Upper bounds of histogram buckets, in seconds: from one query to a long job.
const BUCKETS_SECS: [f64; 14] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0, 1800.0,
];

/// How often [`keep_metrics`] folds recorded samples together.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);

static METRICS: OnceLock<PrometheusHandle> = OnceLock::new();

/// The crates whose lines at `info` are for operators; what libraries say there is of use to their authors.
const OURS: [&str; 8] = [
    "api",
    "cli",
    "common",
    "consumer",
    "scheduler",
    "stripe",
    "stripe_sim",
    "stripe_sync",
];

/// The directives to log by: `info` alone means ours, and what libraries warn of. Anything else is taken at its
/// word.
fn directives(rust_log: &str) -> String {
    if !rust_log.trim().eq_ignore_ascii_case("info") {
        return rust_log.to_owned();
    }
    let ours = OURS.map(|name| format!("{name}=info"));
    format!("warn,{}", ours.join(","))
}

/// Starts logging as configured. The first call in a process wins.
pub fn init_logs(config: &LogConfig) {
    let filter = EnvFilter::try_new(directives(&config.rust_log))
        .unwrap_or_else(|_| EnvFilter::new(directives("info")));
    let terminal = std::io::stderr().is_terminal();
    let format = config.log_format.unwrap_or(if terminal {
        LogFormat::Pretty
    } else {
        LogFormat::Json
    });
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let lines = match format {
        LogFormat::Pretty => lines.with_ansi(terminal).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    // Fails when a subscriber is there already, which is then the one to use.
    let _ = tracing_subscriber::registry()
        .with(filter)
        .with(lines)
        .try_init();
}

/// Starts recording metrics. Later calls change nothing.
///
/// # Errors
/// Never with the constants above; the library checks that there are buckets.
pub fn init_metrics() -> Result<(), BuildError> {
    if METRICS.get().is_some() {
        return Ok(());
    }
    let recorder = PrometheusBuilder::new()
        .set_buckets(&BUCKETS_SECS)?
        .build_recorder();
    let handle = recorder.handle();
    // Of two first calls at once, the recorder that becomes the process's is the one to render.
    if metrics::set_global_recorder(recorder).is_ok() {
        let _ = METRICS.set(handle);
    }
    Ok(())
}

/// Every metric in the text format of Prometheus; empty before [`init_metrics`].
pub fn render() -> String {
    METRICS
        .get()
        .map(PrometheusHandle::render)
        .unwrap_or_default()
}

/// Folds recorded samples together from time to time, so that memory stays bounded when nobody
/// scrapes. Runs until it is dropped.
pub async fn keep_metrics() {
    let mut interval = tokio::time::interval(UPKEEP_INTERVAL);
    loop {
        interval.tick().await;
        if let Some(handle) = METRICS.get() {
            handle.run_upkeep();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_installed_once_and_rendered() {
        init_metrics().unwrap();
        init_metrics().unwrap();
        metrics::counter!("telemetry_test_total").increment(2);
        assert!(render().contains("telemetry_test_total 2"), "{}", render());
        init_logs(&LogConfig::default());
        init_logs(&LogConfig::default());
    }
}
