//! Rules: which charges count. One rule type, two interpreters.
//!
//! [`evaluate`] decides in memory while charges are written, [`sql`] writes the same decision as an
//! expression over stored rows for previews, re-application and analytics. Both work from one
//! [`CompiledPredicate`], so that what a rule means is settled once: keys and `JSONPath` are parsed, values
//! are text, regular expressions exist in both dialects. A test over generated rules and charges holds the
//! two to the same answer.
//!
//! Reading order: this file (types), `parse` (JSON in, every problem at once), `compile`, `path` and
//! `jsonpath` (what a key finds), `pattern` (regular expressions), `evaluate`, `sql`, `queries`.
//!
//! What cannot mean the same in both is refused when a rule is written, never when it runs: a pattern that
//! PostgreSQL cannot run, a `JSONPath` function outside RFC 9535, U+0000.
//!
//! Deliberately absent: a rule that looks at several rows at once, and types of metadata values. Stripe's
//! metadata is text, so comparison is by text, and numbers are what looks like a number.

mod compile;
pub mod evaluate;
mod jsonpath;
mod jsonpath_parse;
mod jsonpath_sql;
pub(crate) mod number;
pub(crate) mod opened;
mod parse;
mod path;
mod pattern;
pub mod queries;
pub mod sql;

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

pub use compile::{CompiledPredicate, RuleSet};
pub use evaluate::RowView;
pub use parse::{RuleDraft, RulePatch};
pub(crate) use path::KeyPath;

/// Rules that one connection may have.
pub const MAX_RULES_PER_CONNECTION: usize = 50;
/// Conditions that one rule may have; it has at least one.
pub const MAX_CONDITIONS: usize = 50;
/// Characters of a value, and of each value of a list.
pub const MAX_VALUE_CHARS: usize = 500;
/// Values of one list.
pub const MAX_LIST_VALUES: usize = 1_000;
/// Characters of a metadata key or path.
pub const MAX_KEY_CHARS: usize = 500;
/// Characters of a rule's name.
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

/// What a matching rule does with a charge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = FilterAction)]
pub enum Action {
    /// Only charges that some active include rule matches are kept.
    Include,
    /// Charges that it matches are not kept.
    Exclude,
}

impl Action {
    /// Every action.
    pub const ALL: [Self; 2] = [Self::Include, Self::Exclude];

    /// The name in JSON and in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Include => "include",
            Self::Exclude => "exclude",
        }
    }
}

/// How the conditions of a rule combine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "UPPERCASE")]
#[schema(as = FilterCombination)]
pub enum Combination {
    /// Every condition must hold.
    And,
    /// One condition must hold.
    Or,
}

impl Combination {
    /// Every combination.
    pub const ALL: [Self; 2] = [Self::And, Self::Or];

    /// The name in JSON and in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::And => "AND",
            Self::Or => "OR",
        }
    }
}

/// Whose metadata a condition looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum MetadataSource {
    /// The charge itself.
    Charge,
    /// The product of the row.
    Product,
    /// The price of the row.
    Price,
    /// The customer who was charged.
    Customer,
}

impl MetadataSource {
    /// Every source.
    pub const ALL: [Self; 4] = [Self::Charge, Self::Product, Self::Price, Self::Customer];

    /// The name in JSON and in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Charge => "charge",
            Self::Product => "product",
            Self::Price => "price",
            Self::Customer => "customer",
        }
    }

    /// Whether it is the same for all lines of a charge.
    pub(crate) fn is_of_whole_charges(self) -> bool {
        matches!(self, Self::Charge | Self::Customer)
    }

    /// The source of this name, if there is one.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|source| source.as_str() == name)
    }
}

/// A field of a charge that rules can compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = FilterField)]
pub enum Field {
    /// The charge's amount in minor units.
    Amount,
    /// The lower-case ISO currency.
    Currency,
    /// The charge's status.
    Status,
    /// The charge's description.
    Description,
    /// The customer's id.
    CustomerId,
    /// The id of the row's product.
    ProductId,
    /// The id of the row's price.
    PriceId,
    /// The card's country, else the billing address's.
    Country,
    /// The type of the payment method, such as `card`.
    PaymentMethod,
    /// `true` or `false`.
    Livemode,
}

impl Field {
    /// Every field.
    pub const ALL: [Self; 10] = [
        Self::Amount,
        Self::Currency,
        Self::Status,
        Self::Description,
        Self::CustomerId,
        Self::ProductId,
        Self::PriceId,
        Self::Country,
        Self::PaymentMethod,
        Self::Livemode,
    ];

    /// The name in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Amount => "amount",
            Self::Currency => "currency",
            Self::Status => "status",
            Self::Description => "description",
            Self::CustomerId => "customer_id",
            Self::ProductId => "product_id",
            Self::PriceId => "price_id",
            Self::Country => "country",
            Self::PaymentMethod => "payment_method",
            Self::Livemode => "livemode",
        }
    }
}

/// How a condition compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = FilterOperator)]
pub enum Operator {
    /// The same text.
    Equals,
    /// Not the same text, or missing.
    NotEquals,
    /// One of a list.
    In,
    /// None of a list, or missing.
    NotIn,
    /// Has the value as a part.
    Contains,
    /// Does not have the value as a part, or is missing.
    NotContains,
    /// Begins with the value.
    StartsWith,
    /// Ends with the value.
    EndsWith,
    /// Is there; takes no value.
    Exists,
    /// Is missing; takes no value.
    NotExists,
    /// A number greater than the value.
    Gt,
    /// A number at least the value.
    Gte,
    /// A number less than the value.
    Lt,
    /// A number at most the value.
    Lte,
    /// Has a part that the regular expression matches.
    Regex,
}

impl Operator {
    /// Every operator.
    pub const ALL: [Self; 15] = [
        Self::Equals,
        Self::NotEquals,
        Self::In,
        Self::NotIn,
        Self::Contains,
        Self::NotContains,
        Self::StartsWith,
        Self::EndsWith,
        Self::Exists,
        Self::NotExists,
        Self::Gt,
        Self::Gte,
        Self::Lt,
        Self::Lte,
        Self::Regex,
    ];

    /// The name in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Equals => "equals",
            Self::NotEquals => "not_equals",
            Self::In => "in",
            Self::NotIn => "not_in",
            Self::Contains => "contains",
            Self::NotContains => "not_contains",
            Self::StartsWith => "starts_with",
            Self::EndsWith => "ends_with",
            Self::Exists => "exists",
            Self::NotExists => "not_exists",
            Self::Gt => "gt",
            Self::Gte => "gte",
            Self::Lt => "lt",
            Self::Lte => "lte",
            Self::Regex => "regex",
        }
    }

    /// Whether the value is a list.
    pub fn takes_list(self) -> bool {
        matches!(self, Self::In | Self::NotIn)
    }

    /// Whether there is no value.
    pub fn takes_nothing(self) -> bool {
        matches!(self, Self::Exists | Self::NotExists)
    }
}

/// One value as someone wrote it; numbers and booleans mean their JSON text.
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

/// What a condition compares with.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(untagged)]
#[schema(as = FilterValue)]
pub enum Operand {
    /// One value.
    One(Scalar),
    /// The list of `in` and `not_in`.
    Many(Vec<Scalar>),
}

/// A condition on metadata.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct MetadataCondition {
    /// Whose metadata.
    pub metadata_source: MetadataSource,
    /// A key, a dotted path that leads into JSON text, or a `JSONPath` that begins with `$`.
    #[schema(max_length = 500)]
    pub metadata_key: String,
    /// How to compare.
    pub operator: Operator,
    /// What to compare with; none for `exists` and `not_exists`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<Operand>,
}

/// A condition on a field of the charge.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct FieldCondition {
    /// Which field.
    pub field: Field,
    /// How to compare.
    pub operator: Operator,
    /// What to compare with; none for `exists` and `not_exists`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<Operand>,
}

/// One condition of a rule.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(tag = "type", rename_all = "lowercase")]
#[schema(as = FilterCondition)]
pub enum Condition {
    /// On metadata.
    Metadata(MetadataCondition),
    /// On a field.
    Field(FieldCondition),
}

/// Conditions and how they combine: what an analytics `filter` is, and the part of a rule that matches.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(as = FilterPredicate)]
pub struct Predicate {
    /// How the conditions combine.
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
    /// How the conditions combine.
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
