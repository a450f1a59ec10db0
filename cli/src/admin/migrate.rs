//! `migrate`: brings the schema up to date and makes the programs' roles.
//!
//! Safe to run twice, and by two at once. The three programs wait until it has run.

use super::{DatabaseAccess, Error};
use crate::output;

/// Bring the schema up to date and make the programs' roles
#[derive(Debug, clap::Args)]
pub struct Migrate {
    #[command(flatten)]
    access: DatabaseAccess,
}

impl Migrate {
    /// Runs the command.
    pub async fn run(self) -> Result<(), Error> {
        let database = self.access.resolve().await?;
        common::db::migrate(database.url()).await?;
        output::print("the schema is up to date")?;
        Ok(())
    }
}
