//! Onboarding an organization: one account at Stripe, whatever is called twice, answered late or not at all.

use axum::http::StatusCode;
use common::tenant::{OrganizationId, TokenRole};
use futures::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use stripe_sim::{Fault, FaultRule};
use tests::webhooks::DELIVERY_TIMEOUT;
use tests::world::{Answer, World};

const ONBOARD: &str = "/v1/connect/onboard";

/// A platform with one organization, `acme`.
async fn platform() -> World {
    World::with_charges(0).platform().start().await
}

async fn onboard(world: &World) -> Answer {
    world.ask(Method::POST, ONBOARD, None).await
}

async fn status(world: &World) -> Value {
    world.get("/v1/connect/status/acme?refresh=true").await
}

#[tokio::test]
async fn an_organization_is_onboarded_on_stripes_page_and_its_status_follows() {
    let world = platform().await;
    let before = world.get("/v1/connect/status/acme").await;
    assert_eq!(before["status"], "not_started");
    assert_eq!(before["account_id"], Value::Null);

    let body = json!({"mode": "hosted", "preset": "express", "email": "owner@example.com", "country": "US"});
    let created = world.ask(Method::POST, ONBOARD, Some(body)).await;
    assert_eq!(created.status, StatusCode::CREATED, "{}", created.body);
    let account_id = created.body["account_id"].as_str().unwrap().to_owned();
    assert_eq!(created.body["status"], "incomplete");
    assert!(
        created.body["url"]
            .as_str()
            .unwrap()
            .starts_with(&world.sim.base_url)
    );

    let connect = world.account().connect();
    connect.switch(|switches| switches.instant_verification = false);
    connect.submit(&account_id, false).unwrap();
    let some = status(&world).await;
    assert!(
        ["action_needed", "restricted", "pending", "incomplete"]
            .contains(&some["status"].as_str().unwrap())
    );
    assert!(
        !some["requirements"].as_array().unwrap().is_empty(),
        "{some}"
    );
    connect.submit(&account_id, true).unwrap();
    assert_eq!(status(&world).await["status"], "pending");
    connect.verify(&account_id).unwrap();
    let active = status(&world).await;
    assert_eq!(active["status"], "active", "{active}");
    assert_eq!(active["payouts_enabled"], true);

    let again = onboard(&world).await;
    assert_eq!(again.status, StatusCode::OK);
    assert_eq!(again.body["account_id"], account_id.as_str());
    assert!(world.sim.requests().keyless.is_empty());
}

#[tokio::test]
async fn a_hundred_simultaneous_calls_make_one_account() {
    let world = platform().await;
    let answers = join_all((0..100).map(|_| onboard(&world))).await;
    let ids: Vec<&str> = answers
        .iter()
        .map(|answer| {
            answer.body["account_id"]
                .as_str()
                .unwrap_or_else(|| panic!("{}", answer.body))
        })
        .collect();
    assert!(ids.iter().all(|id| *id == ids[0]));
    let created = answers
        .iter()
        .filter(|answer| answer.status == StatusCode::CREATED);
    assert_eq!(created.count(), 1);
    assert_eq!(world.account().connect().truth().accounts_created, 1);
}

/// Each makes one account: the next call finds what was done, or does it.
#[tokio::test]
async fn an_answer_that_is_lost_or_a_failure_makes_no_second_account() {
    for fault in [
        Fault::Lost,
        Fault::FailedAfter(500),
        Fault::FailedBefore(500),
        Fault::Status(503),
        Fault::Truncate,
    ] {
        let world = platform().await;
        world.account().add_fault(FaultRule {
            endpoint: Some("POST /v1/accounts".to_owned()),
            fault: fault.clone(),
            after: 0,
            times: 1,
            retry_after: None,
        });
        let first = onboard(&world).await;
        assert!(
            first.status.is_success() || first.body["code"] == "stripe_unreachable",
            "{fault:?}: {}",
            first.body
        );
        let second = onboard(&world).await;
        assert!(second.status.is_success(), "{fault:?}: {}", second.body);
        let truth = world.account().connect().truth();
        assert_eq!(truth.accounts_created, 1, "{fault:?}");
        assert_eq!(second.body["account_id"], truth.accounts[0].id.as_str());
    }
}

#[tokio::test]
async fn an_embedded_onboarding_gets_a_secret_and_the_publishable_key() {
    let world = platform().await;
    let answer = world
        .ask(Method::POST, ONBOARD, Some(json!({"mode": "embedded"})))
        .await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.body);
    assert!(
        answer.body["client_secret"]
            .as_str()
            .unwrap()
            .starts_with("accs_")
    );
    assert_eq!(answer.body["publishable_key"], "pk_test_1");
    assert_eq!(answer.body.get("url"), None);
    assert!(world.sim.requests().keyless.is_empty());
}

#[tokio::test]
async fn an_account_that_takes_our_access_away_is_disconnected_and_may_connect_again() {
    let world = platform().await;
    let first = onboard(&world).await.body["account_id"]
        .as_str()
        .unwrap()
        .to_owned();
    world.account().connect().deauthorize(&first).unwrap();
    let disconnected = status(&world).await;
    assert_eq!(disconnected["status"], "disconnected");
    assert_eq!(
        disconnected["account_id"],
        first.as_str(),
        "its history stays"
    );
    let link = world
        .ask(Method::POST, "/v1/connect/dashboard-link", None)
        .await;
    link.problem(409, "account_disconnected");

    let again = onboard(&world).await;
    assert_eq!(again.status, StatusCode::CREATED);
    assert_ne!(again.body["account_id"], first.as_str());
}

#[tokio::test]
async fn a_link_for_an_account_that_was_deleted_says_that_it_is_disconnected() {
    let world = platform().await;
    let first = onboard(&world).await.body["account_id"]
        .as_str()
        .unwrap()
        .to_owned();
    world.account().connect().deauthorize(&first).unwrap();
    let refused = onboard(&world).await;
    refused.problem(409, "account_disconnected");
    assert_eq!(onboard(&world).await.status, StatusCode::CREATED);
}

#[tokio::test]
async fn disconnecting_keeps_the_account_at_stripe_and_its_history_here() {
    let world = platform().await;
    let none = world
        .ask(Method::POST, "/v1/connect/disconnect", None)
        .await;
    none.problem(409, "account_not_ready");
    let account_id = onboard(&world).await.body["account_id"].clone();
    let ended = world
        .ask(Method::POST, "/v1/connect/disconnect", None)
        .await;
    assert_eq!(ended.status, StatusCode::OK);
    assert_eq!(ended.body["status"], "disconnected");
    let truth = world.account().connect().truth();
    assert!(
        truth
            .accounts
            .iter()
            .any(|account| account.id == account_id && account.connected)
    );
}

#[tokio::test]
async fn what_stripe_refuses_is_said_with_its_code_and_words_and_leaves_nothing() {
    let world = platform().await;
    world
        .account()
        .connect()
        .switch(|switches| switches.is_platform = false);
    let refused = onboard(&world).await;
    let refused = refused.problem(422, "stripe_refused");
    assert!(
        refused["stripe_message"]
            .as_str()
            .unwrap()
            .contains("Connect"),
        "{}",
        refused
    );
    assert_eq!(
        world.get("/v1/connect/status/acme").await["status"],
        "not_started"
    );
    world
        .account()
        .connect()
        .switch(|switches| switches.is_platform = true);
    assert_eq!(onboard(&world).await.status, StatusCode::CREATED);
}

#[tokio::test]
async fn wrong_fields_are_named_and_a_return_address_elsewhere_is_refused() {
    let world = platform().await;
    let body = json!({"mode": "post", "preset": "gold", "country": "de", "business_type": "cat",
                      "return_url": "https://evil.example.com/", "sort": 1});
    let refused = world.ask(Method::POST, ONBOARD, Some(body)).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    let pointers: Vec<&str> = refused.body["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| error["pointer"].as_str().unwrap())
        .collect();
    for field in [
        "/mode",
        "/preset",
        "/country",
        "/business_type",
        "/return_url",
        "/sort",
    ] {
        assert!(pointers.contains(&field), "{field}: {pointers:?}");
    }
    let own = json!({"return_url": "https://sync.example.com/done"});
    assert_eq!(
        world.ask(Method::POST, ONBOARD, Some(own)).await.status,
        StatusCode::CREATED
    );
}

#[tokio::test]
async fn another_organizations_account_does_not_exist_and_an_analyst_only_reads() {
    let mut world = platform().await;
    world.organization("globex").await;
    onboard(&world).await;
    let other = world.token_of("globex").to_owned();
    let path = "/v1/connect/status/acme";
    assert_eq!(
        world.ask_as(&other, Method::GET, path, None).await.status,
        StatusCode::NOT_FOUND
    );
    let own = world
        .ask_as(&other, Method::GET, "/v1/connect/status/globex", None)
        .await;
    assert_eq!(own.body["status"], "not_started");
    let acme = OrganizationId::new("acme").unwrap();
    let analyst = world.token(&acme, TokenRole::Analyst).await;
    assert_eq!(
        world.ask_as(&analyst, Method::GET, path, None).await.status,
        StatusCode::OK
    );
    let refused = world.ask_as(&analyst, Method::POST, ONBOARD, None).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn without_the_platforms_key_the_calls_name_the_setting() {
    let world = World::with_charges(0).start().await;
    for (method, path) in [
        (Method::POST, ONBOARD),
        (Method::GET, "/v1/connect/status/acme"),
        (Method::POST, "/v1/connect/dashboard-link"),
        (Method::POST, "/v1/connect/disconnect"),
    ] {
        let answer = world.ask(method, path, None).await;
        let answer = answer.problem(501, "not_configured");
        assert!(
            answer["detail"]
                .as_str()
                .unwrap()
                .contains("STRIPE_PLATFORM_KEY")
        );
    }
}

#[tokio::test]
async fn a_link_that_expired_leads_whoever_is_signed_in_to_another_one_of_the_same_account() {
    let mut world = platform().await;
    world.organization("globex").await;
    let account_id = onboard(&world).await.body["account_id"].clone();
    let http = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(DELIVERY_TIMEOUT)
        .build()
        .unwrap();
    let path = format!("{}/connect/refresh/acme", world.api_url);
    let answer = http.get(&path).send().await.unwrap();
    assert_eq!(answer.status(), 303);
    let location = |answer: &reqwest::Response| {
        let location = answer.headers().get("location").unwrap();
        location.to_str().unwrap().to_owned()
    };
    assert!(location(&answer).starts_with("/sign-in?"), "signed out");
    for (organization, status) in [("acme", 303), ("globex", 404)] {
        let token = world.token_of(organization);
        let signed_in = http
            .post(format!("{}/sign-in", world.api_url))
            .header("sec-fetch-site", "same-origin")
            .header("content-type", "application/x-www-form-urlencoded")
            .body(format!("token={token}"))
            .send()
            .await
            .unwrap();
        let cookie = signed_in.headers().get("set-cookie").unwrap();
        let cookie = cookie
            .to_str()
            .unwrap()
            .split(';')
            .next()
            .unwrap()
            .to_owned();
        let answer = http
            .get(&path)
            .header("cookie", cookie)
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), status, "{organization}");
        if status == 303 {
            assert!(location(&answer).starts_with(&world.sim.base_url));
        }
    }
    let truth = world.account().connect().truth();
    assert_eq!(truth.accounts_created, 1);
    assert_eq!(truth.accounts[0].id, account_id);
}
