//! What Stripe, or the way to it, answers to a request that changes something.

use serde::Deserialize;

/// Why a request gave no answer that could be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Stripe refused it, or failed; nothing was changed unless the status is 500 or more.
    #[error("Stripe answered {status} to {path}{}: {message}", code_of(.code.as_deref()))]
    Refused {
        status: u16,
        path: String,
        /// Stripe's `code`, if it gave one.
        code: Option<String>,
        /// Stripe's words, in which the key is masked.
        message: String,
        request_id: Option<String>,
    },
    /// No answer, or one that broke off.
    #[error("Stripe gave no answer to {path}, which may have been done or not")]
    Unanswered {
        path: String,
        #[source]
        cause: reqwest::Error,
    },
    /// It was done, and the answer is not what it should be.
    #[error("Stripe's answer to {path} could not be read")]
    Unreadable {
        path: String,
        #[source]
        cause: serde_json::Error,
    },
    /// A list that is longer than any is read.
    #[error("Stripe's list {path} does not end")]
    Endless { path: String },
}

fn code_of(code: Option<&str>) -> String {
    code.map_or_else(String::new, |code| format!(" ({code})"))
}

#[derive(Deserialize, Default)]
struct Body {
    #[serde(default)]
    error: Words,
}

#[derive(Deserialize, Default)]
struct Words {
    message: Option<String>,
    code: Option<String>,
}

impl Error {
    pub(super) fn refused(
        status: u16,
        path: &str,
        request_id: Option<String>,
        body: &[u8],
    ) -> Self {
        let Body { error } = serde_json::from_slice(body).unwrap_or_default();
        let without = || "no message".to_owned();
        Self::Refused {
            status,
            path: path.to_owned(),
            code: error.code,
            message: error.message.unwrap_or_else(without),
            request_id,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stripes_code_and_message_are_kept() {
        let body = br#"{"error": {"code": "url_invalid", "message": "Invalid URL: x", "type": "invalid_request_error"}}"#;
        let error = Error::refused(400, "/v1/webhook_endpoints", Some("req_1".into()), body);
        let text = "Stripe answered 400 to /v1/webhook_endpoints (url_invalid): Invalid URL: x";
        assert_eq!(error.to_string(), text);
        let html = Error::refused(502, "/v1/x", None, b"<html>");
        assert_eq!(html.to_string(), "Stripe answered 502 to /v1/x: no message");
    }
}
