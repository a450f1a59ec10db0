//! How the internal handler knows that a request is from here: the shared secret in a header, and a signature by the
//! Standard Webhooks scheme (github.com/standard-webhooks/standard-webhooks, `spec/standard-webhooks.md`).
//!
//! `v1,` and the base64 of HMAC-SHA256 over `id.timestamp.body`; the key is the secret, base64-decoded after `whsec_`. Fails
//! only when a secret cannot be used, at the start of a program. Deliberately absent: verifying, which is the handler's.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac as _};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::Sha256;

/// What the secret begins with if it is a key in base64.
const KEY_PREFIX: &str = "whsec_";

/// The secret that the handler shares, and the key that is made of it.
#[derive(Clone)]
pub struct ForwardSecret {
    text: SecretString,
    mac: Hmac<Sha256>,
}

impl fmt::Debug for ForwardSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ForwardSecret").finish_non_exhaustive()
    }
}

/// A secret that cannot be used; the text says nothing of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidForwardSecret {
    #[error("must not be empty after whsec_")]
    Empty,
    #[error("must be base64 after whsec_")]
    NotBase64,
    /// It would be no value of a header.
    #[error("must have no other characters than printable ones of ASCII, and no spaces")]
    NotPrintable,
}

impl ForwardSecret {
    /// The secret of a text; one that does not begin with `whsec_` is itself the key.
    pub fn new(text: SecretString) -> Result<Self, InvalidForwardSecret> {
        let secret = text.expose_secret();
        if !secret.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(InvalidForwardSecret::NotPrintable);
        }
        let key = match secret.strip_prefix(KEY_PREFIX) {
            Some(encoded) => STANDARD
                .decode(encoded)
                .map_err(|_| InvalidForwardSecret::NotBase64)?,
            None => secret.as_bytes().to_vec(),
        };
        if key.is_empty() {
            return Err(InvalidForwardSecret::Empty);
        }
        // HMAC takes a key of any length.
        let mac = Hmac::new_from_slice(&key).map_err(|_| InvalidForwardSecret::Empty)?;
        Ok(Self { text, mac })
    }

    /// What `X-Webhook-Secret` is.
    pub fn text(&self) -> &SecretString {
        &self.text
    }

    /// What `webhook-signature` is; `timestamp` in seconds since 1970.
    pub fn sign(&self, id: &str, timestamp: i64, body: &[u8]) -> String {
        let mac = self
            .mac
            .clone()
            .chain_update(id)
            .chain_update(".")
            .chain_update(timestamp.to_string())
            .chain_update(".")
            .chain_update(body);
        format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> Result<ForwardSecret, InvalidForwardSecret> {
        ForwardSecret::new(text.to_owned().into())
    }

    /// The example of the Standard Webhooks libraries.
    #[test]
    fn the_signature_is_that_of_standard_webhooks() {
        let secret = secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let signature = secret.sign(
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330,
            br#"{"test": 2432232314}"#,
        );
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    /// Made with Python: `hmac.new(b"plain-secret", b"evt_1.1700000000.{}", "sha256")`.
    #[test]
    fn a_secret_without_the_prefix_is_itself_the_key() {
        let signature = secret("plain-secret")
            .unwrap()
            .sign("evt_1", 1_700_000_000, b"{}");
        assert_eq!(signature, "v1,LYEJym5A3oim4duGWNu5eH3/pI9rgmnB2neg7EEvmBI=");
    }

    #[test]
    fn a_secret_that_cannot_be_used_is_refused_and_none_is_shown() {
        for (text, expected) in [
            ("whsec_", InvalidForwardSecret::Empty),
            ("", InvalidForwardSecret::Empty),
            ("whsec_not base64", InvalidForwardSecret::NotPrintable),
            ("whsec_hunter2!", InvalidForwardSecret::NotBase64),
            ("geheim\u{e9}", InvalidForwardSecret::NotPrintable),
        ] {
            assert_eq!(secret(text).unwrap_err(), expected, "{text}");
            assert!(!expected.to_string().contains("hunter2"));
        }
        let shown = format!("{:?}", secret("hunter2").unwrap());
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}
