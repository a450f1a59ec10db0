//! `parked`: objects that Stripe sent and that this version could not read or store.
//!
//! They are kept as they came and are missing from figures until a version can read them. The
//! table lists them; `--json` has each as Stripe sent it.

use serde_json::Value;

use super::responses::Parked as ParkedObject;
use super::{Error, Target};
use crate::arguments;
use crate::output::{self, instant, plain, text, whole};

/// Show parked objects: Stripe objects that could not be read or stored, so figures omit them or use an older version
///
/// `--json` contains each object as Stripe sent it.
#[derive(Debug, clap::Args)]
pub struct Parked {
    /// Only objects of this list, such as charges, invoices or events
    #[arg(long, value_name = "LIST")]
    resource: Option<String>,
    /// The maximum number, 1 to 10000
    #[arg(long, value_name = "N", default_value = "50", value_parser = arguments::whole_number(1..=10_000))]
    limit: u32,
    #[command(flatten)]
    target: Target,
}

impl Parked {
    /// Runs the command.
    pub async fn run(self) -> Result<(), Error> {
        let (client, connection, printer) = self.target.open().await?;
        let path = ["v1", "connectors", &connection, "parked"];
        let resource = self.resource.as_deref();
        let query: Vec<_> = resource
            .map(|list| ("resource", list))
            .into_iter()
            .collect();
        let objects: Vec<Value> = client.newest(self.limit, &path, &query).await?;
        printer.print_list(objects, as_table)
    }
}

fn as_table(objects: &[ParkedObject]) -> String {
    let fields = [
        whole("list", |it: &ParkedObject| plain(&it.resource)),
        whole("object", |it| plain(&it.object_id)),
        whole("parked", |it| instant(it.parked_at)),
        whole("code", |it| plain(&it.code)),
        text("why", |it| plain(&it.detail)),
    ];
    output::table_or("no objects are parked", objects, &fields)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::requests::understood;
    use serde_json::json;

    #[test]
    fn parked_objects_are_named_with_the_reason() {
        assert_eq!(as_table(&[]), "no objects are parked");
        let answer = json!([{"resource": "charges", "object_id": "ch_1", "code": "unknown_shape",
            "detail": "missing field `amount`", "parked_at": "2026-11-21T06:15:00Z",
            "raw": "{\"id\": \"ch_1\"}"}]);
        let text = as_table(&understood::<Vec<ParkedObject>>(answer).unwrap());
        for part in [
            "charges",
            "ch_1",
            "2026-11-21T06:15:00Z",
            "unknown_shape",
            "missing field `amount`",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(
            !text.contains("\"id\""),
            "the raw object is for --json: {text}"
        );
    }
}
