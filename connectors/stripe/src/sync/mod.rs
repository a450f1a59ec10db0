//! Syncing a Stripe account: its types of jobs, what each does, and what they leave behind, the connection's sync state. The
//! queue itself is [`common::job`], which knows none of this.
//!
//! - `full` lists the covered range ([`Plan`]), page by page (`fetch`), while `commit` commits (`batch`); `sweep` finds what
//!   is no longer listed;
//! - `incremental` applies what events say has changed (`events`, [`changes`]) with few requests (`windows`, `retrieve`);
//!   `recheck` finds once a day what they did not say;
//! - `compare` notes the days that are compared with Stripe, and compares those that somebody asks for;
//! - `webhook` applies events received by webhook (`apply_events`) at once, in the same way;
//! - `stripe_reader` is Stripe as a job reads it, `objects` what is made of its answers, `make_rows` what is made of
//!   those in the database;
//! - `refilter`, `redate` and `delete` send Stripe no request;
//! - `finish` makes the aggregates, the catalogue and the state agree with the rows;
//! - [`state`], [`status`], [`progress`] and [`parked`] say how far an account is, and what is set aside.
//!
//! Every commit is fenced. No transaction is open while Stripe is asked.

mod apply_events;
mod batch;
pub mod changes;
mod commit;
mod compare;
mod customer_cache;
mod delete;
mod error;
pub(crate) mod events;
mod fetch;
mod finish;
mod full;
mod incremental;
mod job_handler;
mod job_type;
mod make_rows;
mod objects;
pub mod parked;
mod plan;
pub mod progress;
mod purge;
mod recheck;
mod redate;
mod refilter;
pub mod resumable_plan;
mod retrieve;
mod run;
pub mod state;
pub mod status;
mod stripe_reader;
mod sweep;
mod thin;
mod webhook;
mod windows;

pub use error::Error;
pub use job_handler::StripeJob;
pub use job_type::JobType;
pub use parked::ParkedObject;
pub use plan::{List, Plan, Range, Reading, Span};
