//! What can keep the private cluster from starting, said so that a person knows what to do.

use std::io;
use std::path::{Path, PathBuf};

use super::programs::{OLDEST_VERSION, how_to_install};
use super::{DATABASE, PORTS, START_WITHIN};
use crate::local_files;

/// Why the cluster is not there.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No `initdb` and `postgres` of a usable version were found.
    #[error(
        "PostgreSQL {OLDEST_VERSION} or newer is not installed: {}, or set DATABASE_URL to a server",
        how_to_install()
    )]
    NotInstalled,
    /// The data needs the major version that made it.
    #[error(
        "the data in {} was created by PostgreSQL {version}, which is no longer installed: install it again, or move the directory away to start over",
        data.display()
    )]
    VersionGone {
        /// The cluster's data.
        data: PathBuf,
        /// The major version that made it.
        version: u32,
    },
    /// Root cannot run PostgreSQL and there is nobody else to do it.
    #[error(
        "PostgreSQL does not run as root, and this machine has neither a user postgres nor nobody: run this as an ordinary user, or set DATABASE_URL to a server"
    )]
    NobodyToRunIt,
    /// The data was made by somebody else.
    #[error(
        "the data in {} belongs to another user (number {owner}): run this as that user, or move the directory away to start over",
        data.display()
    )]
    NotOurs {
        /// The cluster's data.
        data: PathBuf,
        /// Its owner's number.
        owner: u32,
    },
    /// Another process holds the lock.
    #[error("another stripe-sync is running on {}: stop it first, or work in another directory", directory.display())]
    InUse {
        /// The cluster's directory.
        directory: PathBuf,
    },
    /// The file system refused something.
    #[error(transparent)]
    Files(#[from] local_files::Error),
    /// `initdb` ran and failed.
    #[error("initdb could not create a cluster in {}: {output}", data.display())]
    Initialize {
        /// Where it worked.
        data: PathBuf,
        /// The end of what it said.
        output: String,
    },
    /// The server ended instead of starting.
    #[error("PostgreSQL exited during startup; {} ends with: {tail}", log.display())]
    Ended {
        /// Its log.
        log: PathBuf,
        /// The log's last lines.
        tail: String,
    },
    /// The server runs and lets nobody in.
    #[error("PostgreSQL does not answer {} s after its start; its log is {}", START_WITHIN.as_secs(), log.display())]
    NoAnswer {
        /// Its log.
        log: PathBuf,
        /// What the last connection ran into.
        source: sqlx::Error,
    },
    /// The engine's database could not be made.
    #[error("cannot create the database {DATABASE} in the private PostgreSQL")]
    CreateDatabase(#[source] sqlx::Error),
    /// A server would not end.
    #[error("PostgreSQL (process {pid}) does not stop")]
    Stays {
        /// Its process id.
        pid: i32,
    },
    /// No port was free.
    #[error("found no free port on 127.0.0.1 from {} to {}", PORTS.start, PORTS.end)]
    NoPort,
}

pub(super) fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    let error = local_files::io_error(action, path);
    move |cause| error(cause).into()
}

/// What was to be removed is gone, whether or not it was there.
pub(super) fn gone(removed: io::Result<()>, path: &Path) -> Result<(), Error> {
    match removed {
        Err(cause) if cause.kind() != io::ErrorKind::NotFound => {
            Err(io_error("remove", path)(cause))
        }
        _ => Ok(()),
    }
}
