//! The `scheduler` program.

use std::process::ExitCode;

use clap::Parser as _;
use common::lifecycle;

fn main() -> ExitCode {
    let config = scheduler::Args::parse().check();
    lifecycle::run_program("scheduler", config, |config| &config.log, scheduler::run)
}
