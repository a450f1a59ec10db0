//! What `up` keeps under `.local/` so that a laptop needs no settings: the encryption keys, where
//! the private PostgreSQL answers, and which engines run (`running_engines`).
//!
//! The first two are secrets and are written with mode 0600, whole or not at all. The keys are created once and
//! kept for ever: without them the stored Stripe keys cannot be decrypted. The URL is there while `up`
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
    /// There is no file with keys.
    #[error(
        "there is no {}. `stripe-sync up` creates it unless ENCRYPTION_KEYS is set; if it is, add the new key to \
         ENCRYPTION_KEYS",
        path.display()
    )]
    NoKeys {
        /// Where it would be.
        path: PathBuf,
    },
    /// A key that is to be removed is not in the file.
    #[error("{} has no key `{key_id}`", path.display())]
    UnknownKey {
        /// The file.
        path: PathBuf,
        /// The key.
        key_id: String,
    },
    /// A key that is to be removed is the one that encrypts.
    #[error("the key `{key_id}` is the first in {}, so it encrypts; run `stripe-sync keys add` first", path.display())]
    FirstKey {
        /// The file.
        path: PathBuf,
        /// The key.
        key_id: String,
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

/// The directory, `.local` by default, and what is where in it.
#[derive(Debug, Clone, clap::Args)]
pub struct LocalFiles {
    /// The directory of `stripe-sync up`: its private PostgreSQL, its encryption keys and its address
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
                    tracing::info!(file = %path.display(), "created encryption keys; keep a copy of this file");
                }
                // Another process made them at the same moment.
                Err(Error::Io { cause, .. }) if cause.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Puts a new key first, which then encrypts; its id, which no key of this file has had: a backup may still
    /// name those that are gone.
    pub fn add_key(&self) -> Result<String, Error> {
        let (path, keys) = self.keys_by_id()?;
        let number = |id: &str| id.strip_prefix("local")?.parse::<u32>().ok();
        let newest = keys.iter().filter_map(|(id, _)| number(id)).max();
        let id = format!("local{}", u64::from(newest.unwrap_or(0)) + 1);
        let texts = keys.iter().map(|(_, text)| text.expose_secret());
        let new = Keyring::generate(&id);
        let all: Vec<&str> = std::iter::once(new.expose_secret()).chain(texts).collect();
        write(&path, &all.join(",").into(), IfThere::Replace)?;
        Ok(id)
    }

    /// Takes a key away that is not the first.
    pub fn remove_key(&self, key_id: &str) -> Result<(), Error> {
        let (path, keys) = self.keys_by_id()?;
        let key_id = key_id.to_owned();
        match keys.iter().position(|(id, _)| *id == key_id) {
            None => return Err(Error::UnknownKey { path, key_id }),
            Some(0) => return Err(Error::FirstKey { path, key_id }),
            Some(_) => {}
        }
        let kept = keys.iter().filter(|(id, _)| *id != key_id);
        let kept: Vec<&str> = kept.map(|(_, text)| text.expose_secret()).collect();
        write(&path, &kept.join(",").into(), IfThere::Replace)
    }

    /// The file of keys, and each key's id and text in order.
    fn keys_by_id(&self) -> Result<(PathBuf, Vec<(String, SecretString)>), Error> {
        let path = self.encryption_keys();
        let text = read(&path)?.ok_or_else(|| Error::NoKeys { path: path.clone() })?;
        Keyring::parse(text.expose_secret()).map_err(|cause| Error::Keys {
            path: path.clone(),
            cause,
        })?;
        let parts = text.expose_secret().split(',').map(str::trim);
        let keys = parts.filter_map(|part| {
            let (id, _) = part.split_once(':')?;
            Some((id.to_owned(), part.into()))
        });
        let keys = keys.collect();
        Ok((path, keys))
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

/// Writes a secret by way of a file next to it, which the system makes with mode 0600.
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
    fn a_new_key_comes_first_and_an_old_one_goes() {
        let (_directory, local) = local();
        assert!(matches!(local.add_key(), Err(Error::NoKeys { .. })));
        local.keyring_or_new().unwrap();
        assert_eq!(local.add_key().unwrap(), "local2");
        let ids = || -> Vec<String> {
            let keyring = local.keyring().unwrap().unwrap();
            keyring.key_ids().map(str::to_owned).collect()
        };
        assert_eq!(ids(), ["local2", "local1"]);
        let refused = local.remove_key("local2");
        assert!(matches!(refused, Err(Error::FirstKey { .. })));
        let unknown = local.remove_key("k1");
        assert!(matches!(unknown, Err(Error::UnknownKey { .. })));
        local.remove_key("local1").unwrap();
        assert_eq!(ids(), ["local2"]);
        assert_eq!(local.add_key().unwrap(), "local3");
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
