//! `billing`: the plan that the organization subscribes to at the platform, and what it pays.
//!
//! Paying and payment methods are Stripe's: a command prints the link to its page. What costs something or takes something
//! away asks first. Amounts are shown as money.
//!
//! Deliberately absent: cards, which are given to Stripe alone, and setting up a payment method without its page.

mod change;
mod history;
mod key;
mod links;
mod plans;
mod subscription;

use super::{Ask, Error};

/// Subscribe to a plan of the platform, change or cancel it, and see invoices and payments
#[derive(Debug, clap::Subcommand)]
pub enum Billing {
    /// List the plans with their prices and limits
    Plans(Ask),
    /// Show the plan in force, what is used of it, and what to do
    Status(Ask),
    /// Print a link to Stripe's page on which a plan is subscribed to
    ///
    /// The same command prints the same link until it is paid or expires; one for another plan takes its place.
    Checkout(links::Checkout),
    /// Change the plan, how often it is paid, or the seats
    ///
    /// More is had now and paid now; less is had from the end of what is paid for. If the payment fails, nothing changes.
    /// Changing to what is subscribed to takes back a change that is to come.
    Change(change::Change),
    /// Cancel the subscription, at the end of what is paid for
    Cancel(subscription::Cancel),
    /// Take a cancellation back, or resume a subscription that is paused
    Resume(Ask),
    /// Read everything of the organization at Stripe again
    Sync(Ask),
    /// Print a link to Stripe's billing portal, for payment methods, address and invoices
    Portal(links::Portal),
    /// List invoices, the newest first
    Invoices(history::Newest),
    /// List payments, the newest first, including those that failed
    Payments(history::Newest),
    /// Print the API key that a subscription brings; it is shown once
    RevealKey(Ask),
    /// Print another API key; the former one is refused at once
    RollKey(key::Roll),
}

impl Billing {
    /// Runs the command.
    pub async fn run(self) -> Result<(), Error> {
        match self {
            Self::Plans(ask) => plans::run(ask).await,
            Self::Status(ask) => subscription::status(ask).await,
            Self::Checkout(command) => command.run().await,
            Self::Change(command) => command.run().await,
            Self::Cancel(command) => command.run().await,
            Self::Resume(ask) => subscription::resume(ask).await,
            Self::Sync(ask) => subscription::sync(ask).await,
            Self::Portal(command) => command.run().await,
            Self::Invoices(command) => command.invoices().await,
            Self::Payments(command) => command.payments().await,
            Self::RevealKey(ask) => key::reveal(ask).await,
            Self::RollKey(command) => command.run().await,
        }
    }
}

const INTERVALS: [&str; 2] = ["month", "year"];

#[cfg(test)]
mod tests {
    use platform::billing::plan::Interval;

    use super::*;

    #[test]
    fn intervals_are_those_of_the_engine() {
        assert_eq!(INTERVALS, Interval::ALL.map(Interval::as_str));
    }
}
