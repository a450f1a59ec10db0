//! What billing asks of a vendor, in billing's words.
//!
//! An implementation sends what it is asked to once, and says with [`GatewayError`] whether anything may have happened. Whatever
//! changes something has a key, under which it is done once. Deliberately absent: retries and tables.

use std::fmt::Debug;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use common::money::{Currency, Money};
use common::named;
use common::tenant::OrganizationId;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::cancellation::Feedback;
use super::change::{InvoicePreview, PlanChange};
use super::plan::Interval;
use super::portal::PortalRequest;
use super::setup::OpenSetup;
use super::status::SubscriptionStatus;
use crate::gateway::GatewayError;
use crate::idempotency::IdempotencyKey;

/// A customer to be created, which is the same whenever its row is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewCustomer {
    /// Stands in what is made.
    pub creation_id: Uuid,
    pub organization: OrganizationId,
    pub email: Option<String>,
    pub name: Option<String>,
}

/// What a customer pays with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PaymentMethod {
    /// The vendor's id.
    pub id: String,
    /// `card`, `sepa_debit` and so on.
    pub kind: String,
    pub brand: Option<String>,
    pub last4: Option<String>,
    pub exp_month: Option<i32>,
    pub exp_year: Option<i32>,
    /// The same for one card, whoever pays with it.
    #[serde(skip)]
    pub fingerprint: Option<String>,
}

/// Everything of a customer, as the vendor describes it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CustomerReading {
    /// By which it pays unless something else is said.
    pub payment_method: Option<PaymentMethod>,
    /// All, those that ended included.
    pub subscriptions: Vec<SubscriptionReading>,
    pub invoices: Vec<InvoiceReading>,
    pub payments: Vec<Payment>,
    /// The newest.
    pub checkouts: Vec<CheckoutReading>,
    /// The newest.
    pub setups: Vec<SetupReading>,
}

impl CustomerReading {
    /// By which the customer pays: a subscription may have a method of its own, as after a checkout.
    pub fn paying_method(&self) -> Option<&PaymentMethod> {
        let mut live = self.subscriptions.iter().filter(|it| it.status.is_live());
        let of_subscription = live.find_map(|it| it.payment_method.as_ref());
        of_subscription.or(self.payment_method.as_ref())
    }
}

/// A subscription as the vendor describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubscriptionReading {
    pub subscription_id: String,
    /// Whether it was made by a checkout of ours.
    pub is_ours: bool,
    pub status: SubscriptionStatus,
    pub items: Vec<ItemReading>,
    pub trial_end: Option<DateTime<Utc>>,
    /// When it ends by a cancellation that is pending, however the vendor expresses that.
    pub cancel_at: Option<DateTime<Utc>>,
    pub created_at: DateTime<Utc>,
    pub ended_at: Option<DateTime<Utc>>,
    pub latest_invoice_id: Option<String>,
    /// What changes it later.
    pub schedule_id: Option<String>,
    pub scheduled: Option<ScheduledChange>,
    /// By which it pays; the customer's where there is none.
    pub payment_method: Option<PaymentMethod>,
}

/// What is subscribed to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ItemReading {
    pub item_id: String,
    pub price: PriceReading,
    pub seats: i64,
    pub current_period_start: Option<DateTime<Utc>>,
    pub current_period_end: Option<DateTime<Utc>>,
}

/// What a subscription changes to later.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScheduledChange {
    pub items: Vec<ScheduledItem>,
    pub at: DateTime<Utc>,
}

/// What is subscribed to from then on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScheduledItem {
    pub price_id: String,
    pub seats: i64,
}

/// A price as the vendor describes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PriceReading {
    pub price_id: String,
    pub product_id: String,
    /// None once another price has the key.
    pub lookup_key: Option<String>,
    /// None for prices that are not one amount.
    pub amount: Option<i64>,
    pub currency: Currency,
    /// None for what is paid once, or by the week.
    pub interval: Option<Interval>,
    /// Whether it may be subscribed to.
    pub sold: bool,
}

named! {
    /// How an invoice stands: `draft`, not sent yet; `open`, to be paid; `paid`; `uncollectible`, given up; `void`.
    InvoiceStatus {
        Draft = "draft",
        Open = "open",
        Paid = "paid",
        Uncollectible = "uncollectible",
        Void = "void",
    }
}

/// An invoice as the vendor describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvoiceReading {
    pub invoice_id: String,
    pub subscription_id: Option<String>,
    pub number: Option<String>,
    pub status: InvoiceStatus,
    pub currency: Currency,
    pub amount_due: i64,
    pub amount_paid: i64,
    pub amount_remaining: i64,
    /// How often its payment was tried.
    pub attempts: i32,
    pub next_attempt_at: Option<DateTime<Utc>>,
    pub created_at: DateTime<Utc>,
    pub paid_at: Option<DateTime<Utc>>,
    /// The vendor's page on which it is shown and paid.
    pub hosted_url: Option<String>,
    pub pdf_url: Option<String>,
}

named! {
    /// How a payment stands: `succeeded`; `pending`, it is on its way, as a debit is; `failed`.
    PaymentStatus {
        Succeeded = "succeeded",
        Pending = "pending",
        Failed = "failed",
    }
}

/// A payment as the vendor describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payment {
    pub payment_id: String,
    pub status: PaymentStatus,
    pub money: Money,
    pub amount_refunded: i64,
    pub failure_code: Option<String>,
    /// In the vendor's words.
    pub failure_message: Option<String>,
    pub receipt_url: Option<String>,
    pub created_at: DateTime<Utc>,
}

named! {
    /// How a Checkout session stands: `asked`, no answer was stored yet; `open`, it may be paid; `complete`, it was gone through;
    /// `expired`, it never will be.
    CheckoutStatus {
        Asked = "asked",
        Open = "open",
        Complete = "complete",
        Expired = "expired",
    }
}

/// A Checkout session as the vendor describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckoutReading {
    pub session_id: String,
    /// Which of ours it is; none for one that was made elsewhere.
    pub checkout_id: Option<Uuid>,
    pub status: CheckoutStatus,
    /// Gone through, and the payment is still on its way.
    pub payment_pending: bool,
    /// None once it is not open.
    pub url: Option<String>,
    pub expires_at: DateTime<Utc>,
    pub subscription_id: Option<String>,
}

/// A session to be made, which is the same whenever its row is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckoutOrder {
    /// The idempotency key, which is also written into what is made.
    pub checkout_id: Uuid,
    pub organization: OrganizationId,
    pub customer_id: String,
    pub price_id: String,
    pub seats: i64,
    pub trial_days: Option<u32>,
    pub success_url: String,
    pub cancel_url: String,
    /// When it was first sent: nothing of it is older.
    pub sent_at: DateTime<Utc>,
}

/// A payment method that is or was to be set up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetupReading {
    pub setup_id: String,
    pub created_at: DateTime<Utc>,
    /// The method, once it is confirmed.
    pub payment_method_id: Option<String>,
    /// Whether it was to become the default.
    pub is_default: bool,
}

/// A vendor by whom organizations are billed.
pub trait BillingGateway:
    CustomerGateway
    + CheckoutGateway
    + SubscriptionGateway
    + PlanChangeGateway
    + PortalGateway
    + PriceGateway
{
}

impl<T> BillingGateway for T where
    T: CustomerGateway
        + CheckoutGateway
        + SubscriptionGateway
        + PlanChangeGateway
        + PortalGateway
        + PriceGateway
{
}

/// Customers of the platform, and what they pay with.
#[async_trait]
pub trait CustomerGateway: Debug + Send + Sync {
    /// Creates a customer; its id. The same request under the same key, within a day, creates none and has the same answer.
    async fn create_customer(
        &self,
        customer: &NewCustomer,
        idempotency_key: Uuid,
    ) -> Result<String, GatewayError>;

    /// The customer that names `creation_id`, among those created since then.
    async fn find_customer(
        &self,
        creation_id: Uuid,
        since: DateTime<Utc>,
    ) -> Result<Option<String>, GatewayError>;

    /// Everything of a customer; none of one that was deleted.
    async fn read_customer(
        &self,
        customer_id: &str,
    ) -> Result<Option<CustomerReading>, GatewayError>;

    /// Makes a method the one by which a customer pays, and these subscriptions, which have one of their own; harmless when
    /// done twice.
    async fn set_payment_method(
        &self,
        customer_id: &str,
        subscription_ids: &[&str],
        payment_method_id: &str,
        key: &IdempotencyKey,
    ) -> Result<(), GatewayError>;

    /// Begins to set up a payment method that is to become the default.
    async fn create_setup(
        &self,
        customer_id: &str,
        organization: &OrganizationId,
        key: &IdempotencyKey,
    ) -> Result<OpenSetup, GatewayError>;
}

/// Sessions in which somebody subscribes on the vendor's page.
#[async_trait]
pub trait CheckoutGateway: Debug + Send + Sync {
    /// Makes a session. The same order, sent again within a day, makes nothing further and has the same answer.
    async fn create_checkout(&self, order: &CheckoutOrder)
    -> Result<CheckoutReading, GatewayError>;

    /// The session that was made of an order.
    async fn find_checkout(
        &self,
        order: &CheckoutOrder,
    ) -> Result<Option<CheckoutReading>, GatewayError>;

    /// Expires a session; refused for one that is not open.
    async fn expire_checkout(
        &self,
        session_id: &str,
        key: &IdempotencyKey,
    ) -> Result<(), GatewayError>;
}

/// Subscriptions, as they go on and end.
#[async_trait]
pub trait SubscriptionGateway: Debug + Send + Sync {
    /// Cancels a subscription at once and refunds what it paid; harmless when done twice.
    async fn undo_subscription(
        &self,
        subscription_id: &str,
        key: &IdempotencyKey,
    ) -> Result<(), GatewayError>;

    /// Ends a schedule that would change a subscription.
    async fn drop_schedule(
        &self,
        schedule_id: &str,
        key: &IdempotencyKey,
    ) -> Result<(), GatewayError>;

    /// Has a subscription end with what is paid for, and ends the schedule that would change it; harmless when done twice.
    async fn cancel_later(
        &self,
        subscription_id: &str,
        schedule_id: Option<&str>,
        feedback: Option<Feedback>,
        key: &IdempotencyKey,
    ) -> Result<(), GatewayError>;

    /// Ends a subscription at once; harmless when done twice.
    async fn cancel_now(
        &self,
        subscription_id: &str,
        feedback: Option<Feedback>,
        key: &IdempotencyKey,
    ) -> Result<(), GatewayError>;

    /// Takes back a cancellation that is pending, however it is expressed; harmless when done twice.
    async fn keep(&self, subscription_id: &str, key: &IdempotencyKey) -> Result<(), GatewayError>;

    /// Resumes a subscription that is paused.
    async fn resume(&self, subscription_id: &str, key: &IdempotencyKey)
    -> Result<(), GatewayError>;

    /// Ends the trial of a subscription, which is charged for then; harmless when done twice.
    async fn end_trial(
        &self,
        subscription_id: &str,
        key: &IdempotencyKey,
    ) -> Result<(), GatewayError>;
}

/// Changes of what is subscribed to.
#[async_trait]
pub trait PlanChangeGateway: Debug + Send + Sync {
    /// What would be invoiced now, with what is left of the former price offset as of then; without a date, what the next
    /// invoice would be. Nothing is changed.
    async fn preview(
        &self,
        change: &PlanChange,
        prorated_at: Option<DateTime<Utc>>,
        key: &IdempotencyKey,
    ) -> Result<InvoicePreview, GatewayError>;

    /// Changes a subscription and has it paid now; refused, and nothing changed, where the payment fails. Harmless when done
    /// twice.
    async fn change_now(
        &self,
        change: &PlanChange,
        key: &IdempotencyKey,
    ) -> Result<(), GatewayError>;

    /// Has a subscription change at the end of what is paid for; harmless when done twice.
    async fn change_later(
        &self,
        change: &PlanChange,
        key: &IdempotencyKey,
    ) -> Result<(), GatewayError>;
}

/// The vendor's page on which a customer changes how it pays.
#[async_trait]
pub trait PortalGateway: Debug + Send + Sync {
    /// The address of the vendor's page for a customer; refused where nothing says what it is to show.
    async fn portal(
        &self,
        request: &PortalRequest,
        key: &IdempotencyKey,
    ) -> Result<String, GatewayError>;

    /// The vendor's id of a description of the page, if there is any.
    async fn portal_configuration(&self) -> Result<Option<String>, GatewayError>;

    /// Describes the page; the vendor's id of that.
    async fn configure_portal(&self, key: &IdempotencyKey) -> Result<String, GatewayError>;
}

/// What may be subscribed to.
#[async_trait]
pub trait PriceGateway: Debug + Send + Sync {
    /// The prices that may be subscribed to under these lookup keys. A key that the vendor does not know has none.
    async fn prices(&self, lookup_keys: &[&str]) -> Result<Vec<PriceReading>, GatewayError>;
}
