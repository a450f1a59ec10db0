//! Where PostgreSQL's server programs are installed, and of which version they are.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::Command;

use super::error::Error;

/// The oldest major version that the engine's SQL runs on.
pub(super) const OLDEST_VERSION: u32 = 15;

pub(super) async fn newest_programs() -> Result<PathBuf, Error> {
    let installed = installed_programs().await;
    let newest = installed
        .into_iter()
        .filter(|(version, _)| *version >= OLDEST_VERSION)
        .max();
    newest
        .map(|(_, directory)| directory)
        .ok_or(Error::NotInstalled)
}

pub(super) async fn programs_of(version: u32, data: &Path) -> Result<PathBuf, Error> {
    let installed = installed_programs().await;
    installed
        .into_iter()
        .find_map(|(found, directory)| (found == version).then_some(directory))
        .ok_or_else(|| Error::VersionGone {
            data: data.to_owned(),
            version,
        })
}

/// Every directory with PostgreSQL's server programs, with their major version.
async fn installed_programs() -> Vec<(u32, PathBuf)> {
    let mut candidates = Vec::new();
    // Debian and Ubuntu; the packages of postgresql.org for Red Hat; Homebrew on both kinds of Mac.
    for (parent, prefix) in [
        ("/usr/lib/postgresql", ""),
        ("/usr", "pgsql-"),
        ("/opt/homebrew/opt", "postgresql"),
        ("/usr/local/opt", "postgresql"),
    ] {
        let entries = fs::read_dir(parent).into_iter().flatten().flatten();
        let named = entries.filter(|entry| {
            entry
                .file_name()
                .as_encoded_bytes()
                .starts_with(prefix.as_bytes())
        });
        candidates.extend(named.map(|entry| entry.path().join("bin")));
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    candidates.extend(std::env::split_paths(&path));
    let mut installed = Vec::new();
    for directory in candidates {
        if directory.join("initdb").is_file()
            && let Some(version) = version_of(&directory.join("postgres")).await
        {
            installed.push((version, directory));
        }
    }
    installed
}

async fn version_of(program: &Path) -> Option<u32> {
    let output = Command::new(program)
        .arg("--version")
        .stdin(Stdio::null())
        .output()
        .await
        .ok()?;
    parse_version(&String::from_utf8_lossy(&output.stdout))
}

/// The major version in "postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)".
fn parse_version(text: &str) -> Option<u32> {
    let number = text
        .split_whitespace()
        .find(|word| word.starts_with(|c: char| c.is_ascii_digit()))?;
    number
        .split(|c: char| !c.is_ascii_digit())
        .next()?
        .parse()
        .ok()
}

pub(super) fn how_to_install() -> &'static str {
    if cfg!(target_os = "macos") {
        "run 'brew install postgresql@17'"
    } else if Path::new("/usr/bin/apt-get").exists() {
        "run 'apt-get install postgresql' as root"
    } else {
        "install your system's PostgreSQL server package"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_what_the_server_says() {
        for (text, version) in [
            (
                "postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)",
                Some(15),
            ),
            ("postgres (PostgreSQL) 18beta1", Some(18)),
            ("postgres (EnterpriseDB) 9.6.24", Some(9)),
            ("", None),
        ] {
            assert_eq!(parse_version(text), version, "{text}");
        }
    }
}
