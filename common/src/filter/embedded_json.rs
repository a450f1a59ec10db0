//! Metadata values that hold JSON text, opened.
//!
//! The function `metadata_parse_json` of the migrations does the same in SQL; the two must agree on what is JSON.
//! So a value is opened when it is a whole JSON object or array of at most [`MAX_EMBEDDED_JSON_CHARS`] characters,
//! without U+0000 and without a number whose exponent has more than three digits, which `jsonb` could not
//! hold. Anything else stays the text that it is. Numbers read as `jsonb` writes them: `1e2` is 100.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

/// Characters beyond which a value is not opened; Stripe's values have at most 500. Bounds how deep opened
/// JSON can nest.
pub(crate) const MAX_EMBEDDED_JSON_CHARS: usize = 1_000;

/// A JSON value with exact numbers and sorted members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Json {
    Null,
    Bool(bool),
    /// In plain decimal digits.
    Number(String),
    Text(String),
    Array(Vec<Json>),
    Object(BTreeMap<String, Json>),
}

impl Json {
    /// The value of a metadata key, opened where it holds JSON text.
    pub(crate) fn of_metadata(value: &Value) -> Self {
        match value {
            Value::String(text) => open(text).unwrap_or_else(|| Self::Text(text.clone())),
            other => Self::of_value(other),
        }
    }

    fn of_value(value: &Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(boolean) => Self::Bool(*boolean),
            Value::Number(number) => {
                let text = number.to_string();
                Self::Number(plain_decimal(&text).unwrap_or(text))
            }
            Value::String(text) => Self::Text(text.clone()),
            Value::Array(items) => Self::Array(items.iter().map(Self::of_value).collect()),
            Value::Object(members) => Self::Object(
                members
                    .iter()
                    .map(|(key, value)| (key.clone(), Self::of_value(value)))
                    .collect(),
            ),
        }
    }

    /// What it compares as: strings bare, anything else as compact JSON; null is missing.
    pub(crate) fn text(&self) -> Option<String> {
        match self {
            Self::Null => None,
            Self::Text(text) => Some(text.clone()),
            other => Some(other.compact()),
        }
    }

    pub(crate) fn compact(&self) -> String {
        let mut compact = String::new();
        self.write(&mut compact);
        compact
    }

    fn write(&self, out: &mut String) {
        match self {
            Self::Null => out.push_str("null"),
            Self::Bool(boolean) => out.push_str(if *boolean { "true" } else { "false" }),
            Self::Number(number) => out.push_str(number),
            Self::Text(text) => out.push_str(&Value::from(text.as_str()).to_string()),
            Self::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    out.push(if index == 0 { '[' } else { ',' });
                    item.write(out);
                }
                out.push_str(if items.is_empty() { "[]" } else { "]" });
            }
            Self::Object(members) => {
                for (index, (key, value)) in members.iter().enumerate() {
                    out.push(if index == 0 { '{' } else { ',' });
                    out.push_str(&Value::from(key.as_str()).to_string());
                    out.push(':');
                    value.write(out);
                }
                out.push_str(if members.is_empty() { "{}" } else { "}" });
            }
        }
    }
}

/// The JSON object or array that the text is, if it is one.
pub(crate) fn open(text: &str) -> Option<Json> {
    let trimmed = text.trim_matches([' ', '\t', '\n', '\r']);
    if !trimmed.starts_with(['{', '[']) || text.chars().count() > MAX_EMBEDDED_JSON_CHARS {
        return None;
    }
    // One level at a time, since serde_json gives up at 128 levels and PostgreSQL does not.
    parse(trimmed)
}

fn parse(raw: &str) -> Option<Json> {
    match raw.as_bytes().first()? {
        b'{' => {
            let Members(members) = serde_json::from_str(raw).ok()?;
            let opened = members.into_iter().map(|(key, value)| {
                (!key.contains('\0')).then_some(())?;
                Some((key, parse(value.get())?))
            });
            opened.collect::<Option<_>>().map(Json::Object)
        }
        b'[' => {
            let items: Vec<&RawValue> = serde_json::from_str(raw).ok()?;
            items
                .into_iter()
                .map(|item| parse(item.get()))
                .collect::<Option<_>>()
                .map(Json::Array)
        }
        b'"' => {
            let text: String = serde_json::from_str(raw).ok()?;
            (!text.contains('\0')).then_some(Json::Text(text))
        }
        b't' => Some(Json::Bool(true)),
        b'f' => Some(Json::Bool(false)),
        b'n' => Some(Json::Null),
        _ => plain_decimal(raw).map(Json::Number),
    }
}

/// The members of an object as written. Of members of one name the last counts, but all must be JSON.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Collect)
    }
}

/// A JSON number in plain decimal digits, as PostgreSQL's `numeric` writes it: the digits after the point
/// are those given, moved by the exponent.
fn plain_decimal(raw: &str) -> Option<String> {
    let (negative, unsigned) = match raw.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, raw),
    };
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        None => (unsigned, 0_i32),
        Some((mantissa, exponent)) => {
            if exponent.trim_start_matches(['+', '-']).len() > 3 {
                return None;
            }
            (mantissa, exponent.parse().ok()?)
        }
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let mut digits = format!("{whole}{fraction}");
    let scale = fraction.len() as i32 - exponent;
    if scale < 0 {
        digits.extend(std::iter::repeat_n('0', scale.unsigned_abs() as usize));
    }
    let scale = scale.max(0) as usize;
    if digits.len() <= scale {
        digits.insert_str(0, &"0".repeat(scale + 1 - digits.len()));
    }
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    let whole = whole.trim_start_matches('0');
    let whole = if whole.is_empty() { "0" } else { whole };
    let zero = whole == "0" && fraction.bytes().all(|digit| digit == b'0');
    let sign = if negative && !zero { "-" } else { "" };
    Some(if scale == 0 {
        format!("{sign}{whole}")
    } else {
        format!("{sign}{whole}.{fraction}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_objects_and_arrays_are_opened() {
        for text in [
            "",
            "1",
            "\"a\"",
            "true",
            "{",
            "[1,]",
            "[1] 2",
            "{\"a\"}",
            "[\"\\u0000\"]",
            "[1e1000]",
        ] {
            assert_eq!(open(text), None, "{text}");
        }
        for text in [
            "[]",
            " {} ",
            "[null]",
            "{\"a\":1,\"a\":2}",
            "[\"\\ud83d\\ude00\"]",
        ] {
            assert!(open(text).is_some(), "{text}");
        }
        for text in [
            "[\"\\ud83d\"]",
            "[\"\\ude00\\ud83d\"]",
            "[\"\u{1}\"]",
            "\u{a0}[]",
        ] {
            assert_eq!(open(text), None, "{text}");
        }
    }

    #[test]
    fn nesting_is_bounded_by_length_alone() {
        let deep = format!("{}{}", "[".repeat(500), "]".repeat(500));
        assert!(open(&deep).is_some());
        assert_eq!(open(&format!("[{deep}]")), None);
    }

    #[test]
    fn text_is_compact_and_sorted() {
        fn check(text: &str, expected: &str) {
            assert_eq!(
                open(text).and_then(|json| json.text()).as_deref(),
                Some(expected)
            );
        }
        check(
            r#" { "b" : [ 1 , 2.50 ] , "a" : null } "#,
            r#"{"a":null,"b":[1,2.50]}"#,
        );
        check(r#"["\u00e9\n\"", {}]"#, "[\"é\\n\\\"\",{}]");
        check(
            "[1e2, -0, -0.0, 1.50e1, 10e-1, 0e3, 1E-2]",
            "[100,0,0.0,15.0,1.0,0,0.01]",
        );
        check("[12345678901234567890.1]", "[12345678901234567890.1]");
    }
}
