//! One condition as the fields of a form hold it, and in words. The form of a rule and the conditions of Explore share it.
//!
//! Fields become the API's JSON, whose reader says what is wrong with them. Only amounts are read here ([`super::amounts`]), since
//! the API has them in minor units.

use common::filter::{Condition, Field, Invalid, MetadataSource, Operand, Operator, Scalar};
use serde_json::{Value, json};

use super::amounts::{Amounts, compares_amounts, minor_of};

/// The fields of a condition.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct ConditionFields {
    /// A field, or an object whose metadata is compared.
    pub(super) subject: String,
    /// Of metadata.
    pub(super) key: String,
    pub(super) operator: String,
    /// Several values are separated by commas.
    pub(super) value: String,
}

impl ConditionFields {
    /// The fields in which a condition is entered. None for a condition that no form enters, such as one with a comma in a
    /// value of a list.
    pub(super) fn of(condition: &Condition, amounts: &Amounts) -> Option<Self> {
        let (subject, key, operator, value) = match condition {
            Condition::Field(it) => (it.field.as_str(), "", it.operator, &it.value),
            Condition::Metadata(it) => {
                let source = it.metadata_source.as_str();
                (source, &*it.metadata_key, it.operator, &it.value)
            }
        };
        let are_amounts = compares_amounts(subject, operator);
        let minor = |scalar: &Scalar| minor_of(scalar).filter(|_| are_amounts);
        let value = match value {
            None => String::new(),
            Some(Operand::One(scalar)) => {
                minor(scalar).map_or_else(|| scalar.text(), |minor| amounts.written(minor))
            }
            Some(Operand::Many(scalars)) => {
                let in_list = |minor| amounts.written_in_list(minor);
                let text = |it: &Scalar| minor(it).map_or_else(|| it.text(), in_list);
                scalars.iter().map(text).collect::<Vec<_>>().join(", ")
            }
        };
        let fields = Self {
            subject: subject.to_owned(),
            key: key.to_owned(),
            operator: operator.as_str().to_owned(),
            value,
        };
        let is_whole = fields.value.trim() == fields.value;
        let is_given = operator.takes_no_value() || !fields.value.is_empty();
        let same = serde_json::to_value(condition).is_ok_and(|body| body == fields.body(amounts));
        (is_whole && is_given && same).then_some(fields)
    }

    /// The operator that is chosen, if it is one.
    pub(super) fn chosen_operator(&self) -> Option<Operator> {
        let mut all = Operator::ALL.into_iter();
        all.find(|operator| operator.as_str() == self.operator)
    }

    /// Whether the value is an amount, or several.
    pub(super) fn has_amounts(&self) -> bool {
        let operator = self.chosen_operator();
        operator.is_some_and(|operator| compares_amounts(&self.subject, operator))
    }

    /// What is wrong with a value that has to be an amount, or several. The API does not find it, since it counts minor units.
    pub(super) fn amount_problem(&self, amounts: &Amounts) -> Option<String> {
        if !self.has_amounts() {
            return None;
        }
        let wrong = self.values().find_map(|text| amounts.read(text).err())?;
        Some(wrong.to_string())
    }

    /// The values of a list, or the one that there is.
    fn values(&self) -> impl Iterator<Item = &str> {
        let is_list = self.chosen_operator().is_some_and(Operator::takes_list);
        let (list, one) = if is_list {
            (Some(self.value.split(',').map(str::trim)), None)
        } else {
            (None, Some(&*self.value))
        };
        list.into_iter().flatten().chain(one)
    }

    /// The condition as the API's JSON.
    pub(super) fn body(&self, amounts: &Amounts) -> Value {
        let mut condition = if MetadataSource::parse(&self.subject).is_some() {
            json!({"type": "metadata", "metadata_source": self.subject, "metadata_key": self.key})
        } else {
            json!({"type": "field", "field": self.subject})
        };
        condition["operator"] = Value::from(self.operator.as_str());
        let operator = self.chosen_operator();
        if operator.is_some_and(Operator::takes_list) {
            condition["value"] = self.values().map(|it| self.scalar(it, amounts)).collect();
        } else if !operator.is_some_and(Operator::takes_no_value) {
            condition["value"] = self.scalar(&self.value, amounts);
        }
        condition
    }

    /// A value as what it is compared with needs it.
    fn scalar(&self, text: &str, amounts: &Amounts) -> Value {
        if self.has_amounts() {
            let minor = amounts.read(text);
            return minor.map_or_else(|_| Value::from(text), Value::from);
        }
        let orders = matches!(&*self.operator, "gt" | "gte" | "lt" | "lte");
        if orders {
            let number = text.parse::<serde_json::Number>();
            return number.map_or_else(|_| Value::from(text), Value::from);
        }
        match (&*self.subject, text) {
            ("livemode", "true") => Value::from(true),
            ("livemode", "false") => Value::from(false),
            _ => Value::from(text),
        }
    }
}

/// The field of the form that a problem of a condition is about.
pub(super) fn field_of(problem: &Invalid) -> &'static str {
    match problem.pointer.rsplit('/').next() {
        Some("metadata_key") => "key",
        Some("operator") => "operator",
        Some("field" | "metadata_source") => "subject",
        // A value of a list has its index as its name.
        _ => "value",
    }
}

/// A condition in words.
pub(super) fn text(condition: &Condition, amounts: &Amounts) -> String {
    let kind = match condition {
        Condition::Field(it) if compares_amounts(it.field.as_str(), it.operator) => Kind::Amount,
        Condition::Field(it) if it.field == Field::Currency => Kind::Currency,
        _ => Kind::Other,
    };
    let (subject, operator, value) = match condition {
        Condition::Field(it) => {
            let subject = it.field.as_str().replace('_', " ");
            (subject, it.operator, &it.value)
        }
        Condition::Metadata(it) => {
            let subject = format!(
                "{} metadata {}",
                it.metadata_source.as_str(),
                it.metadata_key
            );
            (subject, it.operator, &it.value)
        }
    };
    let operator = operator_text(operator);
    match value {
        Some(value) => format!(
            "{subject} {operator} {}",
            operand_text(value, kind, amounts)
        ),
        None => format!("{subject} {operator}"),
    }
}

/// What a value is of, as far as it is written differently.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Amount,
    Currency,
    Other,
}

fn operand_text(operand: &Operand, kind: Kind, amounts: &Amounts) -> String {
    let quoted = |scalar: &Scalar| match (kind, scalar) {
        (Kind::Amount, scalar) => amounts.scalar_words(scalar),
        (Kind::Currency, scalar) => scalar.text().to_uppercase(),
        (Kind::Other, Scalar::Text(text)) => format!("“{text}”"),
        (Kind::Other, other) => other.text(),
    };
    match operand {
        Operand::One(scalar) => quoted(scalar),
        Operand::Many(scalars) => scalars.iter().map(quoted).collect::<Vec<_>>().join(", "),
    }
}

/// An operator as a part of a sentence.
pub(super) fn operator_text(operator: Operator) -> &'static str {
    match operator {
        Operator::Equals => "is",
        Operator::NotEquals => "is not",
        Operator::In => "is one of",
        Operator::NotIn => "is none of",
        Operator::Contains => "contains",
        Operator::NotContains => "does not contain",
        Operator::StartsWith => "begins with",
        Operator::EndsWith => "ends with",
        Operator::Exists => "exists",
        Operator::NotExists => "does not exist",
        Operator::Gt => "is greater than",
        Operator::Gte => "is at least",
        Operator::Lt => "is less than",
        Operator::Lte => "is at most",
        Operator::Regex => "matches the regular expression",
    }
}
