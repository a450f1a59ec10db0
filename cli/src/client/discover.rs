//! `discover`: the metadata keys that an account's objects have, which nobody had to declare.

use clap::builder::PossibleValuesParser;
use common::filter::MetadataSource;
use serde_json::Value;

use super::requests::understood;
use super::responses::DiscoveredKey;
use super::{Error, Target, print_json};
use crate::output::{self, Column};

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
        let json = self.target.json;
        let (client, connection) = self.target.open().await?;
        let path = ["v1", "connectors", &connection, "filters", "discover"];
        let kind = self.object_type.as_deref();
        let query: Vec<_> = kind.map(|kind| ("object_type", kind)).into_iter().collect();
        let keys: Vec<Value> = client.all(&path, &query).await?;
        if json {
            return print_json(&keys);
        }
        let keys: Vec<DiscoveredKey> = understood(keys.into())?;
        Ok(output::print(&as_table(&keys))?)
    }
}

fn as_table(keys: &[DiscoveredKey]) -> String {
    if keys.is_empty() {
        return "no metadata is stored yet".to_owned();
    }
    let rows = keys.iter().map(|key| {
        let samples: Vec<String> = key.sample_values.iter().map(|s| output::plain(s)).collect();
        vec![
            format!("{}.{}", key.object_type, output::plain(&key.key_path)),
            output::plain(&key.value_type),
            output::thousands(key.occurrences),
            format!("{:.0} %", key.coverage * 100.0),
            samples.join(", "),
        ]
    });
    let columns = [
        ("key", Column::Whole),
        ("type", Column::Whole),
        ("objects", Column::Number),
        ("coverage", Column::Number),
        ("samples", Column::Text),
    ];
    output::table(&columns, rows)
}

#[cfg(test)]
mod tests {
    use super::*;
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
