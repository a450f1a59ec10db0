//! What an organization's account holds at the vendor. It is asked for each time and never stored. Fails as the vendor does.

use chrono::{DateTime, Utc};
use common::db;
use common::tenant::OrganizationId;

use super::destination::{Use, receiver};
use super::{Balance, Error, Ledger};

/// The balance, and when it was asked for.
///
/// # Errors
/// [`Error::AccountNotReady`] without an account, [`Error::AccountDisconnected`], [`Error::Gateway`].
pub async fn balance(
    ledger: &Ledger,
    organization: &OrganizationId,
) -> Result<(Balance, DateTime<Utc>), Error> {
    let mut tx = db::tenant_transaction(&ledger.pool, organization).await?;
    let account_id = receiver(&mut tx, organization, Use::Reading).await?;
    db::commit(tx).await?;
    let as_of = ledger.clock.now();
    Ok((ledger.gateway.balance(&account_id).await?, as_of))
}
