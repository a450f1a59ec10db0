//! What an organization's account holds. The vendor is asked each time; its last answer is kept, for where it does not answer
//! and for pages that show something at once. An event says that it changed, and it is read again.
//!
//! Fails as the vendor does. Deliberately absent: computing a balance from the ledger, which does not know what Stripe charges.

use chrono::{DateTime, Utc};
use common::db;
use common::tenant::OrganizationId;
use tracing::info;

use super::destination::{Use, receiver};
use super::queries::balance as queries;
use super::{Balance, Error, Ledger};
use crate::gateway::GatewayError;

/// What an account held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BalanceReading {
    pub balance: Balance,
    /// When it was asked for.
    pub as_of: DateTime<Utc>,
}

/// The balance as the vendor has it now; the last known one where the vendor gives no usable answer.
///
/// # Errors
/// [`Error::AccountNotReady`] without an account, [`Error::AccountDisconnected`], [`Error::Gateway`].
pub async fn balance(
    ledger: &Ledger,
    organization: &OrganizationId,
) -> Result<BalanceReading, Error> {
    let account_id = account_of(ledger, organization).await?;
    match read(ledger, organization, &account_id).await {
        Err(Error::Gateway(cause)) if does_not_answer(&cause) => {
            let stored = find(ledger, organization, &account_id).await?;
            let stored = stored.ok_or(Error::Gateway(cause))?;
            info!(as_of = %stored.as_of, "the vendor did not tell the balance; the last known one is answered");
            Ok(stored)
        }
        read => read,
    }
}

/// The balance as it was last read; none if it never was.
///
/// # Errors
/// As [`balance`], but for the vendor.
pub async fn stored(
    ledger: &Ledger,
    organization: &OrganizationId,
) -> Result<Option<BalanceReading>, Error> {
    let account_id = account_of(ledger, organization).await?;
    find(ledger, organization, &account_id).await
}

/// Reads the balance again, unless it was by a request that was sent after `since`.
///
/// # Errors
/// [`Error::Gateway`] when the vendor gives no usable answer.
pub async fn refresh(
    ledger: &Ledger,
    organization: &OrganizationId,
    account_id: &str,
    since: DateTime<Utc>,
) -> Result<(), Error> {
    let stored = find(ledger, organization, account_id).await?;
    if stored.is_none_or(|it| it.as_of <= since) {
        read(ledger, organization, account_id).await?;
    }
    Ok(())
}

/// Asks the vendor, and keeps the answer.
async fn read(
    ledger: &Ledger,
    organization: &OrganizationId,
    account_id: &str,
) -> Result<BalanceReading, Error> {
    let as_of = ledger.clock.now();
    let balance = ledger.gateway.balance(account_id).await?;
    let mut tx = db::tenant_transaction(&ledger.pool, organization).await?;
    queries::store(&mut tx, organization, account_id, &balance, as_of).await?;
    db::commit(tx).await?;
    Ok(BalanceReading { balance, as_of })
}

async fn account_of(ledger: &Ledger, organization: &OrganizationId) -> Result<String, Error> {
    let mut tx = db::tenant_transaction(&ledger.pool, organization).await?;
    let account_id = receiver(&mut tx, organization, Use::Reading).await?;
    db::commit(tx).await?;
    Ok(account_id)
}

async fn find(
    ledger: &Ledger,
    organization: &OrganizationId,
    account_id: &str,
) -> Result<Option<BalanceReading>, Error> {
    let mut tx = db::tenant_transaction(&ledger.pool, organization).await?;
    let stored = queries::find(&mut tx, organization, account_id).await?;
    db::commit(tx).await?;
    Ok(stored)
}

/// Whether the vendor said nothing about the account.
fn does_not_answer(cause: &GatewayError) -> bool {
    matches!(
        cause,
        GatewayError::Busy { .. } | GatewayError::Failed { .. } | GatewayError::Unknown(_)
    )
}
