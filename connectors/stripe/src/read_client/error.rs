//! What Stripe, or the way to it, answers instead of an object.
//!
//! Sorted by HTTP status, then `code`: 401 key, 403 permission, 404 missing, 429 (or 400 with code
//! `rate_limit`) limits, 5xx and the network trouble that passes. Source: stripe-python
//! `_api_requestor.py`, docs.stripe.com/rate-limits.

use std::time::Duration;

use common::throttle::LimitReason;
use serde::Deserialize;

/// Which budget a 429 says was overspent (`Stripe-Rate-Limited-Reason`).
fn reason_of(header: Option<&str>) -> LimitReason {
    match header {
        Some("global-rate") => LimitReason::GlobalRate,
        Some("global-concurrency") => LimitReason::GlobalConcurrency,
        Some("endpoint-rate") => LimitReason::EndpointRate,
        Some("endpoint-concurrency") => LimitReason::EndpointConcurrency,
        Some(other) => LimitReason::Other(other.to_owned()),
        None => LimitReason::None,
    }
}

/// Why a request to Stripe gave no object.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The key was refused: revoked, expired or never valid.
    #[error("Stripe refused the key: {message}")]
    KeyInvalid {
        /// Stripe's words, in which the key is masked.
        message: String,
        request_id: Option<String>,
    },
    /// The key may not read this.
    #[error("the key may not read {path}: {message}")]
    PermissionMissing {
        path: String,
        /// Stripe's words, which name the permission.
        message: String,
        request_id: Option<String>,
    },
    #[error("Stripe has no such object at {path}: {message}")]
    NotFound { path: String, message: String },
    /// Stripe did not understand or allow the request.
    #[error("Stripe answered {status} to {path}: {message}")]
    Refused {
        status: u16,
        path: String,
        /// Stripe's `code`, if it gave one.
        code: Option<String>,
        message: String,
        request_id: Option<String>,
    },
    #[error("Stripe limits requests to {path} ({reason:?})")]
    RateLimited {
        path: String,
        reason: LimitReason,
        /// How long Stripe asks to wait.
        retry_after: Option<Duration>,
    },
    #[error("Stripe answered {status} to {path}")]
    Unavailable {
        status: u16,
        path: String,
        /// How long Stripe asks to wait.
        retry_after: Option<Duration>,
    },
    /// The network is in trouble, or an answer broke off.
    #[error("the request to {path} did not get through")]
    Network {
        path: String,
        /// Why; the URL, which holds no secret, is left out of it.
        #[source]
        cause: reqwest::Error,
    },
    /// The answer is no list and no object.
    #[error("Stripe's answer to {path} could not be read")]
    Malformed {
        path: String,
        #[source]
        cause: serde_json::Error,
    },
}

#[derive(Deserialize, Default)]
pub(super) struct ErrorBody {
    #[serde(default)]
    pub(super) error: ErrorObject,
}

#[derive(Deserialize, Default)]
pub(super) struct ErrorObject {
    pub(super) message: Option<String>,
    pub(super) code: Option<String>,
}

/// What the headers of an answer say about an error.
#[derive(Debug, Clone, Default)]
pub(super) struct ErrorHeaders {
    pub(super) request_id: Option<String>,
    pub(super) limit_reason: Option<String>,
    pub(super) retry_after: Option<Duration>,
    pub(super) should_retry: Option<bool>,
}

impl Error {
    pub(super) fn from_response(
        status: u16,
        path: &str,
        headers: ErrorHeaders,
        body: &str,
    ) -> Self {
        let ErrorObject { message, code } = serde_json::from_str::<ErrorBody>(body)
            .unwrap_or_default()
            .error;
        let message = message.unwrap_or_else(|| format!("HTTP {status} without a message"));
        let path = path.to_owned();
        let ErrorHeaders {
            request_id,
            limit_reason,
            retry_after,
            should_retry,
        } = headers;
        let limited = status == 429 || (status == 400 && code.as_deref() == Some("rate_limit"));
        match status {
            _ if limited => Self::RateLimited {
                path,
                reason: reason_of(limit_reason.as_deref()),
                retry_after,
            },
            // The header overrides every other rule.
            _ if should_retry == Some(true) => Self::Unavailable {
                status,
                path,
                retry_after,
            },
            401 => Self::KeyInvalid {
                message,
                request_id,
            },
            403 => Self::PermissionMissing {
                path,
                message,
                request_id,
            },
            404 => Self::NotFound { path, message },
            // 409 is a conflict that the SDKs retry.
            500.. | 409 => Self::Unavailable {
                status,
                path,
                retry_after,
            },
            _ => Self::Refused {
                status,
                path,
                code,
                message,
                request_id,
            },
        }
    }

    /// Whether the same request may get through a little later.
    pub fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::RateLimited { .. }
                | Self::Unavailable { .. }
                | Self::Network { .. }
                | Self::Malformed { .. }
        )
    }

    /// How long Stripe asks to wait.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::RateLimited { retry_after, .. } | Self::Unavailable { retry_after, .. } => {
                *retry_after
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn classify(status: u16, body: &str, headers: ErrorHeaders) -> Error {
        Error::from_response(status, "/v1/charges", headers, body)
    }

    #[test]
    fn errors_are_classified_by_status() {
        let message = r#"{"error":{"message":"words","type":"invalid_request_error"}}"#;
        let none = ErrorHeaders::default;
        assert!(matches!(
            classify(401, message, none()),
            Error::KeyInvalid { .. }
        ));
        assert!(matches!(
            classify(403, message, none()),
            Error::PermissionMissing { .. }
        ));
        assert!(matches!(
            classify(404, message, none()),
            Error::NotFound { .. }
        ));
        assert!(matches!(
            classify(400, message, none()),
            Error::Refused { status: 400, .. }
        ));
        assert!(classify(500, "<html>", none()).is_transient());
        assert!(classify(409, message, none()).is_transient());
        let limited = r#"{"error":{"code":"rate_limit","message":"words"}}"#;
        assert!(matches!(
            classify(400, limited, none()),
            Error::RateLimited { .. }
        ));
        let headers = ErrorHeaders {
            limit_reason: Some("endpoint-rate".into()),
            ..none()
        };
        let Error::RateLimited { reason, .. } = classify(429, limited, headers) else {
            panic!()
        };
        assert_eq!(reason, LimitReason::EndpointRate);
    }

    #[test]
    fn stripe_should_retry_overrides_the_status() {
        for status in [400, 401, 403, 404] {
            let headers = ErrorHeaders {
                should_retry: Some(true),
                ..ErrorHeaders::default()
            };
            assert!(classify(status, "{}", headers).is_transient(), "{status}");
        }
    }
}
