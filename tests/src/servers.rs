//! Real servers for tests: the pair that `make test` starts once for all of them, and private ones
//! for tests that kill PostgreSQL or the broker in the middle of something.
//!
//! A private server has a data directory, ports and a password of its own. It ends with its value,
//! also when the test panics, and also when the test's process is killed: a guard process holds the
//! other end of a pipe and removes the server when the pipe closes.
//!
//! PostgreSQL runs by the same code as `stripe-sync up`'s, which is thereby tested too; RabbitMQ by
//! `scripts/rabbitmq`. A private RabbitMQ takes about five seconds to start, and several at once share
//! two cores, so a test that only needs a broker takes the shared one with a queue name of its own.
//!
//! Everything here panics rather than return an error: without its server a test has nothing to say.

use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

use cli::local_postgres::{Durability, LocalPostgres};
use secrecy::ExposeSecret as _;
use tempfile::TempDir;

/// The superuser's URL of the PostgreSQL that all tests share, at its database `postgres`.
///
/// # Panics
/// When the tests were not started by `make test`.
pub fn shared_postgres_url() -> String {
    shared("TEST_DATABASE_URL")
}

/// The URL of the RabbitMQ that all tests share.
///
/// # Panics
/// When the tests were not started by `make test`.
pub fn shared_amqp_url() -> String {
    shared("TEST_AMQP_URL")
}

fn shared(variable: &str) -> String {
    std::env::var(variable).unwrap_or_else(|_| {
        panic!("{variable} is not set: run tests by make test, which starts the servers they need")
    })
}

/// A PostgreSQL cluster of one test's own.
#[derive(Debug)]
pub struct PrivatePostgres {
    cluster: LocalPostgres,
    _guard: Guard,
}

impl PrivatePostgres {
    /// Makes a cluster and starts it.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start() -> Self {
        let guard = Guard::of("postgres");
        let cluster = LocalPostgres::start(guard.directory.path(), Durability::Disposable)
            .await
            .expect("a private PostgreSQL starts");
        Self {
            cluster,
            _guard: guard,
        }
    }

    /// The superuser's URL at the database `postgres`, the same after every restart.
    pub fn url(&self) -> String {
        self.cluster.url_of("postgres").expose_secret().to_owned()
    }

    /// Ends every process of the server with SIGKILL. Commits that were answered are kept.
    ///
    /// # Panics
    /// When a process survives.
    pub async fn kill(&mut self) {
        self.cluster
            .kill()
            .await
            .expect("the private PostgreSQL is killed");
    }

    /// Starts it again on the same port and data, killing it first when it runs, and waits until it
    /// answers.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn restart(&mut self) {
        self.cluster
            .restart()
            .await
            .expect("the private PostgreSQL starts again");
    }
}

/// A RabbitMQ node of one test's own.
#[derive(Debug)]
pub struct PrivateRabbit {
    url: String,
    guard: Guard,
}

impl PrivateRabbit {
    /// Makes a node and starts it.
    pub async fn start() -> Self {
        let guard = Guard::of("rabbitmq");
        let url = run_script("rabbitmq", "start", guard.directory.path()).await;
        Self { url, guard }
    }

    /// The URL of the node, the same after every restart.
    pub fn url(&self) -> String {
        self.url.clone()
    }

    /// Ends the node with SIGKILL. Confirmed messages in durable queues are kept.
    ///
    /// Waits a second first: RabbitMQ 3.10 writes the list of its quorum queues to disk half a second
    /// after it confirmed one, and a queue that is not in the list comes back unusable.
    pub async fn kill(&mut self) {
        tokio::time::sleep(Duration::from_secs(1)).await;
        run_script("rabbitmq", "kill", self.guard.directory.path()).await;
    }

    /// Shuts the node down in order: clients are informed that their connection closes.
    pub async fn stop(&mut self) {
        run_script("rabbitmq", "stop", self.guard.directory.path()).await;
    }

    /// Starts it again on the same ports and data, killing it first when it runs, and waits until it
    /// takes connections.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn restart(&mut self) {
        run_script("rabbitmq", "kill", self.guard.directory.path()).await;
        let url = run_script("rabbitmq", "start", self.guard.directory.path()).await;
        assert_eq!(url, self.url, "a restarted node keeps its URL");
    }
}

/// A server's directory, and the process that removes server and directory when this value or this
/// process is gone.
#[derive(Debug)]
struct Guard {
    process: Child,
    pipe: Option<ChildStdin>,
    directory: TempDir,
}

impl Guard {
    fn of(script: &str) -> Self {
        // Below /tmp, because PostgreSQL's own user has to pass through when root runs the tests.
        let parent = PathBuf::from("/tmp");
        let directory = tempfile::Builder::new()
            .prefix("stripe-sync-test.")
            .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o711))
            .tempdir_in(parent)
            .expect("a temporary directory can be made");
        let mut command = Command::new("sh");
        command
            // `read` returns when the pipe is closed, by us or by our death.
            .args(["-c", "read -r _; exec \"$0\" remove \"$1\""])
            .arg(script_path(script))
            .arg(directory.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::null());
        // Out of reach of a test runner that kills its test's process group.
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut process = command.spawn().expect("sh runs");
        let pipe = process.stdin.take();
        Self {
            process,
            pipe,
            directory,
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        drop(self.pipe.take());
        // Bounded: the script gives up by itself. Its failure leaves files behind and no more.
        let _ = self.process.wait();
    }
}

fn script_path(script: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../scripts")
        .join(script)
}

async fn run_script(script: &str, command: &str, directory: &Path) -> String {
    let output = tokio::process::Command::new(script_path(script))
        .arg(command)
        .arg(directory)
        .stdin(Stdio::null())
        .output()
        .await
        .expect("the script runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "scripts/{script} {command} failed: {errors}"
    );
    String::from_utf8(output.stdout)
        .expect("the script prints text")
        .trim()
        .to_owned()
}
