//! Appending an entry for a caller's request, once for each key.
//!
//! The key belongs to the organization, whatever call it comes with: the same key with the same request finds the entry that
//! it made before, and with another request is refused. Of simultaneous requests one appends, and the others wait for its
//! commit and find what it appended. Fails when a text is no key, and with PostgreSQL.

use chrono::{DateTime, Utc};
use common::clock::new_id;
use common::db::PgConnection;
use common::money::Money;
use common::tenant::OrganizationId;
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::carry_out::LEASE;
use super::{Entry, EntryDetail, Error, queries};

/// Characters of a key at most, as at Stripe.
const MAX_KEY_CHARS: usize = 255;

/// The key by which a caller names a request, so that it is done once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestKey(String);

/// That a text is no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an Idempotency-Key has 1 to 255 visible ASCII characters")]
pub struct InvalidRequestKey;

impl RequestKey {
    /// # Errors
    /// [`InvalidRequestKey`].
    pub fn new(text: &str) -> Result<Self, InvalidRequestKey> {
        let fits = (1..=MAX_KEY_CHARS).contains(&text.len());
        if !fits || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(InvalidRequestKey);
        }
        Ok(Self(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A request under its key.
#[derive(Debug)]
pub(super) struct Request<'a> {
    pub(super) key: &'a RequestKey,
    hash: [u8; 32],
}

impl<'a> Request<'a> {
    /// `asked` is the call and everything that the caller asked of it.
    pub(super) fn new(key: &'a RequestKey, asked: &impl Serialize) -> Self {
        // Structs of texts and numbers always serialize.
        let text = serde_json::to_vec(asked).unwrap_or_default();
        Self {
            key,
            hash: Sha256::digest(text).into(),
        }
    }

    /// The entry that this request made before.
    ///
    /// # Errors
    /// [`Error::KeyConflict`] when another request has the key.
    pub(super) async fn existing(
        &self,
        conn: &mut PgConnection,
        organization: &OrganizationId,
    ) -> Result<Option<Entry>, Error> {
        let found = queries::find_request(conn, organization, self.key.as_str()).await?;
        let Some((entry_id, hash)) = found else {
            return Ok(None);
        };
        if hash != self.hash {
            return Err(Error::KeyConflict);
        }
        Ok(queries::find(conn, organization, entry_id).await?)
    }

    /// Appends the entry, held by the caller; or returns the one that the same request appended meanwhile, which somebody
    /// else holds.
    pub(super) async fn append(
        &self,
        conn: &mut PgConnection,
        organization: &OrganizationId,
        draft: Draft,
        now: DateTime<Utc>,
    ) -> Result<Appended, Error> {
        let new = queries::NewEntry {
            entry_id: new_id(now),
            account_id: &draft.account_id,
            money: &draft.money,
            detail: &draft.detail,
            request_key: self.key.as_str(),
            request_hash: self.hash,
            next_attempt_at: now + LEASE,
            created_at: now,
        };
        if queries::append(&mut *conn, organization, &new).await? {
            let entry = queries::find(conn, organization, new.entry_id).await?;
            return entry.map(Appended::Held).ok_or(Error::NotFound);
        }
        let existing = self.existing(conn, organization).await?;
        existing.map(Appended::Existing).ok_or(Error::NotFound)
    }
}

/// What is known of an entry before it is appended.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) account_id: String,
    pub(super) money: Money,
    pub(super) detail: EntryDetail,
}

/// The entry of a request.
#[derive(Debug)]
pub(super) enum Appended {
    /// New, and the caller's to carry out.
    Held(Entry),
    /// Made by the same request before.
    Existing(Entry),
}

impl Appended {
    pub(super) fn entry_id(&self) -> Uuid {
        let (Self::Held(entry) | Self::Existing(entry)) = self;
        entry.entry_id
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_short_visible_ascii() {
        for key in ["a", "Order 7".replace(' ', "-").as_str(), &"x".repeat(255)] {
            assert_eq!(RequestKey::new(key).unwrap().as_str(), key);
        }
        for text in ["", " ", "a b", "é", "a\n", &"x".repeat(256)] {
            assert_eq!(RequestKey::new(text), Err(InvalidRequestKey), "{text:?}");
        }
    }
}
