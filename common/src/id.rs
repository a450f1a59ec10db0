//! Ids that every layer speaks of, PostgreSQL and the broker included: on the ground floor, so that none of them has to
//! know the noun behind an id.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
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
    /// The id of the reserved organization, to which belongs what concerns the platform and no tenant. It does not follow
    /// the pattern, so nobody can name it in place of a tenant's.
    pub const PLATFORM: &str = "_platform";

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

    /// The reserved organization.
    pub fn platform() -> Self {
        Self(Self::PLATFORM.to_owned())
    }

    /// Whether this is the reserved organization.
    pub fn is_platform(&self) -> bool {
        self.0 == Self::PLATFORM
    }

    /// An id as it is stored: a tenant's, or the reserved one.
    pub(crate) fn stored(id: String) -> Result<Self, InvalidOrganizationId> {
        if id == Self::PLATFORM {
            Ok(Self::platform())
        } else {
            Self::new(id)
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

/// The id of a job.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema,
)]
#[serde(transparent)]
pub struct JobId(pub Uuid);

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
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

    #[test]
    fn no_tenant_can_have_the_reserved_id() {
        let reserved = OrganizationId::platform();
        assert!(OrganizationId::new(reserved.as_str()).is_err());
        assert!(reserved.as_str().parse::<OrganizationId>().is_err());
        assert!(serde_json::from_str::<OrganizationId>("\"_platform\"").is_err());
        let stored = OrganizationId::stored(reserved.as_str().to_owned()).unwrap();
        assert!(stored == reserved && stored.is_platform());
        assert!(OrganizationId::stored("_other".to_owned()).is_err());
    }
}
