//! Rules and filters from the command line, in the short form and as JSON.

#![expect(clippy::unwrap_used, reason = "in helpers of tests as in tests")]

use serde_json::Value;
use tests::shell::{Ran, Shell};
use tests::world::World;

use crate::command_line_client::{json_of, run_with, shell_of};

/// Runs a line whose tabs stand for spaces inside of arguments.
async fn run(shell: &Shell, line: &str, code: i32) -> Ran {
    let words: Vec<String> = line
        .split(' ')
        .map(|word| word.replace('\t', " "))
        .collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    run_with(shell, &words, code).await
}

async fn synced() -> (World, Shell) {
    let world = World::with_charges(300).start().await;
    let connected = world.connect().await;
    world.job_completed(&connected["job_id"]).await;
    let shell = shell_of(&world);
    (world, shell)
}

/// Charges that a selection counts, of all currencies.
async fn counted(shell: &Shell, filters: &str) -> i64 {
    let line = format!("revenue --by currency --json {filters}");
    let report = json_of(&run(shell, line.trim(), 0).await);
    let totals = report["totals"].as_array().unwrap().iter();
    totals.map(|total| total["charges"].as_i64().unwrap()).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rules_are_made_previewed_changed_and_deleted_from_the_command_line() {
    let (world, shell) = synced().await;
    run(&shell, "rules list", 0)
        .await
        .says(&["there are no rules"]);
    let all = counted(&shell, "").await;
    let preview = "rules preview --condition charge.tier=free --json";
    let preview = json_of(&run(&shell, preview, 0).await);
    let free = preview["matched_charges"].as_i64().unwrap();
    assert!(free > 0 && free < all, "{preview:#}");
    let reported = format!("matches {free} of {all} charges");
    let preview = run(&shell, "rules preview --condition charge.tier=free", 0).await;
    preview.says(&[&reported, "The newest:"]);

    let create = "rules create --name no\tfree --action exclude --condition charge.tier\tin\t(free) --follow";
    run(&shell, create, 0)
        .await
        .says(&["created rule ", "(no free)", "refilter job completed"]);
    assert_eq!(counted(&shell, "").await, all - free);
    let listed = run(&shell, "rules list", 0).await;
    listed.says(&["no free", "exclude", "charge.tier in free"]);
    run(&shell, "rules show no\tfree", 0)
        .await
        .says(&["no free: active", "condition   charge.tier in free"]);

    let charges = world
        .get(&format!(
            "/v1/analytics/stripe/charges?connection_id={}&metadata.charge.tier=free&limit=100",
            world.connection_id()
        ))
        .await;
    let excluded = charges["data"].as_array().unwrap().iter();
    let excluded = excluded
        .clone()
        .find(|row| row["excluded_by"] != Value::Null);
    let charge = excluded.unwrap()["charge_id"].as_str().unwrap();
    run(&shell, &format!("explain {charge}"), 0).await.says(&[
        "does not count",
        "no free",
        "`stripe-sync rules show ",
    ]);

    let changed = "rules change no\tfree --name later --deactivate --follow";
    run(&shell, changed, 0)
        .await
        .says(&["changed rule", "(later)"]);
    assert_eq!(counted(&shell, "").await, all);
    run(&shell, "rules change later", 2)
        .await
        .says(&["--activate"]);
    run(&shell, "rules change nobody --all", 1)
        .await
        .says(&["rules list"]);
    run(&shell, "rules delete later", 2)
        .await
        .says(&["add --yes"]);
    run(&shell, "rules delete later --yes --follow", 0)
        .await
        .says(&["deleted rule"]);
    run(&shell, "rules list", 0)
        .await
        .says(&["there are no rules"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn filter_takes_every_condition() {
    let (_world, shell) = synced().await;
    let all = counted(&shell, "").await;
    let free = counted(&shell, "--filter charge.tier=free").await;
    let pro = counted(&shell, "--filter metadata:charge.tier=pro").await;
    assert!(free > 0 && pro > 0);
    for (filters, expected) in [
        ("--filter charge.tier=free --filter charge.tier=pro", 0),
        (
            "--filter charge.tier=free --filter charge.tier=pro --any",
            free + pro,
        ),
        ("--filter charge.tier\tin\tfree,'pro'", free + pro),
        ("--filter charge.tier\tregex\t^(free|pro)$", free + pro),
        ("--filter charge.tier!=free", all - free),
        ("--filter charge.tier\tnot\tin\t(free)", all - free),
        ("--filter charge.tier\tstarts_with\tfr", free),
        ("--filter charge.tier\tends_with\tree", free),
        ("--filter charge.tier\tcontains\t'ree'", free),
        ("--filter charge.tier\tnot_contains\tree", all - free),
        ("--filter amount>=0", all),
        ("--filter amount<0", 0),
        ("--filter amount\texists", all),
        ("--filter currency\tnot_exists", 0),
        (
            r#"--filter {"type":"metadata","metadata_source":"charge","metadata_key":"tier","operator":"equals","value":"free"}"#,
            free,
        ),
    ] {
        assert_eq!(counted(&shell, filters).await, expected, "{filters}");
    }
    run(&shell, "revenue --filter tier=free", 2)
        .await
        .says(&["SOURCE one of charge, product, price, customer"]);
    run(&shell, "revenue --filter charge.tier\tregex\t(", 2)
        .await
        .says(&["--filter"]);
}
