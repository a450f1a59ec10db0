//! The books of one account: what the generator makes, overlaid by what was changed or made while
//! the simulator ran. Only the latter takes memory.
//!
//! An index that no object has is `None`. Deliberately absent: ids, JSON, and the events that a
//! change leaves (see [`crate::event`]).

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap, HashSet};

use crate::generate::{Generator, PRICES, PRODUCTS, PURCHASES};
use crate::id::Kind;
use crate::ledger::{
    Charge, ChargeStatus, Customer, Invoice, InvoiceStatus, Metadata, Price, Product, Purchase,
    Session,
};

/// Refund `slot` of charge `c` has the index `c * REFUND_SLOTS + slot`.
pub(crate) const REFUND_SLOTS: u64 = 64;
/// Entry `slot` of charge `c` has the balance transaction index `c * ENTRY_SLOTS + slot`.
pub(crate) const ENTRY_SLOTS: u64 = 128;
/// Line `n` of invoice or session `i` has the index `i * LINE_SLOTS + n`.
pub(crate) const LINE_SLOTS: u64 = 64;

/// Objects that differ from what the generator makes, by index.
#[derive(Clone, Debug, Default)]
pub(crate) struct Overlay {
    pub(crate) charges: HashMap<u64, Charge>,
    pub(crate) customers: HashMap<u64, Customer>,
    pub(crate) products: HashMap<u64, Product>,
    pub(crate) prices: HashMap<u64, Price>,
    pub(crate) invoices: HashMap<u64, Invoice>,
    pub(crate) sessions: HashMap<u64, Session>,
    /// The metadata of payment intents, where it is not that of their charges.
    pub(crate) intents: HashMap<u64, Metadata>,
    /// Listed objects that the generator does not know, as (created, index).
    pub(crate) extras: HashMap<Kind, BTreeSet<(i64, u64)>>,
    /// Charges that lists no longer show.
    pub(crate) unlisted: HashSet<u64>,
}

#[derive(Clone, Debug)]
pub(crate) struct Book {
    pub(crate) generator: Generator,
    pub(crate) overlay: Overlay,
}

impl Book {
    pub(crate) fn new(generator: Generator) -> Self {
        Self {
            generator,
            overlay: Overlay::default(),
        }
    }

    pub(crate) fn charge(&self, index: u64) -> Option<Cow<'_, Charge>> {
        match self.overlay.charges.get(&index) {
            Some(charge) => Some(Cow::Borrowed(charge)),
            None => {
                (index < self.generator.charges()).then(|| Cow::Owned(self.generator.charge(index)))
            }
        }
    }

    pub(crate) fn customer(&self, index: u64) -> Option<Cow<'_, Customer>> {
        match self.overlay.customers.get(&index) {
            Some(customer) => Some(Cow::Borrowed(customer)),
            None => (index < self.generator.customers())
                .then(|| Cow::Owned(self.generator.customer(index))),
        }
    }

    pub(crate) fn product(&self, index: u64) -> Option<Cow<'_, Product>> {
        match self.overlay.products.get(&index) {
            Some(product) => Some(Cow::Borrowed(product)),
            None => (index < PRODUCTS).then(|| Cow::Owned(self.generator.product(index))),
        }
    }

    pub(crate) fn price(&self, index: u64) -> Option<Cow<'_, Price>> {
        match self.overlay.prices.get(&index) {
            Some(price) => Some(Cow::Borrowed(price)),
            None => (index < PRICES).then(|| Cow::Owned(self.generator.price(index))),
        }
    }

    pub(crate) fn invoice(&self, index: u64) -> Option<Cow<'_, Invoice>> {
        match self.overlay.invoices.get(&index) {
            Some(invoice) => Some(Cow::Borrowed(invoice)),
            None => self
                .generator
                .invoice_exists(index)
                .then(|| Cow::Owned(self.generator.invoice(index))),
        }
    }

    pub(crate) fn session(&self, index: u64) -> Option<Cow<'_, Session>> {
        match self.overlay.sessions.get(&index) {
            Some(session) => Some(Cow::Borrowed(session)),
            None => self
                .generator
                .session_exists(index)
                .then(|| Cow::Owned(self.generator.session(index))),
        }
    }

    /// The charge that ends payment intent `index`, if there is such a payment intent.
    pub(crate) fn charge_of_intent(&self, index: u64) -> Option<Cow<'_, Charge>> {
        self.charge(index)
            .filter(|charge| charge.payment_intent == Some(index))
    }

    /// The metadata of payment intent `index`, if there is such a payment intent: a charge gets it when it is made, and then
    /// each has its own.
    pub(crate) fn intent_metadata(&self, index: u64) -> Option<Cow<'_, Metadata>> {
        if let Some(metadata) = self.overlay.intents.get(&index) {
            return Some(Cow::Borrowed(metadata));
        }
        let charge = self.charge_of_intent(index)?;
        Some(Cow::Owned(charge.into_owned().metadata))
    }

    /// The checkout session in which invoice `index` was paid.
    pub(crate) fn session_of_invoice(&self, index: u64) -> Option<&Session> {
        let mut sessions = self.overlay.sessions.values();
        sessions.find(|session| session.invoice == Some(index))
    }

    /// What was paid of `invoice` so far.
    pub(crate) fn invoice_paid(&self, invoice: &Invoice) -> i64 {
        let charges = invoice
            .charges
            .iter()
            .filter_map(|&index| self.charge(index));
        charges
            .filter(|charge| charge.paid())
            .map(|charge| charge.amount)
            .sum()
    }

    /// The status of `invoice`, which follows its charges where it has some and was not said to
    /// be paid, whatever they come to.
    pub(crate) fn invoice_status(&self, invoice: &Invoice) -> InvoiceStatus {
        if invoice.charges.is_empty() || invoice.status == InvoiceStatus::Paid {
            invoice.status
        } else if self.invoice_paid(invoice) >= invoice.total() {
            InvoiceStatus::Paid
        } else {
            InvoiceStatus::Open
        }
    }

    /// Whether `session` was paid, which follows its charge or its invoice.
    pub(crate) fn session_paid(&self, session: &Session) -> bool {
        if let Some(invoice) = session.invoice.and_then(|index| self.invoice(index)) {
            return self.invoice_status(&invoice) == InvoiceStatus::Paid;
        }
        session
            .charge
            .and_then(|index| self.charge(index))
            .is_some_and(|charge| charge.status == ChargeStatus::Succeeded)
    }

    /// The invoice that `charge` is a payment of: attempts that failed before it are none.
    pub(crate) fn invoice_of_payment(&self, charge: &Charge) -> Option<Cow<'_, Invoice>> {
        let Purchase::Invoice(index) = charge.purchase else {
            return None;
        };
        self.invoice(index)
            .filter(|invoice| invoice.charges.contains(&charge.index))
    }

    /// The indices at which new objects are put.
    pub(crate) fn next_charge(&self) -> u64 {
        next(self.generator.charges(), &self.overlay.charges)
    }

    pub(crate) fn next_customer(&self) -> u64 {
        next(self.generator.customers(), &self.overlay.customers)
    }

    pub(crate) fn next_product(&self) -> u64 {
        next(PRODUCTS, &self.overlay.products)
    }

    pub(crate) fn next_price(&self) -> u64 {
        next(PRICES, &self.overlay.prices)
    }

    pub(crate) fn next_invoice(&self) -> u64 {
        next(self.generator.groups() * PURCHASES, &self.overlay.invoices)
    }

    pub(crate) fn next_session(&self) -> u64 {
        next(self.generator.groups() * PURCHASES, &self.overlay.sessions)
    }

    /// Lists a new object of `kind`.
    pub(crate) fn list(&mut self, kind: Kind, created: i64, index: u64) {
        self.overlay
            .extras
            .entry(kind)
            .or_default()
            .insert((created, index));
    }
}

/// The first index from `base` on that was not given yet.
fn next<T>(base: u64, overlay: &HashMap<u64, T>) -> u64 {
    // New objects take consecutive indices, so doubling and halving finds the end.
    let mut step = 1;
    while overlay.contains_key(&(base + step - 1)) {
        step *= 2;
    }
    let (mut low, mut high) = (step / 2, step - 1);
    while low < high {
        let middle = u64::midpoint(low, high);
        if overlay.contains_key(&(base + middle)) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    base + low
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn next_is_the_first_free_index() {
        let mut overlay = HashMap::new();
        overlay.insert(3, "");
        for index in 10..40 {
            assert_eq!(next(10, &overlay), index);
            overlay.insert(index, "");
        }
    }
}
