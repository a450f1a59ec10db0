//! The platform's own side: acts with the platform's own Stripe key, for the organizations of the platform.
//!
//! Uses `common`; connectors know nothing of it, nor it of them, and a customer's key never gets here. Every request that
//! changes something at the vendor carries an idempotency key from a row that was committed before ([`idempotency`]).
//!
//! - an organization's connected account, how it is onboarded and how it stands: [`account`]
//! - the money that moves to it, back, and from it to a bank: [`ledger`]
//! - what organizations subscribe to: [`billing`]
//! - how a vendor is called: [`gateway`]; Stripe in particular: [`stripe`]
//! - what happens because of an event: [`webhook`]
//! - settings: [`config`]

pub mod account;
pub mod billing;
pub mod config;
mod creation;
pub mod gateway;
pub mod idempotency;
pub mod ledger;
pub mod stripe;
pub mod webhook;
