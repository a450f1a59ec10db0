//! Generated charges, with their refunds and disputes.
//!
//! What a charge costs comes from what it pays for; its fate is drawn from its own index. Nothing
//! here can fail.

use std::borrow::Cow;

use super::{GROUP, Generator, PURCHASES, Role, metadata};
use crate::draw::{Domain, Draw};
use crate::ledger::{
    Charge, ChargeStatus, Currency, Dispute, Method, Purchase, Refund, RefundStatus,
};

/// Seconds after which an uncaptured hold lapses.
const HOLD_LASTS: i64 = 7 * 86_400;
/// Seconds between a charge and its refund in each slot.
pub(crate) const REFUND_DELAYS: [i64; 2] = [5_400, 3 * 86_400];
/// Seconds between a charge and its dispute.
pub(crate) const DISPUTE_DELAY: i64 = 5 * 86_400;

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Fate {
    Captured,
    PartlyCaptured,
    Held,
    Pending,
    Failed,
}

/// What a charge pays for, and for whom.
struct Terms {
    amount: i64,
    currency: Currency,
    customer: Option<u64>,
    purchase: Purchase,
}

impl Generator {
    /// Charge `index`, which is below [`Generator::charges`].
    pub(crate) fn charge(&self, index: u64) -> Charge {
        let (role, paid) = self.role(index);
        let terms = match paid {
            Some(paid) => self.terms(self.role(paid).0, paid),
            None => self.terms(role, index),
        };
        let fate = if paid.is_some() {
            Fate::Failed
        } else {
            self.fate(role, index)
        };
        let created = self.timeline.created(index);
        let mut draw = self.draw(Domain::Charge, index);
        let lapsed = fate == Fate::Held && created < self.timeline.end() - HOLD_LASTS;
        let amount_captured = match fate {
            Fate::Captured => terms.amount,
            Fate::PartlyCaptured => (terms.amount * draw.between(20, 90) / 100).max(1),
            Fate::Held | Fate::Pending | Fate::Failed => 0,
        };
        let mut charge = Charge {
            index,
            created,
            amount: terms.amount,
            amount_captured,
            currency: terms.currency,
            status: match fate {
                Fate::Captured | Fate::PartlyCaptured | Fate::Held => ChargeStatus::Succeeded,
                Fate::Pending => ChargeStatus::Pending,
                Fate::Failed => ChargeStatus::Failed,
            },
            captured: fate != Fate::Held,
            expired: lapsed,
            customer: terms.customer,
            payment_intent: self.payment_intent(role, index, paid),
            source_transfer: None,
            method: self.method(fate, index),
            purchase: terms.purchase,
            refunds: Vec::new(),
            release_unlisted: false,
            dispute: None,
            metadata: metadata::charge(index, &mut self.draw(Domain::ChargeMetadata, index)),
        };
        if fate == Fate::Failed {
            charge.captured = false;
        }
        self.unwind(&mut charge, &mut draw);
        charge
    }

    fn fate(&self, role: Role, index: u64) -> Fate {
        let draw = self.draw(Domain::Method, index).below(100);
        match role {
            Role::SplitFirst | Role::SplitSecond => Fate::Captured,
            Role::PromptInvoice | Role::LateInvoice => match draw {
                0..94 => Fate::Captured,
                94..98 => Fate::Failed,
                _ => Fate::Pending,
            },
            Role::PromptSession | Role::SlowSession => match draw {
                0..90 => Fate::Captured,
                90..94 => Fate::PartlyCaptured,
                94..98 => Fate::Held,
                _ => Fate::Failed,
            },
            Role::Alone | Role::Attempt => match draw {
                0..78 => Fate::Captured,
                78..83 => Fate::PartlyCaptured,
                83..90 => Fate::Held,
                90..93 => Fate::Pending,
                _ => Fate::Failed,
            },
        }
    }

    fn terms(&self, role: Role, index: u64) -> Terms {
        let group = index / GROUP;
        let invoice = |place: u64| {
            let invoice = group * PURCHASES + place;
            let (currency, customer, _, lines) = self.invoice_core(invoice);
            let amount = lines.iter().map(crate::ledger::Line::total).sum();
            let purchase = Purchase::Invoice(invoice);
            Terms {
                amount,
                currency,
                customer: Some(customer),
                purchase,
            }
        };
        let session = |place: u64| {
            let session = group * PURCHASES + place;
            let (currency, customer, shipping, items) = self.session_core(session);
            let items: i64 = items.iter().map(crate::ledger::Line::total).sum();
            let purchase = Purchase::Session(session);
            Terms {
                amount: items + shipping,
                currency,
                customer,
                purchase,
            }
        };
        match role {
            Role::PromptInvoice => invoice(0),
            Role::LateInvoice => invoice(1),
            Role::SplitFirst => {
                let whole = invoice(2);
                Terms {
                    amount: first_part(whole.amount),
                    ..whole
                }
            }
            Role::SplitSecond => {
                let whole = invoice(2);
                Terms {
                    amount: whole.amount - first_part(whole.amount),
                    ..whole
                }
            }
            Role::PromptSession => session(0),
            Role::SlowSession => session(1),
            Role::Alone | Role::Attempt => {
                let mut draw = self.draw(Domain::Request, index);
                let guest = draw.chance(25);
                let customer = Self::customer_for(index, &mut draw);
                Terms {
                    amount: draw.between(100, 30_000),
                    currency: self.currency(Domain::Charge, index),
                    customer: (!guest).then_some(customer),
                    purchase: Purchase::Nothing,
                }
            }
        }
    }

    /// The payment's index is that of the charge that ends it; a few old charges have none.
    fn payment_intent(&self, role: Role, index: u64, paid: Option<u64>) -> Option<u64> {
        let old = matches!(role, Role::Alone)
            && self
                .draw(Domain::Request, index)
                .below(1_000)
                .is_multiple_of(40);
        (!old).then(|| paid.unwrap_or(index))
    }

    fn method(&self, fate: Fate, index: u64) -> Method {
        let mut draw = self.draw(Domain::Method, index);
        draw.next();
        let bank = fate == Fate::Pending || (fate == Fate::Captured && draw.chance(6));
        Method {
            kind: if bank { "sepa_debit" } else { "card" },
            card: !bank,
            brand: draw.pick(&["visa", "visa", "mastercard", "amex"]),
            country: draw.pick(&["US", "US", "US", "DE", "GB", "JP", "FR"]),
            last4: draw.below(10_000) as u16,
        }
    }

    fn unwind(&self, charge: &mut Charge, draw: &mut Draw) {
        let end = self.timeline.end();
        let at = |slot: usize| (charge.created + REFUND_DELAYS[slot]).min(end);
        let refund = |slot: usize, amount: i64, release: bool| Refund {
            created: at(slot),
            amount,
            status: RefundStatus::Succeeded,
            release,
        };
        if charge.expired {
            charge.refunds = vec![refund(0, charge.amount, true)];
            return;
        }
        if charge.amount_captured == 0 {
            return;
        }
        let released = charge.amount - charge.amount_captured;
        if released > 0 && self.release_is_refund {
            charge.refunds = vec![refund(0, released, true)];
            if draw.chance(20) {
                let part = (charge.amount_captured / 3).max(1);
                charge.refunds.push(refund(1, part, false));
            }
            return;
        }
        let captured = charge.amount_captured;
        match draw.below(100) {
            0..3 => charge.refunds = vec![refund(0, captured, false)],
            3..6 => charge.refunds = vec![refund(0, (captured / 4).max(1), false)],
            6..8 if captured > 10 => {
                charge.refunds = vec![
                    refund(0, captured / 5, false),
                    refund(1, captured / 3, false),
                ];
            }
            8 => {
                let mut failed = refund(0, captured, false);
                failed.status = RefundStatus::Failed;
                charge.refunds = vec![failed];
            }
            _ => {}
        }
        if charge.method.card && draw.below(1_000) < 8 && !self.charges_only {
            charge.dispute = Some(Dispute {
                created: (charge.created + DISPUTE_DELAY).min(end),
                amount: captured,
                status: Cow::Borrowed(draw.pick(&[
                    "won",
                    "lost",
                    "needs_response",
                    "under_review",
                    "warning_closed",
                ])),
                reason: Cow::Borrowed(draw.pick(&[
                    "fraudulent",
                    "general",
                    "product_not_received",
                ])),
            });
        }
    }
}

/// What the first of two charges pays of an invoice.
const fn first_part(total: i64) -> i64 {
    total - total * 2 / 5
}
