//! The engine's refusals, RFC 9457 problem documents, in the words of the command line.
//!
//! A document speaks of pointers, parameters and HTTP calls; whoever reads it here typed flags and
//! knows commands. So parts of a request are named by their flags, and where something can be done, the
//! code decides which command is recommended. What the engine says of a value is shown as it came.

use std::fmt;

use serde::Deserialize;

use super::words;
use crate::output;

/// A problem document. Everything may be missing: something between here and the engine may have
/// written it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Problem {
    /// The HTTP status.
    pub status: Option<u16>,
    /// Stable, for programs.
    pub code: Option<String>,
    /// What kind of problem it is.
    pub title: Option<String>,
    /// What a person can do about it.
    pub detail: Option<String>,
    /// What is wrong with which part of the request.
    #[serde(default)]
    pub errors: Vec<Fault>,
    /// The connection that is in the way.
    pub connection_id: Option<String>,
    /// Names the request in the engine's log.
    pub request_id: Option<String>,
}

/// What is wrong with one part of a request.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Fault {
    /// Where in the body.
    pub pointer: Option<String>,
    /// Which parameter of the query.
    pub parameter: Option<String>,
    /// What is wrong with it.
    pub detail: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentence())?;
        if let Some(code) = &self.code {
            write!(f, " ({})", output::plain(code))?;
        }
        for fault in &self.errors {
            write!(f, "\n  {fault}")?;
        }
        match &self.request_id {
            Some(id) => write!(f, "\n  request {}", output::plain(id)),
            None => Ok(()),
        }
    }
}

impl Problem {
    /// What is wrong and what to do about it.
    fn sentence(&self) -> String {
        let connection = self.connection_id.as_deref().map(output::plain);
        let connection = connection.as_deref().unwrap_or("CONNECTION");
        let text = match self.code.as_deref() {
            Some("invalid_request" | "filter_regex_unsupported") if !self.errors.is_empty() => {
                "the engine rejected the request"
            }
            Some("unauthenticated") => {
                "the engine does not accept the token: it was revoked, has expired, or belongs to another engine; \
                 `stripe-sync token create --org ID` creates a new one"
            }
            Some("forbidden") => {
                "the token's role does not allow this; `stripe-sync whoami` shows the role, and `stripe-sync token \
                 create --org ID` creates a token of role admin"
            }
            Some("not_found") => {
                "the token's organization has nothing with this id; `stripe-sync connections list`, `stripe-sync \
                 jobs list`, `stripe-sync rules list`, `stripe-sync webhooks list` and `stripe-sync connect-account \
                 transfers` show the ids"
            }
            Some("connection_exists") => {
                return format!(
                    "the Stripe account is already connected as {connection}; to replace its key, use `stripe-sync \
                     connections replace-key --connection {connection}`"
                );
            }
            Some("connection_deleting") => {
                return format!("the data of {connection} is still being deleted; try again later");
            }
            Some("subscription_exists") => {
                "the organization has a subscription; change it with `stripe-sync billing change`"
            }
            Some("already_revealed") => {
                "the API key was revealed before and cannot be shown again; `stripe-sync billing roll-key` makes another one"
            }
            Some("too_large") => "the request is too large for the engine; shorten it",
            Some("cursor_invalid") => {
                "the list could not be read to its end; run the command again"
            }
            Some("unavailable") => {
                "the engine is not ready: its database does not respond or has not been migrated, or it is checking \
                 its encryption keys; try again shortly, or see the engine's log"
            }
            Some("internal") => {
                "the engine failed with an internal error; its log has the cause under the request id"
            }
            // Not due to anything that was typed.
            Some(
                "malformed_json"
                | "method_not_allowed"
                | "not_acceptable"
                | "unsupported_media_type",
            ) => {
                "the engine does not know this request; it may be an older version than this stripe-sync"
            }
            _ => {
                let title = self.title.as_deref();
                let title = title.unwrap_or("the engine refused without giving a reason");
                return words::text_or(self.detail.as_deref().unwrap_or(title), title);
            }
        };
        text.to_owned()
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let detail = words::text_or(&self.detail, "is not valid");
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
        "signing_secret" => "the signing secret".to_owned(),
        "organization_id" => "--org".to_owned(),
        "connection_id" => "--connection".to_owned(),
        "date_from" | "received_from" => "--from".to_owned(),
        "date_to" | "received_to" => "--to".to_owned(),
        "group_by" => "--by".to_owned(),
        "conditions" => "--condition".to_owned(),
        "is_active" => "--activate or --deactivate".to_owned(),
        "operator" => "--any or --all".to_owned(),
        "job_type" => "--full".to_owned(),
        name => format!("--{}", name.replace('_', "-")),
    }
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
                               {"parameter": "date_to", "detail": "must be a date that exists"},
                               {"parameter": "filter", "pointer": "/conditions/1/value", "detail": "is too long"},
                               {"pointer": "/conditions/0/value", "detail": "unknown"},
                               {"pointer": "/signing_secret", "detail": "must begin with whsec_"},
                               {"parameter": "received_to", "detail": "must be a time"},
                               {"pointer": "", "detail": "a connection has at most 50 rules"}],
                    "request_id": "0190"}"#
            ),
            "the engine rejected the request (invalid_request)\n  \
             --timezone must be the name of a time zone\n  \
             --lookback-days is missing\n  \
             --to must be a date that exists\n  \
             --filter (condition 2) is too long\n  \
             --condition (number 1): unknown\n  \
             the signing secret must begin with whsec_\n  \
             --to must be a time\n  \
             a connection has at most 50 rules\n  \
             request 0190"
        );
    }

    #[test]
    fn a_poor_refusal_is_shown_too() {
        assert_eq!(shown(r#"{"title": "Bad Gateway"}"#), "Bad Gateway");
        assert_eq!(shown("{}"), "the engine refused without giving a reason");
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
            ApiError::UnknownPath,
            ApiError::MethodNotAllowed,
            ApiError::ConnectionExists {
                connection_id: connection_id(),
            },
            ApiError::ConnectionDeleting {
                connection_id: connection_id(),
            },
            ApiError::Conflict { detail: detail() },
            ApiError::TooLarge { limit_bytes: 7 },
            ApiError::UnsupportedMediaType,
            ApiError::invalid(vec![
                FieldError::at("/lookback_days", "must be a whole number from 1 to 3650"),
                FieldError::of("date_to", "must be a date that exists"),
            ]),
            ApiError::CursorInvalid,
            ApiError::CursorOfAnotherList,
            ApiError::StripeKeyInvalid { detail: detail() },
            ApiError::StripeKeyWrongKind { detail: detail() },
            ApiError::StripePermissionMissing { detail: detail() },
            ApiError::StripeAccountMismatch { detail: detail() },
            ApiError::RateLimited {
                retry_after_secs: 3,
            },
            ApiError::TooManyOpen {
                title: "Too many exports",
                detail: detail(),
                retry_after_secs: 3,
            },
            ApiError::BodyTimeout { limit_secs: 10 },
            ApiError::NotAcceptable {
                available: "JSON".to_owned(),
            },
            ApiError::StripeUnreachable("gone".into()),
            ApiError::StripeAccountUnknown("nameless".into()),
            ApiError::Unavailable(None),
            ApiError::KeysUnchecked("late".into()),
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
}
