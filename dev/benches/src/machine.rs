//! Where the figures were measured: the machine, the versions, and the server's settings, each as it tells
//! them itself.
//!
//! What cannot be found out is written as unknown rather than left out. Fails when PostgreSQL does not answer.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use sqlx::{Connection as _, PgConnection};

use crate::stage::Servers;

/// Settings of PostgreSQL that decide how fast and how safe writes are.
const SETTINGS: [&str; 11] = [
    "fsync",
    "synchronous_commit",
    "full_page_writes",
    "wal_level",
    "shared_buffers",
    "max_wal_size",
    "maintenance_work_mem",
    "work_mem",
    "max_connections",
    "max_parallel_workers_per_gather",
    "jit",
];
/// The longest beginning of a conversation that holds RabbitMQ's properties.
const GREETING_BYTES: usize = 4_096;

/// What the report says of where it was made.
#[derive(Debug)]
pub(crate) struct Machine {
    /// Name and value, in the order of the report.
    pub(crate) facts: Vec<(&'static str, String)>,
    pub(crate) settings: Vec<(String, String)>,
}

impl Machine {
    pub(crate) async fn look(servers: &Servers) -> anyhow::Result<Self> {
        let mut conn = PgConnection::connect(&servers.postgres).await?;
        let postgres: String = sqlx::query_scalar("SHOW server_version")
            .fetch_one(&mut conn)
            .await?;
        let settings = sqlx::query_as(
            "SELECT name, current_setting(name) FROM pg_settings
             JOIN UNNEST($1::TEXT[]) WITH ORDINALITY AS wanted (name, place) USING (name) ORDER BY place",
        )
        .bind(SETTINGS.map(str::to_owned).to_vec())
        .fetch_all(&mut conn)
        .await?;
        conn.close().await?;
        let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
        let first = |path: &str, field: &str| {
            let text = std::fs::read_to_string(path).unwrap_or_default();
            let line = text.lines().find(|line| line.starts_with(field));
            let value = line.and_then(|line| line.split_once(':'));
            value.map_or_else(unknown, |(_, value)| value.trim().to_owned())
        };
        let memory = first("/proc/meminfo", "MemTotal");
        let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_else(|_| unknown());
        let facts = vec![
            ("processor", first("/proc/cpuinfo", "model name")),
            ("cores", cores.to_string()),
            ("memory", memory),
            ("system", printed("uname", &["-srm"])),
            ("load before the first run", load.trim().to_owned()),
            ("PostgreSQL", postgres),
            (
                "RabbitMQ",
                rabbitmq_version(&servers.rabbitmq).unwrap_or_else(unknown),
            ),
            ("compiler", printed("rustc", &["--version"])),
            ("commit", commit()),
        ];
        Ok(Self { facts, settings })
    }
}

fn unknown() -> String {
    "unknown".to_owned()
}

fn printed(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().ok();
    let output = output.filter(|output| output.status.success());
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    text.unwrap_or_else(unknown)
}

fn commit() -> String {
    let commit = printed("git", &["rev-parse", "--short=12", "HEAD"]);
    // The report itself changes with every run.
    let changed = printed(
        "git",
        &["status", "--porcelain", "--", ".", ":!docs/performance.md"],
    );
    match changed.as_str() {
        "" => commit,
        _ => format!("{commit}, with changes"),
    }
}

/// The version with which RabbitMQ greets whoever speaks AMQP: the first string after its name.
fn rabbitmq_version(url: &str) -> Option<String> {
    let address = url.rsplit_once('@')?.1.split('/').next()?;
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    stream.write_all(b"AMQP\x00\x00\x09\x01").ok()?;
    let mut greeting = vec![0; GREETING_BYTES];
    let length = stream.read(&mut greeting).ok()?;
    let greeting = &greeting[..length];
    let key = b"\x07versionS";
    let at = greeting
        .windows(key.len())
        .position(|window| window == key)?
        + key.len();
    let (size, rest) = greeting.get(at..)?.split_first_chunk::<4>()?;
    let value = rest.get(..u32::from_be_bytes(*size) as usize)?;
    Some(String::from_utf8_lossy(value).into_owned())
}
