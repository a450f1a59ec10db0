//! What can go wrong with PostgreSQL, sorted by what a caller can do about it.

use std::time::Duration;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// PostgreSQL is not there, went away, or has run out of something; trying again later may work.
    #[error("PostgreSQL is not available")]
    Unavailable(#[source] sqlx::Error),
    /// Nothing answers where PostgreSQL should be.
    #[error("PostgreSQL at {address} did not answer within {} s; check the host and the port in DATABASE_URL",
        .after.as_secs())]
    Silent {
        /// Host and port, or the socket.
        address: String,
        /// How long it was waited for.
        after: Duration,
    },
    /// Something holds a lock that the migrations need.
    #[error(
        "the migrations wait for a lock that is held by {holders}; the step that waits was undone. Wait until it ends, \
         or end it with pg_terminate_backend, and run `stripe-sync migrate` again"
    )]
    Locked {
        /// Who holds it, as far as is known.
        holders: String,
        #[source]
        cause: Box<Error>,
    },
    /// A uniqueness or exclusion constraint was broken.
    #[error("the row conflicts with another one by {constraint}")]
    Conflict {
        /// The constraint's or unique index's name.
        constraint: String,
    },
    /// A job's write came from a consumer that lost its lease; nothing was written.
    #[error("the lease of the job was lost")]
    LeaseLost,
    /// A stored value is not one that this program writes.
    #[error("unexpected value stored in {column}")]
    Inconsistent {
        /// Table and column.
        column: &'static str,
        #[source]
        cause: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The user may neither make the programs' roles nor be granted them.
    #[error(
        "the database user `{user}` may not make the roles that the programs work under, since it is no superuser \
         and has no CREATEROLE or not the right to grant them; let a superuser run: {}", statements_of(.statements)
    )]
    RolesRefused {
        /// The user of `DATABASE_URL`.
        user: String,
        statements: Vec<String>,
        #[source]
        cause: sqlx::Error,
    },
    /// The user may not make or change tables.
    #[error("the database user `{user}` may not change the schema; {advice}")]
    SchemaRefused {
        /// The user of `DATABASE_URL`.
        user: String,
        /// What lets it, as a part of a sentence.
        advice: String,
        #[source]
        cause: sqlx::Error,
    },
    /// The user may not run a statement that access needs.
    #[error(
        "the database user may not run `{statement}`; run `stripe-sync migrate` as the owner of the tables or as a \
         superuser"
    )]
    Refused {
        statement: String,
        #[source]
        cause: sqlx::Error,
    },
    /// The database has a migration that this program does not know.
    #[error(
        "the database was migrated by a newer version (migration {version}); upgrade this program, an older one \
         cannot work on it"
    )]
    Newer { version: i64 },
    /// A migration was applied in another form.
    #[error(
        "migration {version} was applied in another form than this program has it in; use a program of the version \
         that migrated the database"
    )]
    Altered { version: i64 },
    #[error("the migrations could not be applied")]
    Migrate(#[source] Box<sqlx::migrate::MigrateError>),
    /// Anything else: a bug, or a database set up otherwise than by the migrations.
    #[error("the database refused a statement")]
    Statement(#[source] sqlx::Error),
}

fn statements_of(statements: &[String]) -> String {
    statements
        .iter()
        .map(|statement| format!("{statement};"))
        .collect::<Vec<_>>()
        .join(" ")
}

impl Error {
    /// Whether a value was refused, so that the statement would work without it: of a wrong kind or size, out of range,
    /// against a constraint, or too long for an index. A row that a foreign key misses is no value's fault: the
    /// connection itself was deleted, or statements came in the wrong order.
    pub fn is_refused_value(&self) -> bool {
        match self {
            Self::Conflict { .. } | Self::Statement(sqlx::Error::Encode(_)) => true,
            Self::Statement(sqlx::Error::Database(error)) => {
                let code = error.code();
                let code = code.as_deref().unwrap_or_default();
                if code == "23503" {
                    return false;
                }
                // Data exceptions, integrity violations, a row that is to be changed twice, limits of the server.
                ["22", "23", "54"]
                    .iter()
                    .any(|class| code.starts_with(class))
                    || code == "21000"
            }
            _ => false,
        }
    }

    /// A lack of privilege as such, anything else as what it is.
    pub(super) fn or_refused(cause: sqlx::Error, statement: impl FnOnce() -> String) -> Self {
        if super::schema::is_refusal(&cause) {
            let statement = statement();
            Self::Refused { statement, cause }
        } else {
            cause.into()
        }
    }

    /// Whether the same statement may work a little later.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unavailable(_) | Self::Silent { .. } => true,
            // Serialization failure, deadlock, lock timeout.
            Self::Statement(sqlx::Error::Database(error)) => {
                matches!(error.code().as_deref(), Some("40001" | "40P01" | "55P03"))
            }
            _ => false,
        }
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::Protocol(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed => Self::Unavailable(error),
            sqlx::Error::Database(cause) => {
                let code = cause.code();
                match code.as_deref() {
                    // Unique violation.
                    Some("23505") => Self::Conflict {
                        constraint: cause.constraint().unwrap_or("a unique index").to_owned(),
                    },
                    // Connection exceptions, operator intervention, and what runs out: the disk, memory,
                    // connections.
                    Some(code)
                        if ["08", "57P", "53"]
                            .iter()
                            .any(|begin| code.starts_with(begin)) =>
                    {
                        Self::Unavailable(error)
                    }
                    _ => Self::Statement(error),
                }
            }
            _ => Self::Statement(error),
        }
    }
}

impl From<sqlx::migrate::MigrateError> for Error {
    fn from(error: sqlx::migrate::MigrateError) -> Self {
        Self::Migrate(Box::new(error))
    }
}
