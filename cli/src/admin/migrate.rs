//! `migrate`: creates the programs' roles, brings the schema up to date and repairs grants and policies.
//!
//! Safe to run twice, and by two at once. The three programs wait until it has run. After a backup was restored
//! it creates what a backup does not contain: roles, and the grants and policies that named them.

use common::db::schema;

use super::{DatabaseAccess, Error};
use crate::output;

/// Bring the schema up to date, and create the programs' roles with their grants and policies
#[derive(Debug, clap::Args)]
pub struct Migrate {
    /// Only create the roles, before a backup is restored into this database
    #[arg(long)]
    roles_only: bool,
    #[command(flatten)]
    access: DatabaseAccess,
}

impl Migrate {
    /// Runs the command.
    pub async fn run(self) -> Result<(), Error> {
        let database = self.access.resolve().await?;
        if self.roles_only {
            schema::make_roles(database.url()).await?;
            output::print("the roles exist")?;
            return Ok(());
        }
        let done = schema::migrate(database.url()).await?;
        if done.migrations > 0 {
            let migrations = output::count(done.migrations as i64, "migration");
            output::print(&format!("applied {migrations}"))?;
        }
        if !done.repairs.is_empty() {
            let statements = output::count(done.repairs.len() as i64, "statement");
            output::print(&format!("repaired grants and policies with {statements}"))?;
        }
        output::print("the schema is up to date")?;
        Ok(())
    }
}
