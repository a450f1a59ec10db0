//! Processes: who runs the server, how it is signalled, and whether it still lives.
//!
//! Process ids are used again and zombies may stay for ever in a container, so neither a number in a
//! file nor a successful signal proves that a server runs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::{Child, Command};

/// The user that runs the server when this process is root.
#[derive(Debug, Clone, Copy)]
pub(super) struct ServerUser {
    pub(super) uid: u32,
    pub(super) gid: u32,
}

/// A command that runs as the server's user, in a directory that everybody may enter, and that is not
/// led elsewhere by the `PG…` variables of the person who started this.
pub(super) fn command_as(program: &Path, user: Option<ServerUser>) -> Command {
    let mut command = Command::new(program);
    command.current_dir("/").stdin(Stdio::null());
    for (name, _) in std::env::vars_os() {
        if name.as_encoded_bytes().starts_with(b"PG") {
            command.env_remove(name);
        }
    }
    if let Some(user) = user {
        // Also gives up every supplementary group of root.
        command.uid(user.uid).gid(user.gid);
    }
    command
}

pub(super) fn process_id(server: &Child) -> Option<Pid> {
    server
        .id()
        .and_then(|id| i32::try_from(id).ok())
        .map(Pid::from_raw)
}

/// Sends a signal; a process that has ended meanwhile is what the signal was for.
pub(super) fn send(pid: Pid, signal: Signal) {
    match kill(pid, signal) {
        Ok(()) | Err(Errno::ESRCH) => {}
        Err(error) => {
            tracing::warn!(pid = pid.as_raw(), %signal, %error, "cannot signal PostgreSQL");
        }
    }
}

/// Whether the process runs. A zombie does not: in a container it may stay one for ever.
fn lives(pid: Pid) -> bool {
    kill(pid, None) != Err(Errno::ESRCH) && !matches!(state_of(pid), Some('Z' | 'X'))
}

/// The state of a process, where the system tells (Linux).
fn state_of(pid: Pid) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name before it is in parentheses and may hold anything.
    let (_, rest) = stat.rsplit_once(") ")?;
    rest.chars().next()
}

/// Whether this process is a server of this cluster. Process ids are used again, so the number alone
/// says nothing; a server's working directory is its data.
pub(super) fn serves(pid: Pid, data: &Path) -> bool {
    if !lives(pid) {
        return false;
    }
    let process = PathBuf::from(format!("/proc/{pid}"));
    if process.exists() {
        return fs::read_link(process.join("cwd")).is_ok_and(|directory| directory == data);
    }
    // No /proc: believed when it is called what it should be.
    let output = std::process::Command::new("ps")
        .args(["-o", "comm=", "-p", &pid.to_string()])
        .output();
    output.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains("postgres"))
}
