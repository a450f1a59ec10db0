//! What an invoice would be: the next one of a subscription, or that of a change.
//!
//! Nothing is kept of it. That there is no next invoice is a [`StripeError`].

use serde_json::Value;

use super::invoice::NewInvoice;
use super::{
    Assigned, Change, Invoice, Item, NewItem, Period, Refusal, Status, SubscriptionChange,
};
use crate::error::StripeError;
use crate::render::billing as render;
use crate::version::ApiVersion;

/// What a preview is asked for.
#[derive(Clone, Debug)]
pub(crate) enum PreviewTerms {
    /// A subscription as it is or as a change would make it.
    Of {
        subscription: usize,
        change: Box<SubscriptionChange>,
        cancel_now: bool,
    },
    /// A subscription that does not exist yet.
    New {
        customer: usize,
        items: Vec<NewItem>,
        trial_end: Option<i64>,
    },
}

impl Change<'_> {
    pub(crate) fn preview(&mut self, terms: PreviewTerms) -> Result<Invoice, StripeError> {
        match terms {
            PreviewTerms::New {
                customer,
                items,
                trial_end,
            } => self.preview_new(customer, items, trial_end),
            PreviewTerms::Of {
                subscription,
                cancel_now: true,
                ..
            } => {
                let credits = self.credits_of(subscription, self.now);
                let period = self.billing.subscriptions[subscription].period;
                self.next_invoice(subscription, period, credits)
            }
            PreviewTerms::Of {
                subscription,
                change,
                ..
            } => self.preview_change(subscription, &change),
        }
    }

    fn preview_change(
        &mut self,
        place: usize,
        change: &SubscriptionChange,
    ) -> Result<Invoice, StripeError> {
        let planned = self.plan(place, change)?;
        if planned.bills_now {
            return self.next_invoice(place, planned.period, planned.lines);
        }
        let subscription = &self.billing.subscriptions[place];
        let kept = subscription.cancel_at.is_none() && !subscription.cancel_at_period_end;
        let goes_on = match (change.cancel_at_period_end, change.cancel_at) {
            (Some(ends), _) => !ends,
            (None, Assigned::Cleared) => true,
            (None, Assigned::To(_)) => false,
            (None, Assigned::Unchanged) => kept,
        };
        let mut lines = planned.lines;
        let period = self.period_after(&planned.items, planned.anchor, planned.period)?;
        if goes_on && planned.status.renews() {
            lines.extend(self.lines_for(&planned.items, period, false));
        }
        self.next_invoice(place, period, lines)
    }

    fn period_after(
        &self,
        items: &[Item],
        anchor: i64,
        period: Period,
    ) -> Result<Period, StripeError> {
        let (interval, count) = self.interval_of(items.iter().map(|it| it.price))?;
        Ok(Period::from(anchor, period.end, interval, count))
    }

    /// An invoice of what waits for the next one and of `lines`.
    fn next_invoice(
        &mut self,
        place: usize,
        period: Period,
        lines: Vec<super::Line>,
    ) -> Result<Invoice, StripeError> {
        let subscription = &self.billing.subscriptions[place];
        let mut all = subscription.pending_lines.clone();
        all.extend(lines);
        if all.is_empty() {
            let customer = &self.billing.customers[subscription.customer];
            return Err(Refusal::NothingUpcoming(customer.id.clone()).into());
        }
        let new = NewInvoice {
            customer: subscription.customer,
            subscription: Some(place),
            currency: subscription.currency,
            reason: "upcoming",
            period,
            lines: all,
        };
        let mut invoice = self.prepare(new);
        invoice.id = format!("upcoming_in_{}", self.secret());
        invoice.next_attempt = Some(period.start.max(self.now));
        Ok(invoice)
    }

    fn preview_new(
        &mut self,
        customer: usize,
        items: Vec<NewItem>,
        trial_end: Option<i64>,
    ) -> Result<Invoice, StripeError> {
        let prices = || items.iter().map(|it| it.price);
        let (interval, count) = self.interval_of(prices())?;
        let currency = self.currency_of(Some(customer), prices())?;
        let period = match trial_end {
            Some(end) => Period {
                start: self.now,
                end,
            },
            None => Period::from(self.now, self.now, interval, count),
        };
        let items: Vec<Item> = items.into_iter().map(|it| self.item(it)).collect();
        let lines = self.lines_for(&items, period, trial_end.is_some());
        let new = NewInvoice {
            customer,
            subscription: None,
            currency,
            reason: "upcoming",
            period,
            lines,
        };
        let mut invoice = self.prepare(new);
        invoice.id = format!("upcoming_in_{}", self.secret());
        Ok(invoice)
    }

    /// The invoice of the next renewal, if there is one.
    pub(super) fn upcoming(&mut self, place: usize) -> Option<Invoice> {
        if self.billing.subscriptions[place].status == Status::Paused {
            return None;
        }
        self.preview_change(place, &SubscriptionChange::default())
            .ok()
    }

    /// An invoice that is in no list, as Stripe shows it.
    pub(crate) fn invoice_shown(&self, invoice: &Invoice, version: ApiVersion) -> Value {
        let livemode = self.account().identity.livemode;
        render::Shown {
            billing: self.billing,
            livemode,
            version,
        }
        .invoice(invoice)
    }

    /// The subscription that a customer has, of several the newest.
    pub(crate) fn subscription_of(&self, customer: usize) -> Option<usize> {
        let mut all = self.billing.subscriptions.iter();
        all.rposition(|it| it.customer == customer && it.status.renews())
    }
}
