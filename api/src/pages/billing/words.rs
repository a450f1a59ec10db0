//! What is sold and how it is paid, in words: prices, limits and payment methods.
//!
//! Nothing here fails. Deliberately absent: amounts that Stripe did not say.

use common::money::Currency;
use platform::billing::plan::{Interval, Limits};
use platform::billing::{PaymentMethod, PriceReading};

use crate::pages::format::{LocaleFormat, capitalized};

const DAYS_OF_YEAR: u32 = 365;
const MINUTES_OF_HOUR: u32 = 60;

/// How often something is paid.
pub(super) fn every(interval: Interval) -> &'static str {
    match interval {
        Interval::Month => "a month",
        Interval::Year => "a year",
    }
}

/// How something is paid.
pub(super) fn by(interval: Interval) -> &'static str {
    match interval {
        Interval::Month => "by the month",
        Interval::Year => "by the year",
    }
}

/// What a seat costs, and how often; none for a price that is not one amount.
pub(super) fn price(price: &PriceReading, locale: &LocaleFormat) -> Option<String> {
    let amount = locale.minor(price.amount?, &price.currency);
    Some(format!("{amount} {}", every(price.interval?)))
}

/// The amount of nothing, in the currency in which other things are sold.
pub(super) fn nothing(currency: Option<&Currency>, locale: &LocaleFormat) -> String {
    match currency {
        Some(currency) => locale.minor(0, currency),
        None => "Nothing".to_owned(),
    }
}

/// What a payment method is called by who pays with it.
pub(super) fn method(method: &PaymentMethod) -> String {
    let name = match (&method.brand, method.kind.as_str()) {
        (Some(brand), _) => capitalized(brand),
        (None, "sepa_debit") => "SEPA debit".to_owned(),
        (None, "us_bank_account") => "Bank account".to_owned(),
        (None, kind) => capitalized(&kind.replace('_', " ")),
    };
    let last4 = method.last4.as_ref();
    let last4 = last4.map(|last4| format!(" ending in {last4}"));
    let expiry = method.exp_month.zip(method.exp_year);
    let expiry = expiry.map(|(month, year)| format!(", valid until {month:02}/{year}"));
    [Some(name), last4, expiry].into_iter().flatten().collect()
}

/// What a plan allows: what it is about, and how much.
pub(super) fn limits(limits: &Limits, locale: &LocaleFormat) -> [(&'static str, String); 4] {
    let connections = match limits.connections {
        None => "Any number".to_owned(),
        Some(most) => locale.count(most.into()),
    };
    [
        ("Stripe accounts", connections),
        ("History", history(limits.lookback_days, locale)),
        ("Synced", synced(limits.min_sync_interval_minutes, locale)),
        ("Webhooks", webhooks(limits.webhooks).to_owned()),
    ]
}

pub(super) fn history(lookback_days: Option<u32>, locale: &LocaleFormat) -> String {
    match lookback_days {
        None => "All of it".to_owned(),
        Some(days) if days >= DAYS_OF_YEAR && days % DAYS_OF_YEAR == 0 => {
            counted(days / DAYS_OF_YEAR, "year", locale)
        }
        Some(days) => counted(days, "day", locale),
    }
}

pub(super) fn synced(least_minutes: Option<u32>, locale: &LocaleFormat) -> String {
    match least_minutes {
        None | Some(0) => "As often as you set".to_owned(),
        Some(1) => "Every minute at most".to_owned(),
        Some(MINUTES_OF_HOUR) => "Every hour at most".to_owned(),
        Some(minutes) if minutes % MINUTES_OF_HOUR == 0 => {
            let hours = locale.count((minutes / MINUTES_OF_HOUR).into());
            format!("Every {hours} hours at most")
        }
        Some(minutes) => format!("Every {} minutes at most", locale.count(minutes.into())),
    }
}

/// None allows them, as the limit says.
pub(super) fn webhooks(allowed: Option<bool>) -> &'static str {
    if allowed.unwrap_or(true) { "Yes" } else { "No" }
}

/// A number with what it counts.
pub(super) fn counted(number: u32, thing: &str, locale: &LocaleFormat) -> String {
    let number_text = locale.count(number.into());
    let plural = if number == 1 { "" } else { "s" };
    format!("{number_text} {thing}{plural}")
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderMap;

    use super::*;

    fn english() -> LocaleFormat {
        LocaleFormat::of_reader(&HeaderMap::new())
    }

    #[test]
    fn limits_are_said_in_words_and_none_is_no_limit() {
        let some = Limits {
            connections: Some(1),
            lookback_days: Some(1_095),
            min_sync_interval_minutes: Some(60),
            webhooks: Some(false),
        };
        let said = |of: &Limits| limits(of, &english()).map(|(_, text)| text);
        let none = Limits::default();
        assert_eq!(said(&some), ["1", "3 years", "Every hour at most", "No"]);
        assert_eq!(
            said(&none),
            ["Any number", "All of it", "As often as you set", "Yes"]
        );
        assert_eq!(history(Some(90), &english()), "90 days");
        assert_eq!(synced(Some(120), &english()), "Every 2 hours at most");
        assert_eq!(synced(Some(5), &english()), "Every 5 minutes at most");
    }

    #[test]
    fn a_price_is_an_amount_and_how_often_it_is_paid() {
        let monthly = PriceReading {
            price_id: "price_1".to_owned(),
            product_id: "prod_1".to_owned(),
            lookup_key: None,
            amount: Some(900),
            currency: Currency::new("usd"),
            interval: Some(Interval::Month),
            sold: true,
        };
        assert_eq!(
            price(&monthly, &english()).unwrap(),
            "9.00\u{a0}USD a month"
        );
        let tiered = PriceReading {
            amount: None,
            ..monthly
        };
        assert_eq!(price(&tiered, &english()), None);
    }

    #[test]
    fn a_payment_method_is_said_as_people_know_it() {
        let card = PaymentMethod {
            id: "pm_1".to_owned(),
            kind: "card".to_owned(),
            brand: Some("visa".to_owned()),
            last4: Some("4242".to_owned()),
            exp_month: Some(4),
            exp_year: Some(2030),
            fingerprint: None,
        };
        assert_eq!(method(&card), "Visa ending in 4242, valid until 04/2030");
        let debit = PaymentMethod {
            kind: "sepa_debit".to_owned(),
            brand: None,
            exp_month: None,
            ..card
        };
        assert_eq!(method(&debit), "SEPA debit ending in 4242");
    }
}
