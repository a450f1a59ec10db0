//! What a metadata key of a rule finds.
//!
//! A key without dots is that key. In a dotted path the longest whole key that is a prefix wins, and the
//! rest leads into its value where that holds JSON text; the winner is final, even when the rest then
//! leads nowhere. A path that begins with `$` is a `JSONPath` over the metadata with such values opened.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::jsonpath::{JsonPath, Problem};
use super::opened::Json;
use super::pattern::Refusal;
use super::{INVALID_REQUEST, MetadataSource, REGEX_UNSUPPORTED};

/// Parts that a dotted path may have; keeps the SQL of one condition small.
const MAX_SEGMENTS: usize = 32;

/// A parsed `metadata_key`.
#[derive(Debug, Clone)]
pub(super) enum Path {
    /// A key without dots.
    Key(String),
    /// A path with dots.
    Dotted(Dotted),
    /// A path that begins with `$`.
    JsonPath(JsonPath),
}

/// A path with dots: at every dot it may be a key before and a way into its value after.
#[derive(Debug, Clone)]
pub(super) struct Dotted {
    pub(super) whole: String,
    pub(super) segments: Vec<String>,
}

/// A path as whole keys of metadata, each with its source before it: `charge.order.id`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeyPath {
    /// The path as one key. Where metadata has it, its value is the result.
    pub(crate) whole: String,
    /// The keys into whose values the path leads where the whole one is missing: `charge.order`.
    pub(crate) shorter: Vec<String>,
}

impl Path {
    /// The keys that the path may begin with; none for a `JSONPath`.
    pub(super) fn keys(&self, source: MetadataSource) -> Option<KeyPath> {
        let of_source = |key: &str| format!("{}.{key}", source.as_str());
        match self {
            Self::Key(key) => Some(KeyPath {
                whole: of_source(key),
                shorter: Vec::new(),
            }),
            Self::Dotted(dotted) => Some(KeyPath {
                whole: of_source(&dotted.whole),
                shorter: dotted
                    .splits()
                    .skip(1)
                    .map(|(key, _)| of_source(key))
                    .collect(),
            }),
            Self::JsonPath(_) => None,
        }
    }

    /// # Errors
    ///
    /// The code and what is wrong.
    pub(super) fn parse(text: &str) -> Result<Self, (&'static str, String)> {
        if text.starts_with('$') {
            return JsonPath::parse(text)
                .map(Self::JsonPath)
                .map_err(|problem| match problem {
                    Problem::NotAPath(detail) | Problem::Pattern(Refusal::Broken(detail)) => {
                        (INVALID_REQUEST, detail)
                    }
                    Problem::Pattern(Refusal::Unsupported(detail)) => (REGEX_UNSUPPORTED, detail),
                });
        }
        if !text.contains('.') {
            return Ok(Self::Key(text.to_owned()));
        }
        let segments: Vec<String> = text.split('.').map(str::to_owned).collect();
        if segments.len() > MAX_SEGMENTS {
            let detail = format!("must have at most {MAX_SEGMENTS} parts between dots");
            return Err((INVALID_REQUEST, detail));
        }
        Ok(Self::Dotted(Dotted {
            whole: text.to_owned(),
            segments,
        }))
    }

    /// Whether some result passes the test. Missing has no result.
    pub(super) fn any(&self, metadata: &Map<String, Value>, test: &dyn Fn(&str) -> bool) -> bool {
        match self {
            Self::Key(key) => metadata
                .get(key)
                .and_then(text)
                .is_some_and(|text| test(&text)),
            Self::Dotted(dotted) => dotted.resolve(metadata).is_some_and(|text| test(&text)),
            Self::JsonPath(path) => {
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

/// The text of a whole value; Stripe's are always strings.
fn text(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::String(text) => Some(Cow::Borrowed(text)),
        other => Json::of_metadata(other).text().map(Cow::Owned),
    }
}

impl Dotted {
    /// Every key that the path may begin with, the longest first, and the segments that are then left.
    pub(super) fn splits(&self) -> impl Iterator<Item = (&str, &[String])> {
        let mut end = self.whole.len();
        (1..=self.segments.len()).rev().map(move |count| {
            let key = &self.whole[..end];
            end = end.saturating_sub(self.segments[count - 1].len() + 1);
            (key, &self.segments[count..])
        })
    }

    fn resolve<'a>(&self, metadata: &'a Map<String, Value>) -> Option<Cow<'a, str>> {
        let (value, rest) = self
            .splits()
            .find_map(|(key, rest)| metadata.get(key).map(|value| (value, rest)))?;
        if rest.is_empty() {
            return text(value);
        }
        let opened = Json::of_metadata(value);
        let found = rest.iter().try_fold(&opened, |json, segment| match json {
            Json::Object(members) => members.get(segment),
            Json::Array(items) if is_index(segment) => items.get(segment.parse::<usize>().ok()?),
            Json::Null | Json::Bool(_) | Json::Number(_) | Json::Text(_) | Json::Array(_) => None,
        })?;
        found.text().map(Cow::Owned)
    }
}

/// Whether a segment indexes an array.
pub(super) fn is_index(segment: &str) -> bool {
    !segment.is_empty() && segment.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn results(metadata: &Value, path: &str) -> Vec<String> {
        let found = std::cell::RefCell::new(Vec::new());
        let metadata = metadata.as_object().expect("metadata is an object");
        Path::parse(path)
            .expect("the path parses")
            .any(metadata, &|text| {
                found.borrow_mut().push(text.to_owned());
                false
            });
        found.into_inner()
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
        assert!(Path::parse(&"a.".repeat(40)).is_err());
        let (code, _) = Path::parse("$[?match(@.a, @.b)]").expect_err("the pattern is no literal");
        assert_eq!(code, REGEX_UNSUPPORTED);
    }
}
