//! Subscriptions: how they begin, renew and end.
//!
//! All items of one have the same period. One that cannot be made is a [`StripeError`], and then nothing was made.
//! Deliberately absent: invoices that are sent instead of charged, and starting in the past or on a chosen day.

use super::invoice::NewInvoice;
use super::payment::Presence;
use super::{Change, Discount, Interval, Line, Metadata, Period, Redeemed, Refusal};
use crate::error::StripeError;
use crate::id::Kind;
use crate::ledger::Currency;

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Status {
    Incomplete,
    IncompleteExpired,
    Trialing,
    Active,
    PastDue,
    Unpaid,
    Canceled,
    Paused,
}

impl Status {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Incomplete => "incomplete",
            Self::IncompleteExpired => "incomplete_expired",
            Self::Trialing => "trialing",
            Self::Active => "active",
            Self::PastDue => "past_due",
            Self::Unpaid => "unpaid",
            Self::Canceled => "canceled",
            Self::Paused => "paused",
        }
    }

    pub(crate) const fn is_terminal(self) -> bool {
        matches!(self, Self::Canceled | Self::IncompleteExpired)
    }

    /// Whether its periods follow each other.
    pub(crate) const fn renews(self) -> bool {
        matches!(
            self,
            Self::Trialing | Self::Active | Self::PastDue | Self::Unpaid
        )
    }
}

/// What happens at the end of a trial without a payment method.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum MissingMethod {
    #[default]
    CreateInvoice,
    Cancel,
    Pause,
}

impl MissingMethod {
    pub(crate) fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "create_invoice" => Self::CreateInvoice,
            "cancel" => Self::Cancel,
            "pause" => Self::Pause,
            _ => return None,
        })
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::CreateInvoice => "create_invoice",
            Self::Cancel => "cancel",
            Self::Pause => "pause",
        }
    }
}

/// What a payment that fails does to what it was for.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum PaymentBehavior {
    /// `allow_incomplete`: it is done and not paid.
    #[default]
    Allow,
    /// `default_incomplete`: nothing is charged before somebody asks for it.
    Wait,
    /// `error_if_incomplete`: it is not done.
    Refuse,
    /// `pending_if_incomplete`: it is done once it was paid.
    Keep,
}

#[derive(Clone, Debug)]
pub(crate) struct Item {
    pub(crate) id: String,
    /// Unix seconds.
    pub(crate) created: i64,
    pub(crate) price: usize,
    pub(crate) quantity: i64,
    pub(crate) metadata: Metadata,
}

/// Items that apply once their invoice was paid.
#[derive(Clone, Debug)]
pub(crate) struct PendingUpdate {
    pub(crate) expires_at: i64,
    pub(crate) items: Vec<Item>,
    pub(crate) period: Period,
    pub(crate) anchor: i64,
}

#[derive(Clone, Debug)]
pub(crate) struct Subscription {
    pub(crate) id: String,
    /// Unix seconds, as all its instants.
    pub(crate) created: i64,
    pub(crate) customer: usize,
    pub(crate) status: Status,
    pub(crate) currency: Currency,
    pub(crate) items: Vec<Item>,
    pub(crate) period: Period,
    /// The instant from which periods are counted.
    pub(crate) anchor: i64,
    pub(crate) trial: Option<Period>,
    pub(crate) missing_method: MissingMethod,
    pub(crate) cancel_at: Option<i64>,
    pub(crate) cancel_at_period_end: bool,
    pub(crate) canceled_at: Option<i64>,
    pub(crate) ended_at: Option<i64>,
    pub(crate) cancellation_reason: Option<&'static str>,
    pub(crate) feedback: Option<String>,
    pub(crate) comment: Option<String>,
    pub(crate) default_method: Option<usize>,
    pub(crate) latest_invoice: Option<usize>,
    pub(crate) pending_setup_intent: Option<usize>,
    pub(crate) pending_update: Option<PendingUpdate>,
    pub(crate) schedule: Option<usize>,
    pub(crate) discount: Option<Discount>,
    pub(crate) description: Option<String>,
    pub(crate) metadata: Metadata,
    /// Prorations that the next invoice has.
    pub(crate) pending_lines: Vec<Line>,
    /// Whether `trial_will_end` was sent.
    pub(crate) trial_announced: bool,
    /// The end of the period whose renewal was announced.
    pub(crate) announced: i64,
}

#[derive(Clone, Debug)]
pub(crate) struct NewItem {
    pub(crate) price: usize,
    pub(crate) quantity: i64,
    pub(crate) metadata: Metadata,
}

/// What a subscription is asked for.
#[derive(Clone, Debug)]
pub(crate) struct SubscriptionTerms {
    pub(crate) customer: usize,
    pub(crate) items: Vec<NewItem>,
    pub(crate) trial_end: Option<i64>,
    pub(crate) missing_method: MissingMethod,
    pub(crate) default_method: Option<usize>,
    pub(crate) behavior: PaymentBehavior,
    pub(crate) presence: Presence,
    pub(crate) coupon: Option<Redeemed>,
    pub(crate) cancel_at: Option<i64>,
    pub(crate) cancel_at_period_end: bool,
    pub(crate) description: Option<String>,
    pub(crate) metadata: Metadata,
}

impl SubscriptionTerms {
    pub(crate) const fn of(customer: usize, items: Vec<NewItem>) -> Self {
        Self {
            customer,
            items,
            trial_end: None,
            missing_method: MissingMethod::CreateInvoice,
            default_method: None,
            behavior: PaymentBehavior::Allow,
            presence: Presence::Present,
            coupon: None,
            cancel_at: None,
            cancel_at_period_end: false,
            description: None,
            metadata: Metadata::new(),
        }
    }
}

impl Change<'_> {
    /// How often these prices are charged, which is the same for all.
    pub(crate) fn interval_of(
        &self,
        prices: impl IntoIterator<Item = usize>,
    ) -> Result<(Interval, u32), StripeError> {
        let mut found = None;
        for place in prices {
            let recurring = self.billing.prices[place].recurring;
            let recurring = recurring.ok_or(Refusal::OneTimePrice)?;
            let interval = (recurring.interval, recurring.count);
            if found.is_some_and(|it| it != interval) {
                return Err(Refusal::Intervals.into());
            }
            found = Some(interval);
        }
        found.ok_or_else(|| StripeError::missing("items"))
    }

    /// The currency of new items, which their customer can be charged in.
    pub(crate) fn currency_of(
        &self,
        customer: Option<usize>,
        prices: impl IntoIterator<Item = usize>,
    ) -> Result<Currency, StripeError> {
        let mut bound = customer.and_then(|place| self.bound_currency(place));
        for place in prices {
            let price = &self.billing.prices[place];
            if !price.active {
                return Err(Refusal::InactivePrice.into());
            }
            if bound.is_some_and(|it| it != price.currency) {
                let bound = bound.map_or_else(String::new, |it| it.code().to_owned());
                return Err(Refusal::Currencies(bound).into());
            }
            bound = Some(price.currency);
        }
        bound.ok_or_else(|| StripeError::missing("items"))
    }

    /// Makes a subscription with its first invoice; returns its place.
    pub(crate) fn create_subscription(
        &mut self,
        terms: SubscriptionTerms,
    ) -> Result<usize, StripeError> {
        let prices = || terms.items.iter().map(|it| it.price);
        let (interval, count) = self.interval_of(prices())?;
        let currency = self.currency_of(Some(terms.customer), prices())?;
        let due = self.first_amount(&terms);
        self.check_payable(&terms, due)?;
        let (behavior, presence) = (terms.behavior, terms.presence);
        let period = match terms.trial_end {
            Some(end) => Period {
                start: self.now,
                end,
            },
            None => Period::from(self.now, self.now, interval, count),
        };
        let place = self.enter_subscription(terms, (currency, period), due);
        if self.billing.customers[self.billing.subscriptions[place].customer]
            .currency
            .is_none()
        {
            let customer = self.billing.subscriptions[place].customer;
            self.alter("customer.updated", (Kind::Customer, customer), |it| {
                it.billing.customers[customer].currency = Some(currency);
            });
        }
        self.record("customer.subscription.created", (Kind::Subscription, place));
        let lines = self.lines_of(place, period);
        let invoice = self.invoice_subscription(place, "subscription_create", lines);
        self.finalize(invoice);
        let incomplete = self.billing.subscriptions[place].status == Status::Incomplete;
        if incomplete {
            let until = self.now + self.billing.switches.incomplete_seconds;
            self.billing.invoices[invoice].voids_at = Some(until);
            if behavior != PaymentBehavior::Wait {
                self.collect(invoice, presence);
            }
        }
        Ok(place)
    }

    /// Minor units that the first invoice comes to.
    fn first_amount(&self, terms: &SubscriptionTerms) -> i64 {
        if terms.trial_end.is_some() {
            return 0;
        }
        let amount = |it: &NewItem| self.billing.prices[it.price].unit_amount * it.quantity;
        let amounts: Vec<i64> = terms.items.iter().map(amount).collect();
        let off = terms
            .coupon
            .map(|(coupon, _)| self.billing.coupons[coupon].off.of(&amounts));
        let off: i64 = off.into_iter().flatten().sum();
        let balance = self.billing.customers[terms.customer].balance;
        (amounts.iter().sum::<i64>() - off + balance).max(0)
    }

    /// Refuses a subscription that is not to be made unless it can be paid.
    fn check_payable(&self, terms: &SubscriptionTerms, due: i64) -> Result<(), StripeError> {
        let default = self.billing.customers[terms.customer].default_method;
        let method = terms.default_method.or(default);
        let waits = terms.behavior == PaymentBehavior::Wait;
        if due == 0 || waits {
            return Ok(());
        }
        let method = method.ok_or(Refusal::NoPaymentMethod)?;
        if terms.behavior == PaymentBehavior::Refuse {
            self.expect_paid(method, terms.presence)?;
        }
        Ok(())
    }

    fn enter_subscription(
        &mut self,
        terms: SubscriptionTerms,
        (currency, period): (Currency, Period),
        due: i64,
    ) -> usize {
        let place = self.billing.subscriptions.len();
        let items = terms.items.into_iter().map(|new| self.item(new)).collect();
        let ends = terms.cancel_at_period_end || terms.cancel_at.is_some();
        let by_date = self.billing.switches.cancel_as_date;
        let discount = terms.coupon.map(|redeemed| self.discount(redeemed));
        self.billing.subscriptions.push(Subscription {
            id: self.id(Kind::Subscription, place),
            created: self.now,
            customer: terms.customer,
            status: match terms.trial_end {
                Some(_) => Status::Trialing,
                None if due > 0 => Status::Incomplete,
                None => Status::Active,
            },
            currency,
            items,
            period,
            anchor: if terms.trial_end.is_some() {
                period.end
            } else {
                period.start
            },
            trial: terms.trial_end.map(|_| period),
            missing_method: terms.missing_method,
            cancel_at: terms
                .cancel_at
                .or(terms.cancel_at_period_end.then_some(period.end)),
            cancel_at_period_end: terms.cancel_at_period_end && !by_date,
            canceled_at: ends.then_some(self.now),
            ended_at: None,
            cancellation_reason: ends.then_some("cancellation_requested"),
            feedback: None,
            comment: None,
            default_method: terms.default_method,
            latest_invoice: None,
            pending_setup_intent: None,
            pending_update: None,
            schedule: None,
            discount,
            description: terms.description,
            metadata: terms.metadata,
            pending_lines: Vec::new(),
            trial_announced: false,
            announced: 0,
        });
        place
    }

    pub(crate) fn item(&mut self, new: NewItem) -> Item {
        Item {
            id: self.inner_id(Kind::SubscriptionItem),
            created: self.now,
            price: new.price,
            quantity: new.quantity,
            metadata: new.metadata,
        }
    }

    pub(crate) fn alter_subscription<R>(
        &mut self,
        place: usize,
        make: impl FnOnce(&mut Subscription) -> R,
    ) -> R {
        let object = (Kind::Subscription, place);
        self.alter("customer.subscription.updated", object, |it| {
            make(&mut it.billing.subscriptions[place])
        })
    }

    /// Makes a draft of `lines` and of what waits for the next invoice.
    pub(crate) fn invoice_subscription(
        &mut self,
        place: usize,
        reason: &'static str,
        lines: Vec<Line>,
    ) -> usize {
        let subscription = &mut self.billing.subscriptions[place];
        let mut all = std::mem::take(&mut subscription.pending_lines);
        all.extend(lines);
        let new = NewInvoice {
            customer: subscription.customer,
            subscription: Some(place),
            currency: subscription.currency,
            reason,
            period: subscription.period,
            lines: all,
        };
        let invoice = self.draft(new);
        self.billing.subscriptions[place].latest_invoice = Some(invoice);
        invoice
    }
}
