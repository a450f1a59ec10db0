//! Generated checkout sessions: one to four items, some with shipping on top.
//!
//! Three slots per group: paid within half a minute, paid after ten minutes, and (in every fourth
//! group) left without paying. Nothing here can fail.

use super::{GROUP, Generator, PURCHASES, Role, metadata};
use crate::draw::{Domain, Draw};
use crate::ledger::{Currency, Line, Session};

/// Seconds by which a session paid at once precedes the first charge of its group.
pub(crate) const SESSION_LEAD: i64 = 30;
/// The same for one that was paid slowly.
pub(crate) const SLOW_SESSION_LEAD: i64 = 600;

impl Generator {
    /// Whether session `index` was ever made.
    pub(crate) const fn session_exists(&self, index: u64) -> bool {
        let group = index / PURCHASES;
        group < self.groups()
            && match index % PURCHASES {
                0 | 1 => true,
                2 => group % 4 == 1,
                _ => false,
            }
    }

    /// Session `index`, which exists.
    pub(crate) fn session(&self, index: u64) -> Session {
        let (group, place) = (index / PURCHASES, index % PURCHASES);
        let (currency, customer, shipping, items) = self.session_core(index);
        let (lead, charge) = match place {
            0 => (
                SESSION_LEAD,
                Some(self.charge_with(group, Role::PromptSession)),
            ),
            1 => (
                SLOW_SESSION_LEAD,
                Some(self.charge_with(group, Role::SlowSession)),
            ),
            _ => (0, None),
        };
        let created = self.timeline.created(group * GROUP) - lead;
        Session {
            index,
            created,
            currency,
            customer,
            charge,
            invoice: None,
            metadata: metadata::session(index),
            shipping,
            items,
        }
    }

    /// What a charge needs of its session: currency, customer, shipping and items.
    pub(super) fn session_core(&self, index: u64) -> (Currency, Option<u64>, i64, Vec<Line>) {
        let mut draw = self.draw(Domain::Session, index);
        let currency = self.currency(Domain::Session, index);
        let guest = draw.chance(40);
        let customer = Self::customer_for(index / PURCHASES * GROUP, &mut draw);
        let shipping = if draw.chance(20) { 500 } else { 0 };
        let discount = if draw.chance(15) { 15 } else { 0 };
        let items = (0..draw.pick(&[1, 1, 1, 2, 2, 3, 4]))
            .map(|_| self.session_item(currency, discount, &mut draw))
            .collect();
        (currency, (!guest).then_some(customer), shipping, items)
    }

    fn session_item(&self, currency: Currency, discount: i64, draw: &mut Draw) -> Line {
        let price = Self::price_in(currency, draw);
        let quantity = if draw.chance(60) {
            1
        } else {
            draw.between(2, 12)
        };
        let amount = self.unit_amount(price) * quantity;
        Line {
            price: Some(price),
            quantity: Some(quantity),
            quantity_decimal: None,
            amount,
            discount: amount * discount / 100,
            credit: 0,
            tax: 0,
            proration: false,
            credits: false,
            metadata: Vec::new(),
        }
    }
}
