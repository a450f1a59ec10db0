//! Metadata keys that a filter or a grouping names and no stored object has.
//!
//! Such a key is no error: an object may have it tomorrow. It is far more often a typing mistake, whose answer looks
//! like a fact, so the answer carries a note, with the key that was probably meant.
//!
//! Nothing is noted where the catalogue cannot tell: `JSONPath`, and kinds of objects with so many keys that not all
//! are kept.

use super::{MAX_KEYS, ObjectType};

/// A key as someone wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedKey {
    /// Whose metadata it is looked for in.
    pub object_type: ObjectType,
    /// The key, or the path into its value.
    pub key: String,
}

impl NamedKey {
    /// The path as the catalogue writes it, with `[]` for each index of an array.
    pub(super) fn catalogue_path(&self) -> String {
        let mut path = String::with_capacity(self.key.len());
        for (index, segment) in self.key.split('.').enumerate() {
            if index > 0 && is_index(segment) {
                path.push_str("[]");
                continue;
            }
            if index > 0 {
                path.push('.');
            }
            path.push_str(segment);
        }
        path
    }
}

/// A sentence about a key that no object has; none where one has it, or where the catalogue does not know.
///
/// `known` are all keys of the catalogue.
pub(super) fn describe(named: &NamedKey, known: &[(ObjectType, String)]) -> Option<String> {
    let of = |object_type| {
        known
            .iter()
            .filter(move |(of, _)| *of == object_type)
            .map(|(_, path)| path.as_str())
    };
    if of(named.object_type).count() >= MAX_KEYS || is_listed(&named.key, of(named.object_type)) {
        return None;
    }
    let (object_type, key) = (named.object_type.words(), &named.key);
    let elsewhere = ObjectType::ALL
        .into_iter()
        .find(|other| *other != named.object_type && is_listed(key, of(*other)));
    let hint = match (closest_match(key, of(named.object_type)), elsewhere) {
        (Some(near), _) => format!(" Did you mean `{near}`?"),
        (None, Some(other)) => format!(" {} has it.", with_article(other)),
        (None, None) => String::new(),
    };
    Some(format!(
        "No stored {object_type} of this connection has the metadata key `{key}`.{hint}"
    ))
}

/// `A charge`, `An invoice line`.
fn with_article(object_type: ObjectType) -> String {
    let words = object_type.words();
    let article = if words.starts_with('i') { "An" } else { "A" };
    format!("{article} {words}")
}

/// Whether the key is one of these paths or leads to one of them, whatever arrays are on the way.
fn is_listed<'a>(key: &str, mut paths: impl Iterator<Item = &'a str>) -> bool {
    let json_path = quoted_key(key);
    let key = name_parts(key);
    paths.any(|path| path.starts_with(&json_path) || name_parts(path).starts_with(&key))
}

/// How the catalogue begins the path of a key that a dotted path could not name, such as `order.3`.
fn quoted_key(key: &str) -> String {
    let escaped = key.replace('\\', "\\\\").replace('\'', "\\'");
    format!("$['{escaped}']")
}

/// The parts of a path that are no array indexes.
fn name_parts(path: &str) -> Vec<&str> {
    path.split('.')
        .map(|segment| segment.trim_end_matches("[]"))
        .filter(|segment| !is_index(segment))
        .collect()
}

fn is_index(segment: &str) -> bool {
    !segment.is_empty() && segment.bytes().all(|byte| byte.is_ascii_digit())
}

/// How alike two keys are that are taken for each other, from 0 to 1.
const MIN_SIMILARITY: f64 = 0.85;

fn closest_match<'a>(key: &str, paths: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let folded = key.to_lowercase();
    paths
        .map(|path| (strsim::jaro_winkler(&folded, &path.to_lowercase()), path))
        .filter(|(likeness, _)| *likeness >= MIN_SIMILARITY)
        .max_by(|one, other| one.0.total_cmp(&other.0))
        .map(|(_, path)| path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(key: &str) -> Option<String> {
        let known = [
            (ObjectType::Charge, "tier"),
            (ObjectType::Charge, "order"),
            (ObjectType::Charge, "order.items[].sku"),
            (ObjectType::Charge, "$['order.3']"),
            (ObjectType::Product, "family"),
        ]
        .map(|(object_type, path)| (object_type, path.to_owned()));
        let named = NamedKey {
            object_type: ObjectType::Charge,
            key: key.to_owned(),
        };
        describe(&named, &known)
    }

    #[test]
    fn a_key_that_no_object_has_is_noted_with_the_one_that_was_meant() {
        for (key, rest) in [
            ("teir", " Did you mean `tier`?"),
            ("Tier", " Did you mean `tier`?"),
            ("order.items.0.skew", " Did you mean `order.items[].sku`?"),
            ("family", " A product has it."),
            ("colour", ""),
        ] {
            let start =
                format!("No stored charge of this connection has the metadata key `{key}`.");
            assert_eq!(record(key), Some(format!("{start}{rest}")));
        }
    }

    #[test]
    fn a_key_that_some_object_has_is_not_noted() {
        for key in [
            "tier",
            "order",
            "order.items",
            "order.items.0.sku",
            "order.items[].sku",
            "order.3",
        ] {
            assert_eq!(record(key), None, "{key}");
        }
    }

    #[test]
    fn nothing_is_noted_where_not_all_keys_are_kept() {
        let known: Vec<(ObjectType, String)> = (0..MAX_KEYS)
            .map(|number| (ObjectType::Charge, format!("k{number}")))
            .collect();
        let named = NamedKey {
            object_type: ObjectType::Charge,
            key: "zzz".to_owned(),
        };
        assert_eq!(describe(&named, &known), None);
    }

    #[test]
    fn an_index_is_written_as_the_catalogue_does() {
        let named = NamedKey {
            object_type: ObjectType::Charge,
            key: "order.items.12.sku".to_owned(),
        };
        assert_eq!(named.catalogue_path(), "order.items[].sku");
    }
}
