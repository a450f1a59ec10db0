//! The keyring of a running program, and the right to seal with it: a program that did not announce its encryption keys
//! in time may have been left out of a rotation, and seals nothing before its keys are checked again.
//!
//! Fails with [`Error::NotCurrent`] then, which passes within seconds. Opening needs no such right: a key that opens
//! nothing any more says so. Deliberately absent: announcing, which is the business of the process shell.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use chrono::{DateTime, Utc};
use secrecy::{ExposeSecret as _, SecretString};
use uuid::Uuid;

use super::queries::{self, KeyLock};
use super::{CredentialBinding, Keyring};
use crate::db::{self, PgConnection};

/// A program that has not announced its encryption keys for so long is taken for gone.
pub const ANNOUNCEMENT_EXPIRES_AFTER: Duration = Duration::from_secs(30);

/// A program while it runs, as it announces itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Instance(pub(crate) Uuid);

/// Why a key could not be stored.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The program was taken for gone.
    #[error(
        "this program did not announce its encryption keys in time, so they are checked again first"
    )]
    NotCurrent,
    #[error("the key could not be encrypted")]
    Seal(#[from] super::Error),
    #[error("the credential could not be stored")]
    Database(#[from] db::Error),
}

/// Whether a program announced its encryption keys in time.
pub(crate) async fn is_current(
    conn: &mut PgConnection,
    instance: Instance,
) -> Result<bool, db::Error> {
    let seconds = ANNOUNCEMENT_EXPIRES_AFTER.as_secs() as i32;
    queries::is_announced(conn, instance.0, seconds).await
}

/// A program's keyring; cloning is cheap.
#[derive(Debug, Clone)]
pub struct Vault {
    keyring: Arc<Keyring>,
    /// Who announces the keyring; not set where nobody does, as in tests.
    instance: Arc<OnceLock<Instance>>,
}

impl Vault {
    pub fn new(keyring: Arc<Keyring>) -> Self {
        Self {
            keyring,
            instance: Arc::default(),
        }
    }

    pub fn keyring(&self) -> &Arc<Keyring> {
        &self.keyring
    }

    /// From now on, sealing asks whether this announcement is in time. Set once; later calls do nothing.
    pub fn announced_by(&self, instance: Instance) {
        let _ = self.instance.set(instance);
    }

    /// Makes sure, until the transaction ends, that no keys are changed without this program. Comes before any row is
    /// locked: whoever changes encryption keys locks these first as well.
    pub(crate) async fn lock(&self, conn: &mut PgConnection) -> Result<LockedVault<'_>, Error> {
        if let Some(instance) = self.instance.get() {
            queries::lock_keys(conn, KeyLock::Announce).await?;
            if !is_current(conn, *instance).await? {
                return Err(Error::NotCurrent);
            }
        }
        Ok(LockedVault(&self.keyring))
    }
}

/// A keyring that may seal until the transaction ends.
pub(crate) struct LockedVault<'a>(&'a Keyring);

impl LockedVault<'_> {
    /// Whether this is the secret that was sealed.
    pub(crate) fn opens_to(
        &self,
        sealed: &[u8],
        binding: CredentialBinding<'_>,
        secret: &SecretString,
    ) -> bool {
        let opened = self.0.open(sealed, binding);
        opened.is_ok_and(|opened| opened.expose_secret() == secret.expose_secret())
    }

    /// Seals a key and stores it in place of the one that was there.
    pub(crate) async fn store(
        &self,
        conn: &mut PgConnection,
        binding: CredentialBinding<'_>,
        api_key: &SecretString,
        now: DateTime<Utc>,
    ) -> Result<(), Error> {
        let sealed = self.0.seal(api_key.expose_secret(), binding)?;
        queries::store(conn, binding, &sealed, now).await?;
        Ok(())
    }
}
