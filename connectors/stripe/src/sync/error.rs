//! Why a job that reads from Stripe stopped, and what that asks for.
//!
//! A key that Stripe refuses, or a needed permission that is missing, stops the connection until a
//! person acts. What passes by itself (limits, 5xx, the network, PostgreSQL away) is transient. Everything else is a
//! bug.
//!
//! What a tenant reads of it is a sentence of ours for each kind ([`explain`]), with Stripe's words where they help.

use common::job::{Failure, JobKind, Severity};
use common::{credential, db};

use crate::read_client;

/// Why a job stopped before its end.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Stripe, or the way to it.
    #[error("reading from Stripe failed")]
    Stripe(#[from] read_client::Error),
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
    /// The account is read with the platform's key, which this program does not have.
    #[error("the platform's key is not set")]
    NoPlatformKey,
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
    /// A part of the job ended without reporting.
    #[error("a part of the job broke off")]
    TaskEndedEarly,
}

impl Error {
    /// Whether one of the objects that were read may be the cause, so that others can be read without it.
    pub(super) fn may_lie_in_an_object(&self) -> bool {
        match self {
            Self::Stripe(cause) => {
                let of_the_key = matches!(
                    cause,
                    read_client::Error::KeyInvalid { .. }
                        | read_client::Error::PermissionMissing { .. }
                );
                !cause.is_transient() && !of_the_key
            }
            Self::Database(cause) => {
                !cause.is_transient() && !matches!(cause, db::Error::LeaseLost)
            }
            Self::Unreadable { .. } | Self::TaskEndedEarly => true,
            Self::ManyRefused { .. }
            | Self::Credential(_)
            | Self::NoCredential
            | Self::NoPlatformKey
            | Self::NoConnection
            | Self::PermissionLost { .. }
            | Self::KindChanged(_) => false,
        }
    }

    /// Whether Stripe answered that it cannot hand out something just now. It may be one object that it cannot hand out.
    pub(super) fn may_be_one_object_away(&self) -> bool {
        matches!(self, Self::Stripe(read_client::Error::Unavailable { .. }))
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let stops = |remedy: &str| Severity::StopsConnection {
            remedy: remedy.to_owned(),
        };
        let (severity, code) = match error {
            Error::KindChanged(kind) => return Self::KindChanged(kind),
            Error::Database(cause) => return cause.into(),
            Error::Credential(cause) => return cause.into(),
            Error::NoCredential => return Self::no_key(),
            Error::NoPlatformKey => (
                stops("Set STRIPE_PLATFORM_KEY for every consumer, then start a sync."),
                "stripe_key_invalid",
            ),
            Error::Stripe(read_client::Error::KeyInvalid { .. }) => {
                (stops("Replace the key."), "stripe_key_invalid")
            }
            Error::Stripe(read_client::Error::PermissionMissing { .. }) => (
                stops("Grant the permission to the key in Stripe's dashboard, then start a sync."),
                "stripe_permission_missing",
            ),
            Error::Stripe(ref cause) if cause.is_transient() => {
                (Severity::Transient, "stripe_unavailable")
            }
            // Each further attempt would set more of them aside.
            Error::ManyRefused { .. } => (Severity::Permanent, "objects_refused"),
            Error::NoConnection => (Severity::Permanent, "internal"),
            Error::Stripe(_)
            | Error::Unreadable { .. }
            | Error::PermissionLost { .. }
            | Error::TaskEndedEarly => (Severity::Internal, "internal"),
        };
        let message = explain(&error);
        Self::new(severity, code, message, error)
    }
}

/// What a tenant reads of an error: a sentence, or two with Stripe's words.
fn explain(error: &Error) -> String {
    match error {
        Error::Stripe(error) => explain_stripe(error),
        Error::ManyRefused { count, .. } => format!(
            "The engine's database refused {count} objects or more, too many to set them aside and call the sync \
             complete. The engine is at fault, not the objects; what was not stored is read again once it is \
             mended. The log has the cause under the job's id."
        ),
        Error::NoConnection => "The connection no longer exists.".to_owned(),
        Error::NoPlatformKey => {
            "The account is read with the platform's key, which is not set.".to_owned()
        }
        Error::Unreadable { list, .. } => format!(
            "Stripe sent one of its {} in a form that could not be read; the log has its beginning under the job's id.",
            objects_at(list)
        ),
        Error::PermissionLost { resource, message } => {
            with_stripe_message(&format!("The key may no longer read {resource}."), message)
        }
        // The first four become failures with words of their own.
        Error::Database(_)
        | Error::Credential(_)
        | Error::NoCredential
        | Error::KindChanged(_)
        | Error::TaskEndedEarly => {
            "The job stopped on an error inside the engine; the log has the cause under the job's id."
                .to_owned()
        }
    }
}

fn explain_stripe(error: &read_client::Error) -> String {
    use read_client::Error::{
        KeyInvalid, Malformed, Network, NotFound, PermissionMissing, RateLimited, Refused,
        Unavailable,
    };
    match error {
        KeyInvalid { message, .. } => with_stripe_message("Stripe refuses the key.", message),
        PermissionMissing { path, message, .. } => with_stripe_message(
            &format!("The key may not read {}.", objects_at(path)),
            message,
        ),
        NotFound { path, message } | Refused { path, message, .. } => {
            let refused = format!("Stripe refused a request for {}.", objects_at(path));
            with_stripe_message(&refused, message)
        }
        RateLimited { path, .. } => {
            format!(
                "Stripe limited the requests for {} for too long.",
                objects_at(path)
            )
        }
        Unavailable { status, path, .. } => {
            let objects = objects_at(path);
            format!("Stripe answered requests for {objects} with status {status} again and again.")
        }
        Network { path, .. } => {
            format!(
                "Stripe could not be reached, or its answer about {} broke off.",
                objects_at(path)
            )
        }
        Malformed { path, .. } => {
            format!(
                "The answer about {} was not one of Stripe's API. Check STRIPE_API_BASE, and whether a proxy is in between.",
                objects_at(path)
            )
        }
    }
}

/// What people call the objects at a path of Stripe's API, which they need not know: `/v1/checkout/sessions` has checkout
/// sessions.
fn objects_at(path: &str) -> String {
    let path = path.trim_start_matches("/v1/");
    let collection = match path.split_once('/') {
        Some(("checkout", _)) => "checkout sessions",
        Some((collection, _)) => collection,
        None => path,
    };
    collection.replace('_', " ")
}

fn with_stripe_message(sentence: &str, words: &str) -> String {
    format!("{sentence} Stripe says: {words}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_key_stops_the_connection_at_once() {
        let error = Error::Stripe(read_client::Error::KeyInvalid {
            message: "revoked".into(),
            request_id: None,
        });
        let Failure::Failed {
            severity: Severity::StopsConnection { .. },
            error,
            ..
        } = Failure::from(error)
        else {
            panic!()
        };
        assert_eq!(error.code, "stripe_key_invalid");
        assert_eq!(
            error.message,
            "Stripe refuses the key. Stripe says: revoked"
        );
    }

    #[test]
    fn job_errors_hide_library_and_database_details() {
        let inside = || std::io::Error::other("base/16384/16589");
        let parse = || serde_json::from_str::<i64>("\n\n{").expect_err("no number");
        let errors = [
            Error::Unreadable {
                list: "/v1/events".into(),
                beginning: "{\"object\"".into(),
                cause: parse(),
            },
            Error::Stripe(read_client::Error::Malformed {
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
            for leak in [
                "base/",
                "/v1/",
                "line 3",
                "column",
                "sync_jobs",
                "{\"object\"",
            ] {
                assert!(!message.contains(leak), "{message}");
            }
            assert!(message.ends_with('.'), "{message}");
        }
    }

    #[test]
    fn job_errors_speak_of_objects_and_settings_and_name_no_path() {
        let unavailable = |path: &str| {
            explain_stripe(&read_client::Error::Unavailable {
                status: 503,
                path: path.into(),
                retry_after: None,
            })
        };
        for (path, objects) in [
            ("/v1/charges", "charges"),
            ("/v1/invoices/in_1/lines", "invoices"),
            ("/v1/checkout/sessions", "checkout sessions"),
            ("/v1/invoice_payments", "invoice payments"),
        ] {
            let expected =
                format!("Stripe answered requests for {objects} with status 503 again and again.");
            assert_eq!(unavailable(path), expected);
        }
        let malformed = explain_stripe(&read_client::Error::Malformed {
            path: "/v1/events".into(),
            cause: serde_json::from_str::<i64>("<html>").expect_err("no number"),
        });
        assert!(malformed.contains("STRIPE_API_BASE"), "{malformed}");
    }
}
