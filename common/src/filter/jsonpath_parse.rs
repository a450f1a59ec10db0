//! JSONPath from text: the `jsonpath-rust` crate parses, this makes its tree ours.
//!
//! Refused although it parses: functions outside RFC 9535, what the RFC calls not well-typed, a `match` or
//! `search` whose pattern is not a literal, which PostgreSQL could not be given translated, and paths that
//! could visit a node very often, since a rule runs over every charge.

use jsonpath_rust::parser::model::{
    self, Comparable, FilterAtom, FnArg, Literal, SingularQuery, SingularQuerySegment, TestFunction,
};

use super::embedded_json::Json;
use super::jsonpath::{
    Comparison, JsonPath, JsonPathError, Logic, Operand, Query, Segment, Selector,
};
use super::pattern::{Pattern, Refusal};

/// Descendant segments that a path may have, those in its filters included.
const MAX_DESCENDANTS: usize = 4;
/// Filters in filters.
const MAX_FILTER_DEPTH: usize = 3;
/// What the selectors of a path's segments may multiply to: how often it may select one node.
const MAX_BRANCHES: usize = 64;

impl JsonPath {
    pub(super) fn parse(text: &str) -> Result<Self, JsonPathError> {
        let parsed = jsonpath_rust::parser::parse_json_path(text)
            .map_err(|error| JsonPathError::NotAPath(format!("is not a JSONPath: {error}")))?;
        let path = Self {
            segments: segments(&parsed.segments)?,
        };
        let mut cost = Cost {
            descendants: 0,
            branches: 1,
        };
        if !cost.within_limits(&path.segments, 0) {
            return refuse(&format!(
                "is too costly a JSONPath: it may have {MAX_DESCENDANTS} descendant segments, filters \
                 {MAX_FILTER_DEPTH} deep and selectors that multiply to {MAX_BRANCHES}"
            ));
        }
        Ok(path)
    }
}

/// What makes a path visit a node many times.
struct Cost {
    descendants: usize,
    branches: usize,
}

impl Cost {
    fn within_limits(&mut self, segments: &[Segment], filter_depth: usize) -> bool {
        for segment in segments {
            self.descendants += usize::from(segment.descendant);
            self.branches = self.branches.saturating_mul(segment.selectors.len());
            if self.descendants > MAX_DESCENDANTS
                || self.branches > MAX_BRANCHES
                || filter_depth > MAX_FILTER_DEPTH
            {
                return false;
            }
            for selector in &segment.selectors {
                if let Selector::Filter(logic) = selector
                    && !self.logic_within_limits(logic, filter_depth + 1)
                {
                    return false;
                }
            }
        }
        filter_depth <= MAX_FILTER_DEPTH
    }

    fn logic_within_limits(&mut self, logic: &Logic, filter_depth: usize) -> bool {
        match logic {
            Logic::Any(each) | Logic::All(each) => each
                .iter()
                .all(|logic| self.logic_within_limits(logic, filter_depth)),
            Logic::Not(logic) => self.logic_within_limits(logic, filter_depth),
            Logic::Exists(query) => self.within_limits(&query.segments, filter_depth),
            Logic::Matches(operand, _) => self.operand_within_limits(operand, filter_depth),
            Logic::Compare(left, _, right) => {
                self.operand_within_limits(left, filter_depth)
                    && self.operand_within_limits(right, filter_depth)
            }
        }
    }

    fn operand_within_limits(&mut self, operand: &Operand, filter_depth: usize) -> bool {
        match operand {
            Operand::Literal(_) => true,
            Operand::Singular(query) | Operand::Count(query) | Operand::Value(query) => {
                self.within_limits(&query.segments, filter_depth)
            }
            Operand::Length(operand) => self.operand_within_limits(operand, filter_depth),
        }
    }
}

fn refuse<T>(detail: &str) -> Result<T, JsonPathError> {
    Err(JsonPathError::NotAPath(detail.to_owned()))
}

fn segments(parsed: &[model::Segment]) -> Result<Vec<Segment>, JsonPathError> {
    parsed.iter().map(|parsed| segment(parsed, false)).collect()
}

fn segment(parsed: &model::Segment, descendant: bool) -> Result<Segment, JsonPathError> {
    match parsed {
        model::Segment::Descendant(inner) if !descendant => segment(inner, true),
        model::Segment::Descendant(_) => refuse("has two descendant segments in one"),
        model::Segment::Selector(one) => Ok(Segment {
            descendant,
            selectors: vec![selector(one)?],
        }),
        model::Segment::Selectors(many) => {
            let selectors = many.iter().map(selector).collect::<Result<_, _>>()?;
            Ok(Segment {
                descendant,
                selectors,
            })
        }
    }
}

fn selector(parsed: &model::Selector) -> Result<Selector, JsonPathError> {
    Ok(match parsed {
        model::Selector::Name(name) => Selector::Name(storable(name)?),
        model::Selector::Wildcard => Selector::Wildcard,
        model::Selector::Index(index) => Selector::Index(*index),
        model::Selector::Slice(start, end, step) => Selector::Slice {
            start: *start,
            end: *end,
            step: step.unwrap_or(1),
        },
        model::Selector::Filter(filter) => Selector::Filter(logic(filter)?),
    })
}

/// Text that PostgreSQL can hold, as everything stored is.
fn storable(text: &str) -> Result<String, JsonPathError> {
    if text.contains('\0') {
        return refuse("has the character U+0000, which no stored text has");
    }
    Ok(text.to_owned())
}

fn logic(parsed: &model::Filter) -> Result<Logic, JsonPathError> {
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
    if not {
        Logic::Not(Box::new(logic))
    } else {
        logic
    }
}

fn test(parsed: &model::Test) -> Result<Logic, JsonPathError> {
    match parsed {
        model::Test::RelQuery(_) | model::Test::AbsQuery(_) => query(parsed).map(Logic::Exists),
        model::Test::Function(function) => match &**function {
            TestFunction::Match(text, pattern) => matches(text, pattern, true),
            TestFunction::Search(text, pattern) => matches(text, pattern, false),
            TestFunction::Length(_) | TestFunction::Count(_) | TestFunction::Value(_) => {
                refuse("has a function whose result must be compared with something")
            }
            TestFunction::Custom(name, _) => {
                refuse(&format!("has `{name}`, which RFC 9535 does not know"))
            }
        },
    }
}

fn query(parsed: &model::Test) -> Result<Query, JsonPathError> {
    match parsed {
        model::Test::RelQuery(parsed) => Ok(Query {
            absolute: false,
            segments: segments(parsed)?,
        }),
        model::Test::AbsQuery(parsed) => Ok(Query {
            absolute: true,
            segments: segments(&parsed.segments)?,
        }),
        model::Test::Function(_) => refuse("has a function where a query must stand"),
    }
}

fn matches(text: &FnArg, pattern: &FnArg, whole: bool) -> Result<Logic, JsonPathError> {
    let FnArg::Literal(Literal::String(pattern)) = pattern else {
        return Err(JsonPathError::Pattern(Refusal::Unsupported(
            "`match` and `search` take their pattern as a literal here".to_owned(),
        )));
    };
    let pattern = Pattern::i_regexp(pattern, whole).map_err(JsonPathError::Pattern)?;
    Ok(Logic::Matches(value_argument(text)?, Box::new(pattern)))
}

/// An argument of the RFC's `ValueType`.
fn value_argument(argument: &FnArg) -> Result<Operand, JsonPathError> {
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
fn nodes_argument(argument: &FnArg) -> Result<Query, JsonPathError> {
    match argument {
        FnArg::Test(parsed) => query(parsed),
        FnArg::Literal(_) | FnArg::Filter(_) => {
            refuse("has a function that takes a query and is given none")
        }
    }
}

fn function(parsed: &TestFunction) -> Result<Operand, JsonPathError> {
    match parsed {
        TestFunction::Length(argument) => Ok(Operand::Length(Box::new(value_argument(argument)?))),
        TestFunction::Count(argument) => nodes_argument(argument).map(Operand::Count),
        TestFunction::Value(argument) => nodes_argument(argument).map(Operand::Value),
        TestFunction::Match(..) | TestFunction::Search(..) | TestFunction::Custom(..) => {
            refuse("compares a function that has no value")
        }
    }
}

fn compare(parsed: &model::Comparison) -> Result<Logic, JsonPathError> {
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

fn operand(parsed: &Comparable) -> Result<Operand, JsonPathError> {
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
                    Ok(Segment {
                        descendant: false,
                        selectors: vec![selector],
                    })
                })
                .collect::<Result<_, _>>()?;
            Ok(Operand::Singular(Query { absolute, segments }))
        }
    }
}

fn literal(parsed: &Literal) -> Result<Json, JsonPathError> {
    Ok(match parsed {
        Literal::Null => Json::Null,
        Literal::Bool(boolean) => Json::Bool(*boolean),
        Literal::Int(number) => Json::Number(number.to_string()),
        Literal::Float(number) if number.is_finite() => Json::Number(number.to_string()),
        Literal::Float(_) => return refuse("has a number that is too large"),
        Literal::String(text) => Json::Text(storable(text)?),
    })
}
