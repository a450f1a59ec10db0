//! `keys`: the encryption keys under which customers' Stripe keys are stored.
//!
//! `list` shows which are in use, `add` and `remove` change the file that `stripe-sync up` reads, `rotate`
//! re-encrypts every credential with the first key, and `discard` deletes what a lost key encrypted. The order in
//! which keys are changed while programs run is in `docs/operations.md`; each command refuses what would leave a
//! running program with a credential that it cannot decrypt, and says what has to be done first.
//!
//! Fails like every command, when settings are wrong or the database does not answer. Absent on purpose: printing a
//! key.

mod discard;
mod file;
mod rotate;

use std::sync::Arc;

use common::config::{EncryptionArgs, EncryptionConfig, SettingErrors};
use common::credential::Keyring;
use common::db::Role;
use common::lifecycle::keys;

use super::{DatabaseAccess, Error};
use crate::local_files::LocalFiles;
use crate::output::{self, Column};

pub use rotate::{Rotated, rotate};

/// List, add, remove and discard encryption keys, and re-encrypt stored Stripe keys and signing secrets
#[derive(Debug, clap::Subcommand)]
pub enum Keys {
    /// Show which keys are configured, and how many stored Stripe keys and signing secrets each encrypts
    List(List),
    /// Add a new key in front of the others in the key file that `stripe-sync up` reads
    Add(file::Add),
    /// Re-encrypt every stored Stripe key and signing secret with the first of `ENCRYPTION_KEYS`; safe to interrupt and run
    /// again
    Rotate(rotate::Rotate),
    /// Remove a key that no longer encrypts anything from the key file that `stripe-sync up` reads
    Remove(file::Remove),
    /// Permanently delete the Stripe keys and signing secrets that a lost encryption key encrypted; connections stop, and
    /// webhooks are refused, until they are provided again
    Discard(discard::Discard),
}

/// Where the keys and the credentials are.
#[derive(Debug, clap::Args)]
pub struct List {
    #[command(flatten)]
    encryption: EncryptionArgs,
    #[command(flatten)]
    access: DatabaseAccess,
}

impl Keys {
    /// Runs the command.
    pub async fn run(self) -> Result<(), Error> {
        match self {
            Self::List(command) => command.run().await,
            Self::Add(command) => command.run(),
            Self::Rotate(command) => command.run().await,
            Self::Remove(command) => command.run().await,
            Self::Discard(command) => command.run().await,
        }
    }
}

impl List {
    async fn run(self) -> Result<(), Error> {
        let mut problems = SettingErrors::default();
        let keyring = configured(self.encryption, &self.access.local, &mut problems)?;
        let database = self.access.find(&mut problems).await?;
        let (keyring, database) = problems.finish(keyring.zip(database))?;
        drop(database.connect().await?);
        let in_use = keys::in_use(&database.pool(Role::Api)?).await?;
        let configured: Vec<&str> = keyring.iter().flat_map(|keys| keys.key_ids()).collect();
        let encrypted = |id: &str| {
            let found = in_use.iter().find(|key| key.key_id == id);
            found.map_or(0, |key| key.credentials)
        };
        let row = |id: &str, state: &str| {
            let count = output::thousands(encrypted(id));
            vec![id.to_owned(), count, state.to_owned()]
        };
        let known = configured.iter().enumerate().map(|(place, id)| {
            let state = if place == 0 { "encrypts" } else { "decrypts" };
            row(id, state)
        });
        let missing = in_use
            .iter()
            .filter(|key| !configured.contains(&key.key_id.as_str()))
            .map(|key| row(&key.key_id, "missing"));
        let columns = [
            ("key", Column::Whole),
            ("credentials", Column::Number),
            ("state", Column::Whole),
        ];
        output::print(&output::table(&columns, known.chain(missing)))?;
        Ok(())
    }
}

/// The keys that the settings give, else those that `up` made; the outer `None` means a problem.
#[expect(
    clippy::option_option,
    reason = "wrong keys are not the same as no keys"
)]
pub(super) fn configured(
    encryption: EncryptionArgs,
    local: &LocalFiles,
    problems: &mut SettingErrors,
) -> Result<Option<Option<Arc<Keyring>>>, Error> {
    Ok(match encryption.check_optional(problems) {
        None => None,
        Some(Some(EncryptionConfig { keyring })) => Some(Some(keyring)),
        Some(None) => Some(local.keyring()?.map(Arc::new)),
    })
}

/// Whether a program's announced key has this id.
fn has_id(announced: &str, id: &str) -> bool {
    announced
        .rsplit_once('/')
        .is_some_and(|(announced, _)| announced == id)
}
