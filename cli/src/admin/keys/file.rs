//! `keys add`, `keys remove`: the key file that `stripe-sync up` creates and reads when it starts.
//!
//! Whoever sets `ENCRYPTION_KEYS` changes that instead; the commands then find no file and say so. `add` is safe
//! at any time: a running `up` does not know the new key, and nothing is encrypted with it before a restart.
//! `remove` needs the database, to make sure that nothing is still encrypted with the key.

use common::db::Role;
use common::lifecycle::keys::{in_use, running_programs};

use super::super::{DatabaseAccess, Error};
use super::has_id;
use crate::local_files::LocalFiles;
use crate::output;

/// Where the file is.
#[derive(Debug, clap::Args)]
pub struct Add {
    #[command(flatten)]
    local: LocalFiles,
}

/// Which key goes, and where file and database are.
#[derive(Debug, clap::Args)]
pub struct Remove {
    /// The key's id, as `keys list` shows it
    #[arg(value_name = "ID")]
    key_id: String,
    #[command(flatten)]
    access: DatabaseAccess,
}

impl Add {
    pub(super) fn run(self) -> Result<(), Error> {
        let id = self.local.add_key()?;
        output::print(&format!(
            "added the key {id} in front of the others in {}; keep a copy of the file, restart `stripe-sync up`, then \
             run `stripe-sync keys rotate`",
            self.local.encryption_keys().display()
        ))?;
        Ok(())
    }
}

impl Remove {
    pub(super) async fn run(self) -> Result<(), Error> {
        let Self { key_id, access } = self;
        let local = access.local.clone();
        let database = access.resolve().await?;
        drop(database.connect().await?);
        let pool = database.pool(Role::Api)?;
        let in_use = in_use(&pool).await?;
        if let Some(key) = in_use.into_iter().find(|key| key.key_id == key_id) {
            let credentials = key.credentials;
            return Err(Error::KeyInUse {
                key_id,
                credentials,
            });
        }
        let programs = running_programs(&pool).await?;
        let encrypts = |keys: &[String]| keys.first().is_some_and(|key| has_id(key, &key_id));
        if programs.iter().any(|program| encrypts(&program.keys)) {
            return Err(Error::KeyEncrypts { key_id });
        }
        local.remove_key(&key_id)?;
        output::print(&format!(
            "removed the key {key_id} from {}",
            local.encryption_keys().display()
        ))?;
        Ok(())
    }
}
