//! Events of connected accounts: to which endpoints they go, and what they say.

use reqwest::Method;
use serde_json::{Value, json};
use stripe_sim::{NewCharge, SimHandle};

use crate::connect::{ask, connect, created, made, onboarded, platform};
use crate::receiver::{Arrival, Receiver};
use crate::webhooks::LONG;

/// The platform's endpoint for itself and its Connect endpoint.
struct Inboxes {
    own: Receiver,
    connect: Receiver,
}

impl Inboxes {
    async fn register(sim: &SimHandle) -> Self {
        let (own, connect) = (Receiver::start().await, Receiver::start().await);
        for (receiver, flag) in [(&own, "false"), (&connect, "true")] {
            let form = [
                ("url", receiver.url.as_str()),
                ("enabled_events[]", "*"),
                ("connect", flag),
            ];
            made(sim, "/v1/webhook_endpoints", &form).await;
        }
        Self { own, connect }
    }

    async fn wait(sim: &SimHandle) {
        for endpoint in sim.first().own_webhook_endpoints() {
            let delivered = endpoint.wait_until_delivered(LONG).await;
            delivered.expect("all of it");
        }
    }
}

/// The types of what came, sorted, since nothing orders deliveries.
fn kinds(receiver: &Receiver) -> Vec<String> {
    let all = receiver.arrivals();
    let mut kinds: Vec<String> = all
        .iter()
        .map(|it| it.event()["type"].as_str().expect("a type").to_owned())
        .collect();
    kinds.sort();
    kinds
}

fn only(receiver: &Receiver, kind: &str) -> Value {
    let all = receiver.arrivals();
    let mut of_kind = all
        .iter()
        .map(Arrival::event)
        .filter(|it| it["type"] == kind);
    of_kind.next().expect("it came")
}

#[tokio::test]
async fn an_accounts_events_go_to_the_connect_endpoint_with_the_account() {
    let sim = platform().await;
    let early = created(&sim).await;
    let inboxes = Inboxes::register(&sim).await;
    let account = onboarded(&sim).await;
    connect(&sim).submit(&early, false).expect("it submits");
    Inboxes::wait(&sim).await;
    assert!(inboxes.own.arrivals().is_empty());
    let expected = [
        "account.external_account.created",
        "account.updated",
        "account.updated",
        "capability.updated",
        "capability.updated",
        "person.created",
        "person.created",
    ];
    assert_eq!(kinds(&inboxes.connect), expected);
    let all = inboxes.connect.arrivals();
    let mut capabilities = all
        .iter()
        .map(Arrival::event)
        .filter(|it| it["type"] == "capability.updated" && it["account"] == account.as_str());
    let capability = capabilities.next().expect("it came");
    assert_eq!(capability["data"]["object"]["status"], "active");
    assert_eq!(
        capability["data"]["previous_attributes"]["status"],
        "inactive"
    );
    let path = "/v1/events?type=account.updated";
    let listed = ask(&sim, (Method::GET, path), Some(&account), &[])
        .await
        .body;
    let listed = &listed["data"][0];
    assert_eq!(listed["data"]["object"]["payouts_enabled"], true);
    assert_eq!(
        listed["data"]["previous_attributes"]["payouts_enabled"],
        false
    );
    assert!(all.iter().any(|it| it.event()["id"] == listed["id"]));
}

#[tokio::test]
async fn a_transfer_is_an_event_of_the_platform_and_of_the_destination() {
    let sim = platform().await;
    let account = onboarded(&sim).await;
    connect(&sim)
        .fund(None, 500, "eur", false)
        .expect("it is funded");
    let inboxes = Inboxes::register(&sim).await;
    let form = [
        ("amount", "500"),
        ("currency", "eur"),
        ("destination", account.as_str()),
    ];
    let transfer = made(&sim, "/v1/transfers", &form).await;
    Inboxes::wait(&sim).await;
    let event = only(&inboxes.own, "transfer.created");
    assert_eq!(event.get("account"), None);
    assert_eq!(event["data"]["object"], transfer);
    let payment = only(&inboxes.connect, "payment.created");
    assert_eq!(payment["account"], account);
    assert_eq!(
        payment["data"]["object"]["id"],
        transfer["destination_payment"]
    );
}

#[tokio::test]
async fn the_last_event_of_an_account_says_that_it_is_gone() {
    let sim = platform().await;
    let account = onboarded(&sim).await;
    let inboxes = Inboxes::register(&sim).await;
    connect(&sim).deauthorize(&account).expect("it goes");
    let handle = connect(&sim).account(&account).expect("it is known");
    let charge = handle.create_charge(&NewCharge::of(900, "eur"));
    charge.expect("it can be made");
    Inboxes::wait(&sim).await;
    assert_eq!(
        kinds(&inboxes.connect),
        ["account.application.deauthorized"]
    );
    let event = only(&inboxes.connect, "account.application.deauthorized");
    assert_eq!(event["account"], account);
    let object = &event["data"]["object"];
    assert_eq!(
        (&object["id"], &object["object"]),
        (&json!("ca_sim"), &json!("application"))
    );
}

#[tokio::test]
async fn deleting_an_account_is_announced_where_that_is_chosen() {
    let sim = platform().await;
    let (first, second) = (onboarded(&sim).await, onboarded(&sim).await);
    let inboxes = Inboxes::register(&sim).await;
    for (account, announced) in [(first.as_str(), true), (&second, false)] {
        connect(&sim).switch(|it| it.deauthorized_event_on_delete = announced);
        let path = format!("/v1/accounts/{account}");
        ask(&sim, (Method::DELETE, &path), None, &[]).await;
    }
    Inboxes::wait(&sim).await;
    let arrivals = inboxes.connect.arrivals();
    let accounts: Vec<Value> = arrivals
        .iter()
        .map(|it| it.event()["account"].clone())
        .collect();
    assert_eq!(accounts, [json!(first)]);
}
