//! Rows of invoices and payments as pages list them: the day, the state, the amount, and where Stripe shows them.
//!
//! They are what the REST API answers, in the reader's locale. Days are those of UTC, since an organization has no time zone.

use common::money::Currency;
use platform::billing::subscription::Invoice;
use platform::billing::{InvoiceStatus, PaymentStatus};

use crate::pages::format::LocaleFormat;
use crate::pages::mark::{Mark, Shape, Tone};
use crate::pages::moment::Day;
use crate::routes::subscription::{InvoiceList, PaymentBody, PaymentList};

#[derive(Debug)]
pub(super) struct InvoiceRow {
    pub(super) made: Day,
    /// Its number, or its id while it has none.
    pub(super) name: String,
    pub(super) state: Mark,
    pub(super) said: Option<String>,
    pub(super) amount: String,
    pub(super) hosted_url: Option<String>,
    /// What the link to Stripe's page says.
    pub(super) hosted_label: &'static str,
    pub(super) pdf_url: Option<String>,
}

#[derive(Debug)]
pub(super) struct PaymentRow {
    pub(super) made: Day,
    pub(super) state: Mark,
    pub(super) said: Option<String>,
    pub(super) amount: String,
    pub(super) refunded: Option<String>,
    pub(super) receipt_url: Option<String>,
}

pub(super) fn invoice_rows(invoices: &InvoiceList, locale: &LocaleFormat) -> Vec<InvoiceRow> {
    let invoices = invoices.data.iter();
    invoices.map(|it| invoice_row(it, locale)).collect()
}

pub(super) fn payment_rows(payments: &PaymentList, locale: &LocaleFormat) -> Vec<PaymentRow> {
    let payments = payments.data.iter();
    payments.map(|it| payment_row(it, locale)).collect()
}

fn invoice_row(invoice: &Invoice, locale: &LocaleFormat) -> InvoiceRow {
    let currency = &invoice.currency;
    let is_open = invoice.status == InvoiceStatus::Open;
    let is_partly_paid = is_open && invoice.amount_paid > 0;
    InvoiceRow {
        made: Day::of(invoice.created_at, locale),
        name: invoice
            .number
            .clone()
            .unwrap_or_else(|| invoice.invoice_id.clone()),
        state: match invoice.status {
            InvoiceStatus::Draft => Mark::new("Being made", Shape::Circle, Tone::Quiet),
            InvoiceStatus::Open => Mark::new("To be paid", Shape::Triangle, Tone::Warning),
            InvoiceStatus::Paid => Mark::new("Paid", Shape::Check, Tone::Good),
            InvoiceStatus::Uncollectible => Mark::new("Given up", Shape::Cross, Tone::Quiet),
            InvoiceStatus::Void => Mark::new("Void", Shape::Dash, Tone::Quiet),
        },
        said: is_partly_paid.then(|| {
            let left = locale.minor(invoice.amount_remaining, currency);
            format!("{left} left")
        }),
        amount: locale.minor(invoice.amount_due, currency),
        hosted_url: invoice.hosted_url.clone(),
        hosted_label: if is_open { "Pay" } else { "Open" },
        pdf_url: invoice.pdf_url.clone(),
    }
}

fn payment_row(payment: &PaymentBody, locale: &LocaleFormat) -> PaymentRow {
    let currency = Currency::new(&payment.currency);
    let is_refunded = payment.amount_refunded > 0;
    PaymentRow {
        made: Day::of(payment.created_at, locale),
        state: match payment.status {
            PaymentStatus::Succeeded => Mark::new("Paid", Shape::Check, Tone::Good),
            PaymentStatus::Pending => Mark::new("On its way", Shape::Clock, Tone::Quiet),
            PaymentStatus::Failed => Mark::new("Failed", Shape::Cross, Tone::Error),
        },
        said: payment.failure_message.clone(),
        amount: locale.minor(payment.amount, &currency),
        refunded: is_refunded.then(|| locale.minor(payment.amount_refunded, &currency)),
        receipt_url: payment.receipt_url.clone(),
    }
}
