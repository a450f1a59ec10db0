//! Rules: which charges count. One rule type, two interpreters.
//!
//! [`evaluate`] decides in memory while charges are written, [`sql`] writes the same decision as an
//! expression over stored rows for previews, re-application and analytics. Both work from one
//! [`CompiledPredicate`], so that what a rule means is settled once: keys and `JSONPath` are parsed, values
//! are text, regular expressions exist in both dialects. A test over generated rules and charges holds the
//! two to the same answer.
//!
//! Reading order: this file (types), `parse` (JSON in, every problem at once), `values` (what a field can be),
//! `compile`, `path` and `jsonpath` (what a key finds), `pattern` (regular expressions), `evaluate`, `sql`,
//! `queries`.
//!
//! What cannot mean the same in both is refused when a rule is written, never when it runs: a pattern that
//! PostgreSQL cannot run, a `JSONPath` function outside RFC 9535, U+0000.
//!
//! Deliberately absent: a rule that looks at several rows at once, and types of metadata values. Stripe's
//! metadata is text, so comparison is by text, and numbers are what looks like a number.

mod compile;
pub(crate) mod embedded_json;
pub mod evaluate;
mod jsonpath;
mod jsonpath_parse;
mod jsonpath_sql;
pub(crate) mod number;
mod parse;
pub(crate) mod path;
mod pattern;
pub mod sql;
mod values;
mod verify;

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

pub use compile::{CompiledPredicate, RuleSet};
pub use evaluate::RowView;
pub(crate) use parse::stored_conditions;
pub use parse::{RuleDraft, RulePatch};
pub use path::KeyPath;
pub use verify::verify;

use crate::named;

/// Rules that one connection may have.
pub const MAX_RULES_PER_CONNECTION: usize = 50;
/// Conditions that one rule may have; it has at least one.
pub const MAX_CONDITIONS: usize = 50;
/// Characters of a value, and of each value of a list.
pub const MAX_VALUE_CHARS: usize = 500;
pub const MAX_LIST_VALUES: usize = 1_000;
/// Characters of a metadata key or path.
pub const MAX_KEY_CHARS: usize = 500;
pub const MAX_NAME_CHARS: usize = 200;

/// Input that is not a rule.
pub const INVALID_REQUEST: &str = "invalid_request";
/// A regular expression that PostgreSQL cannot be made to run with the same meaning.
pub const REGEX_UNSUPPORTED: &str = "filter_regex_unsupported";

/// One thing wrong with a rule that someone wrote.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{pointer}: {detail}")]
pub struct Invalid {
    /// Where, as an RFC 6901 pointer into the rule: `/conditions/0/value`.
    pub pointer: String,
    /// [`INVALID_REQUEST`] or [`REGEX_UNSUPPORTED`].
    pub code: &'static str,
    /// What is wrong and what would be right.
    pub detail: String,
}

named! {
    /// Effect of a rule. `include`: while a connection has active `include` rules, only charges that at least one of them
    /// matches count. `exclude`: charges that the rule matches do not count, even if an `include` rule matches them.
    #[schema(as = FilterAction)]
    Action {
        /// Only charges that at least one active include rule matches are counted.
        Include = "include",
        /// Charges that the rule matches are not counted.
        Exclude = "exclude",
    }
}

named! {
    /// How conditions are combined.
    #[schema(as = FilterCombination)]
    Combination {
        /// All conditions must hold.
        And = "AND",
        /// At least one condition must hold.
        Or = "OR",
    }
}

named! {
    /// Object whose metadata is compared.
    MetadataSource {
        /// The charge.
        Charge = "charge",
        /// The product of the line.
        Product = "product",
        /// The price of the line.
        Price = "price",
        /// The customer.
        Customer = "customer",
        /// The invoice that the charge paid.
        Invoice = "invoice",
        /// The line of the invoice.
        InvoiceLine = "invoice_line",
        /// The subscription of the invoice, as the invoice shows it.
        Subscription = "subscription",
        /// The checkout session in which the charge, or its invoice, was paid.
        CheckoutSession = "checkout_session",
        /// The payment intent of the charge, where the connection reads it.
        PaymentIntent = "payment_intent",
    }
}

impl MetadataSource {
    /// The name in a sentence.
    pub fn words(self) -> String {
        self.as_str().replace('_', " ")
    }

    /// All names, separated by commas, for what is said about a name that is none.
    pub fn names() -> String {
        Self::ALL.map(Self::as_str).join(", ")
    }

    /// Whether it is the same for all lines of a charge.
    pub fn is_charge_level(self) -> bool {
        !matches!(self, Self::Product | Self::Price | Self::InvoiceLine)
    }

    /// Whether daily sums of its values are kept. The other sources are read from rows, most of which have none of them.
    pub fn is_summed(self) -> bool {
        matches!(
            self,
            Self::Charge | Self::Product | Self::Price | Self::Customer
        )
    }

    /// The source of this name, if there is one.
    pub fn parse(name: &str) -> Option<Self> {
        name.parse().ok()
    }
}

named! {
    /// Field that conditions can compare. `amount` is that of the whole charge in the currency's minor unit, so 1000 is 10.00
    /// USD; `product_id` and `price_id` are those of a line, and a charge matches when one of its lines does.
    #[schema(as = FilterField)]
    Field {
        /// Amount of the charge in minor units.
        Amount = "amount",
        /// Currency; any case.
        Currency = "currency",
        /// Status of the charge.
        Status = "status",
        /// Description of the charge.
        Description = "description",
        /// Customer id.
        CustomerId = "customer_id",
        /// Product id of the line.
        ProductId = "product_id",
        /// Price id of the line.
        PriceId = "price_id",
        /// Country of the payment method, or of the billing address; any case.
        Country = "country",
        /// Type of the payment method, such as `card`.
        PaymentMethod = "payment_method",
        /// `true` or `false`; any case.
        Livemode = "livemode",
        /// Id of the platform's transfer over which a payment of a connected account was made; missing from any other charge.
        SourceTransfer = "source_transfer",
        /// Whether the charge was ever disputed: `true` or `false`; any case.
        Disputed = "disputed",
        /// Status of the charge's newest dispute, such as `lost`; missing from a charge without one.
        DisputeStatus = "dispute_status",
    }
}

named! {
    /// Comparison operator.
    #[schema(as = FilterOperator)]
    Operator {
        /// Equal to the value.
        Equals = "equals",
        /// Not equal to the value, or missing.
        NotEquals = "not_equals",
        /// One of the values.
        In = "in",
        /// None of the values, or missing.
        NotIn = "not_in",
        /// Contains the value.
        Contains = "contains",
        /// Does not contain the value, or is missing.
        NotContains = "not_contains",
        /// Starts with the value.
        StartsWith = "starts_with",
        /// Ends with the value.
        EndsWith = "ends_with",
        /// Present; takes no value.
        Exists = "exists",
        /// Missing; takes no value.
        NotExists = "not_exists",
        /// Greater than the value, as numbers.
        Gt = "gt",
        /// Greater than or equal to the value, as numbers.
        Gte = "gte",
        /// Less than the value, as numbers.
        Lt = "lt",
        /// Less than or equal to the value, as numbers.
        Lte = "lte",
        /// Matches the regular expression, unanchored.
        Regex = "regex",
    }
}

impl Operator {
    /// Whether the value is a list.
    pub fn takes_list(self) -> bool {
        matches!(self, Self::In | Self::NotIn)
    }

    /// Whether there is no value.
    pub fn takes_no_value(self) -> bool {
        matches!(self, Self::Exists | Self::NotExists)
    }
}

/// A value; a number or boolean is compared by its JSON text.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(untagged)]
#[schema(as = FilterScalar)]
pub enum Scalar {
    /// Text.
    Text(String),
    /// A number.
    #[schema(value_type = f64)]
    Number(serde_json::Number),
    /// True or false.
    Boolean(bool),
}

impl Scalar {
    /// The text that it is compared as.
    pub fn text(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Number(number) => number.to_string(),
            Self::Boolean(boolean) => boolean.to_string(),
        }
    }
}

/// Value or values to compare with.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(untagged)]
#[schema(as = FilterValue)]
pub enum Operand {
    /// A single value.
    One(Scalar),
    /// The values of `in` and `not_in`.
    Many(Vec<Scalar>),
}

/// Condition on metadata.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct MetadataCondition {
    /// Object whose metadata is compared.
    pub metadata_source: MetadataSource,
    /// Metadata key, or dotted path into a JSON value as discovery returns it (`order.items[].sku`). Text that starts with
    /// `$` is read as a JSONPath, unless a key has exactly that name.
    #[schema(max_length = 500)]
    pub metadata_key: String,
    /// Comparison operator.
    pub operator: Operator,
    /// Value to compare with; absent for `exists` and `not_exists`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<Operand>,
}

/// Condition on a field of the charge.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct FieldCondition {
    /// Field to compare.
    pub field: Field,
    /// Comparison operator.
    pub operator: Operator,
    /// Value to compare with; absent for `exists` and `not_exists`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<Operand>,
}

/// A condition.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(tag = "type", rename_all = "lowercase")]
#[schema(as = FilterCondition)]
pub enum Condition {
    /// Condition on metadata.
    Metadata(MetadataCondition),
    /// Condition on a field.
    Field(FieldCondition),
}

/// Conditions and how they combine: what an analytics `filter` is, and the part of a rule that matches.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(as = FilterPredicate)]
pub struct Predicate {
    /// How the conditions are combined.
    pub operator: Combination,
    /// 1 to 50 conditions.
    #[schema(min_items = 1, max_items = 50)]
    pub conditions: Vec<Condition>,
}

/// A stored rule.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(as = FilterRule)]
pub struct Rule {
    /// The rule's id.
    pub filter_id: Uuid,
    /// What people call it.
    pub name: String,
    /// What it does with charges that it matches.
    pub action: Action,
    /// How the conditions are combined.
    pub operator: Combination,
    /// 1 to 50 conditions.
    pub conditions: Vec<Condition>,
    /// Whether it has any effect.
    #[serde(rename = "is_active")]
    pub active: bool,
    /// When it was made; the oldest rule that keeps a charge out is the one that is named.
    pub created_at: DateTime<Utc>,
}

impl Rule {
    /// The part of the rule that matches.
    pub fn predicate(&self) -> Predicate {
        Predicate {
            operator: self.operator,
            conditions: self.conditions.clone(),
        }
    }
}
