//! Reads rules from JSON by hand, so that every problem is reported at once and each has its JSON pointer.
//!
//! Unknown fields are problems, and so are values that a field can never have, but for rules that are stored.
//! What parses also compiles: a [`Predicate`] that comes from here has keys,
//! `JSONPath` and regular expressions that both interpreters run.

use serde_json::{Map, Value};

use super::{
    Action, Combination, CompiledPredicate, Condition, Field, FieldCondition, INVALID_REQUEST,
    Invalid, MAX_CONDITIONS, MAX_KEY_CHARS, MAX_LIST_VALUES, MAX_NAME_CHARS, MAX_VALUE_CHARS,
    MetadataCondition, MetadataSource, Operand, Operator, Predicate, Scalar, values,
};

/// The largest number of a condition. PostgreSQL stores larger ones with all their digits, which cannot be read back as a
/// double.
const MAX_NUMBER: f64 = 1e300;

/// A rule as someone wrote it, without what the server adds.
#[derive(Debug, Clone, PartialEq)]
pub struct RuleDraft {
    /// What people call it; empty only in a preview.
    pub name: String,
    /// What it does with charges that it matches.
    pub action: Action,
    pub predicate: Predicate,
    pub active: bool,
}

/// A change of a rule; what is `None` stays.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RulePatch {
    pub name: Option<String>,
    /// What it does with charges that it matches.
    pub action: Option<Action>,
    pub operator: Option<Combination>,
    pub conditions: Option<Vec<Condition>>,
    pub active: Option<bool>,
}

const RULE_FIELDS: [&str; 5] = ["name", "action", "operator", "conditions", "is_active"];

impl RuleDraft {
    /// Reads the body that makes a rule. `action` is `include`, `operator` is `AND` and `is_active` is true
    /// where they are not given.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with it.
    pub fn parse(body: &Value) -> Result<Self, Vec<Invalid>> {
        Self::read(body, true)
    }

    /// Reads the body of a preview, where the name may be missing.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with it.
    pub fn parse_preview(body: &Value) -> Result<Self, Vec<Invalid>> {
        Self::read(body, false)
    }

    fn read(body: &Value, named: bool) -> Result<Self, Vec<Invalid>> {
        let mut reader = Reader::default();
        let patch = reader.patch(body);
        if let Some(object) = body.as_object() {
            if named && is_missing(object, "name") {
                reader.missing("", "name");
            }
            if is_missing(object, "conditions") {
                reader.missing("", "conditions");
            }
        }
        reader.finish(Self {
            name: patch.name.unwrap_or_default(),
            action: patch.action.unwrap_or(Action::Include),
            predicate: Predicate {
                operator: patch.operator.unwrap_or(Combination::And),
                conditions: patch.conditions.unwrap_or_default(),
            },
            active: patch.active.unwrap_or(true),
        })
    }
}

impl RulePatch {
    /// Reads the body that changes a rule.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with it.
    pub fn parse(body: &Value) -> Result<Self, Vec<Invalid>> {
        let mut reader = Reader::default();
        let patch = reader.patch(body);
        reader.finish(patch)
    }
}

impl Predicate {
    /// Reads `{operator, conditions}`; `operator` is `AND` where it is not given.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with it.
    pub fn parse(body: &Value) -> Result<Self, Vec<Invalid>> {
        let mut reader = Reader::default();
        let mut predicate = Self {
            operator: Combination::And,
            conditions: Vec::new(),
        };
        if let Some(object) = reader.object(body, "", &["operator", "conditions"]) {
            if let Some(operator) = reader.combination(object) {
                predicate.operator = operator;
            }
            match member(object, "conditions") {
                None => reader.missing("", "conditions"),
                Some(conditions) => predicate.conditions = reader.conditions(conditions),
            }
        }
        reader.finish(predicate)
    }

    /// The predicate of one equality, which `metadata.SOURCE.KEY=VALUE` is short for.
    ///
    /// # Errors
    ///
    /// When the key or the value is not one that a condition may have.
    pub fn equality(source: MetadataSource, key: &str, value: &str) -> Result<Self, Vec<Invalid>> {
        Self::parse(&serde_json::json!({"conditions": [{
            "type": "metadata", "metadata_source": source.as_str(), "metadata_key": key,
            "operator": "equals", "value": value,
        }]}))
    }

    /// The predicate of one equality of a field, which `field.NAME=VALUE` is short for. An amount is read as a number.
    ///
    /// # Errors
    ///
    /// When the value is not one that the field may have.
    pub fn field_equality(field: Field, value: &str) -> Result<Self, Vec<Invalid>> {
        let value = match field {
            Field::Amount => value
                .parse::<i64>()
                .map_or_else(|_| value.into(), Value::from),
            _ => Value::from(value),
        };
        Self::parse(&serde_json::json!({"conditions": [{
            "type": "field", "field": field.as_str(), "operator": "equals", "value": value,
        }]}))
    }
}

/// Reads the `conditions` column.
pub(crate) fn stored_conditions(value: &Value) -> Result<Vec<Condition>, Vec<Invalid>> {
    let mut reader = Reader {
        stored: true,
        ..Reader::default()
    };
    let conditions = reader.conditions(value);
    reader.finish(conditions)
}

/// Reads on after a problem, collecting them all.
#[derive(Default)]
struct Reader {
    /// Reads what an earlier version accepted, which may compare with what this one refuses.
    stored: bool,
    problems: Vec<Invalid>,
}

impl Reader {
    fn finish<T>(self, value: T) -> Result<T, Vec<Invalid>> {
        if self.problems.is_empty() {
            Ok(value)
        } else {
            Err(self.problems)
        }
    }

    fn refuse(&mut self, pointer: impl Into<String>, detail: impl Into<String>) {
        self.problems.push(Invalid {
            pointer: pointer.into(),
            code: INVALID_REQUEST,
            detail: detail.into(),
        });
    }

    fn missing(&mut self, parent: &str, name: &str) {
        self.refuse(child(parent, name), format!("`{name}` is missing"));
    }

    fn object<'a>(
        &mut self,
        value: &'a Value,
        pointer: &str,
        known: &[&str],
    ) -> Option<&'a Map<String, Value>> {
        let Some(object) = value.as_object() else {
            self.refuse(pointer, "must be an object");
            return None;
        };
        for name in object.keys().filter(|name| !known.contains(&name.as_str())) {
            self.refuse(
                child(pointer, name),
                format!("unknown field; known are {}", known.join(", ")),
            );
        }
        Some(object)
    }

    fn patch(&mut self, body: &Value) -> RulePatch {
        let Some(object) = self.object(body, "", &RULE_FIELDS) else {
            return RulePatch::default();
        };
        RulePatch {
            name: member(object, "name").and_then(|name| self.name(name)),
            action: self.choice(object, "", "action", &Action::ALL.map(|a| (a.as_str(), a))),
            operator: self.combination(object),
            conditions: member(object, "conditions").map(|conditions| self.conditions(conditions)),
            active: member(object, "is_active").and_then(|active| {
                if active.as_bool().is_none() {
                    self.refuse("/is_active", "must be true or false");
                }
                active.as_bool()
            }),
        }
    }

    fn name(&mut self, name: &Value) -> Option<String> {
        let text = self.text(name, "/name", MAX_NAME_CHARS)?;
        if text.trim().is_empty() {
            self.refuse("/name", "must not be blank");
        }
        Some(text)
    }

    fn combination(&mut self, object: &Map<String, Value>) -> Option<Combination> {
        self.choice(
            object,
            "",
            "operator",
            &Combination::ALL.map(|c| (c.as_str(), c)),
        )
    }

    /// A field whose value is one of several names; `None` when it is missing or wrong.
    fn choice<T: Copy>(
        &mut self,
        object: &Map<String, Value>,
        parent: &str,
        name: &str,
        choices: &[(&str, T)],
    ) -> Option<T> {
        let value = member(object, name)?;
        let found = value
            .as_str()
            .and_then(|text| choices.iter().find(|(choice, _)| *choice == text));
        if found.is_none() {
            let names: Vec<&str> = choices.iter().map(|(choice, _)| *choice).collect();
            self.refuse(
                child(parent, name),
                format!("must be one of {}", names.join(", ")),
            );
        }
        found.map(|(_, choice)| *choice)
    }

    /// As [`Self::choice`], where missing is a problem too.
    fn required<T: Copy>(
        &mut self,
        object: &Map<String, Value>,
        parent: &str,
        name: &str,
        choices: &[(&str, T)],
    ) -> Option<T> {
        if is_missing(object, name) {
            self.missing(parent, name);
        }
        self.choice(object, parent, name, choices)
    }

    fn conditions(&mut self, value: &Value) -> Vec<Condition> {
        let Some(items) = value.as_array() else {
            self.refuse("/conditions", "must be a list of conditions");
            return Vec::new();
        };
        if items.is_empty() || items.len() > MAX_CONDITIONS {
            self.refuse(
                "/conditions",
                format!(
                    "must have 1 to {MAX_CONDITIONS} conditions and has {}",
                    items.len()
                ),
            );
            return Vec::new();
        }
        items
            .iter()
            .enumerate()
            .filter_map(|(index, item)| {
                let pointer = format!("/conditions/{index}");
                let condition = self.condition(item, &pointer)?;
                if let Err(problems) = CompiledPredicate::check(&condition, &pointer) {
                    self.problems.extend(problems);
                }
                if !self.stored {
                    self.problems.extend(values::check(&condition, &pointer));
                }
                Some(condition)
            })
            .collect()
    }

    fn condition(&mut self, value: &Value, pointer: &str) -> Option<Condition> {
        match value.get("type").and_then(Value::as_str) {
            Some("metadata") => {
                let known = [
                    "type",
                    "metadata_source",
                    "metadata_key",
                    "operator",
                    "value",
                ];
                let object = self.object(value, pointer, &known)?;
                let sources = MetadataSource::ALL.map(|s| (s.as_str(), s));
                let source = self.required(object, pointer, "metadata_source", &sources);
                let key = self.key(object, pointer);
                let (operator, value) = self.comparison(object, pointer)?;
                Some(Condition::Metadata(MetadataCondition {
                    metadata_source: source?,
                    metadata_key: key?,
                    operator,
                    value,
                }))
            }
            Some("field") => {
                let object =
                    self.object(value, pointer, &["type", "field", "operator", "value"])?;
                let fields = Field::ALL.map(|f| (f.as_str(), f));
                let field = self.required(object, pointer, "field", &fields);
                let (operator, value) = self.comparison(object, pointer)?;
                Some(Condition::Field(FieldCondition {
                    field: field?,
                    operator,
                    value,
                }))
            }
            _ if value.get("type").is_some_and(Value::is_null)
                || (value.is_object() && value.get("type").is_none()) =>
            {
                self.missing(pointer, "type");
                None
            }
            _ if value.is_object() => {
                self.refuse(child(pointer, "type"), "must be one of metadata, field");
                None
            }
            _ => {
                self.refuse(pointer, "must be an object");
                None
            }
        }
    }

    fn key(&mut self, object: &Map<String, Value>, pointer: &str) -> Option<String> {
        let Some(value) = member(object, "metadata_key") else {
            self.missing(pointer, "metadata_key");
            return None;
        };
        let pointer = child(pointer, "metadata_key");
        let key = self.text(value, &pointer, MAX_KEY_CHARS)?;
        if key.is_empty() {
            self.refuse(pointer, "must not be empty");
            return None;
        }
        Some(key)
    }

    fn comparison(
        &mut self,
        object: &Map<String, Value>,
        pointer: &str,
    ) -> Option<(Operator, Option<Operand>)> {
        let operators = Operator::ALL.map(|o| (o.as_str(), o));
        let operator = self.required(object, pointer, "operator", &operators)?;
        let value = member(object, "value");
        let at = child(pointer, "value");
        if operator.takes_no_value() {
            if value.is_some() {
                self.refuse(at, format!("`{}` takes no value", operator.as_str()));
            }
            return Some((operator, None));
        }
        let operand = match value {
            None => {
                self.missing(pointer, "value");
                None
            }
            Some(Value::Array(items)) if operator.takes_list() => {
                self.list(items, &at).map(Operand::Many)
            }
            Some(_) if operator.takes_list() => {
                self.refuse(at, format!("`{}` takes a list", operator.as_str()));
                None
            }
            Some(value) => self.scalar(value, &at).map(Operand::One),
        };
        operand.map(|operand| (operator, Some(operand)))
    }

    fn list(&mut self, items: &[Value], pointer: &str) -> Option<Vec<Scalar>> {
        if items.len() > MAX_LIST_VALUES {
            self.refuse(
                pointer,
                format!(
                    "must have at most {MAX_LIST_VALUES} values and has {}",
                    items.len()
                ),
            );
            return None;
        }
        let values: Vec<Scalar> = items
            .iter()
            .enumerate()
            .filter_map(|(index, item)| self.scalar(item, &child(pointer, &index.to_string())))
            .collect();
        (values.len() == items.len()).then_some(values)
    }

    fn scalar(&mut self, value: &Value, pointer: &str) -> Option<Scalar> {
        match value {
            Value::String(_) => self.text(value, pointer, MAX_VALUE_CHARS).map(Scalar::Text),
            Value::Number(number) if number.as_f64().is_none_or(|it| it.abs() > MAX_NUMBER) => {
                self.refuse(pointer, "must be a number from -1e300 to 1e300");
                None
            }
            Value::Number(number) => Some(Scalar::Number(number.clone())),
            Value::Bool(boolean) => Some(Scalar::Boolean(*boolean)),
            Value::Null | Value::Array(_) | Value::Object(_) => {
                self.refuse(pointer, "must be a string, a number or a boolean");
                None
            }
        }
    }

    fn text(&mut self, value: &Value, pointer: &str, max_chars: usize) -> Option<String> {
        let Some(text) = value.as_str() else {
            self.refuse(pointer, "must be a string");
            return None;
        };
        let chars = text.chars().count();
        if chars > max_chars {
            self.refuse(
                pointer,
                format!("must have at most {max_chars} characters and has {chars}"),
            );
            return None;
        }
        if text.contains('\0') {
            self.refuse(
                pointer,
                "must not have the character U+0000, which no stored text has",
            );
            return None;
        }
        Some(text.to_owned())
    }
}

/// A member; null is as good as missing, as in every other body.
fn member<'a>(object: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    object.get(name).filter(|value| !value.is_null())
}

fn is_missing(object: &Map<String, Value>, name: &str) -> bool {
    member(object, name).is_none()
}

/// The pointer of a member, its name escaped as RFC 6901 asks.
fn child(parent: &str, name: &str) -> String {
    format!("{parent}/{}", name.replace('~', "~0").replace('/', "~1"))
}

#[cfg(test)]
#[path = "parse_tests.rs"]
mod tests;
