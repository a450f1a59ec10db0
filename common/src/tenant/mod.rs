//! Who owns a row: an organization, and the tokens by which people speak for it.
//!
//! A token is 256 random bits and is kept as its SHA-256, so a stolen table opens nothing. A tenant's roles are
//! two because two are needed: `admin` changes things, `analyst` reads. An `operator` runs the engine: its tokens belong to
//! the reserved organization, so to no tenant.

pub mod queries;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

pub use crate::id::{InvalidOrganizationId, OrganizationId};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TokenRole {
    Admin,
    /// Every read, and the preview of a rule.
    Analyst,
    /// What concerns every organization, and nothing of a single one.
    Operator,
}

impl TokenRole {
    /// The role's name as stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Analyst => "analyst",
            Self::Operator => "operator",
        }
    }
}

impl std::str::FromStr for TokenRole {
    type Err = String;
    fn from_str(role: &str) -> Result<Self, Self::Err> {
        match role {
            "admin" => Ok(Self::Admin),
            "analyst" => Ok(Self::Analyst),
            "operator" => Ok(Self::Operator),
            other => Err(format!(
                "`{other}` is no role; choose admin, analyst or operator"
            )),
        }
    }
}

/// A live token, without its secret.
#[derive(Debug, Clone)]
pub struct Token {
    /// The reserved organization for an operator's.
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
