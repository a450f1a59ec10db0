//! What becomes of a job that did not complete: pure decisions, by the severity of its failure.
//!
//! What needs a person stops the connection. What passes by itself backs off and goes on from the last commit; failures
//! without any progress in between are bounded. Everything else is a bug: a few attempts, then failed with its cause, kept
//! for a retry by hand.

use std::time::Duration;

use common::job::{JobError, RetryPolicy, Severity};

/// What to do with a job that did not complete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Claim it again after this long.
    BackOff(Duration, JobError),
    /// Give up; the connection stays as it is.
    Fail(JobError),
    /// Give up, and stop the connection until a person does what `remedy` says.
    FailConnection { error: JobError, remedy: String },
}

/// Decides, given how often the job failed in a row before, and how often and when its kind is tried again.
pub fn classify(
    severity: Severity,
    error: JobError,
    failures_before: i32,
    retry: &RetryPolicy,
) -> Outcome {
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
    use common::job::Failure;
    use common::{credential, db};

    use super::*;

    const RETRY: RetryPolicy = RetryPolicy::STANDARD;

    #[test]
    fn transient_failures_back_off_exponentially_with_a_limit() {
        let mut waits = Vec::new();
        for failures in 0.. {
            let error = JobError {
                code: "unavailable".to_owned(),
                message: "Later.".to_owned(),
            };
            match classify(Severity::Transient, error, failures, &RETRY) {
                Outcome::BackOff(wait, _) => waits.push(wait),
                Outcome::Fail(error) => {
                    assert_eq!(error.code, "unavailable");
                    break;
                }
                other @ Outcome::FailConnection { .. } => panic!("{other:?}"),
            }
        }
        assert!(waits.is_sorted());
        assert_eq!(waits.len() as i32, RETRY.transient_failures - 1);
        assert_eq!(waits.last(), Some(&RETRY.max_backoff));
    }

    #[test]
    fn a_key_that_cannot_be_decrypted_stops_the_connection_under_its_own_code() {
        let unknown = credential::Error::UnknownKey { id: "k1".into() };
        let Failure::Failed {
            severity, error, ..
        } = unknown.into()
        else {
            panic!()
        };
        let outcome = classify(severity, error, 0, &RETRY);
        let Outcome::FailConnection { error, .. } = outcome else {
            panic!()
        };
        assert_eq!(error.code, "credential_unreadable");
        assert!(error.message.contains("could not be decrypted"));
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
