//! The schema: applying the migrations with what surrounds them, and telling whether a program may begin.
//!
//! [`migrate`] makes the roles, applies the migrations and then repairs access, which neither a migration
//! nor a restored backup does: the migrations grant nothing, and a backup has neither the roles nor all grants and
//! policies. [`state`] is the same looked at from a program's side.
//!
//! Fails when PostgreSQL does not answer or the user may not do something, which the error says with what to
//! run; on a database that a newer version migrated, which an older one can only refuse; and when somebody holds a
//! lock on a table for minutes. [`migrate`] never waits for a lock for long, since everybody else would queue behind it.

use std::borrow::Cow;
use std::convert::Infallible;
use std::time::Duration;

use secrecy::SecretString;
use sqlx::migrate::{Migrate as _, MigrateError};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};
use tokio::time::Instant;
use tracing::warn;

use super::{Error, Pool, Role, access, connect_once, queries, roles};

pub static MIGRATOR: sqlx::migrate::Migrator = sqlx::migrate!("../migrations");

/// What `migrate` did.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Migrated {
    pub migrations: usize,
    /// Statements that put grants, policies and row-level security right.
    pub repairs: Vec<String>,
}

/// How long one try waits for a lock. Whoever else needs the table queues behind it for as long, so it is short.
const LOCK_TIMEOUT: Duration = Duration::from_secs(5);
/// How long it is tried again.
const MAX_LOCK_WAIT: Duration = Duration::from_mins(2);
/// Between tries, for those who queued to be served.
const LOCK_PAUSE: Duration = Duration::from_secs(2);
/// How often it is asked who holds a lock.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Makes the programs' roles, applies the migrations, grants the roles to the user of `url` and puts access
/// right. Safe to run twice and by two at once.
///
/// # Errors
/// [`Error::RolesRefused`], [`Error::SchemaRefused`] and [`Error::Refused`] when the user lacks a right,
/// [`Error::Newer`] and [`Error::Altered`] when the database is another version's, [`Error::Locked`] when something
/// holds a lock for minutes.
pub async fn migrate(url: &SecretString) -> Result<Migrated, Error> {
    Box::pin(migrate_within(url, MAX_LOCK_WAIT)).await
}

/// The same with another limit on waiting for locks.
///
/// # Errors
/// As [`migrate`].
pub async fn migrate_within(
    url: &SecretString,
    max_lock_wait: Duration,
) -> Result<Migrated, Error> {
    let began = Instant::now();
    // Every try is a session of its own, since one that failed keeps its locks of the session.
    let mut before = None;
    loop {
        let mut conn = connect_once(url).await?;
        // Another migrate may take as long as its migrations do; only other sessions' locks are waited for in bounds.
        if let Err(cause) = conn.lock().await {
            return Err(explain_failure(cause, url).await);
        }
        let timeout = LOCK_TIMEOUT.min(max_lock_wait).as_millis();
        let set = format!("SET lock_timeout = {timeout}");
        conn.execute(AssertSqlSafe(set)).await?;
        let pid = queries::backend_pid(&mut conn).await?;
        let mut holders = None;
        let tried = tokio::select! {
            tried = try_to_migrate(&mut conn, url, &mut before) => tried,
            never = watch_holders(url, pid, &mut holders) => match never {},
        };
        // Closed before the next try, so that it does not meet the locks of this one. What was tried has ended, so a
        // connection that is lost now says nothing about it.
        let _ = conn.close().await;
        match tried {
            Err(cause) if is_lock_timeout(&cause) => {
                let holders =
                    holders.unwrap_or_else(|| "a session that has ended since".to_owned());
                if began.elapsed() >= max_lock_wait {
                    let cause = Box::new(cause);
                    return Err(Error::Locked { holders, cause });
                }
                warn!("the migrations wait for a lock, which is held by {holders}; trying again");
                tokio::time::sleep(LOCK_PAUSE.min(max_lock_wait)).await;
            }
            other => return other,
        }
    }
}

/// `before` is the number of migrations that were there at the first try.
async fn try_to_migrate(
    conn: &mut PgConnection,
    url: &SecretString,
    before: &mut Option<usize>,
) -> Result<Migrated, Error> {
    roles::make(conn).await?;
    let applied = match applied(conn).await {
        Ok(applied) => applied.unwrap_or_default().len(),
        Err(Error::Statement(cause)) => return Err(explain_failure(cause.into(), url).await),
        Err(error) => return Err(error),
    };
    let before = *before.get_or_insert(applied);
    if let Err(cause) = MIGRATOR.run(&mut *conn).await {
        return Err(explain_failure(cause, url).await);
    }
    Ok(Migrated {
        migrations: MIGRATOR.iter().count().saturating_sub(before),
        repairs: access::repair(conn).await?,
    })
}

/// Notes who keeps a session waiting, for as long as it is polled and PostgreSQL can be asked.
async fn watch_holders(url: &SecretString, pid: i32, holders: &mut Option<String>) -> Infallible {
    if let Ok(mut observer) = connect_once(url).await {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            match queries::lock_holders(&mut observer, pid).await {
                Ok(None) => {}
                Ok(found) => *holders = found,
                Err(_) => break,
            }
        }
    }
    std::future::pending().await
}

fn is_lock_timeout(error: &Error) -> bool {
    let cause = match error {
        Error::Statement(cause) => cause,
        Error::Migrate(cause) => match &**cause {
            MigrateError::Execute(cause) | MigrateError::ExecuteMigration(cause, _) => cause,
            _ => return false,
        },
        _ => return false,
    };
    code_of(cause).as_deref() == Some("55P03")
}

/// Makes the programs' roles and grants them to the user of `url`, and nothing else: a backup is restored
/// without complaint where the roles are there before it.
///
/// # Errors
/// [`Error::RolesRefused`] when the user may not.
pub async fn make_roles(url: &SecretString) -> Result<(), Error> {
    let mut conn = connect_once(url).await?;
    roles::make(&mut conn).await?;
    conn.close().await?;
    Ok(())
}

/// Says what a failed migration means and what to do.
async fn explain_failure(cause: MigrateError, url: &SecretString) -> Error {
    match cause {
        MigrateError::VersionMissing(version) => Error::Newer { version },
        MigrateError::VersionMismatch(version) => Error::Altered { version },
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _)
            if is_refusal(&error) =>
        {
            match advice(url).await {
                Ok((user, advice)) => Error::SchemaRefused {
                    user,
                    advice,
                    cause: error,
                },
                Err(_) => error.into(),
            }
        }
        other => other.into(),
    }
}

pub(super) fn is_refusal(error: &sqlx::Error) -> bool {
    code_of(error).as_deref() == Some("42501")
}

fn code_of(error: &sqlx::Error) -> Option<Cow<'_, str>> {
    error
        .as_database_error()
        .and_then(sqlx::error::DatabaseError::code)
}

/// Who the user is, and what lets it change the schema.
async fn advice(url: &SecretString) -> Result<(String, String), Error> {
    // A new connection: the one that failed is in the middle of a transaction.
    let mut conn = connect_once(url).await?;
    let (user, quoted, owner) = queries::user_and_owner(&mut conn).await?;
    let advice = match owner {
        Some(owner) => format!(
            "the tables belong to `{owner}`: run `stripe-sync migrate` as that user, or restore the backup as \
             `{user}` with `pg_restore --no-owner`"
        ),
        None => format!(
            "let the owner of the database or a superuser run: GRANT CREATE ON SCHEMA public TO {quoted};"
        ),
    };
    conn.close().await?;
    Ok((user, advice))
}

/// What the database is to a program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// It has this program's schema, and the program's role what it needs.
    Ready,
    /// Migrations are still to be applied.
    Behind,
    /// Roles, grants, policies or row-level security are missing; what would make each.
    AccessMissing(Vec<String>),
    /// It has a migration that this program does not know.
    Newer { version: i64 },
    /// A migration was applied in another form than this program has it in.
    Altered { version: i64 },
}

impl std::fmt::Display for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        /// A restored backup lacks dozens; these show what it is about.
        const SHOWN: usize = 3;
        match self {
            Self::Ready => f.write_str("the database is ready"),
            Self::Behind => f.write_str("the database lacks migrations; run `stripe-sync migrate`"),
            Self::AccessMissing(statements) => {
                let shown = statements[..statements.len().min(SHOWN)].join("; ");
                write!(
                    f,
                    "the database lacks {} of the roles, grants and policies that this program needs; run \
                     `stripe-sync migrate` as the user of this program's DATABASE_URL ({shown}",
                    statements.len()
                )?;
                f.write_str(if statements.len() > SHOWN {
                    "; …)"
                } else {
                    ")"
                })
            }
            Self::Newer { version } => write!(f, "{}", Error::Newer { version: *version }),
            Self::Altered { version } => write!(f, "{}", Error::Altered { version: *version }),
        }
    }
}

/// What the database is to a program that works in `role`; `pool` takes no role, since the role may not be
/// there.
///
/// # Errors
/// [`Error::Unavailable`] when PostgreSQL cannot be asked.
pub async fn state(pool: &Pool, role: Role) -> Result<State, Error> {
    state_of(&mut *pool.acquire().await?, role).await
}

/// The same on one connection, which takes no role either.
pub async fn state_of(conn: &mut PgConnection, role: Role) -> Result<State, Error> {
    let applied = match applied(&mut *conn).await {
        Ok(Some(applied)) => applied,
        Ok(None) => return Ok(State::Behind),
        // The table is there and its grants are not.
        Err(Error::Statement(cause)) if is_refusal(&cause) => Vec::new(),
        Err(error) => return Err(error),
    };
    let known = |version: i64| MIGRATOR.iter().find(|known| known.version == version);
    let unknown = applied
        .iter()
        .filter(|(version, _)| known(*version).is_none());
    if let Some((version, _)) = unknown.max() {
        return Ok(State::Newer { version: *version });
    }
    let altered = |(version, checksum): &&(i64, Vec<u8>)| {
        known(*version).is_some_and(|known| *known.checksum != checksum[..])
    };
    if let Some((version, _)) = applied.iter().find(altered) {
        return Ok(State::Altered { version: *version });
    }
    if !applied.is_empty() && applied.len() < MIGRATOR.iter().count() {
        return Ok(State::Behind);
    }
    let roles = role.with_others();
    let role_steps = roles::missing(&mut *conn).await?.into_iter();
    let mut missing_access: Vec<String> = role_steps
        .filter(|step| roles.iter().any(|role| step.role == role.as_str()))
        .map(|step| step.statement)
        .collect();
    missing_access.extend(access::missing_access(conn, roles).await?);
    Ok(if !missing_access.is_empty() {
        State::AccessMissing(missing_access)
    } else if applied.is_empty() {
        State::Behind
    } else {
        State::Ready
    })
}

/// The applied migrations with their checksums; none when there is no table of them.
async fn applied(conn: &mut PgConnection) -> Result<Option<Vec<(i64, Vec<u8>)>>, Error> {
    let table = "_sqlx_migrations";
    if !queries::has_table(&mut *conn, table).await? {
        return Ok(None);
    }
    match conn.list_applied_migrations(table).await {
        Ok(applied) => Ok(Some(
            applied
                .into_iter()
                .map(|done| (done.version, done.checksum.into_owned()))
                .collect(),
        )),
        Err(MigrateError::Execute(error)) => Err(error.into()),
        Err(error) => Err(error.into()),
    }
}
