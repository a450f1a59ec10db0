//! `keys discard`: deletes the credentials that a lost key encrypted.
//!
//! The programs refuse to start while a key is missing, so this is the way out if it is lost for good: the
//! credentials, which nobody can decrypt any more, are deleted, and each of their connections says that it needs
//! its Stripe key again. Rows and figures stay. It refuses a key that is not lost: one that the settings can decrypt
//! something with, or that a running program has. Without a running `up` it starts the private PostgreSQL for
//! as long as it takes, since `up` does not start without the key.

use common::clock::{Clock as _, SystemClock};
use common::config::{EncryptionArgs, SettingErrors};
use common::connection;
use common::credential::queries::{KeyInUse, KeyLock};
use common::credential::{self, CredentialBinding, Keyring, Purpose};
use common::db::{self, Role};
use common::lifecycle::keys;
use common::tenant;
use common::tenant::OrganizationId;

use super::super::{Database, DatabaseAccess, Error};
use super::{configured, has_id};
use crate::local_postgres::LocalPostgres;
use crate::output;

/// Which key is lost, and where the others and the credentials are.
#[derive(Debug, clap::Args)]
pub struct Discard {
    /// The lost key's id, as `keys list` shows it
    #[arg(value_name = "ID")]
    key_id: String,
    #[command(flatten)]
    encryption: EncryptionArgs,
    #[command(flatten)]
    access: DatabaseAccess,
}

impl Discard {
    pub(super) async fn run(self) -> Result<(), Error> {
        let mut problems = SettingErrors::default();
        let keyring = configured(self.encryption, &self.access.local, &mut problems)?;
        let (keyring, access) = problems.finish(keyring.map(|keyring| (keyring, self.access)))?;
        let private = start_private(&access).await?;
        let database = match &private {
            Some(server) => Database::at(server.url()),
            None => access.resolve().await?,
        };
        let discarded = discard(&database, keyring.as_deref(), &self.key_id).await;
        if let Some(server) = private {
            server.stop().await?;
        }
        let count = discarded?;
        if count == 0 {
            output::print(&format!(
                "nothing is encrypted with the key {}",
                self.key_id
            ))?;
            return Ok(());
        }
        output::print(&format!(
            "discarded {} encrypted with the key {}; their connections need their Stripe keys again \
             (`stripe-sync connections replace-key`)",
            output::count(count as i64, "credential"),
            self.key_id
        ))?;
        Ok(())
    }
}

/// The private PostgreSQL, where no other database is named and no `up` runs it.
async fn start_private(access: &DatabaseAccess) -> Result<Option<LocalPostgres>, Error> {
    let directory = access.local.postgres();
    let named = access
        .clone()
        .find(&mut SettingErrors::default())
        .await?
        .is_some();
    if named || access.names_a_database() || !directory.exists() {
        return Ok(None);
    }
    Ok(Some(LocalPostgres::start(&directory).await?))
}

/// Deletes what a key encrypted, in all organizations; how many credentials.
async fn discard(
    database: &Database,
    keyring: Option<&Keyring>,
    key_id: &str,
) -> Result<usize, Error> {
    drop(database.connect().await?);
    let pool = database.pool(Role::Api)?;
    let in_use = keys::in_use(&pool).await?;
    let Some(key) = in_use.into_iter().find(|key| key.key_id == key_id) else {
        return Ok(0);
    };
    ensure_lost(&pool, keyring, &key).await?;
    let mut tx = db::role_transaction(&pool, Role::Scheduler).await?;
    let organizations = tenant::queries::all_organizations(&mut tx).await?;
    tx.commit().await.map_err(db::Error::from)?;
    let mut discarded = 0;
    for organization in &organizations {
        discarded += discard_of(&pool, organization, key_id).await?;
    }
    Ok(discarded)
}

async fn ensure_lost(
    pool: &db::Pool,
    keyring: Option<&Keyring>,
    key: &KeyInUse,
) -> Result<(), Error> {
    let not_lost = || Error::KeyNotLost {
        key_id: key.key_id.clone(),
    };
    let programs = keys::running_programs(pool).await?;
    let mut known = programs.iter().flat_map(|program| &program.keys);
    if known.any(|announced| has_id(announced, &key.key_id)) {
        return Err(not_lost());
    }
    let Some(keyring) = keyring else {
        return Ok(());
    };
    for sample in &key.samples {
        let binding = sample.binding();
        let mut tx = db::tenant_transaction(pool, binding.organization).await?;
        let sealed = credential::queries::load(&mut tx, binding).await?;
        tx.commit().await.map_err(db::Error::from)?;
        if sealed.is_some_and(|sealed| keyring.open(&sealed, binding).is_ok()) {
            return Err(not_lost());
        }
    }
    Ok(())
}

async fn discard_of(
    pool: &db::Pool,
    organization: &OrganizationId,
    key_id: &str,
) -> Result<usize, Error> {
    let now = SystemClock.now();
    let mut tx = db::tenant_transaction(pool, organization).await?;
    credential::queries::lock_keys(&mut tx, KeyLock::Reseal).await?;
    let sealed = credential::queries::sealed_by(&mut tx, organization, key_id).await?;
    for (connection_id, purpose) in &sealed {
        let binding = CredentialBinding {
            organization,
            connection_id,
            purpose: *purpose,
        };
        credential::queries::delete(&mut tx, binding).await?;
        if *purpose != Purpose::ApiKey {
            continue;
        }
        let detail = format!(
            "The encryption key `{key_id}` was lost, and with it the stored Stripe key. Replace the connection's key."
        );
        connection::queries::set_problem(
            &mut tx,
            organization,
            connection_id,
            credential::CREDENTIAL_UNREADABLE,
            &detail,
            now,
        )
        .await?;
    }
    tx.commit().await.map_err(db::Error::from)?;
    Ok(sealed.len())
}
