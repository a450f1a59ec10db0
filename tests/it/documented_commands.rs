//! Every block of commands in README.md and docs/*.md runs as it is printed.
//!
//! The blocks of a document run in order in one shell, in an empty directory, with what a reader has: `stripe-sync` on the
//! `PATH`, a Stripe key (here of the simulator), and where the document builds on one, a running engine. `up` gets a free
//! port from `API_BIND`, as a reader would choose one whose port 8080 is taken. What cannot run here is listed below, line
//! by line, with the reason; a line that is listed and no longer printed fails too. So does a block whose tag is neither
//! a shell's nor in the list of those that hold no commands, since it would otherwise escape the run.

use std::path::Path;
use std::process::Stdio;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use secrecy::ExposeSecret as _;
use stripe_sim::Simulator;
use tests::database::TestDatabase;
use tests::documents::{CodeBlock, code_blocks};
use tests::programs::{binary, free_port};
use tests::servers::{postgres_programs, shared_amqp_url};
use tests::shell::directory;
use tests::sold_plans::sell;
use tests::world::{WAIT_TIMEOUT, unlimited_account};

use crate::command_line_client::assert_speaks_of_commands;

/// The tags of blocks that a reader pastes into a shell.
const SHELLS: [&str; 2] = ["sh", "bash"];

/// The tags of blocks that hold no commands.
const NO_SHELLS: [&str; 8] = [
    "text", "json", "sql", "rust", "toml", "mermaid", "http", "ts",
];

/// Document and heading of blocks of commands that are shown and not run, since they undo what the others need. The
/// command line's own tests read each of their lines.
const SHOWN: &[(&str, &str)] = &[
    ("docs/cli.md", "Connections and jobs"),
    ("docs/cli.md", "Webhooks"),
    ("docs/cli.md", "Connected accounts"),
    ("docs/cli.md", "Billing"),
    ("docs/cli.md", "Administration"),
];

/// How a line of commands begins, whatever the tag of its block.
const COMMANDS: [&str; 5] = ["stripe-sync ", "cargo ", "make ", "export ", "scripts/"];

/// Document, beginning of the line, why it is not run here.
const NOT_RUN: &[(&str, &str, &str)] = &[
    (
        "README.md",
        "make demo",
        "builds a release; run by itself before a release, and it compares its own figures",
    ),
    ("README.md", "make test", "runs this test"),
    (
        "docs/performance.md",
        "make bench",
        "takes an hour and needs the whole machine",
    ),
    (
        "docs/performance.md",
        "scripts/bench ",
        "parts of `make bench`",
    ),
    (
        "docs/performance.md",
        "cargo bench",
        "a part of `make bench`",
    ),
];

/// Document, beginning of the line, what is run instead: it comes to the same here.
const SUBSTITUTED: &[(&str, &str, &str)] = &[
    // The programs are built already, with the tests.
    (
        "README.md",
        "cargo build --release -p cli ",
        "export PATH=$PROGRAMS:$PATH",
    ),
    (
        "README.md",
        "cargo build --release -p api ",
        "export PATH=$PROGRAMS:$PATH",
    ),
    // The reader's own servers.
    (
        "README.md",
        "export DATABASE_URL=postgres://",
        "export DATABASE_URL=$SERVER_DATABASE AMQP_URL=$SERVER_BROKER",
    ),
];

/// What the reader of a document under docs/ has done before.
const RUNNING_ENGINE: &str = r"
export PATH=$PROGRAMS:$PATH
stripe-sync up >up.log 2>&1 &
stripe-sync org create acme --name Acme
export STRIPE_SYNC_TOKEN=$(stripe-sync token create --org acme)
stripe-sync connect --org acme --lookback-days 120 --follow
";

/// Document, what else its reader has done before.
const PREPARED: &[(&str, &str)] = &[
    // Whoever is paid fills in Stripe's page, and the platform has money. Whoever subscribes pays on another one.
    (
        "docs/cli.md",
        r#"
account=$(stripe-sync connect-account onboard --country US --json | sed -n 's/.*"account_id": "\(.*\)".*/\1/p')
curl --fail --silent --show-error --data '{}' "$STRIPE_API_BASE/_sim/connect/accounts/$account/submit"
curl --fail --silent --show-error --data '{"amount": 100000, "currency": "usd"}' "$STRIPE_API_BASE/_sim/connect/fund"
session=$(stripe-sync billing checkout pro --json | sed -n 's/.*"session_id": "\(.*\)".*/\1/p')
curl --fail --silent --show-error --data '{}' "$STRIPE_API_BASE/_sim/billing/checkout/$session/pay"
stripe-sync billing sync
"#,
    ),
    (
        "docs/operations.md",
        r#"
export PATH=$POSTGRES_PROGRAMS:$PATH DATABASE_URL=$(cat .local/database_url)
export RESTORED_URL=${DATABASE_URL%/*}/restored
psql --quiet --dbname="$DATABASE_URL" --command="CREATE DATABASE restored"
"#,
    ),
];

/// Proves that the three programs of README's second block work together. They answer when they are ready.
const THREE_PROGRAMS_WORK: &str = r"
stripe-sync org create acme --name Acme
export STRIPE_SYNC_TOKEN=$(stripe-sync token create --org acme)
until stripe-sync status 2>&1 | grep -q 'no connection'; do sleep 0.2; done
stripe-sync connect --org acme --follow
";

/// Stops on the first command that fails, and in any case ends what runs in the background.
const PRELUDE: &str = r"
set -eu
trap 'kill $(jobs -p) 2>/dev/null || true; wait' EXIT
";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the workspace")
}

fn documents() -> Vec<String> {
    let docs = std::fs::read_dir(root().join("docs")).unwrap();
    let mut names: Vec<String> = docs
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| Path::new(name).extension().is_some_and(|kind| kind == "md"))
        .map(|name| format!("docs/{name}"))
        .collect();
    names.push("README.md".to_owned());
    names.sort();
    names
}

/// Whether a block starts from scratch rather than after the one before it, and so has a test of its own.
fn runs_alone(document: &str, block: &CodeBlock) -> bool {
    document == "README.md" && block.heading == "Run it"
}

fn is_run(block: &CodeBlock) -> bool {
    SHELLS.contains(&block.language.as_str())
}

fn find<'a>(list: &'a [(&str, &str, &str)], document: &str, line: &str) -> Option<&'a str> {
    let found = list
        .iter()
        .find(|(of, beginning, _)| *of == document && line.starts_with(beginning));
    found.map(|(_, _, last)| *last)
}

/// The lines of a block as they are run here.
fn script(document: &str, block: &CodeBlock) -> String {
    let lines = block.text.lines().map(|line| {
        if find(NOT_RUN, document, line).is_some() {
            return String::new();
        }
        find(SUBSTITUTED, document, line).unwrap_or(line).to_owned()
    });
    lines.map(|line| line + "\n").collect()
}

/// Ends everything that a script started, also when the test panics.
struct Group(Pid);

impl Drop for Group {
    fn drop(&mut self) {
        // It has usually ended by itself.
        let _ = killpg(self.0, Signal::SIGTERM);
    }
}

/// Runs a script as a reader's shell does; what it printed.
async fn run(document: &str, script: &str) -> String {
    let simulator = Simulator::builder()
        .account(unlimited_account(300))
        .start()
        .await
        .unwrap();
    sell(&simulator.first().billing());
    let database = TestDatabase::create().await;
    let directory = directory();
    let log = directory.path().join("output");
    let output = std::fs::File::create(&log).unwrap();
    let programs = binary("stripe-sync").parent().unwrap().to_owned();
    let path = std::env::var("PATH").unwrap();
    let api = format!("127.0.0.1:{}", free_port());
    let mut shell = tokio::process::Command::new("bash")
        .args(["-c", &format!("{PRELUDE}{script}")])
        .current_dir(directory.path())
        .env_clear()
        .env("HOME", directory.path())
        .env("PATH", path)
        .env("PROGRAMS", programs)
        .env("POSTGRES_PROGRAMS", postgres_programs())
        .env("SERVER_DATABASE", database.url().expose_secret())
        .env("SERVER_BROKER", shared_amqp_url())
        .env("STRIPE_API_BASE", &simulator.base_url)
        .env("STRIPE_API_KEY", simulator.first().key())
        .env("STRIPE_PLATFORM_KEY", simulator.first().key())
        // What the pages show is not limited by the example of plans.
        .env(
            "PLANS_FILE",
            root().join("scripts/lib/plans_without_limits.json"),
        )
        .env("API_BIND", api)
        // Where the scheduler and the consumer would both have a fixed port.
        .env("OPS_BIND", "127.0.0.1:0")
        .stdin(Stdio::null())
        .stdout(output.try_clone().unwrap())
        .stderr(output)
        .process_group(0)
        .spawn()
        .expect("bash runs");
    let group = Group(Pid::from_raw(shell.id().unwrap().cast_signed()));
    let ended = tokio::time::timeout(WAIT_TIMEOUT * 2, shell.wait()).await;
    let printed = String::from_utf8_lossy(&std::fs::read(&log).unwrap()).into_owned();
    let engine = std::fs::read_to_string(directory.path().join("up.log")).unwrap_or_default();
    let status =
        ended.unwrap_or_else(|_| panic!("{document} does not end:\n{script}\n{printed}\n{engine}"));
    drop(group);
    let status = status.unwrap();
    assert!(
        status.success(),
        "{document}: {status}\n{script}\n{printed}\n{engine}"
    );
    printed
}

/// Why a block that is not run ought to be.
fn escapes(document: &str, block: &CodeBlock) -> Option<String> {
    let tag = block.language.as_str();
    if SHELLS.contains(&tag) {
        return None;
    }
    if !NO_SHELLS.contains(&tag) {
        return Some(format!(
            "the tag `{tag}` is neither a shell's nor known to hold no commands"
        ));
    }
    if SHOWN.contains(&(document, block.heading.as_str())) {
        return None;
    }
    let command = block
        .text
        .lines()
        .find(|line| COMMANDS.iter().any(|begins| line.starts_with(begins)))?;
    Some(format!("`{command}` is a command in a block of {tag}"))
}

#[test]
fn no_block_of_commands_escapes_the_run_by_its_tag() {
    let block = |language: &str, text: &str| CodeBlock {
        heading: "Run it".to_owned(),
        language: language.to_owned(),
        text: text.to_owned(),
    };
    for tag in ["", "console", "shell", "zsh", "sh,ignore", "sh title"] {
        assert!(
            escapes("README.md", &block(tag, "true\n")).is_some(),
            "{tag}"
        );
    }
    assert!(escapes("README.md", &block("text", "stripe-sync up\n")).is_some());
    assert_eq!(escapes("README.md", &block("sh", "stripe-sync up\n")), None);
    assert_eq!(escapes("README.md", &block("json", "{}\n")), None);
    let (document, heading) = SHOWN[0];
    let shown = |language: &str| CodeBlock {
        heading: heading.to_owned(),
        ..block(language, "stripe-sync up\n")
    };
    assert_eq!(escapes(document, &shown("text")), None);
    assert!(escapes(document, &shown("console")).is_some());
    for document in documents() {
        for block in code_blocks(&document) {
            if let Some(why) = escapes(&document, &block) {
                panic!("{document}, {}: {why}:\n{}", block.heading, block.text);
            }
        }
    }
}

#[test]
fn every_exception_is_still_printed() {
    let mut lines = Vec::new();
    for document in documents() {
        for block in code_blocks(&document).iter().filter(|block| is_run(block)) {
            let of_block = block.text.lines().map(str::to_owned);
            lines.extend(of_block.map(|line| (document.clone(), line)));
        }
    }
    for (document, heading) in SHOWN {
        let blocks = code_blocks(document);
        let printed = blocks
            .iter()
            .any(|block| block.heading == *heading && block.language == "text");
        assert!(printed, "{document} shows no commands under `{heading}`");
    }
    for (document, beginning, _) in NOT_RUN.iter().chain(SUBSTITUTED) {
        let printed = lines
            .iter()
            .any(|(of, line)| of == document && line.starts_with(beginning));
        assert!(
            printed,
            "{document} has no line that begins with `{beginning}`"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_readme_runs_on_one_machine_as_printed() {
    let blocks = code_blocks("README.md");
    let mut blocks = blocks.iter().filter(|block| runs_alone("README.md", block));
    let printed = run("README.md", &script("README.md", blocks.next().unwrap())).await;
    for text in [
        "organization acme",
        "connected acme-stripe-",
        "full job completed: ",
        "│ pro ",
    ] {
        assert!(printed.contains(text), "not printed: {text}\n{printed}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_readme_runs_as_three_programs_as_printed() {
    let blocks = code_blocks("README.md");
    let block = blocks
        .iter()
        .filter(|block| runs_alone("README.md", block))
        .nth(1);
    let script = script("README.md", block.unwrap()) + THREE_PROGRAMS_WORK;
    let printed = run("README.md", &script).await;
    assert!(printed.contains("full job completed: "), "{printed}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_other_block_of_commands_runs_as_printed() {
    for document in documents() {
        let blocks = code_blocks(&document);
        let blocks = blocks
            .iter()
            .filter(|block| is_run(block) && !runs_alone(&document, block));
        let commands: String = blocks.map(|block| script(&document, block)).collect();
        if commands.trim().is_empty() {
            continue;
        }
        let prepared = PREPARED.iter().find(|(of, _)| *of == document);
        let prepared = prepared.map_or("", |(_, commands)| *commands);
        let printed = run(&document, &format!("{RUNNING_ENGINE}{prepared}{commands}")).await;
        if document == "docs/cli.md" {
            assert_speaks_of_commands(&printed);
        }
    }
}
