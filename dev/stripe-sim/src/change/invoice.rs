//! Invoices that are known before or after the charge that pays them: the two orders in which a
//! reader meets them where [`AccountHandle::create_charge`] makes both at once.

use super::create::{charge, enter, enter_invoice, priced};
use super::record::Recorder;
use super::{AccountHandle, ControlError, NewCharge, NewLine, no_such, refused};
use crate::book::Book;
use crate::id::Kind;
use crate::ledger::{Currency, Invoice, InvoiceStatus, Purchase};

/// Seconds by which an attached invoice is older than its charge by default.
const LEAD: i64 = 5;

impl AccountHandle {
    /// Makes an open invoice without charges; returns `in_…`.
    ///
    /// `customer` is a `cus_…`, `currency` a lower-case ISO code, `created` in Unix seconds, now
    /// when absent. Leaves `invoice.finalized`.
    pub fn create_invoice(
        &self,
        lines: &[NewLine],
        customer: &str,
        currency: &str,
        created: Option<i64>,
    ) -> Result<String, ControlError> {
        let customer = self.locate(Kind::Customer, customer)?;
        let prices = self.prices_of(lines)?;
        let currency =
            Currency::parse(currency).ok_or_else(|| refused("a currency is three letters"))?;
        self.change(|book, recorder| {
            let lines = priced(book, lines, &prices);
            if lines.is_empty() {
                return Err(refused("an invoice needs a line"));
            }
            let created = created.unwrap_or_else(|| recorder.now());
            let index = enter_invoice(book, lines, Vec::new(), (currency, customer), created);
            recorder.record(book, "invoice.finalized", (Kind::Invoice, index), None);
            Ok(self.account().identity.codec.encode(Kind::Invoice, index))
        })
    }

    /// Pays what is left of an open invoice, now and by card; returns `ch_…`.
    ///
    /// Leaves `charge.succeeded`, `invoice.paid` and `invoice_payment.paid`, in that order.
    pub fn pay_invoice(&self, id: &str) -> Result<String, ControlError> {
        let index = self.locate(Kind::Invoice, id)?;
        self.change(|book, recorder| {
            let invoice = book
                .invoice(index)
                .ok_or_else(|| no_such(Kind::Invoice, id))?
                .into_owned();
            let left = invoice.total() - book.invoice_paid(&invoice);
            if book.invoice_status(&invoice) != InvoiceStatus::Open || left < 1 {
                return Err(refused("only an open invoice of some amount can be paid"));
            }
            let new = NewCharge::of(left, invoice.currency.code());
            let (customer, now) = (Some(invoice.customer), recorder.now());
            let mut charge = charge(book, &new, customer, Vec::new(), Vec::new(), now)?;
            charge.purchase = Purchase::Invoice(index);
            let paying = charge.index;
            join(book, invoice, paying);
            enter(book, charge);
            recorder.record(book, "charge.succeeded", (Kind::Charge, paying), None);
            announce_payment(book, (index, paying), recorder);
            let view = self.account().view(book, self.account().version);
            Ok(view.id_of(Kind::Charge, paying))
        })
    }

    /// Makes a paid invoice that names an existing charge's payment intent; returns `in_…`.
    ///
    /// The charge must have succeeded, for a customer, by a payment intent and for nothing else.
    /// `created` is in Unix seconds, five seconds before the charge's when absent. Leaves
    /// `invoice.paid` and `invoice_payment.paid`, and nothing about the charge.
    pub fn attach_invoice(
        &self,
        charge: &str,
        lines: &[NewLine],
        created: Option<i64>,
    ) -> Result<String, ControlError> {
        let paying = self.locate(Kind::Charge, charge)?;
        let prices = self.prices_of(lines)?;
        self.change(|book, recorder| {
            let mut charge = book
                .charge(paying)
                .ok_or_else(|| no_such(Kind::Charge, charge))?
                .into_owned();
            let free = charge.purchase == Purchase::Nothing && charge.payment_intent.is_some();
            let Some(customer) = charge.customer.filter(|_| free && charge.paid()) else {
                return Err(refused("this charge cannot be an invoice's"));
            };
            let lines = priced(book, lines, &prices);
            if lines.is_empty() {
                return Err(refused("an invoice needs a line"));
            }
            let created = created.unwrap_or(charge.created - LEAD);
            let terms = (charge.currency, customer);
            let index = enter_invoice(book, lines, vec![paying], terms, created);
            // Its lines may come to something else than the charge, which pays it all the same.
            if let Some(invoice) = book.overlay.invoices.get_mut(&index) {
                invoice.status = InvoiceStatus::Paid;
            }
            charge.purchase = Purchase::Invoice(index);
            // Lists find the payments of generated charges without being asked.
            if paying >= book.generator.charges() {
                book.list(Kind::InvoicePayment, charge.created, paying);
            }
            book.overlay.charges.insert(paying, charge);
            announce_payment(book, (index, paying), recorder);
            Ok(self.account().identity.codec.encode(Kind::Invoice, index))
        })
    }

    /// The indices of the prices that `lines` name.
    pub(super) fn prices_of(&self, lines: &[NewLine]) -> Result<Vec<Option<u64>>, ControlError> {
        let index = |id: &String| self.locate(Kind::Price, id);
        lines
            .iter()
            .map(|line| line.price.as_ref().map(index).transpose())
            .collect()
    }
}

fn join(book: &mut Book, mut invoice: Invoice, charge: u64) {
    invoice.charges.push(charge);
    book.overlay.invoices.insert(invoice.index, invoice);
}

fn announce_payment(book: &Book, (invoice, charge): (u64, u64), recorder: &mut Recorder<'_>) {
    recorder.record(book, "invoice.paid", (Kind::Invoice, invoice), None);
    let payment = (Kind::InvoicePayment, charge);
    recorder.record(book, "invoice_payment.paid", payment, None);
}
