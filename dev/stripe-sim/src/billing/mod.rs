//! Billing: customers that subscribe to prices, what they pay, and what the clock does to that.
//!
//! Every hosted account can bill. What it knows of its customers, subscriptions and invoices is one state under one
//! lock; a change of it and the events that it leaves are made together, in [`change`]. Time that has passed is caught up
//! with before each call and by `POST /_sim/clock`: deadlines are met in the order of their instants, and the events
//! come in that order. An object made by a deadline carries the deadline's instant, its event that of being recorded.
//! Payments are ordinary charges of the account, with their payment intents, which `GET /v1/charges` lists.
//!
//! # Calls of the simulated API
//!
//! In both shapes, by `Stripe-Version`. `expand[]` reaches every id of an object that is served here.
//!
//! | Call | Notes |
//! |---|---|
//! | `POST /v1/customers`, `GET /v1/customers` | `email`, `name`, `phone`, `description`, `metadata`, `payment_method`, `invoice_settings[default_payment_method]`; listed by `email`, `created`, cursors |
//! | `GET`, `POST`, `DELETE /v1/customers/{id}` | deleting cancels the customer's subscriptions |
//! | `GET /v1/customers/{id}/payment_methods` | `type` |
//! | `GET /v1/payment_methods`, `GET /v1/payment_methods/{id}` | `customer`, `type` |
//! | `POST /v1/payment_methods/{id}/attach`, `POST …/detach` | `{id}` may be a test card, see below |
//! | `POST /v1/setup_intents`, `GET /v1/setup_intents[/{id}]` | `customer`, `usage`, `payment_method`, `confirm`, `metadata` |
//! | `POST /v1/setup_intents/{id}/confirm`, `POST …/cancel` | `payment_method` |
//! | `POST /v1/products`, `GET /v1/products`, `GET`, `POST /v1/products/{id}` | `name`, `description`, `active`, `metadata`; `ids[]` |
//! | `POST /v1/prices`, `GET /v1/prices`, `GET`, `POST /v1/prices/{id}` | `recurring[interval]`, `lookup_key`, `transfer_lookup_key`; listed by `active`, `currency`, `product`, `type`, `lookup_keys[]`, `recurring[interval]` |
//! | `POST /v1/coupons`, `GET /v1/coupons/{id}`, `POST /v1/promotion_codes`, `GET /v1/promotion_codes` | `percent_off` or `amount_off`; `duration` `once` or `forever` |
//! | `POST /v1/checkout/sessions` | `mode` `subscription` or `setup`; the `url` is a page of the simulator, see below |
//! | `GET /v1/checkout/sessions` | `customer`, `subscription`, `status`; without any of these, only sessions of the account's one-time payments |
//! | `GET`, `POST /v1/checkout/sessions/{id}`, `POST …/expire`, `GET …/line_items` | `metadata` |
//! | `POST /v1/subscriptions`, `GET /v1/subscriptions` | `customer`, `price`, `status`, `created` |
//! | `GET`, `POST`, `DELETE /v1/subscriptions/{id}`, `POST …/resume` | an item without its id is added |
//! | `GET /v1/subscription_items` | `subscription` |
//! | `POST`, `GET /v1/subscription_schedules`, `GET`, `POST …/{id}`, `POST …/release`, `POST …/cancel` | `from_subscription`, `phases[…]`, `end_behavior` |
//! | `GET /v1/invoices` | `customer`, `subscription`, `status`; without any of these, only the account's other invoices |
//! | `GET /v1/invoices/{id}`, `GET …/lines`, `POST …/pay`, `POST …/finalize`, `POST …/void` | |
//! | `GET /v1/invoice_payments` | `invoice` or `payment[payment_intent]` |
//! | `POST /v1/invoices/create_preview` | `subscription`, `subscription_details[…]` |
//! | `POST`, `GET /v1/billing_portal/configurations`, `GET`, `POST …/{id}` | |
//! | `POST /v1/billing_portal/sessions` | refused without any configuration; the `url` is a page of the simulator |
//! | `POST /v1/refunds` | `charge` or `payment_intent`, `amount` |
//!
//! # Test cards
//!
//! Wherever a payment method is named, one of these makes a new one. The same card has the same `card.fingerprint`.
//!
//! | Name | Attached | Charged |
//! |---|---|---|
//! | `pm_card_visa`, `pm_card_mastercard`, `pm_card_amex` | yes | paid |
//! | `pm_card_chargeDeclined`, `…DeclinedInsufficientFunds`, `…DeclinedExpiredCard` | 402 `card_declined` | declined |
//! | `pm_card_chargeCustomerFail` | yes | declined |
//! | `pm_card_threeDSecure2Required` | after 3-D Secure | paid once it was authenticated, 3-D Secure before |
//! | `pm_card_authenticationRequired` | after 3-D Secure | 3-D Secure each time |
//! | `pm_usBankAccount` | yes | pending for some days, then as `debit_succeeds` says |
//!
//! # Pages
//!
//! Plain HTML with one form per button, for a browser without scripts.
//!
//! - Checkout, at a session's `url`: "Pay", "Pay with a card that is declined", "Pay with a card that fails later"
//!   (declined at once where something is due), "Pay with 3-D Secure", "Pay by bank debit", "Go back", "Let it expire".
//!   A session that takes no payment now says "Subscribe" or "Save" for "Pay". 3-D Secure is a second page: "Complete
//!   authentication", "Fail authentication". A field `promotion_code` with "Apply" is there where the session allows
//!   codes. Success leads to `success_url`, in which `{CHECKOUT_SESSION_ID}` is replaced, going back to `cancel_url`. A
//!   session that is not open says so.
//! - The portal, at a portal session's `url`: "Cancel subscription" or "Keep subscription" for each subscription, and
//!   "Return", which leads to `return_url`.
//!
//! # Controls
//!
//! The same in Rust as methods of [`BillingHandle`], which `AccountHandle::billing` returns. `?account=acct_…` chooses
//! the account, the first when absent. Bodies are JSON; what is shown is what a field is when absent, `?` marks what may
//! be absent.
//!
//! | Control below `/_sim/billing` | Method | What it does |
//! |---|---|---|
//! | `GET /` | `truth() -> BillingTruth` | customers with subscriptions; sessions, invoices, what was paid and refunded, and how many of each were made |
//! | `GET`, `POST /switches` | `switches() -> BillingSwitches`, `switch(change)` | chooses between answers that Stripe may give |
//! | `POST /products` `{"name", "description"?, "metadata": {}}` | `create_product(&NewProduct) -> String` | a product, as in the Dashboard |
//! | `POST /prices` `{"product", "amount", "currency": "usd", "interval": "month", "interval_count": 1, "lookup_key"?, "metadata": {}}` | `create_price(&NewPrice) -> Result<String, ControlError>` | a price; without repetition where `interval` is null |
//! | `POST /prices/{id}/active` `{"active": false}`, `POST /products/{id}/active` | `set_price_active(id, active)`, `set_product_active(id, active)` | |
//! | `POST /customers` `{"email"?, "name"?, "metadata": {}}` | `create_customer(&NewBillingCustomer) -> Result<String, ControlError>` | a customer, as in the Dashboard |
//! | `POST /customers/{id}/delete` | `delete_customer(id)` | its subscriptions are cancelled |
//! | `POST /customers/{id}/card` `{"card": "pm_card_visa"}` | `set_card(customer, card) -> Result<String, ControlError>` | attaches a card and makes it the default of the customer and its subscriptions |
//! | `POST /setup_intents/{id}/confirm` `{"card": "pm_card_visa"}` | `confirm_setup_intent(id, card) -> Result<String, ControlError>` | what a page with Stripe.js does; the status that follows |
//! | `POST /setup_intents/{id}/authenticate` `{"success": true}` | `authenticate_setup_intent(id, success)` | ends 3-D Secure |
//! | `POST /checkout/{id}/pay` `{"card": "pm_card_visa"}` | `pay_checkout(session, card) -> Result<CheckoutStep, ControlError>` | what the page does: `completed`, `declined` or `authentication` |
//! | `POST /checkout/{id}/authenticate` `{"success": true}` | `authenticate_checkout(session, success) -> Result<CheckoutStep, ControlError>` | ends 3-D Secure on the page |
//! | `POST /checkout/{id}/settle` `{"success": true}` | `settle_checkout(session, success)` | ends the bank debit of a completed session |
//! | `POST /checkout/{id}/expire` | `expire_checkout(session)` | |
//! | `POST /subscriptions` `{"customer", "price", "quantity": 1, "trial_days"?, "metadata": {}}` | `create_subscription(&NewSubscription) -> Result<String, ControlError>` | a subscription made in the Dashboard |
//! | `POST /subscriptions/{id}/cancel` | `cancel_subscription(id)` | in the Dashboard, at once |
//! | `POST /invoices/{id}/authenticate` `{"success": true}` | `authenticate_invoice(id, success)` | ends 3-D Secure of an invoice's payment |
//! | `POST /invoices/{id}/settle` `{"success": true}` | `settle_invoice(id, success)` | ends the bank debit of an invoice |
//! | `POST /promotion_codes` `{"code", "percent_off", "forever": false}` | `create_promotion_code(&NewPromotionCode) -> Result<String, ControlError>` | a code with a coupon of its own |
//! | `POST /portal/configuration` | `save_portal_settings() -> String` | saves the portal's settings in the Dashboard, which makes the default configuration |
//!
//! A draft is finalized an hour after its `invoice.created` was delivered. Where an endpoint wants that event, a clock
//! that is advanced past both in one step finds it undelivered: wait for the delivery, and advance it again; or switch
//! `drafts_wait_for_webhooks` off.
//!
//! What goes wrong with a call is chosen with `POST /_sim/faults`, as for Connect.
//!
//! Deliberately absent: one-time payments by Checkout, what was said of a refund, `price_data`, taxes, metered and tiered
//! prices, items of different intervals in one subscription, invoices that are sent instead of charged, invoice items,
//! credit notes, quotes, test clocks (the simulator has one clock), entitlements, search, the pages of connected
//! accounts, `payment_intent.created`, and a last period that is shorter because of `cancel_at` and costs less for that.

mod card;
mod catalogue;
mod change;
mod checkout;
mod customer;
mod discount;
mod due;
mod handle;
mod invoice;
mod payment;
mod payment_method;
mod period;
mod plan_change;
mod portal;
mod preview;
mod refusals;
mod renewal;
mod schedule;
mod setup_intent;
mod subscription;
mod switches;
mod truth;

pub use handle::{
    BillingHandle, CheckoutStep, NewBillingCustomer, NewPrice, NewProduct, NewPromotionCode,
    NewSubscription,
};
pub use switches::{AfterRetries, BillingSwitches};
pub use truth::{
    BillingCustomerTruth, BillingTruth, InvoiceTruth, ItemTruth, SessionTruth, SubscriptionTruth,
};

pub(crate) use card::{Card, Decline};
pub(crate) use catalogue::{Price, PriceTerms, Product, ProductTerms, Recurring};
pub(crate) use change::Change;
pub(crate) use checkout::{Mode, NewSession, Session, SessionItem, SessionStatus, Step};
pub(crate) use customer::{Customer, CustomerTerms};
pub(crate) use discount::{Coupon, Discount, Off, PromotionCode, Redeemed};
pub(crate) use invoice::{Invoice, Line};
pub(crate) use payment::{Collected, Presence};
pub(crate) use payment_method::PaymentMethod;
pub(crate) use period::{Interval, Period};
pub(crate) use plan_change::{ItemChange, Proration, SubscriptionChange};
pub(crate) use portal::{ConfigurationTerms, PortalConfiguration, PortalSession};
pub(crate) use preview::PreviewTerms;
pub(crate) use refusals::Refusal;
pub(crate) use schedule::{Phase, PhaseItem, Schedule, ScheduleStatus};
pub(crate) use setup_intent::{SetupIntent, SetupStatus};
pub(crate) use subscription::{
    Item, MissingMethod, NewItem, PaymentBehavior, Status, Subscription, SubscriptionTerms,
};

use std::collections::BTreeMap;

/// An object's metadata.
pub(crate) type Metadata = BTreeMap<String, String>;

/// What an account knows of its customers and of what they subscribe to; each kind in the order in which it was made.
#[derive(Debug, Default)]
pub(crate) struct Billing {
    pub(crate) switches: BillingSwitches,
    pub(crate) customers: Vec<Customer>,
    pub(crate) methods: Vec<PaymentMethod>,
    pub(crate) setup_intents: Vec<SetupIntent>,
    pub(crate) products: Vec<Product>,
    pub(crate) prices: Vec<Price>,
    pub(crate) coupons: Vec<Coupon>,
    pub(crate) promotion_codes: Vec<PromotionCode>,
    pub(crate) sessions: Vec<Session>,
    pub(crate) subscriptions: Vec<Subscription>,
    pub(crate) schedules: Vec<Schedule>,
    pub(crate) invoices: Vec<Invoice>,
    pub(crate) configurations: Vec<PortalConfiguration>,
    pub(crate) portal_sessions: Vec<PortalSession>,
    /// Numbers that secrets are made of, and ids of what stands inside other objects.
    numbers: u64,
}

/// What a request does to a value that can be absent.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Assigned<T> {
    #[default]
    Unchanged,
    Cleared,
    To(T),
}

impl<T> Assigned<T> {
    pub(crate) const fn is_given(&self) -> bool {
        !matches!(self, Self::Unchanged)
    }

    pub(crate) fn value(self) -> Option<T> {
        match self {
            Self::To(value) => Some(value),
            Self::Unchanged | Self::Cleared => None,
        }
    }
}

/// Changes a text as a request says: an empty one takes it away.
fn set(text: &mut Option<String>, given: Option<String>) {
    if let Some(given) = given {
        *text = Some(given).filter(|it| !it.is_empty());
    }
}
