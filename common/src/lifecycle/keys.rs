//! Encryption keys against what is stored: a program begins only when it can open every credential, and says
//! for as long as it runs which keys it knows, so that nobody seals a credential that it could not open.
//!
//! Fails with [`Unfit`] when a key is missing or is another one of the same id; the text names the key, how
//! much depends on it and what to do. A program that was killed counts as running for [`FORGOTTEN_AFTER`]; one
//! that cannot reach PostgreSQL for as long counts as stopped. Deliberately absent: any change of a credential,
//! which is the business of `stripe-sync keys`.

use std::time::Duration;

use sqlx::PgConnection;
use uuid::Uuid;

use super::Context;
use crate::cause::Chain;
use crate::clock::new_id;
use crate::credential::queries::{self, KeyInUse, KeyLock, ProgramKeys};
use crate::credential::{Keyring, Place};
use crate::db::{self, Role};

/// A program that has not said for so long that it runs is taken for gone.
pub const FORGOTTEN_AFTER: Duration = Duration::from_secs(30);
const ANNOUNCE_EVERY: Duration = Duration::from_secs(10);
/// How long a failed statement is waited with, and how long saying goodbye may take.
const PAUSE: Duration = Duration::from_secs(1);

/// A key that does not serve for what is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnfitKey {
    /// Its id.
    pub key_id: String,
    /// How many credentials it seals.
    pub credentials: i64,
}

/// Why a program's keys do not fit the database.
#[derive(Debug, thiserror::Error)]
pub enum Unfit {
    /// Credentials are sealed with keys that are not configured.
    #[error(
        "the stored Stripe keys cannot be opened: ENCRYPTION_KEYS lacks {}. Add what is missing; if it is lost for \
         good, `stripe-sync keys discard ID` gives up what it sealed",
        listed(.0)
    )]
    Missing(Vec<UnfitKey>),
    /// Keys have the right id and open nothing.
    #[error(
        "the stored Stripe keys cannot be opened: ENCRYPTION_KEYS has another key under the id of {}. Give the \
         original; if it is lost for good, `stripe-sync keys discard ID` gives up what it sealed",
        listed(.0)
    )]
    Different(Vec<UnfitKey>),
    /// PostgreSQL could not be asked.
    #[error("the stored Stripe keys could not be compared with ENCRYPTION_KEYS")]
    Database(#[from] db::Error),
}

fn listed(keys: &[UnfitKey]) -> String {
    let each = keys.iter().map(|key| {
        let plural = if key.credentials == 1 { "" } else { "s" };
        let UnfitKey {
            key_id,
            credentials,
        } = key;
        format!("`{key_id}`, which seals {credentials} credential{plural}")
    });
    each.collect::<Vec<_>>().join(", and ")
}

/// The keys that seal stored credentials.
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
    queries::announced_keys(conn, FORGOTTEN_AFTER.as_secs() as i32).await
}

/// Makes sure that the keyring opens what is stored, by the ids of all credentials and by opening a few of each
/// key. `pool` may be in the role of the API or the consumer.
///
/// # Errors
/// [`Unfit`] when it does not.
pub async fn check(pool: &db::Pool, keyring: &Keyring) -> Result<(), Unfit> {
    let in_use = in_use(pool).await?;
    let unfit = |key: &KeyInUse| UnfitKey {
        key_id: key.key_id.clone(),
        credentials: key.credentials,
    };
    let known = |key: &KeyInUse| keyring.key_ids().any(|id| id == key.key_id);
    let missing: Vec<UnfitKey> = in_use.iter().filter(|key| !known(key)).map(unfit).collect();
    if !missing.is_empty() {
        return Err(Unfit::Missing(missing));
    }
    let mut different = Vec::new();
    for key in &in_use {
        if !opens_any(pool, keyring, key).await? {
            different.push(unfit(key));
        }
    }
    if different.is_empty() {
        Ok(())
    } else {
        Err(Unfit::Different(different))
    }
}

/// Whether a sample opens. One damaged credential is its connection's problem; when all are, it is the key.
async fn opens_any(pool: &db::Pool, keyring: &Keyring, key: &KeyInUse) -> Result<bool, db::Error> {
    let mut none_left = true;
    for (organization, connection_id) in &key.samples {
        let mut tx = db::tenant_transaction(pool, organization).await?;
        let sealed = queries::load(&mut tx, organization, connection_id).await?;
        tx.commit().await?;
        // Deleted since.
        let Some(sealed) = sealed else { continue };
        none_left = false;
        let place = Place {
            organization,
            connection_id,
        };
        if keyring.open(&sealed, place).is_ok() {
            return Ok(true);
        }
    }
    Ok(none_left)
}

/// A running program's word for which keys it knows.
#[derive(Debug, Clone)]
pub struct Announcement {
    pool: db::Pool,
    instance: Uuid,
    program: &'static str,
    keys: Vec<String>,
}

impl Announcement {
    async fn renew(&self) -> Result<(), db::Error> {
        let mut tx = self.pool.begin().await?;
        queries::lock_keys(&mut tx, KeyLock::Announce).await?;
        queries::announce_keys(&mut tx, self.instance, self.program, &self.keys).await?;
        Ok(tx.commit().await?)
    }

    /// Renews the announcement until the program is to stop, and withdraws it then.
    pub async fn keep(self, context: Context) {
        while context.sleep(ANNOUNCE_EVERY).await {
            if let Err(cause) = self.renew().await {
                tracing::warn!(error = %Chain(&cause), "the encryption keys of this program were not announced");
            }
        }
        self.withdraw().await;
    }

    async fn withdraw(&self) {
        let withdrawn = async {
            let mut conn = self.pool.acquire().await?;
            queries::withdraw_keys(&mut conn, self.instance).await
        };
        // What stays behind is forgotten by itself.
        let _ = tokio::time::timeout(PAUSE, withdrawn).await;
    }
}

/// Says which keys the program knows, and then makes sure that they open what is stored; in this order, so that
/// a rotation at the same moment either sees this program or is seen by it. Waits for PostgreSQL; none when the
/// program is to stop instead.
///
/// # Errors
/// [`Unfit`] when the keys do not open what is stored.
pub async fn begin(
    pool: &db::Pool,
    program: &'static str,
    keyring: &Keyring,
    context: &Context,
) -> Result<Option<Announcement>, Unfit> {
    let announcement = Announcement {
        pool: pool.clone(),
        instance: new_id(context.clock.now()),
        program,
        keys: keyring.announcement(),
    };
    loop {
        let begun = async {
            announcement.renew().await?;
            check(pool, keyring).await
        };
        match context.shutdown.run_until_cancelled(begun).await {
            None => return Ok(None),
            Some(Ok(())) => {
                warn_of_strangers(pool, keyring).await;
                return Ok(Some(announcement));
            }
            Some(Err(Unfit::Database(cause))) if cause.is_transient() => {
                tracing::warn!(error = %Chain(&cause), "waiting for PostgreSQL");
            }
            Some(Err(unfit)) => {
                announcement.withdraw().await;
                return Err(unfit);
            }
        }
        if !context.sleep(PAUSE).await {
            return Ok(None);
        }
    }
}

/// Says so when this program would seal with a key that another one could not open.
async fn warn_of_strangers(pool: &db::Pool, keyring: &Keyring) {
    let running = match running_programs(pool).await {
        Ok(running) => running,
        Err(cause) => {
            tracing::warn!(error = %Chain(&cause), "the keys of other programs are not known");
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
            "this program seals with a key that a running program does not know; give it that key, or put a key first \
             that every program knows"
        );
    }
}
