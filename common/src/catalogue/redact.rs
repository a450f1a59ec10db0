//! Keeps secrets out of samples.
//!
//! People put e-mail addresses, and now and then card numbers or keys, into metadata. Samples are shown to
//! everyone who may read figures, so a value that has something of the kind is replaced as a whole by what
//! it looked like. A guess by shape: it errs on the side of hiding, and a name or a street is not hidden.

use super::MAX_SAMPLE_CHARS;
use crate::filter::embedded_json::Json;

const CARD_DIGITS: std::ops::RangeInclusive<usize> = 13..=19;
/// Characters from which on a run of letters and digits may be a secret.
const MIN_SECRET_CHARS: usize = 32;
/// Bits for each character from which on such a run looks random.
const MIN_SECRET_ENTROPY_BITS: f64 = 4.0;
/// What a private value looks like, as its sample says.
const KINDS: [&str; 3] = [CARD, EMAIL, SECRET];
const CARD: &str = "card";
const EMAIL: &str = "email";
const SECRET: &str = "secret";
/// Beginnings of keys and tokens that are secret whatever their length.
const SECRET_PREFIXES: [&str; 10] = [
    "sk_live_", "sk_test_", "rk_live_", "rk_test_", "whsec_", "eyJ", "ghp_", "xoxb-", "AKIA",
    "Bearer ",
];

/// A value as a sample: what it looks like when it seems private, else its first characters. `text` is
/// shown, `json` is the same value opened.
pub(super) fn sample(text: &str, json: &Json) -> String {
    if let Some(kind) = redaction_label(json) {
        return format!("[{kind}]");
    }
    match text.char_indices().nth(MAX_SAMPLE_CHARS) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

/// Whether a sample is the value itself, neither replaced nor shortened. A value that looks like a replaced one is taken for
/// one.
pub fn is_whole(sample: &str) -> bool {
    let replaced = KINDS.iter().any(|kind| {
        let inner = sample.strip_prefix('[');
        inner.and_then(|inner| inner.strip_suffix(']')) == Some(*kind)
    });
    !replaced && !sample.ends_with('…')
}

/// What seems private in a value or in what is under it.
fn redaction_label(json: &Json) -> Option<&'static str> {
    match json {
        Json::Text(text) | Json::Number(text) => kind(text),
        Json::Array(items) => items.iter().find_map(redaction_label),
        Json::Object(members) => members
            .iter()
            .find_map(|(name, value)| kind(name).or_else(|| redaction_label(value))),
        Json::Null | Json::Bool(_) => None,
    }
}

fn kind(text: &str) -> Option<&'static str> {
    if has_card_number(text) {
        Some(CARD)
    } else if has_email(text) {
        Some(EMAIL)
    } else if has_secret(text) {
        Some(SECRET)
    } else {
        None
    }
}

/// Whether some run of digits, spaced or dashed as people write it, passes the check of card numbers.
fn has_card_number(text: &str) -> bool {
    text.split(|character: char| {
        !character.is_ascii_digit() && character != ' ' && character != '-'
    })
    .any(|run| {
        let digits: Vec<u32> = run
            .chars()
            .filter_map(|character| character.to_digit(10))
            .collect();
        CARD_DIGITS.contains(&digits.len()) && passes_luhn(&digits)
    })
}

fn passes_luhn(digits: &[u32]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(index, digit)| match (index % 2, digit * 2) {
            (0, _) => *digit,
            (_, doubled) if doubled > 9 => doubled - 9,
            (_, doubled) => doubled,
        })
        .sum();
    sum.is_multiple_of(10) && digits.iter().any(|digit| *digit != 0)
}

fn has_email(text: &str) -> bool {
    text.split_whitespace().any(|word| {
        word.split_once('@').is_some_and(|(name, host)| {
            let host = host.split('@').next().unwrap_or_default();
            !name.is_empty() && host.trim_matches(['.', '>', ')', ',', ';']).contains('.')
        })
    })
}

fn has_secret(text: &str) -> bool {
    let words = || {
        text.split(|character: char| character.is_whitespace() || "\"',;:()".contains(character))
    };
    words().any(|word| {
        SECRET_PREFIXES.iter().any(|prefix| {
            word.strip_prefix(prefix)
                .is_some_and(|rest| rest.chars().count() >= 8)
        })
    }) || text.contains("Bearer ")
        || text
            .split(|character: char| {
                !character.is_ascii_alphanumeric() && !"_-+/=".contains(character)
            })
            .any(looks_random)
}

/// Whether a run is long and uses its characters evenly, or is a long hexadecimal number.
fn looks_random(run: &str) -> bool {
    if run.len() < MIN_SECRET_CHARS {
        return false;
    }
    let digits = run.bytes().any(|byte| byte.is_ascii_digit());
    let letters = run.bytes().any(|byte| byte.is_ascii_alphabetic());
    if !(digits && letters) {
        return false;
    }
    run.bytes().all(|byte| byte.is_ascii_hexdigit()) || entropy_bits(run) >= MIN_SECRET_ENTROPY_BITS
}

fn entropy_bits(run: &str) -> f64 {
    let mut counts = [0_u32; 128];
    for byte in run.bytes() {
        counts[usize::from(byte & 0x7F)] += 1;
    }
    let total = run.len() as f64;
    counts
        .iter()
        .filter(|count| **count > 0)
        .map(|count| {
            let share = f64::from(*count) / total;
            -share * share.log2()
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let json = Json::of_metadata(&text.into());
        assert_eq!(sample(text, &json), expected);
    }

    #[test]
    fn confidential_samples_are_redacted() {
        check("4242424242424242", "[card]");
        check("card 4242-4242 4242-4242 used", "[card]");
        check("jenny.rosen@example.com", "[email]");
        check("Jenny <jenny@example.com>", "[email]");
        check(concat!("sk_", "live_51Habcdefgh"), "[secret]");
        check("whsec_abcdefghij", "[secret]");
        check("d41d8cd98f00b204e9800998ecf8427e", "[secret]");
        check("Zq3vX9bT7mK1pR5wY8nC2dF6gH4jL0sA", "[secret]");
        check(r#"{"contact": {"mail": "a@b.co"}}"#, "[email]");
    }

    #[test]
    fn ordinary_samples_are_shown() {
        for text in [
            "gold",
            "4242424242424241",
            "order-2026-0001",
            "@handle",
            "a@b",
            "12.50",
            "",
        ] {
            check(text, text);
        }
        check(
            "9b2f0c1e-55aa-4c3e-8a0b-1f2e3d4c5b6a",
            "9b2f0c1e-55aa-4c3e-8a0b-1f2e3d4c5b6a",
        );
        check(&"é".repeat(80), &"é".repeat(80));
        check(&"é".repeat(81), &format!("{}…", "é".repeat(80)));
    }
}
