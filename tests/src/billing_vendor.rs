//! A vendor that bills, in memory: one customer of each creation, sessions that are paid, and readings whose answers come late
//! or not at all.
//!
//! It keeps its own law, by which requests under one key make one thing, and knows what it made. Deliberately absent: invoices
//! that fail, and time.

mod gateway;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};
use common::money::{Currency, Money};
use platform::billing::change::PlanChange;
use platform::billing::plan::Plans;
use platform::billing::status::SubscriptionStatus;
use platform::billing::{
    CheckoutOrder, CheckoutReading, CheckoutStatus, CustomerReading, InvoiceReading, InvoiceStatus,
    ItemReading, Payment, PaymentMethod, PaymentStatus, PriceReading, SubscriptionReading,
};
use platform::gateway::GatewayError;
use tokio::sync::Notify;
use uuid::Uuid;

/// What becomes of a request that makes something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Done, and no answer comes.
    Lost,
    /// Not done, and no answer comes.
    NotReached,
    /// Not done; the failure is the key's answer from then on.
    FailedBefore,
    /// Done; a failure is the key's answer from then on.
    FailedAfter,
    /// Not done, and refused.
    Refused,
}

/// How far a subscription has come, in the order in which it happens at the vendor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    SessionCompleted,
    SubscriptionCreated,
    SubscriptionUpdated,
    InvoicePaid,
}

impl Step {
    pub const ALL: [Self; 4] = [
        Self::SessionCompleted,
        Self::SubscriptionCreated,
        Self::SubscriptionUpdated,
        Self::InvoicePaid,
    ];

    /// The type of its event.
    pub fn event_type(self) -> &'static str {
        match self {
            Self::SessionCompleted => "checkout.session.completed",
            Self::SubscriptionCreated => "customer.subscription.created",
            Self::SubscriptionUpdated => "customer.subscription.updated",
            Self::InvoicePaid => "invoice.paid",
        }
    }
}

#[derive(Debug)]
struct State {
    now: DateTime<Utc>,
    plans: Plans,
    /// By creation.
    customers: BTreeMap<Uuid, String>,
    readings: BTreeMap<String, CustomerReading>,
    /// What was made under a key; `None` where the key's answer is a failure.
    answers: BTreeMap<Uuid, Option<String>>,
    fates: VecDeque<Fate>,
    /// By checkout.
    orders: BTreeMap<Uuid, CheckoutOrder>,
    made: u32,
    /// Subscriptions that were cancelled and refunded.
    undone: Vec<String>,
    /// How often the runtime runs something else before an answer comes.
    delays: VecDeque<usize>,
    /// What the next reading's answer waits for.
    gate: Option<Arc<Notify>>,
}

/// A vendor. Clones are the same vendor.
#[derive(Debug, Clone)]
pub struct BillingVendor(Arc<Mutex<State>>);

impl BillingVendor {
    /// A vendor that knows the prices of these plans.
    pub fn new(plans: Plans, now: DateTime<Utc>) -> Self {
        Self(Arc::new(Mutex::new(State {
            now,
            plans,
            customers: BTreeMap::new(),
            readings: BTreeMap::new(),
            answers: BTreeMap::new(),
            fates: VecDeque::new(),
            orders: BTreeMap::new(),
            made: 0,
            undone: Vec::new(),
            delays: VecDeque::new(),
            gate: None,
        })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What becomes of the next requests that make something; later ones are answered.
    pub fn fail(&self, fates: &[Fate]) {
        self.state().fates = fates.iter().copied().collect();
    }

    /// How late the next readings are answered.
    pub fn delay(&self, delays: &[usize]) {
        self.state().delays = delays.iter().copied().collect();
    }

    /// Keeps the next reading's answer back until this is notified.
    pub fn keep_back(&self) -> Arc<Notify> {
        let gate = Arc::new(Notify::new());
        self.state().gate = Some(Arc::clone(&gate));
        gate
    }

    /// Whether a reading waits that is kept back.
    pub fn is_read(&self) -> bool {
        self.state().gate.is_none()
    }

    /// The ids of all customers.
    pub fn customers(&self) -> Vec<String> {
        self.state().readings.keys().cloned().collect()
    }

    /// How many sessions of all customers stand so.
    pub fn sessions(&self, status: CheckoutStatus) -> usize {
        let state = self.state();
        let sessions = state.readings.values().flat_map(|it| &it.checkouts);
        sessions.filter(|session| session.status == status).count()
    }

    /// Every order that was made, by its row.
    pub fn orders(&self) -> Vec<CheckoutOrder> {
        self.state().orders.values().cloned().collect()
    }

    /// The subscriptions that were cancelled and refunded.
    pub fn undone(&self) -> Vec<String> {
        self.state().undone.clone()
    }

    fn with_subscription(
        &self,
        subscription_id: &str,
        change: impl FnOnce(&mut SubscriptionReading),
    ) -> Result<(), GatewayError> {
        let mut state = self.state();
        let all = state.readings.values_mut();
        let mut subscriptions = all.flat_map(|it| &mut it.subscriptions);
        let found = subscriptions.find(|it| it.subscription_id == subscription_id);
        change(found.ok_or_else(missing)?);
        Ok(())
    }

    /// Deletes a customer.
    pub fn delete_customer(&self, customer_id: &str) {
        self.state().readings.remove(customer_id);
    }

    /// Changes what is read of the only customer.
    pub fn change(&self, change: impl FnOnce(&mut CustomerReading)) {
        let mut state = self.state();
        let mut readings = state.readings.values_mut();
        change(readings.next().expect("a customer"));
    }

    /// Lets the open session of the only customer be paid, and everything that follows happen.
    pub fn advance_all(&self) {
        for step in Step::ALL {
            self.advance(step);
        }
    }

    /// Lets the open session of the only customer be paid, as far as a step.
    pub fn advance(&self, step: Step) {
        let mut state = self.state();
        let started_at = state.now;
        let price = state.prices().remove(0);
        let reading = state.readings.values_mut().next().expect("a customer");
        advance(reading, step, &price, started_at);
    }
}

fn advance(reading: &mut CustomerReading, step: Step, price: &PriceReading, at: DateTime<Utc>) {
    match step {
        Step::SessionCompleted => {
            for session in &mut reading.checkouts {
                if session.status == CheckoutStatus::Open {
                    session.status = CheckoutStatus::Complete;
                    session.url = None;
                    session.subscription_id = Some("sub_1".to_owned());
                }
            }
        }
        Step::SubscriptionCreated => reading.subscriptions.push(SubscriptionReading {
            subscription_id: "sub_1".to_owned(),
            is_ours: true,
            status: SubscriptionStatus::Incomplete,
            items: vec![ItemReading {
                item_id: "si_1".to_owned(),
                price: price.clone(),
                seats: 1,
                current_period_start: Some(at),
                current_period_end: Some(at + TimeDelta::days(30)),
            }],
            trial_end: None,
            cancel_at: None,
            created_at: at,
            ended_at: None,
            latest_invoice_id: Some("in_1".to_owned()),
            schedule_id: None,
            scheduled: None,
            payment_method: None,
        }),
        Step::SubscriptionUpdated => {
            reading.subscriptions[0].status = SubscriptionStatus::Active;
        }
        Step::InvoicePaid => {
            reading.invoices.push(paid_invoice(price, at));
            reading.payments.push(Payment {
                payment_id: "ch_1".to_owned(),
                status: PaymentStatus::Succeeded,
                money: Money {
                    minor: 900,
                    currency: Currency::new("usd"),
                },
                amount_refunded: 0,
                failure_code: None,
                failure_message: None,
                receipt_url: None,
                created_at: at,
            });
        }
    }
}

fn paid_invoice(price: &PriceReading, at: DateTime<Utc>) -> InvoiceReading {
    let amount = price.amount.unwrap_or_default();
    InvoiceReading {
        invoice_id: "in_1".to_owned(),
        subscription_id: Some("sub_1".to_owned()),
        number: Some("A-1".to_owned()),
        status: InvoiceStatus::Paid,
        currency: price.currency.clone(),
        amount_due: amount,
        amount_paid: amount,
        amount_remaining: 0,
        attempts: 1,
        next_attempt_at: None,
        created_at: at,
        paid_at: Some(at),
        hosted_url: None,
        pdf_url: None,
    }
}

impl State {
    fn prices(&self) -> Vec<PriceReading> {
        let keys = self.plans.lookup_keys().into_iter();
        let price = |key: &str| PriceReading {
            price_id: format!("price_{key}"),
            product_id: "prod_1".to_owned(),
            lookup_key: Some(key.to_owned()),
            amount: Some(900),
            currency: Currency::new("usd"),
            interval: self.plans.of_price(key).map(|(_, interval)| interval),
            sold: true,
        };
        keys.map(price).collect()
    }

    /// Does what was asked under a key once, as the next fate says.
    fn make(
        &mut self,
        key: Uuid,
        make: impl FnOnce(&mut Self) -> String,
    ) -> Result<String, GatewayError> {
        if let Some(answer) = self.answers.get(&key) {
            return answer.clone().ok_or_else(failed);
        }
        let fate = self.fates.pop_front();
        match fate {
            Some(Fate::NotReached) => return Err(no_answer()),
            Some(Fate::Refused) => {
                let message = "That is not possible.".to_owned();
                return Err(GatewayError::Refused {
                    code: None,
                    message,
                });
            }
            Some(Fate::FailedBefore) => {
                self.answers.insert(key, None);
                return Err(failed());
            }
            Some(Fate::Lost | Fate::FailedAfter) | None => {}
        }
        self.made += 1;
        let object_id = make(self);
        let keeps_failure = fate == Some(Fate::FailedAfter);
        let answer = (!keeps_failure).then(|| object_id.clone());
        self.answers.insert(key, answer);
        match fate {
            Some(Fate::Lost) => Err(no_answer()),
            Some(_) => Err(failed()),
            None => Ok(object_id),
        }
    }

    fn session(&self, session_id: &str) -> Option<CheckoutReading> {
        let mut sessions = self.readings.values().flat_map(|it| &it.checkouts);
        sessions.find(|it| it.session_id == session_id).cloned()
    }
}

fn change_item(item: &mut ItemReading, change: &PlanChange) {
    let key = change.price_id.trim_start_matches("price_");
    item.price.lookup_key = Some(key.to_owned());
    item.price.price_id.clone_from(&change.price_id);
    item.seats = change.seats;
}

fn failed() -> GatewayError {
    GatewayError::Failed {
        message: "The vendor is out of order.".to_owned(),
    }
}

fn no_answer() -> GatewayError {
    GatewayError::Unknown("no answer".into())
}

fn missing() -> GatewayError {
    GatewayError::Refused {
        code: Some("resource_missing".to_owned()),
        message: "There is no such thing.".to_owned(),
    }
}

/// A card of this fingerprint.
pub fn card(fingerprint: Option<String>) -> PaymentMethod {
    PaymentMethod {
        id: "pm_1".to_owned(),
        kind: "card".to_owned(),
        brand: Some("visa".to_owned()),
        last4: None,
        exp_month: None,
        exp_year: None,
        fingerprint,
    }
}
