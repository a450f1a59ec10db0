//! The cluster's files: the lock, where the data may lie, how it is made, and the end of the log.
//!
//! A directory that is half made is never taken for a cluster; see the failure modes of the parent
//! module.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use nix::unistd::{User, geteuid};

use super::POLL;
use super::error::{Error, gone, io_error};
use super::process::{ServerUser, command_as};

/// Where the cluster goes when PostgreSQL's user may not enter the directory that was asked for.
const SHELTER: &str = "/var/lib";
const INITIALIZE_WITHIN: Duration = Duration::from_mins(2);

/// Takes the lock, asking again for a moment: [`is_locked`] holds it while it looks.
pub(super) async fn lock(directory: &Path) -> Result<File, Error> {
    const ATTEMPTS: u32 = 20;
    let path = directory.join("lock");
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(io_error("open", &path))?;
    for _ in 0..ATTEMPTS {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) => tokio::time::sleep(POLL).await,
            Err(TryLockError::Error(source)) => return Err(io_error("lock", &path)(source)),
        }
    }
    Err(Error::InUse {
        directory: directory.to_owned(),
    })
}

/// Whether a process holds the lock. Changes nothing, and makes no file.
pub(super) fn is_locked(directory: &Path) -> Result<bool, Error> {
    let path = directory.join("lock");
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(cause) => return Err(io_error("open", &path)(cause)),
    };
    match file.try_lock_shared() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(source)) => Err(io_error("lock", &path)(source)),
    }
}

/// Where the data is or is to be, and who runs the server.
pub(super) fn place(directory: &Path) -> Result<(PathBuf, Option<ServerUser>), Error> {
    let pointer = directory.join("data_directory");
    let data = match fs::read_to_string(&pointer) {
        Ok(path) => PathBuf::from(path.trim_end_matches('\n')),
        Err(_) => directory.join("data"),
    };
    let owner = fs::metadata(&data).ok();
    if !geteuid().is_root() {
        return match owner {
            Some(owner) if owner.uid() != geteuid().as_raw() => Err(Error::NotOurs {
                data,
                owner: owner.uid(),
            }),
            _ => Ok((data, None)),
        };
    }
    if let Some(owner) = owner.filter(|owner| owner.uid() != 0) {
        return Ok((
            data,
            Some(ServerUser {
                uid: owner.uid(),
                gid: owner.gid(),
            }),
        ));
    }
    let user = ["postgres", "nobody"]
        .into_iter()
        .find_map(|name| User::from_name(name).ok().flatten())
        .map(|user| ServerUser {
            uid: user.uid.as_raw(),
            gid: user.gid.as_raw(),
        })
        .ok_or(Error::NobodyToRunIt)?;
    if directory
        .ancestors()
        .all(|ancestor| may_pass(ancestor, user))
    {
        return Ok((data, Some(user)));
    }
    // The name is random, so that nobody can have put something there beforehand.
    let shelter = tempfile::Builder::new()
        .prefix("stripe-sync-postgres-")
        .permissions(fs::Permissions::from_mode(0o711))
        .tempdir_in(SHELTER)
        .map_err(io_error("make a directory in", Path::new(SHELTER)))?
        .keep();
    let data = shelter.join("data");
    fs::write(&pointer, format!("{}\n", data.display())).map_err(io_error("write", &pointer))?;
    tracing::info!(data = %data.display(), "the private PostgreSQL keeps its data elsewhere, because its user may not enter this directory");
    Ok((data, Some(user)))
}

fn may_pass(directory: &Path, user: ServerUser) -> bool {
    fs::metadata(directory).is_ok_and(|metadata| {
        let bit = if metadata.uid() == user.uid {
            0o100
        } else if metadata.gid() == user.gid {
            0o010
        } else {
            0o001
        };
        metadata.mode() & bit != 0
    })
}

/// The major version that made the cluster; `None` when there is no cluster yet.
pub(super) fn cluster_version(data: &Path) -> Result<Option<u32>, Error> {
    let file = data.join("PG_VERSION");
    match fs::read_to_string(&file) {
        Ok(text) => text.trim().parse().map(Some).map_err(|error| {
            io_error("read", &file)(io::Error::new(io::ErrorKind::InvalidData, error))
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(io_error("read", &file)(error)),
    }
}

pub(super) async fn initialize(
    directory: &Path,
    data: &Path,
    programs: &Path,
    user: Option<ServerUser>,
) -> Result<(), Error> {
    let fresh = data.with_extension("new");
    gone(fs::remove_dir_all(&fresh), &fresh)?;
    fs::create_dir_all(&fresh).map_err(io_error("create", &fresh))?;
    // initdb runs as the server's user and has to read it; it stays next to the cluster.
    let password_file = fresh.with_extension("password");
    let password = URL_SAFE_NO_PAD.encode(common::clock::random_bytes::<24>());
    write_secret(&password_file, &password)?;
    write_secret(&directory.join("password"), &password)?;
    if let Some(user) = user {
        for path in [&fresh, &password_file] {
            chown(path, Some(user.uid), Some(user.gid)).map_err(io_error("hand over", path))?;
        }
    }
    let program = programs.join("initdb");
    let mut command = command_as(&program, user);
    command
        .arg("--pgdata")
        .arg(&fresh)
        .args([
            "--username=postgres",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
        ])
        // The same order of text on every machine, whatever its language.
        .arg(if cfg!(target_os = "linux") {
            "--locale=C.UTF-8"
        } else {
            "--no-locale"
        })
        .arg("--pwfile")
        .arg(&password_file)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let output = tokio::time::timeout(INITIALIZE_WITHIN, command.output())
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
        .map_err(io_error("run", &program))?;
    fs::remove_file(&password_file).map_err(io_error("remove", &password_file))?;
    if !output.status.success() {
        let output = String::from_utf8_lossy(&output.stderr)
            .trim()
            .replace('\n', "; ");
        return Err(Error::Initialize {
            data: fresh,
            output,
        });
    }
    fs::rename(&fresh, data).map_err(io_error("rename", &fresh))
}

fn write_secret(path: &Path, secret: &str) -> Result<(), Error> {
    gone(fs::remove_file(path), path)?;
    let mut file = OpenOptions::new()
        .create_new(true)
        .write(true)
        .mode(0o600)
        .open(path)
        .map_err(io_error("create", path))?;
    io::Write::write_all(&mut file, secret.as_bytes()).map_err(io_error("write", path))
}

/// The last lines of a log, in one line.
pub(super) fn tail(log: &Path) -> String {
    const BYTES: u64 = 2_000;
    let mut text = Vec::new();
    let read = File::open(log).and_then(|mut file| {
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(BYTES)))?;
        file.take(BYTES).read_to_end(&mut text)
    });
    if read.is_err() {
        return "(unreadable)".to_owned();
    }
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.trim().lines().collect();
    lines[lines.len().saturating_sub(5)..].join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_passed_by_the_bit_that_concerns_the_user() {
        let directory = tempfile::tempdir().unwrap();
        let metadata = fs::metadata(directory.path()).unwrap();
        let (uid, gid) = (metadata.uid(), metadata.gid());
        for (mode, user, passes) in [
            (0o700, ServerUser { uid, gid }, true),
            (0o677, ServerUser { uid, gid }, false),
            (0o710, ServerUser { uid: uid + 1, gid }, true),
            (0o701, ServerUser { uid: uid + 1, gid }, false),
            (
                0o701,
                ServerUser {
                    uid: uid + 1,
                    gid: gid + 1,
                },
                true,
            ),
            (
                0o710,
                ServerUser {
                    uid: uid + 1,
                    gid: gid + 1,
                },
                false,
            ),
        ] {
            fs::set_permissions(directory.path(), fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(
                may_pass(directory.path(), user),
                passes,
                "{mode:o} {user:?}"
            );
        }
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o700)).unwrap();
    }
}
