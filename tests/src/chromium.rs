//! Runs tests of pages in a real browser: a file of `tests/browser`, by Node's own test runner.
//!
//! A file is run by one Rust test, which starts what the file needs and fails with its output. `scripts/test` has
//! installed Node, Chromium and the npm packages.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

/// How long a file may take: some of its tests wait for jobs, and a browser is slow on a busy machine.
const FILE_TIMEOUT: Duration = Duration::from_mins(4);

/// Runs `tests/browser/NAME.test.mjs` against the API at this URL, with an administrator's token.
pub async fn run_browser_tests(name: &str, base_url: &str, token: &str) {
    run_browser_tests_with(name, base_url, token, &[]).await;
}

/// The same with more variables in the environment.
pub async fn run_browser_tests_with(
    name: &str,
    base_url: &str,
    token: &str,
    variables: &[(&str, &str)],
) {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("browser");
    let node = Command::new("node")
        .args(["--test", "--test-reporter=spec"])
        .arg(format!("{name}.test.mjs"))
        .current_dir(directory)
        .env("BASE_URL", base_url)
        .env("TOKEN", token)
        .envs(variables.iter().copied())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(FILE_TIMEOUT, node).await;
    let output = output
        .unwrap_or_else(|_| panic!("{name}.test.mjs does not end"))
        .expect("node runs");
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}
