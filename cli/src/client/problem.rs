//! The engine's refusals, RFC 9457 problem documents, as a person reads them.

use std::fmt;

use serde::Deserialize;

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
        let detail = self.detail.as_deref().or(self.title.as_deref());
        f.write_str(detail.unwrap_or("the engine refused without saying why"))?;
        if let Some(code) = &self.code {
            write!(f, " ({code})")?;
        }
        for fault in &self.errors {
            match fault.pointer.as_ref().or(fault.parameter.as_ref()) {
                Some(place) => write!(f, "\n  {place}: {}", fault.detail)?,
                None => write!(f, "\n  {}", fault.detail)?,
            }
        }
        match &self.request_id {
            Some(id) => write!(f, "\n  request {id}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(json: &str) -> String {
        serde_json::from_str::<Problem>(json).unwrap().to_string()
    }

    #[test]
    fn a_refusal_says_what_where_and_which_request() {
        assert_eq!(
            shown(
                r#"{"type": "about:blank", "title": "Unprocessable", "status": 422,
                    "code": "invalid_request", "detail": "the request is not valid",
                    "errors": [{"pointer": "/timezone", "detail": "is no time zone"},
                               {"parameter": "limit", "detail": "is more than 1000"}],
                    "request_id": "0190"}"#
            ),
            "the request is not valid (invalid_request)\n  /timezone: is no time zone\n  \
             limit: is more than 1000\n  request 0190"
        );
    }

    #[test]
    fn a_poor_refusal_is_shown_too() {
        assert_eq!(shown(r#"{"title": "Bad Gateway"}"#), "Bad Gateway");
        assert_eq!(shown("{}"), "the engine refused without saying why");
    }
}
