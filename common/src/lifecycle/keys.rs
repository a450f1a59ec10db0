//! Encryption keys against what is stored: a program begins only when it can decrypt every credential, and says
//! until its last work is done which keys it knows, so that nobody encrypts a credential that it could not decrypt.
//!
//! Fails with [`KeyMismatch`] when a key is missing or is another one of the same id; the text names the key, how
//! much depends on it and what to do. A program that was killed counts as running for [`ANNOUNCEMENT_EXPIRES_AFTER`]; one
//! that stood still or could not reach PostgreSQL for as long counts as stopped, and when it goes on, it encrypts
//! nothing before its keys are checked again, and ends if they no longer fit. Deliberately absent: any change of a
//! credential, which is the business of `stripe-sync keys`.

use std::sync::Arc;
use std::time::Duration;

use sqlx::PgConnection;

use super::Context;
use crate::clock::new_id;
use crate::credential::Keyring;
use crate::credential::queries::{self, KeyInUse, KeyLock, ProgramKeys};
use crate::credential::vault::{ANNOUNCEMENT_EXPIRES_AFTER, Instance, is_current};
use crate::db::{self, Role};
use crate::error_chain::ErrorChain;
use crate::outage::Outage;

const ANNOUNCE_INTERVAL: Duration = Duration::from_secs(10);
/// How long the next try waits after a statement that failed.
const PAUSE: Duration = Duration::from_secs(1);
/// How long a program that stops waits for its announcement to be withdrawn.
const WITHDRAW_TIMEOUT: Duration = Duration::from_secs(5);

/// A key that does not serve for what is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MismatchedKey {
    pub key_id: String,
    /// How many credentials it encrypts.
    pub credentials: i64,
}

/// Why a program's keys do not fit the database.
#[derive(Debug, thiserror::Error)]
pub enum KeyMismatch {
    /// Credentials are encrypted with keys that are not configured.
    #[error(
        "the stored Stripe keys cannot be decrypted: ENCRYPTION_KEYS lacks {}. Add what is missing; if it is lost for \
         good, `stripe-sync keys discard ID` deletes what was encrypted with it",
        listed(.0)
    )]
    Missing(Vec<MismatchedKey>),
    /// Keys have the right id and decrypt nothing.
    #[error(
        "the stored Stripe keys cannot be decrypted: ENCRYPTION_KEYS has another key under the id of {}. Give the \
         original; if it is lost for good, `stripe-sync keys discard ID` deletes what was encrypted with it",
        listed(.0)
    )]
    Different(Vec<MismatchedKey>),
    #[error("the stored Stripe keys could not be compared with ENCRYPTION_KEYS")]
    Database(#[from] db::Error),
}

fn listed(keys: &[MismatchedKey]) -> String {
    let each = keys.iter().map(|key| {
        let plural = if key.credentials == 1 { "" } else { "s" };
        let MismatchedKey {
            key_id,
            credentials,
        } = key;
        format!("`{key_id}`, which encrypts {credentials} credential{plural}")
    });
    each.collect::<Vec<_>>().join(", and ")
}

/// The keys that encrypt stored credentials.
pub async fn in_use(pool: &db::Pool) -> Result<Vec<KeyInUse>, db::Error> {
    let mut tx = db::role_transaction(pool, Role::Scheduler).await?;
    let keys = queries::keys_in_use(&mut tx).await?;
    tx.commit().await?;
    Ok(keys)
}

/// The programs that run now and what they know of keys. `pool` may be in the role of the API or the consumer.
pub async fn running_programs(pool: &db::Pool) -> Result<Vec<ProgramKeys>, db::Error> {
    let mut conn = pool.acquire().await?;
    running_programs_in(&mut conn).await
}

/// The same within a transaction.
pub async fn running_programs_in(conn: &mut PgConnection) -> Result<Vec<ProgramKeys>, db::Error> {
    queries::announced_keys(conn, ANNOUNCEMENT_EXPIRES_AFTER.as_secs() as i32).await
}

/// Makes sure that the keyring decrypts what is stored, by the ids of all credentials and by decrypting a few of each
/// key. `pool` may be in the role of the API or the consumer.
///
/// # Errors
/// [`KeyMismatch`] when it does not.
pub async fn check(pool: &db::Pool, keyring: &Keyring) -> Result<(), KeyMismatch> {
    let in_use = in_use(pool).await?;
    let unfit = |key: &KeyInUse| MismatchedKey {
        key_id: key.key_id.clone(),
        credentials: key.credentials,
    };
    let known = |key: &KeyInUse| keyring.key_ids().any(|id| id == key.key_id);
    let missing: Vec<MismatchedKey> = in_use.iter().filter(|key| !known(key)).map(unfit).collect();
    if !missing.is_empty() {
        return Err(KeyMismatch::Missing(missing));
    }
    let mut different = Vec::new();
    for key in &in_use {
        if !decrypts_any(pool, keyring, key).await? {
            different.push(unfit(key));
        }
    }
    if different.is_empty() {
        Ok(())
    } else {
        Err(KeyMismatch::Different(different))
    }
}

/// Whether a sample can be decrypted. One damaged credential is its connection's problem; when all are, it is the key.
async fn decrypts_any(
    pool: &db::Pool,
    keyring: &Keyring,
    key: &KeyInUse,
) -> Result<bool, db::Error> {
    let mut none_left = true;
    for sample in &key.samples {
        let binding = sample.binding();
        let mut tx = db::tenant_transaction(pool, binding.organization).await?;
        let sealed = queries::load(&mut tx, binding).await?;
        tx.commit().await?;
        // Deleted since.
        let Some(sealed) = sealed else { continue };
        none_left = false;
        if keyring.open(&sealed, binding).is_ok() {
            return Ok(true);
        }
    }
    Ok(none_left)
}

/// A running program's word for which keys it knows.
#[derive(Debug, Clone)]
pub struct Announcement {
    pool: db::Pool,
    instance: Instance,
    program: &'static str,
    keyring: Arc<Keyring>,
}

impl Announcement {
    /// Who announces.
    pub fn instance(&self) -> Instance {
        self.instance
    }

    /// Announces, the first time and again.
    async fn renew(&self) -> Result<(), KeyMismatch> {
        self.commit(self.prepare().await?).await
    }

    /// Everything but the commit, so that whoever drops this has announced nothing. A program that had not announced
    /// itself in time, by PostgreSQL's clock, counted as gone, and the keys may have been changed without it: its
    /// keyring is checked as at its start, and only then does the announcement count. The lock keeps a rotation from
    /// beginning in between.
    async fn prepare(&self) -> Result<Prepared, KeyMismatch> {
        let mut tx = self.pool.begin().await.map_err(db::Error::from)?;
        queries::lock_keys(&mut tx, KeyLock::Announce).await?;
        let in_time = is_current(&mut tx, self.instance).await?;
        let announced = self.keyring.announcement();
        queries::announce_keys(&mut tx, self.instance.0, self.program, &announced).await?;
        if !in_time {
            check(&self.pool, &self.keyring).await?;
        }
        Ok(Prepared { tx, in_time })
    }

    async fn commit(&self, prepared: Prepared) -> Result<(), KeyMismatch> {
        prepared.tx.commit().await.map_err(db::Error::from)?;
        if !prepared.in_time {
            warn_of_programs_without_key(&self.pool, &self.keyring).await;
        }
        Ok(())
    }

    /// Renews the announcement while the program works, and withdraws it once the last of its work is done.
    ///
    /// # Errors
    /// [`KeyMismatch`] when the announcement was late and the keyring no longer fits; the work is dropped then, since it
    /// could only fail, or encrypt with a key that is no longer in use.
    pub async fn keep_during<T>(self, work: impl Future<Output = T>) -> Result<T, KeyMismatch> {
        let ended = tokio::select! {
            done = work => Ok(done),
            unfit = self.renew_until_unfit() => Err(unfit),
        };
        self.withdraw().await;
        ended
    }

    async fn renew_until_unfit(&self) -> KeyMismatch {
        let outage = Outage::new("announcing the encryption keys");
        loop {
            tokio::time::sleep(ANNOUNCE_INTERVAL).await;
            match self.renew().await {
                Ok(()) => outage.worked(),
                Err(KeyMismatch::Database(cause)) => outage.failed(&cause),
                Err(unfit) => return unfit,
            }
        }
    }

    async fn withdraw(&self) {
        let withdrawn = async {
            let mut conn = self.pool.acquire().await?;
            queries::withdraw_keys(&mut conn, self.instance.0).await
        };
        // What stays behind is forgotten by itself.
        let _ = tokio::time::timeout(WITHDRAW_TIMEOUT, withdrawn).await;
    }
}

/// An announcement that counts once it is committed.
struct Prepared {
    tx: db::Transaction<'static>,
    in_time: bool,
}

/// Says which keys the program knows, and makes sure that they decrypt what is stored. Waits for PostgreSQL; none when the
/// program is to stop instead.
///
/// # Errors
/// [`KeyMismatch`] when the keys do not decrypt what is stored.
pub async fn begin(
    pool: &db::Pool,
    program: &'static str,
    keyring: &Arc<Keyring>,
    context: &Context,
) -> Result<Option<Announcement>, KeyMismatch> {
    let announcement = Announcement {
        pool: pool.clone(),
        instance: Instance(new_id(context.clock.now())),
        program,
        keyring: Arc::clone(keyring),
    };
    let outage = Outage::new("checking the encryption keys");
    loop {
        let Some(prepared) = context
            .shutdown
            .run_until_cancelled(announcement.prepare())
            .await
        else {
            return Ok(None);
        };
        // A commit that is dropped may still happen, and nobody would withdraw it.
        let announced = match prepared {
            Ok(prepared) => announcement.commit(prepared).await,
            Err(cause) => Err(cause),
        };
        match announced {
            Ok(()) => {
                outage.worked();
                return Ok(Some(announcement));
            }
            Err(KeyMismatch::Database(cause)) if cause.is_transient() => outage.failed(&cause),
            Err(unfit) => return Err(unfit),
        }
        if !context.sleep(PAUSE).await {
            return Ok(None);
        }
    }
}

/// Says so when this program would encrypt with a key that another one does not know.
async fn warn_of_programs_without_key(pool: &db::Pool, keyring: &Keyring) {
    let running = match running_programs(pool).await {
        Ok(running) => running,
        Err(cause) => {
            tracing::warn!(error = %ErrorChain(&cause), "the keys of other programs are not known");
            return;
        }
    };
    let announcement = keyring.announcement();
    let strangers = running.iter().filter(|other| {
        !other
            .keys
            .iter()
            .any(|key| announcement.first() == Some(key))
    });
    for stranger in strangers {
        tracing::warn!(
            program = stranger.program,
            key = keyring.sealing_key_id(),
            "this program encrypts with a key that a running program does not know; give it that key, or put a key \
             first that every program knows"
        );
    }
}
