//! Rules as SQL, over rows of `stripe_revenue_data`.
//!
//! Everything that someone wrote is a bound value; the text of the statement is ours alone. Every condition
//! is true or false, never null, so that it can be negated and combined. Text compares by code points
//! whatever the database's locale: equality does so anyway, and expressions name `COLLATE "C"`.
//!
//! A condition on a plain key is `metadata ->> key`, with the equality visible to the planner so that an
//! index on that expression would serve it. Paths and `JSONPath` use the functions `metadata_…` of the
//! migrations, which fail for no stored value; a row that has none of a path's keys is not looked at further.

use std::cell::RefCell;

use serde_json::{Map, Value};
use sqlx::{Postgres, QueryBuilder};

use super::compile::{CompiledCondition, Order, Subject, Test};
use super::jsonpath_sql;
use super::path::{KeyPath, Parts, Path};
use super::{Combination, CompiledPredicate, Field, INVALID_REQUEST, Invalid, MetadataSource};
use crate::catalogue::unknown::NamedKey;

impl CompiledPredicate {
    /// Writes the predicate as one parenthesised boolean expression, never null. `alias` names the
    /// `stripe_revenue_data` of the surrounding statement; aliases that begin with `metadata_` are taken.
    pub fn to_sql(&self, builder: &mut QueryBuilder<Postgres>, alias: &'static str) {
        let (separator, empty) = match self.combination {
            Combination::And => (" AND ", "TRUE"),
            Combination::Or => (" OR ", "FALSE"),
        };
        builder.push("(");
        if self.conditions.is_empty() {
            builder.push(empty);
        }
        for (index, condition) in self.conditions.iter().enumerate() {
            if index > 0 {
                builder.push(separator);
            }
            condition.to_sql(builder, alias);
        }
        builder.push(")");
    }
}

/// A metadata key of one source, to group rows by.
#[derive(Debug, Clone)]
pub struct MetadataKey {
    source: MetadataSource,
    path: Path,
}

impl MetadataKey {
    /// Parses a key as conditions have it: a key, a path or a `JSONPath`.
    ///
    /// # Errors
    ///
    /// What is wrong with it; the pointer is empty.
    pub fn parse(source: MetadataSource, key: &str) -> Result<Self, Invalid> {
        let chars = key.chars().count();
        let problem = if chars == 0 {
            Some("the metadata key must not be empty".to_owned())
        } else if chars > super::MAX_KEY_CHARS {
            Some(format!(
                "the metadata key must have at most {} characters and has {chars}",
                super::MAX_KEY_CHARS
            ))
        } else if key.contains('\0') {
            Some("the metadata key must not have the character U+0000".to_owned())
        } else {
            None
        };
        if let Some(detail) = problem {
            return Err(Invalid {
                pointer: String::new(),
                code: INVALID_REQUEST,
                detail,
            });
        }
        let path = Path::parse(key).map_err(|(code, detail)| Invalid {
            pointer: String::new(),
            code,
            detail,
        })?;
        Ok(Self { source, path })
    }

    /// The key's text in this metadata, of several results the least by code points.
    pub fn text(&self, metadata: &Map<String, Value>) -> Option<String> {
        let least = RefCell::new(None::<String>);
        self.path.any(metadata, &|text| {
            let mut least = least.borrow_mut();
            if least.as_deref().is_none_or(|least| text < least) {
                *least = Some(text.to_owned());
            }
            false
        });
        least.into_inner()
    }

    /// The keys that it may be in; none for a `JSONPath`.
    pub fn keys(&self) -> Option<KeyPath> {
        self.path.keys(self.source)
    }

    /// The key as it was written; none for a `JSONPath`.
    pub fn named(&self) -> Option<NamedKey> {
        Some(self.path.keys(self.source)?.named())
    }

    /// Whether all lines of a charge have the same value.
    pub fn is_charge_level(&self) -> bool {
        self.source.is_charge_level()
    }

    /// Writes the same as an SQL expression, null when it is missing.
    pub fn to_sql(&self, builder: &mut QueryBuilder<Postgres>, alias: &'static str) {
        push_text(builder, &metadata_of(alias, self.source), &self.path);
    }
}

/// The metadata of a source, which is never null.
fn metadata_of(alias: &str, source: MetadataSource) -> String {
    let column = format!("{alias}.{}_metadata", source.as_str());
    match source {
        MetadataSource::Charge
        | MetadataSource::Product
        | MetadataSource::Price
        | MetadataSource::Customer => column,
        // Null where there is none.
        MetadataSource::Invoice
        | MetadataSource::InvoiceLine
        | MetadataSource::Subscription
        | MetadataSource::CheckoutSession
        | MetadataSource::PaymentIntent => format!("COALESCE({column}, '{{}}'::JSONB)"),
    }
}

/// A field as text; null when missing.
fn push_field(builder: &mut QueryBuilder<Postgres>, alias: &str, field: Field) {
    let column = match field {
        // In "C" only ASCII letters have a case, as in memory.
        Field::Country => {
            builder.push(format_args!("upper({alias}.country COLLATE \"C\")"));
            return;
        }
        Field::Amount => "charge_amount::TEXT",
        Field::Livemode => "livemode::TEXT",
        Field::Disputed => "disputed::TEXT",
        // The others are text, in columns of their names.
        text => text.as_str(),
    };
    builder.push(format_args!("{alias}.{column}"));
}

impl CompiledCondition {
    fn to_sql(&self, builder: &mut QueryBuilder<Postgres>, alias: &'static str) {
        if self.negated {
            builder.push("NOT ");
        }
        match &self.subject {
            Subject::Field(field) => {
                self.test
                    .push(builder, |builder| push_field(builder, alias, *field));
            }
            Subject::Metadata(source, path) => self.push_metadata(builder, alias, *source, path),
        }
    }

    fn push_metadata(
        &self,
        builder: &mut QueryBuilder<Postgres>,
        alias: &'static str,
        source: MetadataSource,
        path: &Path,
    ) {
        let metadata = &metadata_of(alias, source);
        let any_result = |builder: &mut QueryBuilder<Postgres>| {
            builder.push(") AS metadata_result (found) WHERE ");
            self.test.push(builder, |builder| {
                builder.push("metadata_result.found");
            });
            builder.push(")");
        };
        let of_key = |builder: &mut QueryBuilder<Postgres>, key: &str| {
            self.test.push(builder, |builder| {
                push_key(builder, metadata, key);
            });
        };
        match path {
            Path::Key(key) => of_key(builder, key),
            Path::Parts(parts) => {
                builder.push("(");
                push_has_key(builder, metadata, parts);
                builder.push(" AND EXISTS (SELECT FROM UNNEST(");
                push_found_texts(builder, metadata, parts);
                any_result(builder);
                builder.push(")");
            }
            Path::JsonPath(key, path) => {
                builder.push("CASE WHEN ");
                builder.push(format_args!("{metadata} ? "));
                builder.push_bind(key.clone()).push(" THEN ");
                of_key(builder, key);
                builder.push(" ELSE EXISTS (SELECT FROM (");
                jsonpath_sql::push_results(builder, metadata, path);
                any_result(builder);
                builder.push(" END");
            }
        }
    }
}

/// The text of a path's result, the least of several; null when missing.
fn push_text(builder: &mut QueryBuilder<Postgres>, metadata: &str, path: &Path) {
    const LEAST: &str = "(SELECT MIN(metadata_result.found COLLATE \"C\") FROM ";
    match path {
        Path::Key(key) => push_key(builder, metadata, key),
        Path::Parts(parts) => {
            builder.push("CASE WHEN ");
            push_has_key(builder, metadata, parts);
            builder.push(" THEN ").push(LEAST).push("UNNEST(");
            push_found_texts(builder, metadata, parts);
            builder.push(") AS metadata_result (found)) END");
        }
        Path::JsonPath(key, path) => {
            builder.push(format_args!("CASE WHEN {metadata} ? "));
            builder.push_bind(key.clone()).push(" THEN ");
            push_key(builder, metadata, key);
            builder.push(" ELSE ").push(LEAST).push("(");
            jsonpath_sql::push_results(builder, metadata, path);
            builder.push(") AS metadata_result (found)) END");
        }
    }
}

/// The text of a whole key.
fn push_key(builder: &mut QueryBuilder<Postgres>, metadata: &str, key: &str) {
    builder
        .push(format_args!("({metadata} ->> "))
        .push_bind(key.to_owned())
        .push(")");
}

/// Whether metadata has a key that the path may begin with, which is cheap to ask of every row.
fn push_has_key(builder: &mut QueryBuilder<Postgres>, metadata: &str, parts: &Parts) {
    let keys: Vec<String> = parts.splits().map(|(key, _)| key.to_owned()).collect();
    builder
        .push(format_args!("{metadata} ?| "))
        .push_bind(keys)
        .push("::TEXT[]");
}

/// An array of the texts that a path finds.
fn push_found_texts(builder: &mut QueryBuilder<Postgres>, metadata: &str, parts: &Parts) {
    builder
        .push(format_args!("metadata_texts_at_path({metadata}, "))
        .push_bind(parts.as_slice().to_vec())
        .push("::TEXT[])");
}

impl Test {
    /// Writes whether the text that `subject` writes passes; a null text does not. It may be written twice, so it has to be
    /// cheap.
    fn push(
        &self,
        builder: &mut QueryBuilder<Postgres>,
        subject: impl Fn(&mut QueryBuilder<Postgres>),
    ) {
        match self {
            Self::Never => {
                builder.push("FALSE");
            }
            Self::Exists => {
                builder.push("(");
                subject(builder);
                builder.push(" IS NOT NULL)");
            }
            Self::Equals(value) => {
                // Not COALESCE, so that an index on the subject can serve the equality.
                builder.push("(");
                subject(builder);
                builder.push(" = ").push_bind(value.clone()).push(" AND ");
                subject(builder);
                builder.push(" IS NOT NULL)");
            }
            Self::OneOf(values) => {
                builder.push("COALESCE(");
                subject(builder);
                builder
                    .push(" = ANY(")
                    .push_bind(values.clone())
                    .push("::TEXT[]), FALSE)");
            }
            Self::Contains(part) => {
                builder.push("COALESCE(strpos(");
                subject(builder);
                builder
                    .push(", ")
                    .push_bind(part.clone())
                    .push(") > 0, FALSE)");
            }
            Self::StartsWith(start) => {
                builder.push("COALESCE(starts_with(");
                subject(builder);
                builder
                    .push(", ")
                    .push_bind(start.clone())
                    .push("), FALSE)");
            }
            Self::EndsWith(end) => {
                builder.push("COALESCE(right(");
                subject(builder);
                let chars = end.chars().count() as i32;
                builder
                    .push(", ")
                    .push_bind(chars)
                    .push(") = ")
                    .push_bind(end.clone())
                    .push(", FALSE)");
            }
            Self::Number(order, limit) => {
                let comparison = match order {
                    Order::Greater => ">",
                    Order::AtLeast => ">=",
                    Order::Less => "<",
                    Order::AtMost => "<=",
                };
                builder.push("COALESCE(metadata_number(");
                subject(builder);
                builder.push(format_args!(") {comparison} "));
                builder
                    .push_bind(limit.text.clone())
                    .push("::TEXT::NUMERIC, FALSE)");
            }
            Self::Matches(pattern) => {
                builder.push("COALESCE(");
                subject(builder);
                builder
                    .push(" COLLATE \"C\" ~ ")
                    .push_bind(pattern.postgres().to_owned())
                    .push(", FALSE)");
            }
        }
    }
}
