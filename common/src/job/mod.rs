//! Jobs: work on a connection that must survive, whatever it is.
//!
//! The database is the truth: a job is a row, a message about it only a wake-up. A claim raises the
//! job's `attempt`, and every later write of the job names that attempt in its own transaction, so a
//! consumer that lost its lease commits nothing ([`Fence`]).
//!
//! Nothing here knows what a job does. A [`JobKind`] says what the queue must know of jobs of one name, and a consumer
//! registers a [`JobHandler`] for it; a new kind changes no statement. Deliberately absent: jobs without a connection.

pub mod cancel;
pub mod claim;
pub mod enqueue;
mod failure;
mod handler;
mod kind;
pub mod lease;
pub mod queries;
mod record;
mod request_budget;
pub mod schedule;

pub use crate::id::JobId;
pub use failure::{Failure, Severity};
pub use handler::{JobHandler, Registered, Registry, Services};
pub use kind::{Cancel, Exclusive, JobKind, Lane, RetryPolicy};
pub use record::{Fence, Job, JobError, JobRef, JobStatus, Trigger};
pub use request_budget::Budget;
