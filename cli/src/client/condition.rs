//! Conditions as a person types them: `charge.tier=gold`, `amount>=1000`, `country in DE,FR`.
//!
//! One small grammar serves `rules create --condition` and `revenue --filter`, and writes what
//! `rules list` shows. What it writes reads back as the same condition; a condition for which that
//! would not hold (control characters, an operator of a newer engine) is written as JSON, which is read
//! as well. What a condition means is the engine's business; keys, regular expressions and values are
//! checked by the same code here, so that a mistake is named before anything is sent.
//!
//! ```text
//! condition = subject operator [value]
//! subject   = field | ["metadata:"] source "." key        key = bare | quoted
//! operator  = "=" | "!=" | ">" | ">=" | "<" | "<=" | a name such as contains
//! value     = the rest of the text | quoted                lists: value {"," value}, or in (…)
//! quoted    = 'text' | "text", a quote inside written twice
//! ```
//!
//! A bare value that is exactly a JSON number, `true` or `false` is that; everything else is text. The
//! engine compares all of them as text, so this matters only for what is shown.

use common::filter::{
    Combination, Condition, Field, FieldCondition, Invalid, MetadataCondition, MetadataSource,
    Operand, Operator, Predicate, Scalar,
};
use serde_json::{Value, json};

use super::Error;

/// The grammar, for `--help`.
pub(super) const HELP: &str = "\
A condition is SUBJECT OPERATOR VALUE:
  charge.tier=gold              metadata: charge, product, price, customer, invoice, invoice_line, subscription,
                                checkout_session or payment_intent, a dot, the key
  customer.'sales rep'!=Ann     a key with spaces or punctuation needs quotes
  amount>=1000                  a field (amount in minor units): amount, currency, status, description, customer_id,
                                product_id, price_id, country, payment_method, livemode, source_transfer,
                                disputed, dispute_status
  country in DE,FR              also not_in; a value with a comma needs quotes: 'a, b',c
  description contains 'abc'    also not_contains, starts_with, ends_with
  charge.plan exists            also not_exists
  description regex ^A          a regular expression
Operators are =, !=, >, >=, <, <=, in, not_in, contains, not_contains, starts_with, ends_with,
exists, not_exists and regex. A quote inside quotes is doubled. JSON as in the HTTP API,
one condition or {\"operator\": \"AND\", \"conditions\": [...]}, is also accepted.";

/// What one flag gave.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Given {
    /// One condition.
    One(Box<Condition>),
    /// Several with their combination, as JSON.
    Whole(Predicate),
}

/// Reads the value of a flag, in the short form or as JSON.
pub(super) fn given(text: &str) -> Result<Given, String> {
    if !text.trim_start().starts_with('{') {
        return parse(text).map(|condition| Given::One(Box::new(condition)));
    }
    let value: Value =
        serde_json::from_str(text).map_err(|cause| format!("is not JSON: {cause}"))?;
    if value.get("conditions").is_some() {
        return Predicate::parse(&value)
            .map(Given::Whole)
            .map_err(|problems| described(&problems));
    }
    checked(&value).map(|condition| Given::One(Box::new(condition)))
}

/// All conditions of a command with their combination, in the order in which they were given.
pub(super) fn combined(given: Vec<Given>, any: bool) -> Result<Option<Predicate>, Error> {
    let operator = if any {
        Combination::Or
    } else {
        Combination::And
    };
    let only = given.len() == 1;
    let mut conditions = Vec::new();
    for one in given {
        match one {
            Given::One(condition) => conditions.push(*condition),
            Given::Whole(predicate) if only && !any => return Ok(Some(predicate)),
            Given::Whole(predicate)
                if predicate.operator == operator || predicate.conditions.len() == 1 =>
            {
                conditions.extend(predicate.conditions);
            }
            Given::Whole(predicate) => {
                return Err(Error::Usage(format!(
                    "JSON conditions that are combined by {} cannot be mixed with others that are \
                     combined by {}; write all of them in one JSON text",
                    predicate.operator.as_str(),
                    operator.as_str()
                )));
            }
        }
    }
    Ok((!conditions.is_empty()).then_some(Predicate {
        operator,
        conditions,
    }))
}

/// A condition of an answer in the short form.
pub(super) fn shown(condition: &Value) -> String {
    let known = checked(condition).ok();
    known.map_or_else(|| json_text(condition), |condition| short(&condition))
}

/// A condition in the short form, or as JSON where that would not read back as the same.
pub(super) fn short(condition: &Condition) -> String {
    let text = written(condition);
    if !text.contains(char::is_control) && parse(&text).as_ref() == Ok(condition) {
        return text;
    }
    // A condition is made of texts, numbers and booleans, which always serialize.
    json_text(&serde_json::to_value(condition).unwrap_or_default())
}

/// JSON in one line, without any control character.
fn json_text(value: &Value) -> String {
    value
        .to_string()
        .chars()
        .map(|c| match c {
            // Characters beyond those that JSON itself escapes.
            c if c.is_control() => format!("\\u{:04x}", u32::from(c)),
            c => c.to_string(),
        })
        .collect()
}

/// Reads the short form.
pub(super) fn parse(text: &str) -> Result<Condition, String> {
    let mut rest = text.trim_start();
    let subject = subject(&mut rest)?;
    rest = rest.trim_start();
    let operator = operator(&mut rest)?;
    let value = value(operator, rest.trim())?;
    let condition = match subject {
        Subject::Field(field) => Condition::Field(FieldCondition {
            field,
            operator,
            value,
        }),
        Subject::Metadata(metadata_source, metadata_key) => {
            Condition::Metadata(MetadataCondition {
                metadata_source,
                metadata_key,
                operator,
                value,
            })
        }
    };
    // As above: it always serializes.
    checked(&serde_json::to_value(&condition).unwrap_or_default())
}

/// One condition of JSON, checked as the engine checks it.
fn checked(condition: &Value) -> Result<Condition, String> {
    let predicate = Predicate::parse(&json!({"conditions": [condition]}))
        .map_err(|problems| described(&problems))?;
    // Exactly one was given, and all that are given come back.
    predicate
        .conditions
        .into_iter()
        .next()
        .ok_or_else(|| "has no condition".to_owned())
}

/// What is wrong with conditions, in a sentence.
fn described(problems: &[Invalid]) -> String {
    let texts = problems.iter().map(|problem| {
        let member = problem.pointer.rsplit('/').next().unwrap_or_default();
        let subject = match member {
            "value" => "the value ".to_owned(),
            "metadata_key" => "the key ".to_owned(),
            "" | "0" => String::new(),
            other => format!("`{other}` "),
        };
        if problem.detail.starts_with("must") {
            subject + &problem.detail
        } else {
            problem.detail.clone()
        }
    });
    texts.collect::<Vec<_>>().join("; ")
}

enum Subject {
    Field(Field),
    Metadata(MetadataSource, String),
}

fn subject(rest: &mut &str) -> Result<Subject, String> {
    let ends = |&(at, c): &(usize, char)| {
        c.is_whitespace()
            || matches!(c, '=' | '<' | '>' | '\'' | '"')
            || rest[at..].starts_with("!=")
    };
    let end = rest.char_indices().find(ends);
    let end = end.map_or(rest.len(), |(at, _)| at);
    let word = &rest[..end];
    *rest = &rest[end..];
    let bare = ["metadata:", "metadata."]
        .iter()
        .find_map(|prefix| word.strip_prefix(prefix))
        .unwrap_or(word);
    if let Some(source) = bare.strip_suffix('.')
        && rest.starts_with(['\'', '"'])
    {
        let source = MetadataSource::parse(source).ok_or_else(|| no_subject(bare))?;
        let key = quoted(rest)?;
        if key.is_empty() {
            return Err("the key must not be empty".to_owned());
        }
        return Ok(Subject::Metadata(source, key));
    }
    if rest.starts_with(['\'', '"']) && !bare.is_empty() {
        return Err(format!(
            "a key that contains a quote must be quoted as a whole, such as charge.'it''s', not `{bare}{rest}`"
        ));
    }
    if let Some(field) = Field::ALL.into_iter().find(|field| field.as_str() == bare) {
        return Ok(Subject::Field(field));
    }
    let metadata = bare.split_once('.');
    metadata
        .filter(|(_, key)| !key.is_empty())
        .and_then(|(source, key)| {
            Some(Subject::Metadata(
                MetadataSource::parse(source)?,
                key.to_owned(),
            ))
        })
        .ok_or_else(|| no_subject(bare))
}

fn no_subject(found: &str) -> String {
    let fields = Field::ALL.into_iter().map(Field::as_str);
    if let Some(field) = fields.clone().find(|field| found.starts_with(field)) {
        return format!("{}, not `{}`", no_operator(), &found[field.len()..]);
    }
    let fields: Vec<&str> = fields.collect();
    let sources: Vec<&str> = MetadataSource::ALL
        .iter()
        .map(|source| source.as_str())
        .collect();
    format!(
        "must begin with a field ({}) or with metadata as SOURCE.KEY (SOURCE one of {}), such as \
         charge.tier=gold; `{found}` is neither",
        fields.join(", "),
        sources.join(", ")
    )
}

/// The operators as they are written.
const OPERATORS: [(&str, Operator); 15] = [
    (">=", Operator::Gte),
    ("<=", Operator::Lte),
    ("!=", Operator::NotEquals),
    ("=", Operator::Equals),
    (">", Operator::Gt),
    ("<", Operator::Lt),
    ("in", Operator::In),
    ("not_in", Operator::NotIn),
    ("contains", Operator::Contains),
    ("not_contains", Operator::NotContains),
    ("starts_with", Operator::StartsWith),
    ("ends_with", Operator::EndsWith),
    ("exists", Operator::Exists),
    ("not_exists", Operator::NotExists),
    ("regex", Operator::Regex),
];

fn operator(rest: &mut &str) -> Result<Operator, String> {
    let is_sign = |text: &str| !text.starts_with(char::is_alphabetic);
    let signs = OPERATORS.iter().filter(|(text, _)| is_sign(text));
    for (text, operator) in signs {
        if let Some(after) = rest.strip_prefix(text) {
            *rest = after;
            return Ok(*operator);
        }
    }
    let (first, after) = word(rest);
    // `not in`, `starts with`: people write names with a space.
    let (name, after) = match first.to_ascii_lowercase().as_str() {
        start @ ("not" | "starts" | "ends") => {
            let (second, after) = word(after.trim_start());
            (format!("{start}_{}", second.to_ascii_lowercase()), after)
        }
        name => (name.to_owned(), after),
    };
    let named = OPERATORS.iter().find(|(text, _)| *text == name);
    let named = named.map(|(_, operator)| *operator);
    // The names of the HTTP API for those that have a sign here.
    let found = named.or_else(|| Operator::ALL.into_iter().find(|o| o.as_str() == name));
    let operator = found.ok_or_else(no_operator)?;
    *rest = after;
    Ok(operator)
}

fn no_operator() -> String {
    let known: Vec<&str> = OPERATORS.iter().map(|(text, _)| *text).collect();
    format!(
        "must have one of the operators {} after its subject, such as charge.tier=gold",
        known.join(", ")
    )
}

fn word(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_alphabetic() && c != '_');
    text.split_at(end.unwrap_or(text.len()))
}

fn value(operator: Operator, text: &str) -> Result<Option<Operand>, String> {
    if operator.takes_no_value() {
        return if text.is_empty() {
            Ok(None)
        } else {
            Err(format!(
                "`{}` takes no value, and `{text}` follows it",
                operator.as_str()
            ))
        };
    }
    if operator.takes_list() {
        return list(text).map(|items| Some(Operand::Many(items)));
    }
    let mut rest = text;
    let scalar = if rest.starts_with(['\'', '"']) {
        let text = quoted(&mut rest)?;
        if !rest.trim().is_empty() {
            return Err(format!(
                "`{}` follows the closing quote; a quote inside a value is doubled",
                rest.trim()
            ));
        }
        Scalar::Text(text)
    } else if text.is_empty() && !matches!(operator, Operator::Equals | Operator::NotEquals) {
        return Err(format!("`{}` needs a value", name_of(operator)));
    } else {
        bare(text)
    };
    Ok(Some(Operand::One(scalar)))
}

fn name_of(operator: Operator) -> &'static str {
    let known = OPERATORS.iter().find(|(_, known)| *known == operator);
    known.map_or(operator.as_str(), |(text, _)| text)
}

fn list(text: &str) -> Result<Vec<Scalar>, String> {
    let bracketed = text
        .strip_prefix('(')
        .and_then(|inner| inner.strip_suffix(')'));
    let mut rest = bracketed.unwrap_or(text).trim();
    let mut items = Vec::new();
    if rest.is_empty() {
        return match bracketed {
            Some(_) => Ok(items),
            None => Err("needs a list of values, such as DE,FR".to_owned()),
        };
    }
    loop {
        if rest.starts_with(['\'', '"']) {
            items.push(Scalar::Text(quoted(&mut rest)?));
            rest = rest.trim_start();
            if !rest.is_empty() && !rest.starts_with(',') {
                return Err(format!(
                    "a comma must separate the values of a list, not `{rest}`"
                ));
            }
        } else {
            let (item, _) = rest.split_once(',').unwrap_or((rest, ""));
            rest = &rest[item.len()..];
            if item.trim().is_empty() {
                return Err("a list has an empty value; write '' for an empty text".to_owned());
            }
            items.push(bare(item.trim()));
        }
        match rest.strip_prefix(',') {
            Some(after) => rest = after.trim_start(),
            None => return Ok(items),
        }
    }
}

/// Takes a quoted text, whose quotes are still there.
fn quoted(rest: &mut &str) -> Result<String, String> {
    let mut chars = rest.char_indices();
    let Some((_, quote)) = chars.next() else {
        return Ok(String::new());
    };
    let mut text = String::new();
    while let Some((at, c)) = chars.next() {
        if c != quote {
            text.push(c);
        } else if rest[at + 1..].starts_with(quote) {
            chars.next();
            text.push(quote);
        } else {
            *rest = &rest[at + 1..];
            return Ok(text);
        }
    }
    Err(format!("the quote {quote} is not closed"))
}

/// A value without quotes.
fn bare(text: &str) -> Scalar {
    match serde_json::from_str(text) {
        Ok(Value::Number(number)) if number.to_string() == text => Scalar::Number(number),
        Ok(Value::Bool(boolean)) if boolean.to_string() == text => Scalar::Boolean(boolean),
        _ => Scalar::Text(text.to_owned()),
    }
}

fn written(condition: &Condition) -> String {
    let (subject, operator, value) = match condition {
        Condition::Field(field) => (
            field.field.as_str().to_owned(),
            field.operator,
            &field.value,
        ),
        Condition::Metadata(metadata) => {
            let key = &metadata.metadata_key;
            let simple = key
                .chars()
                .all(|c| c.is_alphanumeric() || "_-.:/@+%$*[]".contains(c));
            let key = if simple { key.clone() } else { in_quotes(key) };
            (
                format!("{}.{key}", metadata.metadata_source.as_str()),
                metadata.operator,
                &metadata.value,
            )
        }
    };
    let value = match value {
        None => String::new(),
        Some(Operand::One(scalar)) => scalar_text(scalar),
        Some(Operand::Many(items)) if items.is_empty() => "()".to_owned(),
        Some(Operand::Many(items)) => {
            let texts: Vec<String> = items.iter().map(scalar_text).collect();
            texts.join(",")
        }
    };
    let name = name_of(operator);
    if !name.starts_with(char::is_alphabetic) {
        return format!("{subject}{name}{value}");
    }
    if value.is_empty() {
        return format!("{subject} {name}");
    }
    format!("{subject} {name} {value}")
}

fn scalar_text(scalar: &Scalar) -> String {
    let Scalar::Text(text) = scalar else {
        return scalar.text();
    };
    let simple = !text.is_empty()
        && text
            .chars()
            .all(|c| c.is_alphanumeric() || "_-.:/@+%^$*".contains(c));
    if simple && bare(text) == *scalar {
        text.clone()
    } else {
        in_quotes(text)
    }
}

fn in_quotes(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

#[cfg(test)]
#[path = "condition_tests.rs"]
mod tests;
