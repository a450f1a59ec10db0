//! Idempotency keys on what moves money: what is done once, what is kept, and what goes wrong on the way.

use reqwest::Method;
use serde_json::json;
use stripe_sim::{Fault, FaultRule, SimHandle};
use tokio::time::timeout;

use crate::client::{Answer, send};
use crate::connect::{connect, euros, onboarded, platform, refused};
use crate::webhooks::LONG;

const PATH: &str = "/v1/transfers";

async fn funded() -> (SimHandle, String) {
    let sim = platform().await;
    let account = onboarded(&sim).await;
    connect(&sim)
        .fund(None, 1_000, "eur", false)
        .expect("it is funded");
    (sim, account)
}

async fn try_transfer(
    sim: &SimHandle,
    account: &str,
    amount: &str,
    key: &str,
) -> reqwest::Result<Answer> {
    let form = [
        ("amount", amount),
        ("currency", "eur"),
        ("destination", account),
    ];
    let call = (Method::POST, PATH);
    send(
        sim,
        sim.first().key(),
        call,
        &form,
        &[("idempotency-key", key)],
    )
    .await
}

async fn transfer(sim: &SimHandle, account: &str, amount: &str, key: &str) -> Answer {
    let answer = try_transfer(sim, account, amount, key).await;
    answer.expect("the simulator answers")
}

fn fault(sim: &SimHandle, fault: Fault) {
    sim.first().add_fault(FaultRule {
        endpoint: Some(format!("POST {PATH}")),
        fault,
        after: 0,
        times: 1,
        retry_after: None,
    });
}

fn replayed(answer: &Answer) -> bool {
    answer.header("idempotent-replayed") == Some("true")
}

fn transfers(sim: &SimHandle) -> usize {
    connect(sim).truth().transfers.len()
}

#[tokio::test]
async fn the_same_request_under_the_same_key_moves_money_once() {
    let (sim, account) = funded().await;
    let first = transfer(&sim, &account, "300", "one").await;
    let again = transfer(&sim, &account, "300", "one").await;
    assert!(!replayed(&first) && replayed(&again));
    assert_eq!(first.body, again.body);
    let other = transfer(&sim, &account, "301", "one").await;
    assert_eq!(
        (other.status, &other.error()["type"]),
        (400, &json!("idempotency_error"))
    );
    assert_eq!(euros(&sim, None).await, (700, 0));
}

#[tokio::test]
async fn a_refusal_for_its_parameters_is_not_kept_and_one_for_the_balance_is() {
    let (sim, account) = funded().await;
    assert_eq!(transfer(&sim, &account, "x", "one").await.status, 400);
    assert_eq!(transfer(&sim, &account, "300", "one").await.status, 200);
    let above = transfer(&sim, &account, "701", "two").await;
    refused(&above, 400, "balance_insufficient");
    connect(&sim)
        .fund(None, 1_000, "eur", false)
        .expect("it is funded");
    let again = transfer(&sim, &account, "701", "two").await;
    assert!(replayed(&again));
    refused(&again, 400, "balance_insufficient");
    assert_eq!(transfer(&sim, &account, "701", "three").await.status, 200);
}

#[tokio::test]
async fn a_lost_answer_is_given_again_without_doing_it_twice() {
    let (sim, account) = funded().await;
    fault(&sim, Fault::Lost);
    assert!(try_transfer(&sim, &account, "300", "one").await.is_err());
    assert_eq!(transfers(&sim), 1);
    let again = transfer(&sim, &account, "300", "one").await;
    assert!(again.status == 200 && replayed(&again));
    assert_eq!(transfers(&sim), 1);
}

#[tokio::test]
async fn a_late_answer_is_of_a_request_that_was_executed_at_once() {
    let (sim, account) = funded().await;
    fault(&sim, Fault::Late(60_000));
    let late = try_transfer(&sim, &account, "300", "one");
    let done = timeout(LONG, async {
        while transfers(&sim) == 0 {
            tokio::task::yield_now().await;
        }
    });
    tokio::select! {
        answered = late => panic!("it is answered: {}", answered.is_ok()),
        done = done => done.expect("it is executed"),
    }
    assert!(replayed(&transfer(&sim, &account, "300", "one").await));
}

#[tokio::test]
async fn a_failure_before_or_after_the_work_is_kept_and_one_on_the_way_is_not() {
    let (sim, account) = funded().await;
    for (wanted, key, done) in [
        (Fault::FailedBefore(500), "before", 0),
        (Fault::FailedAfter(500), "after", 1),
    ] {
        fault(&sim, wanted);
        for again in [false, true] {
            let answer = transfer(&sim, &account, "100", key).await;
            assert_eq!((answer.status, replayed(&answer)), (500, again), "{key}");
            assert_eq!(answer.error()["type"], "api_error");
        }
        assert_eq!(transfers(&sim), done, "{key}");
    }
    fault(&sim, Fault::Status(500));
    assert_eq!(transfer(&sim, &account, "100", "way").await.status, 500);
    let again = transfer(&sim, &account, "100", "way").await;
    assert!(again.status == 200 && !replayed(&again));
}

#[tokio::test]
async fn a_key_is_in_use_while_its_request_is_executed() {
    let (sim, account) = funded().await;
    fault(&sim, Fault::Slow(400));
    let (first, second) = tokio::join!(
        transfer(&sim, &account, "300", "one"),
        transfer(&sim, &account, "300", "one")
    );
    let (done, in_use) = if first.status == 200 {
        (first, second)
    } else {
        (second, first)
    };
    assert_eq!(done.status, 200, "{}", done.body);
    refused(&in_use, 409, "idempotency_key_in_use");
    assert!(replayed(&transfer(&sim, &account, "300", "one").await));
    assert_eq!(transfers(&sim), 1);
}

#[tokio::test]
async fn each_account_has_keys_of_its_own() {
    let (sim, account) = funded().await;
    let other = onboarded(&sim).await;
    for account in [&account, &other] {
        let connect = connect(&sim);
        connect
            .fund(Some(account), 500, "eur", false)
            .expect("it is funded");
        let form = [("amount", "500"), ("currency", "eur")];
        let headers = [
            ("idempotency-key", "one"),
            ("stripe-account", account.as_str()),
        ];
        let call = (Method::POST, "/v1/payouts");
        let answer = send(&sim, sim.first().key(), call, &form, &headers).await;
        let answer = answer.expect("the simulator answers");
        assert!(
            answer.status == 200 && !replayed(&answer),
            "{}",
            answer.body
        );
    }
    assert_eq!(connect(&sim).truth().payouts.len(), 2);
}

#[tokio::test]
async fn chances_of_writing_are_met_by_writing_alone() {
    let (sim, account) = funded().await;
    sim.first()
        .configure(|settings| settings.fault_failed_after_percent = 100.0);
    assert_eq!(crate::connect::get(&sim, PATH).await.status, 200);
    assert_eq!(transfer(&sim, &account, "300", "one").await.status, 500);
    assert_eq!(transfers(&sim), 1);
}
