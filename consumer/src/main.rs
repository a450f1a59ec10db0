//! The `consumer` program.
//!
//! Settings are in `config.rs`, the slots that claim and run jobs in `worker.rs`, what becomes of a
//! failed job in `outcome.rs`, and what each job does in `sync/`.

use std::process::ExitCode;

use clap::Parser as _;
use common::lifecycle;

fn main() -> ExitCode {
    let config = consumer::Args::parse().check();
    lifecycle::run_program("consumer", config, |config| &config.log, consumer::run)
}
