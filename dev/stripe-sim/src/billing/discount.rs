//! Coupons and promotion codes, and what they take off an invoice.
//!
//! Nothing here can fail. Deliberately absent: coupons for some months, for some products, or with limits.

use super::{Change, Metadata};
use crate::id::Kind;
use crate::ledger::Currency;

/// What a coupon takes off.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Off {
    /// Hundredths of a percent.
    Share(i64),
    /// Minor units.
    Amount(i64, Currency),
}

#[derive(Clone, Debug)]
pub(crate) struct Coupon {
    /// Of no form: whoever makes it may choose.
    pub(crate) id: String,
    /// Unix seconds.
    pub(crate) created: i64,
    pub(crate) off: Off,
    /// Whether it is for each invoice, rather than for the first alone.
    pub(crate) forever: bool,
    pub(crate) name: Option<String>,
    pub(crate) metadata: Metadata,
}

#[derive(Clone, Debug)]
pub(crate) struct PromotionCode {
    pub(crate) id: String,
    /// Unix seconds.
    pub(crate) created: i64,
    pub(crate) code: String,
    pub(crate) coupon: usize,
    pub(crate) active: bool,
}

/// A coupon that applies to a subscription.
#[derive(Clone, Debug)]
pub(crate) struct Discount {
    pub(crate) id: String,
    /// Unix seconds.
    pub(crate) start: i64,
    pub(crate) coupon: usize,
    pub(crate) promotion_code: Option<usize>,
}

/// A coupon, and the promotion code that led to it.
pub(crate) type Redeemed = (usize, Option<usize>);

impl Off {
    /// What is taken off `amounts`, each of which is at least 0 where something is.
    pub(crate) fn of(self, amounts: &[i64]) -> Vec<i64> {
        match self {
            Self::Share(share) => amounts
                .iter()
                .map(|&amount| (amount.max(0) * share + 5_000) / 10_000)
                .collect(),
            Self::Amount(mut left, _) => {
                let part = |&amount: &i64| {
                    let taken = left.min(amount.max(0));
                    left -= taken;
                    taken
                };
                amounts.iter().map(part).collect()
            }
        }
    }
}

impl Change<'_> {
    /// Makes a coupon; returns its place.
    pub(crate) fn create_coupon(
        &mut self,
        id: Option<String>,
        (off, forever): (Off, bool),
        (name, metadata): (Option<String>, Metadata),
    ) -> usize {
        let place = self.billing.coupons.len();
        let id = id.unwrap_or_else(|| self.secret()[..8].to_owned());
        self.billing.coupons.push(Coupon {
            id,
            created: self.now,
            off,
            forever,
            name,
            metadata,
        });
        place
    }

    pub(crate) fn create_promotion_code(&mut self, coupon: usize, code: Option<String>) -> usize {
        let place = self.billing.promotion_codes.len();
        let code = code.unwrap_or_else(|| self.secret()[..8].to_uppercase());
        self.billing.promotion_codes.push(PromotionCode {
            id: self.id(Kind::PromotionCode, place),
            created: self.now,
            code,
            coupon,
            active: true,
        });
        place
    }

    /// A coupon as it applies from now on.
    pub(crate) fn discount(&mut self, (coupon, promotion_code): Redeemed) -> Discount {
        Discount {
            id: self.inner_id(Kind::Discount),
            start: self.now,
            coupon,
            promotion_code,
        }
    }

    pub(crate) fn coupon(&self, id: &str) -> Option<usize> {
        self.billing.coupons.iter().position(|it| it.id == id)
    }

    /// The active promotion code of this text.
    pub(crate) fn active_code(&self, code: &str) -> Option<usize> {
        let mut all = self.billing.promotion_codes.iter();
        all.position(|it| it.active && it.code.eq_ignore_ascii_case(code))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credits_are_not_discounted_and_amounts_are_taken_off_once() {
        let amounts = [-500, 333, 1_000];
        assert_eq!(Off::Share(1_250).of(&amounts), [0, 42, 125]);
        assert_eq!(Off::Amount(900, Currency::USD).of(&amounts), [0, 333, 567]);
        assert_eq!(Off::Share(10_000).of(&amounts), [0, 333, 1_000]);
    }
}
