//! `webhooks stats`: how many webhooks came, what became of them, and how long each step took.

use serde_json::Value;

use super::responses::{Durations, WebhookStats};
use super::{Ask, Error};
use crate::arguments::{Received, pairs};
use crate::output::{self, Column};

/// Of which events.
#[derive(Debug, clap::Args)]
pub struct Stats {
    #[command(flatten)]
    received: Received,
    #[command(flatten)]
    ask: Ask,
}

impl Stats {
    pub(super) async fn run(self) -> Result<(), Error> {
        let received = self.received.query(["from", "to"]).map_err(Error::Usage)?;
        let (client, printer) = self.ask.open().await?;
        let path = ["v1", "webhooks", "stats"];
        let answer: Value = client.get(&path, &pairs(&received)).await?;
        printer.print(answer, shown)
    }
}

fn shown(stats: &WebhookStats) -> String {
    let counts = [
        ("received", stats.received),
        ("duplicates", stats.duplicates),
        ("missed", stats.missed),
        ("processed", stats.processed),
        ("ignored", stats.ignored),
        ("failed", stats.failed),
        ("dead", stats.dead),
        ("invalid signatures", stats.signature_failures),
        ("waiting now", stats.queue_depth),
    ];
    let mut lines: Vec<(&str, String)> = counts
        .into_iter()
        .map(|(name, count)| (name, output::thousands(count)))
        .collect();
    let oldest = stats.oldest_pending_seconds;
    lines.extend(oldest.map(|seconds| ("oldest", format!("{seconds:.1} s"))));
    let counts = output::listed("webhook events", &lines);
    let steps = [
        ("verification", &stats.verification_ms),
        ("storage", &stats.storage_ms),
        ("response", &stats.response_ms),
        ("processing", &stats.processing_ms),
        ("freshness", &stats.freshness_ms),
    ];
    let columns = [
        ("milliseconds", Column::Text),
        ("half within", Column::Number),
        ("95 % within", Column::Number),
        ("99 % within", Column::Number),
    ];
    let durations = output::table(&columns, steps.map(|(name, of)| durations(name, of)));
    let columns = [
        ("type", Column::Text),
        ("received", Column::Number),
        ("failed", Column::Number),
        ("dead", Column::Number),
    ];
    let types = stats.by_type.iter().map(|of| {
        let counts = [of.received, of.failed, of.dead].map(output::thousands);
        let name = output::plain(&of.event_type);
        std::iter::once(name).chain(counts).collect()
    });
    let types = output::table(&columns, types);
    format!("{counts}\n\n{durations}\n\n{types}")
}

fn durations(name: &str, of: &Durations) -> Vec<String> {
    let shown = |ms: Option<f64>| ms.map_or_else(String::new, |ms| format!("{ms:.1}"));
    vec![name.to_owned(), shown(of.p50), shown(of.p95), shown(of.p99)]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::client::requests::understood;

    #[test]
    fn every_figure_of_the_engine_is_shown() {
        let of = |ms: f64| json!({"p50": ms, "p95": ms, "p99": null});
        let stats = understood(json!({
            "received": 1201, "duplicates": 2, "missed": 3, "processed": 4, "ignored": 5, "failed": 6, "dead": 7,
            "signature_failures": 8, "queue_depth": 9, "oldest_pending_seconds": 10.5, "verification_ms": of(11.0),
            "storage_ms": of(12.0), "response_ms": of(13.0), "processing_ms": of(14.0), "freshness_ms": of(15.0),
            "by_type": [{"type": "charge.refunded", "received": 16, "failed": 17, "dead": 18}], "by_hour": []}));
        let text = shown(&stats.unwrap());
        assert!(text.contains("1,201"), "{text}");
        for figure in 2..=18 {
            assert!(text.contains(&figure.to_string()), "{figure}: {text}");
        }
    }
}
