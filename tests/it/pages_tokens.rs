//! The page of tokens: admins create and revoke those of their own organization, analysts see them.

use axum::http::Method;
use chrono::TimeDelta;
use common::tenant::TokenRole;
use tests::api_only::{Answer, ApiOnly};
use tests::browser::Browser;

async fn create(api: &ApiOnly, browser: &mut Browser, form: &[(&str, &str)]) -> Answer {
    browser.post(api, "/tokens", form).await
}

/// The secret on the page that answers the form.
fn secret(answer: &Answer) -> &str {
    let start = answer.text.find("sst_").expect("a token");
    let secret = &answer.text[start..];
    &secret[..secret.find('<').expect("an end")]
}

async fn token_id(api: &ApiOnly, name: &str) -> String {
    sqlx::query_scalar("SELECT token_id::TEXT FROM api_tokens WHERE name = $1")
        .bind(name)
        .fetch_one(api.database.admin())
        .await
        .unwrap()
}

#[tokio::test]
async fn a_token_is_shown_once_and_has_its_role_and_expiry() {
    let api = ApiOnly::start().await;
    let mut browser = Browser::signed_in(&api, &api.token).await;
    let form = [
        ("name", " Books <1> "),
        ("role", "analyst"),
        ("validity", "30d"),
    ];
    let created = create(&api, &mut browser, &form).await;
    assert_eq!(created.status, 201, "{}", created.text);
    assert_eq!(created.header("cache-control"), "no-store");
    assert_eq!(created.header("location"), "");
    assert!(
        created.text.contains("Books &#60;1&#62;"),
        "{}",
        created.text
    );
    let token = secret(&created);
    let asked = api.ask_as(token, Method::GET, "/v1/token", None).await;
    let asked = asked.expect(200);
    assert_eq!(asked["name"], "Books <1>");
    assert_eq!(asked["role"], "analyst");
    assert_eq!(asked["expires_at"], "2026-12-21T12:00:00Z");

    let list = browser.get(&api, "/tokens").await;
    assert!(list.text.contains("Books &#60;1&#62;"), "{}", list.text);
    assert!(!list.text.contains("sst_"), "{}", list.text);
}

#[tokio::test]
async fn a_token_without_a_name_is_refused_at_its_field() {
    let api = ApiOnly::start().await;
    let mut browser = Browser::signed_in(&api, &api.token).await;
    let before = api.count("SELECT COUNT(*) FROM api_tokens").await;
    let form = [("name", " "), ("role", "admin"), ("validity", "unlimited")];
    let refused = create(&api, &mut browser, &form).await;
    assert_eq!(refused.status, 422);
    assert!(refused.text.contains("aria-invalid=\"true\""));
    assert!(refused.text.contains("Enter a name"), "{}", refused.text);
    assert!(refused.text.contains("value=\"admin\" checked"));
    let operator = create(&api, &mut browser, &[("name", "x"), ("role", "operator")]).await;
    assert_eq!(operator.status, 422);
    let after = api.count("SELECT COUNT(*) FROM api_tokens").await;
    assert_eq!(after, before);
}

#[tokio::test]
async fn a_key_that_sleeps_is_marked_in_words_and_can_be_revoked() {
    let api = ApiOnly::start().await;
    let mut browser = Browser::signed_in(&api, &api.token).await;
    create(&api, &mut browser, &[("name", "billing")]).await;
    let awake = browser.get(&api, "/tokens").await;
    assert!(!awake.text.contains("Asleep"), "{}", awake.text);
    api.execute("UPDATE api_tokens SET suspended_at = now() WHERE name = 'billing'")
        .await;
    let asleep = browser.get(&api, "/tokens").await;
    assert!(
        asleep.text.contains("Asleep: refused until"),
        "{}",
        asleep.text
    );
    assert!(asleep.text.contains("Revoke billing"), "{}", asleep.text);
}

#[tokio::test]
async fn a_token_is_revoked_after_a_question() {
    let api = ApiOnly::start().await;
    let mut browser = Browser::signed_in(&api, &api.token).await;
    let created = create(&api, &mut browser, &[("name", "Books")]).await;
    let token = secret(&created).to_owned();
    let path = format!("/tokens/{}/revoke", token_id(&api, "Books").await);
    let question = browser.get(&api, &path).await;
    assert!(
        question.text.contains("Revoke “Books”?"),
        "{}",
        question.text
    );
    assert!(!question.text.contains("You signed in with it"));
    let get = Method::GET;
    api.ask_as(&token, get.clone(), "/v1/token", None)
        .await
        .expect(200);
    for _ in 0..2 {
        let revoked = browser.post(&api, &path, &[]).await;
        let answer = (revoked.status.as_u16(), revoked.header("location"));
        assert_eq!(answer, (303, "/tokens"));
    }
    api.ask_as(&token, get, "/v1/token", None)
        .await
        .problem(401, "unauthenticated");
    let list = browser.get(&api, "/tokens").await;
    assert!(list.text.contains("Revoked and expired tokens (1)"));
    assert_eq!(browser.get(&api, &path).await.status, 303);
    let unknown = format!("/tokens/{}/revoke", uuid::Uuid::nil());
    assert_eq!(browser.post(&api, &unknown, &[]).await.status, 404);
}

#[tokio::test]
async fn who_revokes_their_own_token_is_warned_and_signed_out() {
    let api = ApiOnly::start().await;
    let mut browser = Browser::signed_in(&api, &api.token).await;
    let path = format!("/tokens/{}/revoke", token_id(&api, "test").await);
    let question = browser.get(&api, &path).await;
    assert!(question.text.contains("You signed in with it"));
    assert!(question.text.contains("the last token of an admin"));
    browser.post(&api, &path, &[]).await;
    assert!(!browser.is_signed_in(&api).await);
}

#[tokio::test]
async fn an_analyst_sees_tokens_and_no_form_and_can_change_none() {
    let api = ApiOnly::start().await;
    let token = api.token("acme", TokenRole::Analyst).await;
    let before = api
        .count("SELECT COUNT(*) FROM api_tokens WHERE revoked_at IS NULL")
        .await;
    let mut analyst = Browser::signed_in(&api, &token).await;
    let list = analyst.get(&api, "/tokens").await;
    assert_eq!(list.status, 200);
    assert!(list.text.contains("You signed in with it"));
    assert!(!list.text.contains("action=\"/tokens"), "{}", list.text);
    assert!(!list.text.contains("/revoke"), "{}", list.text);
    let admins: String =
        sqlx::query_scalar("SELECT token_id::TEXT FROM api_tokens WHERE role = 'admin'")
            .fetch_one(api.database.admin())
            .await
            .unwrap();
    let path = format!("/tokens/{admins}/revoke");
    assert_eq!(analyst.get(&api, &path).await.status, 403);
    assert_eq!(analyst.post(&api, &path, &[]).await.status, 403);
    let created = create(&api, &mut analyst, &[("name", "x")]).await;
    assert_eq!(created.status, 403);
    let after = api
        .count("SELECT COUNT(*) FROM api_tokens WHERE revoked_at IS NULL")
        .await;
    assert_eq!(after, before);
}

#[tokio::test]
async fn tokens_of_another_organization_do_not_exist() {
    let api = ApiOnly::start().await;
    let acmes = token_id(&api, "test").await;
    let other = api.token("other", TokenRole::Admin).await;
    let mut browser = Browser::signed_in(&api, &other).await;
    let list = browser.get(&api, "/tokens").await;
    assert!(!list.text.contains(&acmes), "{}", list.text);
    let path = format!("/tokens/{acmes}/revoke");
    assert_eq!(browser.get(&api, &path).await.status, 404);
    assert_eq!(browser.post(&api, &path, &[]).await.status, 404);
    let live =
        "SELECT COUNT(*) FROM api_tokens WHERE organization_id = 'acme' AND revoked_at IS NULL";
    assert_eq!(api.count(live).await, 1);
    create(&api, &mut browser, &[("name", "mine")]).await;
    assert_eq!(api.count(live).await, 1);
}

#[tokio::test]
async fn the_last_use_of_a_token_is_noted_by_calls_and_pages_at_most_once_a_minute() {
    let api = ApiOnly::start().await;
    let last_use = "SELECT COALESCE(EXTRACT(EPOCH FROM last_used_at)::BIGINT, 0) FROM api_tokens";
    assert_eq!(api.count(last_use).await, 0);
    api.get("/v1/token").await;
    let first = api.count(last_use).await;
    assert_eq!(first, tests::api_only::now().timestamp());
    api.clock.advance(TimeDelta::seconds(59));
    api.get("/v1/token").await;
    assert_eq!(api.count(last_use).await, first);
    api.clock.advance(TimeDelta::seconds(1));
    let mut browser = Browser::signed_in(&api, &api.token).await;
    assert_eq!(api.count(last_use).await, first + 60);
    api.clock.advance(TimeDelta::hours(1));
    browser.get(&api, "/tokens").await;
    assert_eq!(api.count(last_use).await, first + 3660);
}
