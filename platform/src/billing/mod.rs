//! Billing: what the platform's organizations subscribe to, and what they may do for it.
//!
//! There is one truth, the vendor's, and one way to learn it: [`sync`] reads everything of an organization's customer and
//! replaces what is stored. Each event, the page after a payment, the daily reading and each of our own changes have it read;
//! nothing is taken from an event. What an organization may do is derived from what is stored and from the plans whenever it
//! is asked for ([`standing`]); but for the name of the plan, by which use cases outside of billing are limited, it is stored
//! nowhere.
//!
//! - what is sold: [`plan`], and what it costs: [`price`]
//! - whom it is sold to: [`customer`], how: [`checkout`], what becomes of that: [`outcome`], what may be tried first: [`trial`],
//!   and what pays: [`setup`]
//! - how a subscription stands: [`status`], [`subscription`]; what it brings: `fulfil`, [`api_key`]; what is undone: [`repair`]
//! - what is announced of it: [`Announcing`]; what is limited: [`common::plan_limit`], of which `limits` says what is sold
//! - what an organization does with it: [`change`], [`cancellation`], [`portal`]
//! - how the vendor is asked: [`BillingGateway`]
//!
//! Fails as the vendor does, and with PostgreSQL ([`Error`]). Deliberately absent: prices of our own, and any amount that the
//! vendor did not say.

mod announce;
pub mod api_key;
pub mod cancellation;
pub mod change;
pub mod checkout;
pub mod customer;
mod fulfil;
mod gateway;
mod limits;
pub mod outcome;
pub mod plan;
pub mod portal;
pub mod price;
pub mod queries;
pub mod repair;
mod request;
pub mod setup;
pub mod standing;
pub mod status;
pub mod subscription;
pub mod sync;
pub mod trial;

use std::sync::Arc;

use common::clock::SharedClock;
use common::db::{self, Pool};

pub use announce::Announcing;
pub use gateway::{
    BillingGateway, CheckoutGateway, CheckoutOrder, CheckoutReading, CheckoutStatus,
    CustomerGateway, CustomerReading, InvoiceReading, InvoiceStatus, ItemReading, NewCustomer,
    Payment, PaymentMethod, PaymentStatus, PlanChangeGateway, PortalGateway, PriceGateway,
    PriceReading, ScheduledChange, ScheduledItem, SetupReading, SubscriptionGateway,
    SubscriptionReading,
};

use crate::gateway::GatewayError;
use plan::Plans;

/// What the use cases of billing work with. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Billing {
    pub pool: Pool,
    pub clock: SharedClock,
    pub gateway: Arc<dyn BillingGateway>,
    pub plans: Arc<Plans>,
    /// What is announced of how organizations stand; none where nothing is forwarded.
    pub announcing: Option<Announcing>,
}

/// Why a use case of billing failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The customer's creation is not answered yet, or it was deleted meanwhile.
    #[error("the organization's customer at the vendor is not there yet; try again")]
    NoCustomer,
    #[error("there is no such plan to subscribe to")]
    UnknownPlan,
    #[error("the plan cannot be paid at this interval")]
    UnknownInterval,
    /// The vendor does not know the price of the plan.
    #[error("Stripe has no price that is sold for the plan ({lookup_key})")]
    PriceNotFound { lookup_key: String },
    /// Something is subscribed to already.
    #[error("the organization has a subscription; change it instead")]
    SubscriptionExists,
    /// A payment for a subscription is on its way.
    #[error("a payment for a subscription is on its way; wait for it")]
    PaymentPending,
    #[error("there is no subscription that goes on")]
    NoSubscription,
    /// The organization never had a subscription that gave access.
    #[error("there is no API key without a subscription that gives access")]
    NoApiKey,
    #[error("the API key was revealed before; roll it to have another one")]
    AlreadyRevealed,
    /// Another call works on the same.
    #[error("another call is subscribing at this moment; try again")]
    Busy,
    #[error(transparent)]
    Gateway(#[from] GatewayError),
    #[error(transparent)]
    Database(#[from] db::Error),
}
