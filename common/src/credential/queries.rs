//! Sealed credentials in PostgreSQL, and which encryption keys the running programs know.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{CredentialBinding, Purpose, Sealed};
use crate::db::{self, Error};
use crate::tenant::OrganizationId;

/// Stores or replaces a credential of a connection.
#[tracing::instrument(name = "db.credential.store", level = "debug", skip_all)]
pub async fn store(
    conn: &mut PgConnection,
    binding: CredentialBinding<'_>,
    sealed: &Sealed,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    sqlx::query!(
        "INSERT INTO connection_credentials (organization_id, connection_id, purpose, key_id, sealed, updated_at)
         VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (organization_id, connection_id, purpose)
         DO UPDATE SET key_id = EXCLUDED.key_id, sealed = EXCLUDED.sealed, updated_at = EXCLUDED.updated_at",
        binding.organization.as_str(),
        binding.connection_id,
        binding.purpose.as_str(),
        sealed.key_id,
        sealed.envelope,
        now
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The envelope of a connection's credential.
#[tracing::instrument(name = "db.credential.load", level = "debug", skip_all)]
pub async fn load(
    conn: &mut PgConnection,
    binding: CredentialBinding<'_>,
) -> Result<Option<Vec<u8>>, Error> {
    Ok(sqlx::query_scalar!(
        "SELECT sealed FROM connection_credentials
         WHERE organization_id = $1 AND connection_id = $2 AND purpose = $3",
        binding.organization.as_str(),
        binding.connection_id,
        binding.purpose.as_str()
    )
    .fetch_optional(conn)
    .await?)
}

/// Moves the webhook secret of a connection, where it has one, to the place of its former one, which serves until then.
#[tracing::instrument(
    name = "db.credential.make_webhook_secret_former",
    level = "debug",
    skip_all
)]
pub async fn make_webhook_secret_former(
    conn: &mut PgConnection,
    binding: CredentialBinding<'_>,
    expires_at: DateTime<Utc>,
) -> Result<(), Error> {
    sqlx::query!(
        "INSERT INTO connection_credentials (organization_id, connection_id, purpose, key_id, sealed, updated_at, expires_at)
         SELECT organization_id, connection_id, $4, key_id, sealed, updated_at, $5 FROM connection_credentials
         WHERE organization_id = $1 AND connection_id = $2 AND purpose = $3
         ON CONFLICT (organization_id, connection_id, purpose)
         DO UPDATE SET key_id = EXCLUDED.key_id, sealed = EXCLUDED.sealed, updated_at = EXCLUDED.updated_at,
                       expires_at = EXCLUDED.expires_at",
        binding.organization.as_str(),
        binding.connection_id,
        Purpose::WebhookSecret.as_str(),
        Purpose::FormerWebhookSecret.as_str(),
        expires_at
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Forgets a credential of a connection.
#[tracing::instrument(name = "db.credential.delete", level = "debug", skip_all)]
pub async fn delete(conn: &mut PgConnection, binding: CredentialBinding<'_>) -> Result<(), Error> {
    sqlx::query!(
        "DELETE FROM connection_credentials WHERE organization_id = $1 AND connection_id = $2 AND purpose = $3",
        binding.organization.as_str(),
        binding.connection_id,
        binding.purpose.as_str()
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Forgets all credentials of a connection.
#[tracing::instrument(name = "db.credential.delete_all", level = "debug", skip_all)]
pub async fn delete_all(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    connection_id: &str,
) -> Result<(), Error> {
    sqlx::query!(
        "DELETE FROM connection_credentials WHERE organization_id = $1 AND connection_id = $2",
        organization.as_str(),
        connection_id
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Locks and returns up to `limit` credentials of a tenant that another key than `key_id` sealed:
/// `(connection id, purpose, envelope)`.
#[tracing::instrument(name = "db.credential.not_sealed_with", level = "debug", skip_all)]
pub async fn not_sealed_with(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    key_id: &str,
    limit: i64,
) -> Result<Vec<(String, Purpose, Vec<u8>)>, Error> {
    sqlx::query!(
        "SELECT connection_id, purpose, sealed FROM connection_credentials
         WHERE organization_id = $1 AND key_id <> $2
         ORDER BY connection_id, purpose LIMIT $3 FOR UPDATE",
        organization.as_str(),
        key_id,
        limit
    )
    .fetch_all(conn)
    .await?
    .into_iter()
    .map(|row| Ok((row.connection_id, purpose(&row.purpose)?, row.sealed)))
    .collect()
}

fn purpose(stored: &str) -> Result<Purpose, Error> {
    db::parse_stored("connection_credentials.purpose", stored)
}

/// A key under which credentials are stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyInUse {
    pub key_id: String,
    pub credentials: i64,
    /// A few of them, to try the key on.
    pub samples: Vec<Sample>,
}

/// Where a credential is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    organization: OrganizationId,
    connection_id: String,
    purpose: Purpose,
}

impl Sample {
    pub fn binding(&self) -> CredentialBinding<'_> {
        CredentialBinding {
            organization: &self.organization,
            connection_id: &self.connection_id,
            purpose: self.purpose,
        }
    }
}

/// The keys that seal credentials of any tenant. Only the scheduler's role sees them.
#[tracing::instrument(name = "db.credential.keys_in_use", level = "debug", skip_all)]
pub async fn keys_in_use(conn: &mut PgConnection) -> Result<Vec<KeyInUse>, Error> {
    let rows = sqlx::query!(
        r#"SELECT key_id, organization_id, connection_id, purpose, credentials AS "credentials!"
           FROM (
               SELECT key_id, organization_id, connection_id, purpose, COUNT(*) OVER (PARTITION BY key_id) AS credentials,
                      ROW_NUMBER() OVER (PARTITION BY key_id ORDER BY organization_id, connection_id, purpose) AS n
               FROM connection_credentials
           ) AS numbered
           WHERE n <= 3
           ORDER BY key_id, n"#
    )
    .fetch_all(conn)
    .await?;
    let mut keys: Vec<KeyInUse> = Vec::new();
    for row in rows {
        let sample = Sample {
            organization: db::organization_id(row.organization_id)?,
            connection_id: row.connection_id,
            purpose: purpose(&row.purpose)?,
        };
        match keys.last_mut().filter(|key| key.key_id == row.key_id) {
            Some(key) => key.samples.push(sample),
            None => keys.push(KeyInUse {
                key_id: row.key_id,
                credentials: row.credentials,
                samples: vec![sample],
            }),
        }
    }
    Ok(keys)
}

/// The credentials of a tenant that a key seals: `(connection id, purpose)`.
#[tracing::instrument(name = "db.credential.sealed_by", level = "debug", skip_all)]
pub async fn sealed_by(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    key_id: &str,
) -> Result<Vec<(String, Purpose)>, Error> {
    sqlx::query!(
        "SELECT connection_id, purpose FROM connection_credentials WHERE organization_id = $1 AND key_id = $2
         ORDER BY connection_id, purpose FOR UPDATE",
        organization.as_str(),
        key_id
    )
    .fetch_all(conn)
    .await?
    .into_iter()
    .map(|row| Ok((row.connection_id, purpose(&row.purpose)?)))
    .collect()
}

/// How a change of keys is kept apart from a program that is just starting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyLock {
    /// A program that says what it knows; any number at once.
    Announce,
    /// A command that seals credentials with another key; alone.
    Reseal,
}

/// Holds the lock until the transaction ends: whoever reseals next sees what is announced, and whoever announces
/// next sees what was resealed.
#[tracing::instrument(name = "db.credential.lock_keys", level = "debug", skip_all)]
pub async fn lock_keys(conn: &mut PgConnection, lock: KeyLock) -> Result<(), Error> {
    match lock {
        KeyLock::Announce => {
            sqlx::query!("SELECT pg_advisory_xact_lock_shared(hashtext('stripe_sync keys'))")
                .fetch_one(conn)
                .await?;
        }
        KeyLock::Reseal => {
            sqlx::query!("SELECT pg_advisory_xact_lock(hashtext('stripe_sync keys'))")
                .fetch_one(conn)
                .await?;
        }
    }
    Ok(())
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProgramKeys {
    /// `api` or `consumer`.
    pub program: String,
    /// Its keys as `id/fingerprint`, the one that seals first.
    pub keys: Vec<String>,
    /// When it last said so, in seconds ago.
    pub seen_seconds_ago: i64,
}

/// Says that a program runs and which keys it knows, and forgets programs that stopped saying so long ago.
#[tracing::instrument(name = "db.credential.announce_keys", level = "debug", skip_all)]
pub async fn announce_keys(
    conn: &mut PgConnection,
    instance: Uuid,
    program: &str,
    keys: &[String],
) -> Result<(), Error> {
    sqlx::query!(
        "WITH forgotten AS (DELETE FROM program_encryption_keys WHERE seen_at < now() - INTERVAL '1 day')
         INSERT INTO program_encryption_keys (instance_id, program, keys, seen_at) VALUES ($1, $2, $3, now())
         ON CONFLICT (instance_id) DO UPDATE SET seen_at = now()",
        instance,
        program,
        keys
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Whether a program said within so many seconds that it runs.
#[tracing::instrument(name = "db.credential.is_announced", level = "debug", skip_all)]
pub async fn is_announced(
    conn: &mut PgConnection,
    instance: Uuid,
    within_seconds: i32,
) -> Result<bool, Error> {
    Ok(sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM program_encryption_keys
                          WHERE instance_id = $1 AND seen_at > clock_timestamp() - make_interval(secs => $2)) AS "current!""#,
        instance,
        f64::from(within_seconds)
    )
    .fetch_one(conn)
    .await?)
}

/// Says that a program has stopped.
#[tracing::instrument(name = "db.credential.withdraw_keys", level = "debug", skip_all)]
pub async fn withdraw_keys(conn: &mut PgConnection, instance: Uuid) -> Result<(), Error> {
    sqlx::query!(
        "DELETE FROM program_encryption_keys WHERE instance_id = $1",
        instance
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The programs that said within so many seconds that they run.
#[tracing::instrument(name = "db.credential.announced_keys", level = "debug", skip_all)]
pub async fn announced_keys(
    conn: &mut PgConnection,
    within_seconds: i32,
) -> Result<Vec<ProgramKeys>, Error> {
    Ok(sqlx::query!(
        r#"SELECT program, keys, EXTRACT(EPOCH FROM now() - seen_at)::BIGINT AS "seen_seconds_ago!"
           FROM program_encryption_keys WHERE seen_at > now() - make_interval(secs => $1)
           ORDER BY program, seen_at"#,
        f64::from(within_seconds)
    )
    .fetch_all(conn)
    .await?
    .into_iter()
    .map(|row| ProgramKeys {
        program: row.program,
        keys: row.keys,
        seen_seconds_ago: row.seen_seconds_ago,
    })
    .collect())
}
