//! Onboarding an organization: one account at the vendor, whatever is called twice, and a way in.
//!
//! A row is committed before the vendor is asked, and an organization can have one only, so however many calls come at once,
//! all of them ask for the same account under the same idempotency key and get the same answer. An answer that is lost is
//! asked for again with the next call. The vendor remembers failures of its own as well, and forgets keys after a day; then
//! the account is looked for by the id that its metadata names, and only when it is certain that there is none, another key is used.
//!
//! Fails as [`Error`] says; whatever was done is found by the next call. Deliberately absent: believing that an organization
//! that comes back has finished. The account is read.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use common::clock::new_id;
use common::db;
use common::tenant::OrganizationId;
use uuid::Uuid;

use super::queries::{self, CreationKey};
use super::{
    AccountGateway, AccountReading, AccountServices, Application, ConnectedAccount,
    EmbeddedSession, Error, HostedLink, ReturnAddresses, refresh,
};
use crate::creation::{Created, Creation, create};
use crate::gateway::GatewayError;
use crate::idempotency::IdempotencyKey;

/// How an organization gives what the vendor asks for.
#[derive(Debug, Clone)]
pub enum WayIn {
    /// On a page of the vendor's.
    Hosted(ReturnAddresses),
    /// In a page of the platform, by the vendor's script.
    Embedded,
}

/// What opens the way in. It is used once and expires soon.
#[derive(Debug, Clone)]
pub enum Opened {
    Hosted(HostedLink),
    Embedded(EmbeddedSession),
}

#[derive(Debug, Clone)]
pub struct Onboarded {
    pub account: ConnectedAccount,
    /// Whether this call had the account created.
    pub created: bool,
    pub opened: Opened,
}

/// Creates the organization's account where it has none, and opens the way in. `application` counts for a new one only.
pub async fn onboard(
    services: AccountServices<'_>,
    organization: &OrganizationId,
    application: Application,
    way: &WayIn,
) -> Result<Onboarded, Error> {
    let (account, created) = ensure_account(services, organization, application).await?;
    let opened = open(services, organization, &account, way).await?;
    Ok(Onboarded {
        account,
        created,
        opened,
    })
}

/// A new link to the vendor's page for the account that the organization has.
pub async fn new_link(
    services: AccountServices<'_>,
    organization: &OrganizationId,
    addresses: ReturnAddresses,
) -> Result<HostedLink, Error> {
    let account = refresh::current(services, organization).await?;
    match open(services, organization, &account, &WayIn::Hosted(addresses)).await? {
        Opened::Hosted(link) => Ok(link),
        // `open` opens what it is asked for.
        Opened::Embedded(_) => Err(Error::NotStarted),
    }
}

/// A link that signs in once to the vendor's dashboard of the organization's account.
pub async fn dashboard_link(
    services: AccountServices<'_>,
    organization: &OrganizationId,
) -> Result<String, Error> {
    let account = refresh::current(services, organization).await?;
    let account_id = account.account_id().ok_or(Error::NotStarted)?;
    let key = IdempotencyKey::once(account.creation_id);
    Ok(services.gateway.dashboard_link(account_id, &key).await?)
}

async fn open(
    services: AccountServices<'_>,
    organization: &OrganizationId,
    account: &ConnectedAccount,
    way: &WayIn,
) -> Result<Opened, Error> {
    let account_id = account.account_id().ok_or(Error::NotStarted)?;
    let gateway = services.gateway;
    // What it opens works once, so each call has its own.
    let key = IdempotencyKey::once(account.creation_id);
    let opened = match way {
        WayIn::Hosted(addresses) => gateway
            .hosted_link(account_id, addresses, &key)
            .await
            .map(Opened::Hosted),
        WayIn::Embedded => gateway
            .embedded_session(account_id, &key)
            .await
            .map(Opened::Embedded),
    };
    if matches!(&opened, Err(GatewayError::NoAccess { .. })) {
        refresh::refresh(services, organization, account_id).await?;
        return Err(Error::Disconnected);
    }
    Ok(opened?)
}

async fn ensure_account(
    services: AccountServices<'_>,
    organization: &OrganizationId,
    application: Application,
) -> Result<(ConnectedAccount, bool), Error> {
    let now = services.clock.now();
    let mut tx = db::tenant_transaction(services.pool, organization).await?;
    let inserted = queries::insert(&mut tx, organization, new_id(now), &application, now).await?;
    let account = queries::latest(&mut tx, organization).await?;
    db::commit(tx).await?;
    let account = account.ok_or(Error::NotStarted)?;
    if account.reading.is_some() {
        return Ok((account, false));
    }
    let created = Attempt {
        services,
        organization,
        creation_id: account.creation_id,
        application: &account.application,
    };
    let account = created.finish().await?;
    Ok((account, inserted))
}

/// To have an account created whose creation was committed and is not known to be answered.
struct Attempt<'a> {
    services: AccountServices<'a>,
    organization: &'a OrganizationId,
    creation_id: Uuid,
    application: &'a Application,
}

impl Attempt<'_> {
    async fn finish(&self) -> Result<ConnectedAccount, Error> {
        let asked_at = self.services.clock.now();
        let mut tx = db::tenant_transaction(self.services.pool, self.organization).await?;
        let key = queries::creation_key(&mut tx, self.organization, self.creation_id).await?;
        db::commit(tx).await?;
        if let Some(key) = key {
            let reading = self.ask(key, asked_at).await?;
            self.keep(&reading, asked_at).await?;
        }
        let account = refresh::stored(self.services, self.organization).await?;
        let account = account.filter(|account| account.creation_id == self.creation_id);
        account.ok_or(Error::Disconnected)
    }

    async fn ask(&self, key: CreationKey, now: DateTime<Utc>) -> Result<AccountReading, Error> {
        let asked = AskedAccount {
            gateway: self.services.gateway,
            application: self.application,
            creation_id: self.creation_id,
            idempotency_key: key.idempotency_key,
        };
        match create(&asked, now - key.used_at).await? {
            Created::Made(reading) => Ok(reading),
            Created::NotMade(cause @ GatewayError::Refused { .. }) => {
                let mut tx = db::tenant_transaction(self.services.pool, self.organization).await?;
                queries::delete_refused(&mut tx, self.organization, self.creation_id).await?;
                db::commit(tx).await?;
                Err(cause.into())
            }
            // Only what is certain not to have made an account, and not to make one any more, is asked for under another key.
            Created::NotMade(_) => {
                let key = self.exchange(key, now).await?;
                let idempotency_key = key.idempotency_key;
                Ok(AskedAccount {
                    idempotency_key,
                    ..asked
                }
                .make()
                .await?)
            }
        }
    }

    /// The key that takes the place of `former`: another one, or that of a call which was faster.
    async fn exchange(
        &self,
        former: CreationKey,
        now: DateTime<Utc>,
    ) -> Result<CreationKey, Error> {
        let other = CreationKey {
            idempotency_key: new_id(now),
            used_at: now,
        };
        let former = former.idempotency_key;
        let (organization, creation_id) = (self.organization, self.creation_id);
        let mut tx = db::tenant_transaction(self.services.pool, organization).await?;
        queries::exchange_key(&mut tx, organization, creation_id, former, other).await?;
        let key = queries::creation_key(&mut tx, organization, creation_id).await?;
        db::commit(tx).await?;
        key.ok_or(Error::NotStarted)
    }

    async fn keep(&self, reading: &AccountReading, read_at: DateTime<Utc>) -> Result<(), Error> {
        let mut tx = db::tenant_transaction(self.services.pool, self.organization).await?;
        refresh::keep(
            &mut tx,
            self.organization,
            self.creation_id,
            reading,
            read_at,
        )
        .await?;
        db::commit(tx).await?;
        Ok(())
    }
}

/// An account under a key.
struct AskedAccount<'a> {
    gateway: &'a dyn AccountGateway,
    application: &'a Application,
    creation_id: Uuid,
    idempotency_key: Uuid,
}

#[async_trait]
impl Creation for AskedAccount<'_> {
    type Made = AccountReading;

    async fn make(&self) -> Result<AccountReading, GatewayError> {
        let (application, key) = (self.application, self.idempotency_key);
        self.gateway
            .create(application, self.creation_id, key)
            .await
    }

    async fn find(&self) -> Result<Option<AccountReading>, GatewayError> {
        self.gateway.find(self.creation_id).await
    }
}
