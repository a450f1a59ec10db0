//! Disconnecting: the account is used no more here. Nothing is deleted at the vendor, and its history stays.

use common::db;
use common::tenant::OrganizationId;

use super::{AccountServices, ConnectedAccount, Error, queries, refresh};

/// Disconnects the account that an organization has; the account as it is then. It may be onboarded again, with another account.
pub async fn disconnect(
    services: AccountServices<'_>,
    organization: &OrganizationId,
) -> Result<ConnectedAccount, Error> {
    let account = refresh::current(services, organization).await?;
    let now = services.clock.now();
    let mut tx = db::tenant_transaction(services.pool, organization).await?;
    queries::disconnect(
        &mut tx,
        organization,
        account.creation_id,
        "organization",
        now,
    )
    .await?;
    db::commit(tx).await?;
    let account = refresh::stored(services, organization).await?;
    account.ok_or(Error::NotStarted)
}
