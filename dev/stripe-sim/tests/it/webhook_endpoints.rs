//! Webhook endpoints made through the simulated API: shown with their secret once, changed,
//! deleted, and made once under an idempotency key; and whose events they get.

use reqwest::Method;
use serde_json::{Value, json};
use stripe_sim::{
    AccountConfig, Fault, FaultRule, KeyState, NewCharge, SimHandle, Simulator, TimeSource,
};

use crate::client::{Answer, NOW, config, send, start};
use crate::receiver::Receiver;
use crate::webhooks::LONG;

const PATH: &str = "/v1/webhook_endpoints";

async fn ask_as(
    sim: &SimHandle,
    key: &str,
    call: (Method, &str),
    form: &[(&str, &str)],
    idempotency_key: Option<&str>,
) -> reqwest::Result<Answer> {
    let headers = idempotency_key.map(|key| ("idempotency-key", key));
    send(sim, key, call, form, headers.as_slice()).await
}

async fn ask(sim: &SimHandle, call: (Method, &str), form: &[(&str, &str)]) -> Answer {
    let answer = ask_as(sim, sim.first().key(), call, form, None).await;
    answer.expect("the simulator answers")
}

fn form(url: &str) -> Vec<(&str, &str)> {
    vec![
        ("url", url),
        ("enabled_events[]", "charge.succeeded"),
        ("enabled_events[]", "charge.refunded"),
        ("api_version", "2026-07-29.dahlia"),
        ("metadata[ours]", "1"),
    ]
}

async fn ids(sim: &SimHandle) -> Vec<String> {
    let listed = ask(sim, (Method::GET, PATH), &[]).await.body;
    let data = listed["data"].as_array().expect("a list").iter();
    data.map(|it| it["id"].as_str().expect("an id").to_owned())
        .collect()
}

#[tokio::test]
async fn an_endpoint_shows_its_secret_once_and_can_be_changed_and_deleted() {
    let sim = start(config(5)).await;
    let url = "http://127.0.0.1:1/x";
    let made = ask(&sim, (Method::POST, PATH), &form(url)).await;
    assert_eq!(made.status, 200, "{}", made.body);
    let mut body = made.body;
    let secret = body["secret"].take();
    assert!(secret.as_str().expect("it is there").starts_with("whsec_"));
    let id = body["id"].as_str().expect("an id").to_owned();
    let expected = json!({
        "id": id, "object": "webhook_endpoint", "api_version": "2026-07-29.dahlia", "application": null,
        "created": NOW, "description": null, "enabled_events": ["charge.succeeded", "charge.refunded"],
        "livemode": false, "metadata": {"ours": "1"}, "secret": null, "status": "enabled", "url": url});
    assert_eq!(body, expected);
    let one = format!("{PATH}/{id}");
    let shown = ask(&sim, (Method::GET, &one), &[]).await.body;
    assert_eq!(shown["secret"], Value::Null);
    assert_eq!(ids(&sim).await, [id.as_str()]);

    let change = [
        ("enabled_events[]", "payout.paid"),
        ("disabled", "true"),
        ("metadata[ours]", ""),
        ("metadata[theirs]", "2"),
    ];
    let changed = ask(&sim, (Method::POST, &one), &change).await.body;
    assert_eq!(changed["enabled_events"], json!(["payout.paid"]));
    assert_eq!(changed["status"], "disabled");
    assert_eq!(changed["metadata"], json!({"theirs": "2"}));
    assert_eq!(changed["url"], url);
    let fixed = ask(&sim, (Method::POST, &one), &[("connect", "true")]).await;
    assert_eq!(fixed.error()["code"], "parameter_unknown");

    let deleted = ask(&sim, (Method::DELETE, &one), &[]).await.body;
    let expected = json!({"id": id, "object": "webhook_endpoint", "deleted": true});
    assert_eq!(deleted, expected);
    for method in [Method::GET, Method::POST, Method::DELETE] {
        assert_eq!(ask(&sim, (method, &one), &[]).await.status, 404);
    }
    assert_eq!(ids(&sim).await, [""; 0]);
}

#[tokio::test]
async fn what_is_wrong_with_a_form_is_said_and_nothing_is_made() {
    let sim = start(config(5)).await;
    let url = "http://127.0.0.1:1/x";
    for (form, code) in [
        (vec![("url", url)], json!("parameter_missing")),
        (vec![("enabled_events[]", "*")], json!("parameter_missing")),
        (
            vec![("url", url), ("enabled_events[]", "*"), ("colour", "red")],
            json!("parameter_unknown"),
        ),
        (
            vec![("url", "nowhere"), ("enabled_events[]", "*")],
            Value::Null,
        ),
    ] {
        let refused = ask(&sim, (Method::POST, PATH), &form).await;
        assert_eq!((refused.status, &refused.error()["code"]), (400, &code));
    }
    let reads = ["rak_webhook_read"];
    sim.first()
        .set_key("rk_test_reads", Some(&reads), KeyState::Active);
    let call = (Method::POST, PATH);
    let refused = ask_as(&sim, "rk_test_reads", call, &form(url), None).await;
    assert_eq!(refused.expect("an answer").status, 403);
    assert_eq!(ids(&sim).await, [""; 0]);
}

#[tokio::test]
async fn the_same_request_under_the_same_key_makes_one_endpoint() {
    let sim = start(config(5)).await;
    let (key, url) = (sim.first().key().to_owned(), "http://127.0.0.1:1/x");
    let create = async |form: &[(&str, &str)]| {
        ask_as(&sim, &key, (Method::POST, PATH), form, Some("one")).await
    };
    // Executed, and the answer is lost.
    sim.first().add_fault(FaultRule {
        endpoint: Some(format!("POST {PATH}")),
        fault: Fault::Truncate,
        after: 0,
        times: 1,
        retry_after: None,
    });
    assert!(create(&form(url)).await.is_err());
    let made = ids(&sim).await;
    assert_eq!(made.len(), 1);
    let again = create(&form(url)).await.expect("an answer");
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    assert_eq!(again.body["id"], made[0].as_str());
    assert!(again.body["secret"].is_string());
    let other = create(&form("http://127.0.0.1:1/y"))
        .await
        .expect("an answer");
    assert_eq!(other.status, 400);
    assert_eq!(other.error()["type"], "idempotency_error");
    assert_eq!(ids(&sim).await, made);
    sim.advance(86_400);
    let later = create(&form(url)).await.expect("an answer");
    assert_eq!(later.header("idempotent-replayed"), None);
    assert_eq!(ids(&sim).await.len(), 2);
}

#[tokio::test]
async fn a_connect_endpoint_gets_the_events_of_other_accounts_and_the_account_its_own() {
    let other = AccountConfig {
        seed: 5,
        ..config(5)
    };
    let live = AccountConfig {
        seed: 6,
        livemode: true,
        ..config(5)
    };
    let sim = Simulator::builder()
        .time(TimeSource::Frozen(NOW))
        .account(config(5))
        .account(other)
        .account(live)
        .start()
        .await
        .expect("a free port can be bound");
    let (own, connect) = (Receiver::start().await, Receiver::start().await);
    ask(&sim, (Method::POST, PATH), &form(&own.url)).await;
    let mut of_connect = form(&connect.url);
    of_connect.push(("connect", "true"));
    ask(&sim, (Method::POST, PATH), &of_connect).await;
    for account in sim.accounts() {
        account
            .create_charge(&NewCharge::of(900, "eur"))
            .expect("it can be made");
    }
    let account = sim.first();
    for endpoint in account.own_webhook_endpoints() {
        endpoint
            .wait_until_delivered(LONG)
            .await
            .expect("all of it");
    }
    let accounts = |receiver: &Receiver| -> Vec<Value> {
        let arrivals = receiver.arrivals();
        arrivals
            .iter()
            .map(|it| it.event()["account"].clone())
            .collect()
    };
    assert_eq!(accounts(&own), [Value::Null]);
    let connected = sim.accounts()[1].id().to_owned();
    assert_eq!(accounts(&connect), [json!(connected)]);
}
