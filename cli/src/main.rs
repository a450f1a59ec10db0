//! `stripe-sync`: keeps the revenue of Stripe accounts in PostgreSQL.
//!
//! Where things are:
//!
//! - `lib.rs` the commands and the way from one to its exit code
//! - `up.rs` everything in one process; `local_postgres/` its private PostgreSQL;
//!   `local_files.rs` what it remembers under `.local/`; `running_engines.rs` where it answers
//! - `admin/` commands that work on the database: organizations, tokens, keys, migrations
//! - `client/` commands that speak HTTP with a running engine: connections, rules, revenue and more
//! - `jobs.rs` jobs, by either of the two ways
//! - `arguments.rs` values of flags; `output.rs` tables and numbers for people; `secret_input.rs` secrets that people
//!   type
//!
//! The engine itself is in the crates `api`, `scheduler` and `consumer`; what they share, in `common`.

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    cli::run(cli::Cli::parse())
}
