//! What the command line says about a code of the engine: about connections, jobs, and charges.
//!
//! The engine's texts address callers of its HTTP API, so what to do is said here, in commands, and chosen by the code
//! that comes with the text. A text is shown as it came, unless it names an HTTP call; then one of the command line's own takes
//! its place, and `--json` still has the original. A code that is not known here, such as one of a newer engine, is
//! shown with its text and without advice.
//!
//! Deliberately absent: rewriting texts. Nothing here depends on how the engine phrases them.

use common::connection::{ConnectionProblem, Warning};
use common::credential;
use common::job::JobError;

use crate::output;

const KEY_INVALID: &str = "stripe_key_invalid";
const PERMISSION_MISSING: &str = "stripe_permission_missing";
const STRIPE_UNAVAILABLE: &str = "stripe_unavailable";

/// A text of the engine, or `instead` where it names an HTTP call.
pub(crate) fn text_or(text: &str, instead: &str) -> String {
    output::plain(if text.contains("/v1/") { instead } else { text })
}

/// What a code of a connection's problem or of a job's error means.
fn meaning(code: &str) -> &'static str {
    match code {
        KEY_INVALID => "Stripe rejected the key.",
        PERMISSION_MISSING => "The key lacks a permission that syncing needs.",
        credential::CREDENTIAL_UNREADABLE => {
            "The stored key cannot be decrypted, or there is none."
        }
        STRIPE_UNAVAILABLE => "Stripe did not answer, or limited the requests, for too long.",
        _ => "The engine's log has the cause.",
    }
}

/// What to do about a problem with a connection's key.
fn remedy(code: &str, connection: &str) -> Option<String> {
    let connection = output::plain(connection);
    match code {
        KEY_INVALID => Some(format!(
            "Replace the key with `stripe-sync connections replace-key --connection {connection}`."
        )),
        credential::CREDENTIAL_UNREADABLE => Some(format!(
            "Restart the engine with the right encryption keys, or replace the key with `stripe-sync connections \
             replace-key --connection {connection}`."
        )),
        PERMISSION_MISSING => Some(format!(
            "`stripe-sync connections test --connection {connection}` shows which permission is missing; grant it \
             in Stripe's dashboard, then run `stripe-sync sync --connection {connection}`."
        )),
        _ => None,
    }
}

/// What is wrong with a key, and what to do about it.
pub(super) fn of_key(code: &str, detail: &str, connection: &str) -> String {
    match remedy(code, connection) {
        // The engine's text advises something as well, for callers of its API.
        Some(remedy) => format!("{} {remedy}", meaning(code)),
        None => text_or(detail, meaning(code)),
    }
}

/// What stops a connection, in one line.
pub(super) fn of_problem(problem: &ConnectionProblem, connection: &str) -> String {
    format!(
        "{} ({}, since {})",
        of_key(&problem.code, &problem.detail, connection),
        output::plain(&problem.code),
        output::instant(problem.since)
    )
}

/// What is missing or unusual, in one line.
pub(super) fn of_warning(warning: &Warning) -> String {
    let (instead, more) = match warning.code.as_str() {
        Warning::PERMISSION_MISSING => ("The key may not read this.", ""),
        Warning::OBJECTS_PARKED => (
            "Some objects could not be read.",
            " `stripe-sync parked` shows them.",
        ),
        Warning::JOBS_FAILING => (
            "The last jobs failed.",
            " `stripe-sync jobs list --status failed` shows them.",
        ),
        _ => ("The engine's log has the cause.", ""),
    };
    let count = warning
        .count
        .map(|count| format!(" ({})", output::thousands(count)))
        .unwrap_or_default();
    format!(
        "{}{count}: {}{more}",
        output::plain(&warning.resource),
        text_or(&warning.detail, instead)
    )
}

/// Why a job failed, or why it is waiting.
pub(crate) fn of_job_error(error: &JobError) -> String {
    text_or(&error.message, meaning(&error.code))
}

/// Why a job or an event failed, with its code.
pub(crate) fn code_and_text(error: &JobError) -> String {
    format!("{}: {}", output::plain(&error.code), of_job_error(error))
}

/// What to do about a failed job, where retrying it is not enough.
pub(crate) fn of_failed_job(code: &str, connection: &str) -> Option<String> {
    let key = matches!(
        code,
        KEY_INVALID | PERMISSION_MISSING | credential::CREDENTIAL_UNREADABLE
    );
    key.then(|| remedy(code, connection)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(code: &str, detail: &str) -> String {
        let problem = ConnectionProblem {
            code: code.to_owned(),
            detail: detail.to_owned(),
            since: "2026-11-21T05:00:00Z".parse().unwrap(),
        };
        of_problem(&problem, "acme-stripe-acct_1")
    }

    #[test]
    fn a_problem_is_explained_in_commands() {
        for code in [
            KEY_INVALID,
            PERMISSION_MISSING,
            credential::CREDENTIAL_UNREADABLE,
        ] {
            let text = problem(code, "Replace it with PUT /v1/connectors/stripe/x/key.");
            assert!(text.contains("`stripe-sync connections "), "{text}");
            assert!(text.contains("--connection acme-stripe-acct_1"), "{text}");
            assert_eq!(text, problem(code, "Worded otherwise."));
        }
    }

    #[test]
    fn a_text_that_names_no_call_is_shown_and_any_other_is_not() {
        let newer = "Something new happened.";
        assert!(problem("newer", newer).starts_with(newer));
        let text = problem("newer", "Use GET /v1/newer.");
        assert!(
            text.starts_with("The engine's log has the cause. (newer, since"),
            "{text}"
        );
        let error = |message: &str| {
            of_job_error(&JobError {
                code: STRIPE_UNAVAILABLE.to_owned(),
                message: message.to_owned(),
            })
        };
        assert_eq!(error("Stripe sleeps."), "Stripe sleeps.");
        assert!(
            error("Stripe answered /v1/charges with 503.").starts_with("Stripe did not answer")
        );
    }
}
