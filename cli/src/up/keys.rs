//! The encryption keys of `up`: those of the settings, else those that a former `up` left in `.local`, else new ones.
//!
//! New keys are created only where nothing is encrypted yet and no other program with keys runs on the database.
//! Otherwise the stored Stripe keys would be lost without anybody noticing.
//!
//! # Failure modes
//!
//! - Keys are missing, or others have their ids: the error names them and says what to do.
//! - The database does not answer: the caller waits and tries again.

use std::path::PathBuf;
use std::sync::Arc;

use common::config::EncryptionConfig;
use common::db::{self, Role};
use common::lifecycle::keys::{self, KeyMismatch};
use secrecy::SecretString;

use crate::local_files::{self, LocalFiles};
use crate::output;

/// Connections for checking the keys.
const CONNECTIONS: u32 = 2;

/// Why the encryption keys cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file with the keys could not be used.
    #[error(transparent)]
    LocalFiles(#[from] local_files::Error),
    /// The database holds credentials, and there are no keys.
    #[error(
        "the database holds {credentials} encrypted with {ids}, and there is no {}: restore that file or set \
         ENCRYPTION_KEYS. If the key is lost for good, `stripe-sync keys discard ID` deletes what it encrypted",
        path.display()
    )]
    Gone {
        /// How many, in words.
        credentials: String,
        /// The keys' ids.
        ids: String,
        /// Where the keys would be.
        path: PathBuf,
    },
    /// Others run on the same database, with keys that this program does not have.
    #[error(
        "another program runs on this database with the encryption keys {ids}, and there is no {}: \
         give this one the same ENCRYPTION_KEYS",
        path.display()
    )]
    Elsewhere {
        /// The keys' ids.
        ids: String,
        /// Where the keys would be.
        path: PathBuf,
    },
    /// The keys of the file cannot decrypt what is stored.
    #[error("the encryption keys in {} do not match the database", path.display())]
    FileUnfit {
        /// The file.
        path: PathBuf,
        /// What is missing.
        #[source]
        cause: KeyMismatch,
    },
    /// The given keys cannot decrypt what is stored, or that could not be found out.
    #[error(transparent)]
    KeyMismatch(#[from] KeyMismatch),
}

impl From<db::Error> for Error {
    fn from(cause: db::Error) -> Self {
        Self::KeyMismatch(cause.into())
    }
}

/// Keys that can decrypt what is stored.
pub(super) async fn find(
    given: Option<&EncryptionConfig>,
    local: &LocalFiles,
    url: &SecretString,
) -> Result<EncryptionConfig, Error> {
    let pool = db::connect(url, Role::Consumer, CONNECTIONS)?;
    if let Some(given) = given {
        keys::check(&pool, &given.keyring).await?;
        return Ok(given.clone());
    }
    let path = local.encryption_keys();
    let keyring = if let Some(keyring) = local.keyring()? {
        keyring
    } else {
        ensure_no_keys(&pool, path.clone()).await?;
        local.keyring_or_new()?
    };
    match keys::check(&pool, &keyring).await {
        Ok(()) => Ok(EncryptionConfig {
            keyring: Arc::new(keyring),
        }),
        Err(cause @ KeyMismatch::Database(_)) => Err(cause.into()),
        Err(cause) => Err(Error::FileUnfit { path, cause }),
    }
}

/// Makes sure that nothing is encrypted with a key that is not here, nor will be by another program.
async fn ensure_no_keys(pool: &db::Pool, path: PathBuf) -> Result<(), Error> {
    let in_use = keys::in_use(pool).await?;
    if !in_use.is_empty() {
        let credentials = in_use.iter().map(|key| key.credentials).sum();
        let ids: Vec<&str> = in_use.iter().map(|key| key.key_id.as_str()).collect();
        return Err(Error::Gone {
            credentials: output::count(credentials, "credential"),
            ids: ids.join(", "),
            path,
        });
    }
    let others = keys::running_programs(pool).await?;
    let mut ids: Vec<String> = others
        .iter()
        .flat_map(|program| &program.keys)
        .filter_map(|key| Some(key.rsplit_once('/')?.0.to_owned()))
        .collect();
    ids.sort();
    ids.dedup();
    if ids.is_empty() {
        return Ok(());
    }
    let ids = ids.join(", ");
    Err(Error::Elsewhere { ids, path })
}
