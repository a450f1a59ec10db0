//! Generates any object of an account from (seed, index) alone, so that an account of a million
//! charges needs no memory.
//!
//! Eight neighbouring charges form a group with fixed parts in shuffled slots: two pay an invoice
//! each, two pay one invoice together, two pay a checkout session each, one stands alone, and one
//! is either alone or a failed attempt of another one's payment. So the invoice and the session of
//! a charge, and the charges of an invoice, are found by arithmetic. Charges after the last whole
//! group stand alone. Nothing here can fail. Deliberately absent: what happens after the start.

mod catalogue;
mod charge;
mod customer;
mod invoice;
mod metadata;
mod session;
mod timeline;

pub(crate) use catalogue::{CATALOGUE_AGE, PRICES, PRODUCTS};
pub(crate) use charge::{DISPUTE_DELAY, REFUND_DELAYS};
pub(crate) use customer::CUSTOMER_LEAD;
pub(crate) use invoice::{PROMPT_LEAD, SPLIT_LEAD};
pub(crate) use session::{SESSION_LEAD, SLOW_SESSION_LEAD};

use crate::draw::{Domain, Draw};
use crate::ledger::Currency;
use timeline::Timeline;

pub(crate) const GROUP: u64 = 8;
/// Slots for invoices and for sessions in the indices of a group.
pub(crate) const PURCHASES: u64 = 4;
/// Seconds between an invoice that is paid late and its charge, by group modulo 4.
pub(crate) const LATE: [i64; 4] = [2 * 86_400, 10 * 86_400, 30 * 86_400, 50 * 86_400];

/// Invoices with more lines than Stripe shows inline, of 100: real accounts have few.
pub(crate) const LONG_INVOICE_PERCENT: u8 = 2;

/// The part that a charge plays in its group.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Role {
    PromptInvoice,
    LateInvoice,
    SplitFirst,
    SplitSecond,
    PromptSession,
    SlowSession,
    Alone,
    Attempt,
}

const ROLES: [Role; 8] = [
    Role::PromptInvoice,
    Role::LateInvoice,
    Role::SplitFirst,
    Role::SplitSecond,
    Role::PromptSession,
    Role::SlowSession,
    Role::Alone,
    Role::Attempt,
];

#[derive(Clone, Debug)]
pub(crate) struct Generator {
    seed: u64,
    charges: u64,
    timeline: Timeline,
    release_is_refund: bool,
    long_invoice_percent: u8,
    charges_only: bool,
}

impl Generator {
    /// An account of `charges` charges over the `days` before `now` (Unix seconds).
    pub(crate) const fn new(
        seed: u64,
        charges: u64,
        days: u32,
        now: i64,
        release_is_refund: bool,
    ) -> Self {
        let start = now - days as i64 * 86_400;
        Self {
            seed,
            charges,
            timeline: Timeline::new(seed, charges, start, now),
            release_is_refund,
            long_invoice_percent: LONG_INVOICE_PERCENT,
            charges_only: false,
        }
    }

    /// The same account with another share of invoices of more than ten lines, of 100.
    pub(crate) const fn with_long_invoices(mut self, percent: u8) -> Self {
        self.long_invoice_percent = percent;
        self
    }

    /// The same account without invoices, sessions and disputes, where `charges_only`.
    pub(crate) const fn with_charges_only(mut self, charges_only: bool) -> Self {
        self.charges_only = charges_only;
        self
    }

    pub(crate) const fn charges(&self) -> u64 {
        self.charges
    }

    pub(crate) const fn customers(&self) -> u64 {
        self.charges / GROUP + 1
    }

    /// Whole groups: none where charges stand alone.
    pub(crate) const fn groups(&self) -> u64 {
        if self.charges_only {
            return 0;
        }
        self.charges / GROUP
    }

    pub(crate) const fn timeline(&self) -> &Timeline {
        &self.timeline
    }

    /// Whether `amount_refunded` includes the released rest of a partial capture.
    pub(crate) const fn release_is_refund(&self) -> bool {
        self.release_is_refund
    }

    pub(crate) const fn draw(&self, domain: Domain, index: u64) -> Draw {
        Draw::new(self.seed, domain, index)
    }

    /// Which role each place of a group has.
    fn roles(&self, group: u64) -> ([Role; 8], Option<Role>) {
        let mut draw = self.draw(Domain::Group, group);
        let mut roles = ROLES;
        for last in (1..roles.len()).rev() {
            roles.swap(last, draw.below(last as u64 + 1) as usize);
        }
        let target = match draw.below(6) {
            0 | 1 => Some(Role::PromptInvoice),
            2 => Some(Role::PromptSession),
            _ => None,
        };
        if let Some(target) = target {
            // A failed attempt comes before the payment that it was an attempt of.
            let attempt = place_of(roles, Role::Attempt);
            let paid = place_of(roles, target);
            if attempt > paid {
                roles.swap(attempt, paid);
            }
        }
        (roles, target)
    }

    /// The role of a charge, and for a failed attempt the charge that succeeded in the end.
    pub(crate) fn role(&self, index: u64) -> (Role, Option<u64>) {
        let group = index / GROUP;
        if group >= self.groups() {
            return (Role::Alone, None);
        }
        let (roles, target) = self.roles(group);
        let role = roles[(index % GROUP) as usize];
        let paid = target
            .filter(|_| role == Role::Attempt)
            .map(|target| group * GROUP + place_of(roles, target) as u64);
        (role, paid)
    }

    /// The charge that has `role` in `group`.
    pub(crate) fn charge_with(&self, group: u64, role: Role) -> u64 {
        let (roles, _) = self.roles(group);
        group * GROUP + place_of(roles, role) as u64
    }

    fn currency(&self, domain: Domain, index: u64) -> Currency {
        match self.draw(domain, index).below(100) {
            0..60 => Currency::USD,
            60..82 => Currency::EUR,
            82..91 => Currency::GBP,
            _ => Currency::JPY,
        }
    }
}

fn place_of(roles: [Role; 8], role: Role) -> usize {
    roles
        .iter()
        .position(|&other| other == role)
        .expect("a shuffle keeps every role")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::{ChargeStatus, Purchase};

    fn generator() -> Generator {
        Generator::new(11, 4_003, 90, 1_790_000_000, true)
    }

    #[test]
    fn purchases_and_charges_point_at_each_other() {
        let generator = generator();
        for index in 0..generator.charges() {
            let charge = generator.charge(index);
            match charge.purchase {
                Purchase::Invoice(invoice) => {
                    let invoice = generator.invoice(invoice);
                    assert!(invoice.created <= charge.created);
                    assert_eq!(Some(invoice.customer), charge.customer);
                    if charge.payment_intent == Some(index) {
                        assert!(invoice.charges.contains(&index));
                    }
                }
                Purchase::Session(session) => {
                    let session = generator.session(session);
                    assert_eq!(session.total(), charge.amount);
                    assert_eq!(session.currency, charge.currency);
                }
                Purchase::Nothing => {}
            }
            assert!(charge.amount > 0 && charge.amount_captured <= charge.amount);
            assert!(charge.amount_refunded() <= charge.amount);
        }
        for group in 0..generator.groups() {
            let invoice = generator.invoice(group * PURCHASES + 2);
            let paid: i64 = invoice
                .charges
                .iter()
                .map(|&i| generator.charge(i).amount)
                .sum();
            assert_eq!(paid, invoice.total());
        }
    }

    #[test]
    fn accounts_have_what_real_ones_have() {
        let generator = generator();
        let all: Vec<_> = (0..generator.charges())
            .map(|index| generator.charge(index))
            .collect();
        let some = |what: &dyn Fn(&crate::ledger::Charge) -> bool| all.iter().any(what);
        assert!(some(&|c| c.status == ChargeStatus::Failed));
        assert!(some(&|c| c.status == ChargeStatus::Pending));
        assert!(some(&|c| c.paid() && !c.captured && !c.expired));
        assert!(some(&|c| c.expired && c.amount_refunded() == c.amount));
        assert!(some(
            &|c| c.amount_captured > 0 && c.amount_captured < c.amount
        ));
        assert!(some(&|c| c.refunds.len() > 1));
        assert!(some(&|c| c.dispute.is_some()));
        assert!(some(&|c| c.customer.is_none()));
        assert!(some(&|c| c.metadata.is_empty()));
        assert!(some(&|c| !c.method.card));
        assert!(some(&|c| c.payment_intent != Some(c.index)));
        assert!(some(&|c| c.currency == Currency::JPY));
        let lines = |g: u64| generator.invoice(g * PURCHASES).lines;
        assert!((0..generator.groups()).any(|g| lines(g).len() > 10));
        assert!((0..generator.groups()).any(|g| lines(g).iter().any(|line| line.amount < 0)));
        assert!((0..generator.customers()).any(|c| generator.customer(c).deleted));
    }

    #[test]
    fn charges_may_be_all_there_is() {
        let generator = generator().with_charges_only(true);
        assert_eq!(generator.groups(), 0);
        for index in 0..generator.charges() {
            let charge = generator.charge(index);
            assert_eq!(charge.purchase, Purchase::Nothing);
            assert!(charge.dispute.is_none());
        }
        assert!(!generator.invoice_exists(0) && !generator.session_exists(0));
        let customers =
            (0..generator.charges()).filter_map(|index| generator.charge(index).customer);
        assert!(
            customers
                .max()
                .is_some_and(|last| last < generator.customers())
        );
    }

    #[test]
    fn the_seed_decides_everything() {
        let (one, same) = (generator(), generator());
        let other = Generator::new(12, 4_003, 90, 1_790_000_000, true);
        let text = |generator: &Generator, index| format!("{:?}", generator.charge(index));
        assert!((0..500).all(|index| text(&one, index) == text(&same, index)));
        assert!((0..500).any(|index| text(&one, index) != text(&other, index)));
    }
}
