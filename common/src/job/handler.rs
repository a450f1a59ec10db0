//! What does the jobs of a kind, and what it is given. Everything around a job (its claim, lease, slot and end) knows no
//! kind; a new one is a handler, registered in one line.

use std::collections::HashMap;
use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use secrecy::SecretString;
use sqlx::{PgConnection, Postgres, Transaction};

use super::{Budget, Failure, Job, JobError, JobKind};
use crate::clock::SharedClock;
use crate::credential::{self, CredentialBinding, Keyring};
use crate::db::{self, Pool};
use crate::fail_point::{FailPoint, SharedFailPoints};

/// What every handler works with. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Services {
    pub pool: Pool,
    /// Opens credentials.
    pub keyring: Arc<Keyring>,
    pub clock: SharedClock,
    /// Where tests stop a job for good.
    pub fail_points: SharedFailPoints,
}

impl Services {
    /// The key of a job's connection, opened. Nobody else holds it.
    ///
    /// # Errors
    /// A failure that stops the connection when no key is stored, or the stored one does not open.
    pub async fn api_key(&self, job: &Job) -> Result<SecretString, Failure> {
        let organization = &job.job_ref.organization_id;
        let mut tx = db::tenant_transaction(&self.pool, organization).await?;
        let binding = CredentialBinding::api_key(organization, &job.connection_id);
        let sealed = credential::queries::load(&mut tx, binding).await?;
        db::commit(tx).await?;
        let sealed = sealed.ok_or_else(Failure::no_key)?;
        Ok(self.keyring.open(&sealed, binding)?)
    }

    /// Commits a transaction of a job.
    pub async fn commit(&self, tx: Transaction<'static, Postgres>) -> Result<(), db::Error> {
        self.fail_points.reached(FailPoint::BeforeCommit).await;
        tx.commit().await?;
        self.fail_points.reached(FailPoint::AfterCommit).await;
        Ok(())
    }
}

/// Does the jobs of a kind.
#[async_trait]
pub trait JobHandler: Debug + Send + Sync {
    /// Does a claimed job's work to its completion, which is committed when this returns well. Every commit is fenced
    /// ([`super::lease::fenced_progress`]); the future may be dropped at any `await`.
    async fn run(&self, services: &Services, job: &Job, budget: &Budget) -> Result<(), Failure>;

    /// Notes, in the transaction that fails a job for good, what outlives it.
    async fn note_failure(
        &self,
        _conn: &mut PgConnection,
        _job: &Job,
        _error: &JobError,
        _now: DateTime<Utc>,
    ) -> Result<(), db::Error> {
        Ok(())
    }
}

#[derive(Debug)]
pub struct Registered {
    pub kind: JobKind,
    pub handler: Box<dyn JobHandler>,
}

/// The handlers of a program, by the names of their kinds.
#[derive(Debug, Default)]
pub struct Registry(HashMap<&'static str, Registered>);

impl Registry {
    pub fn new() -> Self {
        Self::default()
    }

    /// The same with a handler for the jobs of a kind.
    ///
    /// # Panics
    /// When a kind of this name has a handler: jobs of one connector would be done by another's.
    #[must_use]
    pub fn register(mut self, kind: JobKind, handler: impl JobHandler + 'static) -> Self {
        let handler = Box::new(handler);
        let previous = self.0.insert(kind.name, Registered { kind, handler });
        assert!(
            previous.is_none(),
            "two handlers for jobs of kind {}",
            kind.name
        );
        self
    }

    /// None for a kind of a newer program's.
    pub fn find(&self, kind: &str) -> Option<&Registered> {
        self.0.get(kind)
    }
}
