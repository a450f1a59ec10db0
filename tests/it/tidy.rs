//! The rules of the code's layout that no compiler holds: which way arrows point, and what files say.

use std::fs;
use std::path::{Path, PathBuf};

/// What `common/src` holds besides nouns; every other folder or file in it is one.
const SYSTEMS_AND_SHELL: [&str; 13] = [
    "broker",
    "config",
    "csv_cell",
    "db",
    "error_chain",
    "fail_point",
    "id",
    "identity",
    "lib",
    "lifecycle",
    "outage",
    "telemetry",
    "throttle",
];
/// What a connector holds besides nouns: its vendor, its settings, and how the engine knows it.
const VENDOR_AND_SEAM: [&str; 4] = ["config", "connector", "lib", "read_client"];
/// What the platform's own side holds besides nouns.
const PLATFORM_AND_VENDOR: [&str; 5] = ["config", "gateway", "lib", "stripe", "webhook"];
/// Where a noun speaks to PostgreSQL.
const SQL: [&str; 16] = [
    "/queries.rs",
    "/queries/",
    "charge/out_of_range.rs",
    "charge/upsert.rs",
    "job/claim.rs",
    "job/enqueue.rs",
    "job/lease.rs",
    "job/schedule.rs",
    "sync/parked.rs",
    "sync/purge.rs",
    "sync/resumable_plan.rs",
    "sync/state.rs",
    "filter/sql.rs",
    "filter/verify.rs",
    "filter/jsonpath_sql.rs",
    "unit_of_work.rs",
];
/// Where figures are asked for by statements that are built; the others are in its `queries`.
const BUILT: [&str; 4] = [
    "analytics/queries.rs",
    "analytics/totals.rs",
    "analytics/charge_lines.rs",
    "analytics/figure_source.rs",
];
const MEANINGLESS: [&str; 7] = [
    "utils", "helpers", "misc", "types", "consts", "shared", "models",
];
const PROGRAMS: [&str; 3] = ["api", "scheduler", "consumer"];

fn root() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().expect("the workspace").to_path_buf()
}

/// Every Rust file below a folder of the workspace, with its text.
fn rust_files(folder: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir()
                && path
                    .file_name()
                    .is_some_and(|name| name != "target" && name != "node_modules")
            {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                found.push((
                    path.strip_prefix(root()).unwrap().display().to_string(),
                    text,
                ));
            }
        }
    }
    assert!(!found.is_empty(), "{folder} holds Rust files");
    found
}

fn mentions(text: &str, name: &str) -> bool {
    text.lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .any(|line| line.contains(name))
}

/// The folders of the connectors that ship.
fn connectors() -> Vec<String> {
    let folders = fs::read_dir(root().join("connectors")).unwrap();
    let names = folders.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.map(|name| format!("connectors/{name}")).collect()
}

/// The files of a crate that belong to nouns: to whatever is not named here as something else.
fn noun_files(krate: &str, others: &[&str]) -> Vec<(String, String)> {
    let source = format!("{krate}/src/");
    let mut files = rust_files(krate);
    files.retain(|(path, _)| {
        let first = |inside: &str| inside.split(['/', '.']).next().unwrap().to_owned();
        let noun = path.strip_prefix(&source).map(first);
        noun.is_some_and(|noun| !others.contains(&noun.as_str()))
    });
    assert!(!files.is_empty(), "{krate} has nouns");
    files
}

#[test]
fn nouns_do_no_io_outside_their_queries() {
    let mut files = noun_files("common", &SYSTEMS_AND_SHELL);
    for connector in connectors() {
        files.extend(noun_files(&connector, &VENDOR_AND_SEAM));
    }
    files.extend(noun_files("platform", &PLATFORM_AND_VENDOR));
    for (path, text) in files {
        // Jobs are work in progress: they read, write and wait. So is carrying out what moves money, and waiting for whoever
        // makes the same session.
        let works = ["/sync/", "/job/", "/ledger/carry_out", "/billing/checkout"]
            .iter()
            .any(|place| path.contains(place));
        for system in ["reqwest::", "lapin::", "::broker"] {
            assert!(!mentions(&text, system), "{path} uses {system}");
        }
        assert!(works || !mentions(&text, "tokio::"), "{path} uses tokio");
        let analytics = path.contains("/analytics/");
        if analytics && !BUILT.iter().any(|place| path.ends_with(place)) {
            assert!(
                !mentions(&text, "sqlx::query"),
                "{path} has a statement outside of queries"
            );
        }
        let sqlx = if works { "sqlx::query" } else { "sqlx::" };
        if !analytics && !SQL.iter().any(|place| path.contains(place)) {
            assert!(
                !mentions(&text, sqlx),
                "{path} uses sqlx outside of queries"
            );
        }
    }
}

#[test]
fn the_engine_knows_no_connector_and_connectors_do_not_know_each_other() {
    let connectors = connectors();
    let names: Vec<&str> = connectors
        .iter()
        .map(|connector| connector.trim_start_matches("connectors/"))
        .collect();
    for krate in connectors
        .iter()
        .map(String::as_str)
        .chain(["common", "platform"])
    {
        let manifest = fs::read_to_string(root().join(krate).join("Cargo.toml")).unwrap();
        let strangers = names
            .iter()
            .chain(&["platform"])
            .filter(|name| !krate.ends_with(*name))
            .chain(&PROGRAMS);
        for other in strangers {
            assert!(
                !manifest.contains(&format!("\n{other}.workspace")),
                "{krate} uses {other}"
            );
        }
    }
    let (_, ad_spend) = rust_files("tests/src")
        .into_iter()
        .find(|(path, _)| path.ends_with("ad_spend.rs"))
        .unwrap();
    assert!(
        !mentions(&ad_spend, "stripe::"),
        "it imports `common` alone"
    );
    assert!(ad_spend.lines().count() < 300, "a connector is small");
}

#[test]
fn a_vendor_knows_no_table() {
    let mut files = rust_files("platform/src/stripe");
    for connector in connectors() {
        files.extend(rust_files(&format!("{connector}/src/read_client")));
    }
    for (path, text) in files {
        for system in ["common::db", "common::broker", "sqlx::"] {
            assert!(!mentions(&text, system), "{path} uses {system}");
        }
    }
}

#[test]
fn programs_do_not_depend_on_each_other_nor_on_the_simulator() {
    for program in PROGRAMS.iter().chain(&["common"]) {
        let manifest = fs::read_to_string(root().join(program).join("Cargo.toml")).unwrap();
        for other in PROGRAMS
            .iter()
            .chain(&["cli", "benches", "stripe-sim", "tests"])
        {
            let dependency = format!("\n{other}.workspace");
            assert!(
                other == program || !manifest.contains(&dependency),
                "{program} uses {other}"
            );
        }
    }
    let cli = fs::read_to_string(root().join("cli/Cargo.toml")).unwrap();
    assert!(
        !cli.contains("stripe-sim"),
        "what ships does not depend on the simulator"
    );
}

#[test]
fn every_file_says_why_it_exists_and_has_a_name_that_says_what_it_holds() {
    for folder in [
        "api",
        "dev",
        "cli",
        "common",
        "connectors",
        "consumer",
        "platform",
        "scheduler",
        "tests",
    ] {
        for (path, text) in rust_files(folder) {
            assert!(text.starts_with("//!"), "{path} does not say why it exists");
            let parts = Path::new(&path).with_extension("");
            for part in parts.components() {
                let name = part.as_os_str().to_str().unwrap();
                assert!(
                    !MEANINGLESS.contains(&name),
                    "{path}: `{name}` says nothing"
                );
            }
        }
    }
}

#[test]
fn mains_are_short_and_say_where_things_are() {
    for program in ["api", "cli", "consumer", "scheduler"] {
        let main = fs::read_to_string(root().join(program).join("src/main.rs")).unwrap();
        assert!(main.lines().count() < 40, "{program}'s main is long");
        let map = main
            .lines()
            .take_while(|line| line.starts_with("//!"))
            .count();
        assert!(map >= 3, "{program}'s main does not say where things are");
    }
}

/// Pages whose rows end with the tests that hold them to be true, and how many such rows there are at least.
const PAGES_WITH_TESTS: [(&str, usize); 2] = [("docs/failures.md", 50), ("docs/database.md", 40)];

#[test]
fn every_row_of_the_pages_on_failures_and_the_database_names_a_test_that_exists() {
    let folders = [
        "api",
        "common",
        "connectors",
        "consumer",
        "platform",
        "scheduler",
        "tests",
    ];
    let sources: Vec<(String, String)> = folders.into_iter().flat_map(rust_files).collect();
    for (path, least) in PAGES_WITH_TESTS {
        let page = fs::read_to_string(root().join(path)).unwrap();
        let mut rows = 0;
        for line in page.lines().filter(|line| line.starts_with("| ")) {
            let cells: Vec<&str> = line.trim_matches('|').split(" | ").collect();
            let last = cells.last().expect("a cell").trim();
            if last == "test" || last == "not tested here" {
                continue;
            }
            rows += 1;
            let tests: Vec<&str> = last.split('`').skip(1).step_by(2).collect();
            assert!(!tests.is_empty(), "{path}: no test: {line}");
            for test in tests {
                let declared = format!("fn {test}(");
                let exists = sources.iter().any(|(_, text)| text.contains(&declared));
                assert!(exists, "{path} names {test}, which does not exist");
            }
        }
        assert!(rows > least, "{path}: {rows} rows were found");
    }
}

/// The pages that name files of this repository.
fn pages() -> Vec<(String, String)> {
    let mut pages = vec!["README.md".to_owned(), "migrations/README.md".to_owned()];
    for folder in ["docs", "docs/adr"] {
        for entry in fs::read_dir(root().join(folder)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "md") {
                pages.push(path.strip_prefix(root()).unwrap().display().to_string());
            }
        }
    }
    let read = |path: String| {
        let text = fs::read_to_string(root().join(&path)).unwrap();
        (path, text)
    };
    pages.into_iter().map(read).collect()
}

#[test]
fn every_file_that_a_page_names_exists() {
    const FOLDERS: [&str; 10] = [
        "api",
        "cli",
        "common",
        "connectors",
        "consumer",
        "dev",
        "migrations",
        "platform",
        "scheduler",
        "tests",
    ];
    let mut named = 0;
    for (page, text) in pages() {
        for name in text.split('`').skip(1).step_by(2) {
            let is_path = FOLDERS
                .iter()
                .any(|folder| name.starts_with(&format!("{folder}/")));
            if !is_path || name.contains(['{', '*', ' ', '…']) {
                continue;
            }
            named += 1;
            assert!(
                root().join(name).exists(),
                "{page} names {name}, which does not exist"
            );
        }
    }
    assert!(named > 40, "{named} files are named");
}

/// Words that hide a concept, and what to write instead. A phrase matches in prose and in identifiers.
const UNCLEAR_WORDS: [(&str, &str); 10] = [
    (
        "anew",
        "again, or what is done: rebuilt, redated, restarted",
    ),
    ("told", "what is done: reported, logged, published, asked"),
    (
        "places",
        "the thing's own name: ctids, cursors, pointers, indexes",
    ),
    ("beside", "with, next to, in addition to"),
    ("let go", "released"),
    ("lets go", "releases"),
    ("without a word", "silently, or without a request"),
    ("called off", "cancelled"),
    ("put right", "repaired"),
    ("goes nowhere", "what is wrong: is stuck, has no cursor"),
];

#[test]
fn unclear_words_are_not_used() {
    let mut files: Vec<(String, String)> = ["README.md".into(), "migrations/README.md".into()]
        .into_iter()
        .chain(markdown("docs"))
        .map(|path: String| (path.clone(), fs::read_to_string(root().join(path)).unwrap()))
        .collect();
    for folder in [
        "api",
        "dev",
        "cli",
        "common",
        "connectors",
        "consumer",
        "scheduler",
        "tests",
    ] {
        if root().join(folder).is_dir() {
            files.extend(rust_files(folder));
        }
    }
    let mut found = Vec::new();
    for (path, text) in files {
        // This list, and measurements as they were printed then.
        if path.ends_with("tidy.rs") || path == "docs/performance.md" {
            continue;
        }
        for (number, line) in text.lines().enumerate() {
            let words: Vec<String> = line
                .split(|character: char| !character.is_alphanumeric())
                .filter(|word| !word.is_empty())
                .map(str::to_lowercase)
                .collect();
            let line = format!(" {} ", words.join(" "));
            for (word, instead) in UNCLEAR_WORDS {
                if line.contains(&format!(" {word} ")) {
                    found.push(format!("{path}:{}: `{word}`; write {instead}", number + 1));
                }
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

fn markdown(folder: &str) -> Vec<String> {
    let entries = fs::read_dir(root().join(folder)).unwrap();
    entries
        .map(|entry| format!("{folder}/{}", entry.unwrap().file_name().display()))
        .filter(|path| {
            Path::new(path)
                .extension()
                .is_some_and(|extension| extension == "md")
        })
        .collect()
}

#[test]
fn every_name_of_the_glossary_exists() {
    let glossary = fs::read_to_string(root().join("docs/glossary.md")).unwrap();
    let folders = [
        "api",
        "common",
        "connectors",
        "consumer",
        "platform",
        "scheduler",
    ];
    let rust: Vec<String> = folders
        .into_iter()
        .flat_map(rust_files)
        .map(|(_, text)| text)
        .collect();
    // Roles are made by `migrate`, not by a migration.
    let roles = root().join("common/src/db/mod.rs");
    let sql: Vec<String> = fs::read_dir(root().join("migrations"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "sql"))
        .chain([roles])
        .map(|path| fs::read_to_string(path).unwrap())
        .collect();
    let mut terms = 0;
    for line in glossary.lines().filter(|line| line.starts_with("| ")) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [term, _, rust_name, sql_name, _] = cells[..] else {
            panic!("five cells: {line}");
        };
        if term == "Term" {
            continue;
        }
        terms += 1;
        for (name, sources) in [(rust_name, &rust), (sql_name, &sql)] {
            let Some(name) = name
                .strip_prefix('`')
                .and_then(|name| name.strip_suffix('`'))
            else {
                assert_eq!(name, "–", "{term}");
                continue;
            };
            for part in name.split("::").flat_map(|part| part.split('.')) {
                let exists = sources.iter().any(|text| {
                    text.split(|character: char| !character.is_alphanumeric() && character != '_')
                        .any(|word| word == part)
                });
                assert!(exists, "{term}: `{name}` does not exist");
            }
        }
    }
    assert!(terms >= 60, "{terms} terms");
}
