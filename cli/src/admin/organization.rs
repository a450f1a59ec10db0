//! `org create`: a tenant is an organization, and everything else belongs to one.
//!
//! Creating it again under the same name succeeds, so that a set-up script may run twice. Under
//! another name it fails: two teams picked one id, and one would see the other's figures.

use chrono::{DateTime, Utc};
use common::clock::{Clock as _, SystemClock};
use common::db;
use common::tenant::{OrganizationId, queries};
use sqlx::PgConnection;

use super::{DatabaseAccess, Error, commit, tenant_transaction};
use crate::output;

/// Organizations
#[derive(Debug, clap::Subcommand)]
pub enum Organization {
    /// Make an organization; again with the same name changes nothing
    Create(Create),
}

/// What an organization is made of.
#[derive(Debug, clap::Args)]
pub struct Create {
    /// 1 to 63 characters of a-z, 0-9, _ and -, beginning with a letter or digit
    #[arg(value_name = "ID")]
    organization: OrganizationId,
    /// The organization's name, for people
    #[arg(long, value_parser = clap::builder::NonEmptyStringValueParser::new())]
    name: String,
    #[command(flatten)]
    access: DatabaseAccess,
}

impl Organization {
    /// Runs the command.
    pub async fn run(self) -> Result<(), Error> {
        let Self::Create(Create {
            organization,
            name,
            access,
        }) = self;
        let mut conn = access.resolve()?.connect().await?;
        let created = create(&mut conn, &organization, &name, SystemClock.now()).await?;
        let outcome = if created { "created" } else { "exists already" };
        output::print(&format!("organization {organization} ({name}) {outcome}"))?;
        Ok(())
    }
}

/// Makes an organization; false when it was there under the same name.
pub async fn create(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    name: &str,
    now: DateTime<Utc>,
) -> Result<bool, Error> {
    let mut tx = tenant_transaction(conn, organization).await?;
    match queries::create_organization(&mut tx, organization, name, now).await {
        Ok(created) => {
            commit(tx).await?;
            Ok(created)
        }
        Err(db::Error::Conflict { .. }) => {
            let name = queries::organization_name(&mut tx, organization).await?;
            Err(Error::OrganizationExists {
                organization: organization.clone(),
                name: name.unwrap_or_default(),
            })
        }
        Err(error) => Err(error.into()),
    }
}
