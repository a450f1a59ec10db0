//! Metadata that Stripe does not copy onto the charge: of invoices, their lines and subscriptions, of checkout sessions and
//! payment intents. Each case is made in every way in which it can be met, and compared with the truth.

use std::collections::BTreeMap;
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use stripe_sim::{AccountHandle, MetadataChange, NewCharge, NewLine, TruthQuery, TruthRow};
use tests::shell::Shell;
use tests::three_ways::{three_ways, three_ways_with};
use tests::world::{World, unlimited_account};

use crate::command_line_client::{run_with, shell_of};

fn metadata(key: &str, value: &str) -> BTreeMap<String, String> {
    [(key.to_owned(), value.to_owned())].into()
}

fn set(key: &str, value: &str) -> MetadataChange {
    [(key.to_owned(), Some(value.to_owned()))].into()
}

fn line(amount: i64, seat: &str) -> NewLine {
    NewLine {
        amount: Some(amount),
        quantity: Some(1),
        metadata: if seat.is_empty() {
            BTreeMap::new()
        } else {
            metadata("seat", seat)
        },
        ..NewLine::default()
    }
}

/// A charge that paid an invoice of two lines, with metadata on the invoice, its first line and its subscription.
fn invoiced(account: &AccountHandle) -> NewCharge {
    NewCharge {
        customer: Some(account.create_customer(&MetadataChange::new())),
        metadata: metadata("tier", "gold"),
        invoice_lines: vec![line(300, "window"), line(700, "")],
        invoice_metadata: metadata("project", "apollo"),
        subscription_metadata: metadata("plan", "team"),
        ..NewCharge::of(1_000, "usd")
    }
}

async fn explain(world: &World, charge: &str) -> Value {
    let id = world.connection_id();
    world
        .get(&format!("/v1/connectors/{id}/charges/{charge}/explain"))
        .await
}

/// What the rows of a charge show of a source.
async fn shown(world: &World, charge: &str, source: &str) -> Vec<Value> {
    let explained = explain(world, charge).await;
    let rows = explained["rows"].as_array().expect("rows");
    rows.iter()
        .map(|row| row["metadata"][source].clone())
        .collect()
}

type Bought = Vec<(&'static str, String)>;

fn make_purchases(account: &AccountHandle) -> Bought {
    let in_a_session = NewCharge {
        session_metadata: metadata("cart", "7"),
        ..invoiced(account)
    };
    let session = NewCharge {
        session_items: vec![line(500, "")],
        session_metadata: metadata("cart", "8"),
        ..NewCharge::of(500, "usd")
    };
    let plain = NewCharge::of(900, "usd");
    let make = |name: &'static str, new: &NewCharge| (name, account.create_charge(new).unwrap());
    vec![
        make("invoiced", &invoiced(account)),
        make("an invoice paid in a session", &in_a_session),
        make("in a session", &session),
        make("plain", &plain),
    ]
}

async fn check_purchases(world: &World, bought: &Bought) {
    let apollo = json!({"project": "apollo"});
    let team = json!({"plan": "team"});
    let seat = json!({"seat": "window"});
    let null = Value::Null;
    for (name, charge) in bought {
        let invoiced = name.contains("invoice");
        let rows = if invoiced { 2 } else { 1 };
        let of_all = |value: &Value| vec![value.clone(); rows];
        let (invoice, subscription, lines) = if invoiced {
            (&apollo, &team, vec![seat.clone(), null.clone()])
        } else {
            (&null, &null, vec![null.clone()])
        };
        let session = match *name {
            "an invoice paid in a session" => json!({"cart": "7"}),
            "in a session" => json!({"cart": "8"}),
            _ => Value::Null,
        };
        assert_eq!(
            shown(world, charge, "invoice").await,
            of_all(invoice),
            "{name}"
        );
        assert_eq!(
            shown(world, charge, "subscription").await,
            of_all(subscription),
            "{name}"
        );
        assert_eq!(shown(world, charge, "invoice_line").await, lines, "{name}");
        assert_eq!(
            shown(world, charge, "checkout_session").await,
            of_all(&session),
            "{name}"
        );
    }
}

#[tokio::test]
async fn metadata_of_what_a_charge_paid_for_is_in_its_rows() {
    three_ways(unlimited_account(0), make_purchases, check_purchases).await;
}

/// The metadata that a payment intent has, where it is not that of its charge.
#[tokio::test]
async fn metadata_of_payment_intents_is_read_where_that_is_switched_on() {
    let make = |account: &AccountHandle| -> Bought {
        let own = NewCharge {
            metadata: metadata("tier", "gold"),
            payment_intent_metadata: Some(metadata("order", "1")),
            ..NewCharge::of(1_000, "usd")
        };
        let none = NewCharge {
            payment_intent_metadata: Some(BTreeMap::new()),
            ..own.clone()
        };
        let copied = NewCharge {
            payment_intent_metadata: None,
            ..own.clone()
        };
        let invoiced = NewCharge {
            payment_intent_metadata: Some(metadata("order", "2")),
            ..invoiced(account)
        };
        let make =
            |name: &'static str, new: &NewCharge| (name, account.create_charge(new).unwrap());
        vec![
            make("own", &own),
            make("none", &none),
            make("copied", &copied),
            make("invoiced", &invoiced),
        ]
    };
    let check = async |world: &World, bought: &Bought| {
        for (name, charge) in bought {
            let expected = match *name {
                "own" => vec![json!({"order": "1"})],
                "none" => vec![Value::Null],
                "copied" => vec![json!({"tier": "gold"})],
                _ => vec![json!({"order": "2"}); 2],
            };
            assert_eq!(
                shown(world, charge, "payment_intent").await,
                expected,
                "{name}"
            );
        }
    };
    let settings = json!({"payment_intent_metadata": true});
    three_ways_with(unlimited_account(0), &settings, make, check).await;
}

async fn connect(world: &World) {
    let connected = world.connect().await;
    world.job_completed(&connected["job_id"]).await;
}

async fn change(world: &World, settings: Value) -> Value {
    let path = format!("/v1/connectors/{}", world.connection_id());
    let answer = world.ask(Method::PATCH, &path, Some(settings)).await;
    answer.expect(200)
}

async fn a_day_passes(world: &World) {
    sqlx::query("UPDATE stripe_sync_state SET reconciled_on = reconciled_on - 1")
        .execute(world.database.admin())
        .await
        .unwrap();
}

/// The row of a charge in the truth.
fn truth_row(world: &World, charge: &str) -> TruthRow {
    let rows = world.account().truth_rows(&TruthQuery::default()).unwrap();
    let mut rows = rows.into_iter();
    rows.find(|row| row.charge_id == charge).unwrap()
}

#[tokio::test]
async fn metadata_that_changes_later_comes_by_its_event_or_with_the_next_recheck_or_full_sync() {
    // Without a lag nothing is too new to be listed again.
    let world = World::builder()
        .account(unlimited_account(60))
        .event_lag(Duration::ZERO)
        .start()
        .await;
    let account = world.account();
    let new = NewCharge {
        session_metadata: metadata("cart", "7"),
        ..invoiced(&account)
    };
    let charge = account.create_charge(&new).unwrap();
    connect(&world).await;
    change(&world, json!({"payment_intent_metadata": true})).await;
    let job = world.sync(json!({})).await;
    assert_eq!(job["job_type"], "full", "a switched setting");
    world.assert_exact().await;
    let row = truth_row(&world, &charge);
    let invoice = row.invoice_id.unwrap();
    let session = row.checkout_session_id.unwrap();
    let intent = row.payment_intent_id.unwrap();

    account
        .set_invoice_metadata(&invoice, &set("project", "gemini"))
        .unwrap();
    world.sync(json!({})).await;
    world.assert_exact().await;
    assert_eq!(
        shown(&world, &charge, "invoice").await[0],
        json!({"project": "gemini"})
    );

    // Stripe makes no event of these.
    account
        .set_session_metadata(&session, &set("cart", "9"))
        .unwrap();
    account
        .set_payment_intent_metadata(&intent, &set("added", "later"))
        .unwrap();
    world.sync(json!({})).await;
    assert_eq!(
        shown(&world, &charge, "checkout_session").await[0],
        json!({"cart": "7"})
    );
    a_day_passes(&world).await;
    // What the present second holds may not be listed yet.
    world.stripe_seconds_pass(2).await;
    world.sync(json!({})).await;
    world.assert_exact().await;
    let found = shown(&world, &charge, "payment_intent").await;
    assert_eq!(found[0], json!({"tier": "gold", "added": "later"}));

    account
        .set_payment_intent_metadata(&intent, &[("added".to_owned(), None)].into())
        .unwrap();
    world.sync(json!({"job_type": "full"})).await;
    world.assert_exact().await;
}

#[tokio::test]
async fn payment_intents_that_are_read_no_more_leave_no_metadata() {
    let world = World::builder()
        .account(unlimited_account(200))
        .start()
        .await;
    connect(&world).await;
    world.assert_exact().await;
    let listed = || world.sim.requests().of("GET /v1/payment_intents");
    assert_eq!(listed(), 0, "they are not read unasked");
    change(&world, json!({"payment_intent_metadata": true})).await;
    world.sync(json!({})).await;
    assert!(listed() > 0);
    world.assert_exact().await;
    change(&world, json!({"payment_intent_metadata": false})).await;
    let job = world.sync(json!({})).await;
    assert_eq!(job["job_type"], "full");
    world.assert_exact().await;
    let left = "SELECT (SELECT COUNT(*) FROM stripe_revenue_data WHERE payment_intent_metadata IS NOT NULL)
        + (SELECT COUNT(*) FROM stripe_referenced_objects WHERE object_type = 'payment_intent')";
    let left: i64 = sqlx::query_scalar(left)
        .fetch_one(world.database.admin())
        .await
        .unwrap();
    assert_eq!(left, 0);
}

#[tokio::test]
async fn metadata_goes_with_what_the_key_may_no_longer_read() {
    let world = World::builder()
        .account(unlimited_account(200))
        .start()
        .await;
    let account = world.account();
    let bought = make_purchases(&account);
    connect(&world).await;
    check_purchases(&world, &bought).await;
    change(&world, json!({"payment_intent_metadata": true})).await;
    let allowed = ["rak_charge_read", "rak_event_read", "rak_customer_read"];
    account.set_key(account.key(), Some(&allowed), stripe_sim::KeyState::Active);
    let id = world.connection_id();
    let test = format!("/v1/connectors/stripe/{id}/test");
    world.ask(Method::POST, &test, None).await.expect(200);
    world.sync(json!({})).await;
    let connection = world.get(&format!("/v1/connectors/{id}")).await;
    let warned = connection["warnings"].as_array().unwrap().iter();
    let warned: Vec<&Value> = warned.map(|warning| &warning["resource"]).collect();
    assert!(warned.contains(&&json!("payment_intents")), "{warned:?}");
    for (_, charge) in &bought {
        for source in [
            "invoice",
            "invoice_line",
            "subscription",
            "checkout_session",
            "payment_intent",
        ] {
            let shown = shown(&world, charge, source).await;
            assert_eq!(shown, [Value::Null], "{source}");
        }
    }
    let keys = format!("/v1/connectors/{id}/filters/discover?");
    for key in world.all(&keys, "data").await {
        let of = key["object_type"].as_str().unwrap();
        assert!(["charge", "customer"].contains(&of), "{key:#}");
    }
}

#[tokio::test]
async fn a_rule_may_name_any_source() {
    let world = World::builder().account(unlimited_account(0)).start().await;
    let account = world.account();
    let bought = make_purchases(&account);
    connect(&world).await;
    let id = world.connection_id();
    let rules = format!("/v1/connectors/{id}/filters");
    let condition = |source: &str, key: &str, value: &str| {
        json!({"type": "metadata", "metadata_source": source, "metadata_key": key,
            "operator": "equals", "value": value})
    };
    for (source, key, value, matched) in [
        ("invoice", "project", "apollo", 2),
        ("invoice_line", "seat", "window", 2),
        ("subscription", "plan", "team", 2),
        ("checkout_session", "cart", "7", 1),
        ("payment_intent", "tier", "gold", 0),
    ] {
        let rule = json!({"name": "n", "action": "exclude", "conditions": [condition(source, key, value)]});
        let preview = format!("{rules}/preview");
        let found = world.ask(Method::POST, &preview, Some(rule)).await;
        assert_eq!(found.expect(200)["matched_charges"], matched, "{source}");
    }
    let rule = json!({"name": "Internal", "action": "exclude", "conditions": [condition("invoice", "project", "apollo")]});
    let made = world.ask(Method::POST, &rules, Some(rule)).await;
    world.job_completed(&made.expect(201)["job_id"]).await;
    let (_, charge) = &bought[0];
    let counted = async || explain(&world, charge).await["counted"].clone();
    assert_eq!(counted().await, false);
    let invoice = truth_row(&world, charge).invoice_id.unwrap();
    account
        .set_invoice_metadata(&invoice, &set("project", "gemini"))
        .unwrap();
    world.sync(json!({})).await;
    assert_eq!(counted().await, true);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_price_of_payment_intents_is_shown_before_they_are_read() {
    let world = World::builder()
        .account(unlimited_account(250))
        .start()
        .await;
    connect(&world).await;
    let shell: Shell = shell_of(&world);
    let id = world.connection_id();
    let connection = world.get(&format!("/v1/connectors/{id}")).await;
    assert_eq!(connection["payment_intent_metadata"], false);
    assert_eq!(connection["payment_intent_requests"], 3);
    let words = ["connections", "set", "--payment-intent-metadata", "true"];
    run_with(&shell, &words, 0)
        .await
        .says(&["about 3 requests more", "of payment intents too"]);
    world.sim.reset_requests();
    world.sync(json!({})).await;
    let asked = world.sim.requests().of("GET /v1/payment_intents");
    assert!((3..=5).contains(&asked), "{asked} requests");
    world.assert_exact().await;
}
