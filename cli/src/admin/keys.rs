//! `keys rotate`: puts every stored Stripe key under the first of `ENCRYPTION_KEYS`.
//!
//! Run it after a new key was put first and the programs know it; afterwards the old key may go. It
//! works in small transactions, each of which locks the credentials it rewrites, so that a key that a
//! customer replaces at the same moment is not undone. Killed anywhere, it goes on where it was: what
//! remains to be done is what is still under another key. A credential that no key opens is left as
//! it is, named at the end, and keeps no other from being rewritten.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use common::clock::{Clock, SystemClock};
use common::config::{EncryptionArgs, EncryptionConfig, Problems};
use common::credential::{self, Keyring, Place};
use common::db::{self, Role};
use common::tenant::{self, OrganizationId};
use secrecy::ExposeSecret as _;

use super::{Database, DatabaseAccess, Error, StuckCredential};
use crate::output;

/// Credentials rewritten in one transaction.
const BATCH: usize = 100;

/// Encryption keys
#[derive(Debug, clap::Subcommand)]
pub enum Keys {
    /// Re-encrypt every stored Stripe key under the first of `ENCRYPTION_KEYS`; may be interrupted
    Rotate(Rotate),
}

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
    /// Those that no key opens.
    pub stuck: Vec<StuckCredential>,
}

impl Keys {
    /// Runs the command.
    pub async fn run(self) -> Result<(), Error> {
        let Self::Rotate(command) = self;
        let mut problems = Problems::default();
        let keyring = command.keyring(&mut problems)?;
        let database = command.access.find(&mut problems).await?;
        let (keyring, database) = problems.finish(keyring.zip(database))?;
        let rotated = rotate(&database, &keyring, &SystemClock).await?;
        output::print(&format!(
            "re-encrypted {} under the key {}",
            output::count(rotated.credentials as i64, "credential"),
            keyring.sealing_key_id()
        ))?;
        if rotated.stuck.is_empty() {
            Ok(())
        } else {
            Err(Error::CredentialsStuck(rotated.stuck))
        }
    }
}

impl Rotate {
    /// The keys that the settings give, else those that `up` made.
    fn keyring(&self, problems: &mut Problems) -> Result<Option<Arc<Keyring>>, Error> {
        match self.encryption.clone().check_optional(problems) {
            None => return Ok(None),
            Some(Some(EncryptionConfig { keyring })) => return Ok(Some(keyring)),
            Some(None) => {}
        }
        let kept = self.access.local.keyring()?;
        if kept.is_none() {
            problems.add(
                "ENCRYPTION_KEYS",
                format!(
                    "is missing, and there is no {}; give the new key and then the old ones, \
                     ID:KEY,ID:KEY",
                    self.access.local.encryption_keys().display()
                ),
            );
        }
        Ok(kept.map(Arc::new))
    }
}

/// Re-encrypts every credential of every organization that is under another key than the first.
pub async fn rotate(
    database: &Database,
    keyring: &Keyring,
    clock: &dyn Clock,
) -> Result<Rotated, Error> {
    // Connecting as oneself tells best what is wrong with the database.
    drop(database.connect().await?);
    let scheduler = database.pool(Role::Scheduler)?;
    let mut conn = scheduler.acquire().await.map_err(db::Error::from)?;
    let organizations = tenant::queries::all_organizations(&mut conn).await?;
    drop(conn);
    // The API's role is the one that stores credentials.
    let pool = database.pool(Role::Api)?;
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

/// Re-encrypts one batch of an organization; false when nothing is left that could be.
async fn rotate_batch(
    pool: &db::Pool,
    organization: &OrganizationId,
    keyring: &Keyring,
    now: DateTime<Utc>,
    first_stuck: usize,
    rotated: &mut Rotated,
) -> Result<bool, Error> {
    // Those known to be stuck come back with every batch; there must be room beside them.
    let limit = BATCH + rotated.stuck.len() - first_stuck;
    let mut tx = db::tenant_transaction(pool, organization).await?;
    let found = credential::queries::sealed_otherwise(
        &mut tx,
        organization,
        keyring.sealing_key_id(),
        limit as i64,
    )
    .await?;
    let mut resealed = 0;
    for (connection_id, envelope) in found {
        if rotated.stuck[first_stuck..]
            .iter()
            .any(|stuck| stuck.connection_id == connection_id)
        {
            continue;
        }
        let place = Place {
            organization,
            connection_id: &connection_id,
        };
        let sealed = keyring
            .open(&envelope, place)
            .and_then(|secret| keyring.seal(secret.expose_secret(), place));
        match sealed {
            Ok(sealed) => {
                credential::queries::store(&mut tx, organization, &connection_id, &sealed, now)
                    .await?;
                resealed += 1;
            }
            Err(cause) => rotated.stuck.push(StuckCredential {
                connection_id,
                cause,
            }),
        }
    }
    tx.commit().await.map_err(db::Error::from)?;
    rotated.credentials += resealed;
    Ok(resealed > 0)
}
