//! Stripe: one client for reading, with its limits, its errors and the shapes of its answers.
//!
//! Reads only; there is no way to write with it. What may fail is in [`Error`], sorted by HTTP status
//! first since Stripe's `type` is `invalid_request_error` even for a revoked key. Keys are held as
//! secrets and never stand in an error. Deliberately absent: any knowledge of our tables.

mod bounded;
mod error;
pub(crate) mod estimate;
mod http;
mod method_details;
mod model;
mod probe;
mod purchase_model;
mod sanitize;

use std::num::NonZeroU32;
use std::time::Duration;

use common::throttle::Limits;
use secrecy::SecretString;
use url::Url;

pub(crate) use sanitize::sanitize;

pub use error::Error;
pub use estimate::payment_intent_requests;
pub use http::{Client, ListQuery, Page, Stripe};
pub use model::{
    BalanceTransaction, Charge, Customer, Event, EventData, EventObject, Expandable, Identified,
    Inlined, Metadata, Reference, Refund,
};
pub use purchase_model::{
    CheckoutItem, CheckoutSession, DiscountAmount, Dispute, EvidenceDetails, Invoice, InvoiceLine,
    InvoicePayment, Payment, PaymentIntent, Price, PriceDetails, PriceReference, Pricing, Product,
};

/// The version that every request names, so that shapes do not change under us.
pub const API_VERSION: &str = "2026-07-29.dahlia";

/// How Stripe is reached and how hard it may be asked.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Without `/v1`.
    pub api_base: Url,
    /// Requests a second for one live-mode account, all endpoints.
    pub rate_live: NonZeroU32,
    /// Requests a second for one test-mode account, all endpoints.
    pub rate_test: NonZeroU32,
    /// Requests a second for one endpoint of one account.
    pub rate_endpoint: NonZeroU32,
    /// Requests in flight for one account.
    pub concurrency: NonZeroU32,
    /// How long one request may take.
    pub timeout: Duration,
    /// Attempts of one request before its failure is the job's.
    pub attempts: usize,
    /// The wait before the second attempt; it doubles from there.
    pub first_wait: Duration,
    /// The platform's own key, with which accounts that are connected to it are read.
    pub platform_key: Option<SecretString>,
}

impl Settings {
    /// Stripe's documented limits (docs.stripe.com/rate-limits) and the SDKs' timeout.
    pub fn new(api_base: Url) -> Self {
        let rate = |value| NonZeroU32::new(value).unwrap_or(NonZeroU32::MIN);
        Self {
            api_base,
            rate_live: rate(100),
            rate_test: rate(25),
            rate_endpoint: rate(25),
            concurrency: rate(32),
            timeout: Duration::from_secs(80),
            attempts: 7,
            first_wait: Duration::from_millis(500),
            platform_key: None,
        }
    }

    pub fn limits(&self, livemode: bool) -> Limits {
        let global = if livemode {
            self.rate_live
        } else {
            self.rate_test
        };
        Limits {
            global_per_second: f64::from(global.get()),
            endpoint_per_second: f64::from(self.rate_endpoint.get()),
            in_flight: self.concurrency.get() as usize,
        }
    }
}
