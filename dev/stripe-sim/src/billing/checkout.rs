//! Checkout sessions of mode `subscription` and `setup`: what a person does on Stripe's page, and what comes of it.
//!
//! Nothing keeps two open sessions of one customer from both being completed, as at Stripe. What cannot be done is a
//! [`StripeError`]. Deliberately absent: mode `payment`, and whatever the page asks besides how to pay.

use super::payment::Presence;
use super::{
    Card, Change, CustomerTerms, Metadata, MissingMethod, NewItem, PaymentBehavior, Redeemed,
    Refusal, SetupStatus, SubscriptionTerms,
};
use crate::error::StripeError;
use crate::id::Kind;
use crate::ledger::{Currency, InvoiceStatus};

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Mode {
    Subscription,
    Setup,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum SessionStatus {
    Open,
    Complete,
    Expired,
}

impl SessionStatus {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Complete => "complete",
            Self::Expired => "expired",
        }
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum PaymentStatus {
    Paid,
    Unpaid,
    NotRequired,
}

impl PaymentStatus {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Paid => "paid",
            Self::Unpaid => "unpaid",
            Self::NotRequired => "no_payment_required",
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct SessionItem {
    pub(crate) id: String,
    pub(crate) price: usize,
    pub(crate) quantity: i64,
}

/// What a session is asked for.
#[derive(Clone, Debug)]
pub(crate) struct NewSession {
    pub(crate) mode: Mode,
    /// Where the simulator is, for the address of its page.
    pub(crate) base: String,
    pub(crate) customer: Option<usize>,
    pub(crate) customer_email: Option<String>,
    pub(crate) client_reference_id: Option<String>,
    /// Prices with their quantities.
    pub(crate) items: Vec<(usize, i64)>,
    pub(crate) currency: Option<Currency>,
    pub(crate) success_url: String,
    pub(crate) cancel_url: Option<String>,
    pub(crate) expires_at: Option<i64>,
    pub(crate) trial_days: Option<i64>,
    pub(crate) trial_end: Option<i64>,
    pub(crate) missing_method: MissingMethod,
    /// Whether a payment method is asked for even when nothing is due.
    pub(crate) collects_always: bool,
    pub(crate) allows_codes: bool,
    pub(crate) coupon: Option<Redeemed>,
    pub(crate) description: Option<String>,
    /// Of the subscription or of the setup intent.
    pub(crate) inner_metadata: Metadata,
    pub(crate) metadata: Metadata,
}

#[derive(Clone, Debug)]
pub(crate) struct Session {
    pub(crate) id: String,
    /// Unix seconds.
    pub(crate) created: i64,
    pub(crate) expires_at: i64,
    pub(crate) terms: NewSession,
    pub(crate) items: Vec<SessionItem>,
    pub(crate) status: SessionStatus,
    pub(crate) payment_status: PaymentStatus,
    pub(crate) customer: Option<usize>,
    pub(crate) subscription: Option<usize>,
    pub(crate) invoice: Option<usize>,
    pub(crate) setup_intent: Option<usize>,
    /// The payment method for which 3-D Secure is shown.
    pub(crate) authenticating: Option<usize>,
}

/// What came of pressing a button of the page.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Step {
    Completed,
    Declined(super::Decline),
    Authentication,
}

/// Seconds for which a session is open unless it says otherwise.
const OPEN_FOR: i64 = 86_400;

impl Session {
    /// Where success leads to.
    pub(crate) fn success_url(&self) -> String {
        let url = self
            .terms
            .success_url
            .replace("{CHECKOUT_SESSION_ID}", &self.id);
        url.replace("%7BCHECKOUT_SESSION_ID%7D", &self.id)
    }
}

impl Change<'_> {
    /// Makes a session; returns its place.
    pub(crate) fn create_session(&mut self, terms: NewSession) -> Result<usize, StripeError> {
        if terms.mode == Mode::Subscription {
            let prices = || terms.items.iter().map(|&(price, _)| price);
            self.interval_of(prices())?;
            self.currency_of(terms.customer, prices())?;
        }
        let place = self.billing.sessions.len();
        let items = terms.items.iter().map(|&(price, quantity)| SessionItem {
            id: self.inner_id(Kind::SessionItem),
            price,
            quantity,
        });
        let items = items.collect();
        let setup_intent = match terms.mode {
            Mode::Subscription => None,
            Mode::Setup => {
                let metadata = terms.inner_metadata.clone();
                Some(self.create_setup_intent(terms.customer, Some(place), metadata))
            }
        };
        self.billing.sessions.push(Session {
            id: self.id(Kind::Session, place),
            created: self.now,
            expires_at: terms.expires_at.unwrap_or(self.now + OPEN_FOR),
            items,
            status: SessionStatus::Open,
            payment_status: match terms.mode {
                Mode::Subscription => PaymentStatus::Unpaid,
                Mode::Setup => PaymentStatus::NotRequired,
            },
            customer: terms.customer,
            subscription: None,
            invoice: None,
            setup_intent,
            authenticating: None,
            terms,
        });
        Ok(place)
    }

    /// When the trial of a subscription that begins now would end.
    pub(crate) fn session_trial(&self, place: usize) -> Option<i64> {
        let terms = &self.billing.sessions[place].terms;
        let days = terms.trial_days.map(|days| self.now + days * 86_400);
        days.or(terms.trial_end)
    }

    /// Minor units before discounts that are due when it is completed.
    pub(crate) fn session_amount(&self, place: usize) -> i64 {
        if self.session_trial(place).is_some() {
            return 0;
        }
        let items = self.billing.sessions[place].items.iter();
        items
            .map(|it| self.billing.prices[it.price].unit_amount * it.quantity)
            .sum()
    }

    /// Whether it can be completed without a payment method.
    pub(crate) fn session_is_free(&self, place: usize) -> bool {
        let terms = &self.billing.sessions[place].terms;
        let subscribes = terms.mode == Mode::Subscription;
        subscribes && !terms.collects_always && self.session_amount(place) == 0
    }

    fn check_open(&self, place: usize) -> Result<(), StripeError> {
        let status = self.billing.sessions[place].status;
        if status == SessionStatus::Open {
            return Ok(());
        }
        Err(Refusal::SessionNotOpen(status.name()).into())
    }

    /// A person pays, or saves a card, on the page.
    pub(crate) fn pay_session(
        &mut self,
        place: usize,
        card: Option<Card>,
    ) -> Result<Step, StripeError> {
        self.check_open(place)?;
        let Some(card) = card else {
            if self.session_is_free(place) {
                return self.complete_session(place, None, Presence::Present);
            }
            return Err(Refusal::NoPaymentMethod.into());
        };
        let due = self.session_amount(place) > 0;
        let declined = match card.charged(true) {
            super::card::Charged::Declined(decline) if due => Some(decline),
            _ => card.refusal(),
        };
        if let Some(decline) = declined {
            return Ok(Step::Declined(decline));
        }
        let method = self.new_method(card);
        if card.asks_for_authentication() {
            self.billing.sessions[place].authenticating = Some(method);
            return Ok(Step::Authentication);
        }
        self.complete_session(place, Some(method), Presence::Present)
    }

    /// A person passes 3-D Secure on the page, or does not.
    pub(crate) fn authenticate_session(
        &mut self,
        place: usize,
        success: bool,
    ) -> Result<Step, StripeError> {
        self.check_open(place)?;
        let method = self.billing.sessions[place].authenticating.take();
        let method = method.ok_or(Refusal::NoPaymentMethod)?;
        if !success {
            return Ok(Step::Declined(super::Decline {
                code: "card_declined",
                reason: "authentication_required",
                message: "We are unable to authenticate your payment method.",
            }));
        }
        self.billing.methods[method].authenticated = true;
        self.complete_session(place, Some(method), Presence::Authenticated)
    }

    /// A person types a promotion code; false where no such code is to be had.
    pub(crate) fn use_code(&mut self, place: usize, code: &str) -> bool {
        let session = &self.billing.sessions[place];
        if !session.terms.allows_codes || session.status != SessionStatus::Open {
            return false;
        }
        let Some(found) = self.active_code(code) else {
            return false;
        };
        let coupon = self.billing.promotion_codes[found].coupon;
        self.billing.sessions[place].terms.coupon = Some((coupon, Some(found)));
        true
    }

    fn complete_session(
        &mut self,
        place: usize,
        method: Option<usize>,
        presence: Presence,
    ) -> Result<Step, StripeError> {
        let terms = self.billing.sessions[place].terms.clone();
        let customer = self.session_customer(place)?;
        if self.billing.customers[customer].deleted {
            let id = self.billing.customers[customer].id.clone();
            return Err(StripeError::no_such_in("customer", "customer", &id));
        }
        match terms.mode {
            Mode::Setup => self.save_method(place, customer, method),
            Mode::Subscription => self.subscribe(place, (customer, method), presence)?,
        }
        let session = &mut self.billing.sessions[place];
        session.status = SessionStatus::Complete;
        self.record("checkout.session.completed", (Kind::Session, place));
        Ok(Step::Completed)
    }

    /// The customer of a session, made where it has none.
    fn session_customer(&mut self, place: usize) -> Result<usize, StripeError> {
        let session = &self.billing.sessions[place];
        if let Some(customer) = session.customer {
            return Ok(customer);
        }
        let email = session.terms.customer_email.clone();
        let customer = self.create_customer(CustomerTerms {
            email: Some(email.unwrap_or_else(|| "buyer@example.com".to_owned())),
            ..CustomerTerms::default()
        })?;
        self.billing.sessions[place].customer = Some(customer);
        Ok(customer)
    }

    fn save_method(&mut self, place: usize, customer: usize, method: Option<usize>) {
        let Some(method) = method else { return };
        self.join(method, customer);
        if let Some(intent) = self.billing.sessions[place].setup_intent {
            let it = &mut self.billing.setup_intents[intent];
            it.status = SetupStatus::Succeeded;
            (it.customer, it.method) = (Some(customer), Some(method));
            self.record("setup_intent.succeeded", (Kind::SetupIntent, intent));
        }
    }

    fn subscribe(
        &mut self,
        place: usize,
        (customer, method): (usize, Option<usize>),
        presence: Presence,
    ) -> Result<(), StripeError> {
        if let Some(method) = method {
            self.join(method, customer);
        }
        let session = &self.billing.sessions[place];
        let terms = session.terms.clone();
        let items = session.items.iter().map(|it| NewItem {
            price: it.price,
            quantity: it.quantity,
            metadata: Metadata::new(),
        });
        let subscription = self.create_subscription(SubscriptionTerms {
            trial_end: self.session_trial(place),
            missing_method: terms.missing_method,
            default_method: method,
            behavior: PaymentBehavior::Allow,
            presence,
            coupon: terms.coupon,
            description: terms.description,
            metadata: terms.inner_metadata,
            ..SubscriptionTerms::of(customer, items.collect())
        })?;
        let invoice = self.billing.subscriptions[subscription].latest_invoice;
        let paid = invoice.map(|it| &self.billing.invoices[it]);
        let status = match paid {
            Some(it) if it.status != InvoiceStatus::Paid => PaymentStatus::Unpaid,
            Some(it) if it.amount_paid > 0 => PaymentStatus::Paid,
            _ => PaymentStatus::NotRequired,
        };
        let session = &mut self.billing.sessions[place];
        session.subscription = Some(subscription);
        session.invoice = invoice;
        session.payment_status = status;
        Ok(())
    }

    /// The bank debit with which a session was completed has ended.
    pub(super) fn session_settled(&mut self, invoice: usize, success: bool) {
        let mut sessions = self.billing.sessions.iter();
        let of_invoice = sessions.position(|it| it.invoice == Some(invoice));
        let Some(place) = of_invoice else { return };
        let session = &mut self.billing.sessions[place];
        if session.payment_status != PaymentStatus::Unpaid {
            return;
        }
        let name = if success {
            session.payment_status = PaymentStatus::Paid;
            "checkout.session.async_payment_succeeded"
        } else {
            "checkout.session.async_payment_failed"
        };
        self.record(name, (Kind::Session, place));
    }

    /// Expires a session as a request does.
    pub(crate) fn expire_open_session(&mut self, place: usize) -> Result<(), StripeError> {
        self.check_open(place)?;
        self.expire_session(place);
        Ok(())
    }

    pub(super) fn expire_session(&mut self, place: usize) {
        let session = &mut self.billing.sessions[place];
        session.status = SessionStatus::Expired;
        session.authenticating = None;
        let intent = session.setup_intent;
        self.record("checkout.session.expired", (Kind::Session, place));
        if let Some(intent) = intent {
            self.billing.setup_intents[intent].status = SetupStatus::Canceled;
            self.record("setup_intent.canceled", (Kind::SetupIntent, intent));
        }
    }
}
