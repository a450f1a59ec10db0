//! What a connector knows of its vendor's webhooks: how they are signed, and what an event says about itself.

use std::fmt::Debug;

use chrono::{DateTime, Utc};
use secrecy::SecretString;

/// A vendor's webhooks.
pub trait WebhookFormat: Debug + Sync {
    /// The request header that holds the signature, in lower case.
    fn signature_header(&self) -> &'static str;

    /// Checks that one of the secrets signed the body. `body` must be the bytes exactly as received.
    ///
    /// # Errors
    /// [`SignatureError`] when none did, or did so too long before `now`.
    fn verify(
        &self,
        signature: &str,
        body: &[u8],
        secrets: &[SecretString],
        now: DateTime<Utc>,
    ) -> Result<(), SignatureError>;

    /// Reads what an event says about itself, of whatever type and version.
    ///
    /// # Errors
    /// [`UnreadableEvent`] when the body is no JSON or no event.
    fn read(&self, body: &[u8]) -> Result<Envelope, UnreadableEvent>;

    /// The types of events that change what is stored, for the vendor to send.
    fn event_types(&self) -> &'static [&'static str];

    /// The version of the vendor's API in which events are best sent.
    fn api_version(&self) -> &'static str;

    /// How to make the vendor send events to this address, a step each.
    fn instructions(&self, url: &str, livemode: bool) -> Vec<String>;

    /// Whether a text can be a signing secret; what is wrong with it otherwise.
    ///
    /// # Errors
    /// A phrase that goes on after the name of the field.
    fn check_secret(&self, secret: &str) -> Result<(), &'static str>;
}

/// What an event says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// The vendor's id of it.
    pub external_event_id: String,
    pub event_type: String,
    /// The account that it names, where it names one.
    pub account: Option<String>,
    pub livemode: Option<bool>,
    pub api_version: Option<String>,
    /// When it happened, by the vendor's clock.
    pub created_at: Option<DateTime<Utc>>,
    /// The object that it is about.
    pub object_id: Option<String>,
    /// The customer whose the object is, or that it is.
    pub customer_id: Option<String>,
    /// Whether something stored may have to change because of it.
    pub has_changes: bool,
}

/// Why a signature is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    #[error("the request has no signature")]
    Missing,
    #[error("the signature cannot be read")]
    Malformed,
    #[error("no signing secret of this endpoint made the signature")]
    Mismatch,
    #[error("the signature is older than five minutes")]
    Expired,
}

/// A body that is no event.
#[derive(Debug, thiserror::Error)]
pub enum UnreadableEvent {
    #[error(transparent)]
    NotJson(#[from] serde_json::Error),
    #[error("it has no `id`")]
    NoId,
}
