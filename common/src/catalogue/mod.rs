//! The metadata keys that a connection's objects have, found while they are written.
//!
//! Nobody declares metadata, so people have to be shown what is there before they can write a rule or group
//! by a key: its path, what its values look like, how many objects have it.
//!
//! A [`Catalogue`] is a sum over objects. Adding is commutative and associative, so any split of the objects
//! into batches gives the same catalogue: counts add up, instants take minimum and maximum, samples are the
//! least few of all. What cannot be undone that way, an object whose metadata changed or that went, needs a
//! rebuild from what is stored ([`queries::replace`]).
//!
//! Bounded on purpose: of each kind of object the first [`MAX_KEYS`] paths in order of code points are kept
//! and the others are not shown (rules on them work all the same), and JSON is followed eight levels
//! deep (`key_path`). Samples leave the system through the API, so what looks like a card number, an e-mail address or a
//! secret is replaced ([`redact`]).
//!
//! Deliberately absent: histograms, and any knowledge of what a key means.

mod key_path;
pub mod queries;
pub mod redact;
pub mod unknown;

use std::collections::{BTreeMap, BTreeSet, btree_map};

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};

use self::key_path::OpenedMetadata;
use crate::filter::embedded_json::Json;
use crate::filter::number::is_number;
use crate::named;

/// Whose metadata a key belongs to.
pub use crate::filter::MetadataSource as ObjectType;

/// Keys kept for each kind of object.
pub const MAX_KEYS: usize = 500;
pub const MAX_SAMPLES: usize = 10;
pub const MAX_SAMPLE_CHARS: usize = 80;

named! {
    /// Type of the values of a metadata key.
    #[schema(as = MetadataValueType)]
    ValueType {
        /// Text.
        String = "string",
        /// Numbers.
        Number = "number",
        /// `true` or `false`.
        Boolean = "boolean",
        /// A JSON object or array, as text.
        Json = "json",
        /// Values of several types.
        Mixed = "mixed",
    }
}

impl ValueType {
    fn combined(self, other: Self) -> Self {
        if self == other { self } else { Self::Mixed }
    }

    fn of(json: &Json) -> Self {
        match json {
            Json::Array(_) | Json::Object(_) => Self::Json,
            Json::Bool(_) => Self::Boolean,
            Json::Number(_) => Self::Number,
            Json::Text(text) if is_number(text) => Self::Number,
            Json::Text(text) if text == "true" || text == "false" => Self::Boolean,
            Json::Text(_) | Json::Null => Self::String,
        }
    }
}

/// What is known of one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub value_type: ValueType,
    pub occurrences: i64,
    /// The least few of its values, shortened and redacted.
    pub samples: BTreeSet<String>,
    /// When the oldest charge was made that has it, or refers to an object that has it.
    pub first_seen: DateTime<Utc>,
    pub last_seen: DateTime<Utc>,
}

impl Entry {
    fn merge_entry(&mut self, other: Self) {
        self.value_type = self.value_type.combined(other.value_type);
        self.occurrences += other.occurrences;
        self.first_seen = self.first_seen.min(other.first_seen);
        self.last_seen = self.last_seen.max(other.last_seen);
        self.samples.extend(other.samples);
        while self.samples.len() > MAX_SAMPLES {
            self.samples.pop_last();
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Catalogue {
    keys: BTreeMap<ObjectType, BTreeMap<String, Entry>>,
}

impl Catalogue {
    /// Adds a charge made then, or an object that only such a charge refers to.
    pub fn add(
        &mut self,
        object_type: ObjectType,
        metadata: &Map<String, Value>,
        created_at: DateTime<Utc>,
    ) {
        self.add_with_range(object_type, metadata, created_at, created_at);
    }

    /// Adds an object that charges of that time refer to.
    pub fn add_with_range(
        &mut self,
        object_type: ObjectType,
        metadata: &Map<String, Value>,
        first_seen: DateTime<Utc>,
        last_seen: DateTime<Utc>,
    ) {
        self.record(object_type, metadata, 1, (first_seen, last_seen));
    }

    /// Adds a further charge that refers to an object which the catalogue has already.
    pub fn record_reference(
        &mut self,
        object_type: ObjectType,
        metadata: &Map<String, Value>,
        created_at: DateTime<Utc>,
    ) {
        self.record(object_type, metadata, 0, (created_at, created_at));
    }

    fn record(
        &mut self,
        object_type: ObjectType,
        metadata: &Map<String, Value>,
        occurrences: i64,
        (first_seen, last_seen): (DateTime<Utc>, DateTime<Utc>),
    ) {
        let opened = OpenedMetadata::new(metadata);
        let mut found: BTreeMap<String, (ValueType, BTreeSet<String>)> = BTreeMap::new();
        for value in opened.values() {
            let value_type = ValueType::of(value.json);
            let sample = redact::sample(&value.text(), value.json);
            match found.entry(value.path) {
                btree_map::Entry::Vacant(path) => {
                    path.insert((value_type, BTreeSet::from([sample])));
                }
                btree_map::Entry::Occupied(mut path) => {
                    let (known, samples) = path.get_mut();
                    *known = known.combined(value_type);
                    samples.insert(sample);
                    if samples.len() > MAX_SAMPLES {
                        samples.pop_last();
                    }
                }
            }
        }
        for (path, (value_type, samples)) in found {
            let entry = Entry {
                value_type,
                occurrences,
                samples,
                first_seen,
                last_seen,
            };
            self.insert(object_type, path, entry);
        }
    }

    /// Releases all keys of these kinds of objects.
    pub fn forget(&mut self, of: &BTreeSet<ObjectType>) {
        self.keys.retain(|object_type, _| !of.contains(object_type));
    }

    /// Adds all that another catalogue has, of other objects.
    pub fn merge(&mut self, other: Self) {
        for (object_type, entries) in other.keys {
            for (path, entry) in entries {
                self.insert(object_type, path, entry);
            }
        }
    }

    fn insert(&mut self, object_type: ObjectType, path: String, entry: Entry) {
        let keys = self.keys.entry(object_type).or_default();
        if let Some(known) = keys.get_mut(&path) {
            known.merge_entry(entry);
            return;
        }
        keys.insert(path, entry);
        // A path that falls out would fall out of every larger catalogue too, so that the order of merging
        // stays without effect.
        if keys.len() > MAX_KEYS {
            keys.pop_last();
        }
    }

    /// Every key, by kind of object and path.
    pub fn entries(&self) -> impl Iterator<Item = (ObjectType, &str, &Entry)> {
        self.keys.iter().flat_map(|(object_type, keys)| {
            keys.iter()
                .map(|(path, entry)| (*object_type, path.as_str(), entry))
        })
    }

    /// What is known of one key.
    pub fn get(&self, object_type: ObjectType, path: &str) -> Option<&Entry> {
        self.keys.get(&object_type)?.get(path)
    }

    /// Whether no object had a key.
    pub fn is_empty(&self) -> bool {
        self.keys.values().all(BTreeMap::is_empty)
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
