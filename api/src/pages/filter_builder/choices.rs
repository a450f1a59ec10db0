//! What the form of conditions offers: keys, the operators that make sense for each, and values that a key has.
//!
//! Values are the samples of the catalogue. A sample that hides or shortens its value is not offered, since no charge has it.

use common::catalogue::queries::CatalogueKey;
use common::catalogue::redact;
use common::filter::{Field, MetadataSource, Operator};

use crate::pages::condition::operator_text;
use crate::pages::question::key_name;

/// Values that are suggested where no key is chosen yet.
const MAX_SUGGESTED: usize = 300;

const EQUALITIES: [Operator; 2] = [Operator::Equals, Operator::NotEquals];
const LISTS: [Operator; 2] = [Operator::In, Operator::NotIn];
const PARTS: [Operator; 4] = [
    Operator::Contains,
    Operator::NotContains,
    Operator::StartsWith,
    Operator::EndsWith,
];
const PRESENCE: [Operator; 2] = [Operator::Exists, Operator::NotExists];
const ORDERS: [Operator; 4] = [Operator::Gt, Operator::Gte, Operator::Lt, Operator::Lte];

/// A choice of a list.
#[derive(Debug)]
pub(super) struct Shown {
    pub(super) value: String,
    pub(super) label: String,
    pub(super) chosen: bool,
}

impl Shown {
    fn of(value: &str, label: &str, chosen: &str) -> Self {
        Self {
            value: value.to_owned(),
            label: label.to_owned(),
            chosen: value == chosen,
        }
    }
}

/// What can be chosen of an account.
#[derive(Debug)]
pub(in crate::pages) struct Suggestions<'a>(pub(in crate::pages) &'a [CatalogueKey]);

impl Suggestions<'_> {
    /// All that can be compared, by kind. What is chosen is among it even where the catalogue does not know it.
    pub(super) fn keys(&self, chosen: &str) -> Vec<(&'static str, Vec<Shown>)> {
        let discovered = self.0.iter().map(key_name);
        let metadata = discovered.map(|name| Shown::of(&format!("metadata.{name}"), &name, chosen));
        let mut metadata: Vec<Shown> = metadata.collect();
        let fields = Field::ALL.map(|field| {
            let name = format!("field.{}", field.as_str());
            Shown::of(&name, field_label(field), chosen)
        });
        let is_known = |shown: &Shown| shown.chosen;
        if !chosen.is_empty() && !metadata.iter().chain(&fields).any(is_known) {
            metadata.push(Shown::of(chosen, label(chosen), chosen));
        }
        vec![
            ("Metadata", metadata),
            ("Fields of the charge", fields.into()),
        ]
    }

    /// Values that a key has; those of all keys where none is chosen.
    pub(super) fn values(&self, name: &str) -> Vec<String> {
        let fixed: &[&str] = match name {
            "field.livemode" => &["true", "false"],
            "field.status" => &["succeeded", "pending", "failed"],
            _ => &[],
        };
        let of_keys = self.samples(name).filter(|sample| redact::is_whole(sample));
        let mut values: Vec<String> = fixed.iter().map(|value| (*value).to_owned()).collect();
        values.extend(of_keys.map(str::to_owned));
        values.sort_unstable();
        values.dedup();
        values.truncate(MAX_SUGGESTED);
        values
    }

    /// Whether a key has values that are not suggested.
    pub(super) fn hides_values_of(&self, name: &str) -> bool {
        !name.is_empty() && self.samples(name).any(|sample| !redact::is_whole(sample))
    }

    fn samples(&self, name: &str) -> impl Iterator<Item = &str> {
        let key = name.strip_prefix("metadata.").unwrap_or(name);
        let of_key = move |found: &&CatalogueKey| key.is_empty() || key_name(found) == key;
        let found = self.0.iter().filter(of_key);
        found.flat_map(|found| found.entry.samples.iter().map(String::as_str))
    }
}

/// What people call what is compared: `charge.tier`, `Amount`.
pub(super) fn label(name: &str) -> &str {
    let mut fields = Field::ALL.into_iter();
    let field = fields.find(|field| name.strip_prefix("field.") == Some(field.as_str()));
    match field {
        Some(field) => field_label(field),
        None => name.strip_prefix("metadata.").unwrap_or(name),
    }
}

fn field_label(field: Field) -> &'static str {
    match field {
        Field::Amount => "Amount",
        Field::Currency => "Currency",
        Field::Status => "Status",
        Field::Description => "Description",
        Field::CustomerId => "Customer",
        Field::ProductId => "Product",
        Field::PriceId => "Price",
        Field::Country => "Country",
        Field::PaymentMethod => "Payment method",
        Field::Livemode => "Live mode",
        Field::SourceTransfer => "Source transfer",
        Field::Disputed => "Disputed",
        Field::DisputeStatus => "Dispute status",
    }
}

/// The operators that make sense for what is compared, and the one that is chosen.
pub(super) fn operators(name: &str, chosen: &str) -> Vec<Shown> {
    let mut offered = match name {
        "field.livemode" | "field.disputed" => EQUALITIES.to_vec(),
        "field.currency" | "field.status" => [EQUALITIES, LISTS].concat(),
        "field.amount" => [&EQUALITIES[..], &ORDERS, &LISTS].concat(),
        "field.country"
        | "field.payment_method"
        | "field.source_transfer"
        | "field.dispute_status" => [EQUALITIES, LISTS, PRESENCE].concat(),
        _ if is_metadata(name) => [&EQUALITIES[..], &LISTS, &PARTS, &PRESENCE, &ORDERS].concat(),
        _ => [&EQUALITIES[..], &LISTS, &PARTS, &PRESENCE].concat(),
    };
    let known = Operator::ALL.into_iter();
    let known = known.filter(|operator| operator.as_str() == chosen);
    for operator in known {
        if !offered.contains(&operator) {
            offered.push(operator);
        }
    }
    let shown = offered.into_iter();
    let shown = shown.map(|it| Shown::of(it.as_str(), operator_text(it), chosen));
    shown.collect()
}

/// Where nothing is chosen yet, it may become metadata.
fn is_metadata(name: &str) -> bool {
    let source = name.strip_prefix("metadata.");
    let source = source.and_then(|name| name.split_once('.'));
    name.is_empty() || source.is_some_and(|(source, _)| MetadataSource::parse(source).is_some())
}
