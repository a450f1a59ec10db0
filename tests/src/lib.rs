//! The harness of the integration tests: private servers, fresh databases, and a whole engine in one
//! process before a simulated Stripe.
//!
//! Everything here panics rather than returning errors: a harness that cannot do its part is a failed
//! test. Waits are for conditions, and bounded.

#![expect(
    clippy::missing_panics_doc,
    reason = "everything here panics when it cannot do its part"
)]

pub mod ad_spend;
pub mod api_only;
pub mod application;
pub mod billing_platform;
pub mod billing_shop;
pub mod billing_vendor;
pub mod browsed_platform;
pub mod browser;
pub mod captured_log;
pub mod chromium;
pub mod connected;
pub mod crashing;
pub mod database;
pub mod documents;
mod exact;
pub mod money_vendor;
pub mod partial_broker;
pub mod programs;
pub mod random;
pub mod servers;
pub mod shell;
pub mod sold_plans;
pub mod three_ways;
pub mod wait;
pub mod webhook_handler;
pub mod webhooks;
pub mod world;
