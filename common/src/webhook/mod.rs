//! Webhooks: what vendors send when something changes, each event stored once and worked on from there.
//!
//! The inbox ([`queries`]) is the queue: an event is answered once it is committed, and a job of its connection applies all
//! that are pending. A vendor's signatures and shapes are its connector's ([`WebhookFormat`]). A connection has at most one
//! [`endpoint`]; events can be applied again ([`replay`]). In addition, events are delivered to an internal handler
//! ([`forward`]). The platform has two endpoints of its own ([`platform`]), which [`registration`] makes at the vendor, and
//! operators read the events of all organizations ([`operator`]).
//!
//! Fails with PostgreSQL, and when a body is no event. Deliberately absent: HTTP, and what an event changes.

mod attempt;
pub mod detail;
pub mod endpoint;
mod format;
pub mod forward;
pub mod forward_signature;
pub mod operator;
pub mod platform;
pub mod queries;
pub mod registration;
pub mod replay;
mod retry;
pub mod statistics;

pub use attempt::{Attempt, AttemptOutcome, ChangedObject};
pub use format::{Envelope, SignatureError, UnreadableEvent, WebhookFormat};
pub use retry::{FailureKind, NextAttempt, Progress, after_failure};

use crate::named;

named! {
    /// What is stored of an event's state.
    EventStatus {
        /// To be applied, or tried again.
        Pending = "pending",
        /// Applied.
        Processed = "processed",
        /// Changes nothing that is stored.
        Ignored = "ignored",
        /// Given up until a user replays it.
        Dead = "dead",
    }
}

named! {
    /// State of an event: `pending`, to be applied; `processing`, a job is applying it; `processed`; `ignored`, it changes
    /// nothing that is stored; `failed`, to be tried again at `next_attempt_at`; `dead`, given up until it is replayed.
    EventState {
        /// To be applied.
        Pending = "pending",
        /// A job is applying it.
        Processing = "processing",
        /// Applied.
        Processed = "processed",
        /// Changes nothing that is stored.
        Ignored = "ignored",
        /// To be tried again.
        Failed = "failed",
        /// Given up until a user replays it.
        Dead = "dead",
    }
}
