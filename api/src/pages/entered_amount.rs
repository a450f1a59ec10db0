//! An amount of money as a person writes it, read exactly: `12.50` are 1250 cents, and `12` are 12 yen.
//!
//! Either a point or a comma stands before the decimals, and nothing separates thousands. Where one of them could also
//! separate thousands, as in `1,234` of a currency with three decimals, only the reader's own decimal separator is taken. What
//! is not certain is refused, since money moves by it.

use common::money::{Currency, Money};

use super::format::LocaleFormat;
use crate::input::MAX_AMOUNT;

/// Why a text is no amount, to be said at its field.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum InvalidAmount {
    #[error("Enter an amount.")]
    Missing,
    #[error("Enter a number such as {example}, without separators of thousands.")]
    NotANumber { example: String },
    #[error("{code} has no decimals. Enter a whole number, without separators of thousands.")]
    NoDecimals { code: String },
    #[error("{code} has {decimals} decimals at most. Enter a number such as {example}.")]
    TooManyDecimals {
        code: String,
        decimals: u32,
        example: String,
    },
    #[error("Enter more than 0.")]
    Nothing,
    #[error("Enter {most} at most.")]
    TooMuch { most: String },
}

/// The minor units that a text means, of something: money is moved by it.
pub(super) fn parse(
    text: &str,
    currency: &Currency,
    locale: &LocaleFormat,
) -> Result<i64, InvalidAmount> {
    match parse_any(text, currency, locale)? {
        0 => Err(InvalidAmount::Nothing),
        minor => Ok(minor),
    }
}

/// The minor units that a text means, which may be none.
pub(super) fn parse_any(
    text: &str,
    currency: &Currency,
    locale: &LocaleFormat,
) -> Result<i64, InvalidAmount> {
    let text = text.trim();
    if text.is_empty() {
        return Err(InvalidAmount::Missing);
    }
    let separator = text.find(['.', ',']);
    let (whole, decimals) = match separator {
        Some(at) => (&text[..at], &text[at + 1..]),
        None => (text, ""),
    };
    let mut digits = whole.bytes().chain(decimals.bytes());
    let lacks_digits = whole.is_empty() || (separator.is_some() && decimals.is_empty());
    if lacks_digits || !digits.all(|digit| digit.is_ascii_digit()) {
        return Err(not_a_number(currency, locale));
    }
    let exponent = currency.exponent();
    let given = u32::try_from(decimals.len()).unwrap_or(u32::MAX);
    if given > exponent {
        return Err(too_many_decimals(currency, locale));
    }
    let is_own = |at| text[at..].starts_with(locale.decimal_separator());
    if given == 3 && !separator.is_some_and(is_own) {
        return Err(not_a_number(currency, locale));
    }
    let too_much = || InvalidAmount::TooMuch {
        most: locale.minor(MAX_AMOUNT, currency),
    };
    let width = exponent as usize;
    let minor = format!("{whole}{decimals:0<width$}");
    // Only digits, so what fails is that there are too many.
    match minor.parse::<i64>() {
        Ok(minor) if minor <= MAX_AMOUNT => Ok(minor),
        Ok(_) | Err(_) => Err(too_much()),
    }
}

/// An amount as a person would enter it, which [`parse`] reads.
pub(super) fn written(minor: i64, currency: &Currency, locale: &LocaleFormat) -> String {
    let currency = currency.clone();
    let decimal = Money { minor, currency }.decimal();
    decimal.replace('.', &locale.decimal_separator().to_string())
}

fn example(currency: &Currency, locale: &LocaleFormat) -> String {
    let of_major_unit = 10_i64.pow(currency.exponent());
    written(25 * of_major_unit / 2, currency, locale)
}

fn not_a_number(currency: &Currency, locale: &LocaleFormat) -> InvalidAmount {
    InvalidAmount::NotANumber {
        example: example(currency, locale),
    }
}

fn too_many_decimals(currency: &Currency, locale: &LocaleFormat) -> InvalidAmount {
    let code = currency.as_str().to_ascii_uppercase();
    match currency.exponent() {
        0 => InvalidAmount::NoDecimals { code },
        decimals => InvalidAmount::TooManyDecimals {
            code,
            decimals,
            example: example(currency, locale),
        },
    }
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderMap, header};
    use proptest::prelude::*;

    use super::*;

    fn locale(accept_language: &str) -> LocaleFormat {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT_LANGUAGE, accept_language.parse().unwrap());
        LocaleFormat::of_reader(&headers)
    }

    fn read(text: &str, currency: &str, language: &str) -> Result<i64, String> {
        let read = parse(text, &Currency::new(currency), &locale(language));
        read.map_err(|error| error.to_string())
    }

    #[test]
    fn amounts_are_read_exactly_with_the_decimals_of_their_currency() {
        for (text, currency, language, minor) in [
            ("12.50", "usd", "en", 1_250),
            ("12,50", "eur", "de", 1_250),
            ("12.50", "eur", "de", 1_250),
            ("12,5", "usd", "en", 1_250),
            (" 12 ", "usd", "en", 1_200),
            ("0.07", "usd", "en", 7),
            ("0012", "jpy", "en", 12),
            ("1500", "jpy", "ja", 1_500),
            ("1.234", "kwd", "en", 1_234),
            ("1,234", "kwd", "de", 1_234),
            ("1.5", "kwd", "de", 1_500),
            ("5.00", "isk", "en", 500),
            ("9999999999.99", "usd", "en", MAX_AMOUNT),
        ] {
            assert_eq!(read(text, currency, language), Ok(minor), "{text}");
        }
    }

    #[test]
    fn what_is_not_certain_is_refused_with_what_to_enter() {
        let number = "Enter a number such as 12.50, without separators of thousands.";
        let whole = "JPY has no decimals. Enter a whole number, without separators of thousands.";
        let decimals = "USD has 2 decimals at most. Enter a number such as 12.50.";
        for (text, currency, said) in [
            ("", "usd", "Enter an amount."),
            ("   ", "usd", "Enter an amount."),
            ("0", "usd", "Enter more than 0."),
            ("0.00", "usd", "Enter more than 0."),
            ("12.505", "usd", decimals),
            ("1,234", "usd", decimals),
            ("1,234.50", "usd", number),
            ("1 234", "usd", number),
            ("-5", "usd", number),
            ("+5", "usd", number),
            ("$5", "usd", number),
            ("5.", "usd", number),
            (".5", "usd", number),
            ("1e3", "usd", number),
            ("٥", "usd", number),
            ("12.5", "jpy", whole),
            ("1,234", "jpy", whole),
            (
                "1,234",
                "kwd",
                "Enter a number such as 12.500, without separators of thousands.",
            ),
            (
                "10000000000",
                "usd",
                "Enter 9,999,999,999.99\u{a0}USD at most.",
            ),
            (
                "99999999999999999999",
                "usd",
                "Enter 9,999,999,999.99\u{a0}USD at most.",
            ),
        ] {
            assert_eq!(read(text, currency, "en"), Err(said.to_owned()), "{text}");
        }
        let german = read("1.234", "kwd", "de").unwrap_err();
        assert!(german.contains("12,500"), "{german}");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_as_the_same_minor_units(
            minor in 1..=MAX_AMOUNT,
            currency in prop::sample::select(vec!["usd", "jpy", "kwd", "isk"]),
            language in prop::sample::select(vec!["en-US", "de", "de-CH", "fr", "pl", "hi", "ar-EG", "fa", "tlh", ""]),
        ) {
            let (currency, locale) = (Currency::new(currency), locale(language));
            let text = written(minor, &currency, &locale);
            prop_assert_eq!(parse(&text, &currency, &locale), Ok(minor), "{}", text);
        }
    }
}
