//! Nouns, outside systems and process shell that the programs and connectors of the engine share.
//!
//! Nothing here knows a vendor: what belongs to Stripe is in the crate `stripe`, which implements [`connector::Connector`].
//!
//! The shell uses outside systems and nouns, and outside systems use nouns. Nouns do not use [`broker`], and of [`db`] what
//! their statements and transactions need; statements are in `queries` and in the files that `tests/it/tidy.rs` lists. `db`
//! knows of the nouns an organization's id.
//!
//! A use case is a function of its noun: it validates, calls the queries in one transaction ([`unit_of_work`]) and returns
//! the answer with what has to be published. What it needs of a vendor is a trait that a connector implements, as
//! [`connection::probe::AccountProbe`].
//!
//! - nouns: [`catalogue`], [`clock`], [`connection`], [`connector`], [`credential`], [`filter`], [`job`], [`money`],
//!   [`plan_limit`], [`rule`], [`saved_question`], [`session`], [`tenant`], [`webhook`]
//! - between nouns and [`db`]: [`unit_of_work`]
//! - on the ground floor: [`id`]
//! - outside systems: [`broker`], [`db`]
//! - process shell: [`config`], [`identity`], [`lifecycle`], [`telemetry`]
//! - small and used anywhere: [`csv_cell`], [`fail_point`], [`mod@named`], [`outage`], [`throttle`]

pub mod broker;
pub mod catalogue;
pub mod clock;
pub mod config;
pub mod connection;
pub mod connector;
pub mod credential;
pub mod csv_cell;
pub mod db;
pub mod error_chain;
pub mod fail_point;
pub mod filter;
pub mod id;
pub mod identity;
pub mod job;
pub mod lifecycle;
pub mod money;
pub mod named;
pub mod outage;
pub mod plan_limit;
pub mod rule;
pub mod saved_question;
pub mod session;
pub mod telemetry;
pub mod tenant;
pub mod throttle;
pub mod unit_of_work;
pub mod webhook;
