//! The money of a platform and of its connected accounts: what is available, and lots of what is still pending.
//!
//! Amounts are minor units. Money is never made or lost here, only moved: that a balance suffices
//! is checked by who moves. Nothing here can fail. Deliberately absent: fees, and money that Stripe
//! holds back.

use std::collections::{BTreeMap, BTreeSet};

use super::Holder;
use crate::ledger::Currency;

/// Money that becomes available at once.
#[derive(Clone, Debug)]
pub(crate) struct Lot {
    pub(crate) holder: Holder,
    pub(crate) currency: Currency,
    pub(crate) amount: i64,
    /// The charge of the platform that it comes from.
    pub(crate) charge: Option<String>,
    /// Unix seconds; only a control makes it available when absent.
    pub(crate) available_on: Option<i64>,
}

/// One currency of a balance.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Sums {
    pub(crate) available: i64,
    pub(crate) pending: i64,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Balances {
    available: BTreeMap<(Holder, Currency), i64>,
    lots: Vec<Lot>,
}

impl Balances {
    pub(crate) fn available(&self, holder: Holder, currency: Currency) -> i64 {
        let amount = self.available.get(&(holder, currency));
        amount.copied().unwrap_or_default()
    }

    /// What a holder has, by currency.
    pub(crate) fn of(&self, holder: Holder) -> BTreeMap<Currency, Sums> {
        let mut sums: BTreeMap<Currency, Sums> = BTreeMap::new();
        for (&(owner, currency), &amount) in &self.available {
            if owner == holder {
                sums.entry(currency).or_default().available += amount;
            }
        }
        for lot in self.lots.iter().filter(|lot| lot.holder == holder) {
            sums.entry(lot.currency).or_default().pending += lot.amount;
        }
        sums
    }

    /// Adds to what is available, or takes from it where `amount` is negative.
    pub(crate) fn add(&mut self, holder: Holder, currency: Currency, amount: i64) {
        *self.available.entry((holder, currency)).or_default() += amount;
    }

    pub(crate) fn add_pending(&mut self, lot: Lot) {
        let same = self.lots.iter_mut().find(|it| {
            (it.holder, it.currency, &it.charge) == (lot.holder, lot.currency, &lot.charge)
                && it.available_on == lot.available_on
        });
        match same {
            Some(known) => known.amount += lot.amount,
            None => self.lots.push(lot),
        }
    }

    /// Takes from the pending money that came from `charge`, if so much is there.
    pub(crate) fn take_pending(
        &mut self,
        holder: Holder,
        charge: &str,
        amount: i64,
    ) -> Option<Lot> {
        let lot = self.lots.iter_mut().find(|lot| {
            lot.holder == holder && lot.charge.as_deref() == Some(charge) && lot.amount >= amount
        })?;
        lot.amount -= amount;
        Some(Lot {
            amount,
            ..lot.clone()
        })
    }

    /// Makes the lots that `due` lets pass available; returns whose they were.
    pub(crate) fn release(&mut self, due: impl Fn(&Lot) -> bool) -> BTreeSet<Holder> {
        let (released, left): (Vec<Lot>, Vec<Lot>) =
            std::mem::take(&mut self.lots).into_iter().partition(due);
        self.lots = left;
        let mut holders = BTreeSet::new();
        for lot in released.iter().filter(|lot| lot.amount != 0) {
            self.add(lot.holder, lot.currency, lot.amount);
            holders.insert(lot.holder);
        }
        holders
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_waits_in_lots_until_it_is_available() {
        let mut balances = Balances::default();
        let lot = |amount, charge: Option<&str>, available_on| Lot {
            holder: Holder::Platform,
            currency: Currency::USD,
            amount,
            charge: charge.map(str::to_owned),
            available_on,
        };
        balances.add_pending(lot(100, None, None));
        balances.add_pending(lot(50, Some("ch_1"), Some(10)));
        let sums = |balances: &Balances| {
            let all = balances.of(Holder::Platform);
            all.get(&Currency::USD).copied().unwrap_or_default()
        };
        assert_eq!(
            (sums(&balances).available, sums(&balances).pending),
            (0, 150)
        );
        let above = balances.take_pending(Holder::Platform, "ch_1", 60);
        assert!(above.is_none());
        let taken = balances.take_pending(Holder::Platform, "ch_1", 20);
        assert_eq!(taken.and_then(|lot| lot.available_on), Some(10));
        let due = |lot: &Lot| lot.available_on.is_some_and(|on| on <= 10);
        assert_eq!(balances.release(due).len(), 1);
        assert_eq!(
            (sums(&balances).available, sums(&balances).pending),
            (30, 100)
        );
        assert!(balances.release(due).is_empty());
    }
}
