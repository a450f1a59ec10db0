//! `keys rotate`: re-encrypts every stored Stripe key with the first of `ENCRYPTION_KEYS`.
//!
//! It refuses while a running program does not encrypt with that key too: one that does not have it could not decrypt
//! what is rewritten, and one that still encrypts with another key would keep creating credentials under that one.
//! Programs list their keys in the table `program_encryption_keys`, and each batch checks it again.
//!
//! It works in small transactions, each of which locks the credentials it rewrites, so that a key that a
//! customer replaces at the same moment is not undone. Killed at any point, it continues where it stopped: what
//! remains to be done is what another key still encrypts. A credential that no key decrypts is left as
//! it is, named at the end, and does not keep any other from being rewritten.

use chrono::{DateTime, Utc};
use common::clock::{Clock, SystemClock};
use common::config::{EncryptionArgs, SettingErrors};
use common::credential::queries::{KeyLock, ProgramKeys};
use common::credential::{self, CredentialBinding, Keyring};
use common::db::{self, Role};
use common::lifecycle::keys::running_programs_in;
use common::tenant::{self, OrganizationId};
use secrecy::ExposeSecret as _;
use sqlx::PgConnection;

use super::super::{Database, DatabaseAccess, Error, StuckCredential, UnpreparedProgram};
use super::{configured, has_id};
use crate::output;

/// Credentials rewritten in one transaction.
const BATCH: usize = 100;

/// Where the keys and the credentials are.
#[derive(Debug, clap::Args)]
pub struct Rotate {
    #[command(flatten)]
    encryption: EncryptionArgs,
    #[command(flatten)]
    access: DatabaseAccess,
}

/// What a rotation did.
#[derive(Debug, Default)]
pub struct Rotated {
    /// Credentials that were re-encrypted.
    pub credentials: usize,
    /// Those that no key decrypts.
    pub stuck: Vec<StuckCredential>,
}

impl Rotate {
    pub(super) async fn run(self) -> Result<(), Error> {
        let mut problems = SettingErrors::default();
        let keyring = configured(self.encryption, &self.access.local, &mut problems)?;
        if matches!(keyring, Some(None)) {
            problems.add(
                "ENCRYPTION_KEYS",
                format!(
                    "is missing, and there is no {}; set it to the new key followed by the old ones, \
                     ID:KEY,ID:KEY",
                    self.access.local.encryption_keys().display()
                ),
            );
        }
        let database = self.access.find(&mut problems).await?;
        let (keyring, database) = problems.finish(keyring.flatten().zip(database))?;
        let rotated = rotate(&database, &keyring, &SystemClock).await?;
        let encrypting = keyring.sealing_key_id();
        output::print(&format!(
            "re-encrypted {} under the key {encrypting}",
            output::count(rotated.credentials as i64, "credential"),
        ))?;
        if !rotated.stuck.is_empty() {
            return Err(Error::CredentialsStuck(rotated.stuck));
        }
        let old: Vec<&str> = keyring.key_ids().filter(|id| *id != encrypting).collect();
        if !old.is_empty() {
            output::print(&format!(
                "nothing is encrypted with {} any more; remove it from the keys of every program (`stripe-sync keys \
                 remove` changes the file of `stripe-sync up`)",
                old.join(", ")
            ))?;
        }
        Ok(())
    }
}

/// Re-encrypts every credential of every organization that another key than the first encrypts.
pub async fn rotate(
    database: &Database,
    keyring: &Keyring,
    clock: &dyn Clock,
) -> Result<Rotated, Error> {
    let mut conn = database.acquire(Role::Scheduler).await?;
    let organizations = tenant::queries::all_organizations(&mut conn).await?;
    drop(conn);
    // The API's role is the one that stores credentials.
    let pool = database.pool(Role::Api)?;
    // Also where there is nothing to rewrite: who reads that all is done takes the old key away.
    let mut tx = pool.begin().await.map_err(db::Error::from)?;
    ensure_prepared(&mut tx, keyring).await?;
    tx.commit().await.map_err(db::Error::from)?;
    let mut rotated = Rotated::default();
    for organization in &organizations {
        let first_stuck = rotated.stuck.len();
        while rotate_batch(
            &pool,
            organization,
            keyring,
            clock.now(),
            first_stuck,
            &mut rotated,
        )
        .await?
        {}
    }
    Ok(rotated)
}

/// Makes sure that every running program encrypts with the first key, until the transaction ends.
async fn ensure_prepared(conn: &mut PgConnection, keyring: &Keyring) -> Result<(), Error> {
    credential::queries::lock_keys(conn, KeyLock::Reseal).await?;
    let programs = running_programs_in(conn).await?;
    let unprepared: Vec<UnpreparedProgram> = programs
        .iter()
        .filter_map(|program| unprepared(program, keyring))
        .collect();
    if unprepared.is_empty() {
        return Ok(());
    }
    Err(Error::ProgramsUnprepared {
        key_id: keyring.sealing_key_id().to_owned(),
        programs: unprepared,
    })
}

/// What has to be done to a program before the keyring's first key may encrypt everything.
fn unprepared(program: &ProgramKeys, keyring: &Keyring) -> Option<UnpreparedProgram> {
    let id = keyring.sealing_key_id();
    let announcement = keyring.announcement();
    let encrypting = announcement.first()?;
    let what = match program.keys.iter().position(|key| key == encrypting) {
        Some(0) => return None,
        Some(_) => format!("knows it but encrypts with another: put `{id}` first and restart it"),
        None if program.keys.iter().any(|key| has_id(key, id)) => {
            format!("has another key under this id: give it the same `{id}` and restart it")
        }
        None => "does not know it: add it at the end of its ENCRYPTION_KEYS and restart it (after `stripe-sync keys \
                 add`, just restart `stripe-sync up`)"
            .to_owned(),
    };
    Some(UnpreparedProgram {
        program: program.program.clone(),
        seen_seconds_ago: program.seen_seconds_ago,
        what,
    })
}

/// Re-encrypts one batch of an organization; false when nothing is left that could be.
async fn rotate_batch(
    pool: &db::Pool,
    organization: &OrganizationId,
    keyring: &Keyring,
    now: DateTime<Utc>,
    first_stuck: usize,
    rotated: &mut Rotated,
) -> Result<bool, Error> {
    // Credentials known to be stuck come back with every batch, so each batch needs room for them.
    let limit = BATCH + rotated.stuck.len() - first_stuck;
    let mut tx = db::tenant_transaction(pool, organization).await?;
    ensure_prepared(&mut tx, keyring).await?;
    let found = credential::queries::not_sealed_with(
        &mut tx,
        organization,
        keyring.sealing_key_id(),
        limit as i64,
    )
    .await?;
    let mut reencrypted = 0;
    for (connection_id, purpose, envelope) in found {
        if rotated.stuck[first_stuck..]
            .iter()
            .any(|stuck| stuck.connection_id == connection_id && stuck.purpose == purpose)
        {
            continue;
        }
        let binding = CredentialBinding {
            organization,
            connection_id: &connection_id,
            purpose,
        };
        let encrypted = keyring
            .open(&envelope, binding)
            .and_then(|secret| keyring.seal(secret.expose_secret(), binding));
        match encrypted {
            Ok(encrypted) => {
                credential::queries::store(&mut tx, binding, &encrypted, now).await?;
                reencrypted += 1;
            }
            Err(cause) => rotated.stuck.push(StuckCredential {
                connection_id,
                purpose,
                cause,
            }),
        }
    }
    tx.commit().await.map_err(db::Error::from)?;
    rotated.credentials += reencrypted;
    Ok(reencrypted > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_program_that_encrypts_with_the_same_key_is_prepared() {
        let [old, new, other] = ["old", "new", "new"].map(Keyring::generate);
        let keyring = |parts: &[&secrecy::SecretString]| {
            let parts: Vec<&str> = parts.iter().map(|part| part.expose_secret()).collect();
            Keyring::parse(&parts.join(",")).unwrap()
        };
        let rotating = keyring(&[&new, &old]);
        let what = |parts: &[&secrecy::SecretString]| {
            let program = ProgramKeys {
                program: "api".to_owned(),
                keys: keyring(parts).announcement(),
                seen_seconds_ago: 1,
            };
            unprepared(&program, &rotating).map(|program| program.what)
        };
        assert_eq!(what(&[&new, &old]), None);
        assert!(what(&[&old, &new]).unwrap().contains("put `new` first"));
        assert!(what(&[&old]).unwrap().contains("does not know it"));
        assert!(what(&[&other, &old]).unwrap().contains("another key"));
    }
}
