//! What a vendor answers to a request of the platform, independent of the vendor's API.
//!
//! The nouns of this crate call a vendor through traits of their own, which [`crate::stripe`] implements. Deliberately
//! absent: retries, which depend on what was asked.

use std::error::Error as StdError;

/// Why a request has no answer that can be used.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// The vendor refused it. Nothing was changed.
    #[error("{message}")]
    Refused {
        /// The vendor's code; Stripe's are at `docs.stripe.com/error-codes`.
        code: Option<String>,
        /// The vendor's words.
        message: String,
    },
    /// The platform has no access to the account, or no longer. Nothing was changed.
    #[error("the platform has no access to this account: {message}")]
    NoAccess { message: String },
    /// The same request is being answered at this moment, or too many are. Nothing was changed by this one.
    #[error("the vendor asks to try again later: {message}")]
    Busy { message: String },
    /// The vendor refuses the platform's own key. Nothing was changed.
    #[error("the vendor refuses the platform's key: {message}")]
    KeyRefused { message: String },
    /// The vendor failed. It may have been done or not, and is not being done any more; the same request under the same key has
    /// the same answer.
    #[error("the vendor failed: {message}")]
    Failed { message: String },
    /// No answer, or one that cannot be read: it may have been done or not, or be done later.
    #[error("it is not known whether the vendor did what it was asked")]
    Unknown(#[source] Box<dyn StdError + Send + Sync>),
}
