//! Accounts v2: the same accounts in JSON, for platforms that have it.

use reqwest::Method;
use serde_json::{Value, json};
use stripe_sim::SimHandle;

use crate::client::{Answer, http};
use crate::connect::{connect, get, platform, refused};

async fn post(sim: &SimHandle, path: &str, body: &Value) -> Answer {
    let request = http()
        .request(Method::POST, format!("{}{path}", sim.base_url))
        .bearer_auth(sim.first().key())
        .body(body.to_string());
    let response = request.send().await.expect("the simulator answers");
    Answer {
        status: response.status().as_u16(),
        headers: response.headers().clone(),
        body: response.json().await.expect("the answer is JSON"),
    }
}

fn new_account() -> Value {
    json!({
        "display_name": "Shop", "contact_email": "shop@example.com", "dashboard": "express",
        "identity": {"country": "de", "entity_type": "individual"},
        "defaults": {"responsibilities": {"fees_collector": "application",
            "losses_collector": "application"}},
        "configuration": {"recipient": {"capabilities": {"stripe_balance":
            {"stripe_transfers": {"requested": true}}}}},
        "metadata": {"row": "7"},
        "include": ["configuration.recipient", "requirements"],
    })
}

#[tokio::test]
async fn a_platform_without_accounts_v2_is_refused() {
    let sim = platform().await;
    let answer = post(&sim, "/v2/core/accounts", &new_account()).await;
    refused(&answer, 400, "accounts_v2_access_blocked");
    assert_eq!(connect(&sim).truth().accounts_created, 0);
}

#[tokio::test]
async fn an_account_is_the_same_in_both_versions() {
    let sim = platform().await;
    connect(&sim).switch(|switches| switches.accounts_v2 = true);
    let answer = post(&sim, "/v2/core/accounts", &new_account()).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let account = answer.body;
    assert_eq!(account["object"], "v2.core.account");
    assert_eq!(account["applied_configurations"], json!(["recipient"]));
    let status = |account: &Value| {
        let balance = &account["configuration"]["recipient"]["capabilities"]["stripe_balance"];
        balance["stripe_transfers"]["status"].clone()
    };
    assert_eq!(status(&account), "restricted");
    assert_eq!(account["identity"], Value::Null);
    let entry = &account["requirements"]["entries"][0];
    assert_eq!(entry["awaiting_action_from"], "user");
    assert_eq!(entry["minimum_deadline"]["status"], "past_due");
    let id = account["id"].as_str().expect("an id");
    let first = get(&sim, &format!("/v1/accounts/{id}")).await.body;
    assert_eq!(
        (&first["type"], &first["country"]),
        (&json!("express"), &json!("DE"))
    );
    assert_eq!(first["metadata"], json!({"row": "7"}));

    connect(&sim).submit(id, true).expect("it submits");
    let path = format!("/v2/core/accounts/{id}");
    let include = "include[0]=configuration.recipient&include[1]=identity";
    let shown = get(&sim, &format!("{path}?{include}")).await.body;
    assert_eq!(status(&shown), "active");
    assert_eq!(shown["identity"]["country"], "de");
    let bare = get(&sim, &path).await.body;
    assert_eq!(bare["configuration"]["recipient"], Value::Null);
    assert_eq!(bare["requirements"], Value::Null);
}

#[tokio::test]
async fn a_link_leads_to_the_same_page() {
    let sim = platform().await;
    connect(&sim).switch(|switches| switches.accounts_v2 = true);
    let account = post(&sim, "/v2/core/accounts", &new_account()).await.body;
    let mut new = json!({"account": account["id"], "use_case": {"type": "account_onboarding",
        "account_onboarding": {"configurations": ["recipient"],
            "refresh_url": "http://127.0.0.1:1/refresh", "return_url": "http://127.0.0.1:1/return"}}});
    let link = post(&sim, "/v2/core/account_links", &new).await.body;
    assert_eq!(link["use_case"], new["use_case"]);
    let page = http()
        .get(link["url"].as_str().expect("an address"))
        .send()
        .await;
    assert_eq!(page.expect("the page is there").status(), 200);
    new["use_case"]["account_onboarding"]["configurations"].take();
    refused(
        &post(&sim, "/v2/core/account_links", &new).await,
        400,
        "parameter_missing",
    );
    new["account"] = json!("acct_stranger");
    refused(
        &post(&sim, "/v2/core/account_links", &new).await,
        403,
        "account_invalid",
    );
}

#[tokio::test]
async fn a_list_has_the_newest_first_and_names_its_next_page() {
    let sim = platform().await;
    let refusal = get(&sim, "/v2/core/accounts").await;
    refused(&refusal, 400, "accounts_v2_access_blocked");
    connect(&sim).switch(|switches| switches.accounts_v2 = true);
    let mut ids = Vec::new();
    for _ in 0..5 {
        let account = post(&sim, "/v2/core/accounts", &new_account()).await.body;
        ids.insert(0, account["id"].clone());
    }
    let mut listed = Vec::new();
    let mut path = "/v2/core/accounts?limit=2".to_owned();
    let mut pages = 0;
    loop {
        let page = get(&sim, &path).await.body;
        let data = page["data"].as_array().expect("a page").clone();
        assert!(data.iter().all(|it| it["requirements"].is_null()));
        assert!(data.iter().all(|it| it["metadata"]["row"] == "7"));
        listed.extend(data.iter().map(|it| it["id"].clone()));
        pages += 1;
        match page["next_page_url"].as_str() {
            Some(next) => next.clone_into(&mut path),
            None => break,
        }
    }
    assert_eq!((listed, pages), (ids, 3));
}
