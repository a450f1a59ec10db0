//! The customer's Stripe key, and the signing secrets of its webhooks, at rest: AES-256-GCM, a fresh random
//! nonce each time, the id of the encrypting key in the envelope, and the identity of the row as associated
//! data, so that a ciphertext moved to another row, connection or tenant does not open.
//!
//! Fails when a key is unknown, or when the envelope or its binding was altered; there is no partial
//! result. Deliberately absent: `Display`, `Serialize` and `Clone` for anything that holds a secret.

mod keyring;
pub mod queries;
pub mod vault;

pub use keyring::Keyring;

use crate::named;
use crate::tenant::OrganizationId;

/// The code of a connection's problem, and of its jobs' error, while no key opens its credential.
pub const CREDENTIAL_UNREADABLE: &str = "credential_unreadable";

/// Why keys could not be read, or a credential not be sealed or opened.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Error {
    #[error("no key is given")]
    NoKeys,
    /// A part is not `id:base64`.
    #[error("key number {position} is not written `id:base64(32 bytes)`")]
    Malformed {
        /// Its position in the list, from 1. The text itself may be secret.
        position: usize,
    },
    #[error("the key id `{id}` is given twice")]
    DuplicateId { id: String },
    /// A stored credential names a key that is not configured.
    #[error("no key `{id}` is configured")]
    UnknownKey { id: String },
    /// The stored bytes are no envelope.
    #[error("the stored credential is not an envelope of a known version")]
    Envelope,
    /// The bytes, or their binding, were altered.
    #[error("the stored credential was altered, or belongs to another connection")]
    Tampered,
    /// What was sealed is no text.
    #[error("the credential is not UTF-8")]
    NotText,
}

named! {
    /// What a connection's credential is for.
    Purpose {
        /// Reads the account.
        ApiKey = "api_key",
        /// Verifies the signatures of its webhooks.
        WebhookSecret = "webhook_secret",
        /// The one before, which serves for a while after it was replaced.
        FormerWebhookSecret = "former_webhook_secret",
    }
}

impl Purpose {
    /// What a ciphertext is bound to: a secret stays sealed as it is when another one takes its place.
    fn bound_to(self) -> &'static str {
        match self {
            Self::ApiKey => "connection_credentials.sealed",
            Self::WebhookSecret | Self::FormerWebhookSecret => {
                "connection_credentials.sealed of a webhook secret"
            }
        }
    }
}

/// Where a credential belongs, and what for; it opens nowhere else.
#[derive(Debug, Clone, Copy)]
pub struct CredentialBinding<'a> {
    pub organization: &'a OrganizationId,
    pub connection_id: &'a str,
    pub purpose: Purpose,
}

impl<'a> CredentialBinding<'a> {
    /// That of the key that reads a connection's account.
    pub fn api_key(organization: &'a OrganizationId, connection_id: &'a str) -> Self {
        Self {
            organization,
            connection_id,
            purpose: Purpose::ApiKey,
        }
    }

    /// Length-prefixed, so that no two bindings share their bytes.
    fn associated_data(&self) -> Vec<u8> {
        let mut data = Vec::new();
        for part in [
            self.organization.as_str(),
            self.connection_id,
            self.purpose.bound_to(),
        ] {
            data.extend_from_slice(&(part.len() as u64).to_be_bytes());
            data.extend_from_slice(part.as_bytes());
        }
        data
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    pub key_id: String,
    /// Version, key id, nonce, ciphertext and tag.
    pub envelope: Vec<u8>,
}
