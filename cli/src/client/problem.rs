//! The engine's refusals, RFC 9457 problem documents, in the words of the command line.
//!
//! A document speaks of pointers, parameters and HTTP calls; whoever reads it here typed flags and
//! knows commands. So parts of a request are named by their flags, and where a code has an advice that
//! is a command, that advice is given instead of the engine's. A code that is not known here, of a
//! newer engine for one, is shown as it came.

use std::fmt;

use common::connection;
use serde::Deserialize;

use crate::output;

/// A problem document. Everything may be missing: something between here and the engine may have
/// written it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Problem {
    /// The HTTP status.
    #[serde(default)]
    pub status: Option<u16>,
    /// Stable, for programs.
    #[serde(default)]
    pub code: Option<String>,
    /// What kind of problem it is.
    #[serde(default)]
    pub title: Option<String>,
    /// What a person can do about it.
    #[serde(default)]
    pub detail: Option<String>,
    /// What is wrong with which part of the request.
    #[serde(default)]
    pub errors: Vec<Fault>,
    /// The connection that is in the way.
    #[serde(default)]
    pub connection_id: Option<String>,
    /// Names the request in the engine's log.
    #[serde(default)]
    pub request_id: Option<String>,
}

/// What is wrong with one part of a request.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Fault {
    /// Where in the body.
    #[serde(default)]
    pub pointer: Option<String>,
    /// Which parameter of the query.
    #[serde(default)]
    pub parameter: Option<String>,
    /// What is wrong with it.
    pub detail: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentence())?;
        if let Some(code) = &self.code {
            write!(f, " ({code})")?;
        }
        for fault in &self.errors {
            write!(f, "\n  {fault}")?;
        }
        match &self.request_id {
            Some(id) => write!(f, "\n  request {id}"),
            None => Ok(()),
        }
    }
}

impl Problem {
    /// What is wrong and what to do about it.
    fn sentence(&self) -> String {
        let connection = self.connection_id.as_deref().unwrap_or("the connection");
        let text = match self.code.as_deref() {
            Some("invalid_request" | "filter_regex_unsupported") if !self.errors.is_empty() => {
                "the engine does not accept this"
            }
            Some("unauthenticated") => {
                "the token is not valid here: it was revoked, has expired, or is another engine's; \
                 `stripe-sync token create --org ID` prints one for STRIPE_SYNC_TOKEN"
            }
            Some("not_found") => {
                "there is nothing of this id in the token's organization; `stripe-sync connections \
                 list`, `jobs list` and `rules list` show the ids"
            }
            Some("method_not_allowed") => {
                "the engine does not know this command; is it older than this stripe-sync?"
            }
            Some("connection_exists") => {
                return format!(
                    "the Stripe account is connected already, as {connection}; `stripe-sync \
                     connections replace-key --connection {connection}` gives it another key"
                );
            }
            Some("connection_deleting") => {
                return format!(
                    "what was stored of {connection} is still being removed; connect again in a while"
                );
            }
            Some("too_large") => "this is more than the engine reads at once; make it shorter",
            Some("cursor_invalid") => "the list cannot be read on; run the command again",
            Some("unavailable") => {
                "the engine is not ready: its database does not answer or is not migrated; try \
                 again shortly, or look at the engine's log"
            }
            Some("internal") => {
                "the engine failed for a reason of its own; its log has the cause under the request"
            }
            _ => {
                let detail = self.detail.as_deref().or(self.title.as_deref());
                let detail = detail.unwrap_or("the engine refused without saying why");
                return in_commands(detail);
            }
        };
        text.to_owned()
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let detail = in_commands(&self.detail);
        match self.flag() {
            Some(flag) if detail.starts_with("must ") || detail.starts_with("is ") => {
                write!(f, "{flag} {detail}")
            }
            Some(flag) => write!(f, "{flag}: {detail}"),
            None => f.write_str(&detail),
        }
    }
}

impl Fault {
    /// The flag that gave the part of the request.
    fn flag(&self) -> Option<String> {
        let pointer = self.pointer.as_deref().unwrap_or_default();
        let mut parts = pointer.split('/').skip(1);
        let member = parts.next().unwrap_or_default();
        let condition = parts.next().filter(|_| member == "conditions");
        let number = condition.and_then(|index| index.parse::<usize>().ok());
        if let Some(number) = number.map(|index| index + 1) {
            return Some(match self.parameter {
                Some(_) => format!("--filter (condition {number})"),
                None => format!("--condition (number {number})"),
            });
        }
        let name = self.parameter.as_deref().unwrap_or(member);
        (!name.is_empty()).then(|| flag(name))
    }
}

/// The flag for a member of a body or a parameter of a query.
fn flag(name: &str) -> String {
    match name {
        "api_key" => "the Stripe key".to_owned(),
        "organization_id" => "--org".to_owned(),
        "connection_id" => "--connection".to_owned(),
        "date_from" => "--from".to_owned(),
        "date_to" => "--to".to_owned(),
        "group_by" => "--by".to_owned(),
        "conditions" => "--condition".to_owned(),
        "is_active" => "--activate or --deactivate".to_owned(),
        "operator" => "--any or --all".to_owned(),
        "job_type" => "--full".to_owned(),
        name => format!("--{}", name.replace('_', "-")),
    }
}

/// A text of the engine with flags and commands in place of what it says of HTTP.
pub(crate) fn in_commands(text: &str) -> String {
    const KEY_CALL: &str = "PUT /v1/connectors/stripe/";
    let mut text = output::plain(text);
    while let Some(start) = text.find(KEY_CALL) {
        let rest = &text[start + KEY_CALL.len()..];
        let Some((connection, after)) = rest.split_once("/key") else {
            break;
        };
        text = format!(
            "{}`stripe-sync connections replace-key --connection {connection}`{after}",
            &text[..start]
        );
    }
    for (name, command) in [
        ("`lookback_days`", "`stripe-sync sync --lookback-days`"),
        ("`organization_id`", "--org"),
        ("date_from", "--from"),
        ("date_to", "--to"),
    ] {
        text = text.replace(name, command);
    }
    text
}

/// What stops a connection, in one line.
pub(super) fn of_connection(problem: &connection::Problem) -> String {
    format!(
        "{} ({}, since {})",
        in_commands(&problem.detail),
        problem.code,
        output::instant(problem.since)
    )
}

/// What is missing or odd, in one line.
pub(super) fn of_warning(warning: &connection::Warning) -> String {
    let count = warning
        .count
        .map(|count| format!(" ({})", output::thousands(count)))
        .unwrap_or_default();
    let more = if warning.code == connection::Warning::OBJECTS_PARKED {
        " `stripe-sync parked` shows them."
    } else {
        ""
    };
    format!(
        "{}{count}: {}{more}",
        output::plain(&warning.resource),
        in_commands(&warning.detail)
    )
}

#[cfg(test)]
mod tests {
    use api::problem::{ApiError, FieldError};

    use super::*;

    fn shown(json: &str) -> String {
        serde_json::from_str::<Problem>(json).unwrap().to_string()
    }

    #[test]
    fn a_refusal_says_what_with_which_flag_and_which_request() {
        assert_eq!(
            shown(
                r#"{"type": "about:blank", "title": "Unprocessable", "status": 422,
                    "code": "invalid_request", "detail": "some values; `errors` names each",
                    "errors": [{"pointer": "/timezone", "detail": "must be the name of a time zone"},
                               {"pointer": "/lookback_days", "detail": "is missing"},
                               {"parameter": "date_to", "detail": "must not be before date_from"},
                               {"parameter": "filter", "pointer": "/conditions/1/value", "detail": "is too long"},
                               {"pointer": "/conditions/0/value", "detail": "unknown"},
                               {"pointer": "", "detail": "a connection has at most 50 rules"}],
                    "request_id": "0190"}"#
            ),
            "the engine does not accept this (invalid_request)\n  \
             --timezone must be the name of a time zone\n  \
             --lookback-days is missing\n  \
             --to must not be before --from\n  \
             --filter (condition 2) is too long\n  \
             --condition (number 1): unknown\n  \
             a connection has at most 50 rules\n  \
             request 0190"
        );
    }

    #[test]
    fn a_poor_refusal_is_shown_too() {
        assert_eq!(shown(r#"{"title": "Bad Gateway"}"#), "Bad Gateway");
        assert_eq!(shown("{}"), "the engine refused without saying why");
    }

    /// Every error that the engine has, with texts such as its routes give.
    fn all_errors() -> Vec<ApiError> {
        let detail = || "Ask again.".to_owned();
        let connection_id = || "acme-stripe-acct_1".to_owned();
        vec![
            ApiError::MalformedJson { detail: detail() },
            ApiError::Unauthenticated,
            ApiError::Forbidden {
                detail: "The token belongs to another organization than `organization_id`."
                    .to_owned(),
            },
            ApiError::NotFound,
            ApiError::MethodNotAllowed,
            ApiError::ConnectionExists {
                connection_id: connection_id(),
            },
            ApiError::ConnectionDeleting {
                connection_id: connection_id(),
            },
            ApiError::Conflict { detail: detail() },
            ApiError::TooLarge { limit_bytes: 7 },
            ApiError::invalid(vec![
                FieldError::at("/lookback_days", "must be a whole number from 1 to 3650"),
                FieldError::of("date_to", "must not be before date_from"),
            ]),
            ApiError::CursorInvalid,
            ApiError::StripeKeyInvalid { detail: detail() },
            ApiError::StripeKeyWrongKind { detail: detail() },
            ApiError::StripePermissionMissing { detail: detail() },
            ApiError::StripeAccountMismatch { detail: detail() },
            ApiError::RateLimited {
                retry_after_secs: 3,
            },
            ApiError::StripeUnreachable("gone".into()),
            ApiError::Unavailable(None),
            ApiError::Internal("broken".into()),
        ]
    }

    #[test]
    fn no_refusal_speaks_of_http_or_json_pointers() {
        for error in all_errors() {
            let document = serde_json::to_string(&error.document("0190")).unwrap();
            let text = shown(&document);
            for foreign in [
                "/v1",
                "PUT ",
                "GET ",
                "POST ",
                "Bearer",
                "`errors`",
                "request_id",
                "next_cursor",
                "/lookback",
                "_days`",
                "date_",
                "organization_id",
                "readyz",
                "Allow",
            ] {
                assert!(!text.contains(foreign), "{foreign} in: {text}");
            }
            assert!(text.contains(error.code()), "{text}");
        }
    }

    #[test]
    fn texts_of_the_engine_name_commands() {
        assert_eq!(
            in_commands(
                "Replace it with PUT /v1/connectors/stripe/acme-stripe-acct_1/key. Expired."
            ),
            "Replace it with `stripe-sync connections replace-key --connection acme-stripe-acct_1`. Expired."
        );
        assert_eq!(
            in_commands("a larger `lookback_days` covers it"),
            "a larger `stripe-sync sync --lookback-days` covers it"
        );
        assert_eq!(
            in_commands("PUT /v1/connectors/stripe/"),
            "PUT /v1/connectors/stripe/"
        );
    }
}
