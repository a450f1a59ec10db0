//! Reading an account again: because an event named it, because somebody asked, or because it was not read for long.
//!
//! What is stored is the answer to the request that was sent last, whatever the order in which answers come. An account that
//! the vendor no longer shows us is disconnected. Deliberately absent: taking anything from an event.

use chrono::{DateTime, TimeDelta, Utc};
use common::db::{self, PgConnection};
use common::tenant::OrganizationId;
use uuid::Uuid;

use super::{AccountReading, AccountServices, ConnectedAccount, Error, queries};
use crate::gateway::GatewayError;

/// After how long an account is read again unasked: Stripe can turn payouts off without sending an event.
const READ_AGAIN_AFTER: TimeDelta = TimeDelta::hours(6);

/// What disconnected an account.
const BY_VENDOR: &str = "stripe";

/// The latest account of an organization, as it is stored; none if it never had one.
pub async fn stored(
    services: AccountServices<'_>,
    organization: &OrganizationId,
) -> Result<Option<ConnectedAccount>, Error> {
    let mut tx = db::tenant_transaction(services.pool, organization).await?;
    let account = queries::latest(&mut tx, organization).await?;
    db::commit(tx).await?;
    Ok(account)
}

/// The account that an organization has now.
///
/// # Errors
/// [`Error::NotStarted`] without one, [`Error::Disconnected`] for one that is used no more.
pub async fn current(
    services: AccountServices<'_>,
    organization: &OrganizationId,
) -> Result<ConnectedAccount, Error> {
    let account = stored(services, organization).await?;
    let account = account.ok_or(Error::NotStarted)?;
    if account.disconnected_at.is_some() {
        return Err(Error::Disconnected);
    }
    Ok(account)
}

/// The latest account of an organization after it was read again, if it is in use.
pub async fn read_again(
    services: AccountServices<'_>,
    organization: &OrganizationId,
) -> Result<Option<ConnectedAccount>, Error> {
    let account = stored(services, organization).await?;
    let in_use = account
        .as_ref()
        .filter(|account| account.disconnected_at.is_none())
        .and_then(ConnectedAccount::account_id);
    let Some(account_id) = in_use else {
        return Ok(account);
    };
    refresh(services, organization, account_id).await?;
    stored(services, organization).await
}

/// Reads an account of an organization and stores what was read.
pub async fn refresh(
    services: AccountServices<'_>,
    organization: &OrganizationId,
    account_id: &str,
) -> Result<(), Error> {
    let read_at = services.clock.now();
    let read = services.gateway.read(account_id).await;
    let mut tx = db::tenant_transaction(services.pool, organization).await?;
    let Some(account) = queries::with_id(&mut tx, organization, account_id).await? else {
        return Ok(());
    };
    match read {
        Ok(reading) => {
            keep(
                &mut tx,
                organization,
                account.creation_id,
                &reading,
                read_at,
            )
            .await?;
        }
        Err(GatewayError::NoAccess { .. }) => {
            queries::disconnect(
                &mut tx,
                organization,
                account.creation_id,
                BY_VENDOR,
                read_at,
            )
            .await?;
        }
        Err(cause) => return Err(cause.into()),
    }
    db::commit(tx).await?;
    Ok(())
}

/// Whether an account was read by a request that was sent after `since`, so that another one would tell nothing more.
pub async fn was_read_since(
    services: AccountServices<'_>,
    organization: &OrganizationId,
    account_id: &str,
    since: DateTime<Utc>,
) -> Result<bool, Error> {
    let mut tx = db::tenant_transaction(services.pool, organization).await?;
    let account = queries::with_id(&mut tx, organization, account_id).await?;
    db::commit(tx).await?;
    let read_at = account.and_then(|account| account.read_at);
    Ok(read_at.is_some_and(|read_at| read_at > since))
}

pub(super) async fn keep(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    creation_id: Uuid,
    reading: &AccountReading,
    read_at: DateTime<Utc>,
) -> Result<(), db::Error> {
    let next = read_at + READ_AGAIN_AFTER;
    queries::store_reading(conn, organization, creation_id, reading, read_at, next).await
}
