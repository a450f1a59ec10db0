//! `webhooks`: what is asked of the engine ([`crate::client::webhooks`]), and registering the platform's own endpoints, which
//! works on the database ([`crate::admin::webhooks`]).

use crate::{Error, admin, client};

/// Set up a webhook endpoint, list its events and replay them
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Webhooks {
    #[command(flatten)]
    OfConnection(client::webhooks::Webhooks),
    /// Register the platform's own webhook endpoint and its Connect endpoint at Stripe, or find existing ones
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
