//! Nouns, outside systems and process shell that the programs of the engine share.
//!
//! The shell uses outside systems and nouns, and outside systems use nouns. Nouns use neither [`stripe`] nor
//! [`broker`], and of [`db`] what their statements and transactions need; statements are in `queries` and in the files that
//! `tests/it/tidy.rs` lists. `stripe` uses neither `db` nor `broker`, and `db` knows of the nouns an organization's id.
//!
//! A use case is a function of its noun: it validates, calls the queries in one transaction ([`unit_of_work`]) and returns
//! the answer with what has to be published. What it needs of an outside system is a trait that the system implements, as
//! [`connection::probe::AccountProbe`].
//!
//! - nouns: [`analytics`], [`catalogue`], [`charge`], [`clock`], [`connection`], [`credential`], [`dispute`],
//!   [`filter`], [`identity`], [`job`], [`money`], [`purchase`], [`rule`], [`sync`], [`tenant`]
//! - between nouns and [`db`]: [`unit_of_work`]
//! - on the ground floor: [`id`]
//! - outside systems: [`broker`], [`db`], [`stripe`]
//! - process shell: [`config`], [`lifecycle`], [`telemetry`]
//! - small and used anywhere: [`csv_cell`], [`outage`]

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
pub mod id;
pub mod identity;
pub mod job;
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
