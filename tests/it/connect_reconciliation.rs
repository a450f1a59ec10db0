//! The daily comparison of the ledger with Stripe: what somebody did elsewhere, or what is gone, is shown, and nothing is
//! corrected.

use chrono::{DateTime, Utc};
use common::clock::{Clock as _, SystemClock};
use serde_json::{Value, json};
use stripe_sim::AccountHandle;
use tests::connected::start;
use tests::world::{WAIT_TIMEOUT, World};
use url::form_urlencoded;

const RECONCILIATION: &str = "/v1/connect/reconciliation";

async fn transfer(world: &World, key: &str) -> Value {
    let body = json!({"amount": 1000, "currency": "usd"});
    let made = world.post_once(key, "/v1/connect/transfer", body).await;
    made.expect(201)
}

/// Does something with the platform's key, as its dashboard does.
async fn at_stripe(world: &World, path: &str, form: &[(&str, &str)]) -> Value {
    let account: AccountHandle = world.account();
    let client = reqwest::Client::builder().timeout(WAIT_TIMEOUT).build();
    let answer = client
        .unwrap()
        .post(format!("{}{path}", world.sim.base_url))
        .bearer_auth(account.key())
        .header("content-type", "application/x-www-form-urlencoded")
        .body(
            form_urlencoded::Serializer::new(String::new())
                .extend_pairs(form)
                .finish(),
        )
        .send()
        .await
        .unwrap();
    assert!(answer.status().is_success(), "{answer:?}");
    answer.json().await.unwrap()
}

/// What a reconciliation finds that begins now.
async fn compared(world: &World) -> Vec<Value> {
    let since = SystemClock.now();
    let found = world
        .eventually("a reconciliation", async || {
            world
                .execute("UPDATE ledger_reconciliations SET next_run_at = now() WHERE next_run_at > now() + INTERVAL '1 hour'")
                .await;
            let found = world.get(RECONCILIATION).await;
            let ran_at = found["ran_at"].as_str()?.parse::<DateTime<Utc>>().unwrap();
            (ran_at > since).then_some(found)
        })
        .await;
    found["differences"].as_array().unwrap().clone()
}

#[tokio::test]
async fn what_was_done_elsewhere_is_shown_and_left_as_it_is() {
    let (mut world, account_id) = start().await;
    assert_eq!(
        world.get(RECONCILIATION).await,
        json!({"ran_at": null, "differences": []})
    );
    let made = transfer(&world, "t").await;
    let path = format!(
        "/v1/connect/transfers/{}/reverse",
        made["transfer_id"].as_str().unwrap()
    );
    world
        .post_once("r", &path, json!({"amount": 100}))
        .await
        .expect(201);
    world.start_consumer();
    assert_eq!(compared(&world).await, Vec::<Value>::new());

    let form = [
        ("amount", "500"),
        ("currency", "usd"),
        ("destination", account_id.as_str()),
    ];
    let foreign = at_stripe(&world, "/v1/transfers", &form).await;
    let of_ours = format!(
        "/v1/transfers/{}/reversals",
        made["stripe_transfer_id"].as_str().unwrap()
    );
    let reversal = at_stripe(&world, &of_ours, &[("amount", "50")]).await;
    let found = compared(&world).await;
    let movement = |amount: i64| json!({"amount": amount, "currency": "usd", "status": "created"});
    assert_eq!(
        found,
        [
            json!({"object": "reversal", "stripe_id": reversal["id"], "ours": null, "theirs": movement(50)}),
            json!({"object": "transfer", "stripe_id": foreign["id"], "ours": null, "theirs": movement(500)}),
        ]
    );
    assert_eq!(compared(&world).await, found, "nothing was corrected");
    assert_eq!(
        world.get("/v1/connect/transfers").await["data"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
}

#[tokio::test]
async fn what_stripe_does_not_have_and_what_was_given_up_wrongly_is_shown() {
    let (mut world, _) = start().await;
    let gone = transfer(&world, "gone").await;
    transfer(&world, "given-up").await;
    // As if the ledger had been restored from a backup of another platform.
    world
        .execute(
            "UPDATE ledger_entries SET external_id = 'tr_gone', entry_id = gen_random_uuid() WHERE request_key = 'gone';
             UPDATE ledger_entries SET state = 'failed', external_id = NULL, error_message = 'x'
             WHERE request_key = 'given-up'",
        )
        .await;
    world.start_consumer();
    let found = compared(&world).await;
    let statuses: Vec<_> = found
        .iter()
        .map(|it| {
            (
                it["ours"]["status"].as_str(),
                it["theirs"]["status"].as_str(),
            )
        })
        .collect();
    assert_eq!(found.len(), 3, "{found:#?}");
    assert!(statuses.contains(&(Some("created"), None)), "{found:#?}");
    assert!(
        statuses.contains(&(Some("not_made"), Some("created"))),
        "{found:#?}"
    );
    let lost = found
        .iter()
        .find(|it| it["stripe_id"] == gone["stripe_transfer_id"]);
    assert_eq!(lost.unwrap()["ours"], Value::Null);
}

#[tokio::test]
async fn a_payout_that_no_event_named_is_shown_once_and_then_listed() {
    let (mut world, account_id) = start().await;
    let connect = world.account().connect();
    connect
        .fund(Some(&account_id), 5_000, "usd", false)
        .unwrap();
    let body = json!({"interval": "daily"});
    let set = world
        .ask(
            reqwest::Method::PUT,
            "/v1/connect/payout-schedule",
            Some(body),
        )
        .await;
    set.expect(200);
    let made = connect.run_payout_schedule();
    world.start_consumer();
    let found = compared(&world).await;
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(
        (&found[0]["object"], &found[0]["stripe_id"]),
        (&json!("payout"), &json!(made[0]))
    );
    assert_eq!(compared(&world).await, Vec::<Value>::new());
    let listed = world.get("/v1/connect/payouts").await;
    assert_eq!(listed["data"][0]["stripe_payout_id"], made[0]);
    assert_eq!(listed["data"][0]["automatic"], true);
}
