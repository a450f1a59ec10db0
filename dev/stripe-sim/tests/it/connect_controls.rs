//! The controls of Connect over HTTP: those of the library by other means.

use serde_json::{Value, json};
use stripe_sim::{AccountConfig, ConnectTruth, SimHandle, Simulator, TimeSource};

use crate::client::{NOW, config, http};
use crate::connect::{created, get};

async fn control(sim: &SimHandle, path: &str, body: &Value) -> (u16, Value) {
    let request = http().post(format!("{}/_sim/connect{path}", sim.base_url));
    let body = if body.is_null() {
        String::new()
    } else {
        body.to_string()
    };
    let response = request.body(body).send().await.expect("an answer");
    let status = response.status().as_u16();
    (status, response.json().await.expect("JSON"))
}

async fn done(sim: &SimHandle, path: &str, body: Value) -> Value {
    let (status, answer) = control(sim, path, &body).await;
    assert_eq!(status, 200, "{path}: {answer}");
    answer
}

async fn truth(sim: &SimHandle) -> ConnectTruth {
    let url = format!("{}/_sim/connect", sim.base_url);
    let answer = http().get(url).send().await.expect("an answer");
    answer.json().await.expect("a truth")
}

async fn two_accounts() -> SimHandle {
    let shop = AccountConfig {
        seed: 5,
        ..config(5)
    };
    let builder = Simulator::builder().time(TimeSource::Frozen(NOW));
    let builder = builder.account(config(0)).account(shop);
    builder.start().await.expect("a free port can be bound")
}

#[tokio::test]
async fn an_account_is_taken_through_its_states() {
    let sim = two_accounts().await;
    let id = created(&sim).await;
    let at = |name: &str| format!("/accounts/{id}/{name}");
    let switches = done(&sim, "/switches", json!({"instant_verification": false})).await;
    assert_eq!(switches["instant_verification"], false);
    let reason = async || {
        let shown = get(&sim, &format!("/v1/accounts/{id}")).await.body;
        shown["requirements"]["disabled_reason"].clone()
    };
    done(&sim, &at("submit"), json!({"complete": true})).await;
    assert_eq!(reason().await, "requirements.pending_verification");
    done(&sim, &at("verify"), Value::Null).await;
    assert_eq!(reason().await, Value::Null);
    let error = json!({"code": "information_missing", "reason": "Say more.",
        "requirement": "business_profile.url"});
    let more = json!({"fields": ["business_profile.url"], "deadline": NOW + 60, "errors": [error]});
    done(&sim, &at("require"), more).await;
    assert_eq!(reason().await, Value::Null);
    done(&sim, &at("pass_deadline"), Value::Null).await;
    assert_eq!(reason().await, "requirements.past_due");
    done(&sim, &at("disable"), json!({"reason": "listed"})).await;
    assert_eq!(reason().await, "listed");
    done(&sim, &at("disable"), json!({"reason": null})).await;
    done(
        &sim,
        &at("capabilities/transfers"),
        json!({"status": "active"}),
    )
    .await;
    assert_eq!(
        truth(&sim).await.accounts[0].capabilities["transfers"],
        "active"
    );
    done(&sim, &at("payouts"), json!({"enabled": false})).await;
    done(&sim, &at("transfers"), json!({"allowed": false})).await;
    done(&sim, &at("reject"), json!({"reason": "other"})).await;
    assert_eq!(reason().await, "rejected.other");
    done(&sim, &at("deauthorize"), Value::Null).await;
    assert!(!truth(&sim).await.accounts[0].connected);
    let shop = sim.accounts()[1].id().to_owned();
    done(&sim, &format!("/accounts/{shop}/authorize"), Value::Null).await;
    assert!(truth(&sim).await.accounts[1].connected);
}

#[tokio::test]
async fn money_is_given_released_and_paid_out() {
    let sim = two_accounts().await;
    let id = created(&sim).await;
    done(&sim, &format!("/accounts/{id}/submit"), Value::Null).await;
    done(&sim, "/fund", json!({"amount": 700, "currency": "eur"})).await;
    let pending = json!({"amount": 500, "currency": "eur", "pending": true, "account": id});
    done(&sim, "/fund", pending).await;
    let money = truth(&sim).await;
    assert_eq!(money.balance["eur"].available, 700);
    assert_eq!(money.accounts[0].balance["eur"].pending, 500);
    done(&sim, "/release", json!({"account": id})).await;
    let made = done(&sim, "/payouts/run_schedule", Value::Null).await;
    let payout = made["ids"][0].as_str().expect("an id");
    let advance = format!("/payouts/{payout}/advance");
    done(
        &sim,
        &advance,
        json!({"to": "failed", "failure_code": "no_account"}),
    )
    .await;
    let money = truth(&sim).await;
    assert_eq!(money.payouts[0].status, "failed");
    assert_eq!(money.accounts[0].balance["eur"].available, 500);
    let (status, _) = control(&sim, &advance, &json!({"to": "paid"})).await;
    assert_eq!(status, 400);
    done(&sim, "/release", json!({"charge": "ch_1"})).await;
}

#[tokio::test]
async fn what_is_not_there_or_not_right_is_refused() {
    let sim = two_accounts().await;
    for (path, body, status) in [
        ("/accounts/acct_missing/verify", Value::Null, 404),
        ("/accounts/acct_missing/authorize", Value::Null, 404),
        ("/payouts/po_missing/advance", json!({"to": "paid"}), 404),
        ("/payouts/po_missing/advance", json!({"to": "lost"}), 400),
        ("/fund", json!({"amount": 5, "currency": "EURO"}), 400),
        ("/switches", json!({"weather": "fine"}), 400),
    ] {
        assert_eq!(control(&sim, path, &body).await.0, status, "{path}");
    }
}
