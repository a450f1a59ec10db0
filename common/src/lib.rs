//! Nouns, outside systems and process shell that the programs of the engine share.
//!
//! Arrows point one way: shell → outside systems → nouns. A noun's `queries.rs` may use sqlx and
//! [`db::Error`]; its other files do no I/O. `stripe` never imports `db` or `broker`.
//!
//! - nouns: [`analytics`], [`catalogue`], [`charge`], [`clock`], [`connection`], [`credential`], [`dispute`],
//!   [`filter`], [`identity`], [`money`], [`purchase`], [`sync`], [`tenant`]
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
pub mod stripe;
pub mod sync;
pub mod telemetry;
pub mod tenant;
