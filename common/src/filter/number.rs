//! What looks like a number, and how such texts compare: as exact decimals, as PostgreSQL's `numeric` does.

use std::cmp::Ordering;
use std::str::FromStr;

use bigdecimal::BigDecimal;

/// Characters beyond which a text is no number, so that no text overflows PostgreSQL's `numeric`, which
/// has 16,383 digits after the point. Stripe's values have 500.
pub(crate) const MAX_NUMBER_CHARS: usize = 10_000;

/// Whether the text is `^-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]{1,3})?$`.
pub(crate) fn is_number(text: &str) -> bool {
    fn digits(bytes: &[u8]) -> (usize, &[u8]) {
        let count = bytes
            .iter()
            .take_while(|byte| byte.is_ascii_digit())
            .count();
        (count, &bytes[count..])
    }
    if text.len() > MAX_NUMBER_CHARS {
        return false;
    }
    let bytes = text.as_bytes();
    let (count, mut rest) = digits(bytes.strip_prefix(b"-").unwrap_or(bytes));
    if count == 0 {
        return false;
    }
    if let Some(fraction) = rest.strip_prefix(b".") {
        let (count, after) = digits(fraction);
        if count == 0 {
            return false;
        }
        rest = after;
    }
    if let Some(exponent) = rest.strip_prefix(b"e").or_else(|| rest.strip_prefix(b"E")) {
        let unsigned = exponent
            .strip_prefix(b"+")
            .or_else(|| exponent.strip_prefix(b"-"))
            .unwrap_or(exponent);
        let (count, after) = digits(unsigned);
        if !(1..=3).contains(&count) {
            return false;
        }
        rest = after;
    }
    rest.is_empty()
}

/// The number that a text is.
pub(crate) fn parse(text: &str) -> Option<BigDecimal> {
    is_number(text)
        .then(|| BigDecimal::from_str(text).ok())
        .flatten()
}

/// How the text compares with a number; `None` when it is none itself.
pub(crate) fn compare(text: &str, number: &BigDecimal) -> Option<Ordering> {
    parse(text).map(|parsed| parsed.cmp(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_what_the_rules_call_a_number() {
        for yes in [
            "0",
            "-0",
            "007",
            "1.5",
            "12.50",
            "1e2",
            "1E+02",
            "-1.0e-999",
            "1e999",
        ] {
            assert!(parse(yes).is_some(), "{yes}");
        }
        for no in [
            "", "-", "+1", ".5", "5.", "1e", "1e1000", "1e+", " 1", "1 ", "1\n", "١", "0x1", "NaN",
        ] {
            assert!(!is_number(no), "{no:?}");
        }
    }

    #[test]
    fn numbers_compare_exactly() {
        fn check(left: &str, right: &str, expected: Ordering) {
            let right = parse(right).expect("the right side is a number");
            assert_eq!(compare(left, &right), Some(expected), "{left} and {right}");
        }
        check("10", "9", Ordering::Greater);
        check("1.10", "1.1", Ordering::Equal);
        check("1e2", "100.0", Ordering::Equal);
        check("-0", "0", Ordering::Equal);
        check("0.1000000000000000000000000001", "0.1", Ordering::Greater);
        check("1e999", "1e998", Ordering::Greater);
        check("-1e-999", "0", Ordering::Less);
        check("9007199254740993", "9007199254740992", Ordering::Greater);
    }
}
