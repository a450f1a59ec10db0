//! `connect-account`: the Stripe account through which the organization is paid, on a platform that uses Stripe Connect, and the
//! money that moves to it and out of it.
//!
//! Whatever moves money is named by a request key (`request_key`), so that a command whose answer was lost can be run again.
//! Amounts are given in minor units, as in conditions of rules and in the API, and shown as money.
//!
//! Deliberately absent: links to Stripe's dashboard, which expire in moments and are for people who are signed in to the pages.

mod account;
mod balance;
mod payouts;
mod reconciliation;
mod request_key;
mod schedule;
mod transfers;

use super::{Ask, Error};

/// Onboard the Stripe account through which the organization is paid, move money to it, and pay it out
///
/// Amounts are given in minor units: 1050 is 10.50 USD, or 1,050 JPY.
#[derive(Debug, clap::Subcommand)]
pub enum ConnectAccount {
    /// Create the account, unless there is one, and print a link to Stripe's page
    ///
    /// The link works once and expires after a few minutes. Run the command again for another one.
    Onboard(account::Onboard),
    /// Show the account's status and what Stripe requires
    Status(account::Status),
    /// Stop using the account; nothing is deleted at Stripe
    Disconnect(account::Disconnect),
    /// Show the account's current balance at Stripe
    Balance(Ask),
    /// Move money from the platform to the account; the platform keeps its fee
    Transfer(transfers::Transfer),
    /// List transfers, the newest first, or show one with its reversals
    Transfers(transfers::Transfers),
    /// Take back a transfer, or a part of it
    Reverse(transfers::Reverse),
    /// Send money from the account's balance to its bank
    PayOut(payouts::PayOut),
    /// List payouts, the newest first, including those that Stripe creates according to the schedule
    Payouts(payouts::Payouts),
    /// Show or set the schedule by which Stripe pays the account out
    #[command(subcommand)]
    Schedule(schedule::Schedule),
    /// Show the differences that the last daily reconciliation found between the ledger and Stripe
    #[command(visible_alias = "reconcile")]
    Reconciliation(Ask),
}

impl ConnectAccount {
    /// Runs the command.
    pub async fn run(self) -> Result<(), Error> {
        match self {
            Self::Onboard(command) => command.run().await,
            Self::Status(command) => command.run().await,
            Self::Disconnect(command) => command.run().await,
            Self::Balance(ask) => balance::run(ask).await,
            Self::Transfer(command) => command.run().await,
            Self::Transfers(command) => command.run().await,
            Self::Reverse(command) => command.run().await,
            Self::PayOut(command) => command.run().await,
            Self::Payouts(command) => command.run().await,
            Self::Schedule(command) => command.run().await,
            Self::Reconciliation(ask) => reconciliation::run(ask).await,
        }
    }
}
