//! Connected accounts by Accounts v2: onboarded, read and disconnected as by v1, and one account whatever is lost.

use axum::http::StatusCode;
use reqwest::Method;
use serde_json::{Value, json};
use stripe_sim::{Fault, FaultRule, RequirementError};
use tests::world::{Answer, World};

const ONBOARD: &str = "/v1/connect/onboard";

async fn platform() -> World {
    World::with_charges(0)
        .platform()
        .accounts_v2()
        .consumers(0)
        .start()
        .await
}

async fn onboard(world: &World) -> Answer {
    let body = json!({"preset": "express", "email": "owner@example.com", "country": "US", "business_type": "company"});
    world.ask(Method::POST, ONBOARD, Some(body)).await
}

async fn status(world: &World) -> Value {
    world.get("/v1/connect/status/acme?refresh=true").await
}

#[tokio::test]
async fn an_account_of_v2_is_onboarded_and_its_status_followed_until_it_is_active() {
    let world = platform().await;
    let created = onboard(&world).await.expect(201);
    assert_eq!(created["status"], "incomplete", "{created}");
    let url = created["url"].as_str().unwrap();
    assert!(url.starts_with(&world.sim.base_url), "{url}");
    let account_id = created["account_id"].as_str().unwrap();
    let requests = world.sim.requests();
    assert_eq!(requests.of("POST /v2/core/accounts"), 1);
    assert_eq!(requests.of("POST /v1/accounts"), 0);

    let connect = world.account().connect();
    connect.switch(|switches| switches.instant_verification = false);
    connect.submit(account_id, false).unwrap();
    let some = status(&world).await;
    assert_eq!(some["status"], "incomplete", "{some}");
    assert!(!some["requirements"].as_array().unwrap().is_empty());
    connect.submit(account_id, true).unwrap();
    let pending = status(&world).await;
    assert_eq!(pending["status"], "pending", "{pending}");
    connect.verify(account_id).unwrap();
    let active = status(&world).await;
    assert_eq!(active["status"], "active", "{active}");
    for flag in ["charges_enabled", "payouts_enabled", "details_submitted"] {
        assert_eq!(active[flag], true, "{flag}: {active}");
    }
    assert_eq!(active["capabilities"]["transfers"], "active");

    let again = onboard(&world).await.expect(200);
    assert_eq!(again["account_id"], account_id);
    let link = world
        .ask(Method::POST, "/v1/connect/dashboard-link", None)
        .await;
    assert!(link.expect(200)["url"].is_string());
    // Money moves as to any other account.
    connect.fund(None, 1_000, "usd", false).unwrap();
    let body = json!({"amount": 1_000, "currency": "usd"});
    let moved = world.post_once("k", "/v1/connect/transfer", body).await;
    assert_eq!(moved.expect(201)["status"], "created");
    assert_eq!(connect.truth().transfers[0].destination, account_id);
    assert!(world.sim.requests().keyless.is_empty());
}

#[tokio::test]
async fn what_stripe_wants_of_an_account_of_v2_is_shown_with_deadline_and_reason() {
    let world = platform().await;
    let created = onboard(&world).await.expect(201);
    let account_id = created["account_id"].as_str().unwrap();
    let connect = world.account().connect();
    connect.submit(account_id, true).unwrap();
    let deadline = 1_900_000_000;
    let error = RequirementError {
        code: "verification_document_failed_copy".to_owned(),
        reason: "The document is a copy.".to_owned(),
        requirement: "company.verification.document".to_owned(),
    };
    let field = "company.verification.document";
    connect
        .require(account_id, &[field], Some(deadline), vec![error])
        .unwrap();
    let needed = status(&world).await;
    assert_eq!(needed["status"], "action_needed", "{needed}");
    let [requirement] = &needed["requirements"].as_array().unwrap()[..] else {
        panic!("one requirement: {needed}");
    };
    assert_eq!(
        requirement,
        &json!({"field": field, "state": "currently_due", "deadline": "2030-03-17T17:46:40Z",
                "reason": "The document is a copy."})
    );
    connect.pass_deadline(account_id).unwrap();
    let late = status(&world).await;
    assert_eq!(late["requirements"][0]["state"], "past_due", "{late}");
    connect.reject(account_id, "rejected.fraud").unwrap();
    assert_eq!(status(&world).await["status"], "rejected");
}

/// The next call finds the account in the list, or has the same one made under the same key.
#[tokio::test]
async fn a_lost_answer_of_v2_makes_no_second_account() {
    for fault in [
        Fault::Lost,
        Fault::FailedAfter(500),
        Fault::FailedBefore(500),
        Fault::Status(503),
        Fault::Truncate,
    ] {
        let world = platform().await;
        // Accounts that were made since are on the first pages of the list.
        world.account().add_fault(FaultRule {
            endpoint: Some("POST /v2/core/accounts".to_owned()),
            fault: fault.clone(),
            after: 0,
            times: 1,
            retry_after: None,
        });
        let first = onboard(&world).await;
        let known = first.status.is_success() || first.code() == "stripe_unreachable";
        assert!(known, "{fault:?}: {}", first.body);
        let second = onboard(&world).await;
        assert!(second.status.is_success(), "{fault:?}: {}", second.body);
        let truth = world.account().connect().truth();
        assert_eq!(truth.accounts_created, 1, "{fault:?}");
        assert_eq!(second.body["account_id"], truth.accounts[0].id.as_str());
    }
}

#[tokio::test]
async fn an_account_of_v2_is_found_on_a_later_page_of_the_list() {
    let mut world = platform().await;
    world.account().add_fault(FaultRule {
        endpoint: Some("POST /v2/core/accounts".to_owned()),
        fault: Fault::FailedAfter(500),
        after: 0,
        times: 1,
        retry_after: None,
    });
    world.account().add_fault(FaultRule {
        endpoint: Some("GET /v2/core/accounts".to_owned()),
        fault: Fault::Reset,
        after: 0,
        times: 1,
        retry_after: None,
    });
    onboard(&world).await.problem(503, "stripe_unreachable");
    let ours = world.account().connect().truth().accounts[0].id.clone();
    for number in 0..12 {
        let organization = format!("other-{number}");
        world.organization(&organization).await;
        let token = world.token_of(&organization).to_owned();
        let other = world.ask_as(&token, Method::POST, ONBOARD, None).await;
        other.expect(201);
    }
    let found = onboard(&world).await;
    assert_eq!(found.status, StatusCode::OK, "{}", found.body);
    assert_eq!(found.body["account_id"], ours.as_str());
    let truth = world.account().connect().truth();
    assert_eq!(truth.accounts_created, 13);
    assert_eq!(world.sim.requests().of("GET /v2/core/accounts"), 3);
}

#[tokio::test]
async fn an_account_of_v2_is_disconnected_by_either_side() {
    let world = platform().await;
    let created = onboard(&world).await.expect(201);
    let account_id = created["account_id"].as_str().unwrap().to_owned();
    world.account().connect().deauthorize(&account_id).unwrap();
    let gone = status(&world).await;
    assert_eq!(gone["status"], "disconnected", "{gone}");
    assert_eq!(gone["account_id"], account_id.as_str());

    let other = onboard(&world).await.expect(201);
    assert_ne!(other["account_id"], account_id.as_str());
    let ended = world
        .ask(Method::POST, "/v1/connect/disconnect", None)
        .await;
    assert_eq!(ended.expect(200)["status"], "disconnected");
    let truth = world.account().connect().truth();
    let connected = truth.accounts.iter().filter(|it| it.connected);
    let kept: Vec<&str> = connected.map(|it| it.id.as_str()).collect();
    assert_eq!(kept, [other["account_id"].as_str().unwrap()]);
}

#[tokio::test]
async fn a_platform_for_which_v2_is_not_enabled_learns_what_to_do() {
    let world = platform().await;
    let connect = world.account().connect();
    connect.switch(|switches| switches.accounts_v2 = false);
    let refused = onboard(&world).await.problem(422, "stripe_refused");
    assert_eq!(refused["stripe_code"], "accounts_v2_access_blocked");
    let detail = refused["detail"].as_str().unwrap();
    assert!(
        detail.contains("Have Stripe enable Accounts v2")
            && detail.contains("CONNECT_ACCOUNTS_VERSION"),
        "{detail}"
    );
    let status = world.get("/v1/connect/status/acme").await;
    assert_eq!(status["status"], "not_started", "nothing is left of it");
    connect.switch(|switches| switches.accounts_v2 = true);
    onboard(&world).await.expect(201);
}
