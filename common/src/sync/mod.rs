//! Syncing a Stripe account: its kinds of jobs, the plan of ranges that a full one reads, and what they leave behind,
//! the connection's sync state. The queue itself is [`crate::job`], which knows none of this.

pub mod cancel;
mod job_type;
pub mod parked;
mod plan;
pub mod progress;
pub mod queries;
pub mod state;

pub use job_type::JobType;
pub use parked::ParkedObject;
pub use plan::{List, Plan, Range, Reading, Span};
