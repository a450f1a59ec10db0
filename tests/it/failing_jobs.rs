//! What a tenant sees of jobs that fail: that they do, since when, and a sentence without the engine's insides.

use reqwest::Method;
use serde_json::{Value, json};
use tests::world::{WAIT_TIMEOUT, World};

/// The warning that jobs keep failing, in each of the three answers that show warnings.
async fn warnings(world: &World) -> Vec<Option<Value>> {
    let id = world.connection_id();
    let list = world.get("/v1/connectors").await;
    let answers = [
        world.get(&format!("/v1/connectors/{id}")).await,
        world.get(&format!("/v1/connectors/{id}/sync-status")).await,
        list["data"][0].clone(),
    ];
    let failing = |answer: &Value| {
        let warnings = answer["warnings"].as_array().unwrap();
        let mut of_code = warnings.iter().filter(|w| w["code"] == "jobs_failing");
        of_code.next().cloned()
    };
    answers.iter().map(failing).collect()
}

/// The one warning that all answers show.
async fn warning(world: &World) -> Value {
    let warnings = warnings(world).await;
    let first = warnings[0].clone().expect("a warning");
    assert!(warnings.iter().all(|w| w.as_ref() == Some(&first)));
    first
}

async fn failed_sync(world: &World) -> Value {
    let path = format!("/v1/connectors/stripe/{}/sync", world.connection_id());
    let answer = world.ask(Method::POST, &path, None).await.expect(202);
    let job = world.job_end(&answer["job_id"]).await;
    assert_eq!(job["status"], "failed", "{job:#}");
    job
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_says_that_its_jobs_fail_until_one_succeeds() {
    let world = World::with_charges(20).start().await;
    let connected = world.connect().await;
    world.job_completed(&connected["job_id"]).await;
    assert_eq!(warnings(&world).await, [None, None, None]);

    // An event without an id stops every job that meets it.
    let account = world.account();
    let named = json!({"id": "ch_1", "object": "charge"});
    let event = account.inject_event("charge.succeeded", &named, None);
    account.patch_answers(&event, Some(json!({"id": null})));
    let job = failed_sync(&world).await;
    let first = warning(&world).await;
    assert_eq!(
        (&first["resource"], &first["count"]),
        (&json!("sync"), &json!(1))
    );
    assert_eq!(
        first["since"].as_str().unwrap()[..19],
        job["finished_at"].as_str().unwrap()[..19]
    );
    let words = job["error"]["message"].as_str().unwrap();
    assert!(first["detail"].as_str().unwrap().contains(words), "{first}");
    failed_sync(&world).await;
    let second = warning(&world).await;
    assert_eq!(
        (&second["count"], &second["since"]),
        (&json!(2), &first["since"])
    );

    // One that is tried again has not succeeded yet.
    let path = format!("/v1/sync-jobs/{}/retry", job["job_id"].as_str().unwrap());
    world.ask(Method::POST, &path, None).await.expect(200);
    warning(&world).await;
    world.job_end(&job["job_id"]).await;
    assert_eq!(warning(&world).await["count"], 3);

    account.patch_answers(&event, None);
    world.sync(json!({})).await;
    assert_eq!(warnings(&world).await, [None, None, None]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rule_that_could_not_be_applied_is_a_warning_that_a_sync_does_not_take_away() {
    let world = World::with_charges(20).start().await;
    let connected = world.connect().await;
    world.job_completed(&connected["job_id"]).await;
    break_table(&world, "stripe_revenue_data").await;
    let rule = json!({
        "name": "none", "action": "exclude", "operator": "AND",
        "conditions": [{"type": "field", "field": "amount", "operator": "gt", "value": 0}],
    });
    let path = format!("/v1/connectors/stripe/{}/filters", world.connection_id());
    let path = path.replace("/stripe/", "/");
    let made = world.ask(Method::POST, &path, Some(rule)).await;
    let job = world.job_end(&made.body["job_id"]).await;
    assert_eq!(job["status"], "failed", "{job:#}");
    mend_table(&world, "stripe_revenue_data").await;
    world.sync(json!({})).await;
    assert_eq!(warning(&world).await["resource"], "refilter");
    let path = format!("/v1/sync-jobs/{}/retry", job["job_id"].as_str().unwrap());
    world.ask(Method::POST, &path, None).await.expect(200);
    world.job_completed(&job["job_id"]).await;
    assert_eq!(warnings(&world).await, [None, None, None]);
}

/// What PostgreSQL says when a disk is full, and where in which function.
const INSIDE: &str = "could not extend file \"base/16384/16589\" at line 486";

async fn break_table(world: &World, table: &str) {
    let statements = format!(
        "CREATE FUNCTION fail_for_a_test() RETURNS TRIGGER LANGUAGE plpgsql AS $$
         BEGIN RAISE EXCEPTION '{INSIDE}'; END $$;
         CREATE TRIGGER fail_for_a_test BEFORE INSERT OR UPDATE ON {table}
         FOR EACH ROW EXECUTE FUNCTION fail_for_a_test()"
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(statements))
        .execute(world.database.admin())
        .await
        .unwrap();
}

async fn mend_table(world: &World, table: &str) {
    let statement = format!("DROP TRIGGER fail_for_a_test ON {table}");
    sqlx::raw_sql(sqlx::AssertSqlSafe(statement))
        .execute(world.database.admin())
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failed_jobs_hide_database_details() {
    let world = World::with_charges(20).consumers(0).start().await;
    let mut world = world;
    break_table(&world, "stripe_revenue_data").await;
    let connected = world.connect().await;
    world.start_consumer();
    let job = world.job_end(&connected["job_id"]).await;
    assert_eq!(job["status"], "failed", "{job:#}");
    assert_eq!(job["error"]["code"], "internal");
    let (id, job_id) = (world.connection_id(), job["job_id"].as_str().unwrap());
    for path in [
        format!("/v1/sync-jobs/{job_id}"),
        format!("/v1/connectors/{id}/jobs"),
        format!("/v1/connectors/{id}/sync-status"),
        format!("/v1/connectors/{id}"),
        "/v1/connectors".to_owned(),
    ] {
        let body = world.get(&path).await.to_string();
        for inside in ["base/", "line 486", "stripe_revenue_data", "error returned"] {
            assert!(!body.contains(inside), "{path}: {body}");
        }
    }
    let events = reqwest::Client::builder()
        .timeout(WAIT_TIMEOUT)
        .build()
        .unwrap()
        .get(format!("{}/v1/sync-jobs/{job_id}/events", world.api_url))
        .bearer_auth(world.token_of("acme"))
        .send()
        .await
        .unwrap();
    let events = events.text().await.unwrap();
    assert!(events.contains("refused to store"), "{events}");
    assert!(!events.contains("base/"), "{events}");
}
