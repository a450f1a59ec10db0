//! A platform with connected accounts, as the tests of Connect drive it.

use reqwest::Method;
use serde_json::Value;
use stripe_sim::{ConnectHandle, SimHandle};

use crate::client::{Answer, config, send, start};

/// A platform without charges.
pub(crate) async fn platform() -> SimHandle {
    start(config(0)).await
}

pub(crate) fn connect(sim: &SimHandle) -> ConnectHandle {
    sim.first().connect()
}

/// Sends a request with the platform's key, for an account where one is named.
pub(crate) async fn ask(
    sim: &SimHandle,
    call: (Method, &str),
    account: Option<&str>,
    form: &[(&str, &str)],
) -> Answer {
    let headers = account.map(|id| ("stripe-account", id));
    let platform = sim.first();
    let sent = send(sim, platform.key(), call, form, headers.as_slice());
    sent.await.expect("the simulator answers")
}

pub(crate) async fn post(sim: &SimHandle, path: &str, form: &[(&str, &str)]) -> Answer {
    ask(sim, (Method::POST, path), None, form).await
}

pub(crate) async fn get(sim: &SimHandle, path: &str) -> Answer {
    ask(sim, (Method::GET, path), None, &[]).await
}

/// Sends a form that must be taken.
pub(crate) async fn made(sim: &SimHandle, path: &str, form: &[(&str, &str)]) -> Value {
    let answer = post(sim, path, form).await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.body);
    answer.body
}

/// Checks a refusal's status and code.
#[track_caller]
pub(crate) fn refused(answer: &Answer, status: u16, code: &str) {
    let found = (answer.status, answer.error()["code"].as_str());
    assert_eq!(found, (status, Some(code)), "{}", answer.body);
}

pub(crate) fn id(body: &Value) -> String {
    body["id"].as_str().expect("an id").to_owned()
}

/// Creates an account that asks for transfers and has submitted nothing.
pub(crate) async fn created(sim: &SimHandle) -> String {
    let form = [
        ("type", "express"),
        ("country", "DE"),
        ("capabilities[transfers][requested]", "true"),
    ];
    id(&made(sim, "/v1/accounts", &form).await)
}

/// Creates an account that can get transfers and be paid out.
pub(crate) async fn onboarded(sim: &SimHandle) -> String {
    let id = created(sim).await;
    connect(sim).submit(&id, true).expect("it submits");
    id
}

/// Available and pending minor units of a balance, in euros.
pub(crate) async fn euros(sim: &SimHandle, account: Option<&str>) -> (i64, i64) {
    let balance = ask(sim, (Method::GET, "/v1/balance"), account, &[]).await;
    let amount = |part: &str| {
        let all = balance.body[part].as_array().expect("a list").iter();
        let mut euros = all.filter(|it| it["currency"] == "eur");
        euros
            .next()
            .map_or(0, |it| it["amount"].as_i64().expect("an amount"))
    };
    (amount("available"), amount("pending"))
}

/// The types of an account's events, the oldest first.
pub(crate) async fn events(sim: &SimHandle, account: Option<&str>) -> Vec<String> {
    let listed = ask(sim, (Method::GET, "/v1/events?limit=100"), account, &[]).await;
    let all = listed.body["data"].as_array().expect("a list").iter().rev();
    all.map(|it| it["type"].as_str().expect("a type").to_owned())
        .collect()
}
