//! Saved questions: who sees one, who may change it, and what is refused.

use axum::http::Method;
use common::tenant::TokenRole;
use serde_json::{Value, json};
use tests::api_only::{Answer, ApiOnly};
use tests::browser::Browser;

const QUERY: &str = "range=30d&group_by=country&metadata.charge.tier=gold";

async fn start() -> ApiOnly {
    let api = ApiOnly::start().await;
    api.connect("rk_test_full_Alpha").await;
    api
}

fn question(name: &str, shared: bool) -> Value {
    json!({"name": name, "page": "explore", "query": QUERY, "shared": shared})
}

async fn save(api: &ApiOnly, token: &str, body: Value) -> Answer {
    api.ask_as(token, Method::POST, "/v1/questions", Some(body))
        .await
}

async fn names(api: &ApiOnly, token: &str) -> Vec<String> {
    let answer = api.ask_as(token, Method::GET, "/v1/questions", None).await;
    let list = answer.expect(200);
    let names = list["data"].as_array().unwrap().iter();
    names
        .map(|question| question["name"].as_str().unwrap().to_owned())
        .collect()
}

fn path_of(saved: &Value) -> String {
    format!("/v1/questions/{}", saved["question_id"].as_str().unwrap())
}

#[tokio::test]
async fn a_private_question_is_seen_by_its_token_only() {
    let api = start().await;
    let other = api.token("acme", TokenRole::Admin).await;
    let analyst = api.token("acme", TokenRole::Analyst).await;
    let stranger = api.token("other", TokenRole::Admin).await;
    let mine = save(&api, &api.token, question("mine", false))
        .await
        .expect(201);
    save(&api, &api.token, question("ours", true))
        .await
        .expect(201);
    assert_eq!(names(&api, &api.token).await, ["mine", "ours"]);
    assert_eq!(names(&api, &other).await, ["ours"]);
    assert_eq!(names(&api, &analyst).await, ["ours"]);
    assert!(names(&api, &stranger).await.is_empty());
    for method in [Method::PATCH, Method::DELETE] {
        let body = (method == Method::PATCH).then(|| json!({"name": "theirs"}));
        let answer = api.ask_as(&other, method, &path_of(&mine), body).await;
        answer.problem(404, "not_found");
    }
}

#[tokio::test]
async fn an_analyst_saves_and_changes_nothing() {
    let api = start().await;
    let analyst = api.token("acme", TokenRole::Analyst).await;
    let ours = save(&api, &api.token, question("ours", true))
        .await
        .expect(201);
    save(&api, &analyst, question("x", false))
        .await
        .problem(403, "forbidden");
    for method in [Method::PATCH, Method::DELETE] {
        let body = (method == Method::PATCH).then(|| json!({"name": "x"}));
        let answer = api.ask_as(&analyst, method, &path_of(&ours), body).await;
        answer.problem(403, "forbidden");
    }
    let mut browser = Browser::signed_in(&api, &analyst).await;
    let page = browser.page(&api, "/explore").await;
    assert!(page.contains(">ours</a>"), "{page}");
    assert!(!page.contains("Save this question"), "{page}");
    let posted = browser.post(&api, "/questions", &[("name", "x")]).await;
    assert_eq!(posted.status, 403);
    let id = ours["question_id"].as_str().unwrap();
    let edit = browser.get(&api, &format!("/questions/{id}")).await;
    assert_eq!(edit.status, 403);
}

#[tokio::test]
async fn a_name_is_taken_once_among_shared_questions_and_once_for_each_token() {
    let api = start().await;
    let other = api.token("acme", TokenRole::Admin).await;
    save(&api, &api.token, question("a", true))
        .await
        .expect(201);
    save(&api, &other, question("a", true))
        .await
        .problem(409, "conflict");
    let private = save(&api, &api.token, question("a", false))
        .await
        .expect(201);
    save(&api, &other, question("a", false)).await.expect(201);
    save(&api, &api.token, question("a", false))
        .await
        .problem(409, "conflict");
    let share = Some(json!({"shared": true}));
    api.ask(Method::PATCH, &path_of(&private), share)
        .await
        .problem(409, "conflict");
    let both = Some(json!({"shared": true, "name": "b"}));
    let shared = api.ask(Method::PATCH, &path_of(&private), both).await;
    assert_eq!(shared.expect(200)["shared"], true);
    assert_eq!(names(&api, &other).await, ["a", "a", "b"]);
}

#[tokio::test]
async fn a_question_that_its_page_refuses_is_not_saved() {
    let api = start().await;
    let unlike = json!([{"conditions": [
        {"type": "field", "field": "country", "operator": "equals", "value": "Germany"}]}]);
    let filter: String = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("filter", &unlike.to_string())
        .finish();
    for (page, query) in [
        ("explore", "range=99d"),
        ("explore", "compare=previous_week"),
        ("explore", "connection_id=unknown"),
        ("explore", "metadata.charge=x"),
        ("overview", "by=hour"),
        ("overview", "date_from=2026-02-30"),
        ("explore", &*filter),
    ] {
        let body = json!({"name": "x", "page": page, "query": query});
        let refused = save(&api, &api.token, body).await;
        let problem = refused.problem(422, "invalid_request");
        assert_eq!(problem["errors"][0]["pointer"], "/query", "{problem:#}");
    }
    for (member, value) in [
        ("name", json!("  ")),
        ("name", json!("x".repeat(101))),
        ("page", json!("charges")),
        ("query", json!("x".repeat(8_001))),
        ("shared", json!("yes")),
        ("more", json!(1)),
    ] {
        let mut body = question("x", false);
        body[member] = value;
        save(&api, &api.token, body)
            .await
            .problem(422, "invalid_request");
    }
    assert_eq!(api.count("SELECT COUNT(*) FROM saved_questions").await, 0);
}

#[tokio::test]
async fn a_place_in_a_list_is_not_saved() {
    let api = start().await;
    let body = json!({"name": "x", "query": "range=7d&cursor=abc&group_by="});
    let saved = save(&api, &api.token, body).await.expect(201);
    assert_eq!(saved["query"], "range=7d");
}

#[tokio::test]
async fn there_are_only_so_many_shared_questions() {
    let api = start().await;
    api.execute(
        "INSERT INTO saved_questions
         SELECT 'acme', gen_random_uuid(), 'q' || n, 'explore', '', TRUE, NULL, now() FROM generate_series(1, 200) AS n",
    )
    .await;
    let refused = save(&api, &api.token, question("one more", true)).await;
    let detail = refused.problem(409, "conflict")["detail"].to_string();
    assert!(detail.contains("200 shared"), "{detail}");
    save(&api, &api.token, question("mine", false))
        .await
        .expect(201);
}

#[tokio::test]
async fn a_question_is_saved_shared_and_deleted_on_pages() {
    let api = start().await;
    let mut browser = Browser::signed_in(&api, &api.token).await;
    let form = [("name", " Gold "), ("query", QUERY)];
    let saved = browser.post(&api, "/questions", &form).await;
    saved.assert_leads_to(&format!("/explore?{QUERY}"));
    let list = api.get("/v1/questions").await;
    let question = &list["data"][0];
    let expected = json!(["Gold", QUERY, false]);
    assert_eq!(
        json!([question["name"], question["query"], question["shared"]]),
        expected
    );

    let again = browser.post(&api, "/questions", &form).await;
    again.assert_refused(422, "Another private question has this name");
    let unnamed = browser.post(&api, "/questions", &[("query", QUERY)]).await;
    unnamed.assert_refused(422, "Enter a name");

    let path = format!("/questions/{}", question["question_id"].as_str().unwrap());
    let page = browser.page(&api, &format!("/explore?{QUERY}")).await;
    assert!(page.contains(&format!("href=\"{path}\"")), "{page}");
    let shared = browser
        .post(&api, &path, &[("name", "Gold"), ("shared", "on")])
        .await;
    shared.assert_leads_to(&format!("/explore?{QUERY}"));
    assert_eq!(api.get("/v1/questions").await["data"][0]["shared"], true);

    let delete = format!("{path}/delete");
    let asked = browser.page(&api, &delete).await;
    assert!(asked.contains("Delete “Gold”?"), "{asked}");
    let deleted = browser.post(&api, &delete, &[]).await;
    deleted.assert_leads_to(&format!("/explore?{QUERY}"));
    assert_eq!(browser.get(&api, &path).await.status, 404);
}

#[tokio::test]
async fn who_signed_in_by_a_link_saves_only_what_is_shared() {
    let api = start().await;
    let mut browser = Browser::signed_in(&api, &api.token).await;
    // As a session of a link is stored.
    api.execute("UPDATE browser_sessions SET token_id = NULL, role = 'admin'")
        .await;
    let page = browser.page(&api, "/explore").await;
    assert!(
        page.contains("since you signed in without a token"),
        "{page}"
    );
    let private = browser.post(&api, "/questions", &[("name", "x")]).await;
    assert_eq!(private.status, 422);
    let shared = [("name", "x"), ("shared", "on")];
    let saved = browser.post(&api, "/questions", &shared).await;
    saved.assert_leads_to("/explore");
    assert_eq!(names(&api, &api.token).await, ["x"]);
}

#[tokio::test]
async fn questions_of_another_organization_do_not_exist_on_pages() {
    let api = start().await;
    let ours = save(&api, &api.token, question("ours", true))
        .await
        .expect(201);
    let stranger = api.token("other", TokenRole::Admin).await;
    let mut browser = Browser::signed_in(&api, &stranger).await;
    let path = format!("/questions/{}", ours["question_id"].as_str().unwrap());
    let delete = format!("{path}/delete");
    for path in [&path, &delete] {
        assert_eq!(browser.get(&api, path).await.status, 404);
        let posted = browser.post(&api, path, &[("name", "x")]).await;
        assert_eq!(posted.status, 404);
    }
    assert_eq!(names(&api, &api.token).await, ["ours"]);
}
