//! The `consumer` program.
//!
//! Settings are in `config.rs`, claiming jobs in `worker.rs`, the slots in `slots.rs`, running one job in
//! `running.rs`, and what becomes of a failed one in `failure_policy.rs`. What each job does is in its connector. `forwarding/`
//! delivers events to an internal handler.

use std::process::ExitCode;

use clap::Parser as _;
use common::lifecycle;

/// Pages are parsed and dropped without an end, by two threads and more: with the system's allocator the process
/// grew by up to a third between a short first sync and a long one. Set up in `.cargo/config.toml`.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let config = consumer::Args::parse().check();
    lifecycle::run_program("consumer", config, |config| &config.log, consumer::run)
}
