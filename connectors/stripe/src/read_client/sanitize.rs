//! Makes the text of an answer readable and storable before anything parses it.
//!
//! Stripe passes on what its customers' customers typed, and some of that is valid for Stripe alone: bytes that are
//! not UTF-8, half of a surrogate pair (`"Zo\ud83d"`, a name cut in the middle of an emoji), which no Rust string
//! holds, and the character U+0000, which PostgreSQL stores in neither text nor JSONB. Each becomes U+FFFD, in keys as
//! in values. Two keys of one object that become equal are duplicates as in any JSON: of metadata the last one counts.
//!
//! Every body passes through here, of lists, single objects and errors alike, so nothing behind it needs to know.
//! Nothing here can fail: what is not JSON stays what it is, and the parser says so. An answer without such text costs
//! one search for `\u`. Deliberately absent: numbers and nesting, which the models bound.

use bytes::Bytes;
use memchr::memmem;

/// What stands for text that cannot be kept.
const REPLACEMENT: char = char::REPLACEMENT_CHARACTER;
/// `\ud83d`
const ESCAPE_LENGTH: usize = 6;

/// The text of an answer, every string of which can be parsed and stored.
pub(crate) fn sanitize(body: Bytes) -> String {
    let text = String::from_utf8(Vec::from(body))
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned());
    repaired(&text).unwrap_or(text)
}

/// The text with every escape replaced that cannot be kept; none when there is no such escape.
fn repaired(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    let mut repaired: Option<String> = None;
    let mut copied = 0;
    let mut next = 0;
    for at in memmem::find_iter(bytes, br"\u") {
        if at < next || is_escaped(&bytes[..at]) {
            continue;
        }
        let Some(unit) = code_unit(&bytes[at..]) else {
            continue;
        };
        let low_follows = || code_unit(&bytes[at + ESCAPE_LENGTH..]).is_some_and(is_low_surrogate);
        if is_high_surrogate(unit) && low_follows() {
            next = at + 2 * ESCAPE_LENGTH;
        } else if unit == 0 || is_high_surrogate(unit) || is_low_surrogate(unit) {
            let out = repaired.get_or_insert_with(|| String::with_capacity(text.len()));
            out.push_str(&text[copied..at]);
            out.push(REPLACEMENT);
            copied = at + ESCAPE_LENGTH;
        }
    }
    let mut out = repaired?;
    out.push_str(&text[copied..]);
    Some(out)
}

/// Whether the backslash after `before` is itself escaped, so that it begins no escape.
fn is_escaped(before: &[u8]) -> bool {
    let backslashes = before.iter().rev().take_while(|byte| **byte == b'\\');
    backslashes.count() % 2 == 1
}

/// The UTF-16 code unit that an escape at the beginning of `bytes` stands for.
fn code_unit(bytes: &[u8]) -> Option<u16> {
    let digits = bytes.strip_prefix(br"\u")?.get(..4)?;
    let digits = std::str::from_utf8(digits).ok()?;
    let all_hexadecimal = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    all_hexadecimal.then(|| u16::from_str_radix(digits, 16).ok())?
}

fn is_high_surrogate(unit: u16) -> bool {
    (0xD800..0xDC00).contains(&unit)
}

fn is_low_surrogate(unit: u16) -> bool {
    (0xDC00..0xE000).contains(&unit)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn read(body: &'static [u8]) -> String {
        sanitize(Bytes::from_static(body))
    }

    #[test]
    fn only_unstorable_characters_are_replaced() {
        for (sent, kept) in [
            (r#""Zo\ud83d""#, "\"Zo\u{FFFD}\""),
            (r#""\udc00 first""#, "\"\u{FFFD} first\""),
            (r#""\uDC00\uD83D""#, "\"\u{FFFD}\u{FFFD}\""),
            (r#""\ud83d\ud83d\ude00""#, "\"\u{FFFD}\\ud83d\\ude00\""),
            (r#""\ud83d\u0000""#, "\"\u{FFFD}\u{FFFD}\""),
            (
                r#"{"a\u0000":"D\u0000E"}"#,
                "{\"a\u{FFFD}\":\"D\u{FFFD}E\"}",
            ),
            (r#""\\\u0000""#, "\"\\\\\u{FFFD}\""),
            // As they are: pairs, other escapes, and what only looks like an escape.
            (r#""\ud83d\ude00 \u00e9 \n""#, r#""\ud83d\ude00 \u00e9 \n""#),
            (r#""\\u0000 \\ud83d""#, r#""\\u0000 \\ud83d""#),
            (r#""\u00""#, r#""\u00""#),
            (r#""\u+000""#, r#""\u+000""#),
            (r"\u", r"\u"),
        ] {
            assert_eq!(read(sent.as_bytes()), kept, "{sent}");
        }
        assert_eq!(
            read(b"\"\xff\xfe caf\xc3\xa9\""),
            "\"\u{FFFD}\u{FFFD} caf\u{e9}\""
        );
    }

    #[test]
    fn the_last_of_duplicate_keys_wins() {
        let text = read(br#"{"a\ud83d":"first","a\u0000":"last"}"#);
        let object: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(object, serde_json::json!({"a\u{FFFD}": "last"}));
    }

    proptest! {
        /// Any mixture of escapes, halves of pairs and bytes becomes a string that parses and holds no U+0000.
        #[test]
        fn every_string_can_be_parsed_and_stored(pieces in prop::collection::vec(
            prop_oneof![
                Just(r"\u0000".as_bytes().to_vec()), Just(br"\ud83d".to_vec()), Just(br"\uDE00".to_vec()),
                Just(br"\\".to_vec()), Just(br"\n".to_vec()), Just(br"\u00e9".to_vec()), Just(b"u0000".to_vec()),
                Just("é".as_bytes().to_vec()), Just(b"\xff".to_vec()), Just(b"x".to_vec()),
            ], 0..12,
        )) {
            let body = [b"\"".to_vec(), pieces.concat(), b"\"".to_vec()].concat();
            let text: String = serde_json::from_str(&sanitize(Bytes::from(body))).unwrap();
            prop_assert!(!text.contains('\0'));
        }
    }
}
