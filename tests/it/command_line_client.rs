//! What the command line does with a running engine: connections, jobs, reports and refusals.

#![expect(clippy::unwrap_used, reason = "in helpers of tests as in tests")]

use std::process::Stdio;

use common::tenant::{OrganizationId, TokenRole};
use serde_json::{Value, json};
use stripe_sim::KeyState;
use tests::shell::{Ran, Shell, end};
use tests::world::World;

/// A shell whose commands ask this world's engine as the first organization's administrator.
pub(crate) fn shell_of(world: &World) -> Shell {
    Shell::new(&[
        ("STRIPE_SYNC_URL", &world.api_url),
        ("STRIPE_SYNC_TOKEN", world.token_of("acme")),
    ])
}

/// Runs the program with arguments, some of which have spaces; it must exit with `code`.
pub(crate) async fn run_with(shell: &Shell, arguments: &[&str], code: i32) -> Ran {
    let child = shell
        .command("")
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    end(child, &arguments.join(" "), code).await
}

/// What a run printed, which is JSON.
pub(crate) fn json_of(ran: &Ran) -> Value {
    serde_json::from_str(&ran.out).unwrap()
}

/// Words that only a caller of the HTTP API knows.
const FOREIGN: [&str; 13] = [
    "/v1/",
    "GET ",
    "PUT ",
    "POST ",
    "PATCH ",
    "pointer",
    "errors[",
    "`errors`",
    "/lookback_days",
    "/conditions",
    "date_from",
    "date_to",
    "_id`",
];

/// Checks that a text is for somebody who knows commands and flags and no HTTP.
#[track_caller]
pub(crate) fn assert_speaks_of_commands(text: &str) {
    for foreign in FOREIGN {
        assert!(!text.contains(foreign), "{foreign} in: {text}");
    }
}

/// Runs a command whose output, on both streams, must be in words that whoever typed it knows.
async fn reported(shell: &Shell, line: &str, code: i32, words: &[&str]) {
    let ran = shell.run(line, code).await.says(words);
    assert_speaks_of_commands(&format!("{line}\n{}{}", ran.out, ran.err));
}

async fn first_job(world: &World) -> Value {
    let jobs = world
        .get(&format!("/v1/connectors/{}/jobs", world.connection_id()))
        .await;
    jobs["data"].as_array().unwrap().last().unwrap()["job_id"].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_token_org_is_never_needed_and_a_wrong_one_is_named() {
    let world = World::with_charges(20).consumers(0).start().await;
    let mut shell = shell_of(&world);
    shell
        .run("whoami", 0)
        .await
        .says(&["organization  acme (acme)", "admin"]);
    for line in ["connect --org other", "jobs list --org other"] {
        reported(&shell, line, 1, &["`acme`, not to `other`", "omit --org"]).await;
    }
    reported(&shell, "status", 1, &["`stripe-sync connect`"]).await;
    shell.set("STRIPE_API_KEY", world.account().key());
    shell
        .run("connect --name Shop", 0)
        .await
        .says(&["connected acme-stripe-"]);
    reported(
        &shell,
        "connect --org acme",
        1,
        &[
            "connections replace-key --connection acme-stripe-",
            "(connection_exists)",
        ],
    )
    .await;
    shell
        .run("connections list", 0)
        .await
        .says(&["acme-stripe-", "Shop"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sync_says_whether_it_made_a_job_or_found_one() {
    let mut world = World::with_charges(20).consumers(0).start().await;
    world.connect().await;
    let job = first_job(&world).await;
    let (job, shell) = (job.as_str().unwrap(), shell_of(&world));
    let found = format!("job {job} (full) is already pending");
    shell.run("sync", 0).await.says(&[&found]);
    let answer = json_of(&shell.run("sync --json", 0).await);
    assert_eq!(answer, json!({"job_id": job, "started": false}));

    world.start_consumer();
    world.job_completed(&json!(job)).await;
    let ran = shell.run("sync", 0).await.says(&["started job "]);
    assert!(!ran.out.contains(job), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_are_listed_shown_cancelled_and_retried_with_a_token() {
    let mut world = World::with_charges(20).consumers(0).start().await;
    world.connect().await;
    let job = first_job(&world).await;
    let (id, shell) = (job.as_str().unwrap(), shell_of(&world));
    shell.run("jobs list", 0).await.says(&[id, "pending"]);
    let cancelled = format!("job {id} (full) is cancelled");
    shell.run("jobs cancel", 0).await.says(&[&cancelled]);
    reported(&shell, "jobs cancel", 1, &["no job is running or pending"]).await;
    let shown = shell.run("jobs show", 0).await;
    shown.says(&["cancelled", &format!("`stripe-sync jobs retry {id}`")]);
    let pending = format!("job {id} (full) is pending again");
    shell.run("jobs retry", 0).await.says(&[&pending]);
    reported(&shell, "jobs retry", 1, &["failed or was cancelled"]).await;
    reported(&shell, &format!("jobs retry {id}"), 1, &["(conflict)"]).await;
    reported(
        &shell,
        "jobs show 01932d0e-0000-7000-8000-000000000000",
        1,
        &["`stripe-sync connections list`", "(not_found)"],
    )
    .await;

    let account = world.account();
    let key = account.key().to_owned();
    account.set_key(&key, None, KeyState::Revoked);
    world.start_consumer();
    world.job_end(&job).await;
    let failed = shell.run("jobs list --status failed", 0).await;
    failed.says(&[id, "stripe_key_invalid"]);
    let none = shell.run("jobs list --status completed --json", 0).await;
    assert_eq!(json_of(&none), json!([]));
    for line in ["jobs show", "status", "connections show"] {
        let advice = "connections replace-key --connection acme-stripe-";
        let ran = shell.run(line, 0).await.says(&[advice]);
        assert!(!ran.out.contains("/v1/"), "{line}: {ran:?}");
    }
    reported(
        &shell,
        "connections test",
        1,
        &["the stored key does not work"],
    )
    .await;

    account.set_key(&key, None, KeyState::Active);
    shell
        .run("connections test", 0)
        .await
        .says(&["charges", "yes"]);
    let replaced = shell
        .run_with_input("connections replace-key --follow", &key, 0)
        .await;
    replaced.says(&["replaced the key of acme-stripe-", "job completed"]);
    shell.run("status", 0).await.says(&["charges   20"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_are_changed_and_disconnecting_needs_a_yes() {
    let world = World::with_charges(20).start().await;
    let connected = world.connect().await;
    world.job_completed(&connected["job_id"]).await;
    let shell = shell_of(&world);
    shell.run("connections pause", 0).await.says(&["paused"]);
    shell
        .run("connections resume --json", 0)
        .await
        .says(&["\"paused\": false"]);
    let mut set = vec!["connections", "set", "--name", "Shop one"];
    set.extend([
        "--timezone",
        "Europe/Berlin",
        "--sync-interval-minutes",
        "60",
    ]);
    set.extend(["--rate-share", "0.5"]);
    run_with(&shell, &set, 0).await.says(&[
        "Shop one",
        "Europe/Berlin",
        "every 60 minutes",
        "0.5 of Stripe's limits",
        "updates the dates of stored charges",
    ]);
    reported(
        &shell,
        "connections set --timezone Mars/Base",
        1,
        &["--timezone must be the name of an IANA time zone"],
    )
    .await;
    reported(&shell, "connections set", 2, &["--sync-interval-minutes"]).await;
    reported(
        &shell,
        "connections show --connection nobody",
        1,
        &["`stripe-sync connections list`"],
    )
    .await;

    reported(
        &shell,
        "connections disconnect",
        2,
        &["delete all of its data", "add --yes"],
    )
    .await;
    let left = json_of(&shell.run("connections list --json", 0).await);
    assert_eq!(left.as_array().unwrap().len(), 1);
    shell
        .run("connections disconnect --yes --follow", 0)
        .await
        .says(&["disconnected acme-stripe-", "delete job completed"]);
    reported(&shell, "connections list", 1, &["no connection yet"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reports_show_what_the_api_has_with_separators_and_a_total_for_each_currency() {
    let world = World::with_charges(300).start().await;
    let connected = world.connect().await;
    world.job_completed(&connected["job_id"]).await;
    let (shell, id) = (shell_of(&world), world.connection_id());
    let report = world
        .get(&format!(
            "/v1/analytics/stripe?connection_id={id}&group_by=currency"
        ))
        .await;
    let totals = report["totals"].as_array().unwrap();
    assert!(totals.len() > 1, "several currencies: {report:#}");
    let table = shell.run("revenue --by metadata:charge.tier", 0).await.out;
    // A section a currency, each ending in its total, an empty row between two.
    let sections: Vec<&str> = table.split("│\n").collect();
    let ends: Vec<&&str> = sections
        .iter()
        .filter(|row| row.contains("│ total "))
        .collect();
    assert_eq!(ends.len(), totals.len(), "{table}");
    for (end, total) in ends.iter().zip(totals) {
        let currency = total["currency"].as_str().unwrap().to_uppercase();
        assert!(end.contains(&currency), "{end} is the total of {currency}");
    }
    let large = totals
        .iter()
        .find(|total| total["net"].as_i64() > Some(100_000_000));
    assert!(large.is_none() || table.contains(','), "{table}");
    let blank = sections
        .iter()
        .filter(|row| row.trim_matches(['│', ' ', '\n']).is_empty());
    assert_eq!(blank.count(), totals.len() - 1, "{table}");

    let daily = json_of(&shell.run("daily --json", 0).await);
    let day = daily["data"][0]["date"].as_str().unwrap().to_owned();
    let one = shell
        .run(&format!("daily --from {day} --to {day}"), 0)
        .await;
    one.says(&[&day, "net"]);
    reported(
        &shell,
        "revenue --from 2026-02-02 --to 2026-02-01",
        2,
        &["--to must not be before --from"],
    )
    .await;
    reported(
        &shell,
        "daily --from 2026-02-02 --to 2026-02-01",
        2,
        &["--to must not be before --from"],
    )
    .await;

    shell
        .run("discover --object-type charge", 0)
        .await
        .says(&["charge.tier", "samples"]);
    let charges = world
        .get(&format!(
            "/v1/analytics/stripe/charges?connection_id={id}&limit=1"
        ))
        .await;
    let charge = charges["data"][0]["charge_id"].as_str().unwrap();
    shell
        .run(&format!("explain {charge}"), 0)
        .await
        .says(&[charge, "amount"]);
    shell
        .run("explain ch_nobody", 0)
        .await
        .says(&["does not count", "never_seen"]);
}

/// Everything that shows a connection, its jobs and its figures.
const SHOWN: [&str; 14] = [
    "whoami",
    "connections list",
    "connections show",
    "status",
    "jobs list",
    "jobs show",
    "rules list",
    "rules preview --condition charge.tier=free",
    "discover",
    "parked",
    "daily",
    "restatements",
    "revenue --by month",
    "explain ch_nobody",
];

async fn show_everything(shell: &Shell) {
    for line in SHOWN {
        reported(shell, line, 0, &[]).await;
    }
}

async fn connect_with_mistakes(shell: &mut Shell, key: &str) {
    for line in ["status", "revenue", "sync", "jobs list", "parked"] {
        reported(shell, line, 1, &["no connection yet"]).await;
    }
    for (key, code) in [
        ("pk_test_x", "stripe_key_wrong_kind"),
        ("rk_test_unknown", "stripe_key_invalid"),
        ("nonsense", "stripe_key_"),
    ] {
        shell.set("STRIPE_API_KEY", key);
        reported(shell, "connect", 1, &[code]).await;
    }
    shell.set("STRIPE_API_KEY", key);
    reported(shell, "connect --timezone Nowhere", 1, &["--timezone"]).await;
    reported(shell, "connect --follow", 0, &["job completed"]).await;
    show_everything(shell).await;
    reported(shell, "connect", 1, &["(connection_exists)"]).await;
}

async fn make_mistakes(shell: &Shell) {
    let unknown = "01932d0e-0000-7000-8000-000000000000";
    reported(shell, &format!("jobs show {unknown}"), 1, &["(not_found)"]).await;
    reported(shell, &format!("jobs retry {unknown}"), 1, &["(not_found)"]).await;
    reported(shell, "connections show --connection nobody", 1, &[]).await;
    reported(
        shell,
        "connections set --timezone Nowhere",
        1,
        &["--timezone"],
    )
    .await;
    reported(shell, "jobs retry", 1, &[]).await;
    reported(shell, "jobs cancel", 1, &[]).await;
    reported(
        shell,
        "daily --from 2026-02-02 --to 2026-02-01",
        2,
        &["--to"],
    )
    .await;
    reported(shell, "revenue --filter currency=nowhere", 2, &["currency"]).await;
    let rule = "rules create --name one --condition charge.tier=free";
    reported(shell, rule, 0, &["created rule"]).await;
    reported(shell, rule, 0, &[]).await;
    reported(shell, "rules show one", 1, &["several rules"]).await;
    let long = "x".repeat(1000);
    reported(
        shell,
        &format!("rules create --name {long} --condition country=DE"),
        1,
        &["--name"],
    )
    .await;
}

async fn use_wrong_tokens(world: &World, shell: &mut Shell) {
    let token = world.token_of("acme").to_owned();
    let organization = OrganizationId::new("acme").unwrap();
    let analyst = world.token(&organization, TokenRole::Analyst).await;
    shell.set("STRIPE_SYNC_TOKEN", &analyst);
    reported(shell, "sync", 1, &["whoami", "(forbidden)"]).await;
    shell.set("STRIPE_SYNC_TOKEN", "sst_unknown");
    reported(shell, "sync", 1, &["token create", "(unauthenticated)"]).await;
    shell.set("STRIPE_SYNC_TOKEN", &token);
}

/// Each way in which its key stops a connection.
async fn lose_the_key(world: &World, shell: &Shell, key: &str) {
    let account = world.account();
    let without_charges = ["rak_event_read", "rak_customer_read"];
    for (permissions, state, code) in [
        (
            Some(&without_charges[..]),
            KeyState::Active,
            "stripe_permission_missing",
        ),
        (None, KeyState::Revoked, "stripe_key_invalid"),
    ] {
        account.set_key(key, permissions, state);
        reported(shell, "sync --full --follow", 1, &[code]).await;
        show_everything(shell).await;
        reported(
            shell,
            "connections test",
            1,
            &["does not work", "stripe-sync connections "],
        )
        .await;
        reported(shell, "connections replace-key", 1, &[code]).await;
        account.set_key(key, None, KeyState::Active);
    }
    let damage = "UPDATE connection_credentials
        SET sealed = set_byte(sealed, octet_length(sealed) - 1, get_byte(sealed, octet_length(sealed) - 1) # 1)";
    sqlx::query(damage)
        .execute(world.database.admin())
        .await
        .unwrap();
    reported(shell, "sync --follow", 1, &["credential_unreadable"]).await;
    show_everything(shell).await;
    reported(
        shell,
        "connections test",
        1,
        &["does not work", "replace-key"],
    )
    .await;
    reported(
        shell,
        "connections replace-key --follow",
        0,
        &["job completed"],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_command_shows_http_calls_or_json_pointers() {
    let mut world = World::with_charges(60).start().await;
    let mut shell = shell_of(&world);
    let key = world.account().key().to_owned();
    connect_with_mistakes(&mut shell, &key).await;
    make_mistakes(&shell).await;
    use_wrong_tokens(&world, &mut shell).await;
    lose_the_key(&world, &shell, &key).await;
    world.stop_consumers().await;
    reported(&shell, "sync", 0, &["started job"]).await;
    reported(&shell, "connections disconnect --yes", 0, &["disconnected"]).await;
    reported(&shell, "connections show", 1, &["no connection yet"]).await;
    reported(&shell, "connect", 1, &["(connection_deleting)"]).await;
}
