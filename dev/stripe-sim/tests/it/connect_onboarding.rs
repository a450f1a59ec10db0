//! Onboarding: links with their page, sessions, and what comes after an account has submitted its details.

use std::sync::LazyLock;

use serde_json::{Value, json};
use stripe_sim::{RequirementError, SimHandle};

use crate::client::NOW;
use crate::connect::{connect, created, events, get, made, onboarded, platform, post, refused};

/// Follows no redirects, which are what is looked at.
static BROWSER: LazyLock<reqwest::Client> = LazyLock::new(|| {
    drop(rustls::crypto::ring::default_provider().install_default());
    let builder = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .pool_max_idle_per_host(0);
    builder.build().expect("a plain client can be built")
});

fn link_form(account: &str) -> [(&'static str, String); 4] {
    [
        ("account", account.to_owned()),
        ("type", "account_onboarding".to_owned()),
        ("refresh_url", "http://127.0.0.1:1/refresh".to_owned()),
        ("return_url", "http://127.0.0.1:1/return".to_owned()),
    ]
}

async fn link(sim: &SimHandle, account: &str) -> String {
    let form = link_form(account);
    let form: Vec<_> = form
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    let link = made(sim, "/v1/account_links", &form).await;
    assert_eq!(link["object"], "account_link");
    let lasts = link["expires_at"].as_i64().expect("a time") - sim.now();
    assert_eq!(lasts, 300);
    link["url"].as_str().expect("an address").to_owned()
}

/// What a browser gets: the status, where it is sent, and the page.
async fn open(url: &str) -> (u16, Option<String>, String) {
    seen(BROWSER.get(url)).await
}

async fn press(url: &str, action: &str) -> (u16, Option<String>, String) {
    let form = format!("action={action}");
    let kind = "application/x-www-form-urlencoded";
    seen(BROWSER.post(url).header("content-type", kind).body(form)).await
}

async fn seen(request: reqwest::RequestBuilder) -> (u16, Option<String>, String) {
    let response = request.send().await.expect("the simulator answers");
    let to = response.headers().get("location");
    let to = to.map(|it| it.to_str().expect("an address").to_owned());
    let status = response.status().as_u16();
    (status, to, response.text().await.expect("a text"))
}

async fn account(sim: &SimHandle, id: &str) -> Value {
    get(sim, &format!("/v1/accounts/{id}")).await.body
}

const REFRESH: &str = "http://127.0.0.1:1/refresh";
const RETURN: &str = "http://127.0.0.1:1/return";

#[tokio::test]
async fn the_page_of_a_link_is_clicked_through_once() {
    let sim = platform().await;
    let id = created(&sim).await;
    let url = link(&sim, &id).await;
    assert!(url.starts_with(&sim.base_url), "{url}");
    let (status, _, page) = open(&url).await;
    assert_eq!(status, 200);
    for text in [
        "Submit details",
        "Leave some details out",
        "Come back later",
        id.as_str(),
    ] {
        assert!(page.contains(text), "{text}");
    }
    assert!(!page.contains("<script"));
    let (status, to, _) = press(&url, "submit").await;
    assert_eq!((status, to.as_deref()), (303, Some(RETURN)));
    let shown = account(&sim, &id).await;
    assert_eq!(shown["details_submitted"], true);
    assert_eq!(shown["payouts_enabled"], true);
    assert_eq!(shown["capabilities"], json!({"transfers": "active"}));
    assert_eq!(shown["requirements"]["currently_due"], json!([]));
    assert_eq!(
        shown["external_accounts"]["data"].as_array().map(Vec::len),
        Some(1)
    );
    for (status, to, _) in [open(&url).await, press(&url, "submit").await] {
        assert_eq!((status, to.as_deref()), (303, Some(REFRESH)));
    }
}

#[tokio::test]
async fn details_can_be_left_out_or_left_for_later() {
    let sim = platform().await;
    let id = created(&sim).await;
    let before = account(&sim, &id).await;
    let url = link(&sim, &id).await;
    open(&url).await;
    let (_, to, _) = press(&url, "later").await;
    assert_eq!(to.as_deref(), Some(RETURN));
    assert_eq!(account(&sim, &id).await, before);
    let url = link(&sim, &id).await;
    open(&url).await;
    press(&url, "leave_out").await;
    let shown = account(&sim, &id).await;
    assert_eq!(shown["details_submitted"], true);
    assert_eq!(shown["payouts_enabled"], false);
    assert_eq!(shown["capabilities"], json!({"transfers": "inactive"}));
    let left = json!(["external_account", "individual.verification.document"]);
    assert_eq!(shown["requirements"]["past_due"], left);
}

#[tokio::test]
async fn a_link_that_was_opened_or_has_expired_leads_back() {
    let sim = platform().await;
    let id = created(&sim).await;
    let opened = link(&sim, &id).await;
    open(&opened).await;
    let expired = link(&sim, &id).await;
    sim.advance(300);
    for url in [opened, expired.clone()] {
        let (status, to, _) = open(&url).await;
        assert_eq!((status, to.as_deref()), (303, Some(REFRESH)));
    }
    let (_, to, _) = press(&expired, "submit").await;
    assert_eq!(to.as_deref(), Some(REFRESH));
    assert_eq!(account(&sim, &id).await["details_submitted"], false);
    let (status, ..) = open(&format!("{}/setup/c/{id}/nothing", sim.base_url)).await;
    assert_eq!(status, 404);
}

#[tokio::test]
async fn links_that_stripe_refuses_are_refused() {
    let sim = platform().await;
    let id = created(&sim).await;
    for (name, value, status, code) in [
        ("account", "acct_stranger", 403, json!("account_invalid")),
        ("account", "", 400, json!("parameter_missing")),
        ("refresh_url", "", 400, json!("parameter_missing")),
        ("return_url", "nowhere", 400, json!("url_invalid")),
        ("type", "account_visit", 400, Value::Null),
        ("type", "account_update", 400, Value::Null),
        ("colour", "red", 400, json!("parameter_unknown")),
    ] {
        let form = link_form(&id);
        let mut form: Vec<_> = form
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        form.retain(|(other, _)| *other != name);
        form.push((name, value));
        let answer = post(&sim, "/v1/account_links", &form).await;
        assert_eq!(
            (answer.status, &answer.error()["code"]),
            (status, &code),
            "{name}={value}"
        );
    }
}

#[tokio::test]
async fn details_wait_for_their_verification_where_that_is_chosen() {
    let sim = platform().await;
    let connect = connect(&sim);
    connect.switch(|switches| switches.instant_verification = false);
    let id = onboarded(&sim).await;
    let pending = account(&sim, &id).await;
    assert_eq!(pending["capabilities"], json!({"transfers": "pending"}));
    let requirements = &pending["requirements"];
    assert_eq!(
        requirements["disabled_reason"],
        "requirements.pending_verification"
    );
    assert_eq!(
        requirements["pending_verification"],
        json!(["individual.verification.document"])
    );
    connect.verify(&id).expect("it is verified");
    let active = account(&sim, &id).await;
    assert_eq!(active["capabilities"], json!({"transfers": "active"}));
    assert_eq!(active["requirements"]["disabled_reason"], Value::Null);
    let expected = [
        "account.external_account.created",
        "person.created",
        "capability.updated",
        "account.updated",
        "capability.updated",
        "account.updated",
    ];
    assert_eq!(events(&sim, Some(&id)).await, expected);
}

#[tokio::test]
async fn more_is_required_until_a_deadline_and_then_the_account_is_restricted() {
    let sim = platform().await;
    let (connect, id) = (connect(&sim), onboarded(&sim).await);
    let error = RequirementError {
        code: "verification_document_failed_copy".to_owned(),
        reason: "The image is a copy.".to_owned(),
        requirement: "individual.verification.document".to_owned(),
    };
    let fields = ["individual.verification.document"];
    let deadline = Some(NOW + 600);
    connect
        .require(&id, &fields, deadline, vec![error])
        .expect("it is required");
    let warned = account(&sim, &id).await;
    assert_eq!(warned["payouts_enabled"], true);
    let requirements = &warned["requirements"];
    assert_eq!(requirements["current_deadline"], NOW + 600);
    assert_eq!(requirements["currently_due"], json!(fields));
    assert_eq!(requirements["errors"][0]["reason"], "The image is a copy.");
    connect.pass_deadline(&id).expect("it passes");
    let restricted = account(&sim, &id).await;
    assert_eq!(restricted["capabilities"], json!({"transfers": "inactive"}));
    assert_eq!(restricted["requirements"]["past_due"], json!(fields));
    connect.submit(&id, true).expect("it submits");
    assert_eq!(account(&sim, &id).await["payouts_enabled"], true);

    connect
        .disable(&id, Some("under_review"))
        .expect("it is disabled");
    let reviewed = account(&sim, &id).await;
    assert_eq!(reviewed["requirements"]["disabled_reason"], "under_review");
    connect.disable(&id, None).expect("it is enabled");
    connect
        .set_capability(&id, "transfers", Some("inactive"))
        .expect("it is set");
    let switched = account(&sim, &id).await;
    assert_eq!(switched["capabilities"], json!({"transfers": "inactive"}));
    assert_eq!(switched["payouts_enabled"], true);
    connect
        .set_capability(&id, "transfers", None)
        .expect("it is set");
    connect
        .require(&id, &fields, Some(sim.now() + 60), Vec::new())
        .expect("it is required");
    sim.advance(60);
    let late = account(&sim, &id).await;
    assert_eq!(late["requirements"]["past_due"], json!(fields));
    assert!(
        connect
            .set_capability(&id, "transfers", Some("tired"))
            .is_err()
    );
}

#[tokio::test]
async fn payouts_are_switched_off_without_an_event() {
    let sim = platform().await;
    let (connect, id) = (connect(&sim), onboarded(&sim).await);
    let before = events(&sim, Some(&id)).await;
    connect
        .set_payouts(&id, false, false)
        .expect("they are off");
    assert_eq!(account(&sim, &id).await["payouts_enabled"], false);
    assert_eq!(events(&sim, Some(&id)).await, before);
    connect.set_payouts(&id, true, true).expect("they are on");
    assert_eq!(events(&sim, Some(&id)).await.len(), before.len() + 1);
}

#[tokio::test]
async fn a_session_says_which_components_are_enabled() {
    let sim = platform().await;
    let id = created(&sim).await;
    let path = "/v1/account_sessions";
    let onboarding = "components[account_onboarding]";
    let (enabled, collects) = (
        format!("{onboarding}[enabled]"),
        format!("{onboarding}[features][external_account_collection]"),
    );
    let form = [
        ("account", id.as_str()),
        (&enabled, "true"),
        (&collects, "true"),
    ];
    let session = made(&sim, path, &form).await;
    assert_eq!(
        (&session["account"], &session["expires_at"]),
        (&json!(id), &json!(NOW + 3_600))
    );
    let secret = |session: &Value| session["client_secret"].as_str().map(str::to_owned);
    assert!(
        secret(&session)
            .expect("a secret")
            .starts_with("accs_secret__")
    );
    let component = &session["components"]["account_onboarding"];
    assert_eq!(component["enabled"], true);
    assert_eq!(component["features"]["external_account_collection"], true);
    assert_eq!(session["components"]["payouts"]["enabled"], false);
    assert_ne!(secret(&made(&sim, path, &form).await), secret(&session));

    let none = post(&sim, path, &[("account", &id)]).await;
    refused(&none, 400, "parameter_missing");
    let unknown = [
        ("account", id.as_str()),
        ("components[weather][enabled]", "true"),
    ];
    refused(&post(&sim, path, &unknown).await, 400, "parameter_unknown");
    let alone = format!("{onboarding}[features][disable_stripe_user_authentication]");
    let form = [
        ("account", id.as_str()),
        (&enabled, "true"),
        (&alone, "true"),
    ];
    assert_eq!(post(&sim, path, &form).await.error()["param"], alone);
}
