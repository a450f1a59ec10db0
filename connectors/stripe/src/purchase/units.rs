//! Numbers of units sold: decimal where Stripe's quantities are, and exact.
//!
//! Pure. Reading text fails where it is no plain decimal, has more than twelve decimals (Stripe's bound), or does not fit.

use std::fmt;
use std::ops::{AddAssign, Neg};

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Decimals that a quantity may have (`stripe/_invoice_line_item.py` of stripe-python 16.1.0).
const DECIMALS: usize = 12;
/// Trillionths of one.
const ONE: i128 = 1_000_000_000_000;

/// A number of units, exact to twelve decimals. Its text has no more of these than it needs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Units {
    trillionths: i128,
}

/// Text that is no number of units.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a number of units is a decimal of at most 12 decimals")]
pub struct NotUnits;

impl Units {
    pub const ONE: Self = Self { trillionths: ONE };

    /// The units that a row keeps: a whole number, and what rounding took from it in trillionths.
    pub fn of_row(rounded: i64, fraction: Option<i64>) -> Self {
        let fraction = i128::from(fraction.unwrap_or(0));
        Self {
            trillionths: i128::from(rounded) * ONE + fraction,
        }
    }

    /// The nearest whole number; halves away from zero.
    pub fn rounded(self) -> i64 {
        let half = if self.trillionths < 0 {
            -ONE / 2
        } else {
            ONE / 2
        };
        let rounded = (self.trillionths + half) / ONE;
        // Beyond 64 bits only as a sum, which PostgreSQL refuses first.
        i64::try_from(rounded).unwrap_or(if rounded < 0 { i64::MIN } else { i64::MAX })
    }

    /// What rounding takes from them, in trillionths; none of a whole number. At most half of one either way.
    pub fn fraction(self) -> Option<i64> {
        let left = self.trillionths - i128::from(self.rounded()) * ONE;
        i64::try_from(left).ok().filter(|left| *left != 0)
    }

    /// As many, regardless of the sign.
    #[must_use]
    pub fn abs(self) -> Self {
        Self {
            trillionths: self.trillionths.abs(),
        }
    }

    /// The sum; none where it does not fit.
    pub fn checked_add(self, other: Self) -> Option<Self> {
        let trillionths = self.trillionths.checked_add(other.trillionths)?;
        Some(Self { trillionths })
    }
}

impl From<i64> for Units {
    fn from(whole: i64) -> Self {
        Self::of_row(whole, None)
    }
}

/// Adds units of rows, of which the sum always fits: 128 bits have room for millions of the largest.
impl AddAssign for Units {
    fn add_assign(&mut self, other: Self) {
        self.trillionths += other.trillionths;
    }
}

impl Neg for Units {
    type Output = Self;

    fn neg(self) -> Self {
        Self {
            trillionths: -self.trillionths,
        }
    }
}

impl TryFrom<&str> for Units {
    type Error = NotUnits;

    fn try_from(text: &str) -> Result<Self, NotUnits> {
        let (negative, digits) = match text.strip_prefix('-') {
            Some(digits) => (true, digits),
            None => (false, text),
        };
        let (whole, decimals) = digits.split_once('.').unwrap_or((digits, "0"));
        let is_number = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        let needed = decimals.trim_end_matches('0');
        if !is_number(whole) || !is_number(decimals) || needed.len() > DECIMALS {
            return Err(NotUnits);
        }
        let whole: i128 = whole.parse().map_err(|_| NotUnits)?;
        let decimals: i128 = format!("{needed:0<DECIMALS$}")
            .parse()
            .map_err(|_| NotUnits)?;
        let trillionths = whole.checked_mul(ONE).ok_or(NotUnits)? + decimals;
        Ok(Self {
            trillionths: if negative { -trillionths } else { trillionths },
        })
    }
}

/// As PostgreSQL sends sums of them.
impl TryFrom<String> for Units {
    type Error = NotUnits;

    fn try_from(text: String) -> Result<Self, NotUnits> {
        Self::try_from(text.as_str())
    }
}

impl fmt::Display for Units {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.trillionths < 0 { "-" } else { "" };
        let (whole, decimals) = (self.trillionths.abs() / ONE, self.trillionths.abs() % ONE);
        if decimals == 0 {
            return write!(f, "{sign}{whole}");
        }
        let decimals = format!("{decimals:0DECIMALS$}");
        write!(f, "{sign}{whole}.{}", decimals.trim_end_matches('0'))
    }
}

/// As text: a program that reads numbers as floats would not have it exactly.
impl Serialize for Units {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// From text, or from a whole number.
impl<'de> Deserialize<'de> for Units {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Decimal;

        impl Visitor<'_> for Decimal {
            type Value = Units;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a decimal of at most 12 decimals")
            }

            fn visit_i64<E: de::Error>(self, whole: i64) -> Result<Units, E> {
                Ok(whole.into())
            }

            fn visit_u64<E: de::Error>(self, whole: u64) -> Result<Units, E> {
                let whole = i64::try_from(whole).map_err(|_| E::custom(NotUnits))?;
                Ok(whole.into())
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Units, E> {
                Units::try_from(text).map_err(E::custom)
            }
        }

        deserializer.deserialize_any(Decimal)
    }
}

/// Writes a whole number as a number, as quantities were stored before some were decimal.
#[expect(clippy::ref_option, reason = "serde hands it over so")]
pub(super) fn stored<S: Serializer>(
    units: &Option<Units>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match units {
        Some(units) if units.fraction().is_none() => serializer.serialize_i64(units.rounded()),
        units => units.serialize(serializer),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn units(text: &str) -> Units {
        Units::try_from(text).unwrap()
    }

    #[test]
    fn decimals_are_exact_and_round_halves_away_from_zero() {
        for (text, shown, rounded, fraction) in [
            ("0", "0", 0, None),
            ("5", "5", 5, None),
            ("5.000", "5", 5, None),
            ("0.5", "0.5", 1, Some(-500_000_000_000)),
            ("-0.5", "-0.5", -1, Some(500_000_000_000)),
            ("0.499999999999", "0.499999999999", 0, Some(499_999_999_999)),
            ("1.25", "1.25", 1, Some(250_000_000_000)),
            ("-2.75", "-2.75", -3, Some(250_000_000_000)),
            ("0.000000000001", "0.000000000001", 0, Some(1)),
            ("1.0000000000010000", "1.000000000001", 1, Some(1)),
        ] {
            let units = units(text);
            assert_eq!(units.to_string(), shown);
            assert_eq!((units.rounded(), units.fraction()), (rounded, fraction));
        }
        for text in [
            "",
            "-",
            ".5",
            "5.",
            "1e3",
            "+1",
            "1,5",
            "0.0000000000001",
            " 1",
            "--1",
        ] {
            assert_eq!(Units::try_from(text), Err(NotUnits), "{text}");
        }
    }

    #[test]
    fn a_number_or_text_is_read() {
        let read = serde_json::from_str::<Units>;
        assert_eq!(read("7").unwrap(), Units::from(7));
        assert_eq!(read("-7").unwrap(), Units::from(-7));
        assert_eq!(read("\"0.25\"").unwrap(), units("0.25"));
        assert!(read("0.25").is_err(), "a float is not exact");
        assert!(read("\"many\"").is_err());
    }

    proptest! {
        #[test]
        fn what_a_row_keeps_is_all(whole in -1_000_000_i64..1_000_000, trillionths in 0_i64..1_000_000_000_000) {
            let text = format!("{whole}.{trillionths:012}");
            let units = units(&text);
            prop_assert_eq!(Units::of_row(units.rounded(), units.fraction()), units);
            prop_assert_eq!(Units::try_from(units.to_string()), Ok(units));
            let sum = units.checked_add(-units);
            prop_assert_eq!(sum, Some(Units::default()));
        }
    }
}
