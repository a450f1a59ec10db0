//! Why a handler stopped before its job's end, as the queue has to know it.
//!
//! What a tenant reads of it is a sentence for each kind of failure ([`JobError`]). The chain of causes, in which libraries
//! and PostgreSQL speak of their insides, goes to the log alone.

use std::error::Error as StdError;

use super::{JobError, JobKind};
use crate::{credential, db};

/// Why a job stopped before its end.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// Another consumer has the job.
    #[error("the lease of the job was lost")]
    LeaseLost,
    /// The job is of another kind from now on, whose turn may be another.
    #[error("the job has become one of kind {}", .0.name)]
    KindChanged(JobKind),
    /// No handler is registered for the job's kind.
    #[error("no handler is registered for the job's kind")]
    NoHandler,
    #[error("{}", .error.code)]
    Failed {
        severity: Severity,
        /// What a tenant reads.
        error: JobError,
        #[source]
        cause: Box<dyn StdError + Send + Sync>,
    },
}

/// What a failure asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Severity {
    /// It passes by itself: limits, outages, the network.
    Transient,
    /// A bug, or something that an operator has to mend; a few attempts.
    Internal,
    /// No attempt more.
    Permanent,
    /// The connection stops until a person does what `remedy` says, in a sentence.
    StopsConnection { remedy: String },
}

impl Failure {
    /// A failure whose `message` a tenant reads under a stable code.
    pub fn new(
        severity: Severity,
        code: &str,
        message: impl Into<String>,
        cause: impl Into<Box<dyn StdError + Send + Sync>>,
    ) -> Self {
        Self::Failed {
            severity,
            error: JobError {
                code: code.to_owned(),
                message: message.into(),
            },
            cause: cause.into(),
        }
    }

    /// A connection without a stored key.
    pub fn no_key() -> Self {
        Self::key_unreadable("The connection has no stored key.", "no key is stored")
    }

    fn key_unreadable(message: &str, cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        let remedy = "Replacing the key helps at once; where the engine lacks an encryption key, the connection goes \
                      on by itself once a consumer starts with it."
            .to_owned();
        let severity = Severity::StopsConnection { remedy };
        Self::new(severity, credential::CREDENTIAL_UNREADABLE, message, cause)
    }
}

impl From<db::Error> for Failure {
    fn from(error: db::Error) -> Self {
        let (severity, message) = match &error {
            db::Error::LeaseLost => return Self::LeaseLost,
            error if error.is_transient() => (
                Severity::Transient,
                "The engine's database was not available.",
            ),
            _ => (
                Severity::Internal,
                "The engine's database refused to store what was read; the log has the cause under the job's id.",
            ),
        };
        Self::new(severity, "internal", message, error)
    }
}

impl From<credential::Error> for Failure {
    fn from(error: credential::Error) -> Self {
        let message = "The stored key could not be decrypted: the engine's encryption keys are not those that it was \
                       stored with.";
        Self::key_unreadable(message, error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_lease_is_abandoned() {
        let failure = Failure::from(db::Error::LeaseLost);
        assert!(matches!(failure, Failure::LeaseLost), "{failure:?}");
    }
}
