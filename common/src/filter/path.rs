//! What a metadata key of a rule finds.
//!
//! A key without dots and `[]` is that key. In a path, the longest whole key that is a prefix wins, and the
//! rest leads into its value where that holds JSON text: `.name` to a member of an object, `.0` to an element of
//! an array, `[]` to all its elements. Names of members may have dots as well, so the longest member wins there
//! too. The winner is final, even when the rest then leads nowhere.
//!
//! `$`, and what begins with `$.` or `$[`, is a `JSONPath` over the metadata with such values opened, except in
//! metadata that has a key of exactly that text. Any other key may begin with `$`.
//!
//! Deliberately absent: escapes. An ambiguous path is written as a `JSONPath`, as
//! discovery does.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::embedded_json::Json;
use super::jsonpath::{JsonPath, JsonPathError};
use super::pattern::Refusal;
use super::{INVALID_REQUEST, MetadataSource, REGEX_UNSUPPORTED};

/// Parts that a path may have, which bounds what is sent to PostgreSQL for one condition. Stripe's keys have at
/// most 40 characters, so that each of them has fewer.
const MAX_PARTS: usize = 128;
/// The step to every element of an array.
const ELEMENTS: &str = "[]";

/// A parsed `metadata_key`.
#[derive(Debug, Clone)]
#[expect(clippy::enum_variant_names, reason = "JSONPath is the standard's name")]
pub(super) enum Path {
    /// A key without dots and `[]`.
    Key(String),
    Parts(Parts),
    /// A `JSONPath`, and its text, which may be a key.
    JsonPath(String, JsonPath),
}

/// A path of several parts: at the beginning of every part but the first, it may be a key before and a way into
/// its value after.
#[derive(Debug, Clone)]
pub(super) struct Parts {
    whole: String,
    /// Together they are the whole: `a`, `.b`, `[]`.
    parts: Vec<String>,
}

/// A path as whole keys of metadata, each with its source before it: `charge.order.id`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyPath {
    pub source: MetadataSource,
    /// The path as one key. Where metadata has it, its value is the result.
    pub whole: String,
    /// The keys into whose values the path leads where the whole one is missing: `charge.order`.
    pub shorter: Vec<String>,
}

impl Path {
    /// The keys that the path may begin with; none for a `JSONPath`.
    pub(super) fn keys(&self, source: MetadataSource) -> Option<KeyPath> {
        let of_source = |key: &str| format!("{}.{key}", source.as_str());
        match self {
            Self::Key(key) => Some(KeyPath {
                source,
                whole: of_source(key),
                shorter: Vec::new(),
            }),
            Self::Parts(parts) => Some(KeyPath {
                source,
                whole: of_source(&parts.whole),
                shorter: parts
                    .splits()
                    .skip(1)
                    .map(|(key, _)| of_source(key))
                    .collect(),
            }),
            Self::JsonPath(..) => None,
        }
    }

    /// # Errors
    ///
    /// The code and what is wrong.
    pub(super) fn parse(text: &str) -> Result<Self, (&'static str, String)> {
        if is_json_path(text) {
            return JsonPath::parse(text)
                .map(|path| Self::JsonPath(text.to_owned(), path))
                .map_err(|problem| match problem {
                    JsonPathError::NotAPath(detail)
                    | JsonPathError::Pattern(Refusal::Syntax(detail)) => (INVALID_REQUEST, detail),
                    JsonPathError::Pattern(Refusal::Unsupported(detail)) => {
                        (REGEX_UNSUPPORTED, detail)
                    }
                });
        }
        let parts: Vec<String> = parts(text).map(str::to_owned).collect();
        match parts.len() {
            1 => Ok(Self::Key(text.to_owned())),
            2..=MAX_PARTS => Ok(Self::Parts(Parts {
                whole: text.to_owned(),
                parts,
            })),
            _ => {
                let detail = format!("must have at most {MAX_PARTS} parts between dots");
                Err((INVALID_REQUEST, detail))
            }
        }
    }

    /// Whether some result passes the test. Missing has no result.
    pub(super) fn any(&self, metadata: &Map<String, Value>, test: &dyn Fn(&str) -> bool) -> bool {
        match self {
            Self::Key(key) => metadata
                .get(key)
                .and_then(text)
                .is_some_and(|text| test(&text)),
            Self::Parts(parts) => parts.results(metadata).iter().any(|text| test(text)),
            Self::JsonPath(key, path) => {
                if let Some(value) = metadata.get(key) {
                    return text(value).is_some_and(|text| test(&text));
                }
                let members = metadata
                    .iter()
                    .map(|(key, value)| (key.clone(), Json::of_metadata(value)));
                let root = Json::Object(members.collect());
                path.select(&root)
                    .into_iter()
                    .filter_map(Json::text)
                    .any(|text| test(&text))
            }
        }
    }
}

/// Whether a `metadata_key` is taken for a `JSONPath` where it is no key: `$`, `$.…` and `$[…`.
pub(crate) fn is_json_path(text: &str) -> bool {
    // RFC 9535 allows spaces before a segment.
    let blank = [' ', '\t', '\n', '\r'];
    text.strip_prefix('$').is_some_and(|rest| {
        rest.is_empty() || rest.trim_start_matches(blank).starts_with(['.', '['])
    })
}

/// The parts of a path: the first reaches to a dot or to `[]`, every other begins with one.
pub(crate) fn parts(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    let mut first = true;
    std::iter::from_fn(move || {
        let text = rest?;
        let begun = if std::mem::take(&mut first) {
            0
        } else {
            // What the part itself begins with.
            if text.starts_with(ELEMENTS) { 2 } else { 1 }
        };
        let next = text[begun..].find('.').into_iter();
        let next = next.chain(text[begun..].find(ELEMENTS)).min();
        let (part, left) = match next {
            Some(next) => {
                let (part, left) = text.split_at(begun + next);
                (part, Some(left))
            }
            None => (text, None),
        };
        rest = left;
        Some(part)
    })
}

/// Everything that a key finds in metadata; none when it is no key that a condition may have.
pub(crate) fn results(metadata: &Map<String, Value>, key: &str) -> Option<Vec<String>> {
    let found = std::cell::RefCell::new(Vec::new());
    Path::parse(key).ok()?.any(metadata, &|text| {
        found.borrow_mut().push(text.to_owned());
        false
    });
    Some(found.into_inner())
}

/// The text of a whole value; Stripe's are always strings.
fn text(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::String(text) => Some(Cow::Borrowed(text)),
        other => Json::of_metadata(other).text().map(Cow::Owned),
    }
}

impl Parts {
    pub(super) fn as_slice(&self) -> &[String] {
        &self.parts
    }

    /// Every key that the path may begin with, the longest first, and the parts that are then left.
    pub(super) fn splits(&self) -> impl Iterator<Item = (&str, &[String])> {
        let mut end = self.whole.len();
        (1..=self.parts.len()).rev().map(move |count| {
            let key = &self.whole[..end];
            end -= self.parts[count - 1].len();
            (key, &self.parts[count..])
        })
    }

    fn results<'a>(&self, metadata: &'a Map<String, Value>) -> Vec<Cow<'a, str>> {
        let winner = self
            .splits()
            .find_map(|(key, rest)| metadata.get(key).map(|value| (value, rest)));
        let mut found = Vec::new();
        match winner {
            None => {}
            Some((value, [])) => found.extend(text(value)),
            Some((value, rest)) => collect_at(&Json::of_metadata(value), rest, &mut found),
        }
        found
    }
}

/// Adds the texts to which the parts lead from a node. The function `metadata_collect_at` of the migrations does the
/// same. Every call takes a part off, so that it goes no deeper than a path has parts.
fn collect_at(node: &Json, parts: &[String], found: &mut Vec<Cow<'_, str>>) {
    let Some((first, rest)) = parts.split_first() else {
        found.extend(node.text().map(Cow::Owned));
        return;
    };
    match node {
        Json::Array(items) if first == ELEMENTS => {
            for item in items {
                collect_at(item, rest, found);
            }
        }
        Json::Array(items) => {
            let index = first.strip_prefix('.').filter(|name| is_index(name));
            let index = index.and_then(|index| index.parse::<usize>().ok());
            if let Some(item) = index.and_then(|index| items.get(index)) {
                collect_at(item, rest, found);
            }
        }
        Json::Object(members) => {
            let longest = (1..=parts.len()).rev().find_map(|count| {
                let name = parts[..count].concat();
                let member = members.get(name.strip_prefix('.')?)?;
                Some((member, &parts[count..]))
            });
            if let Some((member, rest)) = longest {
                collect_at(member, rest, found);
            }
        }
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::Text(_) => {}
    }
}

/// Whether a part of this name indexes an array.
pub(crate) fn is_index(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn results(metadata: &Value, path: &str) -> Vec<String> {
        let metadata = metadata.as_object().expect("metadata is an object");
        super::results(metadata, path).expect("the path parses")
    }

    #[test]
    fn the_longest_whole_key_wins() {
        fn check(metadata: &Value, path: &str, expected: &[&str]) {
            assert_eq!(results(metadata, path), expected, "{path} in {metadata}");
        }
        let order = json!({"order": r#"{"id": 7, "item": {"sku": "A"}, "tags": ["x", null, {"k": 1.50}]}"#});
        check(&order, "order.id", &["7"]);
        check(&order, "order.item", &[r#"{"sku":"A"}"#]);
        check(&order, "order.item.sku", &["A"]);
        check(&order, "order.tags.0", &["x"]);
        check(&order, "order.tags.00", &["x"]);
        check(&order, "order.tags.1", &[]);
        check(&order, "order.tags.-1", &[]);
        check(&order, "order.tags.2.k", &["1.50"]);
        check(&order, "order.tags.99999999999999999999", &[]);
        check(&order, "order.id.x", &[]);
        check(&order, "nothing", &[]);
        let dotted = json!({"a": r#"{"b": {"c": 1}}"#, "a.b": "text", "x.": r#"{"y": 2}"#});
        check(&dotted, "a.b", &["text"]);
        check(&dotted, "a.b.c", &[]);
        check(&dotted, "x..y", &["2"]);
        check(&json!({"": r#"{"a": 1}"#}), ".a", &["1"]);
        check(&json!({"a": r#"{"": 1, "0": 2}"#}), "a.", &["1"]);
        check(&json!({"a": r#"{"": 1, "0": 2}"#}), "a.0", &["2"]);
    }

    #[test]
    fn brackets_select_every_element() {
        fn check(metadata: &Value, path: &str, expected: &[&str]) {
            assert_eq!(results(metadata, path), expected, "{path} in {metadata}");
        }
        let cart = json!({"items": r#"[{"sku": "A", "of": [1, [2, null]]}, {"sku": null}, {"sku": "B"}, 7]"#});
        check(&cart, "items[].sku", &["A", "B"]);
        check(&cart, "items[].of[]", &["1", "[2,null]"]);
        check(&cart, "items[].of[][]", &["2"]);
        check(&cart, "items[].of.0", &["1"]);
        check(&cart, "items.0.sku", &["A"]);
        check(&cart, "items.sku", &[]);
        check(&cart, "items[]sku", &[]);
        check(&cart, "items[0].sku", &[]);
        check(&json!({"a": r#"{"b": [1]}"#}), "a[]", &[]);
        check(&json!({"a": "[]"}), "a[]", &[]);
        check(&json!({"": "[1]"}), "[]", &["1"]);
    }

    #[test]
    fn any_key_can_be_named_literally() {
        for key in [
            "$", "$tier", "$ x", "$5", "$.tier", "$..a", "$.a[0]", "$['a']", "a.b", "a[]", "a[].b",
            "a[]b", "[]", "[0]", "a]", ".", "a..b", "it's", "\"q\"", "ключ", "a b",
        ] {
            let metadata = json!({key: "found", "tier": "other", "a": r#"[{"b": 1}]"#});
            assert_eq!(results(&metadata, key), ["found"], "{key}");
        }
        let dots = ".".repeat(40);
        assert_eq!(results(&json!({dots.clone(): "found"}), &dots), ["found"]);
        let nested =
            json!({"$order": r#"{"line.items": [{"a[]": 1, "a": [2]}], "line": {"items": 3}}"#});
        assert_eq!(results(&nested, "$order.line.items[].a[]"), ["1"]);
    }

    #[test]
    fn path_parts_concatenate_to_the_path() {
        for (text, expected) in [
            ("", &[""][..]),
            ("a", &["a"]),
            (".a", &["", ".a"]),
            ("a..b", &["a", ".", ".b"]),
            ("a[][].b[]", &["a", "[]", "[]", ".b", "[]"]),
            ("a[[]]", &["a[", "[]]"]),
            ("a[]b.c", &["a", "[]b", ".c"]),
        ] {
            assert_eq!(parts(text).collect::<Vec<_>>(), expected, "{text}");
        }
    }

    #[test]
    fn a_json_path_sees_opened_values() {
        let metadata =
            json!({"tier": "gold", "cart": r#"[{"sku": "A", "n": 2}, {"sku": "B", "n": null}]"#});
        assert_eq!(results(&metadata, "$.tier"), ["gold"]);
        assert_eq!(results(&metadata, "$.cart[*].sku"), ["A", "B"]);
        assert_eq!(results(&metadata, "$.cart[?@.n > 1].sku"), ["A"]);
        assert_eq!(results(&metadata, "$.cart[*].n"), ["2"]);
    }

    #[test]
    fn paths_that_cannot_be_run_are_refused() {
        for path in [
            "$.",
            "$[",
            "$[?length(@.a)]",
            "$[?in(@.a, $.b)]",
            "$['\\u0000']",
            "$[?@.a == @.*]",
        ] {
            assert!(Path::parse(path).is_err(), "{path}");
        }
        assert!(Path::parse(&"a.".repeat(200)).is_err());
        let (code, _) = Path::parse("$[?match(@.a, @.b)]").expect_err("the pattern is no literal");
        assert_eq!(code, REGEX_UNSUPPORTED);
    }
}
