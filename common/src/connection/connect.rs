//! Connecting an account: its key is probed, and then the connection, its sealed key and its first job are committed
//! together.
//!
//! An account that is connected to the platform has no key of its own: it is read with the platform's ([`Access`]).
//!
//! Nothing is stored when it fails, and no transaction is open while the vendor is asked. Keys never stand in an
//! error or a log.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;

use super::probe::{self, Access, AccountProbe, KeyError, Probe};
use super::{Connection, DEFAULT_SYNC_INTERVAL_MINUTES, connection_id, queries};
use crate::clock::SharedClock;
use crate::connector::{Connector, unknown_connector};
use crate::credential::CredentialBinding;
use crate::credential::vault::{self, Vault};
use crate::db::{self, Pool};
use crate::job::schedule::next_sync_at;
use crate::job::{JobId, Trigger};
use crate::tenant::OrganizationId;
use crate::unit_of_work::{Committed, UnitOfWork};

/// What the use cases of a key work with.
#[derive(Clone, Copy)]
pub struct KeyServices<'a> {
    pub pool: &'a Pool,
    pub clock: &'a SharedClock,
    pub vault: &'a Vault,
    /// Ask the vendors, one for each connector.
    pub probes: &'a [Arc<dyn AccountProbe>],
}

/// An account to connect.
#[derive(Debug)]
pub struct NewConnection {
    pub access: Access,
    pub lookback_days: i32,
    pub timezone: Tz,
    pub name: Option<String>,
}

/// A connection with a key just stored.
#[derive(Debug)]
pub struct Connected {
    pub connection: Connection,
    /// The job that syncs the account.
    pub job_id: JobId,
}

/// Why an account was not connected.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The organization has this account already.
    #[error("the connection {connection_id} exists")]
    Exists { connection_id: String },
    /// The connection's rows are still being removed.
    #[error("the connection {connection_id} is being deleted")]
    Deleting { connection_id: String },
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error(transparent)]
    Vault(#[from] vault::Error),
    #[error(transparent)]
    Database(#[from] db::Error),
}

impl KeyServices<'_> {
    /// Asks the vendor of a connector.
    ///
    /// # Errors
    /// When this program does not have the connector.
    pub(super) fn probe_of(&self, connector: &str) -> Result<&dyn AccountProbe, db::Error> {
        let found = self
            .probes
            .iter()
            .find(|probe| probe.connector().name() == connector);
        found
            .map(|probe| &**probe)
            .ok_or_else(|| unknown_connector(connector))
    }
}

/// Connects the account of a connector's that a key belongs to.
pub async fn connect(
    services: KeyServices<'_>,
    connector: &'static dyn Connector,
    organization: &OrganizationId,
    new: NewConnection,
) -> Result<Committed<Connected>, Error> {
    let probe = probe::probe_usable(services.probe_of(connector.name())?, &new.access).await?;
    let now = services.clock.now();
    let mut work = UnitOfWork::begin(services.pool, organization, now).await?;
    let vault = services.vault.lock(&mut work).await?;
    let (connection, access) = connection(connector, organization, new, probe, now);
    insert(&mut work, connector, &connection).await?;
    if let Access::Key(api_key) = access {
        let binding = CredentialBinding::api_key(organization, &connection.connection_id);
        vault.store(&mut work, binding, &api_key, now).await?;
    }
    let (id, account_id) = (&connection.connection_id, &connection.external_account_id);
    let job = work
        .enqueue(id, account_id, connector.kinds().full, Trigger::Connect)
        .await?;
    let connected = Connected {
        connection,
        job_id: job.job_id,
    };
    Ok(work.commit(connected).await?)
}

fn connection(
    connector: &dyn Connector,
    organization: &OrganizationId,
    new: NewConnection,
    probe: Probe,
    now: DateTime<Utc>,
) -> (Connection, Access) {
    let connection = Connection {
        organization_id: organization.clone(),
        connection_id: connection_id(organization, connector.name(), &probe.account_id),
        connector: connector.name().to_owned(),
        external_account_id: probe.account_id,
        livemode: probe.livemode,
        name: new.name,
        timezone: new.timezone,
        lookback_days: new.lookback_days,
        paused: false,
        sync_interval_minutes: DEFAULT_SYNC_INTERVAL_MINUTES,
        rate_share: 1.0,
        warnings: probe::warnings(&probe.permissions, connector.vendor(), &[]),
        permissions: probe.permissions,
        problem: None,
        created_at: now,
        next_sync_at: next_sync_at(now, DEFAULT_SYNC_INTERVAL_MINUTES),
        scheduled_job_type: connector.kinds().full.name.to_owned(),
        via_platform: matches!(new.access, Access::ViaPlatform { .. }),
    };
    (connection, new.access)
}

async fn insert(
    work: &mut UnitOfWork<'_>,
    connector: &dyn Connector,
    connection: &Connection,
) -> Result<(), Error> {
    let organization = &connection.organization_id;
    let connection_id = connection.connection_id.clone();
    match queries::deleting(work, organization, &connection_id).await? {
        Some(true) => return Err(Error::Deleting { connection_id }),
        Some(false) => return Err(Error::Exists { connection_id }),
        None => {}
    }
    match queries::insert(work, connection).await {
        // Made by another request since.
        Err(db::Error::Conflict { .. }) => return Err(Error::Exists { connection_id }),
        done => done?,
    }
    Ok(connector.begin(work, connection).await?)
}
