//! Turns rules into what both interpreters run: paths parsed, values as text, patterns compiled.

use bigdecimal::BigDecimal;
use uuid::Uuid;

use super::path::{KeyPath, Path};
use super::pattern::{Pattern, Refusal};
use super::{
    Action, Combination, Condition, Field, INVALID_REQUEST, Invalid, MetadataSource, Operand,
    Operator, Predicate, REGEX_UNSUPPORTED, Rule, Scalar, number,
};
use crate::catalogue::unknown::NamedKey;

/// A predicate ready to run, in memory or as SQL.
#[derive(Debug, Clone)]
pub struct CompiledPredicate {
    pub(super) combination: Combination,
    pub(super) conditions: Vec<CompiledCondition>,
}

impl KeyPath {
    /// The path as someone wrote it.
    pub(super) fn named(self) -> NamedKey {
        let start = self.source.as_str().len() + ".".len();
        NamedKey {
            object_type: self.source,
            key: self.whole.get(start..).unwrap_or_default().to_owned(),
        }
    }
}

#[derive(Debug, Clone)]
pub(super) struct CompiledCondition {
    pub(super) subject: Subject,
    /// Holds when no result passes the test, as for `not_equals`.
    pub(super) negated: bool,
    pub(super) test: Test,
}

#[derive(Debug, Clone)]
pub(super) enum Subject {
    Field(Field),
    Metadata(MetadataSource, Path),
}

/// What a result's text must pass.
#[derive(Debug, Clone)]
pub(super) enum Test {
    Exists,
    Equals(String),
    /// Sorted by code points.
    OneOf(Vec<String>),
    Contains(String),
    StartsWith(String),
    EndsWith(String),
    Number(Order, Bound),
    /// A number against a text that is none.
    Never,
    Matches(Box<Pattern>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    Greater,
    AtLeast,
    Less,
    AtMost,
}

/// The number that a result is compared with, and as it was written.
#[derive(Debug, Clone)]
pub(super) struct Bound {
    pub(super) value: BigDecimal,
    pub(super) text: String,
}

impl CompiledPredicate {
    /// Compiles the predicate. One that was parsed by this module compiles.
    ///
    /// # Errors
    ///
    /// Every key, `JSONPath` and regular expression that does not compile or cannot run in PostgreSQL.
    pub fn new(predicate: &Predicate) -> Result<Self, Vec<Invalid>> {
        let mut problems = Vec::new();
        let mut conditions = Vec::with_capacity(predicate.conditions.len());
        for (index, condition) in predicate.conditions.iter().enumerate() {
            match compile(condition, &format!("/conditions/{index}")) {
                Ok(compiled) => conditions.push(compiled),
                Err(found) => problems.extend(found),
            }
        }
        if problems.is_empty() {
            Ok(Self {
                combination: predicate.operator,
                conditions,
            })
        } else {
            Err(problems)
        }
    }

    /// The key and the text that it must equal, where that is all that the predicate says.
    pub fn equality(&self) -> Option<(KeyPath, &str)> {
        match self.conditions.as_slice() {
            [
                CompiledCondition {
                    subject: Subject::Metadata(source, path),
                    negated: false,
                    test: Test::Equals(value),
                },
            ] => Some((path.keys(*source)?, value)),
            _ => None,
        }
    }

    /// The metadata keys that the conditions name, each with the index of its condition; none for a `JSONPath`.
    pub fn named_keys(&self) -> Vec<(usize, NamedKey)> {
        self.conditions
            .iter()
            .enumerate()
            .filter_map(|(index, condition)| match &condition.subject {
                Subject::Metadata(source, path) => Some((index, path.keys(*source)?.named())),
                Subject::Field(_) => None,
            })
            .collect()
    }

    /// Whether the rows of a charge all match or none does.
    pub fn matches_whole_charges(&self) -> bool {
        self.conditions
            .iter()
            .all(|condition| match &condition.subject {
                Subject::Field(field) => !matches!(field, Field::ProductId | Field::PriceId),
                Subject::Metadata(source, _) => source.is_charge_level(),
            })
    }

    /// The patterns that PostgreSQL runs: the condition's index, the member, the pattern.
    pub(super) fn patterns(&self) -> impl Iterator<Item = (usize, &'static str, &str)> {
        self.conditions
            .iter()
            .enumerate()
            .flat_map(|(index, condition)| {
                let mut patterns = Vec::new();
                if let Test::Matches(pattern) = &condition.test {
                    patterns.push((index, "value", pattern.postgres()));
                }
                if let Subject::Metadata(_, Path::JsonPath(_, path)) = &condition.subject {
                    let within = path.patterns();
                    patterns.extend(
                        within
                            .into_iter()
                            .map(|pattern| (index, "metadata_key", pattern.postgres())),
                    );
                }
                patterns
            })
    }

    pub(super) fn check(condition: &Condition, pointer: &str) -> Result<(), Vec<Invalid>> {
        compile(condition, pointer).map(|_| ())
    }
}

fn compile(condition: &Condition, pointer: &str) -> Result<CompiledCondition, Vec<Invalid>> {
    let (subject, operator, value) = match condition {
        Condition::Field(field) => (
            Ok(Subject::Field(field.field)),
            field.operator,
            &field.value,
        ),
        Condition::Metadata(metadata) => {
            let path = Path::parse(&metadata.metadata_key).map_err(|(code, detail)| Invalid {
                pointer: format!("{pointer}/metadata_key"),
                code,
                detail,
            });
            let subject = path.map(|path| Subject::Metadata(metadata.metadata_source, path));
            (subject, metadata.operator, &metadata.value)
        }
    };
    let field = match condition {
        Condition::Field(field) => Some(field.field),
        Condition::Metadata(_) => None,
    };
    let test = test(field, operator, value.as_ref()).map_err(|(code, detail)| Invalid {
        pointer: format!("{pointer}/value"),
        code,
        detail,
    });
    let negated = matches!(
        operator,
        Operator::NotEquals | Operator::NotIn | Operator::NotContains | Operator::NotExists
    );
    match (subject, test) {
        (Ok(subject), Ok(test)) => Ok(CompiledCondition {
            subject,
            negated,
            test,
        }),
        (subject, test) => Err([subject.err(), test.err()].into_iter().flatten().collect()),
    }
}

fn test(
    field: Option<Field>,
    operator: Operator,
    value: Option<&Operand>,
) -> Result<Test, (&'static str, String)> {
    // A pattern may name classes and escapes, whose case means something.
    let text = |value: &Scalar| match field {
        Some(field) if operator != Operator::Regex => field.stored_text(operator, value),
        _ => value.text(),
    };
    if operator.takes_no_value() {
        return Ok(Test::Exists);
    }
    let one = match (operator.takes_list(), value) {
        (true, Some(Operand::Many(values))) => {
            let mut texts: Vec<String> = values.iter().map(text).collect();
            texts.sort_unstable();
            texts.dedup();
            return Ok(Test::OneOf(texts));
        }
        (false, Some(Operand::One(value))) => text(value),
        _ => {
            let detail = format!("is not a value that `{}` takes", operator.as_str());
            return Err((INVALID_REQUEST, detail));
        }
    };
    let number = |order| match number::parse(&one) {
        Some(value) => Test::Number(
            order,
            Bound {
                value,
                text: one.clone(),
            },
        ),
        None => Test::Never,
    };
    Ok(match operator {
        Operator::Equals | Operator::NotEquals | Operator::In | Operator::NotIn => {
            Test::Equals(one)
        }
        Operator::Contains | Operator::NotContains => Test::Contains(one),
        Operator::StartsWith => Test::StartsWith(one),
        Operator::EndsWith => Test::EndsWith(one),
        Operator::Exists | Operator::NotExists => Test::Exists,
        Operator::Gt => number(Order::Greater),
        Operator::Gte => number(Order::AtLeast),
        Operator::Lt => number(Order::Less),
        Operator::Lte => number(Order::AtMost),
        Operator::Regex => match pattern(field, &one) {
            Ok(pattern) => Test::Matches(Box::new(pattern)),
            Err(Refusal::Syntax(detail)) => return Err((INVALID_REQUEST, detail)),
            Err(Refusal::Unsupported(detail)) => return Err((REGEX_UNSUPPORTED, detail)),
        },
    })
}

/// The pattern, in any case where the field's values are.
fn pattern(field: Option<Field>, text: &str) -> Result<Pattern, Refusal> {
    if field.is_some_and(Field::takes_any_case) {
        // A rule that was stored before case was ignored may only just fit as it is.
        Pattern::parse(&format!("(?i){text}")).or_else(|_| Pattern::parse(text))
    } else {
        Pattern::parse(text)
    }
}

/// The active rules of a connection, ready to decide which charges are kept.
#[derive(Debug, Clone, Default)]
pub struct RuleSet {
    /// In order of (`created_at`, `filter_id`), as the rules that keep charges out are named.
    pub includes: Vec<(Uuid, CompiledPredicate)>,
    pub excludes: Vec<(Uuid, CompiledPredicate)>,
}

impl RuleSet {
    /// Compiles the active ones of these rules.
    ///
    /// # Errors
    ///
    /// As [`CompiledPredicate::new`]; stored rules compile.
    pub fn new(rules: &[Rule]) -> Result<Self, Vec<Invalid>> {
        let mut active: Vec<&Rule> = rules.iter().filter(|rule| rule.active).collect();
        active.sort_by_key(|rule| (rule.created_at, rule.filter_id));
        let mut set = Self::default();
        for rule in active {
            let compiled = (rule.filter_id, CompiledPredicate::new(&rule.predicate())?);
            match rule.action {
                Action::Include => set.includes.push(compiled),
                Action::Exclude => set.excludes.push(compiled),
            }
        }
        Ok(set)
    }

    /// Whether each row of a charge alone decides about the charge.
    pub fn matches_whole_charges(&self) -> bool {
        let mut predicates = self.includes.iter().chain(&self.excludes);
        predicates.all(|(_, predicate)| predicate.matches_whole_charges())
    }

    /// Whether there is no active rule, so that every charge is kept.
    pub fn is_empty(&self) -> bool {
        self.includes.is_empty() && self.excludes.is_empty()
    }
}
