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
use super::{
    Connection, DEFAULT_LOOKBACK_DAYS, DEFAULT_SYNC_INTERVAL_MINUTES, connection_id, queries,
};
use crate::clock::SharedClock;
use crate::connector::{Connector, unknown_connector};
use crate::credential::CredentialBinding;
use crate::credential::vault::{self, Vault};
use crate::db::{self, Pool};
use crate::job::schedule::next_sync_at;
use crate::job::{JobId, Trigger};
use crate::plan_limit::{self, Limit, Limits, PlanLimit, Plans, UnderPlan};
use crate::rule;
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
    /// What is sold, and limits what may be connected.
    pub plans: Plans<'a>,
}

/// An account to connect.
#[derive(Debug)]
pub struct NewConnection {
    pub access: Access,
    /// As many as is usual and allowed where none are given.
    pub lookback_days: Option<i32>,
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
    PlanLimit(#[from] PlanLimit),
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
///
/// # Errors
/// [`Error::PlanLimit`] where the organization has as many connections as its plan allows, or asks for more history.
pub async fn connect(
    services: KeyServices<'_>,
    connector: &'static dyn Connector,
    organization: &OrganizationId,
    new: NewConnection,
) -> Result<Committed<Connected>, Error> {
    let probe = probe::probe_usable(services.probe_of(connector.name())?, &new.access).await?;
    let stored = store(services, connector, organization, new, probe).await;
    match stored {
        Err(Error::PlanLimit(refusal)) => Err(services.plans.with_plan(refusal).await.into()),
        stored => stored,
    }
}

async fn store(
    services: KeyServices<'_>,
    connector: &'static dyn Connector,
    organization: &OrganizationId,
    new: NewConnection,
    probe: Probe,
) -> Result<Committed<Connected>, Error> {
    let now = services.clock.now();
    let mut work = UnitOfWork::begin(services.pool, organization, now).await?;
    let vault = services.vault.lock(&mut work).await?;
    let connection_id = connection_id(organization, connector.name(), &probe.account_id);
    let before =
        plan_limit::queries::before_connecting(&mut work, organization, &connection_id).await?;
    match before.deleting {
        Some(true) => return Err(Error::Deleting { connection_id }),
        Some(false) => return Err(Error::Exists { connection_id }),
        None => {}
    }
    let plan = before.plan.as_deref();
    let limits = services.plans.limits(plan);
    let terms = Terms {
        lookback_days: limits.lookback_days(new.lookback_days, DEFAULT_LOOKBACK_DAYS)?,
        sync_interval_minutes: limits.default_interval(DEFAULT_SYNC_INTERVAL_MINUTES),
    };
    let (connection, access) = connection(connector, organization, new, probe, terms, now);
    insert(&mut work, limits, &connection).await?;
    connector.begin(&mut work, &connection).await?;
    if connector.kinds().refilter.is_some() {
        let rules = services.plans.seeded_rules(plan);
        rule::seed(&mut work, organization, &connection_id, rules, now).await?;
    }
    if let Access::Key(api_key) = access {
        let binding = CredentialBinding::api_key(organization, &connection_id);
        vault.store(&mut work, binding, &api_key, now).await?;
    }
    let account_id = &connection.external_account_id;
    let job = work
        .enqueue(
            &connection_id,
            account_id,
            connector.kinds().full,
            Trigger::Connect,
        )
        .await?;
    let connected = Connected {
        connection,
        job_id: job.job_id,
    };
    Ok(work.commit(connected).await?)
}

/// What the plan says of a new connection.
#[derive(Debug, Clone, Copy)]
struct Terms {
    lookback_days: i32,
    sync_interval_minutes: i32,
}

fn connection(
    connector: &dyn Connector,
    organization: &OrganizationId,
    new: NewConnection,
    probe: Probe,
    terms: Terms,
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
        lookback_days: terms.lookback_days,
        paused: false,
        sync_interval_minutes: terms.sync_interval_minutes,
        rate_share: 1.0,
        payment_intent_metadata: false,
        warnings: probe::warnings(&probe.permissions, connector.vendor(), &[]),
        permissions: probe.permissions,
        problem: None,
        created_at: now,
        next_sync_at: next_sync_at(now, terms.sync_interval_minutes),
        scheduled_job_type: connector.kinds().full.name.to_owned(),
        via_platform: matches!(new.access, Access::ViaPlatform { .. }),
        under_plan: UnderPlan::default(),
    };
    (connection, new.access)
}

/// Stores a connection, if there is room for it.
async fn insert(
    work: &mut UnitOfWork<'_>,
    limits: Limits,
    connection: &Connection,
) -> Result<(), Error> {
    let allowed = limits.of(Limit::Connections);
    match queries::insert(work, connection, allowed).await {
        Ok(true) => Ok(()),
        Ok(false) => {
            let others = allowed.unwrap_or_default();
            Ok(limits.check(Limit::Connections, others + 1)?)
        }
        // Made by another request since.
        Err(db::Error::Conflict { .. }) => {
            let connection_id = connection.connection_id.clone();
            Err(Error::Exists { connection_id })
        }
        Err(cause) => Err(cause.into()),
    }
}
