//! Changing a subscription: its items with proration, its trial, and when it ends.
//!
//! What a change would do is worked out first, for a preview as for the change itself. What is refused is a
//! [`StripeError`], and then nothing has changed. Deliberately absent: pausing the collection of payments.

use super::payment::Presence;
use super::subscription::PendingUpdate;
use super::{
    Assigned, Change, Item, Line, Metadata, MissingMethod, NewItem, PaymentBehavior, Period,
    Redeemed, Refusal, Status, Subscription, set,
};
use crate::connect::merge_metadata;
use crate::error::StripeError;
use crate::id::Kind;

/// What is to be different about one item.
#[derive(Clone, Debug, Default)]
pub(crate) struct ItemChange {
    /// `si_…`; a further item where absent.
    pub(crate) id: Option<String>,
    pub(crate) deleted: bool,
    pub(crate) price: Option<usize>,
    pub(crate) quantity: Option<i64>,
    pub(crate) metadata: Metadata,
}

/// How the rest of a period is charged.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Proration {
    /// With the next invoice.
    #[default]
    Create,
    /// At once.
    Always,
    Never,
}

/// What is to be different about a subscription.
#[derive(Clone, Debug, Default)]
pub(crate) struct SubscriptionChange {
    pub(crate) items: Vec<ItemChange>,
    pub(crate) proration: Proration,
    /// Unix seconds; now where absent.
    pub(crate) proration_date: Option<i64>,
    pub(crate) behavior: PaymentBehavior,
    /// When the trial ends, in Unix seconds.
    pub(crate) trial_end: Option<i64>,
    /// Whether a new period begins now.
    pub(crate) anchor_now: bool,
    pub(crate) cancel_at_period_end: Option<bool>,
    /// Unix seconds.
    pub(crate) cancel_at: Assigned<i64>,
    pub(crate) default_method: Option<usize>,
    pub(crate) missing_method: Option<MissingMethod>,
    pub(crate) coupon: Assigned<Redeemed>,
    pub(crate) description: Option<String>,
    pub(crate) feedback: Option<String>,
    pub(crate) comment: Option<String>,
    pub(crate) metadata: Metadata,
}

impl SubscriptionChange {
    pub(crate) const fn cancels(&self) -> bool {
        self.cancel_at_period_end.is_some() || self.cancel_at.is_given()
    }

    const fn bills(&self) -> bool {
        !self.items.is_empty() || self.trial_end.is_some() || self.anchor_now
    }
}

/// What a change comes to.
#[derive(Clone, Debug)]
pub(crate) struct Planned {
    pub(crate) items: Vec<Item>,
    pub(crate) period: Period,
    pub(crate) anchor: i64,
    pub(crate) trial: Option<Period>,
    pub(crate) status: Status,
    pub(crate) lines: Vec<Line>,
    /// Whether the lines are charged now.
    pub(crate) bills_now: bool,
}

impl Planned {
    fn total(&self) -> i64 {
        self.lines.iter().map(|it| it.amount).sum()
    }
}

impl Change<'_> {
    /// Works out what a change would do.
    pub(crate) fn plan(
        &mut self,
        place: usize,
        change: &SubscriptionChange,
    ) -> Result<Planned, StripeError> {
        let old = self.billing.subscriptions[place].clone();
        let items = self.changed_items(&old, &change.items)?;
        let mut planned = Planned {
            period: old.period,
            anchor: old.anchor,
            trial: old.trial,
            status: old.status,
            lines: Vec::new(),
            bills_now: false,
            items,
        };
        let at = change.proration_date.unwrap_or(self.now);
        let trialing = old.status == Status::Trialing;
        if let Some(end) = change.trial_end.filter(|&end| end > self.now) {
            planned.period = Period { end, ..old.period };
            planned.trial = Some(planned.period);
            planned.anchor = end;
            planned.status = Status::Trialing;
            return Ok(planned);
        }
        let trial_ends = trialing && change.trial_end.is_some();
        if trialing && !trial_ends && !change.anchor_now {
            return Ok(planned);
        }
        let (interval, count) = self.interval_of(planned.items.iter().map(|it| it.price))?;
        let before = self.interval_of(old.items.iter().map(|it| it.price))?;
        let from_free = self.amount_of(&old.items) == 0 && self.amount_of(&planned.items) > 0;
        let restarts = trial_ends || change.anchor_now || before != (interval, count) || from_free;
        if change.proration != Proration::Never && !trialing {
            planned.lines = self.prorations(&old, &planned.items, at, restarts);
        }
        if restarts {
            planned.period = Period::from(self.now, self.now, interval, count);
            planned.anchor = self.now;
            if trial_ends {
                planned.status = Status::Active;
                planned.trial = old.trial.map(|it| Period {
                    end: self.now,
                    ..it
                });
            }
            let full = self.lines_for(&planned.items, planned.period, false);
            planned.lines.extend(full);
        }
        let always = change.proration == Proration::Always && !planned.lines.is_empty();
        planned.bills_now = restarts || always;
        Ok(planned)
    }

    fn amount_of(&self, items: &[Item]) -> i64 {
        let amount = |it: &Item| self.billing.prices[it.price].unit_amount * it.quantity;
        items.iter().map(amount).sum()
    }

    fn changed_items(
        &mut self,
        old: &Subscription,
        changes: &[ItemChange],
    ) -> Result<Vec<Item>, StripeError> {
        let mut items = old.items.clone();
        for (number, change) in changes.iter().enumerate() {
            let Some(id) = &change.id else {
                let price = change.price;
                let price = price.ok_or_else(|| StripeError::missing("items[0][price]"))?;
                items.push(self.item(NewItem {
                    price,
                    quantity: change.quantity.unwrap_or(1),
                    metadata: change.metadata.clone(),
                }));
                continue;
            };
            let missing = || {
                let param = format!("items[{number}][id]");
                StripeError::no_such_in(&param, "subscription item", id)
            };
            let at = items
                .iter()
                .position(|it| it.id == *id)
                .ok_or_else(missing)?;
            if change.deleted {
                items.remove(at);
                continue;
            }
            let item = &mut items[at];
            if let Some(price) = change.price.filter(|&price| price != item.price) {
                (item.price, item.quantity) = (price, 1);
            }
            item.quantity = change.quantity.unwrap_or(item.quantity);
            merge_metadata(&mut item.metadata, change.metadata.clone());
        }
        self.interval_of(items.iter().map(|it| it.price))?;
        for price in items.iter().map(|it| &self.billing.prices[it.price]) {
            if price.currency != old.currency {
                let bound = old.currency.code().to_owned();
                return Err(Refusal::Currencies(bound).into());
            }
        }
        let new = changes.iter().filter_map(|it| it.price);
        if new
            .into_iter()
            .any(|price| !self.billing.prices[price].active)
        {
            return Err(Refusal::InactivePrice.into());
        }
        Ok(items)
    }

    /// Credits for what is left of old items and, unless a new period begins, charges for the new ones' rest.
    fn prorations(
        &mut self,
        old: &Subscription,
        items: &[Item],
        at: i64,
        restarts: bool,
    ) -> Vec<Line> {
        let same = |one: &Item, other: &Item| {
            one.id == other.id && one.price == other.price && one.quantity == other.quantity
        };
        let kept = |item: &Item, all: &[Item]| !restarts && all.iter().any(|it| same(it, item));
        let mut lines = Vec::new();
        for item in old.items.iter().filter(|it| !kept(it, items)) {
            lines.push(self.proration(item, old.period, at, true));
        }
        let new = items.iter().filter(|it| !kept(it, &old.items) && !restarts);
        for item in new {
            lines.push(self.proration(item, old.period, at, false));
        }
        lines.retain(|it| it.amount != 0);
        lines
    }

    fn proration(&mut self, item: &Item, period: Period, at: i64, credit: bool) -> Line {
        let price = &self.billing.prices[item.price];
        let name = self.billing.products[price.product].name.clone();
        let rest = period.rest_of(price.unit_amount * item.quantity, at);
        let (word, amount) = if credit {
            ("Unused", -rest)
        } else {
            ("Remaining", rest)
        };
        Line {
            id: self.inner_id(Kind::InvoiceLine),
            amount,
            discount: 0,
            description: format!("{word} time on {} × {name}", item.quantity),
            price: item.price,
            quantity: item.quantity,
            period: Period {
                start: at,
                ..period
            },
            proration: true,
            item: item.id.clone(),
        }
    }

    /// Credits for what is left of all items at `at`.
    pub(crate) fn credits_of(&mut self, place: usize, at: i64) -> Vec<Line> {
        let subscription = self.billing.subscriptions[place].clone();
        if subscription.status == Status::Trialing {
            return Vec::new();
        }
        self.prorations(&subscription, &[], at, true)
    }

    /// Changes a subscription.
    pub(crate) fn update_subscription(
        &mut self,
        place: usize,
        change: SubscriptionChange,
    ) -> Result<(), StripeError> {
        self.check_change(place, &change)?;
        if !change.bills() {
            self.set_subscription(place, change, None);
            return Ok(());
        }
        let planned = self.plan(place, &change)?;
        let charges = planned.bills_now && planned.total() > 0;
        if charges && self.put_off(place, &change, &planned)? {
            return Ok(());
        }
        let behavior = change.behavior;
        let (lines, bills_now) = (planned.lines.clone(), planned.bills_now);
        if !bills_now {
            self.billing.subscriptions[place]
                .pending_lines
                .extend(lines.clone());
        }
        self.set_subscription(place, change, Some(planned));
        if bills_now {
            let invoice = self.invoice_subscription(place, "subscription_update", lines);
            self.finalize(invoice);
            let waits = behavior == PaymentBehavior::Wait;
            if self.billing.invoices[invoice].is_open() && !waits {
                self.collect(invoice, Presence::Absent);
            }
        }
        Ok(())
    }

    fn check_change(&self, place: usize, change: &SubscriptionChange) -> Result<(), StripeError> {
        let subscription = &self.billing.subscriptions[place];
        let status = subscription.status;
        let closed = status.is_terminal() || status == Status::Incomplete;
        if closed && (change.bills() || change.cancels()) {
            return Err(Refusal::NotUpdatable(status.name()).into());
        }
        let allowed = self.billing.switches.schedule_allows_cancel;
        if let Some(schedule) = subscription
            .schedule
            .filter(|_| change.cancels() && !allowed)
        {
            let id = self.billing.schedules[schedule].id.clone();
            return Err(Refusal::ManagedBySchedule(id).into());
        }
        Ok(())
    }

    /// Refuses a change that cannot be paid, or keeps it until it is paid, where that is asked for.
    fn put_off(
        &mut self,
        place: usize,
        change: &SubscriptionChange,
        planned: &Planned,
    ) -> Result<bool, StripeError> {
        let pending = match change.behavior {
            PaymentBehavior::Refuse => false,
            PaymentBehavior::Keep => true,
            _ => return Ok(false),
        };
        let method = self.method_for(place);
        let paid = match method {
            Some(method) => self.expect_paid(method, Presence::Absent),
            None => Err(Refusal::NoPaymentMethod.into()),
        };
        match paid {
            Ok(()) => Ok(false),
            Err(refused) if !pending => Err(refused),
            Err(_) => {
                let until = self.now + self.billing.switches.incomplete_seconds;
                let update = PendingUpdate {
                    expires_at: until,
                    items: planned.items.clone(),
                    period: planned.period,
                    anchor: planned.anchor,
                };
                self.alter_subscription(place, |it| it.pending_update = Some(update));
                let lines = planned.lines.clone();
                let invoice = self.invoice_subscription(place, "subscription_update", lines);
                self.finalize(invoice);
                if self.billing.invoices[invoice].is_open() {
                    self.billing.invoices[invoice].voids_at = Some(until);
                    self.collect(invoice, Presence::Present);
                }
                Ok(true)
            }
        }
    }

    /// Applies a change that waited until its invoice was paid.
    pub(crate) fn apply_pending_update(&mut self, place: usize, invoice: usize) {
        let subscription = &self.billing.subscriptions[place];
        if subscription.latest_invoice != Some(invoice) || subscription.pending_update.is_none() {
            return;
        }
        let object = (Kind::Subscription, place);
        self.alter_subscription(place, |it| {
            if let Some(update) = it.pending_update.take() {
                it.items = update.items;
                (it.period, it.anchor) = (update.period, update.anchor);
            }
        });
        self.record("customer.subscription.pending_update_applied", object);
    }

    fn set_subscription(
        &mut self,
        place: usize,
        change: SubscriptionChange,
        planned: Option<Planned>,
    ) {
        let by_date = self.billing.switches.cancel_as_date;
        let now = self.now;
        let discounted = change.coupon.is_given();
        let discount = change.coupon.value().map(|it| self.discount(it));
        self.alter_subscription(place, |it| {
            if let Some(planned) = planned {
                it.items = planned.items;
                (it.period, it.anchor) = (planned.period, planned.anchor);
                (it.trial, it.status) = (planned.trial, planned.status);
            }
            if it.cancel_at_period_end {
                // Where the period has changed, so has its end.
                it.cancel_at = Some(it.period.end);
            }
            if let Some(ends) = change.cancel_at_period_end {
                let at = ends.then_some(it.period.end);
                it.cancel(at, now);
                it.cancel_at_period_end = ends && !by_date;
            }
            if change.cancel_at.is_given() {
                it.cancel(change.cancel_at.value(), now);
                it.cancel_at_period_end = false;
            }
            it.default_method = change.default_method.or(it.default_method);
            it.missing_method = change.missing_method.unwrap_or(it.missing_method);
            if discounted {
                it.discount = discount;
            }
            set(&mut it.description, change.description);
            set(&mut it.feedback, change.feedback);
            set(&mut it.comment, change.comment);
            merge_metadata(&mut it.metadata, change.metadata);
        });
    }
}

impl Subscription {
    /// Has it end at an instant, or not end.
    fn cancel(&mut self, at: Option<i64>, now: i64) {
        self.cancel_at = at;
        self.canceled_at = at.map(|_| now);
        self.cancellation_reason = at.map(|_| "cancellation_requested");
    }
}
