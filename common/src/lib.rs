//! Nouns, outside systems and process shell that the programs of the engine share.
//!
//! Arrows point one way: shell → outside systems → nouns. A noun's `queries.rs` may use sqlx and
//! [`db::Error`]; its other files hold meaning, and its use cases: functions that validate, call the queries in one
//! transaction ([`unit_of_work`]) and return an answer. What a use case needs of an outside system is a trait of the noun, such as
//! [`connection::probe::AccountProbe`]. `stripe` never imports `db` or `broker`.
//!
//! - nouns: [`analytics`], [`catalogue`], [`charge`], [`clock`], [`connection`], [`credential`], [`dispute`],
//!   [`filter`], [`identity`], [`money`], [`purchase`], [`rule`], [`sync`], [`tenant`], [`unit_of_work`]
//! - outside systems: [`db`], [`stripe`]
//! - for files that people open: [`csv_cell`]

pub mod analytics;
pub mod broker;
pub mod catalogue;
pub mod charge;
pub mod clock;
pub mod config;
pub mod connection;
pub mod credential;
pub mod csv_cell;
pub mod db;
pub mod dispute;
pub mod error_chain;
pub mod filter;
pub mod identity;
pub mod lifecycle;
pub mod money;
pub mod outage;
pub mod purchase;
pub mod rule;
pub mod stripe;
pub mod sync;
pub mod telemetry;
pub mod tenant;
pub mod unit_of_work;
