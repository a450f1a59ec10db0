//! Payouts: what is taken and given back, what is refused, and the schedule.

use reqwest::Method;
use serde_json::{Value, json};
use stripe_sim::{BalanceSettingsAnswer, SimHandle};

use crate::client::Answer;
use crate::connect::{ask, connect, euros, events, id, onboarded, platform, refused};

const PATH: &str = "/v1/payouts";
const SETTINGS: &str = "/v1/balance_settings";

async fn funded(amount: i64) -> (SimHandle, String) {
    let sim = platform().await;
    let account = onboarded(&sim).await;
    let connect = connect(&sim);
    connect
        .fund(Some(&account), amount, "eur", false)
        .expect("it is funded");
    (sim, account)
}

async fn pay_out(sim: &SimHandle, account: &str, amount: &str) -> Answer {
    let form = [
        ("amount", amount),
        ("currency", "eur"),
        ("metadata[row]", "1"),
    ];
    ask(sim, (Method::POST, PATH), Some(account), &form).await
}

async fn shown(sim: &SimHandle, account: &str, path: &str) -> Value {
    ask(sim, (Method::GET, path), Some(account), &[]).await.body
}

/// The types of the events about payouts, the oldest first.
async fn payout_events(sim: &SimHandle, account: &str) -> Vec<String> {
    let mut all = events(sim, Some(account)).await;
    all.retain(|name| name.starts_with("payout."));
    all
}

#[tokio::test]
async fn a_payout_arrives_and_may_fail_afterwards() {
    let (sim, account) = funded(1_000).await;
    let payout = pay_out(&sim, &account, "600").await.body;
    assert_eq!(
        (&payout["status"], &payout["automatic"]),
        (&json!("pending"), &json!(false))
    );
    assert_eq!(euros(&sim, Some(&account)).await, (400, 0));
    let (connect, payout) = (connect(&sim), id(&payout));
    for status in ["in_transit", "paid"] {
        connect
            .advance_payout(&payout, status, None)
            .expect("it goes on");
    }
    let path = format!("{PATH}/{payout}");
    assert_eq!(shown(&sim, &account, &path).await["status"], "paid");
    assert!(connect.advance_payout(&payout, "canceled", None).is_err());
    let failed = connect.advance_payout(&payout, "failed", Some("account_closed"));
    failed.expect("it can fail late");
    let body = shown(&sim, &account, &path).await;
    assert_eq!(
        (&body["status"], &body["failure_code"]),
        (&json!("failed"), &json!("account_closed"))
    );
    assert_eq!(body["failure_message"], "The bank account has been closed.");
    assert!(body["failure_balance_transaction"].is_string());
    assert_eq!(euros(&sim, Some(&account)).await, (1_000, 0));
    let recorded = [
        "payout.created",
        "payout.updated",
        "payout.paid",
        "payout.failed",
    ];
    assert_eq!(payout_events(&sim, &account).await, recorded);
    let truth = &connect.truth().payouts[0];
    assert_eq!(
        (truth.account.as_str(), truth.status.as_str()),
        (account.as_str(), "failed")
    );
}

#[tokio::test]
async fn a_payout_is_canceled_while_it_is_pending() {
    let (sim, account) = funded(1_000).await;
    let payout = id(&pay_out(&sim, &account, "600").await.body);
    let cancel = format!("{PATH}/{payout}/cancel");
    let call = || ask(&sim, (Method::POST, &cancel), Some(&account), &[]);
    assert_eq!(call().await.body["status"], "canceled");
    assert_eq!(euros(&sim, Some(&account)).await, (1_000, 0));
    assert_eq!(call().await.status, 400);
    assert_eq!(
        payout_events(&sim, &account).await,
        ["payout.created", "payout.canceled"]
    );
}

#[tokio::test]
async fn payouts_that_cannot_be_are_refused_and_take_nothing() {
    let (sim, account) = funded(1_000).await;
    refused(
        &pay_out(&sim, &account, "1001").await,
        400,
        "balance_insufficient",
    );
    let small = pay_out(&sim, &account, "99").await;
    refused(&small, 400, "amount_too_small");
    let instant = [
        ("amount", "500"),
        ("currency", "eur"),
        ("method", "instant"),
    ];
    let answer = ask(&sim, (Method::POST, PATH), Some(&account), &instant).await;
    refused(&answer, 400, "instant_payouts_unsupported");
    let elsewhere = [
        ("amount", "500"),
        ("currency", "eur"),
        ("destination", "ba_other"),
    ];
    let answer = ask(&sim, (Method::POST, PATH), Some(&account), &elsewhere).await;
    refused(&answer, 400, "resource_missing");
    connect(&sim)
        .set_payouts(&account, false, false)
        .expect("they are off");
    refused(
        &pay_out(&sim, &account, "500").await,
        400,
        "payouts_not_allowed",
    );
    assert_eq!(euros(&sim, Some(&account)).await, (1_000, 0));
    assert_eq!(connect(&sim).truth().payouts, []);
}

#[tokio::test]
async fn the_schedule_pays_out_what_is_available_but_for_what_is_kept() {
    let (sim, account) = funded(1_000).await;
    let (connect, manual) = (connect(&sim), onboarded(&sim).await);
    connect
        .fund(Some(&manual), 1_000, "eur", false)
        .expect("it is funded");
    connect
        .fund(Some(&account), 50, "eur", true)
        .expect("it is funded");
    let change = [("payments[payouts][schedule][interval]", "manual")];
    ask(&sim, (Method::POST, SETTINGS), Some(&manual), &change).await;
    let kept = [("payments[payouts][minimum_balance_by_currency][eur]", "200")];
    ask(&sim, (Method::POST, SETTINGS), Some(&account), &kept).await;
    let ids = connect.run_payout_schedule();
    assert_eq!(ids.len(), 1);
    assert_eq!(euros(&sim, Some(&account)).await, (200, 50));
    assert_eq!(euros(&sim, Some(&manual)).await, (1_000, 0));
    let path = format!("{PATH}/{}", ids[0]);
    let body = shown(&sim, &account, &path).await;
    assert_eq!(
        (&body["amount"], &body["automatic"]),
        (&json!(800), &json!(true))
    );
    let cancel = format!("{path}/cancel");
    let answer = ask(&sim, (Method::POST, &cancel), Some(&account), &[]).await;
    assert_eq!(answer.status, 400);
    connect
        .advance_payout(&ids[0], "paid", None)
        .expect("it is paid");
    assert_eq!(
        shown(&sim, &account, &path).await["reconciliation_status"],
        "completed"
    );
    let recorded = [
        "payout.created",
        "payout.reconciliation_completed",
        "payout.paid",
    ];
    assert_eq!(payout_events(&sim, &account).await, recorded);
    connect.release(Some(&account)).expect("it is released");
    assert_eq!(euros(&sim, Some(&account)).await, (250, 0));
}

#[tokio::test]
async fn payouts_are_listed_of_their_account_alone() {
    let (sim, account) = funded(1_000).await;
    let first = id(&pay_out(&sim, &account, "200").await.body);
    let second = id(&pay_out(&sim, &account, "300").await.body);
    connect(&sim)
        .advance_payout(&first, "paid", None)
        .expect("it is paid");
    let ids = async |account: Option<&str>, query: &str| {
        let path = format!("{PATH}?{query}");
        let listed = ask(&sim, (Method::GET, &path), account, &[]).await.body;
        let data = listed["data"].as_array().expect("a list").iter();
        data.map(id).collect::<Vec<_>>()
    };
    let own = Some(account.as_str());
    assert_eq!(ids(own, "").await, [second.as_str(), &first]);
    assert_eq!(ids(own, "status=paid").await, [first.as_str()]);
    assert_eq!(
        ids(own, &format!("starting_after={second}")).await,
        [first.as_str()]
    );
    assert_eq!(ids(own, "arrival_date[lt]=1").await, [""; 0]);
    assert_eq!(ids(None, "").await, [""; 0]);
    let path = format!("{PATH}/{first}");
    assert_eq!(ask(&sim, (Method::GET, &path), None, &[]).await.status, 404);
    let change = [("metadata[row]", "2")];
    let changed = ask(&sim, (Method::POST, &path), own, &change).await.body;
    assert_eq!(changed["metadata"], json!({"row": "2"}));
}

#[tokio::test]
async fn balance_settings_are_the_accounts_schedule_where_the_platform_may_see_them() {
    let (sim, account) = funded(0).await;
    let change = [
        ("payments[payouts][schedule][interval]", "monthly"),
        ("payments[payouts][schedule][monthly_payout_days][]", "1"),
        ("payments[payouts][schedule][monthly_payout_days][]", "15"),
        ("payments[settlement_timing][delay_days_override]", "10"),
    ];
    let changed = ask(&sim, (Method::POST, SETTINGS), Some(&account), &change)
        .await
        .body;
    let payouts = &changed["payments"]["payouts"];
    let expected = json!({"interval": "monthly", "monthly_payout_days": [1, 15]});
    assert_eq!(
        (&payouts["schedule"], &payouts["status"]),
        (&expected, &json!("enabled"))
    );
    assert_eq!(shown(&sim, &account, SETTINGS).await, changed);
    let schedule = &shown(&sim, &account, "/v1/account").await["settings"]["payouts"]["schedule"];
    let expected = json!({"delay_days": 10, "interval": "monthly", "monthly_payout_days": [1, 15]});
    assert_eq!(*schedule, expected);
    let recorded = events(&sim, Some(&account)).await;
    assert!(recorded.ends_with(&["account.updated".into(), "balance_settings.updated".into()]));
    let reset = [("payments[settlement_timing][delay_days_override]", "")];
    let changed = ask(&sim, (Method::POST, SETTINGS), Some(&account), &reset)
        .await
        .body;
    assert_eq!(
        changed["payments"]["settlement_timing"]["delay_days_override"],
        Value::Null
    );
    let saturday = [
        ("payments[payouts][schedule][interval]", "weekly"),
        (
            "payments[payouts][schedule][weekly_payout_days][]",
            "saturday",
        ),
    ];
    let answer = ask(&sim, (Method::POST, SETTINGS), Some(&account), &saturday).await;
    assert_eq!(answer.status, 400);

    for (chosen, status) in [
        (BalanceSettingsAnswer::Forbidden, 403),
        (BalanceSettingsAnswer::Refused, 400),
    ] {
        connect(&sim).switch(|switches| switches.balance_settings = chosen);
        for method in [Method::GET, Method::POST] {
            let answer = ask(&sim, (method, SETTINGS), Some(&account), &[]).await;
            assert_eq!(answer.status, status);
        }
    }
    let old = [("settings[payouts][schedule][interval]", "manual")];
    let path = format!("/v1/accounts/{account}");
    let answer = ask(&sim, (Method::POST, &path), None, &old).await;
    assert_eq!(answer.status, 200);
}
