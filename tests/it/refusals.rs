//! Objects that PostgreSQL refuses to store: one costs itself and nothing else, many fail the job, and what cannot be
//! an object's fault is never blamed on one.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;
use stripe_sim::{NewCharge, NewLine};
use tests::random::Random;
use tests::world::World;

async fn explain(world: &World, charge: &str) -> Value {
    let id = world.connection_id();
    let path = format!("/v1/connectors/{id}/charges/{charge}/explain");
    world.get(&path).await
}

async fn parked(world: &World) -> Vec<Value> {
    let path = format!("/v1/connectors/{}/parked?", world.connection_id());
    world.all(&path, "data").await
}

async fn connect(world: &World) -> Value {
    let connected = world.connect().await;
    world.job_completed(&connected["job_id"]).await
}

async fn execute(world: &World, statements: &str) {
    sqlx::raw_sql(AssertSqlSafe(statements))
        .execute(world.database.admin())
        .await
        .unwrap();
}

/// Has PostgreSQL refuse rows for which `condition` holds, with an error of this code.
async fn refuse(world: &World, condition: &str, code: &str) {
    let statements = format!(
        "CREATE FUNCTION refuse_for_a_test() RETURNS TRIGGER LANGUAGE plpgsql AS $$
         BEGIN RAISE EXCEPTION 'refused' USING ERRCODE = '{code}'; END $$;
         CREATE TRIGGER refuse_for_a_test BEFORE INSERT OR UPDATE ON stripe_revenue_data
         FOR EACH ROW WHEN ({condition}) EXECUTE FUNCTION refuse_for_a_test()"
    );
    execute(world, &statements).await;
}

async fn refuse_no_more(world: &World) {
    execute(
        world,
        "DROP TRIGGER refuse_for_a_test ON stripe_revenue_data; DROP FUNCTION refuse_for_a_test()",
    )
    .await;
}

#[tokio::test]
async fn an_object_that_postgresql_refuses_is_parked_and_the_rest_of_its_batch_is_stored() {
    let world = World::with_charges(300).start().await;
    let account = world.account();
    // Bounds that the programs do not know of, of every kind of refusal that a value can meet.
    execute(
        &world,
        "ALTER TABLE stripe_revenue_data ADD CONSTRAINT odd CHECK (description IS DISTINCT FROM 'odd');
         CREATE UNIQUE INDEX wide ON stripe_revenue_data (description, charge_id)
             WHERE description LIKE 'wide%';
         ALTER TABLE stripe_referenced_objects ADD CONSTRAINT number
             CHECK (NOT metadata ? 'number' OR (metadata ->> 'number')::SMALLINT > 0);
         ALTER TABLE stripe_disputes ADD CONSTRAINT odd CHECK (status <> 'odd')",
    )
    .await;
    let charges: Vec<String> = (0..4)
        .map(|_| account.create_charge(&NewCharge::of(800, "usd")).unwrap())
        .collect();
    account.patch_answers_raw(&charges[0], "/description", r#""odd""#);
    account.patch_answers_raw(&charges[1], "/description", r#""odd""#);
    let mut draws = Random::of(7);
    let letters: String = (0..9_000)
        .map(|_| char::from(b'a' + draws.below(26) as u8))
        .collect();
    account.patch_answers_raw(&charges[2], "/description", &format!("\"wide {letters}\""));
    let product = account.create_product(&[("number".to_owned(), Some("70000".to_owned()))].into());
    let dispute = account.dispute(&charges[3]).unwrap();
    account.patch_answers_raw(&dispute, "/status", r#""odd""#);
    let job = connect(&world).await;
    assert_eq!(job["progress"]["charges_seen"], 304);
    let found: BTreeMap<String, Value> = parked(&world)
        .await
        .into_iter()
        .map(|object| (object["object_id"].as_str().unwrap().to_owned(), object))
        .collect();
    let expected: BTreeSet<&str> = charges[..3]
        .iter()
        .chain([&product, &dispute])
        .map(String::as_str)
        .collect();
    assert_eq!(
        found.keys().map(String::as_str).collect::<BTreeSet<_>>(),
        expected
    );
    for object in found.values() {
        assert_eq!(object["code"], "unstorable", "{object:#}");
        assert!(
            object["detail"]
                .as_str()
                .unwrap()
                .contains("cannot be stored")
        );
        let raw: Value = serde_json::from_str(object["raw"].as_str().unwrap()).unwrap();
        assert_eq!(raw["id"], object["object_id"]);
    }
    let detail = found[&charges[2]]["detail"].as_str().unwrap();
    assert!(!detail.contains("index"), "nothing of PostgreSQL: {detail}");
    assert_eq!(explain(&world, &charges[0]).await["reason"], "parked");
    assert_eq!(explain(&world, &charges[3]).await["reason"], "counted");
    // The same from events, at each sync, and never a failed job.
    account.refund(&charges[0], Some(1)).unwrap();
    account.refund(&charges[3], Some(1)).unwrap();
    let job = world.sync(json!({})).await;
    assert_eq!(job["job_type"], "incremental");
    assert_eq!(explain(&world, &charges[0]).await["reason"], "parked");
    assert_eq!(explain(&world, &charges[3]).await["rows"][0]["refunded"], 1);
    execute(
        &world,
        "ALTER TABLE stripe_revenue_data DROP CONSTRAINT odd; DROP INDEX wide;
         ALTER TABLE stripe_referenced_objects DROP CONSTRAINT number;
         ALTER TABLE stripe_disputes DROP CONSTRAINT odd",
    )
    .await;
    account.clear_patches();
    world.sync(json!({"job_type": "full"})).await;
    assert_eq!(parked(&world).await, Vec::<Value>::new());
    world.assert_exact().await;
}

#[tokio::test]
async fn a_refusal_of_every_row_fails_the_job_and_parks_no_history() {
    let world = World::with_charges(250).start().await;
    refuse(&world, "TRUE", "23514").await;
    let connected = world.connect().await;
    let job = world.job_end(&connected["job_id"]).await;
    assert_eq!(job["status"], "failed", "{job:#}");
    assert_eq!(job["error"]["code"], "objects_refused");
    let message = job["error"]["message"].as_str().unwrap();
    assert!(message.contains("objects or more"), "{message}");
    assert_eq!(parked(&world).await, Vec::<Value>::new());
    refuse_no_more(&world).await;
    world.sync(json!({})).await;
    world.assert_exact().await;
}

#[tokio::test]
async fn refused_objects_of_earlier_jobs_count_so_that_no_history_is_parked_piece_by_piece() {
    let world = World::with_charges(50).start().await;
    refuse(&world, "NEW.description = 'odd'", "23514").await;
    let create = || {
        for _ in 0..15 {
            let account = world.account();
            let charge = account.create_charge(&NewCharge::of(800, "usd")).unwrap();
            account.patch_answers_raw(&charge, "/description", r#""odd""#);
        }
    };
    create();
    connect(&world).await;
    assert_eq!(parked(&world).await.len(), 15);
    create();
    let path = format!("/v1/connectors/stripe/{}/sync", world.connection_id());
    let asked = world.ask(Method::POST, &path, Some(json!({}))).await;
    let job = world.job_end(&asked.body["job_id"]).await;
    assert_eq!(job["job_type"], "incremental");
    assert_eq!(job["status"], "failed", "{job:#}");
    assert_eq!(job["error"]["code"], "objects_refused");
    assert_eq!(parked(&world).await.len(), 15);
    refuse_no_more(&world).await;
    world.account().clear_patches();
    world.sync(json!({"job_type": "full"})).await;
    assert_eq!(parked(&world).await, Vec::<Value>::new());
    world.assert_exact().await;
}

#[tokio::test]
async fn a_foreign_key_that_is_missed_is_blamed_on_no_object() {
    let world = World::with_charges(50).start().await;
    let odd = world
        .account()
        .create_charge(&NewCharge::of(800, "usd"))
        .unwrap();
    refuse(&world, &format!("NEW.charge_id = '{odd}'"), "23503").await;
    let connected = world.connect().await;
    let job = world.job_end(&connected["job_id"]).await;
    assert_eq!(job["status"], "failed", "{job:#}");
    assert_eq!(job["error"]["code"], "internal");
    assert_eq!(parked(&world).await, Vec::<Value>::new());
    refuse_no_more(&world).await;
    world.sync(json!({})).await;
    world.assert_exact().await;
}

#[tokio::test]
async fn a_stored_charge_that_is_refused_once_its_invoice_goes_is_parked_and_the_job_completes() {
    let world = World::with_charges(50).start().await;
    let account = world.account();
    let new = NewCharge {
        customer: Some(account.create_customer(&[].into())),
        ..NewCharge::of(1_000, "usd")
    };
    let charge = account.quietly().create_charge(&new).unwrap();
    let line = NewLine {
        amount: Some(1_000),
        ..NewLine::default()
    };
    let invoice = account
        .quietly()
        .attach_invoice(&charge, &[line], None)
        .unwrap();
    connect(&world).await;
    let before = explain(&world, &charge).await;
    assert!(before["rows"][0]["line_id"].is_string(), "{before:#}");
    let condition = format!("NEW.charge_id = '{charge}' AND NEW.invoice_id IS NULL");
    refuse(&world, &condition, "23514").await;
    let unpaid = json!({
        "payments": {"object": "list", "data": [], "has_more": false}, "payment_intent": null, "charge": null,
    });
    account.patch_answers(&invoice, Some(unpaid));
    let named = json!({"id": invoice, "object": "invoice"});
    account.inject_event("invoice.updated", &named, None);
    let other = account.create_charge(&NewCharge::of(300, "usd")).unwrap();
    let job = world.sync(json!({})).await;
    assert_eq!(job["job_type"], "incremental");
    assert_eq!(explain(&world, &other).await["reason"], "counted");
    let found = parked(&world).await;
    assert_eq!(found.len(), 1, "{found:#?}");
    assert_eq!(found[0]["object_id"], json!(charge));
    let after = explain(&world, &charge).await;
    assert_eq!(after["rows"], before["rows"], "as it was");
    refuse_no_more(&world).await;
    account.clear_patches();
    world.sync(json!({"job_type": "full"})).await;
    assert_eq!(parked(&world).await, Vec::<Value>::new());
    world.assert_exact().await;
}

#[tokio::test]
async fn a_row_that_may_not_lose_a_deleted_products_metadata_fails_no_job() {
    // Without a lag nothing is too new to be missed in a list.
    let world = World::with_charges(50)
        .event_lag(Duration::ZERO)
        .start()
        .await;
    let account = world.account();
    let product =
        account.create_product(&[("category".to_owned(), Some("book".to_owned()))].into());
    let line = NewLine {
        price: Some(account.create_price(&product, &[].into()).unwrap()),
        quantity: Some(1),
        ..NewLine::default()
    };
    let new = NewCharge {
        customer: Some(account.create_customer(&[].into())),
        invoice_lines: vec![line],
        ..NewCharge::of(1_000, "usd")
    };
    let charge = account.create_charge(&new).unwrap();
    connect(&world).await;
    let before = explain(&world, &charge).await;
    assert_eq!(
        before["rows"][0]["metadata"]["product"],
        json!({"category": "book"}),
        "{before:#}"
    );
    let condition = format!("NEW.charge_id = '{charge}' AND NEW.product_metadata = '{{}}'");
    refuse(&world, &condition, "23514").await;
    account.quietly().delete_product(&product).unwrap();
    let other = account.create_charge(&NewCharge::of(300, "usd")).unwrap();
    let full_sync_later = async || {
        let before = world.sim.now();
        let later = async || (world.sim.now() > before + 1).then_some(());
        world.eventually("the next second", later).await;
        world.sync(json!({"job_type": "full"})).await;
    };
    full_sync_later().await;
    let found = parked(&world).await;
    assert_eq!(found.len(), 1, "{found:#?}");
    assert_eq!(found[0]["object_id"], json!(product));
    assert_eq!(explain(&world, &other).await["reason"], "counted");
    let after = explain(&world, &charge).await;
    assert_eq!(after["rows"], before["rows"], "as it was");
    refuse_no_more(&world).await;
    full_sync_later().await;
    assert_eq!(parked(&world).await, Vec::<Value>::new());
    world.assert_exact().await;
}
