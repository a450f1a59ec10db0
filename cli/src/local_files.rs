//! What `up` keeps under `.local/` so that a laptop needs no settings: the encryption keys, where
//! the private PostgreSQL answers, and which engines run (`running_engines`).
//!
//! The first two are secrets and are written with mode 0600, whole or not at all. The keys are made once and
//! kept for ever: without them the stored Stripe keys do not open. The URL stands there while `up`
//! runs; one left behind by a crash leads to a server that does not answer, which the error then says.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use common::credential::{self, Keyring};
use secrecy::{ExposeSecret as _, SecretString};

/// The id of the first key made for a laptop.
const FIRST_KEY_ID: &str = "local1";

/// Why a file under `.local/` could not be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file system refused something.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        #[source]
        cause: io::Error,
    },
    /// The file with the keys was altered.
    #[error("the encryption keys in {} cannot be used", path.display())]
    Keys {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        cause: credential::Error,
    },
}

/// The directory, `.local` unless told otherwise, and what is where in it.
#[derive(Debug, Clone, clap::Args)]
pub struct LocalFiles {
    /// The directory of `stripe-sync up`: its private PostgreSQL, its encryption keys, and where it answers
    #[arg(long, env = "LOCAL_DIR", default_value = ".local", value_name = "PATH")]
    pub local_dir: PathBuf,
}

impl LocalFiles {
    /// Where the private PostgreSQL lives.
    pub fn postgres(&self) -> PathBuf {
        self.local_dir.join("postgres")
    }

    /// Where the encryption keys are that `up` made.
    pub fn encryption_keys(&self) -> PathBuf {
        self.local_dir.join("encryption_keys")
    }

    /// Where each running `up` leaves a note.
    pub fn engines(&self) -> PathBuf {
        self.local_dir.join("engines")
    }

    fn database_url_file(&self) -> PathBuf {
        self.local_dir.join("database_url")
    }

    /// The keys in the file, none when there is no file.
    pub fn keyring(&self) -> Result<Option<Keyring>, Error> {
        let path = self.encryption_keys();
        let Some(keys) = read(&path)? else {
            return Ok(None);
        };
        Keyring::parse(keys.expose_secret())
            .map(Some)
            .map_err(|cause| Error::Keys { path, cause })
    }

    /// The keys in the file, made when there is none.
    pub fn keyring_or_new(&self) -> Result<Keyring, Error> {
        loop {
            if let Some(keyring) = self.keyring()? {
                return Ok(keyring);
            }
            let path = self.encryption_keys();
            match write(&path, &Keyring::generate(FIRST_KEY_ID), IfThere::Refuse) {
                Ok(()) => {
                    tracing::info!(file = %path.display(), "made encryption keys; keep a copy of this file");
                }
                // Another process made them at the same moment.
                Err(Error::Io { cause, .. }) if cause.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// The URL of the private PostgreSQL, none when `up` does not run one.
    pub fn database_url(&self) -> Result<Option<SecretString>, Error> {
        read(&self.database_url_file())
    }

    /// Remembers where the private PostgreSQL answers, until the value is dropped.
    pub fn remember_database_url(&self, url: &SecretString) -> Result<RememberedUrl, Error> {
        let path = self.database_url_file();
        write(&path, url, IfThere::Replace)?;
        Ok(RememberedUrl(path))
    }
}

/// The file with the URL; removed with this value.
#[derive(Debug)]
pub struct RememberedUrl(PathBuf);

impl Drop for RememberedUrl {
    fn drop(&mut self) {
        // Left behind it leads to a server that does not answer, and the next start replaces it.
        let _ = fs::remove_file(&self.0);
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum IfThere {
    Refuse,
    Replace,
}

fn read(path: &Path) -> Result<Option<SecretString>, Error> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text.trim().into())),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(cause) => Err(io_error("read", path)(cause)),
    }
}

/// Writes a secret by way of a file beside it, which the system makes with mode 0600.
fn write(path: &Path, secret: &SecretString, if_there: IfThere) -> Result<(), Error> {
    let directory = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(directory).map_err(io_error("create", directory))?;
    let mut file =
        tempfile::NamedTempFile::new_in(directory).map_err(io_error("write into", directory))?;
    writeln!(file, "{}", secret.expose_secret())
        .and_then(|()| file.as_file().sync_all())
        .map_err(io_error("write", path))?;
    match if_there {
        IfThere::Refuse => file.persist_noclobber(path),
        IfThere::Replace => file.persist(path),
    }
    .map_err(|failed| io_error("write", path)(failed.error))?;
    Ok(())
}

pub(crate) fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |cause| Error::Io {
        action,
        path,
        cause,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn local() -> (tempfile::TempDir, LocalFiles) {
        let directory = tempfile::tempdir().unwrap();
        let local_dir = directory.path().join("below/.local");
        (directory, LocalFiles { local_dir })
    }

    #[test]
    fn keys_are_made_once_and_for_their_owner_alone() {
        let (_directory, local) = local();
        assert!(local.keyring().unwrap().is_none());
        local.keyring_or_new().unwrap();
        let first = fs::read_to_string(local.encryption_keys()).unwrap();
        assert_eq!(
            local.keyring_or_new().unwrap().sealing_key_id(),
            FIRST_KEY_ID
        );
        assert_eq!(fs::read_to_string(local.encryption_keys()).unwrap(), first);
        let mode = fs::metadata(local.encryption_keys())
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn altered_keys_are_refused_and_not_replaced() {
        let (_directory, local) = local();
        local.keyring_or_new().unwrap();
        fs::write(local.encryption_keys(), "local1:c2hvcnQ=").unwrap();
        assert!(matches!(local.keyring_or_new(), Err(Error::Keys { .. })));
        assert_eq!(
            fs::read_to_string(local.encryption_keys()).unwrap(),
            "local1:c2hvcnQ="
        );
    }

    #[test]
    fn the_database_is_remembered_while_it_runs() {
        let (_directory, local) = local();
        let remembered = local
            .remember_database_url(&"postgres://there".into())
            .unwrap();
        let url = local.database_url().unwrap().unwrap();
        assert_eq!(url.expose_secret(), "postgres://there");
        drop(remembered);
        assert!(local.database_url().unwrap().is_none());
    }
}
