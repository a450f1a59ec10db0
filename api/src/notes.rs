//! Remarks on valid requests whose answer may not be what was meant.

use common::catalogue::unknown::NamedKey;
use common::filter::CompiledPredicate;
use common::rule::UnknownKey;
use serde::Serialize;
use utoipa::ToSchema;

/// A remark on a valid request whose answer may not be what was meant.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Note {
    /// Stable code: `unknown_metadata_key`.
    code: &'static str,
    /// Name of the query parameter.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "group_by")]
    parameter: Option<String>,
    /// JSON Pointer (RFC 6901) to the value in the request body or in the parameter's JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "/conditions/0/metadata_key")]
    pointer: Option<String>,
    /// What was noticed.
    detail: String,
}

impl Note {
    fn unknown_key(parameter: Option<String>, pointer: Option<String>, detail: String) -> Self {
        Self {
            code: "unknown_metadata_key",
            parameter,
            pointer,
            detail,
        }
    }
}

/// The metadata keys that the parameters of a request name, and where.
#[derive(Debug, Default)]
pub(crate) struct NamedKeys {
    keys: Vec<NamedKey>,
    pointers: Vec<(Option<String>, Option<String>)>,
}

impl NamedKeys {
    /// Adds the keys of conditions in a parameter that is JSON, where the predicate is at this pointer.
    pub(crate) fn add_conditions(
        &mut self,
        predicate: &CompiledPredicate,
        parameter: &str,
        at: &str,
    ) {
        for (index, key) in predicate.named_keys() {
            let pointer = format!("{at}{}", key_pointer(index));
            self.keys.push(key);
            self.pointers
                .push((Some(parameter.to_owned()), Some(pointer)));
        }
    }

    /// Adds a key that a parameter names by itself.
    pub(crate) fn add(&mut self, key: NamedKey, parameter: &str) {
        self.keys.push(key);
        self.pointers.push((Some(parameter.to_owned()), None));
    }

    pub(crate) fn keys(&self) -> &[NamedKey] {
        &self.keys
    }

    /// A note for each of the keys, by index, that no stored object has.
    pub(crate) fn notes(&self, unknown: Vec<(usize, String)>) -> Vec<Note> {
        let notes = unknown.into_iter().map(|(index, detail)| {
            let (parameter, pointer) = self.pointers.get(index).cloned().unwrap_or_default();
            Note::unknown_key(parameter, pointer, detail)
        });
        notes.collect()
    }
}

/// Notes on a rule in a body.
pub(crate) fn of_rule(unknown: Vec<UnknownKey>) -> Vec<Note> {
    let note = |UnknownKey { condition, detail }| {
        Note::unknown_key(None, Some(key_pointer(condition)), detail)
    };
    unknown.into_iter().map(note).collect()
}

fn key_pointer(condition: usize) -> String {
    format!("/conditions/{condition}/metadata_key")
}
