//! What the platform keeps of a transfer: a percentage, counted in hundredths of a percent so that no amount ever meets a
//! fraction.
//!
//! The law: the fee is the amount times the percentage, half a minor unit rounded up, and what moves is the rest, so the two
//! always add up to the amount. Currencies without decimals are counted in their own unit, which is the minor one. Fails only
//! where a text is no percentage. Deliberately absent: a minimum fee, and fees of Stripe's.

use std::fmt;
use std::str::FromStr;

/// A percentage from 0 to 100 with two decimals, in hundredths of a percent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BasisPoints(u16);

/// A hundred percent.
const WHOLE: u16 = 10_000;

/// That something is no percentage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be from 0 to 100 with at most two decimals, such as 12.5")]
pub struct InvalidPercent;

impl BasisPoints {
    /// What an organization without a percentage of its own pays unless the settings say otherwise.
    pub const DEFAULT: Self = Self(1_000);

    /// # Errors
    /// [`InvalidPercent`] when there are more than 10,000.
    pub fn new(basis_points: i32) -> Result<Self, InvalidPercent> {
        let known = u16::try_from(basis_points).map_err(|_| InvalidPercent)?;
        if known > WHOLE {
            return Err(InvalidPercent);
        }
        Ok(Self(known))
    }

    pub fn get(self) -> i32 {
        i32::from(self.0)
    }

    /// The percentage as a number for people and JSON: 12.5.
    pub fn percent(self) -> f64 {
        f64::from(self.0) / 100.0
    }

    /// The fee of an amount in minor units, half a unit rounded up.
    pub fn fee_of(self, amount: i64) -> i64 {
        let whole = i128::from(WHOLE);
        let fee = (i128::from(amount) * i128::from(self.0) + whole / 2).div_euclid(whole);
        // A share of at most the whole is no more than the amount, so it fits.
        i64::try_from(fee).unwrap_or(amount)
    }
}

impl fmt::Display for BasisPoints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, hundredths) = (self.0 / 100, self.0 % 100);
        match hundredths {
            0 => write!(f, "{whole}"),
            tenths if tenths % 10 == 0 => write!(f, "{whole}.{}", tenths / 10),
            hundredths => write!(f, "{whole}.{hundredths:02}"),
        }
    }
}

impl FromStr for BasisPoints {
    type Err = InvalidPercent;

    /// Reads a decimal number; zeros at its end do not count as decimals.
    fn from_str(text: &str) -> Result<Self, InvalidPercent> {
        let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
        let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        let decimals_given = text.contains('.');
        if whole.is_empty()
            || whole.len() > 3
            || !digits(whole)
            || !digits(decimals)
            || decimals_given == decimals.is_empty()
        {
            return Err(InvalidPercent);
        }
        let decimals = decimals.trim_end_matches('0');
        if decimals.len() > 2 {
            return Err(InvalidPercent);
        }
        let hundredths = format!("{whole}{decimals:0<2}");
        Self::new(hundredths.parse().map_err(|_| InvalidPercent)?)
    }
}

/// How much of a transfer's fee goes with a reversal of `amount`, when `before` of the `net` amount was reversed already: the
/// shares of reversals that add up to the net amount add up to the fee.
pub(super) fn fee_share(fee: i64, net: i64, before: i64, amount: i64) -> i64 {
    let until = |reversed: i64| {
        let share = i128::from(fee) * i128::from(reversed) / i128::from(net.max(1));
        i64::try_from(share).unwrap_or(fee)
    };
    until(before.saturating_add(amount)) - until(before)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn percent(text: &str) -> BasisPoints {
        text.parse().unwrap()
    }

    #[test]
    fn half_a_minor_unit_is_rounded_up() {
        for (amount, share, fee) in [
            (1_000, "10", 100),
            (5, "10", 1),
            (4, "10", 0),
            (14, "10", 1),
            (15, "10", 2),
            (1, "50", 1),
            (999, "12.34", 123),
            (10_000, "0.01", 1),
            (4_999, "0.01", 0),
            (5_000, "0.01", 1),
            (500, "0", 0),
            (500, "100", 500),
            (i64::MAX, "100", i64::MAX),
        ] {
            assert_eq!(percent(share).fee_of(amount), fee, "{share} % of {amount}");
        }
    }

    #[test]
    fn a_percentage_has_two_decimals_and_lies_between_0_and_100() {
        for (text, basis_points) in [
            ("0", 0),
            ("10", 1_000),
            ("12.5", 1_250),
            ("12.50", 1_250),
            ("0.01", 1),
            ("10.0", 1_000),
            ("100", 10_000),
            ("100.00", 10_000),
        ] {
            assert_eq!(percent(text).get(), basis_points, "{text}");
        }
        for text in [
            "", "-1", "100.01", "101", "1.234", "1e1", ".5", "5.", "1,5", "NaN", " 1", "+1",
        ] {
            assert_eq!(text.parse::<BasisPoints>(), Err(InvalidPercent), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn fee_and_net_add_up_and_neither_is_negative(amount in 1..=i64::MAX, share in 0..=10_000) {
            let fee = BasisPoints::new(share).unwrap().fee_of(amount);
            let net = amount - fee;
            prop_assert!(fee >= 0 && net >= 0);
            prop_assert_eq!(fee.checked_add(net), Some(amount));
            // Twice the fee is within one unit of twice the exact share, and not below it by a half or more.
            let difference = i128::from(fee) * 20_000 - i128::from(amount) * i128::from(share) * 2;
            prop_assert!((-9_999..=10_000).contains(&difference), "{}", difference);
        }

        #[test]
        fn a_larger_amount_or_percentage_has_no_smaller_fee(
            amount in 1..i64::MAX, share in 0..10_000,
        ) {
            let fee = |share, amount| BasisPoints::new(share).unwrap().fee_of(amount);
            prop_assert!(fee(share, amount) <= fee(share, amount + 1));
            prop_assert!(fee(share, amount) <= fee(share + 1, amount));
        }

        #[test]
        fn a_percentage_is_read_as_it_is_written(share in 0..=10_000) {
            let known = BasisPoints::new(share).unwrap();
            prop_assert_eq!(known.to_string().parse(), Ok(known));
            prop_assert_eq!(known.percent().to_string().parse(), Ok(known));
        }

        #[test]
        fn shares_of_the_fee_add_up_to_the_fee(
            fee in 0..1_000_000_i64, parts in prop::collection::vec(1..100_000_i64, 1..20),
        ) {
            let net = parts.iter().sum();
            let mut before = 0;
            let mut given_up = 0;
            for part in parts {
                let share = fee_share(fee, net, before, part);
                prop_assert!(share >= 0);
                given_up += share;
                before += part;
            }
            prop_assert_eq!(given_up, fee);
        }
    }
}
