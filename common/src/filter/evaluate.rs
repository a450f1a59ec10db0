//! Rules in memory, over the rows of a charge that is about to be written.

use serde_json::{Map, Value};
use uuid::Uuid;

use super::compile::{CompiledCondition, Order, Subject, Test};
use super::{Combination, CompiledPredicate, Field, MetadataSource, RuleSet, number};

/// What rules see of one revenue row.
#[derive(Debug, Clone, Copy)]
pub struct RowView<'a> {
    /// The charge's own amount, not the row's share of it.
    pub amount: i64,
    pub currency: &'a str,
    pub status: &'a str,
    pub description: Option<&'a str>,
    pub customer_id: Option<&'a str>,
    /// The id of the row's product.
    pub product_id: Option<&'a str>,
    /// The id of the row's price.
    pub price_id: Option<&'a str>,
    /// The payment method's country, else the billing address's.
    pub country: Option<&'a str>,
    /// The type of the payment method.
    pub payment_method: Option<&'a str>,
    /// Whether it was made in live mode.
    pub livemode: bool,
    /// The platform's transfer of which it is the other side.
    pub source_transfer: Option<&'a str>,
    /// Whether the charge was ever disputed.
    pub disputed: bool,
    /// The status of its newest dispute.
    pub dispute_status: Option<&'a str>,
    pub charge_metadata: &'a Map<String, Value>,
    /// The metadata of the row's product, empty without one.
    pub product_metadata: &'a Map<String, Value>,
    /// The metadata of the row's price, empty without one.
    pub price_metadata: &'a Map<String, Value>,
    /// The customer's metadata, empty without one.
    pub customer_metadata: &'a Map<String, Value>,
    /// The invoice's metadata, empty without one.
    pub invoice_metadata: &'a Map<String, Value>,
    /// The metadata of the row's line of the invoice, empty without one.
    pub invoice_line_metadata: &'a Map<String, Value>,
    /// The subscription's metadata as the invoice shows it, empty without one.
    pub subscription_metadata: &'a Map<String, Value>,
    /// The checkout session's metadata, empty without one.
    pub checkout_session_metadata: &'a Map<String, Value>,
    /// The payment intent's metadata, empty where it is not read.
    pub payment_intent_metadata: &'a Map<String, Value>,
}

impl<'a> RowView<'a> {
    fn metadata(&self, source: MetadataSource) -> &'a Map<String, Value> {
        match source {
            MetadataSource::Charge => self.charge_metadata,
            MetadataSource::Product => self.product_metadata,
            MetadataSource::Price => self.price_metadata,
            MetadataSource::Customer => self.customer_metadata,
            MetadataSource::Invoice => self.invoice_metadata,
            MetadataSource::InvoiceLine => self.invoice_line_metadata,
            MetadataSource::Subscription => self.subscription_metadata,
            MetadataSource::CheckoutSession => self.checkout_session_metadata,
            MetadataSource::PaymentIntent => self.payment_intent_metadata,
        }
    }

    fn field(&self, field: Field, test: &dyn Fn(&str) -> bool) -> bool {
        let found = match field {
            Field::Amount => return test(&self.amount.to_string()),
            Field::Livemode => return test(flag(self.livemode)),
            Field::Disputed => return test(flag(self.disputed)),
            Field::Currency => Some(self.currency),
            Field::Status => Some(self.status),
            Field::Description => self.description,
            Field::CustomerId => self.customer_id,
            Field::ProductId => self.product_id,
            Field::PriceId => self.price_id,
            // A billing address has what its writer typed.
            Field::Country => {
                return self
                    .country
                    .is_some_and(|country| test(&country.to_ascii_uppercase()));
            }
            Field::PaymentMethod => self.payment_method,
            Field::SourceTransfer => self.source_transfer,
            Field::DisputeStatus => self.dispute_status,
        };
        found.is_some_and(test)
    }
}

/// A flag as conditions compare it, and as PostgreSQL writes it.
fn flag(set: bool) -> &'static str {
    if set { "true" } else { "false" }
}

/// Whether the predicate holds for the row.
pub fn evaluate(predicate: &CompiledPredicate, row: &RowView<'_>) -> bool {
    let mut conditions = predicate.conditions.iter();
    match predicate.combination {
        Combination::And => conditions.all(|condition| condition.holds(row)),
        Combination::Or => conditions.any(|condition| condition.holds(row)),
    }
}

impl RuleSet {
    /// The rule that keeps a charge out, given all its rows; `None` when it is kept.
    ///
    /// That is the first active exclude rule that matches, else, where include rules are active and none
    /// matches, the first of those.
    pub fn decide(&self, rows: &[RowView<'_>]) -> Option<Uuid> {
        let matches =
            |predicate: &CompiledPredicate| rows.iter().any(|row| evaluate(predicate, row));
        let excluded = self
            .excludes
            .iter()
            .find(|(_, predicate)| matches(predicate));
        if let Some((filter_id, _)) = excluded {
            return Some(*filter_id);
        }
        if self
            .includes
            .iter()
            .any(|(_, predicate)| matches(predicate))
        {
            return None;
        }
        self.includes.first().map(|(filter_id, _)| *filter_id)
    }
}

impl CompiledCondition {
    fn holds(&self, row: &RowView<'_>) -> bool {
        let test = |text: &str| self.test.passes(text);
        let any = match &self.subject {
            Subject::Field(field) => row.field(*field, &test),
            Subject::Metadata(source, path) => path.any(row.metadata(*source), &test),
        };
        any != self.negated
    }
}

impl Test {
    fn passes(&self, text: &str) -> bool {
        match self {
            Self::Exists => true,
            Self::Never => false,
            Self::Equals(value) => text == value,
            Self::OneOf(values) => values
                .binary_search_by(|value| value.as_str().cmp(text))
                .is_ok(),
            Self::Contains(part) => text.contains(part.as_str()),
            Self::StartsWith(start) => text.starts_with(start.as_str()),
            Self::EndsWith(end) => text.ends_with(end.as_str()),
            Self::Matches(pattern) => pattern.is_match(text),
            Self::Number(order, limit) => {
                number::compare(text, &limit.value).is_some_and(|found| match order {
                    Order::Greater => found.is_gt(),
                    Order::AtLeast => found.is_ge(),
                    Order::Less => found.is_lt(),
                    Order::AtMost => found.is_le(),
                })
            }
        }
    }
}

#[cfg(test)]
#[path = "evaluate_tests.rs"]
mod tests;
