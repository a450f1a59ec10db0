//! Patches of answers, by the object's id: merge patches (RFC 7396), how a reader is shown an object of a shape that
//! Stripe never documented, and raw JSON, how it is shown text and numbers that no JSON library would write.
//!
//! Answers are written as text, so a patched object is read back first; without patches nothing is.
//! Deliberately absent: objects inside others, and the objects in events.

use std::collections::BTreeMap;

use serde_json::Value;

/// An account's patches, by the id of the object that each is for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Patches(BTreeMap<String, Patch>);

#[derive(Clone, Debug, Default)]
struct Patch {
    merge: Value,
    /// JSON text that takes the place of values, by their JSON pointers: text that no parser would give back, such as
    /// half of a surrogate pair or a number of a thousand digits.
    raw: BTreeMap<String, String>,
}

impl Patches {
    /// Sets or takes away the patch of the object with `id`.
    pub(crate) fn set(&mut self, id: &str, patch: Option<Value>) {
        match patch {
            Some(patch) => self.0.entry(id.to_owned()).or_default().merge = patch,
            None => drop(self.0.remove(id)),
        }
    }

    /// Has the value at `pointer` of the object with `id` shown as `json`, whatever that is.
    pub(crate) fn set_raw(&mut self, id: &str, pointer: &str, json: &str) {
        let patch = self.0.entry(id.to_owned()).or_insert_with(|| Patch {
            merge: Value::Object(serde_json::Map::new()),
            raw: BTreeMap::new(),
        });
        patch.raw.insert(pointer.to_owned(), json.to_owned());
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// Patches the object whose JSON is all of `out` from byte `start` on, if there is one for it.
    pub(crate) fn apply(&self, out: &mut String, start: usize) {
        if self.0.is_empty() {
            return;
        }
        // A look for the text spares reading back whatever cannot be meant.
        let meant = |(id, _): &(&String, &Patch)| out[start..].contains(id.as_str());
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
        merge(&mut object, &patch.merge);
        let mut raw = Vec::new();
        for (at, (pointer, json)) in patch.raw.iter().enumerate() {
            if let Some(value) = place(&mut object, pointer) {
                let stand_in = format!("raw JSON {at} of {pointer}");
                raw.push((Value::String(stand_in.clone()).to_string(), json));
                *value = Value::String(stand_in);
            }
        }
        let mut text = object.to_string();
        for (stand_in, json) in raw {
            text = text.replacen(&stand_in, json, 1);
        }
        out.truncate(start);
        out.push_str(&text);
    }
}

/// The value at a pointer; its last member is made where it is missing.
fn place<'a>(object: &'a mut Value, pointer: &str) -> Option<&'a mut Value> {
    let (parent, member) = pointer.rsplit_once('/')?;
    match object.pointer_mut(parent)? {
        Value::Object(members) => Some(members.entry(member).or_insert(Value::Null)),
        Value::Array(items) => items.get_mut(member.parse::<usize>().ok()?),
        _ => None,
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
    fn raw_json_is_shown_as_it_is() {
        let mut patches = Patches::default();
        patches.set_raw("x", "/name", r#""Zo\ud83d""#);
        patches.set_raw("x", "/a/0/b", "1e400");
        patches.set_raw("x", "/nothing/there", "5");
        let mut out = r#"{"id":"x","a":[{"b":1}]}"#.to_owned();
        patches.apply(&mut out, 0);
        assert_eq!(out, r#"{"a":[{"b":1e400}],"id":"x","name":"Zo\ud83d"}"#);
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
