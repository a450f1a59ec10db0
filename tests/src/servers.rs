//! Real servers for tests: the pair that `make test` starts once for all of them, and private ones
//! for tests that kill PostgreSQL or the broker in the middle of something.
//!
//! All are run by `scripts/postgres` and `scripts/rabbitmq`. A private server ends with its value, also when the test
//! panics, and also when the test's process is killed, which owns it. A private RabbitMQ takes about five seconds to
//! start, and several at once share two cores, so a test that only needs a broker takes the shared one with a queue
//! name of its own.
//!
//! Everything here panics rather than return an error: without its server a test has nothing to say.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

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

/// The folder of PostgreSQL's own programs.
pub fn postgres_programs() -> PathBuf {
    run("postgres", &["bindir"]).into()
}

/// A server of one test's own.
#[derive(Debug)]
pub struct PrivateServer {
    script: &'static str,
    directory: TempDir,
    url: String,
}

impl PrivateServer {
    /// Makes a PostgreSQL cluster and starts it. Its URL is the superuser's, at the database `postgres`.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn postgres() -> Self {
        Self::start("postgres").await
    }

    /// Makes a RabbitMQ node and starts it.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn rabbitmq() -> Self {
        Self::start("rabbitmq").await
    }

    async fn start(script: &'static str) -> Self {
        // Below /tmp, because PostgreSQL's own user has to pass through when root runs the tests.
        let directory = tempfile::Builder::new()
            .prefix("stripe-sync-test.")
            .permissions(std::fs::Permissions::from_mode(0o711))
            .tempdir_in("/tmp")
            .expect("a temporary directory can be made");
        let mut server = Self {
            script,
            directory,
            url: String::new(),
        };
        server.url = server.run("start").await;
        server
    }

    /// The URL of the server, the same after every restart.
    pub fn url(&self) -> String {
        self.url.clone()
    }

    /// Ends every process of the server with SIGKILL. Commits that were answered are kept, and confirmed messages in
    /// durable queues.
    ///
    /// Waits a second first: RabbitMQ 3.10 writes the list of its quorum queues to disk half a second
    /// after it confirmed one, and a queue that is not in the list comes back unusable.
    ///
    /// # Panics
    /// When a process survives.
    pub async fn kill(&self) {
        if self.script == "rabbitmq" {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        self.run("kill").await;
    }

    /// Starts it again on the same ports and data, killing it first when it runs, and waits until it
    /// takes connections.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn restart(&self) {
        self.run("kill").await;
        let url = self.run("start").await;
        assert_eq!(url, self.url, "a restarted server keeps its URL");
    }

    async fn run(&self, command: &'static str) -> String {
        let script = self.script;
        let directory = self.directory.path().to_str().expect("a name of ours");
        let mut arguments = vec![command.to_owned(), directory.to_owned()];
        if command == "start" {
            arguments.extend(["--owner".to_owned(), std::process::id().to_string()]);
        }
        tokio::task::spawn_blocking(move || {
            run(
                script,
                &arguments.iter().map(String::as_str).collect::<Vec<_>>(),
            )
        })
        .await
        .expect("the script is waited for")
    }
}

impl Drop for PrivateServer {
    fn drop(&mut self) {
        // Bounded: the script gives up by itself. Its failure leaves processes and files behind and no more.
        let _ = command(self.script)
            .arg("remove")
            .arg(self.directory.path())
            .status();
    }
}

fn command(script: &str) -> std::process::Command {
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts");
    let mut command = std::process::Command::new(scripts.join(script));
    command.stdin(std::process::Stdio::null());
    command
}

/// What a script printed.
fn run(script: &str, arguments: &[&str]) -> String {
    let output = command(script)
        .args(arguments)
        .output()
        .expect("the script runs");
    assert!(
        output.status.success(),
        "scripts/{script} {arguments:?} failed: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout)
        .expect("the script prints text")
        .trim()
        .to_owned()
}
