//! Who owns a row: an organization, and the tokens by which people speak for it.
//!
//! A token is 256 random bits and is kept as its SHA-256, so a stolen table opens nothing. A tenant's roles are
//! two because two are needed: `admin` changes things, `analyst` reads. An `operator` runs the engine: its tokens belong to
//! the reserved organization, so to no tenant.
//!
//! Fails with PostgreSQL. Deliberately absent: who may make or revoke a token, which is decided by whoever calls.

pub mod queries;

use chrono::{DateTime, TimeDelta, Utc};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::clock::{new_id, random_bytes};
use crate::db::{self, PgConnection, Pool};

pub use crate::id::{InvalidOrganizationId, OrganizationId};

/// How old the noted last use of a token may be, so that not every request writes.
const USE_NOTED_AFTER: TimeDelta = TimeDelta::minutes(1);

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
    pub const fn as_str(self) -> &'static str {
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
    /// As noted, which is up to a minute late.
    pub last_used_at: Option<DateTime<Utc>>,
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

/// The live token of this text, and notes its use.
pub async fn authenticate(
    pool: &Pool,
    token: &str,
    now: DateTime<Utc>,
) -> Result<Option<Token>, db::Error> {
    let Some(token) = queries::authenticate(pool, token_hash(token), now).await? else {
        return Ok(None);
    };
    if token
        .last_used_at
        .is_none_or(|noted| now - noted >= USE_NOTED_AFTER)
    {
        let organization = &token.organization_id;
        let mut tx = db::tenant_transaction(pool, organization).await?;
        queries::note_use(&mut tx, organization, token.token_id, now).await?;
        db::commit(tx).await?;
    }
    Ok(Some(token))
}

/// Makes a token in a transaction of its organization, and returns it; it cannot be had again.
pub async fn create_token(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    name: &str,
    role: TokenRole,
    expires_at: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> Result<SecretString, db::Error> {
    let token = token_text(&random_bytes());
    let stored = queries::NewToken {
        token_id: new_id(now),
        hash: token_hash(&token),
        name,
        role,
        expires_at,
    };
    queries::create_token(conn, organization, &stored, now).await?;
    Ok(token.into())
}
