//! A connection's key: checking one before it is used, testing and replacing it.
//!
//! No transaction is open while the vendor is asked. The old key stays unless its replacement was committed.

use chrono::{DateTime, Utc};
use secrecy::SecretString;
use tracing::error;

use super::connect::{Connected, KeyServices};
use super::probe::{
    self, Access, AccountProbe, Estimate, FullSync, KeyError, Probe, ProbeError, probe_access,
};
use super::{Connection, Permission, lookup, queries, start_sync};
use crate::connector::Connector;
use crate::credential::{self, CredentialBinding, vault};
use crate::db::{self, PgConnection};
use crate::job::Trigger;
use crate::tenant::OrganizationId;
use crate::unit_of_work::{Committed, UnitOfWork};

/// What is wrong with a stored key.
#[derive(Debug)]
pub enum KeyProblem {
    /// None is stored any more.
    Missing,
    /// It cannot be decrypted; the log says why.
    Unreadable,
    /// The vendor refuses it.
    Refused { detail: String },
    PermissionMissing {
        missing: Vec<Permission>,
        vendor: &'static str,
    },
}

/// Result of testing a key.
#[derive(Debug)]
pub struct KeyTest {
    /// As it was when the test began.
    pub connection: Connection,
    /// The last known ones where the vendor gave no others.
    pub permissions: Vec<Permission>,
    pub checked_at: DateTime<Utc>,
    pub problem: Option<KeyProblem>,
    /// What a full sync of the connection takes, where that could be estimated.
    pub estimate: Option<Estimate>,
}

/// What is known of a key before anybody connects with it.
#[derive(Debug)]
pub struct Checked {
    pub probe: Probe,
    /// What the first sync takes, where that could be estimated.
    pub estimate: Option<Estimate>,
}

/// Why a key could not be tested.
#[derive(Debug, thiserror::Error)]
pub enum TestError {
    #[error(transparent)]
    Connection(#[from] lookup::Error),
    /// The vendor's answer said nothing about the key.
    #[error(transparent)]
    Probe(ProbeError),
    #[error(transparent)]
    Database(#[from] db::Error),
}

/// Finds out what a key is and may read before anybody connects with it, and what the first sync takes of a history that
/// begins at `from`. Nothing is stored.
pub async fn check(
    services: KeyServices<'_>,
    connector: &'static dyn Connector,
    api_key: &SecretString,
    from: Option<DateTime<Utc>>,
) -> Result<Checked, TestError> {
    let account = services.probe_of(connector.name())?;
    let probe = account.probe(api_key).await.map_err(TestError::Probe)?;
    let estimate = match from {
        Some(from) if probe.missing.is_empty() => {
            let wanted = FullSync {
                from,
                to: services.clock.now(),
                rate_share: 1.0,
                payment_intent_metadata: false,
            };
            probe::estimate(account, api_key, wanted).await
        }
        _ => None,
    };
    Ok(Checked { probe, estimate })
}

/// Tests the stored key of a connection and stores its permissions.
pub async fn test(
    services: KeyServices<'_>,
    organization: &OrganizationId,
    connection_id: &str,
) -> Result<KeyTest, TestError> {
    let mut tx = db::tenant_transaction(services.pool, organization).await?;
    let connection = lookup::find(&mut tx, organization, connection_id).await?;
    let binding = CredentialBinding::api_key(organization, connection_id);
    let sealed = credential::queries::load(&mut tx, binding).await?;
    db::commit(tx).await?;
    let mut tested = KeyTest {
        permissions: connection.permissions.clone(),
        connection,
        checked_at: services.clock.now(),
        problem: None,
        estimate: None,
    };
    let account = services.probe_of(&tested.connection.connector)?;
    let access = match access_of(services, &tested.connection, sealed) {
        Ok(access) => access,
        Err(problem) => {
            tested.problem = Some(problem);
            return Ok(tested);
        }
    };
    match probe_access(account, &access).await {
        Ok(probe) => {
            if let Access::Key(api_key) = &access
                && probe.missing.is_empty()
            {
                let wanted = full_sync(&tested.connection, tested.checked_at);
                tested.estimate = probe::estimate(account, api_key, wanted).await;
            }
            let mut tx = db::tenant_transaction(services.pool, organization).await?;
            let connection = lookup::lock(&mut tx, organization, connection_id).await?;
            store_permissions(&mut tx, account, &connection, &probe.permissions).await?;
            db::commit(tx).await?;
            tested.permissions = probe.permissions;
            tested.problem = (!probe.missing.is_empty()).then_some(KeyProblem::PermissionMissing {
                missing: probe.missing,
                vendor: account.connector().vendor(),
            });
        }
        Err(ProbeError::Invalid { detail } | ProbeError::WrongKind { detail }) => {
            tested.problem = Some(KeyProblem::Refused { detail });
        }
        Err(failure) => return Err(TestError::Probe(failure)),
    }
    Ok(tested)
}

/// A full sync of a connection.
fn full_sync(connection: &Connection, now: DateTime<Utc>) -> FullSync {
    FullSync {
        from: connection.covered_from(),
        to: now,
        rate_share: connection.rate_share,
        payment_intent_metadata: connection.payment_intent_metadata,
    }
}

/// By which key a connection is read, or why it cannot be had.
fn access_of(
    services: KeyServices<'_>,
    connection: &Connection,
    sealed: Option<Vec<u8>>,
) -> Result<Access, KeyProblem> {
    if connection.via_platform {
        let account_id = connection.external_account_id.clone();
        return Ok(Access::ViaPlatform { account_id });
    }
    let sealed = sealed.ok_or(KeyProblem::Missing)?;
    let binding =
        CredentialBinding::api_key(&connection.organization_id, &connection.connection_id);
    let opened = services.vault.keyring().open(&sealed, binding);
    opened.map(Access::Key).map_err(|cause| {
        error!(connection.id = connection.connection_id, error = %cause, "a stored key cannot be opened");
        KeyProblem::Unreadable
    })
}

/// Why a key was not replaced.
#[derive(Debug, thiserror::Error)]
pub enum ReplaceError {
    #[error(transparent)]
    Connection(#[from] lookup::Error),
    /// A key of another account or mode.
    #[error("{detail}")]
    AccountMismatch { detail: String },
    /// The account is read with the platform's key, and has none of its own.
    #[error("the account is read with the platform's key; there is no key of its own to replace")]
    ManagedByPlatform,
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error(transparent)]
    Vault(#[from] vault::Error),
    #[error(transparent)]
    Database(#[from] db::Error),
}

/// Replaces the key of a connection by another one of the same account, clears the connection's problem and starts a sync.
///
/// # Errors
/// [`lookup::Error::PlanLimit`] where the plan pauses the connection, which is not synced then.
pub async fn replace(
    services: KeyServices<'_>,
    organization: &OrganizationId,
    connection_id: &str,
    api_key: &SecretString,
) -> Result<Committed<Connected>, ReplaceError> {
    match store_key(services, organization, connection_id, api_key).await {
        Err(ReplaceError::Connection(refused)) => {
            let explained = services.plans.explain(Err(refused)).await;
            explained.map_err(ReplaceError::Connection)
        }
        done => done,
    }
}

async fn store_key(
    services: KeyServices<'_>,
    organization: &OrganizationId,
    connection_id: &str,
    api_key: &SecretString,
) -> Result<Committed<Connected>, ReplaceError> {
    let mut tx = db::tenant_transaction(services.pool, organization).await?;
    let connection = lookup::find(&mut tx, organization, connection_id).await?;
    db::commit(tx).await?;
    if connection.via_platform {
        return Err(ReplaceError::ManagedByPlatform);
    }
    let account = services.probe_of(&connection.connector)?;
    let access = Access::Key(api_key.clone());
    let probe = probe::probe_usable(account, &access).await?;
    let now = services.clock.now();
    let mut work = UnitOfWork::begin(services.pool, organization, now).await?;
    let vault = services.vault.lock(&mut work).await?;
    let mut connection = lookup::lock(&mut work, organization, connection_id).await?;
    check_account(&connection, &probe)?;
    services.plans.check_paused(&mut work, &connection).await?;
    let binding = CredentialBinding::api_key(organization, connection_id);
    vault.store(&mut work, binding, api_key, now).await?;
    queries::clear_problem(&mut work, organization, connection_id).await?;
    store_permissions(&mut work, account, &connection, &probe.permissions).await?;
    connection.permissions = probe.permissions;
    let kind = start_sync::scheduled_kind(account.connector(), &connection);
    let job = work
        .enqueue_for_change(&connection, kind, Trigger::Settings)
        .await?;
    let connected = Connected {
        connection,
        job_id: job.job_id,
    };
    Ok(work.commit(connected).await?)
}

fn check_account(connection: &Connection, probe: &Probe) -> Result<(), ReplaceError> {
    if probe.account_id != connection.external_account_id {
        return Err(ReplaceError::AccountMismatch {
            detail: format!(
                "The key belongs to the account {}; this connection syncs {}.",
                probe.account_id, connection.external_account_id
            ),
        });
    }
    if probe.livemode != connection.livemode {
        let mode = |livemode| if livemode { "live" } else { "test" };
        return Err(ReplaceError::AccountMismatch {
            detail: format!(
                "This is a {}-mode key; this connection syncs {}-mode data.",
                mode(probe.livemode),
                mode(connection.livemode)
            ),
        });
    }
    Ok(())
}

/// Stores what a probe found; warnings about other things stay.
async fn store_permissions(
    conn: &mut PgConnection,
    account: &dyn AccountProbe,
    connection: &Connection,
    permissions: &[Permission],
) -> Result<(), db::Error> {
    let warnings = probe::warnings(
        permissions,
        account.connector().vendor(),
        &connection.warnings,
    );
    let (organization, id) = (&connection.organization_id, &connection.connection_id);
    queries::set_permissions(conn, organization, id, permissions, &warnings).await
}
