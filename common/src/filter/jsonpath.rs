//! `JSONPath` as RFC 9535 defines it, evaluated over opened metadata.
//!
//! The `jsonpath-rust` crate parses; evaluation is ours, since its own compares numbers as binary floats
//! and the SQL side compares exact decimals. [`super::jsonpath_sql`] writes the same tree as SQL.
//!
//! Refused although it parses: functions outside RFC 9535, what the RFC calls not well-typed, and a
//! `match` or `search` whose pattern is not a literal, which PostgreSQL could not be given translated.

use std::cmp::Ordering;
use std::str::FromStr;

use bigdecimal::BigDecimal;
use jsonpath_rust::parser::model::{
    self, Comparable, FilterAtom, FnArg, Literal, SingularQuery, SingularQuerySegment, TestFunction,
};

use super::opened::Json;
use super::pattern::{Pattern, Refusal};

/// Why a `JSONPath` is refused.
#[derive(Debug)]
pub(super) enum Problem {
    /// It is none, or has something that is not in RFC 9535.
    NotAPath(String),
    /// A regular expression in it does not compile or cannot run in PostgreSQL.
    Pattern(Refusal),
}

/// A query from the root.
#[derive(Debug, Clone)]
pub(super) struct JsonPath {
    pub(super) segments: Vec<Segment>,
}

#[derive(Debug, Clone)]
pub(super) struct Segment {
    /// Whether the selectors apply to the node and everything under it.
    pub(super) descendant: bool,
    pub(super) selectors: Vec<Selector>,
}

#[derive(Debug, Clone)]
pub(super) enum Selector {
    Name(String),
    Wildcard,
    Index(i64),
    Slice { start: Option<i64>, end: Option<i64>, step: i64 },
    Filter(Logic),
}

/// A query inside a filter.
#[derive(Debug, Clone)]
pub(super) struct Query {
    /// From the root rather than from the current node.
    pub(super) absolute: bool,
    pub(super) segments: Vec<Segment>,
}

#[derive(Debug, Clone)]
pub(super) enum Logic {
    Any(Vec<Logic>),
    All(Vec<Logic>),
    Not(Box<Logic>),
    Exists(Query),
    Compare(Operand, Comparison, Operand),
    Matches(Operand, Box<Pattern>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Debug, Clone)]
pub(super) enum Operand {
    Literal(Json),
    /// At most one node.
    Singular(Query),
    Length(Box<Operand>),
    Count(Query),
    Value(Query),
}

impl JsonPath {
    pub(super) fn parse(text: &str) -> Result<Self, Problem> {
        let parsed = jsonpath_rust::parser::parse_json_path(text)
            .map_err(|error| Problem::NotAPath(format!("is not a JSONPath: {error}")))?;
        Ok(Self { segments: segments(&parsed.segments)? })
    }

    /// The nodes that it selects, in no order that matters.
    pub(super) fn select<'a>(&self, root: &'a Json) -> Vec<&'a Json> {
        walk(&self.segments, root, root)
    }
}

fn refuse<T>(detail: &str) -> Result<T, Problem> {
    Err(Problem::NotAPath(detail.to_owned()))
}

fn segments(parsed: &[model::Segment]) -> Result<Vec<Segment>, Problem> {
    parsed.iter().map(|parsed| segment(parsed, false)).collect()
}

fn segment(parsed: &model::Segment, descendant: bool) -> Result<Segment, Problem> {
    match parsed {
        model::Segment::Descendant(inner) if !descendant => segment(inner, true),
        model::Segment::Descendant(_) => refuse("has two descendant segments in one"),
        model::Segment::Selector(one) => Ok(Segment { descendant, selectors: vec![selector(one)?] }),
        model::Segment::Selectors(many) => {
            let selectors = many.iter().map(selector).collect::<Result<_, _>>()?;
            Ok(Segment { descendant, selectors })
        }
    }
}

fn selector(parsed: &model::Selector) -> Result<Selector, Problem> {
    Ok(match parsed {
        model::Selector::Name(name) => Selector::Name(storable(name)?),
        model::Selector::Wildcard => Selector::Wildcard,
        model::Selector::Index(index) => Selector::Index(*index),
        model::Selector::Slice(start, end, step) => {
            Selector::Slice { start: *start, end: *end, step: step.unwrap_or(1) }
        }
        model::Selector::Filter(filter) => Selector::Filter(logic(filter)?),
    })
}

/// Text that PostgreSQL can hold, as everything stored is.
fn storable(text: &str) -> Result<String, Problem> {
    if text.contains('\0') {
        return refuse("has the character U+0000, which no stored text has");
    }
    Ok(text.to_owned())
}

fn logic(parsed: &model::Filter) -> Result<Logic, Problem> {
    let each = |filters: &[model::Filter]| filters.iter().map(logic).collect::<Result<Vec<_>, _>>();
    Ok(match parsed {
        model::Filter::Or(filters) => Logic::Any(each(filters)?),
        model::Filter::And(filters) => Logic::All(each(filters)?),
        model::Filter::Atom(FilterAtom::Filter { expr, not }) => negate(logic(expr)?, *not),
        model::Filter::Atom(FilterAtom::Test { expr, not }) => negate(test(expr)?, *not),
        model::Filter::Atom(FilterAtom::Comparison(comparison)) => compare(comparison)?,
    })
}

fn negate(logic: Logic, not: bool) -> Logic {
    if not { Logic::Not(Box::new(logic)) } else { logic }
}

fn test(parsed: &model::Test) -> Result<Logic, Problem> {
    match parsed {
        model::Test::RelQuery(_) | model::Test::AbsQuery(_) => query(parsed).map(Logic::Exists),
        model::Test::Function(function) => match &**function {
            TestFunction::Match(text, pattern) => matches(text, pattern, true),
            TestFunction::Search(text, pattern) => matches(text, pattern, false),
            TestFunction::Length(_) | TestFunction::Count(_) | TestFunction::Value(_) => {
                refuse("has a function whose result must be compared with something")
            }
            TestFunction::Custom(name, _) => refuse(&format!("has `{name}`, which RFC 9535 does not know")),
        },
    }
}

fn query(parsed: &model::Test) -> Result<Query, Problem> {
    match parsed {
        model::Test::RelQuery(parsed) => Ok(Query { absolute: false, segments: segments(parsed)? }),
        model::Test::AbsQuery(parsed) => {
            Ok(Query { absolute: true, segments: segments(&parsed.segments)? })
        }
        model::Test::Function(_) => refuse("has a function where a query must stand"),
    }
}

fn matches(text: &FnArg, pattern: &FnArg, whole: bool) -> Result<Logic, Problem> {
    let FnArg::Literal(Literal::String(pattern)) = pattern else {
        return Err(Problem::Pattern(Refusal::Unsupported(
            "`match` and `search` take their pattern as a literal here".to_owned(),
        )));
    };
    let pattern = Pattern::i_regexp(pattern, whole).map_err(Problem::Pattern)?;
    Ok(Logic::Matches(value_argument(text)?, Box::new(pattern)))
}

/// An argument of the RFC's `ValueType`.
fn value_argument(argument: &FnArg) -> Result<Operand, Problem> {
    match argument {
        FnArg::Literal(parsed) => literal(parsed).map(Operand::Literal),
        FnArg::Test(parsed) => match &**parsed {
            model::Test::Function(parsed) => function(parsed),
            other => {
                let query = query(other)?;
                if !query.segments.iter().all(Segment::is_singular) {
                    return refuse("has a function of one value that is given a query of many");
                }
                Ok(Operand::Singular(query))
            }
        },
        FnArg::Filter(_) => refuse("has a function of a value that is given a condition"),
    }
}

/// An argument of the RFC's `NodesType`.
fn nodes_argument(argument: &FnArg) -> Result<Query, Problem> {
    match argument {
        FnArg::Test(parsed) => query(parsed),
        FnArg::Literal(_) | FnArg::Filter(_) => refuse("has a function that takes a query and is given none"),
    }
}

fn function(parsed: &TestFunction) -> Result<Operand, Problem> {
    match parsed {
        TestFunction::Length(argument) => Ok(Operand::Length(Box::new(value_argument(argument)?))),
        TestFunction::Count(argument) => nodes_argument(argument).map(Operand::Count),
        TestFunction::Value(argument) => nodes_argument(argument).map(Operand::Value),
        TestFunction::Match(..) | TestFunction::Search(..) | TestFunction::Custom(..) => {
            refuse("compares a function that has no value")
        }
    }
}

fn compare(parsed: &model::Comparison) -> Result<Logic, Problem> {
    let comparison = match parsed {
        model::Comparison::Eq(..) => Comparison::Equal,
        model::Comparison::Ne(..) => Comparison::NotEqual,
        model::Comparison::Lt(..) => Comparison::Less,
        model::Comparison::Lte(..) => Comparison::LessOrEqual,
        model::Comparison::Gt(..) => Comparison::Greater,
        model::Comparison::Gte(..) => Comparison::GreaterOrEqual,
    };
    let (left, right) = parsed.vals();
    Ok(Logic::Compare(operand(left)?, comparison, operand(right)?))
}

fn operand(parsed: &Comparable) -> Result<Operand, Problem> {
    match parsed {
        Comparable::Literal(parsed) => literal(parsed).map(Operand::Literal),
        Comparable::Function(parsed) => function(parsed),
        Comparable::SingularQuery(parsed) => {
            let (absolute, steps) = match parsed {
                SingularQuery::Current(steps) => (false, steps),
                SingularQuery::Root(steps) => (true, steps),
            };
            let segments = steps
                .iter()
                .map(|step| {
                    let selector = match step {
                        SingularQuerySegment::Index(index) => Selector::Index(*index),
                        SingularQuerySegment::Name(name) => Selector::Name(storable(name)?),
                    };
                    Ok(Segment { descendant: false, selectors: vec![selector] })
                })
                .collect::<Result<_, _>>()?;
            Ok(Operand::Singular(Query { absolute, segments }))
        }
    }
}

fn literal(parsed: &Literal) -> Result<Json, Problem> {
    Ok(match parsed {
        Literal::Null => Json::Null,
        Literal::Bool(boolean) => Json::Bool(*boolean),
        Literal::Int(number) => Json::Number(number.to_string()),
        Literal::Float(number) if number.is_finite() => Json::Number(number.to_string()),
        Literal::Float(_) => return refuse("has a number that is too large"),
        Literal::String(text) => Json::Text(storable(text)?),
    })
}

impl Segment {
    pub(super) fn is_singular(&self) -> bool {
        !self.descendant && matches!(self.selectors[..], [Selector::Name(_) | Selector::Index(_)])
    }
}

fn walk<'a>(segments: &[Segment], start: &'a Json, root: &'a Json) -> Vec<&'a Json> {
    segments.iter().fold(vec![start], |nodes, segment| {
        let mut found = Vec::new();
        for node in nodes {
            if segment.descendant {
                let mut under = Vec::new();
                descendants(node, &mut under);
                for node in under {
                    segment.apply(node, root, &mut found);
                }
            } else {
                segment.apply(node, root, &mut found);
            }
        }
        found
    })
}

fn children(node: &Json) -> Vec<&Json> {
    match node {
        Json::Array(items) => items.iter().collect(),
        Json::Object(members) => members.values().collect(),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::Text(_) => Vec::new(),
    }
}

fn descendants<'a>(node: &'a Json, found: &mut Vec<&'a Json>) {
    found.push(node);
    for child in children(node) {
        descendants(child, found);
    }
}

impl Segment {
    fn apply<'a>(&self, node: &'a Json, root: &'a Json, found: &mut Vec<&'a Json>) {
        for selector in &self.selectors {
            match (selector, node) {
                (Selector::Name(name), Json::Object(members)) => found.extend(members.get(name)),
                (Selector::Index(index), Json::Array(items)) => found.extend(element(items, *index)),
                (Selector::Slice { start, end, step }, Json::Array(items)) => {
                    found.extend(slice(items, *start, *end, *step));
                }
                (Selector::Wildcard, node) => found.extend(children(node)),
                (Selector::Filter(logic), node) => {
                    found.extend(children(node).into_iter().filter(|child| logic.holds(child, root)));
                }
                (Selector::Name(_) | Selector::Index(_) | Selector::Slice { .. }, _) => {}
            }
        }
    }
}

fn element(items: &[Json], index: i64) -> Option<&Json> {
    let index = if index < 0 { index.checked_add(items.len() as i64)? } else { index };
    items.get(usize::try_from(index).ok()?)
}

/// RFC 9535, section 2.3.4.2.2.
fn slice(items: &[Json], start: Option<i64>, end: Option<i64>, step: i64) -> Vec<&Json> {
    let len = items.len() as i64;
    let normal = |index: i64| if index < 0 { index.saturating_add(len) } else { index };
    let picked = |index: &i64, from: i64| (index - from) % step == 0;
    let at = |index: i64| usize::try_from(index).ok().and_then(|index| items.get(index));
    if step > 0 {
        let lower = normal(start.unwrap_or(0)).clamp(0, len);
        let upper = normal(end.unwrap_or(len)).clamp(0, len);
        (lower..upper).filter(|index| picked(index, lower)).filter_map(at).collect()
    } else if step < 0 {
        let upper = normal(start.unwrap_or(len - 1)).clamp(-1, len - 1);
        let lower = end.map_or(-1, |end| normal(end).clamp(-1, len - 1));
        (lower + 1..=upper).filter(|index| picked(index, upper)).filter_map(at).collect()
    } else {
        Vec::new()
    }
}

impl Logic {
    fn holds(&self, current: &Json, root: &Json) -> bool {
        match self {
            Self::Any(each) => each.iter().any(|logic| logic.holds(current, root)),
            Self::All(each) => each.iter().all(|logic| logic.holds(current, root)),
            Self::Not(logic) => !logic.holds(current, root),
            Self::Exists(query) => !query.select(current, root).is_empty(),
            Self::Compare(left, comparison, right) => {
                let (left, right) = (left.value(current, root), right.value(current, root));
                let equal = || same(left.as_ref(), right.as_ref());
                let less = || less(left.as_ref(), right.as_ref());
                let greater = || self::less(right.as_ref(), left.as_ref());
                match comparison {
                    Comparison::Equal => equal(),
                    Comparison::NotEqual => !equal(),
                    Comparison::Less => less(),
                    Comparison::LessOrEqual => less() || equal(),
                    Comparison::Greater => greater(),
                    Comparison::GreaterOrEqual => greater() || equal(),
                }
            }
            Self::Matches(operand, pattern) => {
                matches!(operand.value(current, root), Some(Json::Text(text)) if pattern.is_match(&text))
            }
        }
    }
}

impl Query {
    fn select<'a>(&self, current: &'a Json, root: &'a Json) -> Vec<&'a Json> {
        walk(&self.segments, if self.absolute { root } else { current }, root)
    }
}

impl Operand {
    /// Its value; `None` is the RFC's `Nothing`.
    fn value(&self, current: &Json, root: &Json) -> Option<Json> {
        match self {
            Self::Literal(json) => Some(json.clone()),
            Self::Singular(query) | Self::Value(query) => match query.select(current, root)[..] {
                [node] => Some(node.clone()),
                _ => None,
            },
            Self::Count(query) => Some(Json::Number(query.select(current, root).len().to_string())),
            Self::Length(operand) => {
                let length = match operand.value(current, root)? {
                    Json::Text(text) => text.chars().count(),
                    Json::Array(items) => items.len(),
                    Json::Object(members) => members.len(),
                    Json::Null | Json::Bool(_) | Json::Number(_) => return None,
                };
                Some(Json::Number(length.to_string()))
            }
        }
    }
}

fn decimal(number: &str) -> Option<BigDecimal> {
    BigDecimal::from_str(number).ok()
}

fn same(left: Option<&Json>, right: Option<&Json>) -> bool {
    match (left, right) {
        (None, None) => true,
        (Some(left), Some(right)) => equal(left, right),
        (None, Some(_)) | (Some(_), None) => false,
    }
}

fn equal(left: &Json, right: &Json) -> bool {
    match (left, right) {
        (Json::Number(left), Json::Number(right)) => decimal(left) == decimal(right),
        (Json::Array(left), Json::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(left, right)| equal(left, right))
        }
        (Json::Object(left), Json::Object(right)) => {
            left.len() == right.len()
                && left.iter().zip(right).all(|(left, right)| left.0 == right.0 && equal(left.1, right.1))
        }
        (left, right) => left == right,
    }
}

fn less(left: Option<&Json>, right: Option<&Json>) -> bool {
    match (left, right) {
        (Some(Json::Number(left)), Some(Json::Number(right))) => {
            decimal(left).partial_cmp(&decimal(right)) == Some(Ordering::Less)
        }
        (Some(Json::Text(left)), Some(Json::Text(right))) => left < right,
        _ => false,
    }
}

#[cfg(test)]
#[path = "jsonpath_tests.rs"]
mod tests;
