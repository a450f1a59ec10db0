//! Connected accounts: made, shown, changed, rejected and deleted.

use reqwest::Method;
use serde_json::{Value, json};
use stripe_sim::AccountConfig;

use crate::client::{NOW, config, start};
use crate::connect::{ask, connect, created, get, id, made, onboarded, platform, post, refused};

const PATH: &str = "/v1/accounts";

#[tokio::test]
async fn an_account_is_shown_as_it_was_made_and_listed_newest_first() {
    let sim = platform().await;
    let form = [
        ("controller[fees][payer]", "application"),
        ("controller[losses][payments]", "application"),
        ("controller[stripe_dashboard][type]", "express"),
        ("country", "GB"),
        ("email", "shop@example.com"),
        ("business_type", "company"),
        ("business_profile[name]", "Shop"),
        ("capabilities[card_payments][requested]", "true"),
        ("capabilities[transfers][requested]", "true"),
        ("settings[payouts][schedule][interval]", "weekly"),
        ("settings[payouts][schedule][weekly_anchor]", "friday"),
        ("tos_acceptance[service_agreement]", "recipient"),
        ("metadata[row]", "7"),
    ];
    let account = made(&sim, PATH, &form).await;
    assert_eq!(account["type"], "express");
    assert_eq!(account["controller"]["losses"]["payments"], "application");
    assert_eq!(account["country"], "GB");
    assert_eq!(account["default_currency"], "gbp");
    assert_eq!(account["created"], NOW);
    assert_eq!(account["metadata"], json!({"row": "7"}));
    assert_eq!(account["business_profile"]["name"], "Shop");
    let inactive = json!({"card_payments": "inactive", "transfers": "inactive"});
    assert_eq!(account["capabilities"], inactive);
    let expected = json!({"delay_days": 2, "interval": "weekly", "weekly_anchor": "friday",
        "weekly_payout_days": ["friday"]});
    assert_eq!(account["settings"]["payouts"]["schedule"], expected);
    assert_eq!(account["details_submitted"], false);
    let requirements = &account["requirements"];
    assert_eq!(requirements["disabled_reason"], "requirements.past_due");
    assert_eq!(requirements["currently_due"], requirements["past_due"]);

    let first = id(&account);
    let shown = get(&sim, &format!("{PATH}/{first}")).await;
    assert_eq!(shown.body, account);
    let second = created(&sim).await;
    let page = get(&sim, &format!("{PATH}?limit=1")).await.body;
    assert_eq!(
        (&page["data"][0]["id"], &page["has_more"]),
        (&json!(second), &json!(true))
    );
    let rest = get(&sim, &format!("{PATH}?starting_after={second}"))
        .await
        .body;
    assert_eq!(
        (&rest["data"][0]["id"], &rest["has_more"]),
        (&json!(first), &json!(false))
    );
    assert_eq!(connect(&sim).truth().accounts_created, 2);
}

#[tokio::test]
async fn an_account_is_changed_but_for_its_country() {
    let sim = platform().await;
    let account = format!("{PATH}/{}", created(&sim).await);
    let change = [
        ("metadata[row]", "8"),
        ("country", "DE"),
        ("settings[payouts][schedule][interval]", "manual"),
        ("settings[payouts][schedule][delay_days]", "14"),
    ];
    let changed = made(&sim, &account, &change).await;
    assert_eq!(changed["metadata"], json!({"row": "8"}));
    let schedule = &changed["settings"]["payouts"]["schedule"];
    assert_eq!(*schedule, json!({"delay_days": 14, "interval": "manual"}));
    let moved = post(&sim, &account, &[("country", "FR")]).await;
    let code = "account_error_country_change_requires_additional_steps";
    refused(&moved, 400, code);
    for (form, code) in [
        (("colour", "red"), json!("parameter_unknown")),
        (
            ("settings[payouts][schedule][interval]", "weekly"),
            json!("parameter_missing"),
        ),
        (("business_type", "guild"), Value::Null),
        (("capabilities[transfers][requested]", "maybe"), Value::Null),
    ] {
        let answer = post(&sim, &account, &[form]).await;
        assert_eq!(
            (answer.status, &answer.error()["code"]),
            (400, &code),
            "{form:?}"
        );
    }
}

#[tokio::test]
async fn a_capability_is_requested_and_follows_the_account() {
    let sim = platform().await;
    let account = onboarded(&sim).await;
    let path = format!("{PATH}/{account}/capabilities");
    let transfers = get(&sim, &format!("{path}/transfers")).await.body;
    assert_eq!(
        (
            &transfers["status"],
            &transfers["requested"],
            &transfers["requested_at"]
        ),
        (&json!("active"), &json!(true), &json!(NOW))
    );
    assert_eq!(
        get(&sim, &format!("{path}/card_payments")).await.status,
        404
    );
    let cards = made(
        &sim,
        &format!("{path}/card_payments"),
        &[("requested", "true")],
    )
    .await;
    assert_eq!(cards["status"], "active");
    let all = get(&sim, &path).await.body;
    assert_eq!(all["data"].as_array().map(Vec::len), Some(2));
    let given_back = made(
        &sim,
        &format!("{path}/card_payments"),
        &[("requested", "false")],
    )
    .await;
    assert_eq!(given_back["status"], "unrequested");
    let shown = get(&sim, &format!("{PATH}/{account}")).await.body;
    assert_eq!(shown["capabilities"], json!({"transfers": "active"}));
}

#[tokio::test]
async fn only_an_account_whose_losses_are_the_platforms_can_be_rejected() {
    let sim = platform().await;
    let express = format!("{PATH}/{}/reject", onboarded(&sim).await);
    assert_eq!(
        post(&sim, &express, &[("reason", "mood")]).await.status,
        400
    );
    let rejected = made(&sim, &express, &[("reason", "fraud")]).await;
    assert_eq!(
        rejected["requirements"]["disabled_reason"],
        "rejected.fraud"
    );
    assert_eq!(rejected["payouts_enabled"], false);
    let standard = id(&made(&sim, PATH, &[("type", "standard")]).await);
    let answer = post(
        &sim,
        &format!("{PATH}/{standard}/reject"),
        &[("reason", "fraud")],
    )
    .await;
    assert_eq!(answer.status, 400);
}

#[tokio::test]
async fn login_links_are_for_express_accounts_that_submitted_their_details() {
    let sim = platform().await;
    let account = created(&sim).await;
    let path = format!("{PATH}/{account}/login_links");
    assert_eq!(post(&sim, &path, &[]).await.status, 400);
    connect(&sim).submit(&account, true).expect("it submits");
    let link = made(&sim, &path, &[]).await;
    let page = reqwest_get(link["url"].as_str().expect("an address")).await;
    assert!(page.contains(&account), "{page}");
    let standard = id(&made(&sim, PATH, &[("type", "standard")]).await);
    let answer = post(&sim, &format!("{PATH}/{standard}/login_links"), &[]).await;
    assert_eq!(answer.status, 400);
}

async fn reqwest_get(url: &str) -> String {
    let answer = crate::client::http().get(url).send().await;
    let answer = answer.expect("the page is there");
    answer.text().await.expect("a text")
}

#[tokio::test]
async fn a_deleted_account_is_gone_for_its_platform() {
    let sim = platform().await;
    let account = created(&sim).await;
    let path = format!("{PATH}/{account}");
    let deleted = ask(&sim, (Method::DELETE, &path), None, &[]).await.body;
    assert_eq!(
        deleted,
        json!({"deleted": true, "id": account, "object": "account"})
    );
    refused(&get(&sim, &path).await, 403, "account_invalid");
    assert_eq!(get(&sim, PATH).await.body["data"], json!([]));
    let truth = connect(&sim).truth();
    assert_eq!(
        (truth.accounts_created, truth.accounts[0].connected),
        (1, false)
    );
}

#[tokio::test]
async fn a_live_account_is_deleted_only_without_money() {
    let sim = start(AccountConfig {
        livemode: true,
        ..config(0)
    })
    .await;
    let account = onboarded(&sim).await;
    let path = format!("{PATH}/{account}");
    let connect = connect(&sim);
    let fund = |amount| connect.fund(Some(&account), amount, "eur", false);
    fund(5).expect("it is funded");
    let call = || ask(&sim, (Method::DELETE, &path), None, &[]);
    assert_eq!(call().await.status, 400);
    fund(-5).expect("it is taken again");
    assert_eq!(call().await.status, 200);
}

#[tokio::test]
async fn an_account_that_is_no_platform_makes_no_accounts() {
    let sim = platform().await;
    connect(&sim).switch(|switches| switches.is_platform = false);
    let answer = post(&sim, PATH, &[("type", "express")]).await;
    refused(&answer, 400, "platform_account_required");
    let unnamed = [("controller[stripe_dashboard][type]", "none")];
    assert_eq!(
        post(&sim, PATH, &unnamed).await.error()["param"],
        "capabilities"
    );
    assert_eq!(connect(&sim).truth().accounts_created, 0);
}
