//! The paths under which the keys of an object are shown, so that each works as the key of a condition and finds
//! there what was counted.
//!
//! Mostly that is the names with dots between them, and `[]` for the elements of an array. Where such a path would
//! be read otherwise (`$.tier` as a `JSONPath`, `a.0` as an element of an array), a normalized `JSONPath` stands
//! for it: `$['$.tier']`, `$['a']['0']`. Where an object has two readings of one path, rules take one of them; what
//! is found by the other is not shown, since no condition would find it.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde_json::{Map, Value};

use crate::filter::embedded_json::{Json, MAX_EMBEDDED_JSON_CHARS};
use crate::filter::path::{is_index, is_json_path, parts, results};

/// Levels below a metadata key that are followed into JSON.
pub(super) const MAX_DEPTH: usize = 8;
/// Characters of a path, as many as a rule's key may have; longer ones are left out.
const MAX_PATH_CHARS: usize = crate::filter::MAX_KEY_CHARS;
/// More elements than an array that is opened can have: each takes a character and a comma.
const MAX_ELEMENTS: usize = MAX_EMBEDDED_JSON_CHARS / 2;

/// One value in an object's metadata.
pub(super) struct FoundValue<'a> {
    pub(super) path: String,
    pub(super) json: &'a Json,
    /// The text that the path finds where it is a whole key: JSON as it is stored, and not as it is compared.
    whole: Option<&'a str>,
    /// Whether the path is a whole key, which wins over every other reading of it.
    is_key: bool,
}

impl FoundValue<'_> {
    /// What a condition on the path compares.
    pub(super) fn text(&self) -> Cow<'_, str> {
        match self.whole {
            Some(whole) => Cow::Borrowed(whole),
            None => Cow::Owned(self.json.text().unwrap_or_default()),
        }
    }
}

/// The metadata of an object, opened.
pub(super) struct OpenedMetadata<'a> {
    metadata: &'a Map<String, Value>,
    keys: Vec<(&'a str, Json)>,
}

#[derive(Clone, Copy)]
enum Step<'a> {
    Name(&'a str),
    Elements,
}

impl<'a> OpenedMetadata<'a> {
    pub(super) fn new(metadata: &'a Map<String, Value>) -> Self {
        let keys = metadata
            .iter()
            .map(|(key, value)| (key.as_str(), Json::of_metadata(value)));
        Self {
            metadata,
            keys: keys.collect(),
        }
    }

    /// Every value that a path leads to, with the path. Null is missing.
    pub(super) fn values(&self) -> Vec<FoundValue<'_>> {
        let mut walk = Walk::default();
        for (key, json) in &self.keys {
            let whole = self.metadata.get(*key).and_then(Value::as_str);
            walk.step(Step::Name(key), json, whole);
        }
        let mut readings: BTreeMap<String, Option<BTreeSet<String>>> = BTreeMap::new();
        walk.found.retain(|found| {
            // Reading a path opens the metadata once more, so only paths are read that may have another reading.
            if found.is_key || (!walk.ambiguous && !found.path.starts_with('$')) {
                return true;
            }
            let reading = readings.entry(found.path.clone()).or_insert_with(|| {
                results(self.metadata, &found.path).map(|texts| texts.into_iter().collect())
            });
            let text = found.text();
            reading.as_ref().is_some_and(|texts| texts.contains(&*text))
        });
        walk.found
    }
}

#[derive(Default)]
struct Walk<'a> {
    steps: Vec<Step<'a>>,
    found: Vec<FoundValue<'a>>,
    /// Whether a name has what separates the parts of a path, so that a path may have several readings.
    ambiguous: bool,
}

impl<'a> Walk<'a> {
    fn step(&mut self, step: Step<'a>, json: &'a Json, whole: Option<&'a str>) {
        if let Step::Name(name) = step {
            self.ambiguous |= parts(name).nth(1).is_some();
        }
        self.steps.push(step);
        self.visit(json, whole);
        self.steps.pop();
    }

    fn visit(&mut self, json: &'a Json, whole: Option<&'a str>) {
        let depth = self.steps.len() - 1;
        if depth > MAX_DEPTH || *json == Json::Null {
            return;
        }
        let path = path_of(&self.steps);
        if path.chars().count() > MAX_PATH_CHARS {
            return;
        }
        // A JSONPath finds opened JSON.
        let whole = whole.filter(|_| !is_json_path(&path));
        let is_key = matches!(self.steps[..], [Step::Name(name)] if name == path);
        self.found.push(FoundValue {
            path,
            json,
            whole,
            is_key,
        });
        match json {
            Json::Object(members) => {
                for (name, member) in members {
                    self.step(Step::Name(name), member, None);
                }
            }
            Json::Array(items) => {
                for item in items {
                    self.step(Step::Elements, item, None);
                }
            }
            Json::Null | Json::Bool(_) | Json::Number(_) | Json::Text(_) => {}
        }
    }
}

fn path_of(steps: &[Step<'_>]) -> String {
    let mut path = String::new();
    for (index, step) in steps.iter().enumerate() {
        match step {
            Step::Name(name) => {
                path.push_str(if index == 0 { "" } else { "." });
                path.push_str(name);
            }
            Step::Elements => path.push_str("[]"),
        }
    }
    if path.is_empty() || is_json_path(&path) || may_index(&path) {
        return normalized(steps);
    }
    path
}

/// Whether a part of the path may lead to an element of an array.
fn may_index(path: &str) -> bool {
    parts(path).skip(1).any(|part| {
        let name = part.strip_prefix('.').unwrap_or_default();
        is_index(name) && name.parse().is_ok_and(|index: usize| index < MAX_ELEMENTS)
    })
}

/// As a `JSONPath` of names, as RFC 9535 normalizes them, and of slices, which are of arrays alone.
fn normalized(steps: &[Step<'_>]) -> String {
    let mut path = String::from("$");
    for step in steps {
        let Step::Name(name) = step else {
            path.push_str("[:]");
            continue;
        };
        path.push_str("['");
        for character in name.chars() {
            match character {
                '\'' | '\\' => path.extend(['\\', character]),
                '\u{8}' => path.push_str("\\b"),
                '\t' => path.push_str("\\t"),
                '\n' => path.push_str("\\n"),
                '\u{c}' => path.push_str("\\f"),
                '\r' => path.push_str("\\r"),
                '\0'..'\u{20}' => {
                    // Writing to a string does not fail.
                    let _ = write!(path, "\\u{:04x}", u32::from(character));
                }
                _ => path.push(character),
            }
        }
        path.push_str("']");
    }
    path
}
