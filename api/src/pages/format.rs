//! Money, numbers and days as pages show them: in the locale of the reader, from `Accept-Language`.
//!
//! ICU knows the separators and the order of days, months and years: `1,234.56` and `Mar 12, 2026`, `1.234,56` and
//! `12.03.2026`. Its data is compiled in, and makes the program half a megabyte larger. Decimals are the currency's.
//! Digits are always those of the Latin script, as the words around them are.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use chrono::{DateTime, Datelike as _, NaiveDate, Utc};
use chrono_tz::Tz;
use common::money::{Currency, Money};
use icu_calendar::{Date, Gregorian};
use icu_datetime::fieldsets::{YM, YMD};
use icu_datetime::{DateTimeFormatterPreferences, FixedCalendarDateTimeFormatter};
use icu_decimal::input::Decimal;
use icu_decimal::options::DecimalFormatterOptions;
use icu_decimal::preferences::NumberingSystem;
use icu_decimal::{DecimalFormatter, DecimalFormatterPreferences};
use icu_locale_core::extensions::unicode::value;
use icu_locale_core::{Locale, locale};

/// What stands between an amount and its currency, so that they stay on one line.
const NO_BREAK_SPACE: char = '\u{a0}';

/// How values are written for one reader, in templates by calls such as `{{ locale.money(total) }}`. What ICU has no
/// data for is written as a program would.
#[derive(Debug, Clone)]
pub(crate) struct LocaleFormat {
    numbers: Option<DecimalFormatter>,
    days: Option<FixedCalendarDateTimeFormatter<Gregorian, YMD>>,
    months: Option<FixedCalendarDateTimeFormatter<Gregorian, YM>>,
}

impl<S: Sync> FromRequestParts<S> for LocaleFormat {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::of_reader(&parts.headers))
    }
}

impl LocaleFormat {
    /// Of the first locale that a reader accepts; of English, as the pages are, where there is none.
    pub(crate) fn of_reader(headers: &HeaderMap) -> Self {
        let accepted = headers.get(header::ACCEPT_LANGUAGE);
        let accepted = accepted.and_then(|value| value.to_str().ok());
        let mut accepted = accept_language::parse(accepted.unwrap_or_default()).into_iter();
        let locale = accepted.find_map(|locale| Locale::try_from_str(&locale).ok());
        Self::of_locale(&locale.unwrap_or(locale!("en")))
    }

    fn of_locale(locale: &Locale) -> Self {
        let latin = NumberingSystem::try_from(value!("latn")).ok();
        let mut numbers = DecimalFormatterPreferences::from(locale);
        numbers.numbering_system = latin;
        let mut dates = DateTimeFormatterPreferences::from(locale);
        dates.numbering_system = latin;
        Self {
            numbers: DecimalFormatter::try_new(numbers, DecimalFormatterOptions::default()).ok(),
            days: FixedCalendarDateTimeFormatter::try_new(dates, YMD::medium()).ok(),
            months: FixedCalendarDateTimeFormatter::try_new(dates, YM::long()).ok(),
        }
    }

    /// An amount with its currency.
    pub(crate) fn money(&self, money: &Money) -> String {
        let amount = self.amount(money.minor.into(), money.currency.exponent());
        let currency = money.currency.as_str().to_ascii_uppercase();
        format!("{amount}{NO_BREAK_SPACE}{currency}")
    }

    /// The same of minor units and what they are minor units of.
    pub(crate) fn minor(&self, minor: i64, currency: &Currency) -> String {
        let currency = currency.clone();
        self.money(&Money { minor, currency })
    }

    /// Minor units as major units with so many decimals, where the currency is said elsewhere.
    pub(crate) fn amount(&self, minor: i128, exponent: u32) -> String {
        let mut decimal = Decimal::from(minor);
        // A currency has three decimals at most.
        decimal.multiply_pow10(-(exponent as i16));
        self.number(&decimal)
    }

    /// What stands between whole units and decimals.
    pub(crate) fn decimal_separator(&self) -> char {
        let number = self.amount(11, 1);
        let separator = number.chars().find(|it| !it.is_ascii_digit());
        separator.unwrap_or('.')
    }

    /// A count.
    pub(crate) fn count(&self, count: u64) -> String {
        self.number(&Decimal::from(count))
    }

    fn number(&self, decimal: &Decimal) -> String {
        let number = match &self.numbers {
            Some(numbers) => numbers.format(decimal).to_string(),
            None => decimal.to_string(),
        };
        // Locales differ in the minus sign; the hyphen of some is narrow, and breaks lines.
        number.replace('-', "\u{2212}")
    }

    /// An instant, to the minute, in a time zone.
    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "templates pass what they show by reference"
    )]
    pub(crate) fn instant(&self, instant: &DateTime<Utc>, zone: &Tz) -> String {
        self.instant_as(instant, *zone, "%H:%M %Z")
    }

    /// The same to the second.
    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "as an instant to the minute is written"
    )]
    pub(crate) fn exact_instant(&self, instant: &DateTime<Utc>, zone: &Tz) -> String {
        self.instant_as(instant, *zone, "%H:%M:%S %Z")
    }

    fn instant_as(&self, instant: &DateTime<Utc>, zone: Tz, time: &str) -> String {
        let local = instant.with_timezone(&zone);
        format!("{}, {}", self.day(local.date_naive()), local.format(time))
    }

    pub(crate) fn day(&self, day: NaiveDate) -> String {
        match (&self.days, gregorian(day)) {
            (Some(days), Some(date)) => days.format(&date).to_string(),
            _ => day.to_string(),
        }
    }

    /// The month of a day.
    pub(crate) fn month(&self, day: NaiveDate) -> String {
        match (&self.months, gregorian(day)) {
            (Some(months), Some(date)) => months.format(&date).to_string(),
            _ => day.format("%Y-%m").to_string(),
        }
    }
}

/// A word or a sentence with a capital letter.
pub(crate) fn capitalized(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().into_iter().flat_map(char::to_uppercase);
    first.chain(letters).collect()
}

fn gregorian(day: NaiveDate) -> Option<Date<Gregorian>> {
    Date::try_new_gregorian(day.year(), day.month() as u8, day.day() as u8).ok()
}

#[cfg(test)]
mod tests {
    use askama::Template;
    use proptest::prelude::*;

    use super::*;

    fn locale(accept_language: &str) -> LocaleFormat {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT_LANGUAGE, accept_language.parse().unwrap());
        LocaleFormat::of_reader(&headers)
    }

    fn money(minor: i64, currency: &str) -> Money {
        let currency = Currency::new(currency);
        Money { minor, currency }
    }

    #[test]
    fn separators_are_of_the_language_that_is_liked_best() {
        for (accepted, shown) in [
            ("", "\u{2212}1,234,567.89\u{a0}USD"),
            ("en-US,en;q=0.9", "\u{2212}1,234,567.89\u{a0}USD"),
            ("en;q=0.5, de-DE", "\u{2212}1.234.567,89\u{a0}USD"),
            ("fr", "\u{2212}1\u{202f}234\u{202f}567,89\u{a0}USD"),
            ("de-CH", "\u{2212}1'234'567.89\u{a0}USD"),
            ("en-IN", "\u{2212}12,34,567.89\u{a0}USD"),
            ("not a language!, es", "\u{2212}1.234.567,89\u{a0}USD"),
            ("*", "\u{2212}1,234,567.89\u{a0}USD"),
            ("tlh", "\u{2212}1,234,567.89\u{a0}USD"),
        ] {
            let minor = money(-123_456_789, "usd");
            assert_eq!(locale(accepted).money(&minor), shown, "{accepted}");
        }
    }

    #[test]
    fn amounts_have_the_decimals_of_their_currency() {
        let english = locale("en");
        for (minor, currency, shown) in [
            (0, "usd", "0.00\u{a0}USD"),
            (-5, "eur", "\u{2212}0.05\u{a0}EUR"),
            (1500, "jpy", "1,500\u{a0}JPY"),
            (1500, "kwd", "1.500\u{a0}KWD"),
            (1500, "isk", "15.00\u{a0}ISK"),
        ] {
            assert_eq!(english.money(&money(minor, currency)), shown);
        }
        assert_eq!(locale("de").count(1_234_567), "1.234.567");
    }

    #[test]
    fn days_and_months_are_written_as_the_locale_does() {
        let date = NaiveDate::from_ymd_opt(2026, 3, 12).unwrap();
        for (accepted, day, month) in [
            ("en-US", "Mar 12, 2026", "March 2026"),
            ("en-GB", "12 Mar 2026", "March 2026"),
            ("de", "12.03.2026", "März 2026"),
            ("fr-CA", "12 mars 2026", "mars 2026"),
        ] {
            let locale = locale(accepted);
            assert_eq!((&*locale.day(date), &*locale.month(date)), (day, month));
        }
    }

    #[derive(Debug, Template)]
    #[template(
        source = "{{ locale.money(sum) }} of {{ locale.count(*charges) }} since {{ locale.day(*start) }}",
        ext = "txt"
    )]
    struct Sentence {
        sum: Money,
        charges: u64,
        start: NaiveDate,
        locale: LocaleFormat,
    }

    #[test]
    fn templates_write_values_in_the_locale() {
        let sentence = Sentence {
            sum: money(123_456, "eur"),
            charges: 12_345,
            start: NaiveDate::from_ymd_opt(2026, 3, 1).unwrap(),
            locale: locale("de"),
        };
        let text = sentence.render().unwrap();
        assert_eq!(text, "1.234,56\u{a0}EUR of 12.345 since 01.03.2026");
    }

    /// Reads an amount back: the digits before and after the last separator that is not one of groups.
    fn minor_units(shown: &str, exponent: u32) -> Option<i64> {
        let amount = shown.rsplit_once('\u{a0}')?.0;
        let digits: String = amount.chars().filter(char::is_ascii_digit).collect();
        let after = amount
            .chars()
            .rev()
            .take_while(char::is_ascii_digit)
            .count();
        if exponent > 0 && after != exponent as usize {
            return None;
        }
        let negative = amount.contains(['-', '\u{2212}']);
        let signed = format!("{}{digits}", if negative { "-" } else { "" });
        signed.parse().ok()
    }

    proptest! {
        #[test]
        fn what_is_shown_reads_back_as_the_same_minor_units(
            minor in any::<i64>(),
            currency in prop::sample::select(vec!["usd", "jpy", "kwd", "isk", "eur"]),
            language in prop::sample::select(vec![
                "en-US", "en-IN", "de", "de-CH", "de-AT", "fr", "fr-CA", "es", "pt-BR", "pt-PT", "pl", "ru", "sv",
                "fi", "nb", "ja", "zh", "ko", "hi", "bn", "ar-EG", "fa", "he", "th", "tr", "my", "tlh", "",
            ]),
        ) {
            let shown = locale(language).money(&money(minor, currency));
            let exponent = Currency::new(currency).exponent();
            prop_assert_eq!(minor_units(&shown, exponent), Some(minor), "{}: {}", language, shown);
        }
    }
}
