//! Sync jobs and what they leave behind: the job's life, its lease, its plan of ranges, and the
//! connection's sync state.
//!
//! The database is the truth: a job is a row, a message about it only a wake-up. A claim raises the
//! job's `attempt`, and every later write of the job names that attempt in its own transaction, so a
//! consumer that lost its lease commits nothing ([`Fence`]).

pub mod cancel;
mod job;
pub mod lease;
pub mod parked;
mod plan;
pub mod progress;
pub mod queries;
pub mod schedule;
pub mod state;

pub use job::{Fence, Job, JobError, JobId, JobRef, JobStatus, JobType, Lane, Trigger};
pub use parked::ParkedObject;
pub use plan::{List, Plan, Range, Reading, Span};
