//! `discover`: the metadata keys that an account's objects have, which nobody had to declare.

use clap::builder::PossibleValuesParser;
use common::filter::MetadataSource;
use serde_json::Value;

use super::responses::DiscoveredKey;
use super::{Error, Target};
use crate::output::{self, number, plain, text, whole};

/// Show the metadata keys by which revenue can be grouped and filtered
#[derive(Debug, clap::Args)]
pub struct Discover {
    /// Only keys of this kind of object
    #[arg(long, value_name = "KIND",
          value_parser = PossibleValuesParser::new(MetadataSource::ALL.map(MetadataSource::as_str)))]
    object_type: Option<String>,
    #[command(flatten)]
    target: Target,
}

impl Discover {
    /// Runs the command.
    pub async fn run(self) -> Result<(), Error> {
        let (client, connection, printer) = self.target.open().await?;
        let path = ["v1", "connectors", &connection, "filters", "discover"];
        let kind = self.object_type.as_deref();
        let query: Vec<_> = kind.map(|kind| ("object_type", kind)).into_iter().collect();
        let keys: Vec<Value> = client.all(&path, &query).await?;
        printer.print_list(keys, as_table)
    }
}

fn as_table(keys: &[DiscoveredKey]) -> String {
    let fields = [
        whole("key", |it: &DiscoveredKey| {
            format!("{}.{}", it.object_type, plain(&it.key_path))
        }),
        whole("type", |it| plain(&it.value_type)),
        number("objects", |it| output::thousands(it.occurrences)),
        number("coverage", |it| format!("{:.0} %", it.coverage * 100.0)),
        text("samples", |it| {
            let samples: Vec<String> = it.sample_values.iter().map(|s| plain(s)).collect();
            samples.join(", ")
        }),
    ];
    output::table_or("no metadata is stored yet", keys, &fields)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::requests::understood;
    use serde_json::json;

    #[test]
    fn keys_are_shown_as_they_are_used() {
        let answer = json!([{"object_type": "charge", "key_path": "tier", "value_type": "string",
            "occurrences": 1234, "coverage": 0.5, "sample_values": ["free", "gold"],
            "first_seen": "2026-11-01T00:00:00Z", "last_seen": "2026-11-21T00:00:00Z"}]);
        let text = as_table(&understood::<Vec<DiscoveredKey>>(answer).unwrap());
        for part in ["charge.tier", "string", "1,234", "50 %", "free, gold"] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert_eq!(as_table(&[]), "no metadata is stored yet");
    }
}
