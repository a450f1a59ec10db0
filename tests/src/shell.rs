//! `stripe-sync` as a person or a script runs it: in a directory, with its settings and no others, to its end.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Stdio;

use tempfile::TempDir;
use tokio::io::AsyncWriteExt as _;
use tokio::process::{Child, Command};

use crate::programs::binary;
use crate::world::WAIT_TIMEOUT;

/// What a run of the program came to.
#[derive(Debug)]
pub struct Ran {
    pub out: String,
    pub err: String,
}

impl Ran {
    /// Checks that it printed these, on either stream.
    #[expect(clippy::return_self_not_must_use, reason = "called for its checks")]
    #[track_caller]
    pub fn says(self, texts: &[&str]) -> Self {
        for text in texts {
            let said = self.out.contains(text) || self.err.contains(text);
            assert!(said, "not said: {text}\n{self:?}");
        }
        self
    }
}

/// A directory to run the program in, and its settings.
#[derive(Debug)]
pub struct Shell {
    directory: TempDir,
    settings: Vec<(&'static str, String)>,
}

impl Shell {
    /// A new directory, and these settings.
    pub fn new(settings: &[(&'static str, &str)]) -> Self {
        let settings = settings
            .iter()
            .map(|(name, value)| (*name, (*value).to_owned()))
            .collect();
        Self {
            directory: directory(),
            settings,
        }
    }

    /// The directory in which the program runs.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    pub fn set(&mut self, name: &'static str, value: &str) {
        self.settings.retain(|(known, _)| *known != name);
        self.settings.push((name, value.to_owned()));
    }

    /// Runs the program with these arguments, separated by spaces; it must exit with `code`. A tab stands for a space
    /// inside an argument.
    pub async fn run(&self, line: &str, code: i32) -> Ran {
        self.run_with_input(line, "", code).await
    }

    /// The same, with something on its standard input.
    pub async fn run_with_input(&self, line: &str, input: &str, code: i32) -> Ran {
        let mut child = self.start(line);
        let mut stdin = child.stdin.take().expect("standard input is a pipe");
        // A program that does not read its input may be gone before this is written.
        let _ = stdin.write_all(input.as_bytes()).await;
        drop(stdin);
        end(child, line, code).await
    }

    /// Starts the program with pipes for its streams.
    pub fn start(&self, line: &str) -> Child {
        self.command(line)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("stripe-sync starts")
    }

    /// The program with these arguments, in this directory, with these settings; it is killed with its value.
    pub fn command(&self, line: &str) -> Command {
        let words = line.split(' ').filter(|word| !word.is_empty());
        let arguments = words.map(|word| word.replace('\t', " "));
        let mut command = Command::new(binary("stripe-sync"));
        command
            .args(arguments)
            .env_clear()
            .envs(self.settings.iter().map(|(name, value)| (name, value)))
            .current_dir(self.directory.path())
            .kill_on_drop(true);
        command
    }
}

/// Waits for a program that was started; it must exit with `code`.
pub async fn end(child: Child, line: &str, code: i32) -> Ran {
    let output = tokio::time::timeout(WAIT_TIMEOUT, child.wait_with_output()).await;
    let output = output
        .unwrap_or_else(|_| panic!("`{line}` does not end"))
        .expect("its streams can be read");
    let text = |bytes| String::from_utf8(bytes).expect("it prints text");
    let ran = Ran {
        out: text(output.stdout),
        err: text(output.stderr),
    };
    assert_eq!(output.status.code(), Some(code), "{line}: {ran:?}");
    ran
}

/// A directory through which PostgreSQL's own user can pass, which runs the server where the tests run as root.
pub fn directory() -> TempDir {
    tempfile::Builder::new()
        .prefix("stripe-sync-test.")
        .permissions(std::fs::Permissions::from_mode(0o711))
        .tempdir_in("/tmp")
        .expect("a temporary directory can be made")
}
