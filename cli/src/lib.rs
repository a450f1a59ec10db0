//! The `stripe-sync` program: the whole engine in one process ([`up`]), administration ([`admin`])
//! and a client for the terminal ([`client`]).
//!
//! Exit codes: 0 done, 1 it could not be done, 2 the command line or a setting is wrong. A command's
//! answer goes to standard output and everything else to standard error.
//!
//! Absent on purpose: any rule of the engine. What a command decides, it decides about its own output.

pub mod admin;
mod arguments;
pub mod client;
mod jobs;
pub mod local_files;
pub mod local_postgres;
mod output;
pub mod running_engines;
mod secret_input;
pub mod up;
mod webhooks;

use std::future::Future;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use common::error_chain::ErrorChain;
use common::lifecycle;

/// Keeps the revenue of Stripe accounts in PostgreSQL, and reports it by any metadata
#[derive(Debug, Parser)]
#[command(name = "stripe-sync", version, arg_required_else_help = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Up(Box<up::Up>),
    Migrate(admin::migrate::Migrate),
    #[command(name = "org", subcommand)]
    Organization(admin::organization::Organization),
    #[command(subcommand)]
    Token(admin::token::Token),
    SignInLink(admin::sign_in_link::SignInLink),
    #[command(subcommand)]
    Keys(admin::keys::Keys),
    Whoami(client::whoami::Whoami),
    Connect(Box<client::connect::Connect>),
    #[command(subcommand)]
    Connections(client::connections::Connections),
    Sync(client::sync::Sync),
    Status(client::status::Status),
    #[command(subcommand)]
    Jobs(Box<jobs::Jobs>),
    Revenue(Box<client::revenue::Revenue>),
    Daily(client::daily::Daily),
    Restatements(client::restatements::Restatements),
    #[command(subcommand)]
    Rules(Box<client::rules::Rules>),
    Discover(client::discover::Discover),
    Explain(client::explain::Explain),
    Parked(client::parked::Parked),
    Completeness(client::comparison::Completeness),
    Compare(client::comparison::Compare),
    #[command(subcommand)]
    Webhooks(Box<webhooks::Webhooks>),
    #[command(subcommand)]
    ConnectAccount(Box<client::connect_account::ConnectAccount>),
    #[command(subcommand)]
    Billing(Box<client::billing::Billing>),
    #[command(subcommand)]
    Operator(client::operator::Operator),
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Admin(#[from] admin::Error),
    #[error(transparent)]
    Client(#[from] client::Error),
}

impl Error {
    fn exit_code(&self) -> ExitCode {
        let usage = match self {
            Self::Admin(error) => error.is_usage(),
            Self::Client(error) => error.is_usage(),
        };
        if usage {
            ExitCode::from(2)
        } else {
            ExitCode::FAILURE
        }
    }
}

/// Runs a command to its end.
pub fn run(cli: Cli) -> ExitCode {
    match cli.command {
        Command::Up(up) => {
            lifecycle::run_program("stripe-sync", up.check(), |config| &config.log, up::run)
        }
        Command::Migrate(command) => finish(command.run()),
        Command::Organization(command) => finish(command.run()),
        Command::Token(command) => finish(command.run()),
        Command::SignInLink(command) => finish(command.run()),
        Command::Keys(command) => finish(command.run()),
        Command::Whoami(command) => finish(command.run()),
        Command::Connect(command) => finish(command.run()),
        Command::Connections(command) => finish(command.run()),
        Command::Sync(command) => finish(command.run()),
        Command::Status(command) => finish(command.run()),
        Command::Jobs(command) => finish(command.run()),
        Command::Revenue(command) => finish(command.run()),
        Command::Daily(command) => finish(command.run()),
        Command::Restatements(command) => finish(command.run()),
        Command::Rules(command) => finish(command.run()),
        Command::Discover(command) => finish(command.run()),
        Command::Explain(command) => finish(command.run()),
        Command::Parked(command) => finish(command.run()),
        Command::Completeness(command) => finish(command.run()),
        Command::Compare(command) => finish(command.run()),
        Command::Webhooks(command) => finish(command.run()),
        Command::ConnectAccount(command) => finish(command.run()),
        Command::Billing(command) => finish(command.run()),
        Command::Operator(command) => finish(command.run()),
    }
}

/// Runs a command that ends by itself and says what went wrong.
fn finish<E: Into<Error>>(command: impl Future<Output = Result<(), E>>) -> ExitCode {
    lifecycle::prepare_process();
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(cause) => {
            eprintln!("stripe-sync: the runtime could not be started: {cause}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(command).map_err(Into::into) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("stripe-sync: {}", ErrorChain(&error));
            error.exit_code()
        }
    }
}

#[cfg(test)]
mod tests;
