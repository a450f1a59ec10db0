//! What each job does.
//!
//! - `full` lists the covered range, page by page (`fetch`), while `write` commits;
//! - `incremental` applies what events say has changed ([`changes`]);
//! - `stored` holds the jobs that need no word with Stripe: refilter, redate, delete;
//! - `finish` makes the aggregates, the catalogue and the state agree with the rows.
//!
//! Every commit is fenced. No transaction is open while Stripe is asked.

pub mod changes;
mod fetch;
mod finish;
mod full;
mod incremental;
mod source;
mod stored;
mod write;

use common::connection::{self, Connection};
use common::credential::{self, Place};
use common::db::{self, Pool};
use common::filter::{self, RuleSet};
use common::sync::state::{self, SyncState};
use common::sync::{Fence, Job, JobType};
use common::tenant::OrganizationId;
use sqlx::{Postgres, Transaction};

use self::source::Source;
use crate::Engine;
use crate::outcome::Error;

/// Runs a claimed job to its completion, which is committed when this returns well.
pub async fn run(engine: &Engine, job: &Job) -> Result<(), Error> {
    match job.job_type {
        JobType::Delete => stored::delete(engine, job).await,
        JobType::Refilter => stored::refilter(&Run::load(engine, job).await?).await,
        JobType::Redate => stored::redate(&Run::load(engine, job).await?).await,
        JobType::Full => full::run(&Run::load(engine, job).await?).await,
        JobType::Incremental => incremental::run(&Run::load(engine, job).await?).await,
    }
}

/// A job at work, with what it needs to know of its connection.
pub(crate) struct Run<'a> {
    pub(crate) engine: &'a Engine,
    pub(crate) job: &'a Job,
    pub(crate) fence: Fence,
    pub(crate) connection: Connection,
    pub(crate) rules: RuleSet,
    pub(crate) state: SyncState,
}

impl<'a> Run<'a> {
    async fn load(engine: &'a Engine, job: &'a Job) -> Result<Self, Error> {
        let organization = &job.job_ref.organization_id;
        let mut tx = db::tenant_transaction(&engine.pool, organization).await?;
        let connection = connection::queries::get(&mut tx, organization, &job.connection_id)
            .await?
            .ok_or(Error::NoConnection)?;
        let rules =
            filter::queries::active(&mut tx, organization.as_str(), &job.connection_id).await?;
        let state = state::get(&mut tx, organization, &job.connection_id).await?;
        engine.commit(tx).await?;
        Ok(Self {
            engine,
            job,
            fence: job.fence(),
            connection,
            rules,
            state,
        })
    }

    pub(crate) fn organization(&self) -> &OrganizationId {
        &self.job.job_ref.organization_id
    }

    pub(crate) fn connection_id(&self) -> &str {
        &self.job.connection_id
    }

    pub(crate) fn pool(&self) -> &Pool {
        &self.engine.pool
    }

    pub(crate) async fn transaction(&self) -> Result<Transaction<'static, Postgres>, db::Error> {
        db::tenant_transaction(self.pool(), self.organization()).await
    }

    pub(crate) async fn commit(&self, tx: Transaction<'static, Postgres>) -> Result<(), db::Error> {
        self.engine.commit(tx).await
    }

    /// Opens the credential. The only place where a sync holds the key.
    pub(crate) async fn source(&self) -> Result<Source, Error> {
        let mut tx = self.transaction().await?;
        let sealed = credential::queries::load(&mut tx, self.organization(), self.connection_id())
            .await?
            .ok_or(Error::NoCredential)?;
        self.commit(tx).await?;
        let place = Place {
            organization: self.organization(),
            connection_id: self.connection_id(),
        };
        let key = self.engine.keyring.open(&sealed, place)?;
        let Connection {
            livemode,
            rate_share,
            ..
        } = self.connection;
        let client = self
            .engine
            .stripe
            .client_with_budget(key, livemode, rate_share);
        Ok(Source::new(client, &self.engine.fail_points))
    }

    /// Whether the key was found to be allowed to read a resource.
    pub(crate) fn may_read(&self, resource: &str) -> bool {
        self.connection
            .permissions
            .iter()
            .any(|p| p.resource == resource && p.granted)
    }

    /// Notes that an optional permission is gone, with the warning that says what is lost.
    pub(crate) async fn lose_permission(&self, resource: &str, hint: &str) -> Result<(), Error> {
        let Connection {
            mut permissions,
            mut warnings,
            ..
        } = self.connection.clone();
        for permission in permissions
            .iter_mut()
            .filter(|p| p.resource == resource && p.granted)
        {
            permission.granted = false;
            permission.hint = Some(hint.to_owned());
            warnings.push(connection::Warning::permission_missing(permission));
        }
        let (organization, connection_id) = (self.organization(), self.connection_id());
        let mut tx = self.transaction().await?;
        connection::queries::set_permissions(
            &mut tx,
            organization,
            connection_id,
            &permissions,
            &warnings,
        )
        .await?;
        self.commit(tx).await?;
        Ok(())
    }

    /// What to inline in charges, as far as the key may read it.
    pub(crate) fn charge_fields(&self) -> Vec<&'static str> {
        let mut fields = Vec::new();
        if self.may_read("customers") {
            fields.push("customer");
        }
        if self.may_read("refunds") {
            fields.push("refunds");
        }
        fields
    }
}
