//! The instants of a job at which a crash would matter: every answer of the vendor and both sides of every
//! commit.
//!
//! A test stops a job there for good, by never returning, and drops the consumer; what a killed process
//! leaves behind is then known to the commit. In production nothing happens at any of them. Deliberately
//! absent: failing in other ways, which the simulator and the database do better.

use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailPoint {
    /// The vendor has answered, and nothing was made of the answer yet.
    Answered,
    /// All was written and nothing is committed.
    BeforeCommit,
    /// All is committed and the job does not know yet.
    AfterCommit,
}

/// What happens when a job gets there.
#[async_trait]
pub trait FailPoints: Debug + Send + Sync {
    /// Returns when the job may go on.
    async fn reached(&self, point: FailPoint);
}

#[derive(Debug, Clone, Copy, Default)]
pub struct NoFailPoints;

#[async_trait]
impl FailPoints for NoFailPoints {
    async fn reached(&self, _point: FailPoint) {}
}

/// Fail points as jobs share them.
pub type SharedFailPoints = Arc<dyn FailPoints>;
