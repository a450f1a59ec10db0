//! Organizations as an operator manages them: listed, renamed, and deleted with all that is stored of them or not at all.

use std::collections::BTreeMap;
use std::process::Stdio;

use reqwest::Method;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;
use tests::database::TestDatabase;
use tests::shell::Shell;
use tests::world::World;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn organizations_are_listed_and_renamed() {
    let database = TestDatabase::create().await;
    let shell = Shell::new(&[("DATABASE_URL", database.url().expose_secret())]);
    assert_eq!(shell.run("org list --json", 0).await.out.trim(), "[]");
    shell.run("org create zeta --name Zeta", 0).await;
    shell.run("org create acme --name Acme", 0).await;
    let taken = shell.run("org create acme --name Other", 1).await;
    taken.says(&["`Acme`", "stripe-sync org rename acme --name"]);
    shell.run("org rename acme --name Acme-Corp", 0).await;
    shell.run("org create acme --name Acme-Corp", 0).await;
    shell
        .run("org rename nobody --name Nobody", 1)
        .await
        .says(&["`nobody`", "stripe-sync org list"]);
    let listed: Value = serde_json::from_str(&shell.run("org list --json", 0).await.out).unwrap();
    let names: Vec<_> = listed
        .as_array()
        .unwrap()
        .iter()
        .map(|organization| {
            assert_eq!(organization["connections"], 0);
            assert!(organization["created_at"].is_string());
            (
                organization["organization_id"].as_str().unwrap(),
                organization["name"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(names, [("acme", "Acme-Corp"), ("zeta", "Zeta")]);
    let table = shell.run("org list", 0).await.out;
    assert!(
        table.contains("│ acme ") && table.contains(" connections "),
        "{table}"
    );
}

/// How many rows each table holds of an organization, tables without any left out.
async fn rows_of(database: &TestDatabase, organization: &str) -> BTreeMap<String, i64> {
    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT c.table_name::TEXT FROM information_schema.columns AS c
         JOIN information_schema.tables AS t USING (table_schema, table_name)
         WHERE c.table_schema = 'public' AND c.column_name = 'organization_id' AND t.table_type = 'BASE TABLE'",
    )
    .fetch_all(database.admin())
    .await
    .unwrap();
    assert!(tables.len() > 10, "{tables:?}");
    let mut found = BTreeMap::new();
    for table in tables {
        let statement = format!("SELECT COUNT(*) FROM {table} WHERE organization_id = $1");
        let rows: i64 = sqlx::query_scalar(AssertSqlSafe(statement))
            .bind(organization)
            .fetch_one(database.admin())
            .await
            .unwrap();
        if rows > 0 {
            found.insert(table, rows);
        }
    }
    found
}

/// Connects the account for both organizations and syncs it.
async fn sync_for_both(world: &mut World) {
    world.organization("zeta").await;
    for organization in ["acme", "zeta"] {
        let body = json!({
            "organization_id": organization,
            "api_key": world.account().key(),
            "lookback_days": 120,
        });
        let token = world.token_of(organization).to_owned();
        let path = "/v1/connectors/stripe/connect";
        let connected = world.ask_as(&token, Method::POST, path, Some(body)).await;
        let job_id = connected.expect(201)["job_id"].clone();
        let path = format!("/v1/sync-jobs/{}", job_id.as_str().unwrap());
        world
            .eventually("the first sync", async || {
                let job = world.ask_as(&token, Method::GET, &path, None).await;
                (job.expect(200)["status"] == "completed").then_some(())
            })
            .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deleting_an_organization_removes_only_its_data() {
    let mut world = World::with_charges(200).start().await;
    sync_for_both(&mut world).await;
    let of_zeta = rows_of(&world.database, "zeta").await;
    assert!(of_zeta.len() > 8, "{of_zeta:?}");
    let shell = Shell::new(&[("DATABASE_URL", world.database.url().expose_secret())]);

    let refused = shell.run("org delete acme --yes", 1).await;
    refused.says(&["has 1 connection", "--with-data"]);
    world.get("/v1/connectors").await;

    let deleted = shell.run("org delete acme --with-data --yes", 0).await;
    deleted.says(&["organization acme is deleted"]);
    assert_eq!(rows_of(&world.database, "acme").await, BTreeMap::new());
    world
        .ask(Method::GET, "/v1/connectors", None)
        .await
        .expect(401);
    assert_eq!(rows_of(&world.database, "zeta").await, of_zeta);
    // The id is free again.
    shell.run("org create acme --name Acme", 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_interrupted_deletion_resumes_when_run_again() {
    let mut world = World::with_charges(200).start().await;
    sync_for_both(&mut world).await;
    world.stop_consumers().await;
    let shell = Shell::new(&[("DATABASE_URL", world.database.url().expose_secret())]);
    let line = "org delete acme --with-data --yes";
    let mut interrupted = shell
        .command(line)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    world
        .eventually("the token to be refused", async || {
            let answer = world.ask(Method::GET, "/v1/connectors", None).await;
            (answer.status == 401).then_some(())
        })
        .await;
    interrupted.kill().await.unwrap();
    let left = rows_of(&world.database, "acme").await;
    assert!(left.contains_key("stripe_revenue_data"), "{left:?}");
    assert!(!left.contains_key("connection_credentials"), "{left:?}");

    // A job that failed meanwhile does not keep the organization for ever.
    sqlx::query(
        "UPDATE sync_jobs SET status = 'failed', finished_at = now(), error_code = 'internal', error_message = 'x'
         WHERE job_type = 'delete'",
    )
    .execute(world.database.admin())
    .await
    .unwrap();
    world.start_consumer();
    shell.run(line, 0).await;
    assert_eq!(rows_of(&world.database, "acme").await, BTreeMap::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_organization_for_which_money_was_moved_is_not_deleted() {
    let database = TestDatabase::create().await;
    let shell = Shell::new(&[("DATABASE_URL", database.url().expose_secret())]);
    shell.run("org create acme --name Acme", 0).await;
    shell.run("org create globex --name Globex", 0).await;
    let rows = "INSERT INTO connected_accounts (organization_id, creation_id, idempotency_key, key_used_at, created_at, preset)
                SELECT organization_id, gen_random_uuid(), gen_random_uuid(), now(), now(), 'express' FROM organizations
                WHERE organization_id <> '_platform';
                INSERT INTO ledger_reconciliations VALUES ('acme', now(), now()), ('globex', now(), now());
                INSERT INTO ledger_differences VALUES ('globex', now(), 'transfer', 'tr_1', NULL, NULL);
                INSERT INTO ledger_entries (organization_id, entry_id, kind, account_id, amount, currency, state, external_id,
                    created_at, platform_fee)
                VALUES ('acme', gen_random_uuid(), 'transfer', 'acct_1', 900, 'usd', 'done', 'tr_1', now(), 100)";
    sqlx::raw_sql(rows).execute(database.admin()).await.unwrap();
    let before = rows_of(&database, "acme").await;
    let refused = shell.run("org delete acme --yes --with-data", 1).await;
    refused.says(&["`acme`", "money was moved"]);
    assert_eq!(rows_of(&database, "acme").await, before);
    shell.run("org delete globex --yes", 0).await;
    assert!(rows_of(&database, "globex").await.is_empty());
}
