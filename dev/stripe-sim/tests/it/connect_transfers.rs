//! Transfers and reversals: what moves, what is refused, and what is listed.

use serde_json::{Value, json};
use stripe_sim::{NewCharge, SimHandle};

use crate::connect::{
    connect, created, euros, events, get, id, made, onboarded, platform, post, refused,
};

const PATH: &str = "/v1/transfers";

fn form<'a>(amount: &'a str, destination: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![
        ("amount", amount),
        ("currency", "eur"),
        ("destination", destination),
    ]
}

fn from_charge<'a>(
    amount: &'a str,
    destination: &'a str,
    charge: &'a str,
) -> Vec<(&'a str, &'a str)> {
    let mut form = form(amount, destination);
    form.push(("source_transaction", charge));
    form
}

async fn funded(amount: i64) -> (SimHandle, String) {
    let sim = platform().await;
    let account = onboarded(&sim).await;
    let connect = connect(&sim);
    connect
        .fund(None, amount, "eur", false)
        .expect("it is funded");
    (sim, account)
}

#[tokio::test]
async fn a_transfer_moves_what_is_available() {
    let (sim, account) = funded(1_000).await;
    let mut asked = form("700", &account);
    asked.extend([
        ("transfer_group", "g1"),
        ("metadata[row]", "1"),
        ("description", "Share"),
    ]);
    let transfer = made(&sim, PATH, &asked).await;
    assert_eq!(
        (&transfer["amount"], &transfer["currency"]),
        (&json!(700), &json!("eur"))
    );
    assert_eq!(transfer["destination"], account);
    assert_eq!(transfer["metadata"], json!({"row": "1"}));
    assert!(
        transfer["destination_payment"]
            .as_str()
            .expect("an id")
            .starts_with("py_")
    );
    assert_eq!(euros(&sim, None).await, (300, 0));
    assert_eq!(euros(&sim, Some(&account)).await, (700, 0));
    assert_eq!(events(&sim, None).await, ["transfer.created"]);
    let path = format!("{PATH}/{}", id(&transfer));
    assert_eq!(get(&sim, &path).await.body, transfer);
    let changed = made(
        &sim,
        &path,
        &[("metadata[row]", ""), ("description", "Ours")],
    )
    .await;
    assert_eq!(
        (&changed["metadata"], &changed["description"]),
        (&json!({}), &json!("Ours"))
    );
    let fixed = post(&sim, &path, &[("amount", "5")]).await;
    refused(&fixed, 400, "parameter_unknown");
}

#[tokio::test]
async fn transfers_that_cannot_be_are_refused_and_move_nothing() {
    let (sim, account) = funded(1_000).await;
    let connect = connect(&sim);
    let above = post(&sim, PATH, &form("1001", &account)).await;
    refused(&above, 400, "balance_insufficient");
    let message = above.error()["message"].as_str().expect("a message");
    assert!(
        message.starts_with("You have insufficient funds in your Stripe account"),
        "{message}"
    );
    let stranger = post(&sim, PATH, &form("5", "acct_stranger")).await;
    refused(&stranger, 400, "resource_missing");
    assert_eq!(stranger.error()["param"], "destination");
    assert_eq!(
        stranger.error()["message"],
        "No such destination: 'acct_stranger'"
    );
    let not_onboarded = created(&sim).await;
    let answer = post(&sim, PATH, &form("5", &not_onboarded)).await;
    refused(&answer, 400, "insufficient_capabilities_for_transfer");
    connect.set_transfers(&account, false).expect("it is set");
    refused(
        &post(&sim, PATH, &form("5", &account)).await,
        400,
        "transfers_not_allowed",
    );
    connect.set_transfers(&account, true).expect("it is set");
    connect.deauthorize(&account).expect("it goes");
    refused(
        &post(&sim, PATH, &form("5", &account)).await,
        400,
        "resource_missing",
    );
    for (name, value, code) in [
        ("amount", "0", "parameter_invalid_integer"),
        ("amount", "1.5", "parameter_invalid_integer"),
        ("amount", "", "parameter_missing"),
        ("destination", "", "parameter_missing"),
        ("colour", "red", "parameter_unknown"),
    ] {
        let mut asked = form("5", &account);
        asked.retain(|(other, _)| *other != name);
        asked.push((name, value));
        refused(&post(&sim, PATH, &asked).await, 400, code);
    }
    assert_eq!(connect.truth().transfers, []);
    assert_eq!(euros(&sim, None).await, (1_000, 0));
}

#[tokio::test]
async fn a_transfer_from_a_charge_moves_pending_money_up_to_the_charge() {
    let sim = platform().await;
    let (account, other) = (onboarded(&sim).await, onboarded(&sim).await);
    let charge = sim.first().create_charge(&NewCharge::of(1_000, "eur"));
    let charge = charge.expect("it can be made");
    let transfer = made(&sim, PATH, &from_charge("600", &account, &charge)).await;
    assert_eq!(transfer["source_transaction"], charge);
    assert_eq!(euros(&sim, None).await, (0, 400));
    assert_eq!(euros(&sim, Some(&account)).await, (0, 600));
    let above = post(&sim, PATH, &from_charge("401", &other, &charge)).await;
    assert_eq!(
        (above.status, &above.error()["param"]),
        (400, &json!("amount"))
    );
    made(&sim, PATH, &from_charge("400", &other, &charge)).await;
    let mut dollars = from_charge("5", &other, &charge);
    dollars[1] = ("currency", "usd");
    let mismatch = post(&sim, PATH, &dollars).await;
    refused(
        &mismatch,
        400,
        "transfer_source_balance_parameters_mismatch",
    );
    let missing = post(&sim, PATH, &from_charge("5", &other, "ch_missing")).await;
    refused(&missing, 400, "resource_missing");
    assert_eq!(missing.error()["param"], "source_transaction");

    // Its money is available two days after the charge, on both sides.
    sim.advance(2 * 86_400);
    assert_eq!(euros(&sim, Some(&account)).await, (600, 0));
    assert_eq!(euros(&sim, Some(&other)).await, (400, 0));
    assert!(
        events(&sim, Some(&account))
            .await
            .contains(&"balance.available".to_owned())
    );
}

#[tokio::test]
async fn a_charge_that_is_still_pending_can_be_transferred_from() {
    let sim = platform().await;
    let account = onboarded(&sim).await;
    let new = NewCharge {
        status: "pending".to_owned(),
        card: false,
        ..NewCharge::of(1_000, "eur")
    };
    let charge = sim.first().create_charge(&new).expect("it can be made");
    made(&sim, PATH, &from_charge("600", &account, &charge)).await;
    sim.advance(30 * 86_400);
    assert_eq!(euros(&sim, Some(&account)).await, (0, 600));
    connect(&sim).release_charge(&charge);
    assert_eq!(euros(&sim, Some(&account)).await, (600, 0));
    assert_eq!(euros(&sim, None).await, (400, 0));
    let failed = NewCharge {
        status: "failed".to_owned(),
        ..NewCharge::of(1_000, "eur")
    };
    let failed = sim.first().create_charge(&failed).expect("it can be made");
    let answer = post(&sim, PATH, &from_charge("5", &account, &failed)).await;
    assert_eq!(answer.error()["param"], "source_transaction");
}

#[tokio::test]
async fn transfers_from_a_charge_leave_its_fee_where_that_is_chosen() {
    let sim = platform().await;
    connect(&sim).switch(|switches| switches.transfers_up_to_gross = false);
    let account = onboarded(&sim).await;
    let charge = sim.first().create_charge(&NewCharge::of(1_000, "eur"));
    let charge = charge.expect("it can be made");
    let above = post(&sim, PATH, &from_charge("942", &account, &charge)).await;
    assert_eq!(above.status, 400);
    made(&sim, PATH, &from_charge("941", &account, &charge)).await;
}

#[tokio::test]
async fn a_transfer_is_reversed_in_parts_while_the_destination_has_the_money() {
    let (sim, account) = funded(1_000).await;
    let transfer = id(&made(&sim, PATH, &form("1000", &account)).await);
    let path = format!("{PATH}/{transfer}/reversals");
    let first = made(&sim, &path, &[("amount", "300"), ("metadata[row]", "2")]).await;
    assert_eq!(
        (&first["amount"], &first["transfer"]),
        (&json!(300), &json!(transfer))
    );
    let shown = async || get(&sim, &format!("{PATH}/{transfer}")).await.body;
    let partly = shown().await;
    assert_eq!(
        (&partly["amount_reversed"], &partly["reversed"]),
        (&json!(300), &json!(false))
    );
    assert_eq!(partly["reversals"]["data"], json!([first]));
    assert_eq!(post(&sim, &path, &[("amount", "701")]).await.status, 400);

    let connect = connect(&sim);
    connect
        .fund(Some(&account), -100, "eur", false)
        .expect("it is taken");
    refused(&post(&sim, &path, &[]).await, 400, "balance_insufficient");
    connect
        .fund(Some(&account), 100, "eur", false)
        .expect("it is given");
    let rest = made(&sim, &path, &[]).await;
    assert_eq!(rest["amount"], 700);
    assert_eq!(shown().await["reversed"], true);
    assert_eq!(post(&sim, &path, &[]).await.status, 400);
    assert_eq!(euros(&sim, None).await, (1_000, 0));
    assert_eq!(euros(&sim, Some(&account)).await, (0, 0));
    let listed = get(&sim, &format!("{path}?limit=1")).await.body;
    assert_eq!(
        (&listed["data"], &listed["has_more"]),
        (&json!([rest]), &json!(true))
    );
    assert_eq!(
        get(&sim, &format!("{path}/{}", id(&first))).await.body,
        first
    );
    let truth = connect.truth();
    let amounts: Vec<i64> = truth.transfers[0]
        .reversals
        .iter()
        .map(|it| it.amount)
        .collect();
    assert_eq!(amounts, [300, 700]);
    let recorded = [
        "transfer.created",
        "transfer.reversed",
        "transfer.updated",
        "transfer.reversed",
        "transfer.updated",
    ];
    assert_eq!(events(&sim, None).await, recorded);
}

#[tokio::test]
async fn the_event_of_a_reversal_waits_for_the_last_part_where_that_is_chosen() {
    let (sim, account) = funded(1_000).await;
    connect(&sim).switch(|switches| {
        switches.reversed_event_on_partial = false;
        switches.transfer_updated_on_reversal = false;
    });
    let transfer = id(&made(&sim, PATH, &form("1000", &account)).await);
    let path = format!("{PATH}/{transfer}/reversals");
    made(&sim, &path, &[("amount", "300")]).await;
    assert_eq!(events(&sim, None).await, ["transfer.created"]);
    made(&sim, &path, &[]).await;
    assert_eq!(
        events(&sim, None).await,
        ["transfer.created", "transfer.reversed"]
    );
}

#[tokio::test]
async fn a_pending_transfer_is_reversed_from_pending_money() {
    let sim = platform().await;
    let account = onboarded(&sim).await;
    let charge = sim.first().create_charge(&NewCharge::of(1_000, "eur"));
    let charge = charge.expect("it can be made");
    let transfer = id(&made(&sim, PATH, &from_charge("600", &account, &charge)).await);
    made(
        &sim,
        &format!("{PATH}/{transfer}/reversals"),
        &[("amount", "200")],
    )
    .await;
    assert_eq!(euros(&sim, None).await, (0, 600));
    assert_eq!(euros(&sim, Some(&account)).await, (0, 400));
}

#[tokio::test]
async fn transfers_are_listed_by_destination_group_and_time() {
    let (sim, account) = funded(1_000).await;
    let other = onboarded(&sim).await;
    let mut made_ids = Vec::new();
    for (destination, group) in [(&account, "a"), (&other, "a"), (&account, "b")] {
        let mut asked = form("10", destination);
        asked.push(("transfer_group", group));
        made_ids.push(id(&made(&sim, PATH, &asked).await));
        sim.advance(10);
    }
    let (first, second, third) = (&made_ids[0], &made_ids[1], &made_ids[2]);
    let since = sim.now() - 10;
    for (query, expected) in [
        (String::new(), vec![third, second, first]),
        (format!("destination={account}"), vec![third, first]),
        ("transfer_group=a".to_owned(), vec![second, first]),
        (format!("created[gte]={since}"), vec![third]),
        (format!("starting_after={third}&limit=1"), vec![second]),
        (format!("ending_before={first}&limit=1"), vec![second]),
    ] {
        let listed = get(&sim, &format!("{PATH}?{query}")).await.body;
        let ids: Vec<&Value> = listed["data"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|it| &it["id"])
            .collect();
        assert_eq!(ids, expected, "{query}");
    }
    let lost = get(&sim, &format!("{PATH}?starting_after=tr_missing")).await;
    refused(&lost, 400, "resource_missing");
}
