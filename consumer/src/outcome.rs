//! What becomes of a job that did not complete: pure decisions, by the kind of failure.
//!
//! A key that Stripe refuses, or a needed permission that is missing, stops the connection until a
//! person acts. What passes by itself (limits, 5xx, the network, PostgreSQL away) backs off and goes on
//! from the last commit; failures without any progress in between are bounded. Everything else is a
//! bug: a few attempts, then failed with its cause, kept for a retry by hand.

use std::time::Duration;

use common::cause::Chain;
use common::sync::JobError;
use common::{credential, db, stripe};

/// Failures in a row, without progress, after which a passing trouble is given up: with the waits below,
/// about half an hour.
const MOST_TRANSIENT_FAILURES: i32 = 12;
/// The same for what does not pass by itself.
const MOST_INTERNAL_FAILURES: i32 = 3;
const FIRST_WAIT: Duration = Duration::from_secs(2);
const LONGEST_WAIT: Duration = Duration::from_mins(5);

/// Why a job stopped before its end.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Stripe, or the way to it.
    #[error("reading from Stripe failed")]
    Stripe(#[from] stripe::Error),
    /// PostgreSQL.
    #[error("writing to PostgreSQL failed")]
    Database(#[from] db::Error),
    /// The stored key does not open.
    #[error("the stored key could not be opened")]
    Credential(#[from] credential::Error),
    /// The connection has no stored key.
    #[error("the connection has no stored key")]
    NoCredential,
    /// The connection is gone.
    #[error("the connection does not exist any more")]
    NoConnection,
    /// Stripe sent an object of a shape that is not understood.
    #[error("an object of {list} could not be read: {beginning}")]
    Unreadable {
        /// Which list it was in.
        list: String,
        /// How it begins.
        beginning: String,
        /// What is wrong with it.
        #[source]
        cause: serde_json::Error,
    },
    /// The key lost an optional permission; the job goes on without it.
    #[error("the key may not read {resource} any more: {message}")]
    PermissionLost {
        /// What it may not read.
        resource: &'static str,
        /// Stripe's words.
        message: String,
    },
    /// The job was an incremental one and is a full one from now on, whose turn is another.
    #[error("the job has become a full one")]
    Widened,
    /// A part of the job ended without a word.
    #[error("a part of the job broke off")]
    BrokeOff,
}

/// What to do with a job that stopped before its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Another consumer has it: touch nothing.
    Abandon,
    /// Claim it again after this long.
    BackOff(Duration, JobError),
    /// Give up; the connection stays as it is.
    Fail(JobError),
    /// Give up, and stop the connection until a person acts.
    FailConnection(JobError),
}

/// Decides, given how often the job failed in a row before.
pub fn classify(error: &Error, failures_before: i32) -> Outcome {
    let message = Chain(error).to_string();
    let job_error = |code: &str| JobError {
        code: code.to_owned(),
        message: message.clone(),
    };
    let bounded = |most: i32, code: &str| {
        if failures_before + 1 >= most {
            Outcome::Fail(job_error(code))
        } else {
            Outcome::BackOff(wait_after(failures_before), job_error(code))
        }
    };
    match error {
        Error::Database(db::Error::LeaseLost) => Outcome::Abandon,
        Error::Widened => Outcome::BackOff(Duration::ZERO, job_error("internal")),
        Error::Stripe(stripe::Error::KeyInvalid { .. }) => {
            Outcome::FailConnection(job_error("stripe_key_invalid"))
        }
        Error::Credential(_) | Error::NoCredential => {
            Outcome::FailConnection(job_error(credential::UNREADABLE))
        }
        Error::Stripe(stripe::Error::PermissionMissing { .. }) => {
            Outcome::FailConnection(job_error("stripe_permission_missing"))
        }
        Error::Stripe(error) if error.is_transient() => {
            bounded(MOST_TRANSIENT_FAILURES, "stripe_unavailable")
        }
        Error::Database(error) if error.is_transient() => {
            bounded(MOST_TRANSIENT_FAILURES, "internal")
        }
        Error::NoConnection => Outcome::Fail(job_error("internal")),
        Error::Stripe(_)
        | Error::Database(_)
        | Error::Unreadable { .. }
        | Error::PermissionLost { .. }
        | Error::BrokeOff => bounded(MOST_INTERNAL_FAILURES, "internal"),
    }
}

/// Doubling from two seconds to five minutes.
fn wait_after(failures_before: i32) -> Duration {
    let doublings = failures_before.clamp(0, 16).unsigned_abs();
    FIRST_WAIT.saturating_mul(1 << doublings).min(LONGEST_WAIT)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unavailable() -> Error {
        Error::Stripe(stripe::Error::Unavailable {
            status: 503,
            path: "/v1/charges".into(),
            retry_after: None,
        })
    }

    #[test]
    fn a_refused_key_stops_the_connection_at_once() {
        let error = Error::Stripe(stripe::Error::KeyInvalid {
            message: "revoked".into(),
            request_id: None,
        });
        let Outcome::FailConnection(job_error) = classify(&error, 0) else {
            panic!()
        };
        assert_eq!(job_error.code, "stripe_key_invalid");
        assert!(job_error.message.contains("revoked"));
    }

    #[test]
    fn passing_trouble_backs_off_longer_each_time_and_not_for_ever() {
        let mut waits = Vec::new();
        for failures in 0.. {
            match classify(&unavailable(), failures) {
                Outcome::BackOff(wait, _) => waits.push(wait),
                Outcome::Fail(error) => {
                    assert_eq!(error.code, "stripe_unavailable");
                    break;
                }
                other => panic!("{other:?}"),
            }
        }
        assert!(waits.is_sorted());
        assert_eq!(waits.len() as i32, MOST_TRANSIENT_FAILURES - 1);
        assert_eq!(waits.last(), Some(&LONGEST_WAIT));
    }

    #[test]
    fn a_key_that_cannot_be_decrypted_stops_the_connection_under_its_own_code() {
        let unknown = credential::Error::UnknownKey { id: "k1".into() };
        let Outcome::FailConnection(job_error) = classify(&Error::Credential(unknown), 0) else {
            panic!()
        };
        assert_eq!(job_error.code, "credential_unreadable");
        assert!(job_error.message.contains("`k1`"));
    }

    #[test]
    fn a_lost_lease_is_left_to_its_new_holder() {
        assert_eq!(
            classify(&Error::Database(db::Error::LeaseLost), 0),
            Outcome::Abandon
        );
    }
}
