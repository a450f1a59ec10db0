//! The rows of the form of conditions: how they are read, checked and shown.

use std::collections::BTreeMap;

use askama::Template;
use askama::filters::HtmlSafe;
use common::filter::{Operator, Predicate};
use serde_json::{Value, json};
use stripe::analytics::names::Names;

use super::choices::{self, Suggestions};
use super::{CHANGE, MAX_ROWS};
use crate::pages::address::Address;
use crate::pages::amounts::{self, Amounts};
use crate::pages::condition::{self, ConditionFields};
use crate::pages::named_object;
use crate::use_case_errors::sentence;

/// Says that an address has the rows of the form, even if there are none.
const EDITED: &str = "conditions";
const PREFIX: &str = "condition-";

/// A condition as it was entered.
#[derive(Debug, Default)]
pub(super) struct Row {
    /// What is compared, as addresses name it: `field.NAME` or `metadata.SOURCE.KEY`.
    name: String,
    operator: String,
    value: String,
    /// What is wrong, and with which part.
    problem: Option<(&'static str, String)>,
}

impl Row {
    pub(super) fn of(fields: ConditionFields) -> Self {
        let name = if fields.key.is_empty() {
            format!("field.{}", fields.subject)
        } else {
            format!("metadata.{}.{}", fields.subject, fields.key)
        };
        Self {
            name,
            operator: fields.operator,
            value: fields.value,
            problem: None,
        }
    }

    /// What the short form of a condition says.
    pub(super) fn equality(name: &str, value: &str, amounts: &Amounts) -> Self {
        let minor = value.parse::<i64>().ok();
        let minor = minor.filter(|_| name == amounts::PARAMETER);
        Self {
            name: name.to_owned(),
            operator: Operator::Equals.as_str().to_owned(),
            value: minor.map_or_else(|| value.to_owned(), |minor| amounts.written(minor)),
            problem: None,
        }
    }

    /// Whether nothing was entered.
    pub(super) fn is_blank(&self) -> bool {
        self.name.is_empty() && self.value.is_empty()
    }

    fn fields(&self) -> ConditionFields {
        let metadata = self.name.strip_prefix("metadata.");
        let (subject, key) = metadata
            .and_then(|name| name.split_once('.'))
            .unwrap_or((self.name.strip_prefix("field.").unwrap_or(&self.name), ""));
        ConditionFields {
            subject: subject.to_owned(),
            key: key.to_owned(),
            operator: self.operator.clone(),
            value: self.value.clone(),
        }
    }

    pub(super) fn body(&self, amounts: &Amounts) -> Value {
        self.fields().body(amounts)
    }

    /// The parameter that says the same; none where only a `filter` does.
    pub(super) fn short_form(&self, amounts: &Amounts) -> Option<(String, String)> {
        let is_equality = self.operator == Operator::Equals.as_str();
        let minor = amounts.read(&self.value).ok();
        let value = match minor.filter(|_| self.fields().has_amounts()) {
            Some(minor) => minor.to_string(),
            None => self.value.clone(),
        };
        is_equality.then(|| (self.name.clone(), value))
    }

    /// The same with the name of the object; none where it is about no object, or one without a name.
    fn named(&self, names: &Names, amounts: &Amounts) -> Option<String> {
        let (parameter, id) = self.short_form(amounts)?;
        named_object::condition(names, &parameter, &id)
    }

    /// Whether it can be asked; notes what is wrong.
    pub(super) fn check(&mut self, amounts: &Amounts) -> bool {
        self.problem = self.refusal(amounts);
        self.problem.is_none()
    }

    fn refusal(&self, amounts: &Amounts) -> Option<(&'static str, String)> {
        if self.name.is_empty() {
            return Some(("key", "choose what is compared".to_owned()));
        }
        let fields = self.fields();
        let takes_value = !fields
            .chosen_operator()
            .is_some_and(Operator::takes_no_value);
        if takes_value && self.value.is_empty() {
            return Some(("value", "enter a value".to_owned()));
        }
        if let Some(problem) = fields.amount_problem(amounts) {
            return Some(("value", in_sentence(&problem)));
        }
        let parsed = Predicate::parse(&json!({"conditions": [fields.body(amounts)]}));
        let problem = parsed.err()?.into_iter().next()?;
        let part = match condition::field_of(&problem) {
            "subject" => "key",
            other => other,
        };
        Some((part, problem.detail))
    }

    /// What is wrong, with the name of what is compared.
    pub(super) fn problem(&self) -> Option<String> {
        let (_, detail) = self.problem.as_ref()?;
        if self.name.is_empty() {
            return Some(sentence(detail));
        }
        Some(format!(
            "{}: {}",
            choices::label(&self.name),
            dotted(detail)
        ))
    }
}

/// A sentence after a colon. A currency's letters stay as they are.
fn in_sentence(sentence: &str) -> String {
    let mut letters = sentence.chars();
    match (letters.next(), letters.clone().next()) {
        (Some(first), Some(second)) if second.is_lowercase() => {
            first.to_lowercase().chain(letters).collect()
        }
        _ => sentence.to_owned(),
    }
}

fn dotted(detail: &str) -> String {
    format!("{}.", detail.trim_end_matches('.'))
}

/// Whether an address has rows of the form.
pub(super) fn is_edited(address: &Address) -> bool {
    address.get(EDITED).is_some()
}

/// Whether it asks for what the rows say, rather than for other rows.
pub(in crate::pages) fn is_applied(address: &Address) -> bool {
    is_edited(address) && address.get(CHANGE).is_none()
}

/// An address without them.
pub(in crate::pages) fn without_form(address: &Address) -> Address {
    address.retaining(|name| name != EDITED && name != CHANGE && !name.starts_with(PREFIX))
}

/// The rows that the form sent, by their positions in it.
pub(super) fn of_form(address: &Address) -> Vec<Vec<Row>> {
    let mut rows = BTreeMap::<(usize, usize), Row>::new();
    for (name, value) in address.pairs() {
        let Some((position, part)) = position_of(name) else {
            continue;
        };
        let row = rows.entry(position).or_default();
        let value = value.trim().to_owned();
        match part {
            "key" => row.name = value,
            "operator" => row.operator = value,
            "value" => row.value = value,
            _ => {}
        }
    }
    let mut groups = BTreeMap::<usize, Vec<Row>>::new();
    for ((group, _), row) in rows.into_iter().take(MAX_ROWS) {
        groups.entry(group).or_default().push(row);
    }
    groups.into_values().collect()
}

/// The group, the row and the part that a field of the form is.
fn position_of(name: &str) -> Option<((usize, usize), &str)> {
    let mut parts = name.strip_prefix(PREFIX)?.splitn(3, '-');
    let group = parts.next()?.parse().ok()?;
    let row = parts.next()?.parse().ok()?;
    Some(((group, row), parts.next()?))
}

/// The rows as a part of a page.
#[derive(Debug, Template)]
#[template(path = "filter_builder.html")]
pub(in crate::pages) struct Conditions {
    groups: Vec<Vec<ShownRow>>,
}

/// Its template escapes what is in it.
impl HtmlSafe for Conditions {}

#[derive(Debug)]
struct ShownRow {
    /// How its fields are named: `condition-GROUP-ROW`.
    id: String,
    /// Which buttons are about it: `GROUP-ROW`.
    position: String,
    /// The number of the condition, for names of fields.
    number: usize,
    keys: Vec<(&'static str, Vec<choices::Shown>)>,
    operators: Vec<choices::Shown>,
    value: String,
    values: Vec<String>,
    /// Whether values of the key are not suggested.
    hides_values: bool,
    /// How a value is to be written, where that is not plain.
    hint: Option<String>,
    /// Whether there is anything to remove.
    is_removable: bool,
    /// What is asked for by an id, in words.
    named: Option<String>,
    /// What is wrong, and with which part.
    problem: Option<(&'static str, String)>,
}

impl ShownRow {
    fn is_wrong(&self, part: &str) -> bool {
        self.problem.as_ref().is_some_and(|(at, _)| *at == part)
    }
}

/// A blank row is offered where there is none.
pub(super) fn shown(
    mut groups: Vec<Vec<Row>>,
    suggestions: &Suggestions<'_>,
    names: &Names,
    amounts: &Amounts,
) -> Conditions {
    if groups.is_empty() {
        groups.push(vec![Row::default()]);
    }
    let is_only = groups.len() == 1 && groups[0].len() == 1;
    let mut number = 0;
    let groups = groups.into_iter().enumerate().map(|(at, group)| {
        let rows = group.into_iter().enumerate().map(|(in_group, row)| {
            number += 1;
            let problem = row.problem().zip(row.problem.as_ref());
            ShownRow {
                id: format!("{PREFIX}{at}-{in_group}"),
                position: format!("{at}-{in_group}"),
                number,
                keys: suggestions.keys(&row.name),
                operators: choices::operators(&row.name, &row.operator),
                values: suggestions.values(&row.name),
                hides_values: suggestions.hides_values_of(&row.name),
                hint: (row.name == amounts::PARAMETER).then(|| amounts.hint()),
                is_removable: !(is_only && row.is_blank()),
                named: row.named(names, amounts),
                problem: problem.map(|(text, (part, _))| (*part, text)),
                value: row.value,
            }
        });
        rows.collect()
    });
    Conditions {
        groups: groups.collect(),
    }
}
