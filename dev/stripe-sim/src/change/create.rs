//! New charges, alone or paying a new invoice or checkout session.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::record::Recorder;
use super::{AccountHandle, ControlError, refused};
use crate::book::{Book, ENTRY_SLOTS};
use crate::id::Kind;
use crate::ledger::{
    COUNTRIES, Charge, ChargeStatus, Currency, Invoice, InvoiceStatus, Line, METHODS, Metadata,
    Method, Purchase, Session,
};

/// A line of a new invoice or an item of a new checkout session.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct NewLine {
    /// `price_…`; a line without one has no product.
    pub price: Option<String>,
    /// How many; null on the line when absent.
    pub quantity: Option<i64>,
    /// How many, with decimals: `0.5`.
    pub quantity_decimal: Option<String>,
    /// Minor units before discounts; the price times the quantity when absent.
    pub amount: Option<i64>,
    /// Minor units taken off.
    pub discount: i64,
    /// Minor units settled by prepaid credit, of a line of an invoice.
    pub credit: i64,
    /// Whether a change of a subscription made it, of a line of an invoice.
    pub proration: bool,
    /// Whether it credits what an earlier line sold.
    pub credits: bool,
    /// Of a line of an invoice.
    pub metadata: BTreeMap<String, String>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct NewCharge {
    /// Minor units; the lines' total, or 1000, when absent.
    pub amount: Option<i64>,
    /// Lower-case ISO code.
    pub currency: String,
    /// `succeeded`, `pending` or `failed`.
    pub status: String,
    /// False for a hold that is not captured yet.
    pub captured: bool,
    /// Minor units; less than the amount for a partial capture.
    pub amount_captured: Option<i64>,
    /// Unix seconds; now when absent.
    pub created: Option<i64>,
    /// `cus_…`.
    pub customer: Option<String>,
    pub metadata: BTreeMap<String, String>,
    /// False for a bank debit, whose charge is a `py_…`.
    pub card: bool,
    /// The type of the method: `card_present`, `klarna`, …; by `card` when absent.
    pub method: Option<String>,
    /// The country of the method, in upper case; `US` when absent.
    pub country: Option<String>,
    /// `tr_…`: the charge is the payment that a platform's transfer made, which is a `py_…` without an intent.
    pub source_transfer: Option<String>,
    /// Whether what a partial capture releases stands in `amount_refunded` and in no list of refunds.
    pub release_unlisted: bool,
    /// Lines of an invoice that this charge pays; needs a customer.
    pub invoice_lines: Vec<NewLine>,
    /// When that invoice was made, in Unix seconds; with the charge when absent.
    pub invoice_created: Option<i64>,
    /// Items of a checkout session that this charge pays.
    pub session_items: Vec<NewLine>,
    pub invoice_metadata: BTreeMap<String, String>,
    /// Of the subscription, as the invoice shows it.
    pub subscription_metadata: BTreeMap<String, String>,
    /// With lines of an invoice, the invoice is paid in a checkout session of this metadata.
    pub session_metadata: BTreeMap<String, String>,
    /// That of the charge when absent.
    pub payment_intent_metadata: Option<BTreeMap<String, String>>,
}

impl Default for NewCharge {
    fn default() -> Self {
        Self {
            amount: None,
            currency: "usd".to_owned(),
            status: "succeeded".to_owned(),
            captured: true,
            amount_captured: None,
            created: None,
            customer: None,
            metadata: BTreeMap::new(),
            card: true,
            method: None,
            country: None,
            source_transfer: None,
            release_unlisted: false,
            invoice_lines: Vec::new(),
            invoice_created: None,
            session_items: Vec::new(),
            invoice_metadata: BTreeMap::new(),
            subscription_metadata: BTreeMap::new(),
            session_metadata: BTreeMap::new(),
            payment_intent_metadata: None,
        }
    }
}

impl NewCharge {
    /// A captured card payment of `amount` minor units.
    pub fn of(amount: i64, currency: &str) -> Self {
        Self {
            amount: Some(amount),
            currency: currency.to_owned(),
            ..Self::default()
        }
    }

    fn method(&self) -> Result<Method, ControlError> {
        let by_card = self.card && self.source_transfer.is_none();
        let kind = match &self.method {
            Some(kind) => kind.as_str(),
            None if by_card => "card",
            None => "sepa_debit",
        };
        let known = METHODS.into_iter().find(|(name, _)| *name == kind);
        let (kind, card) = known.ok_or_else(|| refused(format!("no method is '{kind}'")))?;
        let country = self.country.as_deref().unwrap_or("US");
        let known = COUNTRIES.into_iter().find(|name| *name == country);
        let country = known.ok_or_else(|| refused(format!("no method is of '{country}'")))?;
        Ok(Method {
            kind,
            card,
            brand: "visa",
            country,
            last4: 4242,
        })
    }

    fn status(&self) -> Result<ChargeStatus, ControlError> {
        match self.status.as_str() {
            "succeeded" => Ok(ChargeStatus::Succeeded),
            "pending" => Ok(ChargeStatus::Pending),
            "failed" => Ok(ChargeStatus::Failed),
            other => Err(refused(format!("a charge cannot be '{other}'"))),
        }
    }
}

impl AccountHandle {
    /// Makes a charge; returns `ch_…` or `py_…`.
    pub fn create_charge(&self, new: &NewCharge) -> Result<String, ControlError> {
        let customer = match &new.customer {
            None => None,
            Some(id) => Some(self.locate(Kind::Customer, id)?),
        };
        let invoiced = self.prices_of(&new.invoice_lines)?;
        let ordered = self.prices_of(&new.session_items)?;
        self.change(|book, recorder| {
            let lines = priced(book, &new.invoice_lines, &invoiced);
            let items = priced(book, &new.session_items, &ordered);
            let charge = charge(book, new, customer, lines, items, recorder.now())?;
            let index = charge.index;
            enter(book, charge);
            announce(book, index, recorder);
            let view = self.account().view(book, self.account().version);
            Ok(view.id_of(Kind::Charge, index))
        })
    }
}

pub(super) fn priced(book: &Book, lines: &[NewLine], prices: &[Option<u64>]) -> Vec<Line> {
    let line = |(line, &price): (&NewLine, &Option<u64>)| {
        let unit = price
            .and_then(|index| book.price(index))
            .map_or(0, |price| price.unit_amount);
        Line {
            price,
            quantity: line.quantity,
            quantity_decimal: line.quantity_decimal.clone(),
            amount: line.amount.unwrap_or(unit * line.quantity.unwrap_or(1)),
            discount: line.discount,
            credit: line.credit,
            tax: 0,
            proration: line.proration || line.credits,
            credits: line.credits,
            metadata: written(&line.metadata),
        }
    };
    lines.iter().zip(prices).map(line).collect()
}

fn written(metadata: &BTreeMap<String, String>) -> Metadata {
    let pairs = metadata.iter();
    pairs
        .map(|(key, value)| (key.clone().into(), value.clone().into()))
        .collect()
}

/// The charge, after the invoice or the session that it pays was entered.
pub(super) fn charge(
    book: &mut Book,
    new: &NewCharge,
    customer: Option<u64>,
    lines: Vec<Line>,
    items: Vec<Line>,
    now: i64,
) -> Result<Charge, ControlError> {
    let currency =
        Currency::parse(&new.currency).ok_or_else(|| refused("a currency is three letters"))?;
    let status = new.status()?;
    let created = new.created.unwrap_or(now);
    let index = book.next_charge();
    let total: i64 = lines.iter().chain(&items).map(Line::total).sum();
    let unlined = lines.is_empty() && items.is_empty();
    let amount = new.amount.unwrap_or(if unlined { 1_000 } else { total });
    let captured =
        status != ChargeStatus::Failed && (new.captured || status == ChargeStatus::Pending);
    let taken = status == ChargeStatus::Succeeded && captured;
    let amount_captured = if taken {
        new.amount_captured.unwrap_or(amount)
    } else {
        0
    };
    if amount < 1 || amount_captured > amount {
        return Err(refused(
            "the amount is at least 1 and at least what is captured",
        ));
    }
    let purchase = if !lines.is_empty() {
        let customer = customer.ok_or_else(|| refused("an invoice needs a customer"))?;
        let created = new.invoice_created.unwrap_or(created);
        let terms = (currency, customer);
        let invoice = enter_invoice(book, lines, vec![index], terms, created);
        if let Some(entered) = book.overlay.invoices.get_mut(&invoice) {
            entered.metadata = written(&new.invoice_metadata);
            entered.subscription_metadata = written(&new.subscription_metadata);
        }
        if !new.session_metadata.is_empty() {
            let of = (None, Some(invoice));
            let terms = (currency, Some(customer));
            enter_session(book, Vec::new(), of, terms, created, &new.session_metadata);
        }
        Purchase::Invoice(invoice)
    } else if items.is_empty() {
        Purchase::Nothing
    } else {
        let (of, terms) = ((Some(index), None), (currency, customer));
        let metadata = &new.session_metadata;
        Purchase::Session(enter_session(book, items, of, terms, created, metadata))
    };
    if let Some(metadata) = &new.payment_intent_metadata {
        book.overlay.intents.insert(index, written(metadata));
    }
    Ok(Charge {
        index,
        created,
        amount,
        amount_captured,
        currency,
        status,
        captured,
        expired: false,
        customer,
        payment_intent: new.source_transfer.is_none().then_some(index),
        source_transfer: new.source_transfer.clone(),
        method: new.method()?,
        purchase,
        refunds: Vec::new(),
        release_unlisted: new.release_unlisted,
        dispute: None,
        metadata: written(&new.metadata),
    })
}

/// Enters an invoice and lists it; returns its index.
pub(super) fn enter_invoice(
    book: &mut Book,
    lines: Vec<Line>,
    charges: Vec<u64>,
    (currency, customer): (Currency, u64),
    created: i64,
) -> u64 {
    let index = book.next_invoice();
    let invoice = Invoice {
        index,
        created,
        currency,
        customer,
        status: InvoiceStatus::Open,
        subscription: true,
        metadata: Vec::new(),
        subscription_metadata: Vec::new(),
        lines,
        charges,
    };
    book.overlay.invoices.insert(index, invoice);
    book.list(Kind::Invoice, created, index);
    index
}

/// Enters a session in which a charge is paid, or an invoice, and lists it; returns its index.
fn enter_session(
    book: &mut Book,
    items: Vec<Line>,
    (charge, invoice): (Option<u64>, Option<u64>),
    (currency, customer): (Currency, Option<u64>),
    created: i64,
    metadata: &BTreeMap<String, String>,
) -> u64 {
    let index = book.next_session();
    let session = Session {
        index,
        created,
        currency,
        customer,
        charge,
        invoice,
        metadata: written(metadata),
        shipping: 0,
        items,
    };
    book.overlay.sessions.insert(index, session);
    book.list(Kind::Session, created, index);
    index
}

/// Enters the charge and lists what hangs on it.
pub(super) fn enter(book: &mut Book, mut charge: Charge) {
    let (index, created) = (charge.index, charge.created);
    book.list(Kind::Charge, created, index);
    book.list(Kind::PaymentIntent, created, index);
    if charge.taken() {
        book.list(Kind::BalanceTransaction, created, index * ENTRY_SLOTS);
    }
    if matches!(charge.purchase, Purchase::Invoice(_)) {
        book.list(Kind::InvoicePayment, created, index);
    }
    let released = charge.amount - charge.amount_captured;
    let partial = charge.amount_captured > 0 && released > 0;
    if partial && book.generator.release_is_refund() {
        super::charge::release(book, &mut charge, released, created);
    }
    book.overlay.charges.insert(index, charge);
}

fn announce(book: &Book, index: u64, recorder: &mut Recorder<'_>) {
    let Some(charge) = book.charge(index) else {
        return;
    };
    let name = format!("charge.{}", charge.status.name());
    recorder.record(book, &name, (Kind::Charge, index), None);
    let paid = charge.paid();
    if paid && charge.captured {
        let intent = (Kind::PaymentIntent, index);
        recorder.record(book, "payment_intent.succeeded", intent, None);
    }
    match charge.purchase {
        Purchase::Nothing => {}
        Purchase::Session(session) => {
            let object = (Kind::Session, session);
            recorder.record(book, "checkout.session.completed", object, None);
        }
        Purchase::Invoice(invoice) => {
            recorder.record(book, "invoice.finalized", (Kind::Invoice, invoice), None);
            if let Some(session) = book.session_of_invoice(invoice) {
                let object = (Kind::Session, session.index);
                recorder.record(book, "checkout.session.completed", object, None);
            }
            if paid {
                recorder.record(book, "invoice.paid", (Kind::Invoice, invoice), None);
                let payment = (Kind::InvoicePayment, index);
                recorder.record(book, "invoice_payment.paid", payment, None);
            }
        }
    }
}
