//! Paying invoices: an attempt is a charge of the account, and what it comes to changes invoice and subscription.
//!
//! What a card does is known before it is charged. Nothing here can fail. Deliberately absent: several payments of one
//! invoice, and paying outside of Stripe.

use super::card::Charged;
use super::{AfterRetries, Change, Refusal, Status};
use crate::change::NewCharge;
use crate::error::StripeError;
use crate::id::Kind;
use crate::ledger::InvoiceStatus;
use crate::webhook::Pictures;

/// Whether the customer is there when a card is charged.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Presence {
    Absent,
    Present,
    /// The customer has just passed 3-D Secure.
    Authenticated,
}

/// What came of charging an invoice.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Collected {
    Paid,
    Pending,
    Declined(super::Decline),
    Authentication,
    NoMethod,
}

/// A charge that paid an invoice, or tried to.
#[derive(Clone, Debug)]
pub(crate) struct InvoicePayment {
    pub(crate) id: String,
    /// Unix seconds.
    pub(crate) created: i64,
    pub(crate) amount: i64,
    /// `ch_…` or `py_…`
    pub(crate) charge: String,
    /// `pi_…`
    pub(crate) intent: String,
    pub(crate) paid_at: Option<i64>,
    /// When a bank debit ends, while it is pending.
    pub(crate) settles_at: Option<i64>,
}

const DAY: i64 = 86_400;

impl Change<'_> {
    /// The payment method that a subscription's invoices are charged to.
    pub(crate) fn method_for(&self, subscription: usize) -> Option<usize> {
        let it = &self.billing.subscriptions[subscription];
        it.default_method
            .or(self.billing.customers[it.customer].default_method)
    }

    fn charged(&self, method: usize, presence: Presence) -> Charged {
        let it = &self.billing.methods[method];
        match it.card.charged(it.authenticated) {
            Charged::Authentication if presence == Presence::Authenticated => Charged::Paid,
            charged => charged,
        }
    }

    /// Refuses what a payment method would not pay at once.
    pub(crate) fn expect_paid(&self, method: usize, presence: Presence) -> Result<(), StripeError> {
        match self.charged(method, presence) {
            Charged::Paid | Charged::Pending => Ok(()),
            Charged::Declined(decline) => Err(Refusal::Declined(decline).into()),
            Charged::Authentication => Err(Refusal::AuthenticationRequired.into()),
        }
    }

    /// Charges an open invoice.
    pub(crate) fn collect(&mut self, place: usize, presence: Presence) -> Collected {
        let invoice = &self.billing.invoices[place];
        let method = match invoice.subscription {
            Some(subscription) => self.method_for(subscription),
            None => self.billing.customers[invoice.customer].default_method,
        };
        self.collect_from(place, method, presence)
    }

    pub(crate) fn collect_from(
        &mut self,
        place: usize,
        method: Option<usize>,
        presence: Presence,
    ) -> Collected {
        let invoice = &mut self.billing.invoices[place];
        invoice.attempts += 1;
        invoice.next_attempt = None;
        let Some(method) = method else {
            self.payment_failed(place);
            return Collected::NoMethod;
        };
        let debit = self.billing.methods[method].card.is_debit();
        match self.charged(method, presence) {
            Charged::Paid => {
                let payment = self.charge(place, "succeeded", debit);
                self.settle(place, Some(payment));
                Collected::Paid
            }
            Charged::Pending => {
                self.begin_debit(place);
                Collected::Pending
            }
            Charged::Declined(decline) => {
                self.charge(place, "failed", debit);
                self.payment_failed(place);
                Collected::Declined(decline)
            }
            Charged::Authentication => {
                self.billing.invoices[place].asks_for_authentication = true;
                self.record("invoice.payment_action_required", (Kind::Invoice, place));
                if presence == Presence::Absent {
                    self.payment_failed(place);
                }
                Collected::Authentication
            }
        }
    }

    /// Makes a charge for what is due; returns the place of the payment.
    fn charge(&mut self, place: usize, status: &str, debit: bool) -> usize {
        let invoice = &self.billing.invoices[place];
        let new = NewCharge {
            status: status.to_owned(),
            created: Some(self.now),
            customer: Some(self.billing.customers[invoice.customer].id.clone()),
            card: !debit,
            ..NewCharge::of(invoice.due(), invoice.currency.code())
        };
        let charge = self.handle.create_charge(&new);
        let charge = charge
            .expect("an invoice that is charged is of at least 1, for a customer that was made");
        let codec = &self.account().identity.codec;
        let index = codec.decode(Kind::Charge, &charge).unwrap_or_default();
        let intent = codec.encode(Kind::PaymentIntent, index);
        let payment = InvoicePayment {
            id: self.inner_id(Kind::InvoicePayment),
            created: self.now,
            amount: new.amount.unwrap_or_default(),
            charge,
            intent,
            paid_at: None,
            settles_at: None,
        };
        if status == "failed" {
            let intent = (Kind::PaymentIntent, index);
            self.handle
                .record_booked("payment_intent.payment_failed", intent);
        }
        let payments = &mut self.billing.invoices[place].payments;
        payments.push(payment);
        payments.len() - 1
    }

    fn begin_debit(&mut self, place: usize) {
        let payment = self.charge(place, "pending", true);
        let until = self.now + self.billing.switches.debit_days * DAY;
        let invoice = &mut self.billing.invoices[place];
        invoice.payments[payment].settles_at = Some(until);
        invoice.voids_at = None;
        let subscription = invoice.subscription;
        if let Some(subscription) = subscription.filter(|_| self.billing.switches.debit_activates) {
            self.subscription_paid(subscription, place);
        }
    }

    /// Ends a bank debit; false where none is pending.
    pub(crate) fn settle_debit(&mut self, place: usize, success: bool) -> bool {
        let payments = &mut self.billing.invoices[place].payments;
        let Some(payment) = payments.iter().position(|it| it.settles_at.is_some()) else {
            return false;
        };
        payments[payment].settles_at = None;
        let charge = payments[payment].charge.clone();
        let ended = if success {
            self.handle.succeed(&charge)
        } else {
            self.handle.fail(&charge)
        };
        debug_assert!(ended.is_ok(), "the charge is pending");
        if success {
            self.settle(place, Some(payment));
        } else {
            self.expire_incomplete(place);
            self.payment_failed(place);
        }
        self.session_settled(place, success);
        true
    }

    /// Has a subscription that waited for a bank debit wait for another payment.
    fn expire_incomplete(&mut self, place: usize) {
        let until = self.now + self.billing.switches.incomplete_seconds;
        let subscription = self.billing.invoices[place].subscription;
        let status = subscription.map(|it| self.billing.subscriptions[it].status);
        if status == Some(Status::Incomplete) {
            self.billing.invoices[place].voids_at = Some(until);
        }
    }

    /// Ends 3-D Secure of an invoice; false where none is asked for.
    pub(crate) fn authenticate_invoice(&mut self, place: usize, success: bool) -> bool {
        let invoice = &mut self.billing.invoices[place];
        if !std::mem::take(&mut invoice.asks_for_authentication) || !invoice.is_open() {
            return false;
        }
        if success {
            let payment = self.charge(place, "succeeded", false);
            self.settle(place, Some(payment));
        } else {
            self.charge(place, "failed", false);
            self.payment_failed(place);
        }
        true
    }

    /// An invoice is paid: by a payment, or because nothing is due.
    pub(crate) fn settle(&mut self, place: usize, payment: Option<usize>) {
        let now = self.now;
        let before = self.pictures((Kind::Invoice, place));
        let invoice = &mut self.billing.invoices[place];
        invoice.status = InvoiceStatus::Paid;
        invoice.paid_at = Some(now);
        (invoice.next_attempt, invoice.voids_at) = (None, None);
        invoice.asks_for_authentication = false;
        let (customer, subscription) = (invoice.customer, invoice.subscription);
        if let Some(payment) = payment {
            invoice.payments[payment].paid_at = Some(now);
            invoice.amount_paid = invoice.payments[payment].amount;
        }
        let after = self.pictures((Kind::Invoice, place));
        self.record_pictures("invoice.updated", &after, Some(&before));
        self.record_pictures("invoice.paid", &after, None);
        self.record_pictures("invoice.payment_succeeded", &after, None);
        if let Some(payment) = payment {
            let shown = crate::render::billing::payment(
                &self.billing.invoices[place],
                payment,
                self.account().identity.livemode,
            );
            let pictures = Pictures::only(shown.to_string());
            self.record_pictures("invoice_payment.paid", &pictures, None);
        }
        self.set_delinquent(customer, false);
        if let Some(subscription) = subscription {
            self.subscription_paid(subscription, place);
        }
    }

    fn set_delinquent(&mut self, customer: usize, delinquent: bool) {
        self.alter("customer.updated", (Kind::Customer, customer), |it| {
            it.billing.customers[customer].delinquent = delinquent;
        });
    }

    fn payment_failed(&mut self, place: usize) {
        let invoice = &self.billing.invoices[place];
        let (customer, subscription) = (invoice.customer, invoice.subscription);
        let of_first = invoice.voids_at.is_some();
        let tried = invoice.attempts as usize;
        let wait = self
            .billing
            .switches
            .retry_days
            .get(tried.saturating_sub(1))
            .copied();
        let next = wait.filter(|_| !of_first).map(|days| self.now + days * DAY);
        self.billing.invoices[place].next_attempt = next;
        self.record("invoice.payment_failed", (Kind::Invoice, place));
        self.set_delinquent(customer, true);
        let Some(subscription) = subscription else {
            return;
        };
        self.subscription_failed(subscription);
        if next.is_none() && !of_first {
            self.give_up(subscription);
        }
    }

    /// What becomes of a subscription whose invoice is not tried again.
    fn give_up(&mut self, place: usize) {
        if self.billing.subscriptions[place].status != Status::PastDue {
            return;
        }
        match self.billing.switches.after_retries {
            AfterRetries::Canceled => self.end_subscription(place, Some("payment_failed")),
            AfterRetries::Unpaid => {
                self.alter_subscription(place, |it| it.status = Status::Unpaid);
            }
            AfterRetries::PastDue => {}
        }
    }
}
