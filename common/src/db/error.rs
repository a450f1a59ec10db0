//! What can go wrong with PostgreSQL, sorted by what a caller can do about it.

/// An error of the database.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// PostgreSQL is not there, went away, or has run out of something; trying again later may work.
    #[error("PostgreSQL is not available")]
    Unavailable(#[source] sqlx::Error),
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
    #[error("unexpected value stored in {place}")]
    Inconsistent {
        /// Table and column.
        place: &'static str,
        /// What was wrong with it.
        #[source]
        cause: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Applying the migrations failed.
    #[error("the migrations could not be applied")]
    Migrate(#[source] Box<sqlx::migrate::MigrateError>),
    /// Anything else: a bug, or a database set up otherwise than by the migrations.
    #[error("the database refused a statement")]
    Statement(#[source] sqlx::Error),
}

impl Error {
    /// Whether a value was refused, so that the statement would work without it: of a wrong kind or size, out of range,
    /// against a constraint, or too long for an index.
    pub fn is_refused_value(&self) -> bool {
        match self {
            Self::Conflict { .. } | Self::Statement(sqlx::Error::Encode(_)) => true,
            Self::Statement(sqlx::Error::Database(error)) => {
                let code = error.code();
                let code = code.as_deref().unwrap_or_default();
                // Data exceptions, integrity violations, a row that is to be changed twice, limits of the server.
                ["22", "23", "54"]
                    .iter()
                    .any(|class| code.starts_with(class))
                    || code == "21000"
            }
            _ => false,
        }
    }

    /// Whether the same statement may work a little later.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unavailable(_) => true,
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
