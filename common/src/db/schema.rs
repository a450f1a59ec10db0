//! The schema: applying the migrations with what surrounds them, and telling whether a program may begin.
//!
//! [`migrate`] makes the roles, applies the migrations and then puts access right, which neither a migration
//! nor a restored backup does: the migrations grant nothing, and a backup has neither the roles nor all grants and
//! policies. [`state`] is the same looked at from a program's side.
//!
//! Fails when PostgreSQL does not answer or the user may not do something, which the error says with what to
//! run; and on a database that a newer version migrated, which an older one can only refuse.

use secrecy::{ExposeSecret, SecretString};
use sqlx::migrate::{Migrate as _, MigrateError};
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection as _, PgConnection};

use super::{Error, Pool, Role, access, roles};

/// The embedded migrations.
pub static MIGRATOR: sqlx::migrate::Migrator = sqlx::migrate!("../migrations");

/// What `migrate` did.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Migrated {
    /// Migrations that were applied.
    pub migrations: usize,
    /// Statements that put grants, policies and row-level security right.
    pub repairs: Vec<String>,
}

/// Makes the programs' roles, applies the migrations, grants the roles to the user of `url` and puts access
/// right. Safe to run twice and by two at once.
///
/// # Errors
/// [`Error::RolesRefused`], [`Error::SchemaRefused`] and [`Error::Refused`] when the user lacks a right,
/// [`Error::Newer`] and [`Error::Altered`] when the database is another version's.
pub async fn migrate(url: &SecretString) -> Result<Migrated, Error> {
    let mut conn = connect(url).await?;
    roles::make(&mut conn).await?;
    let before = match applied(&mut conn).await {
        Ok(applied) => applied.unwrap_or_default().len(),
        Err(Error::Statement(cause)) => return Err(explained(cause.into(), url).await),
        Err(error) => return Err(error),
    };
    if let Err(cause) = MIGRATOR.run(&mut conn).await {
        return Err(explained(cause, url).await);
    }
    let repairs = access::repair(&mut conn).await?;
    conn.close().await?;
    Ok(Migrated {
        migrations: MIGRATOR.iter().count().saturating_sub(before),
        repairs,
    })
}

/// Makes the programs' roles and grants them to the user of `url`, and nothing else: a backup is restored
/// without complaint where the roles are there before it.
///
/// # Errors
/// [`Error::RolesRefused`] when the user may not.
pub async fn make_roles(url: &SecretString) -> Result<(), Error> {
    let mut conn = connect(url).await?;
    roles::make(&mut conn).await?;
    conn.close().await?;
    Ok(())
}

async fn connect(url: &SecretString) -> Result<PgConnection, Error> {
    let options: PgConnectOptions = url.expose_secret().parse().map_err(Error::Statement)?;
    // "… already exists, skipping" at every start says nothing to anyone.
    let options = options.options([("client_min_messages", "warning")]);
    Ok(PgConnection::connect_with(&options).await?)
}

/// Says what a failed migration means and what to do.
async fn explained(cause: MigrateError, url: &SecretString) -> Error {
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
    let code = error
        .as_database_error()
        .and_then(sqlx::error::DatabaseError::code);
    code.as_deref() == Some("42501")
}

/// Who the user is, and what lets it change the schema.
async fn advice(url: &SecretString) -> Result<(String, String), Error> {
    // A new connection: the one that failed is in the middle of a transaction.
    let mut conn = connect(url).await?;
    let (user, quoted, owner): (String, String, Option<String>) = sqlx::query_as(
        "SELECT session_user::TEXT, quote_ident(session_user),
                (SELECT pg_get_userbyid(relowner)::TEXT FROM pg_class
                 WHERE oid = to_regclass('_sqlx_migrations') AND NOT pg_has_role(relowner, 'USAGE'))",
    )
    .fetch_one(&mut conn)
    .await?;
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
    Lacking(Vec<String>),
    /// It has a migration that this program does not know.
    Newer {
        /// The newest such migration.
        version: i64,
    },
    /// A migration was applied in another form than this program has it in.
    Altered {
        /// The migration.
        version: i64,
    },
}

impl std::fmt::Display for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        /// A restored backup lacks dozens; these show what it is about.
        const SHOWN: usize = 3;
        match self {
            Self::Ready => f.write_str("the database is ready"),
            Self::Behind => f.write_str("the database lacks migrations; run `stripe-sync migrate`"),
            Self::Lacking(statements) => {
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
    let role_steps = roles::missing(&mut *conn).await?.into_iter();
    let mut lacking: Vec<String> = role_steps
        .filter(|step| step.role == role.as_str())
        .map(|step| step.statement)
        .collect();
    lacking.extend(access::lacking(conn, role).await?);
    Ok(if !lacking.is_empty() {
        State::Lacking(lacking)
    } else if applied.is_empty() {
        State::Behind
    } else {
        State::Ready
    })
}

/// The applied migrations with their checksums; none when there is no table of them.
async fn applied(conn: &mut PgConnection) -> Result<Option<Vec<(i64, Vec<u8>)>>, Error> {
    let table = "_sqlx_migrations";
    let exists: bool = sqlx::query_scalar("SELECT to_regclass($1) IS NOT NULL")
        .bind(table)
        .fetch_one(&mut *conn)
        .await?;
    if !exists {
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
