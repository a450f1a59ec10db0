//! How a subscription goes on and ends: renewals, pauses, cancellations, and what payments do to it.
//!
//! A renewal of what was cancelled is its end. What is refused is a [`StripeError`].

use super::payment::Presence;
use super::{Change, MissingMethod, Period, Refusal, Status};
use crate::error::StripeError;
use crate::id::Kind;

impl Change<'_> {
    /// Begins the next period: with an invoice, or by the end of what was cancelled.
    pub(crate) fn renew(&mut self, place: usize) {
        let subscription = &self.billing.subscriptions[place];
        let end = subscription.period.end;
        let ends =
            subscription.cancel_at_period_end || subscription.cancel_at.is_some_and(|at| at <= end);
        if ends {
            self.end_subscription(place, None);
            return;
        }
        let trialed = subscription.status == Status::Trialing;
        if trialed && self.method_for(place).is_none() {
            match self.billing.subscriptions[place].missing_method {
                MissingMethod::CreateInvoice => {}
                MissingMethod::Cancel => return self.end_subscription(place, None),
                MissingMethod::Pause => return self.pause(place),
            }
        }
        let before = self.pictures((Kind::Subscription, place));
        self.begin_phase_at_renewal(place);
        let subscription = &self.billing.subscriptions[place];
        let items = subscription.items.iter().map(|it| it.price);
        let Ok((interval, count)) = self.interval_of(items) else {
            // Items are only put in when they have one interval.
            return self.end_subscription(place, None);
        };
        let period = Period::from(subscription.anchor, end, interval, count);
        let subscription = &mut self.billing.subscriptions[place];
        subscription.period = period;
        if trialed {
            subscription.status = Status::Active;
        }
        let unpaid = subscription.status == Status::Unpaid;
        let lines = self.lines_of(place, period);
        let invoice = self.invoice_subscription(place, "subscription_cycle", lines);
        if unpaid {
            self.billing.invoices[invoice].finalizes_at = None;
        }
        let after = self.pictures((Kind::Subscription, place));
        self.record_pictures("customer.subscription.updated", &after, Some(&before));
    }

    fn pause(&mut self, place: usize) {
        self.alter_subscription(place, |it| it.status = Status::Paused);
        self.record("customer.subscription.paused", (Kind::Subscription, place));
    }

    /// Takes a paused subscription up again, once its new invoice is paid.
    pub(crate) fn resume(&mut self, place: usize) -> Result<(), StripeError> {
        let subscription = &self.billing.subscriptions[place];
        if subscription.status != Status::Paused {
            return Err(Refusal::NotPaused(subscription.status.name()).into());
        }
        let items = subscription.items.iter().map(|it| it.price);
        let (interval, count) = self.interval_of(items)?;
        let period = Period::from(self.now, self.now, interval, count);
        self.alter_subscription(place, |it| {
            it.period = period;
            it.anchor = period.start;
        });
        let lines = self.lines_of(place, period);
        let invoice = self.invoice_subscription(place, "subscription_cycle", lines);
        self.finalize(invoice);
        if self.billing.subscriptions[place].status == Status::Paused {
            let until = self.now + self.billing.switches.incomplete_seconds;
            self.billing.invoices[invoice].voids_at = Some(until);
            self.collect(invoice, Presence::Absent);
        }
        Ok(())
    }

    /// Ends a subscription now.
    pub(crate) fn end_subscription(&mut self, place: usize, reason: Option<&'static str>) {
        let now = self.now;
        let subscription = &mut self.billing.subscriptions[place];
        subscription.status = Status::Canceled;
        subscription.ended_at = Some(now);
        subscription.canceled_at.get_or_insert(now);
        subscription.pending_lines.clear();
        subscription.pending_update = None;
        if reason.is_some() {
            subscription.cancellation_reason = reason;
        }
        let schedule = subscription.schedule.take();
        for invoice in &mut self.billing.invoices {
            if invoice.subscription == Some(place) {
                invoice.finalizes_at = None;
                invoice.next_attempt = None;
            }
        }
        self.record("customer.subscription.deleted", (Kind::Subscription, place));
        if let Some(schedule) = schedule {
            self.cancel_schedule_of_ended(schedule);
        }
    }

    /// Cancels a subscription when somebody asks for it.
    pub(crate) fn cancel_subscription(
        &mut self,
        place: usize,
        (invoice_now, prorate): (bool, bool),
    ) {
        if prorate {
            let credits = self.credits_of(place, self.now);
            self.billing.subscriptions[place]
                .pending_lines
                .extend(credits);
        }
        let open = !self.billing.subscriptions[place].pending_lines.is_empty();
        if invoice_now && open {
            let invoice = self.invoice_subscription(place, "subscription_update", Vec::new());
            self.finalize(invoice);
            if self.billing.invoices[invoice].is_open() {
                self.collect(invoice, Presence::Absent);
            }
        }
        let latest = self.billing.subscriptions[place].latest_invoice;
        let incomplete = self.billing.subscriptions[place].status == Status::Incomplete;
        self.end_subscription(place, Some("cancellation_requested"));
        if let Some(invoice) = latest.filter(|_| incomplete) {
            self.void(invoice);
        }
    }

    /// What paying, or being about to pay, an invoice does to its subscription.
    pub(crate) fn subscription_paid(&mut self, place: usize, invoice: usize) {
        let latest = self.billing.subscriptions[place].latest_invoice == Some(invoice);
        let status = self.billing.subscriptions[place].status;
        let healed = matches!(status, Status::PastDue | Status::Unpaid) && latest;
        let resumed = status == Status::Paused && latest;
        self.apply_pending_update(place, invoice);
        if status == Status::Incomplete || healed || resumed {
            self.alter_subscription(place, |it| it.status = Status::Active);
        }
        if resumed {
            self.record("customer.subscription.resumed", (Kind::Subscription, place));
        }
    }

    /// What a payment that failed does to its subscription; one that a change waits for does nothing.
    pub(crate) fn subscription_failed(&mut self, place: usize) {
        let subscription = &self.billing.subscriptions[place];
        if subscription.status == Status::Active && subscription.pending_update.is_none() {
            self.alter_subscription(place, |it| it.status = Status::PastDue);
        }
    }
}
