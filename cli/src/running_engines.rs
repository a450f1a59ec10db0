//! Which engines run in a directory: the note that each `stripe-sync up` leaves under `.local/engines/`.
//!
//! Every `up` has a file of its own there, because any number of them may share one directory and one `DATABASE_URL`. The
//! file is empty while `up` starts; afterwards it holds the API's URL and the secret by which clients recognise the engine
//! (`common::identity`). `up` keeps the file locked for as long as it lives, and only a locked file counts, so one that a
//! killed `up` left behind misleads nobody. The next start removes it.
//!
//! Commands that need a running engine wait here while one starts, because people write `stripe-sync up &` and go on at
//! once. The wait is bounded, and says on standard error what it is for.
//!
//! # Failure modes
//!
//! - A file cannot be read or written: the error names it.
//! - `up` ends while it starts: whoever waits goes on and reports what is missing.
//! - The file system has no locks: `up` does not start.
//!
//! Deliberately absent: a process id, since numbers are used again, and a choice among several engines: the one that
//! became ready last is taken.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use common::clock;
use common::identity::EngineSecret;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use url::Url;

use crate::local_files::{Error, io_error};

const EXTENSION: &str = "json";
/// How long a command waits for an `up` that starts. Making the first cluster takes a few seconds.
const READY_WITHIN: Duration = Duration::from_mins(1);
/// How long a command waits for an `up` to appear that was started at the same moment.
const APPEARS_WITHIN: Duration = Duration::from_secs(2);
/// A wait shorter than this is not worth a line.
const QUIET_FOR: Duration = Duration::from_secs(1);
const POLL: Duration = Duration::from_millis(50);

/// What a ready engine leaves in its file.
#[derive(Serialize, Deserialize)]
struct Note {
    url: String,
    secret: String,
}

/// The file of a running `up`; it is removed with this value.
#[derive(Debug)]
pub struct EngineFile {
    file: File,
    path: PathBuf,
}

impl EngineFile {
    /// Leaves an empty note in `directory`: an engine starts.
    ///
    /// # Errors
    /// When the file cannot be made or locked.
    pub fn create(directory: &Path) -> Result<Self, Error> {
        fs::create_dir_all(directory).map_err(io_error("create", directory))?;
        remove_left_behind(directory)?;
        // Locked before it has the name by which others look for it, so that nobody takes it for one left behind.
        let file = tempfile::Builder::new()
            .prefix(".starting-")
            .tempfile_in(directory)
            .map_err(io_error("write into", directory))?;
        file.as_file()
            .lock()
            .map_err(io_error("lock", file.path()))?;
        let name = hex::encode(clock::random_bytes::<8>());
        let path = directory.join(name).with_extension(EXTENSION);
        let file = file
            .persist(&path)
            .map_err(|failed| io_error("write", &path)(failed.error))?;
        Ok(Self { file, path })
    }

    /// Notes that the engine is ready, where it answers and by which secret it is recognised.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn announce(&mut self, url: &Url, secret: &EngineSecret) -> Result<(), Error> {
        let note = Note {
            url: url.to_string(),
            secret: secret.as_text().expose_secret().to_owned(),
        };
        serde_json::to_vec(&note)
            .map_err(io::Error::from)
            .and_then(|note| self.file.write_all(&note))
            .map_err(io_error("write", &self.path))
    }
}

impl Drop for EngineFile {
    fn drop(&mut self) {
        // Left behind it is not locked, so nobody takes it for a running engine.
        let _ = fs::remove_file(&self.path);
    }
}

/// A ready engine.
#[derive(Debug, Clone)]
pub struct ReadyEngine {
    /// Where its API answers.
    pub url: Url,
    /// By this it is recognised.
    pub secret: EngineSecret,
}

impl ReadyEngine {
    fn parse(text: &SecretString) -> Option<Self> {
        let note: Note = serde_json::from_str(text.expose_secret()).ok()?;
        Some(Self {
            url: note.url.parse().ok()?,
            secret: EngineSecret::from_text(note.secret.into()),
        })
    }
}

/// What runs in a directory.
#[derive(Debug, Default)]
pub struct RunningEngines {
    /// An engine starts.
    pub starting: bool,
    /// The engine that became ready last.
    pub ready: Option<ReadyEngine>,
}

impl RunningEngines {
    /// Looks into `directory`; nothing runs where there is none.
    ///
    /// # Errors
    /// When a file of a running engine cannot be read.
    pub fn find(directory: &Path) -> Result<Self, Error> {
        let mut found = Self::default();
        let mut newest = SystemTime::UNIX_EPOCH;
        for path in notes(directory)? {
            let Some((text, written_at)) = read_locked(&path)? else {
                continue;
            };
            // Also a note that is being written at this moment is that of an engine that is about to be ready.
            match ReadyEngine::parse(&text) {
                None => found.starting = true,
                Some(engine) if written_at >= newest => {
                    newest = written_at;
                    found.ready = Some(engine);
                }
                Some(_) => {}
            }
        }
        Ok(found)
    }
}

fn notes(directory: &Path) -> Result<Vec<PathBuf>, Error> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(cause) => return Err(io_error("read", directory)(cause)),
    };
    entries
        .map(|entry| Ok(entry.map_err(io_error("read", directory))?.path()))
        .filter(|path| {
            path.as_ref().map_or(true, |path| {
                path.extension().is_some_and(|found| found == EXTENSION)
            })
        })
        .collect()
}

/// The text of a file whose engine lives, and when it was written.
fn read_locked(path: &Path) -> Result<Option<(SecretString, SystemTime)>, Error> {
    let read = || {
        let mut file = File::open(path)?;
        match file.try_lock_shared() {
            Ok(()) => return Ok(None),
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(cause)) => return Err(cause),
        }
        let mut text = String::new();
        file.read_to_string(&mut text)?;
        let written_at = file.metadata()?.modified()?;
        Ok(Some((text.into(), written_at)))
    };
    match read() {
        // Its engine ended meanwhile.
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(None),
        read => read.map_err(io_error("read", path)),
    }
}

fn remove_left_behind(directory: &Path) -> Result<(), Error> {
    for path in notes(directory)? {
        // One that cannot be opened or removed does no harm.
        if let Ok(file) = OpenOptions::new().write(true).open(&path)
            && file.try_lock().is_ok()
        {
            let _ = fs::remove_file(&path);
        }
    }
    Ok(())
}

/// A bounded wait for an `up`, with one line for the person who waits.
#[derive(Debug)]
pub struct Wait {
    began: Instant,
    said: bool,
}

impl Wait {
    /// A wait that begins now.
    pub fn begin() -> Self {
        Self {
            began: Instant::now(),
            said: false,
        }
    }

    /// Pauses while an `up` may still appear; false once that is unlikely.
    pub async fn for_appearance(&self) -> bool {
        self.pause(APPEARS_WITHIN).await
    }

    /// Pauses while the `up` in `directory` starts; false once it takes too long.
    pub async fn for_readiness(&mut self, directory: &Path) -> bool {
        if !self.said && self.began.elapsed() >= QUIET_FOR {
            self.said = true;
            eprintln!(
                "waiting for the `stripe-sync up` in {} to be ready",
                directory.display()
            );
        }
        self.pause(READY_WITHIN).await
    }

    async fn pause(&self, within: Duration) -> bool {
        if self.began.elapsed() >= within {
            return false;
        }
        tokio::time::sleep(POLL).await;
        true
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn directory() -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let engines = directory.path().join("below/engines");
        (directory, engines)
    }

    fn url(port: u16) -> Url {
        format!("http://127.0.0.1:{port}").parse().unwrap()
    }

    fn ready(engines: &Path) -> Option<u16> {
        let found = RunningEngines::find(engines).unwrap();
        found.ready.map(|engine| engine.url.port().unwrap())
    }

    #[test]
    fn an_engine_is_first_starting_then_ready_then_gone() {
        let (_directory, engines) = directory();
        assert!(!RunningEngines::find(&engines).unwrap().starting);
        assert!(!engines.exists(), "looking makes nothing");
        let mut file = EngineFile::create(&engines).unwrap();
        let found = RunningEngines::find(&engines).unwrap();
        assert!(found.starting && found.ready.is_none());

        let secret = EngineSecret::generate();
        file.announce(&url(8080), &secret).unwrap();
        let found = RunningEngines::find(&engines).unwrap();
        let engine = found.ready.unwrap();
        assert!(!found.starting && engine.url == url(8080));
        assert!(engine.secret.is_proven("x", &secret.proof("x")));
        let mode = file.path.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);

        drop(file);
        assert!(RunningEngines::find(&engines).unwrap().ready.is_none());
        assert_eq!(notes(&engines).unwrap().len(), 0);
    }

    #[test]
    fn what_a_killed_engine_left_behind_is_not_used_and_removed_by_the_next() {
        let (_directory, engines) = directory();
        let mut killed = EngineFile::create(&engines).unwrap();
        killed.announce(&url(1), &EngineSecret::generate()).unwrap();
        let left_behind = engines.join("left.json");
        fs::copy(&killed.path, &left_behind).unwrap();
        drop(killed);
        let found = RunningEngines::find(&engines).unwrap();
        assert!(!found.starting && found.ready.is_none());
        let _next = EngineFile::create(&engines).unwrap();
        assert!(!left_behind.exists());
    }

    #[test]
    fn of_several_engines_the_one_that_became_ready_last_is_taken_while_it_lives() {
        let (_directory, engines) = directory();
        let [mut first, mut second, starting] =
            [(); 3].map(|()| EngineFile::create(&engines).unwrap());
        first.announce(&url(1), &EngineSecret::generate()).unwrap();
        second.announce(&url(2), &EngineSecret::generate()).unwrap();
        // Two writes may fall into one tick of the file system's clock.
        let later = second.file.metadata().unwrap().modified().unwrap() + Duration::from_secs(1);
        second.file.set_modified(later).unwrap();
        assert_eq!(ready(&engines), Some(2));
        assert!(RunningEngines::find(&engines).unwrap().starting);
        drop(starting);
        assert!(!RunningEngines::find(&engines).unwrap().starting);
        drop(second);
        assert_eq!(ready(&engines), Some(1));
    }
}
