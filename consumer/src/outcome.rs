//! What becomes of a job that did not complete: pure decisions, by the kind of failure.
//!
//! A key that Stripe refuses, or a needed permission that is missing, stops the connection until a
//! person acts. What passes by itself (limits, 5xx, the network, PostgreSQL away) backs off and goes on
//! from the last commit; failures without any progress in between are bounded. Everything else is a
//! bug: a few attempts, then failed with its cause, kept for a retry by hand.
//!
//! What a tenant reads of it is a sentence of ours for each kind ([`explain`]), with Stripe's words where they help.
//! The chain of causes, in which libraries and PostgreSQL speak of their insides, goes to the log alone.

use std::time::Duration;

use common::job::{JobError, JobKind, RetryPolicy};
use common::{credential, db, stripe};

/// Why a job stopped before its end.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Stripe, or the way to it.
    #[error("reading from Stripe failed")]
    Stripe(#[from] stripe::Error),
    #[error("writing to PostgreSQL failed")]
    Database(#[from] db::Error),
    /// PostgreSQL refused too many of the objects that were to be stored.
    #[error("PostgreSQL refused {count} objects, too many to set them aside")]
    ManyRefused {
        /// How many are known.
        count: usize,
        /// What it said of one.
        #[source]
        cause: db::Error,
    },
    /// The stored key does not open.
    #[error("the stored key could not be opened")]
    Credential(#[from] credential::Error),
    /// The connection has no stored key.
    #[error("the connection has no stored key")]
    NoCredential,
    #[error("the connection does not exist any more")]
    NoConnection,
    /// Stripe sent an object of a shape that is not understood.
    #[error("an object of {list} could not be read: {beginning}")]
    Unreadable {
        list: String,
        beginning: String,
        #[source]
        cause: serde_json::Error,
    },
    /// The key lost an optional permission; the job goes on without it.
    #[error("the key may not read {resource} any more: {message}")]
    PermissionLost {
        resource: &'static str,
        message: String,
    },
    /// The job is of another kind from now on, whose turn may be another.
    #[error("the job has become one of kind {}", .0.name)]
    KindChanged(JobKind),
    /// No handler is registered for the job's kind.
    #[error("no handler is registered for the job's kind")]
    NoHandler,
    /// A part of the job ended without reporting.
    #[error("a part of the job broke off")]
    TaskEndedEarly,
}

/// What to do with a job that did not complete.
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

/// Decides, given how often the job failed in a row before, and how often and when its kind is tried again.
pub fn classify(error: &Error, failures_before: i32, retry: &RetryPolicy) -> Outcome {
    let job_error = |code: &str| JobError {
        code: code.to_owned(),
        message: explain(error),
    };
    let bounded = |most: i32, code: &str| {
        if failures_before + 1 >= most {
            Outcome::Fail(job_error(code))
        } else {
            Outcome::BackOff(retry.backoff_after(failures_before), job_error(code))
        }
    };
    match error {
        Error::Database(db::Error::LeaseLost) => Outcome::Abandon,
        Error::KindChanged(_) | Error::NoHandler => {
            Outcome::BackOff(Duration::ZERO, job_error("internal"))
        }
        Error::Stripe(stripe::Error::KeyInvalid { .. }) => {
            Outcome::FailConnection(job_error("stripe_key_invalid"))
        }
        Error::Credential(_) | Error::NoCredential => {
            Outcome::FailConnection(job_error(credential::CREDENTIAL_UNREADABLE))
        }
        Error::Stripe(stripe::Error::PermissionMissing { .. }) => {
            Outcome::FailConnection(job_error("stripe_permission_missing"))
        }
        Error::Stripe(error) if error.is_transient() => {
            bounded(retry.transient_failures, "stripe_unavailable")
        }
        Error::Database(error) if error.is_transient() => {
            bounded(retry.transient_failures, "internal")
        }
        // Each further attempt would set more of them aside.
        Error::ManyRefused { .. } => Outcome::Fail(job_error("objects_refused")),
        Error::NoConnection => Outcome::Fail(job_error("internal")),
        Error::Stripe(_)
        | Error::Database(_)
        | Error::Unreadable { .. }
        | Error::PermissionLost { .. }
        | Error::TaskEndedEarly => bounded(retry.internal_failures, "internal"),
    }
}

/// What a tenant reads of an error: a sentence, or two with Stripe's words.
pub fn explain(error: &Error) -> String {
    match error {
        Error::Stripe(error) => explain_stripe(error),
        Error::Database(error) if error.is_transient() => {
            "The engine's database was not available.".to_owned()
        }
        Error::Database(_) => {
            "The engine's database refused to store what was read; the log has the cause under the job's id."
                .to_owned()
        }
        Error::ManyRefused { count, .. } => format!(
            "The engine's database refused {count} objects or more, too many to set them aside and call the sync \
             complete. The engine is at fault, not the objects; what was not stored is read again once it is \
             mended. The log has the cause under the job's id."
        ),
        Error::Credential(_) => {
            "The stored key could not be decrypted: the engine's encryption keys are not those that it was stored \
             with."
                .to_owned()
        }
        Error::NoCredential => "The connection has no stored key.".to_owned(),
        Error::NoConnection => "The connection no longer exists.".to_owned(),
        Error::Unreadable { list, .. } => format!(
            "Stripe sent an object in {list} that could not be read; the log has its beginning under the job's id."
        ),
        Error::PermissionLost { resource, message } => {
            with_stripe_message(&format!("The key may no longer read {resource}."), message)
        }
        Error::KindChanged(_) | Error::NoHandler | Error::TaskEndedEarly => {
            "The job stopped on an error inside the engine; the log has the cause under the job's id."
                .to_owned()
        }
    }
}

fn explain_stripe(error: &stripe::Error) -> String {
    use stripe::Error::{
        KeyInvalid, Malformed, Network, NotFound, PermissionMissing, RateLimited, Refused,
        Unavailable,
    };
    match error {
        KeyInvalid { message, .. } => with_stripe_message("Stripe refuses the key.", message),
        PermissionMissing { path, message, .. } => {
            with_stripe_message(&format!("The key may not read {path}."), message)
        }
        NotFound { path, message } | Refused { path, message, .. } => {
            with_stripe_message(&format!("Stripe refused the request to {path}."), message)
        }
        RateLimited { path, .. } => {
            format!("Stripe limited the requests to {path} for too long.")
        }
        Unavailable { status, path, .. } => {
            format!("Stripe answered {path} with status {status} again and again.")
        }
        Network { path, .. } => {
            format!("Stripe could not be reached, or its answer to {path} broke off.")
        }
        Malformed { path, .. } => {
            format!("Stripe's answer to {path} was not one of its API: is a proxy in between?")
        }
    }
}

fn with_stripe_message(sentence: &str, words: &str) -> String {
    format!("{sentence} Stripe says: {words}")
}

/// What a person has to do about an error that stopped a connection.
pub fn remedy(error: &JobError) -> &'static str {
    match error.code.as_str() {
        "stripe_key_invalid" => "Replace the key.",
        credential::CREDENTIAL_UNREADABLE => {
            "Replacing the key helps at once; where the engine lacks an encryption key, the connection goes on by \
             itself once a consumer starts with it."
        }
        _ => "Grant the permission to the key in Stripe's dashboard, then start a sync.",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RETRY: RetryPolicy = RetryPolicy::STANDARD;

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
        let Outcome::FailConnection(job_error) = classify(&error, 0, &RETRY) else {
            panic!()
        };
        assert_eq!(job_error.code, "stripe_key_invalid");
        assert_eq!(
            job_error.message,
            "Stripe refuses the key. Stripe says: revoked"
        );
    }

    #[test]
    fn job_errors_hide_library_and_database_details() {
        let inside = || std::io::Error::other("base/16384/16589");
        let parse = || serde_json::from_str::<i64>("\n\n{").expect_err("no number");
        let errors = [
            Error::Database(db::Error::Unavailable(sqlx::Error::Io(inside()))),
            Error::Database(db::Error::Statement(sqlx::Error::Io(inside()))),
            Error::Database(db::Error::Inconsistent {
                column: "sync_jobs.status",
                cause: Box::new(inside()),
            }),
            Error::Unreadable {
                list: "/v1/events".into(),
                beginning: "{\"object\"".into(),
                cause: parse(),
            },
            Error::Stripe(stripe::Error::Malformed {
                path: "/v1/charges".into(),
                cause: parse(),
            }),
            Error::ManyRefused {
                count: 21,
                cause: db::Error::Statement(sqlx::Error::Io(inside())),
            },
            Error::TaskEndedEarly,
        ];
        for error in &errors {
            let message = explain(error);
            for leak in ["base/", "line 3", "column", "sync_jobs", "{\"object\""] {
                assert!(!message.contains(leak), "{message}");
            }
            assert!(message.ends_with(['.', '?']), "{message}");
        }
    }

    #[test]
    fn transient_failures_back_off_exponentially_with_a_limit() {
        let mut waits = Vec::new();
        for failures in 0.. {
            match classify(&unavailable(), failures, &RETRY) {
                Outcome::BackOff(wait, _) => waits.push(wait),
                Outcome::Fail(error) => {
                    assert_eq!(error.code, "stripe_unavailable");
                    break;
                }
                other => panic!("{other:?}"),
            }
        }
        assert!(waits.is_sorted());
        assert_eq!(waits.len() as i32, RETRY.transient_failures - 1);
        assert_eq!(waits.last(), Some(&RETRY.max_backoff));
    }

    #[test]
    fn a_key_that_cannot_be_decrypted_stops_the_connection_under_its_own_code() {
        let unknown = credential::Error::UnknownKey { id: "k1".into() };
        let Outcome::FailConnection(job_error) = classify(&Error::Credential(unknown), 0, &RETRY)
        else {
            panic!()
        };
        assert_eq!(job_error.code, "credential_unreadable");
        assert!(job_error.message.contains("could not be decrypted"));
    }

    #[test]
    fn a_lost_lease_is_abandoned() {
        assert_eq!(
            classify(&Error::Database(db::Error::LeaseLost), 0, &RETRY),
            Outcome::Abandon
        );
    }
}
