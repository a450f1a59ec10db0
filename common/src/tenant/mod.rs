//! Who owns a row: an organization, and the tokens by which people speak for it.
//!
//! A token is 256 random bits and is kept as its SHA-256, so a stolen table opens nothing. Roles are
//! two because two are needed: `admin` changes things, `analyst` reads.

pub mod queries;

use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// The id of an organization: `^[a-z0-9][a-z0-9_-]{0,62}$`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct OrganizationId(String);

/// Why a text is no organization id.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "an organization id has 1 to 63 characters of a-z, 0-9, '_' and '-' and begins with a letter or digit"
)]
pub struct InvalidOrganizationId;

impl OrganizationId {
    pub fn new(id: impl Into<String>) -> Result<Self, InvalidOrganizationId> {
        let id = id.into();
        let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        let bytes = id.as_bytes();
        let valid = (1..=63).contains(&bytes.len())
            && allowed(bytes[0])
            && bytes.iter().all(|&b| allowed(b) || b == b'_' || b == b'-');
        if valid {
            Ok(Self(id))
        } else {
            Err(InvalidOrganizationId)
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for OrganizationId {
    type Error = InvalidOrganizationId;
    fn try_from(id: String) -> Result<Self, Self::Error> {
        Self::new(id)
    }
}

impl From<OrganizationId> for String {
    fn from(id: OrganizationId) -> Self {
        id.0
    }
}

impl std::str::FromStr for OrganizationId {
    type Err = InvalidOrganizationId;
    fn from_str(id: &str) -> Result<Self, Self::Err> {
        Self::new(id)
    }
}

impl fmt::Display for OrganizationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TokenRole {
    Admin,
    /// Every read, and the preview of a rule.
    Analyst,
}

impl TokenRole {
    /// The role's name as stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Analyst => "analyst",
        }
    }
}

impl std::str::FromStr for TokenRole {
    type Err = String;
    fn from_str(role: &str) -> Result<Self, Self::Err> {
        match role {
            "admin" => Ok(Self::Admin),
            "analyst" => Ok(Self::Analyst),
            other => Err(format!("`{other}` is no role; choose admin or analyst")),
        }
    }
}

/// A live token, without its secret.
#[derive(Debug, Clone)]
pub struct Token {
    pub organization_id: OrganizationId,
    /// Names the token for revoking.
    pub token_id: Uuid,
    pub role: TokenRole,
    /// From then on it is refused.
    pub expires_at: Option<DateTime<Utc>>,
}

/// What every token begins with, so that scanners for leaked secrets can know one.
pub const TOKEN_PREFIX: &str = "sst_";

/// Writes 32 random bytes as a token.
pub fn token_text(random: &[u8; 32]) -> String {
    format!("{TOKEN_PREFIX}{}", hex::encode(random))
}

/// The hash under which a token is kept.
pub fn token_hash(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn organization_ids_follow_the_pattern() {
        for (id, valid) in [
            ("acme", true),
            ("a", true),
            ("0_x-y", true),
            ("", false),
            ("-a", false),
            ("_a", false),
            ("Acme", false),
            ("a b", false),
            ("é", false),
        ] {
            assert_eq!(OrganizationId::new(id).is_ok(), valid, "{id:?}");
        }
        assert!(OrganizationId::new("a".repeat(63)).is_ok());
        assert!(OrganizationId::new("a".repeat(64)).is_err());
    }
}
