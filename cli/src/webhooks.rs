//! `webhooks`: what is asked of the engine ([`crate::client::webhooks`]), and registering the platform's own endpoints, which
//! works on the database ([`crate::admin::webhooks`]).

use crate::{Error, admin, client};

/// Receive changes from Stripe at once: set an endpoint up, list its events and apply them again
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Webhooks {
    #[command(flatten)]
    OfConnection(client::webhooks::Webhooks),
    /// Create the webhook endpoint of the platform's own Stripe account and its Connect endpoint at Stripe, or find them
    ///
    /// Works on the database, like `token` and `keys`, and stores the signing secrets encrypted. It is safe to run again: it
    /// finds its endpoints and brings them up to date.
    Register(admin::webhooks::Register),
}

impl Webhooks {
    /// Runs the command.
    pub(crate) async fn run(self) -> Result<(), Error> {
        match self {
            Self::OfConnection(command) => Ok(command.run().await?),
            Self::Register(command) => Ok(command.run().await?),
        }
    }
}
