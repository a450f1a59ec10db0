//! The `api` program: the REST API as a process of its own.
//!
//! Settings are in `config.rs`, the router in `lib.rs`, one file a noun in `routes/`, who may call in
//! `auth.rs`, what a caller sees of an error in `problem.rs`.

use std::process::ExitCode;

fn main() -> ExitCode {
    let config = api::Config::from_process();
    common::lifecycle::run_program("api", config, |config| &config.log, api::run)
}
