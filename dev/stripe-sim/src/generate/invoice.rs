//! Generated invoices: one to fourteen lines, with discounts, tax, credits of prorations and lines
//! without a price.
//!
//! Four slots per group: paid at once, paid late, paid by two charges, and (in every fourth
//! group) never paid. Nothing here can fail.

use super::{GROUP, Generator, LATE, PURCHASES, Role, metadata};
use crate::draw::{Domain, Draw};
use crate::ledger::{Currency, Invoice, InvoiceStatus, Line};

/// Seconds by which an invoice paid at once precedes the first charge of its group.
pub(crate) const PROMPT_LEAD: i64 = 5;
/// The same for an invoice paid by two charges.
pub(crate) const SPLIT_LEAD: i64 = 7;

impl Generator {
    /// Whether invoice `index` was ever made.
    pub(crate) const fn invoice_exists(&self, index: u64) -> bool {
        let group = index / PURCHASES;
        group < self.groups() && (index % PURCHASES != 3 || group.is_multiple_of(4))
    }

    /// Invoice `index`, which exists.
    pub(crate) fn invoice(&self, index: u64) -> Invoice {
        let (group, place) = (index / PURCHASES, index % PURCHASES);
        let (currency, customer, subscription, lines) = self.invoice_core(index);
        let charges = match place {
            0 => vec![self.charge_with(group, Role::PromptInvoice)],
            1 => vec![self.charge_with(group, Role::LateInvoice)],
            2 => vec![
                self.charge_with(group, Role::SplitFirst),
                self.charge_with(group, Role::SplitSecond),
            ],
            _ => Vec::new(),
        };
        // Of an invoice with charges, these decide: see `Book::invoice_status`.
        let status = [
            InvoiceStatus::Draft,
            InvoiceStatus::Open,
            InvoiceStatus::Void,
            InvoiceStatus::Uncollectible,
        ][(group / 4 % 4) as usize];
        Invoice {
            index,
            created: self.invoice_created(index),
            currency,
            customer,
            status,
            subscription,
            metadata: metadata::invoice(index),
            subscription_metadata: metadata::subscription(index, subscription),
            lines: metadata::with_lines(index, lines),
            charges,
        }
    }

    fn invoice_created(&self, index: u64) -> i64 {
        let group = index / PURCHASES;
        let lead = match index % PURCHASES {
            0 => PROMPT_LEAD,
            1 => LATE[(group % 4) as usize],
            2 => SPLIT_LEAD,
            _ => 0,
        };
        self.timeline.created(group * GROUP) - lead
    }

    /// What charges need of their invoice: currency, customer, whether by subscription, and lines.
    pub(super) fn invoice_core(&self, index: u64) -> (Currency, u64, bool, Vec<Line>) {
        let mut draw = self.draw(Domain::Invoice, index);
        let currency = self.currency(Domain::Invoice, index);
        let customer = Self::customer_for(index / PURCHASES * GROUP, &mut draw);
        let subscription = draw.chance(70);
        let count = self.line_count(&mut draw);
        let discount = if draw.chance(12) {
            draw.pick(&[10, 20, 33])
        } else {
            0
        };
        let tax = if draw.chance(20) {
            draw.pick(&[7, 19])
        } else {
            0
        };
        let lines = (0..count)
            .map(|place| self.invoice_line(currency, place > 0, discount, tax, &mut draw))
            .collect::<Vec<_>>();
        (currency, customer, subscription, credited(lines))
    }

    /// The shares of the shorter invoices stay in proportion, whatever that of the long ones is.
    const fn line_count(&self, draw: &mut Draw) -> i64 {
        const PARTS: u64 = 90;
        let shorter = 100_u64.saturating_sub(self.long_invoice_percent as u64);
        let drawn = draw.below(100 * PARTS);
        if drawn < shorter * 50 {
            1
        } else if drawn < shorter * 76 {
            draw.between(2, 3)
        } else if drawn < shorter * PARTS {
            draw.between(4, 10)
        } else {
            draw.between(11, 14)
        }
    }

    fn invoice_line(
        &self,
        currency: Currency,
        may_credit: bool,
        discount: i64,
        tax: i64,
        draw: &mut Draw,
    ) -> Line {
        if draw.chance(3) {
            let amount = draw.between(5, 500) * 100;
            let (price, quantity) = (None, None);
            return Line {
                price,
                quantity,
                quantity_decimal: None,
                amount,
                discount: 0,
                credit: 0,
                tax: 0,
                proration: false,
                credits: false,
                metadata: Vec::new(),
            };
        }
        let price = Self::price_in(currency, draw);
        let quantity = if draw.chance(70) {
            1
        } else {
            draw.between(2, 9)
        };
        let amount = self.unit_amount(price) * quantity;
        let proration = may_credit && draw.chance(15);
        // A credit's final size is known only when the first line is: see `credited`.
        let amount = if proration { -amount } else { amount };
        let discount = if proration {
            0
        } else {
            amount * discount / 100
        };
        let tax = if proration {
            0
        } else {
            (amount - discount) * tax / 100
        };
        Line {
            price: Some(price),
            quantity: Some(quantity),
            quantity_decimal: None,
            amount,
            discount,
            credit: 0,
            tax,
            proration,
            credits: proration,
            metadata: Vec::new(),
        }
    }
}

/// Keeps credits small enough that the invoice is worth something.
fn credited(mut lines: Vec<Line>) -> Vec<Line> {
    let first = lines.first().map_or(0, |line| line.amount - line.discount);
    let credits = lines.iter().filter(|line| line.proration).count() as i64;
    for line in lines.iter_mut().filter(|line| line.proration) {
        line.amount = line.amount.max(-(first / (2 * credits)));
    }
    lines
}
