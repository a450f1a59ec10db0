//! Merge patches (RFC 7396) of answers, by the object's id: how a reader is shown an object of a
//! shape that Stripe never documented.
//!
//! Answers are written as text, so a patched object is read back first; without patches nothing is.
//! Deliberately absent: objects inside others, and the objects in events.

use std::collections::BTreeMap;

use serde_json::Value;

/// An account's patches, by the id of the object that each is for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Patches(BTreeMap<String, Value>);

impl Patches {
    /// Sets or takes away the patch of the object with `id`.
    pub(crate) fn set(&mut self, id: &str, patch: Option<Value>) {
        match patch {
            Some(patch) => drop(self.0.insert(id.to_owned(), patch)),
            None => drop(self.0.remove(id)),
        }
    }

    /// Patches the object whose JSON is all of `out` from byte `start` on, if there is one for it.
    pub(crate) fn apply(&self, out: &mut String, start: usize) {
        if self.0.is_empty() {
            return;
        }
        // A look for the text spares reading back whatever cannot be meant.
        let meant = |(id, _): &(&String, &Value)| out[start..].contains(id.as_str());
        if !self.0.iter().any(|entry| meant(&entry)) {
            return;
        }
        let Ok(mut object) = serde_json::from_str::<Value>(&out[start..]) else {
            return;
        };
        let id = object.get("id").and_then(Value::as_str);
        let Some(patch) = id.and_then(|id| self.0.get(id)) else {
            return;
        };
        merge(&mut object, patch);
        out.truncate(start);
        out.push_str(&object.to_string());
    }
}

fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(changes) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(serde_json::Map::new());
    }
    let Value::Object(fields) = target else {
        return;
    };
    for (key, change) in changes {
        if change.is_null() {
            fields.remove(key);
        } else {
            merge(fields.entry(key.as_str()).or_insert(Value::Null), change);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn patches_merge_as_the_rfc_says() {
        for (target, patch, result) in [
            (json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "b"}), json!({"a": null}), json!({})),
            (json!({"a": ["b"]}), json!({"a": "c"}), json!({"a": "c"})),
            (
                json!({"a": 1}),
                json!({"a": {"b": 2, "c": null}}),
                json!({"a": {"b": 2}}),
            ),
            (
                json!({"a": {"b": 1}}),
                json!({"a": {"c": 2}}),
                json!({"a": {"b": 1, "c": 2}}),
            ),
            (json!({"a": 1}), json!(["c"]), json!(["c"])),
        ] {
            let mut patched = target;
            merge(&mut patched, &patch);
            assert_eq!(patched, result);
        }
    }

    #[test]
    fn only_the_object_itself_is_patched() {
        let mut patches = Patches::default();
        patches.set("x", Some(json!({"a": 2})));
        let answered = |text: &str| {
            let mut out = format!("[{text}");
            patches.apply(&mut out, 1);
            out
        };
        assert_eq!(answered(r#"{"id":"x","a":1}"#), r#"[{"a":2,"id":"x"}"#);
        assert_eq!(answered(r#"{"id":"y","a":"x"}"#), r#"[{"id":"y","a":"x"}"#);
    }
}
