//! The Stripe connector: reads a customer's Stripe account with the customer's key, and keeps its revenue in PostgreSQL.
//!
//! Uses `common` and is used by the programs; a connector for another vendor imports nothing from here. It writes nothing to
//! a customer's account: its client has no way to. What is written with the platform's own key is the crate `platform`'s.
//!
//! - Stripe itself: [`read_client`], whose names are this crate's as well, and its settings, [`config`]
//! - what the engine knows of it: [`connector`]; the key that a customer makes for it: [`restricted_key`]
//! - what is stored: [`charge`], [`refund`], [`purchase`], [`dispute`], [`referenced`], and how far an account is
//!   synced: [`sync`]
//! - what it sends when something changes: [`webhook`]
//! - what is shown of it: [`analytics`], its [`restatement`]s, [`metadata`], what [`rule`]s match, and which days are complete:
//!   [`comparison`]

pub mod analytics;
pub mod charge;
pub mod comparison;
pub mod config;
pub mod connector;
pub mod dispute;
pub mod metadata;
pub mod purchase;
pub mod read_client;
pub mod referenced;
pub mod refund;
pub mod restatement;
pub mod restricted_key;
pub mod rule;
pub mod sync;
pub mod webhook;

pub use connector::{StripeConnector, register};
pub use read_client::*;
