//! A unit of work: one tenant transaction, the jobs that it makes, and what must be published once it is committed.
//!
//! A use case that makes a job ends with [`UnitOfWork::commit`], the only maker of a [`Committed`], whose value is had only
//! by publishing. So nobody wakes a consumer before the commit or forgets to wake one after it. A unit that is dropped is
//! rolled back and wakes nobody. Fails when PostgreSQL does; publishing never fails, since a lost wake-up costs time
//! only.

use std::ops::{Deref, DerefMut};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::PgConnection;

use crate::clock::new_id;
use crate::connection::Connection;
use crate::db::{self, Error, Pool, Transaction};
use crate::job::enqueue::{self, Enqueued, NewJob};
use crate::job::{JobId, JobKind, JobRef, Trigger};
use crate::tenant::OrganizationId;

/// Informs consumers of committed jobs.
#[async_trait]
pub trait Publisher: Sync {
    /// Returns within about a second, whether or not the broker took the wake-ups.
    async fn publish_committed(&self, jobs: Vec<JobRef>);
}

/// What a committed use case answers, and the wake-ups that have to be published first.
#[derive(Debug)]
#[must_use = "the jobs of a committed transaction have to be published"]
pub struct Committed<T> {
    value: T,
    wake: Vec<JobRef>,
}

impl<T> Committed<T> {
    /// Publishes the wake-ups and returns the answer.
    pub async fn publish(self, publisher: &impl Publisher) -> T {
        if !self.wake.is_empty() {
            publisher.publish_committed(self.wake).await;
        }
        self.value
    }
}

/// A tenant transaction and the jobs made in it.
#[derive(Debug)]
pub struct UnitOfWork<'c> {
    tx: Transaction<'c>,
    organization: OrganizationId,
    now: DateTime<Utc>,
    wake: Vec<JobRef>,
}

impl UnitOfWork<'static> {
    /// Begins a transaction in which only this organization's rows exist.
    pub async fn begin(
        pool: &Pool,
        organization: &OrganizationId,
        now: DateTime<Utc>,
    ) -> Result<Self, Error> {
        let tx = db::tenant_transaction(pool, organization).await?;
        Ok(Self::within(tx, organization, now))
    }
}

impl<'c> UnitOfWork<'c> {
    /// The same in a tenant transaction that was begun already.
    pub fn within(tx: Transaction<'c>, organization: &OrganizationId, now: DateTime<Utc>) -> Self {
        Self {
            tx,
            organization: organization.clone(),
            now,
            wake: Vec::new(),
        }
    }

    /// Makes a job unless one that does its work is pending or running. Lock the connection first.
    pub(crate) async fn enqueue(
        &mut self,
        connection_id: &str,
        external_account_id: &str,
        kind: JobKind,
        trigger: Trigger,
    ) -> Result<Enqueued, Error> {
        self.enqueue_job(connection_id, external_account_id, kind, trigger, true)
            .await
    }

    /// The same for a change that this transaction makes: a running job began before it and does not do the work.
    pub(crate) async fn enqueue_for_change(
        &mut self,
        connection: &Connection,
        kind: JobKind,
        trigger: Trigger,
    ) -> Result<Enqueued, Error> {
        let (id, account_id) = (&connection.connection_id, &connection.external_account_id);
        self.enqueue_job(id, account_id, kind, trigger, false).await
    }

    /// Makes a job of a connector's own for a locked connection, unless one with the same payload is pending or running.
    pub async fn enqueue_with(
        &mut self,
        connection: &Connection,
        kind: JobKind,
        trigger: Trigger,
        payload: &Value,
    ) -> Result<Enqueued, Error> {
        let job = NewJob {
            job_id: JobId(new_id(self.now)),
            connection_id: &connection.connection_id,
            external_account_id: &connection.external_account_id,
            kind,
            trigger,
            payload: Some(payload),
            reuse_running: true,
        };
        self.enqueue_new(job).await
    }

    async fn enqueue_job(
        &mut self,
        connection_id: &str,
        external_account_id: &str,
        kind: JobKind,
        trigger: Trigger,
        reuse_running: bool,
    ) -> Result<Enqueued, Error> {
        let job = NewJob {
            job_id: JobId(new_id(self.now)),
            connection_id,
            external_account_id,
            kind,
            trigger,
            payload: None,
            reuse_running,
        };
        self.enqueue_new(job).await
    }

    async fn enqueue_new(&mut self, job: NewJob<'_>) -> Result<Enqueued, Error> {
        let enqueued = enqueue::enqueue(&mut self.tx, &self.organization, &job, self.now).await?;
        self.wake(JobRef {
            organization_id: self.organization.clone(),
            job_id: enqueued.job_id,
        });
        Ok(enqueued)
    }

    /// Has a job published that this transaction made claimable.
    pub(crate) fn wake(&mut self, job: JobRef) {
        self.wake.push(job);
    }

    pub async fn commit<T>(self, value: T) -> Result<Committed<T>, Error> {
        self.tx.commit().await?;
        Ok(Committed {
            value,
            wake: self.wake,
        })
    }
}

impl Deref for UnitOfWork<'_> {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.tx
    }
}

impl DerefMut for UnitOfWork<'_> {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.tx
    }
}
