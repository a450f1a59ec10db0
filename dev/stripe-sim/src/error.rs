//! Stripe's error bodies, word for word where they are known.
//!
//! Every refusal of the simulated API is one of these. Deliberately absent: errors of the control
//! endpoints, which are [`crate::ControlError`].

use crate::json;

#[derive(Clone, Debug, thiserror::Error)]
#[error("HTTP {status}: {message}")]
pub(crate) struct StripeError {
    pub(crate) status: u16,
    pub(crate) code: Option<&'static str>,
    pub(crate) message: String,
    pub(crate) param: Option<String>,
    pub(crate) kind: &'static str,
    /// Why a card was refused, in its issuer's words.
    pub(crate) decline_code: Option<&'static str>,
    /// The value of `Stripe-Rate-Limited-Reason`.
    pub(crate) limited: Option<&'static str>,
    /// Whether it is the outcome of a request that was executed, which an idempotency key keeps.
    pub(crate) executed: bool,
}

impl StripeError {
    pub(crate) fn refused(status: u16, message: impl Into<String>) -> Self {
        Self {
            status,
            code: None,
            message: message.into(),
            param: None,
            kind: "invalid_request_error",
            decline_code: None,
            limited: None,
            executed: false,
        }
    }

    pub(crate) fn of(self, code: &'static str) -> Self {
        Self {
            code: Some(code),
            ..self
        }
    }

    pub(crate) fn about(self, param: impl Into<String>) -> Self {
        Self {
            param: Some(param.into()),
            ..self
        }
    }

    /// The same, as the outcome of a request that was executed.
    pub(crate) fn executed(self) -> Self {
        Self {
            executed: true,
            ..self
        }
    }

    pub(crate) fn no_key() -> Self {
        Self::refused(
            401,
            "You did not provide an API key. You need to provide your API key in the Authorization \
             header, using Bearer auth (e.g. 'Authorization: Bearer YOUR_SECRET_KEY'). See \
             https://stripe.com/docs/api#authentication for details, or we can help at \
             https://support.stripe.com/.",
        )
    }

    pub(crate) fn invalid_key(key: &str) -> Self {
        Self::refused(401, format!("Invalid API Key provided: {}", mask(key)))
    }

    pub(crate) fn expired_key(key: &str) -> Self {
        Self::refused(401, format!("Expired API Key provided: {}", mask(key))).of("api_key_expired")
    }

    pub(crate) fn missing_permission(key: &str, account: &str, permission: &str) -> Self {
        Self::refused(
            403,
            format!(
                "The provided key '{}' does not have the required permissions for this endpoint \
                 on account '{account}'. Having the '{permission}' permission would allow this \
                 request to continue.",
                mask(key)
            ),
        )
    }

    pub(crate) fn no_account_access(key: &str, account: &str) -> Self {
        Self::refused(
            403,
            format!(
                "The provided key '{}' does not have access to account '{account}' (or that \
                 account does not exist). Application access may have been revoked.",
                mask(key)
            ),
        )
        .of("account_invalid")
    }

    pub(crate) fn unknown_url(method: &str, path: &str) -> Self {
        Self::refused(
            404,
            format!(
                "Unrecognized request URL ({method}: {path}). Please see \
                 https://stripe.com/docs or we can help at https://support.stripe.com/."
            ),
        )
    }

    /// An id in the path that leads to nothing.
    pub(crate) fn no_such(noun: &str, id: &str) -> Self {
        Self::refused(404, format!("No such {noun}: '{id}'"))
            .of("resource_missing")
            .about("id")
    }

    /// An id of another mode's object.
    pub(crate) fn wrong_mode(noun: &str, id: &str, key_is_live: bool) -> Self {
        let (theirs, ours) = if key_is_live {
            ("test", "live")
        } else {
            ("live", "test")
        };
        Self::refused(
            404,
            format!(
                "No such {noun}: '{id}'; a similar object exists in {theirs} mode, but a {ours} \
                 mode key was used to make this request."
            ),
        )
        .of("resource_missing")
        .about("id")
    }

    /// An id in a parameter that leads to nothing.
    pub(crate) fn no_such_in(param: &str, noun: &str, id: &str) -> Self {
        Self::refused(400, format!("No such {noun}: '{id}'"))
            .of("resource_missing")
            .about(param)
    }

    pub(crate) fn unknown_parameters(names: &[&str]) -> Self {
        let noun = if names.len() == 1 {
            "parameter"
        } else {
            "parameters"
        };
        Self::refused(
            400,
            format!("Received unknown {noun}: {}", names.join(", ")),
        )
        .of("parameter_unknown")
        .about(names.first().copied().unwrap_or_default())
    }

    pub(crate) fn invalid(param: &str, message: impl Into<String>) -> Self {
        Self::refused(400, message).about(param)
    }

    pub(crate) fn invalid_integer(param: &str, value: &str) -> Self {
        Self::invalid(param, format!("Invalid integer: {value}")).of("parameter_invalid_integer")
    }

    pub(crate) fn missing(param: &str) -> Self {
        Self::invalid(param, format!("Missing required param: {param}.")).of("parameter_missing")
    }

    /// An idempotency key that came with another request before.
    pub(crate) fn idempotency_mismatch(key: &str) -> Self {
        Self {
            kind: "idempotency_error",
            ..Self::refused(
                400,
                format!(
                    "Keys for idempotent requests can only be used with the same parameters they \
                     were first used with. Try using a key other than '{key}' if you meant to \
                     execute a different request."
                ),
            )
        }
    }

    /// An idempotency key whose first request is still being executed.
    pub(crate) fn idempotency_key_in_use(key: &str) -> Self {
        Self {
            kind: "idempotency_error",
            ..Self::refused(
                409,
                format!(
                    "There is currently another in-progress request using this Idempotent Key \
                     (that probably means you submitted twice, and the other request is still \
                     going through): {key}. Please try again later."
                ),
            )
        }
        .of("idempotency_key_in_use")
    }

    pub(crate) fn expansion_too_deep(path: &str) -> Self {
        Self::refused(
            400,
            format!("You cannot expand more than 4 levels of a property. Property: {path}"),
        )
        .of("property_expansion_max_depth")
    }

    /// `property` is the part of a path that leads to nothing; `instead` the path that would do.
    pub(crate) fn not_expandable(property: &str, instead: Option<&str>) -> Self {
        let hint = instead.map_or_else(String::new, |path| {
            format!(" You may want to try expanding '{path}' instead.")
        });
        Self::refused(
            400,
            format!("This property cannot be expanded ({property}).{hint}"),
        )
    }

    pub(crate) fn rate_limited(livemode: bool, reason: &'static str) -> Self {
        let message = if livemode {
            "Request rate limit exceeded. You can learn more about rate limits here \
             https://stripe.com/docs/rate-limits."
        } else {
            "Testmode request rate limit exceeded, the rate limits in testmode are lower than \
             livemode. You can learn more about rate limits here \
             https://stripe.com/docs/rate-limits."
        };
        Self {
            limited: Some(reason),
            ..Self::refused(429, message).of("rate_limit")
        }
    }

    /// Something that the account does not have.
    pub(crate) fn not_offered(words: &str) -> Self {
        Self::refused(400, words)
    }

    pub(crate) fn lock_timeout() -> Self {
        Self::refused(
            429,
            "This object cannot be accessed right now because another API request or Stripe \
             process is currently accessing it. If you see this error intermittently, retry the \
             request. If you see this error frequently and are making multiple concurrent \
             requests to a single object, make your requests serially or at a lower rate.",
        )
        .of("lock_timeout")
    }

    pub(crate) fn internal(status: u16) -> Self {
        Self {
            kind: "api_error",
            ..Self::refused(
                status,
                "An unknown error occurred. Please try again, or contact us at \
                 https://support.stripe.com/ if the problem persists.",
            )
        }
    }

    pub(crate) fn body(&self) -> String {
        let mut out = String::with_capacity(256);
        json::object(&mut out, |o| {
            o.object("error", |o| {
                if let Some(code) = self.code {
                    o.text("code", code);
                    if DOCUMENTED.contains(&code) {
                        let page = code.replace('_', "-");
                        o.text(
                            "doc_url",
                            &format!("https://stripe.com/docs/error-codes/{page}"),
                        );
                    }
                }
                if let Some(code) = self.decline_code {
                    o.text("decline_code", code);
                }
                o.text("message", &self.message);
                if let Some(param) = &self.param {
                    o.text("param", param);
                }
                o.text("type", self.kind);
            });
        });
        out
    }
}

const DOCUMENTED: [&str; 6] = [
    "api_key_expired",
    "resource_missing",
    "parameter_unknown",
    "parameter_missing",
    "rate_limit",
    "lock_timeout",
];

/// A key as error texts show it: the prefix and the last four characters.
pub(crate) fn mask(key: &str) -> String {
    let characters: Vec<char> = key.chars().collect();
    let prefix = key
        .match_indices('_')
        .nth(1)
        .map_or(0, |(at, _)| key[..=at].chars().count());
    let shown_from = characters.len().saturating_sub(4).max(prefix);
    let masked = characters.iter().enumerate().map(|(at, &character)| {
        if at < prefix || at >= shown_from {
            character
        } else {
            '*'
        }
    });
    masked.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn body(error: &StripeError) -> Value {
        serde_json::from_str(&error.body()).expect("bodies are JSON")
    }

    fn fixture(name: &str) -> Value {
        let path = format!("{}/fixtures/errors/{name}.json", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(path).expect("the fixture is there");
        serde_json::from_str(&text).expect("the fixture is JSON")
    }

    #[test]
    fn bodies_are_stripes() {
        for (name, error) in [
            (
                "400_expand_depth",
                StripeError::expansion_too_deep("data.lines.data.price.product"),
            ),
            (
                "404_resource_missing",
                StripeError::no_such("charge", "ch_missing"),
            ),
            (
                "404_wrong_mode",
                StripeError::wrong_mode("customer", "cus_123", false),
            ),
            ("429_lock_timeout", StripeError::lock_timeout()),
            (
                "429_rate_limit",
                StripeError::rate_limited(false, "global-rate"),
            ),
        ] {
            assert_eq!(body(&error), fixture(name), "{name}");
        }
    }

    #[test]
    fn key_errors_have_stripes_shape_and_mask_the_key() {
        let key = "rk_live_abcdefgh1234";
        let permission = "rak_charge_read";
        for (name, error) in [
            ("401_invalid_key", StripeError::invalid_key(key)),
            ("401_expired_key", StripeError::expired_key(key)),
            (
                "403_permission",
                StripeError::missing_permission(key, "acct_1", permission),
            ),
        ] {
            let (ours, theirs) = (body(&error), fixture(name));
            let keys = |value: &Value| -> Vec<String> {
                value["error"]
                    .as_object()
                    .expect("an object")
                    .keys()
                    .cloned()
                    .collect()
            };
            assert_eq!(keys(&ours), keys(&theirs), "{name}");
            assert!(
                error.message.contains("rk_live_********1234"),
                "{}",
                error.message
            );
        }
        assert_eq!(mask("short"), "*hort");
        assert_eq!(mask(""), "");
    }
}
