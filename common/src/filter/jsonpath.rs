//! JSONPath as RFC 9535 defines it: the tree that both interpreters work from, and its evaluation over
//! opened metadata. [`super::jsonpath_sql`] writes the same tree as SQL.
//!
//! Evaluation is ours rather than that of the crate that parses, since that one compares numbers as binary
//! floats and the SQL side compares exact decimals.

use std::cmp::Ordering;
use std::str::FromStr;

use bigdecimal::BigDecimal;

use super::embedded_json::Json;
use super::pattern::{Pattern, Refusal};

/// Why a `JSONPath` is refused.
#[derive(Debug)]
pub(super) enum JsonPathError {
    /// It is none, or has something that is not in RFC 9535.
    NotAPath(String),
    /// A regular expression in it does not compile or cannot run in PostgreSQL.
    Pattern(Refusal),
}

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
    Slice {
        start: Option<i64>,
        end: Option<i64>,
        step: i64,
    },
    Filter(Logic),
}

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
    /// The regular expressions in its filters.
    pub(super) fn patterns(&self) -> Vec<&Pattern> {
        let mut found = Vec::new();
        for segment in &self.segments {
            segment.patterns(&mut found);
        }
        found
    }

    /// The one key under the root that the path looks at, if it is so.
    pub(super) fn only_key(&self) -> Option<&str> {
        let (first, rest) = self.segments.split_first()?;
        match &first.selectors[..] {
            [Selector::Name(key)] if !first.descendant && !rest.iter().any(Segment::sees_root) => {
                Some(key)
            }
            _ => None,
        }
    }

    /// The nodes that it selects, in no order that matters.
    pub(super) fn select<'a>(&self, root: &'a Json) -> Vec<&'a Json> {
        walk(&self.segments, root, root)
    }
}

impl Segment {
    fn patterns<'a>(&'a self, found: &mut Vec<&'a Pattern>) {
        for selector in &self.selectors {
            if let Selector::Filter(logic) = selector {
                logic.patterns(found);
            }
        }
    }

    fn sees_root(&self) -> bool {
        self.selectors.iter().any(|selector| match selector {
            Selector::Filter(logic) => logic.sees_root(),
            Selector::Name(_)
            | Selector::Wildcard
            | Selector::Index(_)
            | Selector::Slice { .. } => false,
        })
    }

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
                (Selector::Index(index), Json::Array(items)) => {
                    found.extend(element(items, *index));
                }
                (Selector::Slice { start, end, step }, Json::Array(items)) => {
                    found.extend(slice(items, *start, *end, *step));
                }
                (Selector::Wildcard, node) => found.extend(children(node)),
                (Selector::Filter(logic), node) => {
                    found.extend(
                        children(node)
                            .into_iter()
                            .filter(|child| logic.holds(child, root)),
                    );
                }
                (Selector::Name(_) | Selector::Index(_) | Selector::Slice { .. }, _) => {}
            }
        }
    }
}

fn element(items: &[Json], index: i64) -> Option<&Json> {
    let index = if index < 0 {
        index.checked_add(items.len() as i64)?
    } else {
        index
    };
    items.get(usize::try_from(index).ok()?)
}

/// RFC 9535, section 2.3.4.2.2.
fn slice(items: &[Json], start: Option<i64>, end: Option<i64>, step: i64) -> Vec<&Json> {
    let len = items.len() as i64;
    let normal = |index: i64| {
        if index < 0 {
            index.saturating_add(len)
        } else {
            index
        }
    };
    let picked = |index: &i64, from: i64| (index - from) % step == 0;
    let at = |index: i64| {
        usize::try_from(index)
            .ok()
            .and_then(|index| items.get(index))
    };
    match step.signum() {
        1 => {
            let lower = normal(start.unwrap_or(0)).clamp(0, len);
            let upper = normal(end.unwrap_or(len)).clamp(0, len);
            (lower..upper)
                .filter(|index| picked(index, lower))
                .filter_map(at)
                .collect()
        }
        -1 => {
            let upper = normal(start.unwrap_or(len - 1)).clamp(-1, len - 1);
            let lower = end.map_or(-1, |end| normal(end).clamp(-1, len - 1));
            (lower + 1..=upper)
                .filter(|index| picked(index, upper))
                .filter_map(at)
                .collect()
        }
        _ => Vec::new(),
    }
}

impl Logic {
    fn patterns<'a>(&'a self, found: &mut Vec<&'a Pattern>) {
        match self {
            Self::Any(each) | Self::All(each) => {
                for logic in each {
                    logic.patterns(found);
                }
            }
            Self::Not(logic) => logic.patterns(found),
            Self::Exists(query) => query.patterns(found),
            Self::Compare(left, _, right) => {
                left.patterns(found);
                right.patterns(found);
            }
            Self::Matches(operand, pattern) => {
                operand.patterns(found);
                found.push(pattern);
            }
        }
    }

    fn sees_root(&self) -> bool {
        match self {
            Self::Any(each) | Self::All(each) => each.iter().any(Self::sees_root),
            Self::Not(logic) => logic.sees_root(),
            Self::Exists(query) => query.sees_root(),
            Self::Compare(left, _, right) => left.sees_root() || right.sees_root(),
            Self::Matches(operand, _) => operand.sees_root(),
        }
    }

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
    fn patterns<'a>(&'a self, found: &mut Vec<&'a Pattern>) {
        for segment in &self.segments {
            segment.patterns(found);
        }
    }

    fn sees_root(&self) -> bool {
        self.absolute || self.segments.iter().any(Segment::sees_root)
    }

    fn select<'a>(&self, current: &'a Json, root: &'a Json) -> Vec<&'a Json> {
        walk(
            &self.segments,
            if self.absolute { root } else { current },
            root,
        )
    }
}

impl Operand {
    fn patterns<'a>(&'a self, found: &mut Vec<&'a Pattern>) {
        match self {
            Self::Literal(_) => {}
            Self::Singular(query) | Self::Count(query) | Self::Value(query) => {
                query.patterns(found);
            }
            Self::Length(operand) => operand.patterns(found),
        }
    }

    fn sees_root(&self) -> bool {
        match self {
            Self::Literal(_) => false,
            Self::Singular(query) | Self::Count(query) | Self::Value(query) => query.sees_root(),
            Self::Length(operand) => operand.sees_root(),
        }
    }

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
            left.len() == right.len()
                && left
                    .iter()
                    .zip(right)
                    .all(|(left, right)| equal(left, right))
        }
        (Json::Object(left), Json::Object(right)) => {
            left.len() == right.len()
                && left
                    .iter()
                    .zip(right)
                    .all(|(left, right)| left.0 == right.0 && equal(left.1, right.1))
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
