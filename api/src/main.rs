//! The API as a process of its own.

use std::process::ExitCode;

fn main() -> ExitCode {
    let config = api::Config::from_process();
    common::lifecycle::run_program("api", config, |config| &config.log, api::run)
}
