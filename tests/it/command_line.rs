//! `stripe-sync` on a laptop, which needs no set-up: from `up` to the revenue.

#![expect(clippy::unwrap_used, reason = "in helpers of tests as in tests")]

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use serde_json::Value;
use stripe_sim::Simulator;
use tests::programs::Program;
use tests::shell::Shell;
use tests::world::{WAIT_TIMEOUT, unlimited_account};

/// The address that `up` says it listens on.
async fn listening(log: &Path) -> String {
    common::lifecycle::prepare_process();
    let http = reqwest::Client::builder().build().unwrap();
    let waited = async {
        loop {
            let text = std::fs::read_to_string(log).unwrap_or_default();
            if let Some((_, rest)) = text.split_once("stripe-sync listens on ") {
                let url = rest.split_whitespace().next().unwrap().to_owned();
                // It listens before it has migrated.
                let ready = http.get(format!("{url}/readyz")).send().await;
                if ready.is_ok_and(|answer| answer.status().is_success()) {
                    return url;
                }
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(WAIT_TIMEOUT * 2, waited)
        .await
        .expect("`up` says where it listens")
}

/// Connects the account of this key and syncs it, with a mistake or two on the way.
async fn connect_and_sync(shell: &Shell, key: &str) {
    shell.run("revenue", 1).await.says(&["no connection"]);
    shell
        .run_with_input("connect --org acme --timezone Nowhere", key, 1)
        .await
        .says(&["(invalid_request)", "--timezone must be "]);
    let connect = "connect --lookback-days 120 --follow";
    let connected = [
        "connected acme-stripe-",
        "full job completed: 300 charges read",
    ];
    shell.run_with_input(connect, key, 0).await.says(&connected);
    shell
        .run_with_input("connect", key, 1)
        .await
        .says(&["(connection_exists)"]);

    assert!(
        shell
            .run("status", 0)
            .await
            .out
            .contains("  charges   300\n")
    );
    shell.run("sync --follow", 0).await;
    shell.run("status --follow", 0).await;
}

/// Checks that the revenue is the same in every form.
async fn compare_revenue(shell: &Shell) {
    let json = shell.run("revenue --by currency --json", 0).await.out;
    let json: Value = serde_json::from_str(&json).unwrap();
    let total = &json["totals"][0];
    let csv = shell
        .run("revenue --by metadata:charge.tier --csv", 0)
        .await
        .out;
    let mut lines = csv.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let header = lines.next().unwrap();
    let at = |name| header.iter().position(|column| *column == name).unwrap();
    let (currency, net) = (at("currency"), at("net"));
    let net: i64 = lines
        .filter(|line| Some(line[currency]) == total["currency"].as_str())
        .map(|line| line[net].parse::<i64>().unwrap())
        .sum();
    assert_eq!(total["net"], net, "{csv}");
    let table = shell.run("revenue --by day", 0).await.out;
    assert!(table.contains("│ total "), "{table}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_laptop_needs_no_settings() {
    let sim = Simulator::builder()
        .account(unlimited_account(300))
        .start()
        .await
        .unwrap();
    let mut shell = Shell::new(&[]);
    let local = shell.directory().join(".local");
    let log = shell.directory().join("up.log");
    let settings = [
        ("LOCAL_DIR", local.to_str().unwrap()),
        ("API_BIND", "127.0.0.1:0"),
        ("STRIPE_API_BASE", &sim.base_url),
        ("LOG_FORMAT", "json"),
    ];
    let mut up = Program::start("stripe-sync", &["up"], &settings, &log);
    shell.set("STRIPE_SYNC_URL", &listening(&log).await);
    let mode = local
        .join("encryption_keys")
        .metadata()
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);

    shell.run("org create acme --name Acme", 0).await;
    let token = shell.run("token create --org acme", 0).await.out;
    shell
        .run("status --stripe-sync-token sst_wrong", 1)
        .await
        .says(&["(unauthenticated)", "request "]);
    shell.set("STRIPE_SYNC_TOKEN", token.trim());

    connect_and_sync(&shell, sim.first().key()).await;
    compare_revenue(&shell).await;

    up.terminate().await;
    assert!(
        !local.join("database_url").exists()
            && !local.join("postgres/data/postmaster.pid").exists()
    );
    shell
        .run("token create --org acme", 2)
        .await
        .says(&["DATABASE_URL is missing"]);
    assert!(
        !std::fs::read_to_string(&log)
            .unwrap()
            .contains(sim.first().key())
    );
}
