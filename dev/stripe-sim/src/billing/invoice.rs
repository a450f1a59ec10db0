//! Invoices of subscriptions: drafts that wait, finalized ones, and what became of them.
//!
//! A draft waits until its `invoice.created` was delivered, and some time more. A credit that is left over goes to the
//! customer's balance. Nothing here can fail. Deliberately absent: lines that are added by hand, and taxes.

use super::payment::InvoicePayment;
use super::{Change, Metadata, Period};
use crate::id::Kind;
use crate::ledger::{Currency, InvoiceStatus};

#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) id: String,
    /// Minor units before the discount; negative for a credit.
    pub(crate) amount: i64,
    pub(crate) discount: i64,
    pub(crate) description: String,
    pub(crate) price: usize,
    pub(crate) quantity: i64,
    pub(crate) period: Period,
    pub(crate) proration: bool,
    /// The subscription's item, `si_…`.
    pub(crate) item: String,
}

#[derive(Clone, Debug)]
pub(crate) struct Invoice {
    pub(crate) id: String,
    /// Unix seconds, as all its instants.
    pub(crate) created: i64,
    pub(crate) customer: usize,
    pub(crate) subscription: Option<usize>,
    pub(crate) currency: Currency,
    pub(crate) reason: &'static str,
    pub(crate) status: InvoiceStatus,
    pub(crate) lines: Vec<Line>,
    pub(crate) period: Period,
    pub(crate) number: Option<String>,
    /// The customer's balance before and after it was finalized.
    pub(crate) starting_balance: i64,
    pub(crate) ending_balance: Option<i64>,
    pub(crate) amount_paid: i64,
    pub(crate) attempts: u32,
    pub(crate) next_attempt: Option<i64>,
    /// When a draft is finalized at the latest.
    pub(crate) finalizes_at: Option<i64>,
    /// When it is voided if nobody has paid it.
    pub(crate) voids_at: Option<i64>,
    /// The place of its `invoice.created` in the log, while that is being delivered.
    pub(crate) undelivered: Option<u64>,
    pub(crate) delivered_at: Option<i64>,
    pub(crate) finalized_at: Option<i64>,
    pub(crate) paid_at: Option<i64>,
    pub(crate) voided_at: Option<i64>,
    pub(crate) payments: Vec<InvoicePayment>,
    /// Whether its payment waits for 3-D Secure.
    pub(crate) asks_for_authentication: bool,
    pub(crate) secret: String,
    /// The subscription's when it was made.
    pub(crate) metadata: Metadata,
}

impl Invoice {
    pub(crate) fn total(&self) -> i64 {
        self.lines.iter().map(|it| it.amount - it.discount).sum()
    }

    /// What is to be paid, after the customer's balance.
    pub(crate) fn due(&self) -> i64 {
        (self.total() + self.starting_balance).max(0)
    }

    pub(crate) fn is_open(&self) -> bool {
        self.status == InvoiceStatus::Open
    }

    /// The payment that is under way.
    pub(crate) fn pending(&self) -> Option<&InvoicePayment> {
        self.payments.iter().find(|it| it.settles_at.is_some())
    }
}

/// What a draft is made of.
#[derive(Clone, Debug)]
pub(crate) struct NewInvoice {
    pub(crate) customer: usize,
    pub(crate) subscription: Option<usize>,
    pub(crate) currency: Currency,
    pub(crate) reason: &'static str,
    pub(crate) period: Period,
    pub(crate) lines: Vec<Line>,
}

impl Change<'_> {
    /// An invoice that is in no list yet.
    pub(crate) fn prepare(&mut self, new: NewInvoice) -> Invoice {
        let metadata = new
            .subscription
            .map(|it| self.billing.subscriptions[it].metadata.clone());
        let mut invoice = Invoice {
            id: String::new(),
            created: self.now,
            customer: new.customer,
            subscription: new.subscription,
            currency: new.currency,
            reason: new.reason,
            status: InvoiceStatus::Draft,
            lines: new.lines,
            period: new.period,
            number: None,
            starting_balance: self.billing.customers[new.customer].balance,
            ending_balance: None,
            amount_paid: 0,
            attempts: 0,
            next_attempt: None,
            finalizes_at: None,
            voids_at: None,
            undelivered: None,
            delivered_at: None,
            finalized_at: None,
            paid_at: None,
            voided_at: None,
            payments: Vec::new(),
            asks_for_authentication: false,
            secret: String::new(),
            metadata: metadata.unwrap_or_default(),
        };
        self.take_discount_off(&mut invoice);
        invoice
    }

    fn take_discount_off(&self, invoice: &mut Invoice) {
        let subscription = invoice
            .subscription
            .map(|it| &self.billing.subscriptions[it]);
        let discount = subscription.and_then(|it| it.discount.as_ref());
        let Some(coupon) = discount.map(|it| &self.billing.coupons[it.coupon]) else {
            return;
        };
        let amounts: Vec<i64> = invoice.lines.iter().map(|it| it.amount).collect();
        for (line, off) in invoice.lines.iter_mut().zip(coupon.off.of(&amounts)) {
            line.discount = off;
        }
    }

    /// Makes a draft; returns its place.
    pub(crate) fn draft(&mut self, new: NewInvoice) -> usize {
        let place = self.billing.invoices.len();
        let (id, secret) = (self.id(Kind::Invoice, place), self.secret());
        let mut invoice = self.prepare(new);
        invoice.secret = format!("{id}_secret_{secret}");
        invoice.id = id;
        invoice.finalizes_at = Some(self.now + self.billing.switches.draft_seconds);
        let discounted = invoice.lines.iter().any(|it| it.discount > 0);
        if let Some(subscription) = invoice.subscription.filter(|_| discounted) {
            self.use_discount_up(subscription);
        }
        self.billing.invoices.push(invoice);
        let event = self.record("invoice.created", (Kind::Invoice, place));
        let waits = self.billing.switches.drafts_wait_for_webhooks;
        self.billing.invoices[place].delivered_at = Some(self.now);
        if let Some(event) = event.filter(|&it| waits && !self.is_delivered(it)) {
            let horizon = self.now + self.billing.switches.delivery_horizon_seconds;
            let invoice = &mut self.billing.invoices[place];
            (invoice.undelivered, invoice.delivered_at) = (Some(event), None);
            invoice.finalizes_at = Some(horizon);
        }
        place
    }

    fn use_discount_up(&mut self, subscription: usize) {
        let discount = self.billing.subscriptions[subscription].discount.as_ref();
        if discount.is_some_and(|it| !self.billing.coupons[it.coupon].forever) {
            self.billing.subscriptions[subscription].discount = None;
        }
    }

    fn is_delivered(&self, event: u64) -> bool {
        let events = self.account().events();
        events
            .get(event)
            .is_none_or(crate::event::Event::is_delivered)
    }

    /// Notes which drafts wait no longer for their event.
    pub(crate) fn note_deliveries(&mut self) {
        for place in 0..self.billing.invoices.len() {
            let event = self.billing.invoices[place].undelivered;
            let Some(event) = event else { continue };
            if self.is_delivered(event) {
                let seconds = self.billing.switches.draft_seconds;
                let now = self.now;
                let invoice = &mut self.billing.invoices[place];
                invoice.undelivered = None;
                invoice.delivered_at = Some(now);
                invoice.finalizes_at = invoice.finalizes_at.map(|at| at.min(now + seconds));
            }
        }
    }

    /// Makes a draft final; one of nothing is paid then.
    pub(crate) fn finalize(&mut self, place: usize) {
        let customer = self.billing.invoices[place].customer;
        let numbered = self.billing.invoices.iter();
        let numbered = numbered.filter(|it| it.customer == customer && it.number.is_some());
        let number = format!("SIM{customer:04}-{:04}", numbered.count() + 1);
        let balance = self.billing.customers[customer].balance;
        let invoice = &mut self.billing.invoices[place];
        invoice.status = InvoiceStatus::Open;
        invoice.number = Some(number);
        invoice.finalized_at = Some(self.now);
        invoice.finalizes_at = None;
        invoice.undelivered = None;
        invoice.starting_balance = balance;
        let left = (invoice.total() + balance).min(0);
        invoice.ending_balance = Some(left);
        let due = invoice.due();
        if left != balance {
            self.alter("customer.updated", (Kind::Customer, customer), |it| {
                it.billing.customers[customer].balance = left;
            });
        }
        self.record("invoice.finalized", (Kind::Invoice, place));
        if due == 0 {
            self.settle(place, None);
        }
    }

    pub(crate) fn void(&mut self, place: usize) {
        let now = self.now;
        let invoice = &mut self.billing.invoices[place];
        if !invoice.is_open() {
            return;
        }
        invoice.status = InvoiceStatus::Void;
        invoice.voided_at = Some(now);
        (invoice.next_attempt, invoice.voids_at) = (None, None);
        invoice.asks_for_authentication = false;
        self.record("invoice.voided", (Kind::Invoice, place));
    }

    /// The lines of a subscription's items for a period; those of a trial are of nothing.
    pub(crate) fn lines_of(&mut self, place: usize, period: Period) -> Vec<Line> {
        let subscription = &self.billing.subscriptions[place];
        let trial = subscription.trial == Some(period);
        let items = subscription.items.clone();
        self.lines_for(&items, period, trial)
    }

    pub(crate) fn lines_for(
        &mut self,
        items: &[super::Item],
        period: Period,
        trial: bool,
    ) -> Vec<Line> {
        let lines = items.iter().map(|item| {
            let price = &self.billing.prices[item.price];
            let name = &self.billing.products[price.product].name;
            let description = if trial {
                format!("Trial period for {name}")
            } else {
                format!("{} × {name}", item.quantity)
            };
            Line {
                amount: if trial {
                    0
                } else {
                    price.unit_amount * item.quantity
                },
                id: self.inner_id(Kind::InvoiceLine),
                discount: 0,
                description,
                price: item.price,
                quantity: item.quantity,
                period,
                proration: false,
                item: item.id.clone(),
            }
        });
        lines.collect()
    }
}
