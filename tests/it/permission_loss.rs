//! What is lost and what is not: to a key that may not read everything, and to changes of which Stripe makes no
//! event, which the daily listing or the next full sync finds.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use stripe_sim::{KeyState, MetadataChange, NewCharge, NewLine};
use tests::world::{World, unlimited_account};

const DAY: i64 = 86_400;

fn set(key: &str, value: &str) -> MetadataChange {
    [(key.to_owned(), Some(value.to_owned()))].into()
}

async fn rows(world: &World, charge: &str) -> Vec<Value> {
    let id = world.connection_id();
    let path = format!("/v1/connectors/{id}/charges/{charge}/explain");
    world.get(&path).await["rows"]
        .as_array()
        .expect("rows")
        .clone()
}

/// A key of these permissions, for a world's first account.
fn narrow_key(world: &World, permissions: &[&str]) -> String {
    let account = world.account();
    let mode = if account.livemode() { "live" } else { "test" };
    let key = format!("rk_{mode}_narrow");
    account.set_key(&key, Some(permissions), KeyState::Active);
    key
}

/// A charge of two lines of an invoice, one of two items of a session; disputed both.
fn sell(world: &World) -> [String; 2] {
    let account = world.account();
    let customer = account.create_customer(&set("plan", "pro"));
    let product = account.create_product(&set("category", "book"));
    let price = account.create_price(&product, &set("slug", "b")).unwrap();
    let line = NewLine {
        price: Some(price),
        quantity: Some(2),
        ..NewLine::default()
    };
    let lines = || vec![line.clone(), line.clone()];
    let paid = NewCharge {
        customer: Some(customer),
        ..NewCharge::of(4_000, "usd")
    };
    let invoiced = NewCharge {
        invoice_lines: lines(),
        ..paid.clone()
    };
    let ordered = NewCharge {
        session_items: lines(),
        ..paid
    };
    [invoiced, ordered].map(|new| {
        let charge = account.create_charge(&new).unwrap();
        account.dispute(&charge).unwrap();
        charge
    })
}

#[tokio::test]
async fn a_missing_permission_loses_only_what_needs_it() {
    const ALL: [&str; 9] = [
        "rak_charge_read",
        "rak_event_read",
        "rak_customer_read",
        "rak_product_read",
        "rak_plan_read",
        "rak_invoice_read",
        "rak_checkout_session_read",
        "rak_dispute_read",
        "rak_balance_transaction_source_read",
    ];
    for missing in &ALL[2..] {
        let world = World::builder().account(unlimited_account(0)).start().await;
        let charges = sell(&world);
        let permissions: Vec<&str> = ALL.into_iter().filter(|it| it != missing).collect();
        let key = narrow_key(&world, &permissions);
        let connected = world.connect_with(json!({"api_key": key})).await;
        let connected = connected.expect(201);
        world.job_completed(&connected["job_id"]).await;
        world.sync(json!({})).await;
        for (charge, permission) in charges
            .iter()
            .zip(["rak_invoice_read", "rak_checkout_session_read"])
        {
            let rows = rows(&world, charge).await;
            let lines = *missing != permission;
            assert_eq!(rows.len(), if lines { 2 } else { 1 }, "{missing}");
            for row in &rows {
                let name = format!("{missing}: {row:#}");
                let known = |permission: &str, known: Value, unknown: Value| {
                    if *missing == permission {
                        unknown
                    } else {
                        known
                    }
                };
                let of_line = |known: Value| if lines { known } else { json!({}) };
                assert_eq!(row["gross"], if lines { 2_000 } else { 4_000 }, "{name}");
                assert_eq!(row["units"], if lines { 2 } else { 1 }, "{name}");
                assert_eq!(row["product_id"].is_string(), lines, "{name}");
                assert_eq!(row["price_id"].is_string(), lines, "{name}");
                assert!(row["customer_id"].is_string(), "{name}");
                assert_eq!(row["disputed"], true, "{name}");
                assert_eq!(
                    row["dispute_status"],
                    known("rak_dispute_read", json!("needs_response"), Value::Null),
                    "{name}"
                );
                let category = known("rak_product_read", json!({"category": "book"}), json!({}));
                let slug = known("rak_plan_read", json!({"slug": "b"}), json!({}));
                let plan = known("rak_customer_read", json!({"plan": "pro"}), json!({}));
                let metadata = &row["metadata"];
                assert_eq!(metadata["product"], of_line(category), "{name}");
                assert_eq!(metadata["price"], of_line(slug), "{name}");
                assert_eq!(metadata["customer"], plan, "{name}");
            }
        }
        // With a key that may read it all, it comes.
        let path = format!("/v1/connectors/stripe/{}/key", world.connection_id());
        let body = json!({"api_key": world.account().key()});
        let replaced = world.ask(Method::PUT, &path, Some(body)).await.expect(200);
        world.job_completed(&replaced["job_id"]).await;
        world.assert_exact().await;
    }
}

#[tokio::test]
async fn changes_without_an_event_are_found_by_the_daily_listing_or_the_next_full_sync() {
    // Without a lag nothing is too new to be listed.
    let world = World::builder()
        .account(unlimited_account(0))
        .event_lag(Duration::ZERO)
        .start()
        .await;
    let now = world.sim.now();
    let quiet = world.account().quietly();
    let customer = quiet.create_customer(&set("plan", "pro"));
    let create = |days: i64| {
        let new = NewCharge {
            created: Some(now - days * DAY),
            customer: Some(customer.clone()),
            ..NewCharge::of(1_000, "usd")
        };
        quiet.create_charge(&new).unwrap()
    };
    let [recent, invoiced, disputed, removed, old, oldest] = [3, 3, 3, 3, 30, 60].map(create);
    let connected = world.connect().await;
    world.job_completed(&connected["job_id"]).await;
    let line = |amount| NewLine {
        amount: Some(amount),
        ..NewLine::default()
    };
    let lines = [line(300), line(700)];
    quiet
        .set_charge_metadata(&recent, &set("note", "silent"))
        .unwrap();
    quiet.attach_invoice(&invoiced, &lines, None).unwrap();
    quiet.dispute(&disputed).unwrap();
    quiet.unlist_charge(&removed).unwrap();
    quiet.refund(&old, Some(400)).unwrap();
    quiet
        .set_charge_metadata(&oldest, &set("note", "silent"))
        .unwrap();
    let changed = world.sim.now();
    world
        .eventually("the next second", async || {
            (world.sim.now() > changed + 1).then_some(())
        })
        .await;
    let listed_yesterday = async || {
        sqlx::query("UPDATE stripe_sync_state SET reconciled_on = reconciled_on - 1")
            .execute(world.database.admin())
            .await
            .unwrap();
    };
    let net = async |charge: &str| rows(&world, charge).await[0]["net"].clone();
    world.sync(json!({})).await;
    assert_eq!(net(&old).await, 1_000, "the days were listed today already");
    listed_yesterday().await;
    let job = world.sync(json!({})).await;
    assert_eq!(job["job_type"], "incremental");
    let metadata = async |charge: &str| rows(&world, charge).await[0]["metadata"]["charge"].clone();
    assert_eq!(metadata(&recent).await, json!({"note": "silent"}));
    assert_eq!(rows(&world, &invoiced).await.len(), 2);
    assert_eq!(rows(&world, &disputed).await[0]["disputed"], true);
    assert!(rows(&world, &removed).await.is_empty());
    let repaired: i64 = sqlx::query_scalar("SELECT rows_repaired FROM stripe_sync_state")
        .fetch_one(world.database.admin())
        .await
        .unwrap();
    assert!(repaired > 0);
    // Of an older charge only a refund shows.
    assert_eq!(net(&old).await, 600);
    assert_eq!(metadata(&oldest).await, json!({}));
    world.sync(json!({"job_type": "full"})).await;
    assert_eq!(metadata(&oldest).await, json!({"note": "silent"}));
    world.assert_exact().await;
}
