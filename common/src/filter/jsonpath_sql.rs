//! `JSONPath` as SQL: every segment a lateral join from nodes to nodes, every filter a condition.
//!
//! PostgreSQL's own `jsonpath` is not used, since it unwraps arrays and treats missing members otherwise
//! than RFC 9535. Names, indexes and literals are elements of one bound array, so that a long path takes
//! one of the statement's 65,535 parameters.

use sqlx::{Postgres, QueryBuilder};

use super::jsonpath::{Comparison, JsonPath, Logic, Operand, Query, Segment, Selector};

/// Writes a query of one column, the texts of the nodes that the path selects; none is null.
pub(super) fn push_results(builder: &mut QueryBuilder<Postgres>, metadata: &str, path: &JsonPath) {
    let mut writer = Writer::default();
    let nodes = writer.nodes(&path.segments, ROOT);
    // OFFSET 0 keeps the planner from opening the metadata once for every mention of the root.
    builder.push("SELECT metadata_text(metadata_node.value) FROM (SELECT ");
    match path.only_key() {
        Some(key) => {
            builder.push(format_args!("metadata_with_parsed_json({metadata}, "));
            builder.push_bind(key.to_owned());
        }
        None => {
            builder.push(format_args!("metadata_with_parsed_json({metadata}"));
        }
    }
    builder.push(") AS node, ").push_bind(writer.names);
    builder.push(format_args!(
        "::TEXT[] AS names OFFSET 0) AS metadata_root, LATERAL ({nodes}) AS metadata_node (value) \
         WHERE metadata_text(metadata_node.value) IS NOT NULL"
    ));
}

const ROOT: &str = "metadata_root.node";

#[derive(Default)]
struct Writer {
    names: Vec<String>,
    aliases: usize,
}

impl Writer {
    fn bound(&mut self, text: impl Into<String>) -> String {
        self.names.push(text.into());
        format!("metadata_root.names[{}]", self.names.len())
    }

    fn alias(&mut self) -> String {
        self.aliases += 1;
        format!("metadata_{}", self.aliases)
    }

    /// A query of the nodes that the segments lead to.
    fn nodes(&mut self, segments: &[Segment], start: &str) -> String {
        let mut joins: Vec<String> = Vec::new();
        let mut node = start.to_owned();
        for segment in segments {
            if segment.descendant {
                let alias = self.alias();
                joins.push(format!("metadata_descendants({node}) AS {alias} (value)"));
                node = format!("{alias}.value");
            }
            let selectors: Vec<String> = segment
                .selectors
                .iter()
                .map(|selector| self.selector(selector, &node))
                .collect();
            let alias = self.alias();
            joins.push(format!(
                "LATERAL ({}) AS {alias} (value)",
                selectors.join(" UNION ALL ")
            ));
            node = format!("{alias}.value");
        }
        if joins.is_empty() {
            format!("SELECT {node}")
        } else {
            format!("SELECT {node} FROM {}", joins.join(", "))
        }
    }

    fn selector(&mut self, selector: &Selector, node: &str) -> String {
        match selector {
            Selector::Name(_) | Selector::Index(_) => {
                let step = self.step(selector, node);
                format!("SELECT {step} WHERE {step} IS NOT NULL")
            }
            Selector::Wildcard => format!("SELECT * FROM metadata_children({node})"),
            Selector::Slice { start, end, step } => {
                let mut bound = |number: Option<i64>| match number {
                    Some(number) => format!("{}::BIGINT", self.bound(number.to_string())),
                    None => "NULL".to_owned(),
                };
                let (start, end, step) = (bound(*start), bound(*end), bound(Some(*step)));
                format!("SELECT * FROM metadata_slice({node}, {start}, {end}, {step})")
            }
            Selector::Filter(logic) => {
                let alias = self.alias();
                let condition = self.logic(logic, &format!("{alias}.value"));
                format!(
                    "SELECT {alias}.value FROM metadata_children({node}) AS {alias} (value) WHERE {condition}"
                )
            }
        }
    }

    /// The one node that a name or an index leads to, or null.
    fn step(&mut self, selector: &Selector, node: &str) -> String {
        match selector {
            Selector::Name(name) => format!("({node} -> {})", self.bound(name)),
            Selector::Index(index) => {
                format!(
                    "metadata_element({node}, {}::BIGINT)",
                    self.bound(index.to_string())
                )
            }
            Selector::Wildcard | Selector::Slice { .. } | Selector::Filter(_) => "NULL".to_owned(),
        }
    }

    /// A condition that is never null.
    fn logic(&mut self, logic: &Logic, current: &str) -> String {
        match logic {
            Logic::Any(each) => self.each(each, current, " OR "),
            Logic::All(each) => self.each(each, current, " AND "),
            Logic::Not(inner) => format!("(NOT {})", self.logic(inner, current)),
            Logic::Exists(query) => format!("EXISTS ({})", self.query(query, current)),
            Logic::Matches(operand, pattern) => {
                let value = self.operand(operand, current);
                let pattern = self.bound(pattern.postgres());
                format!("metadata_matches({value}, {pattern})")
            }
            Logic::Compare(left, comparison, right) => {
                let (left, right) = (self.operand(left, current), self.operand(right, current));
                let equal = format!("{left} IS NOT DISTINCT FROM {right}");
                match comparison {
                    Comparison::Equal => format!("({equal})"),
                    Comparison::NotEqual => format!("({left} IS DISTINCT FROM {right})"),
                    Comparison::Less => format!("metadata_is_less({left}, {right})"),
                    Comparison::LessOrEqual => {
                        format!("(metadata_is_less({left}, {right}) OR {equal})")
                    }
                    Comparison::Greater => format!("metadata_is_less({right}, {left})"),
                    Comparison::GreaterOrEqual => {
                        format!("(metadata_is_less({right}, {left}) OR {equal})")
                    }
                }
            }
        }
    }

    fn each(&mut self, each: &[Logic], current: &str, separator: &str) -> String {
        let conditions: Vec<String> = each
            .iter()
            .map(|logic| self.logic(logic, current))
            .collect();
        format!("({})", conditions.join(separator))
    }

    fn query(&mut self, query: &Query, current: &str) -> String {
        self.nodes(&query.segments, if query.absolute { ROOT } else { current })
    }

    /// An operand's value as `jsonb`; null is the RFC's `Nothing`.
    fn operand(&mut self, operand: &Operand, current: &str) -> String {
        match operand {
            Operand::Literal(json) => format!("{}::JSONB", self.bound(json.compact())),
            Operand::Singular(query) => {
                let start = if query.absolute { ROOT } else { current }.to_owned();
                query
                    .segments
                    .iter()
                    .flat_map(|segment| &segment.selectors)
                    .fold(start, |node, selector| self.step(selector, &node))
            }
            Operand::Length(operand) => {
                format!("metadata_length({})", self.operand(operand, current))
            }
            Operand::Count(query) => {
                let nodes = self.query(query, current);
                format!(
                    "(SELECT to_jsonb(COUNT(*)) FROM ({nodes}) AS {} (value))",
                    self.alias()
                )
            }
            Operand::Value(query) => {
                let nodes = self.query(query, current);
                let alias = self.alias();
                format!(
                    "(SELECT CASE WHEN COUNT(*) = 1 THEN (array_agg({alias}.value))[1] END \
                     FROM ({nodes}) AS {alias} (value))"
                )
            }
        }
    }
}
