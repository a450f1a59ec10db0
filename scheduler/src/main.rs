//! The `scheduler` program.
//!
//! Settings are in `config.rs`, writing the jobs of due connections in `tick.rs`, sending messages about
//! jobs that nobody took up in `dispatch.rs`.

use std::process::ExitCode;

use clap::Parser as _;
use common::lifecycle;

fn main() -> ExitCode {
    let config = scheduler::Args::parse().check();
    lifecycle::run_program("scheduler", config, |config| &config.log, scheduler::run)
}
