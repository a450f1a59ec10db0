//! The API key that a subscription brings: a token of the organization with the role of an administrator.
//!
//! It is made when it is revealed, and revealed once, so nothing is stored by which a key could be had that nobody has seen. Rolling
//! makes another one, and the former is dead at once. Without access the key sleeps (`fulfil`); with access again it works.
//!
//! Fails as [`Error`] says. Deliberately absent: who may reveal it, which whoever calls decides.

use chrono::{DateTime, Utc};
use common::clock::{new_id, random_bytes};
use common::db::{self, PgConnection};
use common::tenant::queries::{NewToken, create_token, revoke_token_by_id};
use common::tenant::{OrganizationId, TokenRole, token_hash, token_text};
use secrecy::SecretString;

use super::standing::Standing;
use super::{Billing, Error, queries};

/// How the token is called among the others of the organization.
const NAME: &str = "billing";

/// Whether an organization has a key, and whether somebody has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyState {
    /// The organization never had access.
    None,
    Unrevealed,
    /// Since then; rolled keys since they were rolled.
    Revealed(DateTime<Utc>),
}

/// Whether the organization has a key. Nothing is revealed by asking.
pub async fn state(billing: &Billing, organization: &OrganizationId) -> Result<KeyState, Error> {
    let mut tx = db::tenant_transaction(&billing.pool, organization).await?;
    let key = queries::key(&mut tx, organization).await?;
    db::commit(tx).await?;
    Ok(match key {
        None => KeyState::None,
        Some(None) => KeyState::Unrevealed,
        Some(Some(at)) => KeyState::Revealed(at),
    })
}

/// The key, which cannot be had again.
///
/// # Errors
/// [`Error::NoApiKey`] for an organization that never had access, [`Error::AlreadyRevealed`].
pub async fn reveal(
    billing: &Billing,
    organization: &OrganizationId,
) -> Result<SecretString, Error> {
    let mut tx = db::tenant_transaction(&billing.pool, organization).await?;
    let key = queries::lock_key(&mut tx, organization).await?;
    if key.ok_or(Error::NoApiKey)?.is_some() {
        return Err(Error::AlreadyRevealed);
    }
    let secret = make(billing, &mut tx, organization).await?;
    db::commit(tx).await?;
    Ok(secret)
}

/// Another key; the former one is dead.
///
/// # Errors
/// [`Error::NoApiKey`] for an organization that never had access.
pub async fn roll(billing: &Billing, organization: &OrganizationId) -> Result<SecretString, Error> {
    let now = billing.clock.now();
    let mut tx = db::tenant_transaction(&billing.pool, organization).await?;
    let key = queries::lock_key(&mut tx, organization).await?;
    if let Some(former) = key.ok_or(Error::NoApiKey)? {
        revoke_token_by_id(&mut tx, organization, former, now).await?;
    }
    let secret = make(billing, &mut tx, organization).await?;
    db::commit(tx).await?;
    Ok(secret)
}

async fn make(
    billing: &Billing,
    conn: &mut PgConnection,
    organization: &OrganizationId,
) -> Result<SecretString, Error> {
    let now = billing.clock.now();
    let token = token_text(&random_bytes());
    let stored = NewToken {
        token_id: new_id(now),
        hash: token_hash(&token),
        name: NAME,
        role: TokenRole::Admin,
        expires_at: None,
    };
    create_token(conn, organization, &stored, now).await?;
    queries::note_revealed(conn, organization, stored.token_id, now).await?;
    let read = queries::stored(conn, organization).await?;
    let has_access = Standing::of(&billing.plans, &read, now).access;
    queries::suspend_key(conn, organization, !has_access, now).await?;
    Ok(token.into())
}
