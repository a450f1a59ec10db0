//! API keys: which account they lead to and what they may read.
//!
//! Deliberately absent: IP allow-lists and organisation keys.

use std::collections::{BTreeSet, HashMap};

use serde::{Deserialize, Serialize};

use crate::error::StripeError;

#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyState {
    #[default]
    Active,
    /// A 401 with `api_key_expired`.
    Expired,
    /// A 401, as for a key that never was.
    Revoked,
}

#[derive(Clone, Debug)]
struct Key {
    account: usize,
    permissions: Option<BTreeSet<String>>,
    state: KeyState,
}

#[derive(Debug, Default)]
pub(crate) struct Keys {
    keys: HashMap<String, Key>,
}

#[derive(Debug)]
pub(crate) struct Access {
    pub(crate) account: usize,
    key: String,
    permissions: Option<BTreeSet<String>>,
}

impl Access {
    /// Refuses a restricted key without `permission`.
    pub(crate) fn require(&self, permission: &str, account: &str) -> Result<(), StripeError> {
        match &self.permissions {
            Some(permissions) if !allowed(permissions, permission) => {
                Err(self.lacks(permission, account))
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn lacks(&self, permission: &str, account: &str) -> StripeError {
        StripeError::missing_permission(&self.key, account, permission)
    }

    pub(crate) fn revoked(&self) -> StripeError {
        StripeError::invalid_key(&self.key)
    }

    pub(crate) fn foreign(&self, account: &str) -> StripeError {
        StripeError::no_account_access(&self.key, account)
    }
}

/// Write includes read.
fn allowed(permissions: &BTreeSet<String>, permission: &str) -> bool {
    let write = permission
        .strip_suffix("_read")
        .map(|stem| format!("{stem}_write"));
    permissions.contains(permission) || write.is_some_and(|write| permissions.contains(&write))
}

impl Keys {
    /// Adds or replaces a key; `permissions` of `None` are all.
    pub(crate) fn set(
        &mut self,
        secret: String,
        account: usize,
        permissions: Option<BTreeSet<String>>,
        state: KeyState,
    ) {
        self.keys.insert(
            secret,
            Key {
                account,
                permissions,
                state,
            },
        );
    }

    pub(crate) fn check(&self, secret: &str) -> Result<Access, StripeError> {
        match self.keys.get(secret) {
            Some(key) if key.state == KeyState::Active => Ok(Access {
                account: key.account,
                key: secret.to_owned(),
                permissions: key.permissions.clone(),
            }),
            Some(key) if key.state == KeyState::Expired => Err(StripeError::expired_key(secret)),
            _ => Err(StripeError::invalid_key(secret)),
        }
    }
}
