//! Writes JSON text straight into a `String`: a page of a hundred charges is some 350 kB, and
//! building it as a tree of values would cost several times as much as everything else.
//!
//! Nothing here can fail; keys are trusted to be plain, values are escaped. Deliberately absent:
//! reading, which `serde_json` does.

use std::fmt::Write as _;

/// Appends `text` as a JSON string.
pub(crate) fn string(out: &mut String, text: &str) {
    out.push('"');
    let mut plain = 0;
    for (at, byte) in text.bytes().enumerate() {
        if byte >= 0x20 && byte != b'"' && byte != b'\\' {
            continue;
        }
        out.push_str(&text[plain..at]);
        plain = at + 1;
        match byte {
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            _ => {
                let _ = write!(out, "\\u{byte:04x}");
            }
        }
    }
    out.push_str(&text[plain..]);
    out.push('"');
}

/// Appends `value` in decimal.
pub(crate) fn int(out: &mut String, value: i64) {
    // Writing to a `String` cannot fail.
    let _ = write!(out, "{value}");
}

/// Appends an object whose fields `fill` writes.
pub(crate) fn object(out: &mut String, fill: impl FnOnce(&mut Object<'_>)) {
    out.push('{');
    fill(&mut Object { out, empty: true });
    out.push('}');
}

/// Appends an array with one element per item.
pub(crate) fn array<T>(
    out: &mut String,
    items: impl IntoIterator<Item = T>,
    mut element: impl FnMut(&mut String, T),
) {
    out.push('[');
    for (at, item) in items.into_iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        element(out, item);
    }
    out.push(']');
}

/// An object that is being written.
pub(crate) struct Object<'a> {
    out: &'a mut String,
    empty: bool,
}

impl Object<'_> {
    fn separate(&mut self) {
        if self.empty {
            self.empty = false;
        } else {
            self.out.push(',');
        }
    }

    /// A field whose value `write` appends.
    pub(crate) fn with(&mut self, key: &str, write: impl FnOnce(&mut String)) -> &mut Self {
        self.separate();
        self.out.push('"');
        self.out.push_str(key);
        self.out.push_str("\":");
        write(self.out);
        self
    }

    /// Fields that never differ, written as they are.
    pub(crate) fn fixed(&mut self, fields: &str) -> &mut Self {
        self.separate();
        self.out.push_str(fields);
        self
    }

    pub(crate) fn text(&mut self, key: &str, value: &str) -> &mut Self {
        self.with(key, |out| string(out, value))
    }

    pub(crate) fn text_or_null(&mut self, key: &str, value: Option<&str>) -> &mut Self {
        self.with(key, |out| match value {
            Some(value) => string(out, value),
            None => out.push_str("null"),
        })
    }

    pub(crate) fn int(&mut self, key: &str, value: i64) -> &mut Self {
        self.with(key, |out| int(out, value))
    }

    pub(crate) fn int_or_null(&mut self, key: &str, value: Option<i64>) -> &mut Self {
        self.with(key, |out| match value {
            Some(value) => int(out, value),
            None => out.push_str("null"),
        })
    }

    pub(crate) fn flag(&mut self, key: &str, value: bool) -> &mut Self {
        self.with(key, |out| {
            out.push_str(if value { "true" } else { "false" });
        })
    }

    pub(crate) fn null(&mut self, key: &str) -> &mut Self {
        self.with(key, |out| out.push_str("null"))
    }

    pub(crate) fn object(&mut self, key: &str, fill: impl FnOnce(&mut Object<'_>)) -> &mut Self {
        self.with(key, |out| object(out, fill))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back() {
        let text = "a\"b\\c\n\t\r\u{1}é寿🍣";
        let mut out = String::new();
        object(&mut out, |o| {
            o.text("t", text)
                .int("i", -5)
                .flag("f", true)
                .null("n")
                .fixed(r#""x":{},"y":[]"#);
            o.object("o", |o| {
                o.text_or_null("p", None).int_or_null("q", Some(1));
            });
            o.with("a", |out| array(out, [1, 2], int));
        });
        let value: serde_json::Value = serde_json::from_str(&out).expect("it is JSON");
        assert_eq!(value["t"], text);
        assert_eq!(value["o"]["q"], 1);
        assert_eq!(value["a"][1], 2);
    }
}
