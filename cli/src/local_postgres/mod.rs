//! A private PostgreSQL cluster, for `stripe-sync up` on a machine where nobody has set one up.
//!
//! The only thing that has to be installed is PostgreSQL's programs. The cluster lives in one
//! directory, survives restarts, answers on 127.0.0.1 alone, on a port of its own and by a random
//! password, so it neither meets nor disturbs a server that is already there.
//!
//! What is in the directory: `data` (the cluster), `password`, `port`, `postgres.log` and `lock`.
//! PostgreSQL refuses to run as root, so root runs it as the user `postgres`, or `nobody`. Where that
//! user may not pass through the directories above (a checkout below a private `/root`, say), the
//! cluster lies under `/var/lib` instead and the file `data_directory` says where.
//!
//! # Failure modes
//!
//! - The owner was killed: its server goes on alone. The next start ends it in order and starts its
//!   own on the same data.
//! - The machine went down: `postmaster.pid` names a process that is gone, or by now another program.
//!   It is removed only when no server of this cluster runs.
//! - Two owners at once: the second one is refused by the lock, and harms nothing.
//! - `initdb` was interrupted: it works in a directory of its own, renamed when it is done, so a
//!   half-made cluster is never taken for a whole one.
//! - The remembered port is taken: another one is chosen and remembered.
//!
//! Absent on purpose: upgrades of a cluster to a newer major version, backups, and restarting a
//! server that dies while its owner runs. This is for trying things out; production brings its own
//! PostgreSQL in `DATABASE_URL`.

mod error;
mod files;
mod process;
mod programs;

use std::fs::{self, File, OpenOptions};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::Signal;
use nix::unistd::Pid;
use secrecy::{ExposeSecret as _, SecretString};
use sqlx::Connection as _;
use sqlx::migrate::MigrateDatabase as _;
use tokio::process::Child;
use tokio::time::Instant;

pub use error::Error;
use error::{gone, io_error};
use files::{cluster_version, initialize, is_locked, lock, place, tail};
use process::{ServerUser, command_as, process_id, send, serves};
use programs::{newest_programs, programs_of};

/// The database that the engine uses in the cluster.
const DATABASE: &str = "stripe_sync";
/// Below the range that Linux gives to outgoing connections: a client that keeps trying the port of
/// a dead server is otherwise given that very port as its own, now and then, and blocks it.
const PORTS: std::ops::Range<u16> = 20_000..32_000;

/// Recovery after a crash replays the log since the last checkpoint, which can take this long.
const START_WITHIN: Duration = Duration::from_mins(2);
const STOP_WITHIN: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(50);
/// A log that has grown past this is put aside at the next start.
const LOG_BYTES: u64 = 10_000_000;

/// A private cluster and its running server; the server ends with this value.
///
/// Prefer [`stop`](Self::stop): dropping asks the server to shut down and does not wait for it.
#[derive(Debug)]
pub struct LocalPostgres {
    directory: PathBuf,
    data: PathBuf,
    programs: PathBuf,
    user: Option<ServerUser>,
    port: u16,
    password: SecretString,
    server: Option<Child>,
    // Held for as long as the value lives; the operating system releases it with the process.
    _lock: File,
}

impl LocalPostgres {
    /// Starts the cluster in `directory`, making it when there is none, and waits until it answers.
    pub async fn start(directory: &Path) -> Result<Self, Error> {
        fs::create_dir_all(directory).map_err(io_error("create", directory))?;
        let directory = directory
            .canonicalize()
            .map_err(io_error("find the full path of", directory))?;
        let lock = lock(&directory).await?;
        let (data, user) = place(&directory)?;
        let programs = match cluster_version(&data)? {
            None => {
                let newest = newest_programs().await?;
                initialize(&directory, &data, &newest, user).await?;
                newest
            }
            Some(version) => programs_of(version, &data).await?,
        };
        let password_file = directory.join("password");
        let password =
            fs::read_to_string(&password_file).map_err(io_error("read", &password_file))?;
        let mut cluster = Self {
            port: 0,
            password: SecretString::from(password.trim()),
            server: None,
            _lock: lock,
            directory,
            data,
            programs,
            user,
        };
        cluster.stop_leftover().await?;
        cluster.port = cluster.choose_port()?;
        cluster.launch().await?;
        let url = cluster.url();
        let exists = sqlx::Postgres::database_exists(url.expose_secret()).await;
        if !exists.map_err(Error::CreateDatabase)? {
            sqlx::Postgres::create_database(url.expose_secret())
                .await
                .map_err(Error::CreateDatabase)?;
        }
        Ok(cluster)
    }

    /// Whether a process runs the cluster in `directory`, or is about to.
    ///
    /// # Errors
    /// When the lock cannot be read.
    pub fn is_owned(directory: &Path) -> Result<bool, Error> {
        is_locked(directory)
    }

    /// The URL of the engine's database, with the password, as the cluster's superuser.
    pub fn url(&self) -> SecretString {
        self.url_of(DATABASE)
    }

    fn url_of(&self, database: &str) -> SecretString {
        let password = self.password.expose_secret();
        SecretString::from(format!(
            "postgres://postgres:{password}@127.0.0.1:{}/{database}",
            self.port
        ))
    }

    fn log(&self) -> PathBuf {
        self.directory.join("postgres.log")
    }

    /// Shuts the server down in order and waits until it has ended.
    pub async fn stop(mut self) -> Result<(), Error> {
        let Some(mut server) = self.server.take() else {
            return Ok(());
        };
        let Some(pid) = process_id(&server) else {
            return Ok(());
        };
        // Fast, then immediate, then by force: a client that hangs must not keep a program alive.
        for signal in [Signal::SIGINT, Signal::SIGQUIT, Signal::SIGKILL] {
            send(pid, signal);
            if tokio::time::timeout(STOP_WITHIN, server.wait())
                .await
                .is_ok()
            {
                return Ok(());
            }
        }
        Err(Error::Stays { pid: pid.as_raw() })
    }

    /// Ends a server of this cluster that a former owner left behind, and clears away what a crash
    /// left. The lock is held, so nobody else is starting one.
    async fn stop_leftover(&self) -> Result<(), Error> {
        let file = self.data.join("postmaster.pid");
        let Ok(content) = fs::read_to_string(&file) else {
            return Ok(());
        };
        let pid = content
            .lines()
            .next()
            .and_then(|line| line.trim().parse().ok());
        if let Some(pid) = pid.map(Pid::from_raw)
            && serves(pid, &self.data)
        {
            tracing::info!(
                pid = pid.as_raw(),
                "stopping a private PostgreSQL left behind"
            );
            for signal in [Signal::SIGINT, Signal::SIGQUIT] {
                send(pid, signal);
                let deadline = Instant::now() + STOP_WITHIN;
                while serves(pid, &self.data) && Instant::now() < deadline {
                    tokio::time::sleep(POLL).await;
                }
            }
            if serves(pid, &self.data) {
                return Err(Error::Stays { pid: pid.as_raw() });
            }
        }
        // PostgreSQL takes the number in it for its own server when any process has that number now.
        gone(fs::remove_file(&file), &file)
    }

    /// The port of the last start when it is still free, else another one.
    fn choose_port(&self) -> Result<u16, Error> {
        let file = self.directory.join("port");
        let remembered = fs::read_to_string(&file)
            .ok()
            .and_then(|text| text.trim().parse().ok());
        if let Some(port) = remembered.filter(|port| port_is_free(*port)) {
            return Ok(port);
        }
        let port = free_port().ok_or(Error::NoPort)?;
        fs::write(&file, format!("{port}\n")).map_err(io_error("write", &file))?;
        Ok(port)
    }

    /// Starts the server, several times when need be: its port may not be free yet, nor the shared
    /// memory of a server that was killed a moment ago.
    async fn launch(&mut self) -> Result<(), Error> {
        const ATTEMPTS: u32 = 5;
        for attempt in 1.. {
            match self.launch_once().await {
                Err(Error::Ended { .. }) if attempt < ATTEMPTS => {
                    tokio::time::sleep(POLL * 2 * attempt).await;
                }
                result => return result,
            }
        }
        unreachable!("the loop has no other end");
    }

    async fn launch_once(&mut self) -> Result<(), Error> {
        let log = self.log();
        if fs::metadata(&log).is_ok_and(|metadata| metadata.len() > LOG_BYTES) {
            let old = self.directory.join("postgres.log.old");
            fs::rename(&log, old).map_err(io_error("put aside", &log))?;
        }
        let sink = OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(&log)
            .map_err(io_error("open", &log))?;
        let errors = sink.try_clone().map_err(io_error("open", &log))?;
        let program = self.programs.join("postgres");
        let mut command = command_as(&program, self.user);
        command
            .arg("-D")
            .arg(&self.data)
            .arg("-p")
            .arg(self.port.to_string());
        let settings = [
            "listen_addresses=127.0.0.1",
            "unix_socket_directories=",
            "max_connections=200",
            "logging_collector=off",
            "log_destination=stderr",
            "cluster_name=stripe-sync",
        ];
        for setting in settings {
            command.arg("-c").arg(setting);
        }
        // A process group of its own: Ctrl-C in a terminal is for the owner, which then finishes its
        // work with the database still there.
        command.stdout(sink).stderr(errors).process_group(0);
        let mut server = command.spawn().map_err(io_error("run", &program))?;
        let answer = self.wait_for_answer(&mut server).await;
        // Kept also when it does not answer, so that it is ended with this value.
        self.server = Some(server);
        answer
    }

    async fn wait_for_answer(&self, server: &mut Child) -> Result<(), Error> {
        let url = self.url_of("postgres");
        let deadline = Instant::now() + START_WITHIN;
        loop {
            let attempt = sqlx::PgConnection::connect(url.expose_secret());
            let problem = match tokio::time::timeout(Duration::from_secs(5), attempt).await {
                Ok(Ok(connection)) => {
                    // The answer has been had; how the connection ends changes nothing.
                    let _ = connection.close().await;
                    return Ok(());
                }
                Ok(Err(error)) => error,
                Err(_) => sqlx::Error::PoolTimedOut,
            };
            if !matches!(server.try_wait(), Ok(None)) {
                let log = self.log();
                return Err(Error::Ended {
                    tail: tail(&log),
                    log,
                });
            }
            if Instant::now() >= deadline {
                return Err(Error::NoAnswer {
                    log: self.log(),
                    source: problem,
                });
            }
            tokio::time::sleep(POLL).await;
        }
    }
}

impl Drop for LocalPostgres {
    fn drop(&mut self) {
        if let Some(pid) = self.server.as_ref().and_then(process_id) {
            send(pid, Signal::SIGINT);
        }
    }
}

fn free_port() -> Option<u16> {
    (0..200)
        .map(|_| {
            let random = u16::from_le_bytes(common::clock::random_bytes());
            PORTS.start + random % (PORTS.end - PORTS.start)
        })
        .find(|port| port_is_free(*port))
}

fn port_is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}
