//! Finds and writes any object by kind and index: the one way from an id, a list or an event to
//! JSON.
//!
//! An index that nothing has writes nothing and says so.

use crate::book::{ENTRY_SLOTS, LINE_SLOTS, REFUND_SLOTS};
use crate::expand::{Expand, Node};
use crate::id::Kind;
use crate::render::Entry;
use crate::view::View;

/// Where `expand` paths of an object of `kind` start.
pub(crate) const fn node(kind: Kind) -> Node {
    match kind {
        Kind::Charge => Node::Charge,
        Kind::Customer => Node::Customer,
        Kind::Product => Node::Product,
        Kind::Price => Node::Price,
        Kind::Invoice => Node::Invoice,
        Kind::InvoiceLine => Node::Line,
        Kind::InvoicePayment => Node::InvoicePayment,
        Kind::Session => Node::Session,
        Kind::SessionItem => Node::Item,
        Kind::Refund => Node::Refund,
        Kind::Dispute => Node::Dispute,
        Kind::BalanceTransaction => Node::BalanceTransaction,
        Kind::PaymentIntent => Node::PaymentIntent,
        _ => Node::Closed,
    }
}

impl View<'_> {
    /// The index in `id`, whether or not an object has it.
    pub(crate) fn index_of(&self, kind: Kind, id: &str) -> Option<u64> {
        match kind {
            Kind::Charge => self.charge_index(id),
            _ => self.account.codec.decode(kind, id),
        }
    }

    /// The id of object `index`.
    pub(crate) fn id_of(&self, kind: Kind, index: u64) -> String {
        match (kind, self.book.charge(index)) {
            (Kind::Charge, Some(charge)) => self.charge_id(&charge),
            _ => self.account.codec.encode(kind, index),
        }
    }

    /// Appends object `index` of `kind`; false when there is none.
    pub(crate) fn write(&self, out: &mut String, kind: Kind, index: u64, expand: &Expand) -> bool {
        self.try_write(out, kind, index, expand).is_some()
    }

    fn try_write(&self, out: &mut String, kind: Kind, index: u64, expand: &Expand) -> Option<()> {
        let book = self.book;
        match kind {
            Kind::Charge => self.write_charge(out, &*book.charge(index)?, expand),
            Kind::Customer => self.write_customer(out, &*book.customer(index)?),
            Kind::Product => self.write_product(out, &*book.product(index)?, expand),
            Kind::Price => self.write_price(out, &*book.price(index)?, expand),
            Kind::Invoice => self.write_invoice(out, &*book.invoice(index)?, expand),
            Kind::Session => self.write_session(out, &*book.session(index)?, expand),
            Kind::PaymentIntent => {
                self.write_payment_intent(out, &*book.charge_of_intent(index)?, expand);
            }
            Kind::InvoicePayment => {
                let charge = book.charge(index)?;
                let invoice = book.invoice_of_payment(&charge)?;
                self.write_invoice_payment(out, &charge, &invoice, expand);
            }
            Kind::InvoiceLine => {
                let invoice = book.invoice(index / LINE_SLOTS)?;
                let place = (index % LINE_SLOTS) as usize;
                invoice.lines.get(place)?;
                self.write_line(out, &invoice, place, expand);
            }
            Kind::SessionItem => {
                let session = book.session(index / LINE_SLOTS)?;
                let place = (index % LINE_SLOTS) as usize;
                session.items.get(place)?;
                self.write_item(out, &session, place, expand);
            }
            Kind::Refund => {
                let charge = book.charge(index / REFUND_SLOTS)?;
                let slot = (index % REFUND_SLOTS) as usize;
                charge.refunds.get(slot)?;
                self.write_refund(out, &charge, slot, expand);
            }
            Kind::Dispute => {
                let charge = book.charge(index)?;
                self.write_dispute(out, &charge, charge.dispute.as_ref()?, expand);
            }
            Kind::BalanceTransaction => {
                let charge = book.charge(index / ENTRY_SLOTS)?;
                self.write_entry(out, &Entry::of(&charge, index)?, &charge, expand);
            }
            Kind::Event
            | Kind::PaymentMethod
            | Kind::Subscription
            | Kind::SubscriptionItem
            | Kind::InvoiceItem
            | Kind::WebhookEndpoint
            | Kind::Transfer
            | Kind::TransferReversal
            | Kind::Payout
            | Kind::Person
            | Kind::BankAccount
            | Kind::SetupIntent
            | Kind::SubscriptionSchedule
            | Kind::PortalConfiguration
            | Kind::PortalSession
            | Kind::PromotionCode
            | Kind::Discount => return None,
        }
        Some(())
    }
}
