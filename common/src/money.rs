//! Money: an amount in minor units with its currency, never without it and never converted.
//!
//! Sums are per currency. Adding two currencies is not an error to handle but impossible to write.
//! Exponents (how many decimals a person sees) are Stripe's, which differ from ISO 4217 for ISK and
//! UGX, and matter for showing only: nothing that is stored depends on them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A lower-case ISO currency code as Stripe writes it, `usd` for one.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Currency(String);

impl Currency {
    /// Takes a code as Stripe sends it; letters are made lower-case.
    pub fn new(code: &str) -> Self {
        Self(code.to_ascii_lowercase())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// How many decimals of the major unit the minor unit is.
    ///
    /// Source: docs.stripe.com/currencies. ISK and UGX are sent as two-decimal amounts.
    pub fn exponent(&self) -> u32 {
        match self.as_str() {
            "bif" | "clp" | "djf" | "gnf" | "jpy" | "kmf" | "krw" | "mga" | "pyg" | "rwf"
            | "vnd" | "vuv" | "xaf" | "xof" | "xpf" => 0,
            "bhd" | "jod" | "kwd" | "omr" | "tnd" => 3,
            _ => 2,
        }
    }
}

/// As it is stored.
impl From<String> for Currency {
    fn from(code: String) -> Self {
        Self::new(&code)
    }
}

/// An amount in the minor unit of its currency.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Money {
    /// Minor units; negative for money that goes back.
    pub minor: i64,
    /// What they are minor units of.
    pub currency: Currency,
}

impl Money {
    /// The amount for people: `1,234.56 USD`, `500 JPY`.
    pub fn display(&self) -> String {
        let code = self.currency.as_str().to_ascii_uppercase();
        format!("{} {code}", self.in_major_units(grouped))
    }

    /// The amount as a number for programs, without its currency: `1234.56`, `500`.
    pub fn decimal(&self) -> String {
        self.in_major_units(|number| number.to_string())
    }

    fn in_major_units(&self, whole: impl Fn(u64) -> String) -> String {
        let exponent = self.currency.exponent();
        let scale = 10_u64.pow(exponent);
        let magnitude = self.minor.unsigned_abs();
        let sign = if self.minor < 0 { "-" } else { "" };
        if exponent == 0 {
            return format!("{sign}{}", whole(magnitude));
        }
        let width = exponent as usize;
        format!(
            "{sign}{}.{:0width$}",
            whole(magnitude / scale),
            magnitude % scale
        )
    }
}

/// A number with its digits in groups of three: `1,234,567`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// One sum a currency, in minor units.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Totals(pub BTreeMap<Currency, i64>);

#[cfg(test)]
mod tests {
    use super::*;

    /// docs.stripe.com/currencies; ISO 4217 has no decimals for ISK and UGX.
    #[test]
    fn currencies_have_the_decimals_that_stripe_gives_them() {
        let all = |codes: &str, exponent: u32| {
            for code in codes.split(' ') {
                assert_eq!(Currency::new(code).exponent(), exponent, "{code}");
            }
        };
        all(
            "BIF CLP DJF GNF JPY KMF KRW MGA PYG RWF VND VUV XAF XOF XPF",
            0,
        );
        all("ISK UGX HUF TWD USD EUR", 2);
        all("BHD JOD KWD OMR TND", 3);
    }

    #[test]
    fn amounts_show_as_many_decimals_as_stripe_means() {
        for (minor, code, shown) in [
            (1234, "usd", "12.34 USD"),
            (-5, "usd", "-0.05 USD"),
            (500, "jpy", "500 JPY"),
            (500, "ugx", "5.00 UGX"),
            (500, "isk", "5.00 ISK"),
            (123_456_789, "usd", "1,234,567.89 USD"),
            (-100_000, "usd", "-1,000.00 USD"),
            (1_000_000, "jpy", "1,000,000 JPY"),
            (12_340, "kwd", "12.340 KWD"),
            (10, "bhd", "0.010 BHD"),
            (1_234, "huf", "12.34 HUF"),
            (1_234, "twd", "12.34 TWD"),
            (i64::MAX, "kwd", "9,223,372,036,854,775.807 KWD"),
            (i64::MIN, "jpy", "-9,223,372,036,854,775,808 JPY"),
        ] {
            assert_eq!(
                Money {
                    minor,
                    currency: Currency::new(code)
                }
                .display(),
                shown
            );
        }
    }
}
