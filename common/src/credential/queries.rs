//! Sealed credentials in PostgreSQL, and which encryption keys the running programs know.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::Sealed;
use crate::db::{self, Error};
use crate::tenant::OrganizationId;

/// Stores or replaces the credential of a connection.
#[tracing::instrument(name = "db.credential.store", level = "debug", skip_all)]
pub async fn store(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    connection_id: &str,
    sealed: &Sealed,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    sqlx::query!(
        "INSERT INTO connection_credentials (organization_id, connection_id, key_id, sealed, updated_at)
         VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (organization_id, connection_id)
         DO UPDATE SET key_id = EXCLUDED.key_id, sealed = EXCLUDED.sealed, updated_at = EXCLUDED.updated_at",
        organization.as_str(),
        connection_id,
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
    organization: &OrganizationId,
    connection_id: &str,
) -> Result<Option<Vec<u8>>, Error> {
    Ok(sqlx::query_scalar!(
        "SELECT sealed FROM connection_credentials WHERE organization_id = $1 AND connection_id = $2",
        organization.as_str(),
        connection_id
    )
    .fetch_optional(conn)
    .await?)
}

/// Forgets the credential of a connection.
#[tracing::instrument(name = "db.credential.delete", level = "debug", skip_all)]
pub async fn delete(
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
/// `(connection id, envelope)`.
#[tracing::instrument(name = "db.credential.not_sealed_with", level = "debug", skip_all)]
pub async fn not_sealed_with(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    key_id: &str,
    limit: i64,
) -> Result<Vec<(String, Vec<u8>)>, Error> {
    Ok(sqlx::query!(
        "SELECT connection_id, sealed FROM connection_credentials
         WHERE organization_id = $1 AND key_id <> $2
         ORDER BY connection_id LIMIT $3 FOR UPDATE",
        organization.as_str(),
        key_id,
        limit
    )
    .fetch_all(conn)
    .await?
    .into_iter()
    .map(|row| (row.connection_id, row.sealed))
    .collect())
}

/// A key under which credentials are stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyInUse {
    pub key_id: String,
    pub credentials: i64,
    /// A few of them, to try the key on: organization and connection.
    pub samples: Vec<(OrganizationId, String)>,
}

/// The keys that seal credentials of any tenant. Only the scheduler's role sees them.
#[tracing::instrument(name = "db.credential.keys_in_use", level = "debug", skip_all)]
pub async fn keys_in_use(conn: &mut PgConnection) -> Result<Vec<KeyInUse>, Error> {
    let rows = sqlx::query!(
        r#"SELECT key_id, organization_id, connection_id, credentials AS "credentials!"
           FROM (
               SELECT key_id, organization_id, connection_id, COUNT(*) OVER (PARTITION BY key_id) AS credentials,
                      ROW_NUMBER() OVER (PARTITION BY key_id ORDER BY organization_id, connection_id) AS n
               FROM connection_credentials
           ) AS numbered
           WHERE n <= 3
           ORDER BY key_id, n"#
    )
    .fetch_all(conn)
    .await?;
    let mut keys: Vec<KeyInUse> = Vec::new();
    for row in rows {
        let sample = (db::organization_id(row.organization_id)?, row.connection_id);
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

/// The connections of a tenant whose credential a key seals.
#[tracing::instrument(name = "db.credential.sealed_by", level = "debug", skip_all)]
pub async fn sealed_by(
    conn: &mut PgConnection,
    organization: &OrganizationId,
    key_id: &str,
) -> Result<Vec<String>, Error> {
    Ok(sqlx::query_scalar!(
        "SELECT connection_id FROM connection_credentials WHERE organization_id = $1 AND key_id = $2
         ORDER BY connection_id FOR UPDATE",
        organization.as_str(),
        key_id
    )
    .fetch_all(conn)
    .await?)
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
