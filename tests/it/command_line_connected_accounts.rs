//! Connected accounts and their money from the command line: each movement once, also when an answer is lost.

#![expect(clippy::unwrap_used, reason = "in helpers of tests as in tests")]

use serde_json::Value;
use stripe_sim::{Fault, FaultRule};
use tests::connected::{FUNDS, start};
use tests::shell::Shell;
use tests::world::World;

use crate::command_line_client::{assert_speaks_of_commands, json_of, shell_of};

async fn reported(shell: &Shell, line: &str, code: i32, words: &[&str]) {
    let ran = shell.run(line, code).await.says(words);
    assert_speaks_of_commands(&format!("{line}\n{}{}", ran.out, ran.err));
}

/// The one transfer that the list has.
async fn only_transfer(shell: &Shell) -> Value {
    let listed = json_of(&shell.run("connect-account transfers --json", 0).await);
    let [transfer] = &listed.as_array().unwrap()[..] else {
        panic!("one transfer: {listed:#}");
    };
    transfer.clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_is_onboarded_seen_and_disconnected() {
    let world = World::with_charges(0).platform().consumers(0).start().await;
    let shell = shell_of(&world);
    let status = "connect-account status";
    reported(&shell, status, 0, &["Stripe account: not_started"]).await;
    let line = "connect-account onboard --country US --preset express";
    let opens = "open this page of Stripe's; it works once";
    reported(
        &shell,
        line,
        0,
        &["created the Stripe account acct_", opens],
    )
    .await;
    let again = ["there is already the Stripe account acct_", opens];
    reported(&shell, line, 0, &again).await;
    let transfer = "connect-account transfer --amount 100 --currency usd";
    reported(&shell, transfer, 1, &["(account_not_ready)"]).await;
    onboarded(&world, &shell).await;
    let refused = ["no terminal to ask for confirmation", "add --yes"];
    reported(&shell, "connect-account disconnect", 2, &refused).await;
    let done = ["disconnected acct_", "nothing is deleted at Stripe"];
    reported(&shell, "connect-account disconnect --yes", 0, &done).await;
    reported(&shell, status, 0, &["disconnected"]).await;
}

async fn onboarded(world: &World, shell: &Shell) {
    let connect = world.account().connect();
    let account_id = connect.truth().accounts[0].id.clone();
    connect.submit(&account_id, true).unwrap();
    let line = "connect-account status --refresh";
    reported(shell, line, 0, &["active", "is paid out     yes"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transfer_is_made_seen_and_reversed() {
    let (world, _) = start().await;
    let shell = shell_of(&world);
    let none = ["no transfers found"];
    reported(&shell, "connect-account transfers", 0, &none).await;
    let line = "connect-account transfer --amount 1005 --currency USD --transfer-group order-7 --description Order\t7 \
                --idempotency-key order-7";
    let words = [
        ": created",
        "platform fee  1.01 USD",
        "moved         9.04 USD",
    ];
    reported(&shell, line, 0, &words).await;
    // The same command again moves nothing.
    reported(&shell, line, 0, &words).await;
    let other = "connect-account transfer --amount 1 --currency usd --idempotency-key order-7";
    reported(&shell, other, 1, &["(idempotency_conflict)"]).await;
    let transfer = only_transfer(&shell).await;
    assert_eq!(transfer["description"], "Order 7");
    let id = transfer["transfer_id"].as_str().unwrap();

    let line =
        format!("connect-account reverse {id} --amount 300 --refund-fee --idempotency-key r");
    let words = ["taken back    3.00 USD", "trr_", "0.33 USD"];
    reported(&shell, &line, 0, &words).await;
    reported(&shell, &line, 0, &words).await;
    let line = format!("connect-account reverse {id} --amount 605");
    let refused = ["--amount must be at most 604", "(invalid_request)"];
    reported(&shell, &line, 1, &refused).await;
    let line = format!("connect-account reverse {id}");
    reported(&shell, &line, 0, &["taken back    9.04 USD"]).await;
    let line = format!("connect-account transfers {id}");
    reported(&shell, &line, 0, &["3.00 USD", "6.04 USD"]).await;
    let words = ["10.05 USD", "1.01 USD", "9.04 USD"];
    reported(&shell, "connect-account transfers", 0, &words).await;
    let unknown = "connect-account transfers 01932d0e-0000-7000-8000-000000000000";
    let shows = ["`stripe-sync connect-account transfers`", "(not_found)"];
    reported(&shell, unknown, 1, &shows).await;
    let truth = world.account().connect().truth();
    let taken_back = truth.transfers[0].reversals.iter().map(|it| it.amount);
    assert_eq!((truth.transfers.len(), taken_back.sum()), (1, 904));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_lost_answer_the_printed_key_says_what_became_of_the_money() {
    let (world, _) = start().await;
    let shell = shell_of(&world);
    for (endpoint, fault) in [
        ("POST /v1/transfers", Fault::Lost),
        ("GET /v1/transfers", Fault::Reset),
    ] {
        world.account().add_fault(FaultRule {
            endpoint: Some(endpoint.to_owned()),
            fault,
            after: 0,
            times: 1,
            retry_after: None,
        });
    }
    let line = "connect-account transfer --amount 1000 --currency usd";
    let ran = shell.run(line, 0).await.says(&[": unknown", "what to do"]);
    let (_, key) = ran.err.split_once("--idempotency-key ").unwrap();
    let (key, _) = key.split_once(':').unwrap();
    assert!(ran.out.contains(key), "{ran:?}");
    let again = format!("{line} --idempotency-key {key}");
    reported(&shell, &again, 0, &[": created", "9.00 USD"]).await;
    assert_eq!(world.account().connect().truth().transfers.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_account_is_paid_out_when_asked_to_and_by_a_schedule() {
    let (world, account_id) = start().await;
    let shell = shell_of(&world);
    reported(&shell, "connect-account balance", 0, &["0.00 USD"]).await;
    let connect = world.account().connect();
    connect
        .fund(Some(&account_id), 5_000, "usd", false)
        .unwrap();
    let held = ["available", "50.00 USD", "as of "];
    reported(&shell, "connect-account balance", 0, &held).await;
    let none = ["no payouts found"];
    reported(&shell, "connect-account payouts", 0, &none).await;
    let line = "connect-account pay-out --amount 4000 --currency usd --idempotency-key p";
    let made = ["payout ", ": pending", "40.00 USD", "standard", "po_"];
    reported(&shell, line, 0, &made).await;
    reported(&shell, line, 0, &made).await;
    let refused = ["balance", "(stripe_refused)"];
    let line = "connect-account pay-out --amount 4000 --currency usd";
    reported(&shell, line, 1, &refused).await;
    let listed = ["40.00 USD", "pending", "request", "failed"];
    reported(&shell, "connect-account payouts", 0, &listed).await;

    let weekly = "connect-account schedule set --interval weekly";
    let missing = ["--weekly-payout-days must name at least one day"];
    reported(&shell, weekly, 1, &missing).await;
    let set = format!("{weekly} --weekly-payout-days monday,friday");
    let words = ["paid out by Stripe: weekly", "monday, friday"];
    reported(&shell, &set, 0, &words).await;
    reported(&shell, "connect-account schedule show", 0, &words).await;
    let manual = "connect-account schedule set --interval manual";
    reported(&shell, manual, 0, &["connect-account pay-out`"]).await;
    assert_eq!(connect.truth().payouts.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_comparison_found_is_shown() {
    let (mut world, account_id) = start().await;
    let shell = shell_of(&world);
    let line = "connect-account reconciliation";
    reported(&shell, line, 0, &["not compared with Stripe yet"]).await;
    let client = reqwest::Client::builder().build().unwrap();
    // Somebody moves money in Stripe's dashboard.
    let moved = client
        .post(format!("{}/v1/transfers", world.sim.base_url))
        .bearer_auth(world.account().key())
        .header("content-type", "application/x-www-form-urlencoded")
        .body(format!("amount=500&currency=usd&destination={account_id}"))
        .send()
        .await
        .unwrap();
    assert!(moved.status().is_success(), "{moved:?}");
    world.start_consumer();
    world
        .eventually("a comparison", async || {
            let last = world.get("/v1/connect/reconciliation").await;
            (!last["ran_at"].is_null()).then_some(())
        })
        .await;
    let found = ["transfer", "tr_", "missing", "5.00 USD, created"];
    reported(&shell, line, 0, &found).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_sets_what_the_platform_keeps() {
    let (world, _) = start().await;
    let mut shell = shell_of(&world);
    let needed = ["`stripe-sync token create --operator`"];
    reported(&shell, "operator organizations", 1, &needed).await;
    let line = "operator set-fee acme --percent 12.5";
    reported(&shell, line, 1, &needed).await;
    let organization_token = world.token_of("acme").to_owned();
    shell.set("STRIPE_SYNC_TOKEN", &world.operator_token().await);
    let default = ["acme", "PLATFORM_FEE_PERCENT"];
    reported(&shell, "operator organizations", 0, &default).await;
    let keeps = ["the platform keeps 12.5 % of the transfers of acme"];
    reported(&shell, line, 0, &keeps).await;
    reported(&shell, "operator organizations", 0, &["12.5 %"]).await;
    let nobody = ["there is no organization `nobody`"];
    reported(&shell, "operator set-fee nobody --default", 1, &nobody).await;
    shell.set("STRIPE_SYNC_TOKEN", &organization_token);
    let transfer = "connect-account transfer --amount 1000 --currency usd";
    reported(&shell, transfer, 0, &["1.25 USD", "8.75 USD"]).await;
    let available = world.account().connect().truth().balance["usd"].available;
    assert_eq!(available, FUNDS - 875);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_platform_key_the_setting_is_named() {
    let world = World::with_charges(0).consumers(0).start().await;
    let shell = shell_of(&world);
    for line in [
        "transfers",
        "balance",
        "status",
        "schedule show",
        "reconciliation",
    ] {
        let line = format!("connect-account {line}");
        reported(&shell, &line, 1, &["STRIPE_PLATFORM_KEY"]).await;
    }
}
