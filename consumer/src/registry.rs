//! Which handler does the jobs of which kind. Everything around a job (its claim, lease, slot and end) knows no kind; a
//! new one is a handler, registered in one line of [`crate::registry`].
//!
//! A job of a kind that is not registered here is a newer program's: it is given back, and not failed.

use std::collections::HashMap;
use std::fmt::Debug;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use common::db;
use common::job::{Job, JobError, JobKind};
use sqlx::PgConnection;

use crate::Engine;
use crate::budget::Budget;
use crate::outcome::Error;

/// Does the jobs of a kind.
#[async_trait]
pub trait JobHandler: Debug + Send + Sync {
    /// Does a claimed job's work to its completion, which is committed when this returns well. Every commit is fenced
    /// ([`common::job::lease::fenced_progress`]); the future may be dropped at any `await`.
    async fn run(&self, engine: &Engine, job: &Job, budget: &Budget) -> Result<(), Error>;

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
pub(crate) struct Registered {
    pub(crate) kind: JobKind,
    pub(crate) handler: Box<dyn JobHandler>,
}

/// The handlers of a program, by the names of their kinds.
#[derive(Debug, Default)]
pub struct Registry(HashMap<&'static str, Registered>);

impl Registry {
    pub fn new() -> Self {
        Self::default()
    }

    /// The same with a handler for the jobs of a kind.
    #[must_use]
    pub fn register(mut self, kind: JobKind, handler: impl JobHandler + 'static) -> Self {
        let handler = Box::new(handler);
        self.0.insert(kind.name, Registered { kind, handler });
        self
    }

    pub(crate) fn find(&self, kind: &str) -> Option<&Registered> {
        self.0.get(kind)
    }
}
