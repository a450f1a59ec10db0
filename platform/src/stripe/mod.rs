//! Stripe, asked with the platform's own key: its [`client`](StripeClient), and what each noun asks of it.
//!
//! The vendor knows no table of ours. Fails as [`Error`] says, and in the nouns' words as
//! [`GatewayError`](crate::gateway::GatewayError).

mod accounts;
mod accounts_v2;
mod checkout_sessions;
mod client;
mod customers;
mod endpoint_registry;
mod error;
mod invoices;
mod money;
mod payout_settings;
mod payouts;
mod plan_changes;
mod portal;
mod prices;
mod subscriptions;
mod transfers;

pub use accounts_v2::AccountsV2;
pub use client::{API_VERSION, StripeClient};
pub use endpoint_registry::StripeEndpoints;
pub use error::Error;
