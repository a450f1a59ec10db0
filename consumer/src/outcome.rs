//! What becomes of a job that did not complete: pure decisions, by the severity of its failure.
//!
//! What needs a person stops the connection. What passes by itself backs off and goes on from the last commit; failures
//! without any progress in between are bounded. Everything else is a bug: a few attempts, then failed with its cause, kept
//! for a retry by hand.

use std::time::Duration;

use common::job::{Failure, JobError, RetryPolicy, Severity};

/// What to do with a job that did not complete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Another consumer has it: touch nothing.
    Abandon,
    /// Claim it again after this long.
    BackOff(Duration, JobError),
    /// Give up; the connection stays as it is.
    Fail(JobError),
    /// Give up, and stop the connection until a person does what `remedy` says.
    FailConnection { error: JobError, remedy: String },
}

/// Decides, given how often the job failed in a row before, and how often and when its kind is tried again.
pub fn classify(failure: Failure, failures_before: i32, retry: &RetryPolicy) -> Outcome {
    let (severity, error) = match failure {
        Failure::Failed {
            severity, error, ..
        } => (severity, error),
        // The other two are given back before anyone asks this.
        Failure::LeaseLost | Failure::KindChanged(_) | Failure::NoHandler => {
            return Outcome::Abandon;
        }
    };
    let most = match severity {
        Severity::Transient => retry.transient_failures,
        Severity::Internal => retry.internal_failures,
        Severity::Permanent => return Outcome::Fail(error),
        Severity::StopsConnection { remedy } => return Outcome::FailConnection { error, remedy },
    };
    if failures_before + 1 >= most {
        Outcome::Fail(error)
    } else {
        Outcome::BackOff(retry.backoff_after(failures_before), error)
    }
}

#[cfg(test)]
mod tests {
    use common::{credential, db};

    use super::*;

    const RETRY: RetryPolicy = RetryPolicy::STANDARD;

    #[test]
    fn transient_failures_back_off_exponentially_with_a_limit() {
        let mut waits = Vec::new();
        for failures in 0.. {
            let failure = Failure::new(Severity::Transient, "unavailable", "Later.", "busy");
            match classify(failure, failures, &RETRY) {
                Outcome::BackOff(wait, _) => waits.push(wait),
                Outcome::Fail(error) => {
                    assert_eq!(error.code, "unavailable");
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
        let Outcome::FailConnection { error, .. } = classify(unknown.into(), 0, &RETRY) else {
            panic!()
        };
        assert_eq!(error.code, "credential_unreadable");
        assert!(error.message.contains("could not be decrypted"));
    }

    #[test]
    fn a_lost_lease_is_abandoned() {
        assert_eq!(
            classify(db::Error::LeaseLost.into(), 0, &RETRY),
            Outcome::Abandon
        );
    }

    #[test]
    fn job_errors_hide_details_of_the_database() {
        let inside = || sqlx::Error::Io(std::io::Error::other("base/16384/16589"));
        let errors = [
            db::Error::Unavailable(inside()),
            db::Error::Statement(inside()),
            db::Error::Inconsistent {
                column: "sync_jobs.status",
                cause: Box::new(inside()),
            },
        ];
        for error in errors {
            let Failure::Failed { error, .. } = error.into() else {
                panic!()
            };
            for leak in ["base/", "column", "sync_jobs"] {
                assert!(!error.message.contains(leak), "{}", error.message);
            }
        }
    }
}
